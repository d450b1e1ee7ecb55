#include "smtp/data.h"

#include "smtp/dotstuff.h"

/* What was read but not yet given out, because its meaning depends on the next byte:
 *   BOL  nothing, at the start of a line     TEXT    nothing, inside a line
 *   CR   "\r"                                LF      nothing; a LF of its own comes next
 *   DOT  "." at the start of a line          DOT_CR  ".\r" at the start of a line */
enum { BOL, TEXT, CR, LF, DOT, DOT_CR, END };

void data_scan_init(struct data_scan *d, enum data_policy policy, bool dots)
{
    *d = (struct data_scan){ .state = BOL, .policy = (unsigned char)policy, .dots = dots,
                             .strong = true };
}

static void line_ended(struct data_scan *d, bool strong)
{
    d->state = BOL;
    d->strong = strong;
}

/* One byte with something withheld before it. Returns how much of it is consumed (0 or 1). */
static size_t withheld(struct data_scan *d, char c, struct span *out)
{
    switch (d->state) {
    case CR:
        *out = SPAN("\r\n");
        d->bad |= c != '\n';
        line_ended(d, c == '\n');
        return c == '\n';
    case LF:
        *out = SPAN("\r\n");
        d->bad = true;
        line_ended(d, false);
        return 1;
    case DOT:
        d->state = c == '\r' ? DOT_CR : TEXT;
        /* Dropped when it was put there for transparency. Kept before a LF of its own, where it
         * is the whole line, and before all but a second dot behind a LF of its own. */
        if (c == '\n' || (c != '\r' && c != '.' && !d->strong))
            *out = SPAN(".");
        return c == '\r';
    default: /* DOT_CR */
        if (c == '\n' && d->strong) {
            d->state = END;
            return 1;
        }
        *out = SPAN(".\r\n");
        d->bad |= c != '\n';
        line_ended(d, c == '\n');
        return c == '\n';
    }
}

/* Walks over lines in s as long as nothing has to be left out or put in; returns where that stops,
 * with the state saying why. */
static size_t plain_run(struct data_scan *d, struct span s)
{
    struct dotstuff walk = { .midline = d->state == TEXT, .plain = !d->dots };
    bool bad;
    size_t n = dotstuff_scan(&walk, s, &bad);
    if (walk.cr) { /* of its own, or cut from its LF by the end of s */
        d->state = CR;
        return n - 1;
    }
    if (!walk.midline && n) /* behind the CRLF of a line */
        line_ended(d, true);
    if (n < s.n)
        d->state = bad ? LF : DOT;
    else if (walk.midline)
        d->state = TEXT;
    return n;
}

/* Before c, at the start of a line that goes on: seen at once it needs no step of its own. */
static bool drops_dot(const struct data_scan *d, char c)
{
    return c == '.' || (c != '\r' && c != '\n' && d->strong);
}

int data_scan_next(struct data_scan *d, struct span in, size_t *used_r, struct span *out_r)
{
    *used_r = 0;
    *out_r = SPAN("");
    if (in.n == 0)
        return d->state == END;
    if (d->state == BOL || d->state == TEXT) {
        size_t n = plain_run(d, in);
        *out_r = span_to(in, n);
        *used_r = n + (d->state == DOT || d->state == CR); /* withheld is consumed */
        if (d->state == DOT && *used_r < in.n && drops_dot(d, in.p[*used_r]))
            d->state = TEXT;
    } else if (d->state != END) {
        *used_r = withheld(d, in.p[0], out_r);
    }
    if (d->bad && d->policy == DATA_REJECT)
        *out_r = SPAN("");
    return d->state == END;
}

void data_scan_finish(struct data_scan *d, struct span *out_r)
{
    *out_r = SPAN("");
    if (d->state != CR)
        return;
    d->bad = true;
    line_ended(d, false);
    if (d->policy == DATA_NORMALISE)
        *out_r = SPAN("\r\n");
}
