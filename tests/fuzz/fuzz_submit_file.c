/* A file in the submission spool, written by anybody. What is taken reads back the same. */
#include "base/must.h"
#include "submit/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(4 << 20);
    struct submit_file f, g;
    size_t head, again;
    const char *why = NULL;
    struct span s = span_of(data, n);
    int got = submit_file_get(s, a, &f, &head, &why);
    MUST(got >= 0 || why);
    if (got == 1) {
        struct buf b;
        MUST(head <= n && f.rcpt_count > 0);
        MUST(submit_file_get(span_to(s, head - 1), a, &g, &again, &why) == 0);
        buf_init(&b, SUBMIT_HEAD_MAX);
        if (submit_file_put(&b, &f)) {
            MUST(submit_file_get(buf_span(&b), a, &g, &again, &why) == 1);
            MUST(span_eq(f.sender, g.sender) && f.rcpt_count == g.rcpt_count);
            MUST(f.size_bytes == g.size_bytes && f.flags == g.flags);
        }
        buf_free(&b);
    }
    arena_free(&a);
    return 0;
}
