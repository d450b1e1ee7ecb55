/* A header's addresses, each replaced by another: all of those are found again, and no more. */
#include "base/must.h"
#include "mail/headeraddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t replace(struct span text, struct buf *to, bool again)
{
    struct headeraddr w;
    size_t done = 0, count = 0;
    headeraddr_init(&w, text, true);
    while (headeraddr_next(&w)) {
        size_t at = (size_t)(w.at.p - text.p);
        MUST(w.at.p >= text.p && at >= done && w.at.n && w.at.n <= text.n - at);
        MUST(!again || (span_eq(w.at, SPAN("u@x.example")) && span_eq(w.addr, w.at)));
        buf_puts(to, span_from(span_to(text, at), done));
        buf_putz(to, "u@x.example");
        done = at + w.at.n;
        count++;
    }
    headeraddr_free(&w);
    buf_puts(to, span_from(text, done));
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf once, twice;
    buf_init(&once, 16 * n + 64);
    buf_init(&twice, 16 * n + 64);
    size_t count = replace(span_of(data, n), &once, false);
    MUST(replace(buf_span(&once), &twice, true) == count);
    MUST(!once.failed && !twice.failed && span_eq(buf_span(&once), buf_span(&twice)));
    buf_free(&once);
    buf_free(&twice);
    return 0;
}
