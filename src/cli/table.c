#include "cli/table.h"

#include "base/must.h"
#include "cli/term.h"

#include <stdlib.h>

enum { TEXT_MAX = 64 << 20, GAP = 2, LAST_LEAST = 10 };

struct cell {
    size_t at, n; /* in text */
    enum table_colour colour;
};

struct cli_table {
    const struct table_column *columns;
    size_t n;
    unsigned width;
    bool colour, titled;
    unsigned widths[TABLE_COLUMNS_MAX];
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
        t->widths[i] = term_columns(span_str(columns[i].title));
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

void cli_table_cell_colour(struct cli_table *t, struct span text, enum table_colour colour)
{
    MUST(t->at < t->n);
    if (t->rows == t->rows_cap) {
        t->rows_cap = t->rows_cap ? t->rows_cap * 2 : 64;
        size_t cells = must_mul(t->rows_cap, t->n);
        t->cells = must_realloc(t->cells, must_mul(cells, sizeof *t->cells));
    }
    struct cell *c = &t->cells[t->rows * t->n + t->at];
    *c = (struct cell){ .at = t->text.len, .colour = colour };
    term_put_text(&t->text, text);
    c->n = t->text.len - c->at;
    unsigned wide = term_columns(cell_span(t, c)), most = t->columns[t->at].most;
    if (most && wide > most)
        wide = most;
    if (wide > t->widths[t->at])
        t->widths[t->at] = wide;
    t->at++;
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

/* What column i may take in a line. */
static unsigned room_of(const struct cli_table *t, size_t i)
{
    unsigned before = 0;
    if (i + 1 < t->n || !t->width)
        return i + 1 < t->n ? t->widths[i] : 0;
    for (size_t k = 0; k < i; k++)
        before += t->widths[k] + GAP;
    return t->width > before + LAST_LEAST ? t->width - before : LAST_LEAST;
}

static void put_cell(const struct cli_table *t, struct buf *out, size_t i, struct span s,
                     enum table_colour colour, bool last)
{
    static const char *const codes[] = { "", "31", "32", "33", "35" };
    unsigned room = room_of(t, i), wide = term_columns(s);
    bool cut = room && wide > room;
    if (cut) {
        s = term_cut(s, room - 1);
        wide = room;
    }
    if (t->columns[i].right)
        blanks(out, t->widths[i] > wide ? t->widths[i] - wide : 0);
    if (t->colour && colour != TABLE_PLAIN)
        buf_printf(out, "\033[%sm", codes[colour]);
    buf_puts(out, s);
    if (cut)
        buf_putz(out, "\xe2\x80\xa6");
    if (t->colour && colour != TABLE_PLAIN)
        buf_putz(out, "\033[0m");
    if (last)
        return;
    if (!t->columns[i].right)
        blanks(out, t->widths[i] > wide ? t->widths[i] - wide : 0);
    blanks(out, GAP);
}

/* Cells at the end that are empty leave no blanks behind. */
static size_t used(const struct cell *row, size_t n)
{
    while (n > 1 && row[n - 1].n == 0)
        n--;
    return n;
}

static void put_titles(const struct cli_table *t, struct buf *out)
{
    if (t->colour)
        buf_putz(out, "\033[1m");
    for (size_t i = 0; i < t->n; i++)
        put_cell(t, out, i, span_str(t->columns[i].title), TABLE_PLAIN, i + 1 == t->n);
    buf_putz(out, t->colour ? "\033[0m\n" : "\n");
}

void cli_table_put(struct cli_table *t, struct buf *out)
{
    if (t->rows && !t->titled) {
        put_titles(t, out);
        t->titled = true;
    }
    for (size_t r = 0; r < t->rows; r++) {
        const struct cell *row = &t->cells[r * t->n];
        size_t n = used(row, t->n);
        for (size_t i = 0; i < n; i++)
            put_cell(t, out, i, cell_span(t, &row[i]), row[i].colour, i + 1 == n);
        buf_putc(out, '\n');
    }
    t->rows = 0;
    buf_reset(&t->text);
}
