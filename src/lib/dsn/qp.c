/* qp: quoted-printable (RFC 2045 6.7), so that a report passes everywhere. */
#include "dsn/parts.h"

enum { QP_LINE_MAX = 76 };

static bool is_plain(struct span line, size_t i)
{
    unsigned char c = (unsigned char)line.p[i];
    if (c == ' ' || c == '\t')
        return i + 1 < line.n;
    return c > 32 && c < 127 && c != '=';
}

static size_t width(struct span line, size_t from, size_t to)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        n += is_plain(line, i) ? 1 : 3;
    return n;
}

/* A soft break in front of a blank, where there is one: whoever reads header fields without
 * decoding them takes that for a folded line. */
static void put_line(struct buf *out, struct span line)
{
    size_t column = 0;
    for (size_t at = 0, end; at < line.n; at = end) {
        for (end = at + 1; end < line.n && line.p[end] != ' ';)
            end++;
        bool breaks = column && column + width(line, at, end) >= QP_LINE_MAX;
        for (size_t i = at; i < end; i++) {
            size_t n = is_plain(line, i) ? 1 : 3;
            if (breaks || column + n >= QP_LINE_MAX) {
                buf_puts(out, SPAN("=\r\n"));
                column = 0;
                breaks = false;
            }
            if (n == 1)
                buf_putc(out, line.p[i]);
            else
                buf_printf(out, "=%02X", (unsigned char)line.p[i]);
            column += n;
        }
    }
}

void dsn_put_qp(struct buf *out, struct span text)
{
    struct span line;
    while (dsn_line(&text, &line)) {
        put_line(out, line);
        buf_puts(out, SPAN("\r\n"));
    }
}
