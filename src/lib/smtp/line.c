#include "smtp/line.h"

int line_take(struct buf *part, struct span in, size_t *used_r, struct span *line_r)
{
    size_t n = span_find(in, '\n');
    struct span line = span_to(in, n);
    *used_r = 0;
    if (n > buf_room(part))
        return -1;
    *used_r = n < in.n ? n + 1 : n;
    if (part->len > 0 || n == in.n) {
        buf_puts(part, line);
        line = buf_span(part);
    }
    if (n == in.n)
        return 0;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    *line_r = line;
    return 1;
}
