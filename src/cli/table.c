#include "cli/table.h"

#include "base/must.h"
#include "cli/term.h"

#include <stdlib.h>

enum { TEXT_MAX = 64 << 20, GAP = 2, LAST_LEAST = 10 };

struct cell {
    size_t at, n; /* in text */
    uint64_t bar, of; /* of: 0: it is no bar */
    enum table_colour colour;
};

struct cli_table {
    const struct table_column *columns;
    size_t n;
    unsigned width;
    bool colour, titled;
    unsigned needs[TABLE_COLUMNS_MAX];  /* of all that was put and is held */
    unsigned widths[TABLE_COLUMNS_MAX]; /* of what is put now */
    bool out[TABLE_COLUMNS_MAX];        /* left out */
    size_t last;                        /* that is not */
    struct buf text;
    struct cell *cells; /* rows * n, then the row at hand */
    size_t rows, rows_cap, at; /* at: next cell of the row at hand */
};

struct cli_table *cli_table_new(const struct table_column *columns, size_t n, unsigned width,
                                bool colour)
{
    struct cli_table *t = NEW(struct cli_table);
    MUST(n > 0 && n <= TABLE_COLUMNS_MAX);
    t->columns = columns;
    t->n = n;
    t->width = width;
    t->colour = colour;
    buf_init(&t->text, TEXT_MAX);
    for (size_t i = 0; i < n; i++)
        t->needs[i] = term_columns(span_str(columns[i].title));
    return t;
}

void cli_table_free(struct cli_table **t)
{
    if (!*t)
        return;
    buf_free(&(*t)->text);
    free((*t)->cells);
    free(*t);
    *t = NULL;
}

static struct span cell_span(const struct cli_table *t, const struct cell *c)
{
    return span_from(span_to(buf_span(&t->text), c->at + c->n), c->at);
}

static struct cell *next_cell(struct cli_table *t, enum table_colour colour)
{
    MUST(t->at < t->n);
    if (t->rows == t->rows_cap) {
        t->rows_cap = t->rows_cap ? t->rows_cap * 2 : 64;
        size_t cells = must_mul(t->rows_cap, t->n);
        t->cells = must_realloc(t->cells, must_mul(cells, sizeof *t->cells));
    }
    struct cell *c = &t->cells[t->rows * t->n + t->at];
    *c = (struct cell){ .at = t->text.len, .colour = colour };
    return c;
}

static void take_cell(struct cli_table *t, unsigned wide)
{
    unsigned most = t->columns[t->at].most;
    if (most && wide > most)
        wide = most;
    if (wide > t->needs[t->at])
        t->needs[t->at] = wide;
    t->at++;
}

void cli_table_cell_colour(struct cli_table *t, struct span text, enum table_colour colour)
{
    struct cell *c = next_cell(t, colour);
    term_put_text(&t->text, text);
    c->n = t->text.len - c->at;
    take_cell(t, term_columns(cell_span(t, c)));
}

void cli_table_cell_bar(struct cli_table *t, uint64_t n, uint64_t most, enum table_colour colour)
{
    struct cell *c = next_cell(t, colour);
    c->bar = n < most ? n : most;
    c->of = most;
    take_cell(t, t->columns[t->at].most);
}

void cli_table_cell(struct cli_table *t, struct span text)
{
    cli_table_cell_colour(t, text, TABLE_PLAIN);
}

void cli_table_end_row(struct cli_table *t)
{
    while (t->at < t->n)
        cli_table_cell(t, SPAN_NONE);
    t->at = 0;
    t->rows++;
}

size_t cli_table_held(const struct cli_table *t) { return t->rows; }

/* --- out --- */

static void blanks(struct buf *out, unsigned n)
{
    while (n--)
        buf_putc(out, ' ');
}

/* What column i keeps of its need. */
static unsigned least_of(const struct cli_table *t, size_t i)
{
    unsigned least = t->columns[i].least;
    if (!least && i + 1 == t->n)
        least = LAST_LEAST;
    return least && least < t->needs[i] ? least : t->needs[i];
}

/* The columns with what they keep, and the gaps. */
static unsigned least_width(const struct cli_table *t)
{
    unsigned sum = 0;
    for (size_t i = 0; i < t->n; i++)
        sum += t->out[i] ? 0 : least_of(t, i) + (sum ? GAP : 0);
    return sum;
}

/* The next one of those that may be. False: there is none. */
static bool leave_out(struct cli_table *t)
{
    size_t first = t->n;
    for (size_t i = 0; i < t->n; i++)
        if (t->columns[i].spare && !t->out[i] &&
            (first == t->n || t->columns[i].spare < t->columns[first].spare))
            first = i;
    if (first < t->n)
        t->out[first] = true;
    return first < t->n;
}

static unsigned weight_of(const struct cli_table *t, size_t i)
{
    if (t->out[i] || t->widths[i] >= t->needs[i])
        return 0;
    return t->columns[i].weight ? t->columns[i].weight : 1;
}

/* What is left goes to those that need it by their weights; what one does not need, to the others;
 * what does not divide, to the last. */
