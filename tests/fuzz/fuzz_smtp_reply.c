/* A server's replies, whole and byte by byte: the same replies, or bad at the same place; and
 * their text made fit for people holds no control byte. */
#include "base/must.h"
#include "smtp/reply_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int clean_one(const struct smtp_reply *r, struct buf *out)
{
    MUST(r->code >= 200 && r->code <= 599 && r->enhanced.n <= r->text.n);
    buf_printf(out, "%d ", r->code);
    size_t from = out->len;
    reply_clean(out, r->text, 200);
    struct span s = span_from(buf_span(out), from);
    MUST(s.n <= 200);
    for (size_t i = 0; i < s.n; i++)
        MUST((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f);
    return buf_putc(out, '\n');
}

static void parse(struct span in, size_t piece, struct buf *out)
{
    struct reply_parser p;
    struct smtp_reply r;
    int rc = 0;
    reply_parser_init(&p);
    while (in.n && rc >= 0) {
        struct span part = span_to(in, piece);
        in = span_from(in, piece);
        while ((rc = reply_parse(&p, &part, &r)) > 0)
            clean_one(&r, out);
    }
    if (rc < 0)
        buf_printf(out, "bad: %s\n", p.why);
    reply_parser_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf whole, bytes;
    buf_init(&whole, 16 << 20);
    buf_init(&bytes, 16 << 20);
    parse(span_of(data, n), n ? n : 1, &whole);
    parse(span_of(data, n), 1, &bytes);
    MUST(span_eq(buf_span(&whole), buf_span(&bytes)));
    buf_free(&whole);
    buf_free(&bytes);
    return 0;
}
