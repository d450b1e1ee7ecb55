#include "dsn/parts.h"

/* One header line: no NUL, no bare CR, and folded where it is too long. */
static void put_line(struct buf *out, struct span line)
{
    size_t column = 0;
    for (size_t i = 0; i < line.n; i++) {
        if (column == DSN_LINE_MAX) {
            buf_puts(out, SPAN("\r\n "));
            column = 1;
        }
        char c = line.p[i];
        buf_putc(out, c == '\0' || c == '\r' ? '?' : c);
        column++;
    }
    buf_puts(out, SPAN("\r\n"));
}

void dsn_put_header(struct buf *out, struct span header)
{
    bool cut = header.n > DSN_HEADER_MAX;
    struct span rest = span_to(header, DSN_HEADER_MAX), line;
    while (dsn_line(&rest, &line) && line.n > 0) {
        if (cut && rest.n == 0)
            break; /* the last one is not whole */
        put_line(out, line);
    }
}

bool dsn_content_fits(struct span content)
{
    size_t column = 0;
    for (size_t i = 0; i < content.n; i++) {
        char c = content.p[i];
        if (c == '\r' && i + 1 < content.n && content.p[i + 1] == '\n') {
            i++;
            column = 0;
        } else if (c == '\0' || c == '\r' || c == '\n' || ++column > DSN_LINE_MAX) {
            return false;
        }
    }
    return content.n > 0;
}
