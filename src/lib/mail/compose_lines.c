/* Lines as programs write them become lines as SMTP has them. The start of a line is held back as
 * long as it may still be "." or "From ". */
#include "mail/compose.h"

static const char from_mark[] = "From ";
enum { FROM_MARK = sizeof from_mark - 1 };

void compose_lines_init(struct compose_lines *l, bool dot_counts)
{
    *l = (struct compose_lines){ .dot_counts = dot_counts };
}

static bool may_be_special(const struct compose_lines *l)
{
    bool dot = l->dot_counts && l->held_len == 1 && l->held[0] == '.';
    bool from = !l->begun && l->held_len < FROM_MARK &&
                memcmp(l->held, from_mark, l->held_len) == 0;
    return dot || from;
}

static void release(struct compose_lines *l, struct buf *out)
{
    buf_put(out, l->held, l->held_len);
    l->held_len = 0;
    l->begun = true;
}

static void end_line(struct compose_lines *l, struct buf *out)
{
    if (l->dot_counts && l->held_len == 1 && l->held[0] == '.') {
        l->held_len = 0;
        l->done = true;
    } else if (l->dropping) {
        l->dropping = false;
        l->begun = true;
    } else {
        release(l, out);
        buf_put(out, "\r\n", 2);
    }
    l->midline = false;
}

static void put_char(struct compose_lines *l, struct buf *out, char c)
{
    bool at_start = !l->midline || l->held_len;
    l->midline = true;
    l->eight_bit = l->eight_bit || (unsigned char)c > 127;
    if (l->dropping)
        return;
    if (!at_start) {
        buf_putc(out, c);
        return;
    }
    l->held[l->held_len++] = c;
    if (!l->begun && l->held_len == FROM_MARK && memcmp(l->held, from_mark, FROM_MARK) == 0) {
        l->held_len = 0;
        l->dropping = true;
    } else if (!may_be_special(l)) {
        release(l, out);
    }
}

/* How much of `in` is ordinary text within a line: copied as one piece. */
static size_t plain_run(struct compose_lines *l, struct span in)
{
    if (!l->midline || l->held_len || l->cr || l->dropping)
        return 0;
    size_t n = 0;
    unsigned char bits = 0;
    while (n < in.n && in.p[n] != '\n' && in.p[n] != '\r')
        bits |= (unsigned char)in.p[n++];
    l->eight_bit = l->eight_bit || bits > 127;
    return n;
}

bool compose_lines_put(struct compose_lines *l, struct span in, struct buf *out)
{
    for (size_t i = 0; i < in.n && !l->done; i++) {
        size_t run = plain_run(l, span_from(in, i));
        buf_put(out, in.p + i, run);
        i += run;
        if (i == in.n)
            break;
        char c = in.p[i];
        if (c == '\r') {
            l->cr = true;
            continue;
        }
        if (l->cr && c != '\n')
            end_line(l, out);
        l->cr = false;
        if (l->done)
            break;
        if (c == '\n')
            end_line(l, out);
        else
            put_char(l, out, c);
    }
    return !out->failed;
}

bool compose_lines_end(struct compose_lines *l, struct buf *out)
{
    if (!l->done && (l->midline || l->cr))
        end_line(l, out);
    l->done = true;
    return !out->failed;
}
