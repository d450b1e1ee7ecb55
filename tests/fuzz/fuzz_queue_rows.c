/* What the gateway answers, as tables: whatever strangers wrote into a reason or an address, no
 * control byte reaches the terminal. */
#include "base/must.h"
#include "cli/queue_show.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void harmless(struct buf *b)
{
    struct span s = buf_span(b);
    for (size_t i = 0; i < s.n; i++)
        MUST(s.p[i] == '\n' || ((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    struct span rest = span_of(data + 1, n - 1);
    struct buf out, err;
    static const unsigned widths[] = { 0, 20, 40, 100 };
    struct queue_show *s = queue_show_new((enum queue_what)(data[0] % (QUEUE_SHAPE + 1)),
                                          widths[data[0] >> 4 & 3], false, 1000);
    buf_init(&out, 8 << 20);
    buf_init(&err, 8 << 20);
    while (rest.n) {
        struct span line = span_to(rest, span_find(rest, '\n'));
        rest = span_from(rest, line.n + 1);
        queue_show_row(s, line, &out, &err);
    }
    queue_show_end(s, &out);
    harmless(&out);
    harmless(&err);
    queue_show_free(&s);
    buf_free(&out);
    buf_free(&err);
    return 0;
}