static void share_out(struct cli_table *t, unsigned left)
{
    for (unsigned given = 1; left && given;) {
        unsigned weights = 0, of = left;
        size_t last = t->n;
        for (size_t i = 0; i < t->n; i++) {
            weights += weight_of(t, i);
            last = weight_of(t, i) ? i : last;
        }
        given = 0;
        for (size_t i = 0; i < t->n; i++) {
            unsigned weight = weight_of(t, i), more = weight ? of * weight / weights : 0;
            if (i == last && more == 0)
                more = 1;
            if (more > t->needs[i] - t->widths[i])
                more = t->needs[i] - t->widths[i];
            if (more > left)
                more = left;
            t->widths[i] += more;
            left -= more;
            given += more;
        }
    }
}

static void lay_out(struct cli_table *t)
{
    /* Titles that are put say which columns there are. */
    while (!t->titled && t->width && least_width(t) > t->width && leave_out(t))
        ;
    unsigned least = least_width(t);
    for (size_t i = 0; i < t->n; i++) {
        t->widths[i] = t->width ? least_of(t, i) : t->needs[i];
        t->last = t->out[i] ? t->last : i;
    }
    if (t->width > least)
        share_out(t, t->width - least);
}

static void put_bar(struct buf *out, const struct cell *c, unsigned room)
{
    uint64_t n = (uint64_t)((__uint128_t)c->bar * room / c->of);
    for (n = n || !c->bar ? n : 1; n; n--)
        buf_putc(out, '#');
}

static const char ellipsis[] = "\xe2\x80\xa6";

/* As much of the local part as there is room for; of a domain that is too long, its end. */
static void put_address(struct buf *out, struct span s, size_t at, unsigned room)
{
    struct span domain = span_from(s, at);
    unsigned wide = term_columns(domain), left = room ? room - 1 : 0, off = 0;
    if (wide <= left)
        buf_puts(out, term_cut(s, left - wide));
    else
        off = wide - left;
    struct span end = span_from(domain, term_cut(domain, off).n);
    if (term_columns(end) > left) /* off is in the middle of a wide character */
        end = span_from(domain, term_cut(domain, off + 1).n);
    buf_putz(out, ellipsis);
    buf_puts(out, end);
}

static void put_text(struct buf *out, struct span s, unsigned room, bool address)
{
    size_t at = address ? span_rfind(s, '@') : s.n;
    if (term_columns(s) <= room) {
        buf_puts(out, s);
    } else if (at < s.n) {
        put_address(out, s, at, room);
    } else {
        buf_puts(out, term_cut(s, room ? room - 1 : 0));
        buf_putz(out, ellipsis);
    }
}

static void put_cell(const struct cli_table *t, struct buf *out, size_t i, const struct cell *c,
                     bool last)
{
    static const char *const codes[] = { "", "31", "32", "33", "35" };
    struct span s = c ? cell_span(t, c) : span_str(t->columns[i].title);
    unsigned room = t->widths[i], wide = term_columns(s);
    bool bar = c && c->of;
    bool coloured = c && t->colour && c->colour != TABLE_PLAIN && (s.n || bar);
    if (t->columns[i].right)
        blanks(out, room > wide ? room - wide : 0);
    if (coloured)
        buf_printf(out, "\033[%sm", codes[c->colour]);
    size_t at = out->len;
    if (bar)
        put_bar(out, c, room);
    else
        put_text(out, s, t->width ? room : wide, t->columns[i].address && c);
    unsigned shown = bar ? wide : term_columns(span_from(buf_span(out), at));
    if (coloured)
        buf_putz(out, "\033[0m");
    if (last)
        return;
    if (!t->columns[i].right)
        blanks(out, room > shown ? room - shown : 0);
    blanks(out, GAP);
}

/* Cells at the end that are empty leave no blanks behind. */
static size_t last_used(const struct cli_table *t, const struct cell *row)
{
    size_t n = t->last;
    while (n > 0 && (t->out[n] || (row[n].n == 0 && row[n].bar == 0)))
        n--;
    return n;
}

static void put_line(const struct cli_table *t, struct buf *out, const struct cell *row,
                     size_t last)
{
    for (size_t i = 0; i <= last; i++)
        if (!t->out[i])
            put_cell(t, out, i, row ? &row[i] : NULL, i == last);
}

static void put_titles(const struct cli_table *t, struct buf *out)
{
    size_t last = t->last;
    while (last > 0 && (t->out[last] || !t->columns[last].title[0]))
        last--;
    if (t->colour)
        buf_putz(out, "\033[1m");
    put_line(t, out, NULL, last);
    buf_putz(out, t->colour ? "\033[0m\n" : "\n");
}

void cli_table_put(struct cli_table *t, struct buf *out)
{
    lay_out(t);
    if (t->rows && !t->titled) {
        put_titles(t, out);
        t->titled = true;
    }
    for (size_t r = 0; r < t->rows; r++) {
        const struct cell *row = &t->cells[r * t->n];
        put_line(t, out, row, last_used(t, row));
        buf_putc(out, '\n');
    }
    t->rows = 0;
    buf_reset(&t->text);
}
