#include "smtp/reply.h"

#include "base/must.h"
#include "mail/untrusted.h"

#include <stdio.h>

static void put_line(struct buf *b, const struct reply *r, struct span text, bool last, bool utf8)
{
    enum { CRLF = 2 };
    MUST(r->code >= 200 && r->code <= 599 && strlen(r->enhanced) < sizeof r->enhanced);
    size_t before = b->len;
    buf_putu(b, r->code);
    buf_putc(b, last ? ' ' : '-');
    if (r->enhanced[0]) {
        buf_putz(b, r->enhanced);
        buf_putc(b, ' ');
    }
    untrusted_put(b, text, utf8 ? UNTRUSTED_UTF8 : UNTRUSTED_ASCII,
                  REPLY_LINE_MAX - CRLF - (b->len - before));
    MUST(buf_putz(b, "\r\n"));
}

void reply_put(struct buf *b, const struct reply *r, bool utf8)
{
    struct span rest = r->text;
    bool last;
    int lines = 0;
    do {
        size_t n = span_find(rest, '\n');
        last = n == rest.n || ++lines == REPLY_LINES_MAX;
        put_line(b, r, span_to(rest, n), last, utf8);
        rest = span_from(rest, n + 1);
    } while (!last);
}

void reply_vprintf(struct buf *b, unsigned code, const char *enhanced, const char *fmt, va_list ap)
{
    char text[1024]; /* more than a line holds: what vsnprintf cuts would be cut anyway */
    struct reply r = { .code = (unsigned short)code };
    MUST(strlen(enhanced) < sizeof r.enhanced);
    memcpy(r.enhanced, enhanced, strlen(enhanced));
    int n = vsnprintf(text, sizeof text, fmt, ap);
    MUST(n >= 0);
    put_line(b, &r, span_of(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1), true, false);
}

void reply_printf(struct buf *b, unsigned code, const char *enhanced, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    reply_vprintf(b, code, enhanced, fmt, ap);
    va_end(ap);
}
