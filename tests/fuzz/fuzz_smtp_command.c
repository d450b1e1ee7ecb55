/* Any line as a command, and its argument as MAIL's, RCPT's and BDAT's. A refusal is a reply that
 * fits its line and ends where it should. */
#include "base/must.h"
#include "envelope/envelope.h"
#include "smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_reply(const struct reply *r)
{
    struct buf b;
    buf_init(&b, REPLY_LINES_MAX * REPLY_LINE_MAX);
    MUST(r->code >= 400);
    reply_put(&b, r, true);
    for (struct span s = buf_span(&b); s.n > 0;) {
        size_t end = span_find(s, '\n');
        MUST(end < s.n && end > 4 && end < REPLY_LINE_MAX && s.p[end - 1] == '\r');
        MUST(!memchr(s.p, '\r', end - 1));
        s = span_from(s, end + 1);
    }
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct command_caps all = { true, true, true, true, true };
    struct command c = command_read(span_of(data, n < 2048 ? n : 2048));
    struct command_mail m;
    struct command_rcpt r;
    struct reply bad = { 0 };
    struct buf scratch;
    uint64_t octets;
    bool last;
    buf_init(&scratch, 4096);
    if (command_mail(c.arg, &all, &m, &bad, &scratch) < 0)
        check_reply(&bad);
    else
        MUST(m.envid.n <= 100 && (m.from.null || m.from.local.n > 0));
    buf_reset(&scratch);
    if (command_rcpt(c.arg, &all, data && n && data[0] & 1, &r, &bad, &scratch) < 0)
        check_reply(&bad);
    else
        MUST(r.orcpt.n <= ENVELOPE_TEXT_MAX && r.to.local.n > 0);
    command_bdat(c.arg, &octets, &last);
    buf_free(&scratch);
    return 0;
}
