#include "cli/queue_groups.h"

#include "base/must.h"
#include "base/num.h"
#include "cli/ctl.h"
#include "cli/term.h"

#include <stdlib.h>

enum { LONG_AGE = 4, BAR_COLUMNS = 24, BAR_COLUMNS_MAX = 100, NARROW = 72, SHAPE_ROWS_MAX = 10000,
       NAME_COLUMNS = 44, NAME_LEAST = 12, REASON_COLUMNS = 100, REASON_LEAST = 36 };

static const struct table_column columns[] = {
    { .title = "", .most = NAME_COLUMNS, .least = NAME_LEAST, .weight = 1 },
    { .title = "WAITING", .right = true },
    { .title = "SIZE", .right = true, .spare = 3 },
    { .title = "OLDEST", .right = true },
    { .title = "SINCE", .right = true, .spare = 1 },
    { .title = "ID", .spare = 5 },
    { .title = "NEWEST", .right = true, .spare = 2 },
    { .title = "NEXT", .right = true, .spare = 4 },
    { .title = "LAST REASON OF THE OLDEST", .most = 200, .least = 16, .weight = 3 },
};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* Columns of ages: the gateway's ages from..to. */
struct ages {
    const char *title;
    size_t from, to;
};
static const struct ages wide_ages[] = {
    { "<5m", 0, 0 }, { "<15m", 1, 1 }, { "<1h", 2, 2 }, { "<4h", 3, 3 },
    { "<1d", 4, 4 }, { "<3d", 5, 5 },  { ">3d", 6, 6 },
};
static const struct ages narrow_ages[] = { { "<1h", 0, 2 }, { "<1d", 3, 4 }, { ">1d", 5, 6 } };

struct queue_groups {
    bool shape, by_reason; /* by_reason: its name says it */
    struct cli_table *table;
    struct table_column titles[TABLE_COLUMNS_MAX]; /* the first one says by what */
    const struct ages *ages;                       /* of a shape */
    size_t n_ages;
    unsigned width;
    bool colour;
    int64_t now_ms;
    json_t *rows, *total;
};

struct queue_groups *queue_groups_new(bool shape, unsigned width, bool colour, int64_t now_ms)
{
    struct queue_groups *g = NEW(struct queue_groups);
    *g = (struct queue_groups){ .shape = shape, .width = width, .colour = colour,
                                .now_ms = now_ms, .rows = json_array() };
    return g;
}

void queue_groups_free(struct queue_groups **gp)
{
    struct queue_groups *g = *gp;
    if (!g)
        return;
    cli_table_free(&g->table);
    json_decref(g->rows);
    json_decref(g->total);
    free(g);
    *gp = NULL;
}

void queue_groups_row(struct queue_groups *g, json_t *row)
{
    if (json_object_get(row, "groups")) {
        json_decref(g->total);
        g->total = json_incref(row);
    } else if (json_is_object(row) && json_array_size(g->rows) < SHAPE_ROWS_MAX) {
        json_array_append(g->rows, row);
    }
}

/* Recipients where they are known; of a sender, messages. */
static int64_t waiting_of(const json_t *row)
{
    return row_int(row, json_object_get(row, "recipients") ? "recipients" : "messages");
}

static void cell(struct queue_groups *g, struct buf *b, enum table_colour colour)
{
    cli_table_cell_colour(g->table, buf_span(b), colour);
    buf_reset(b);
}

/* What is held, released or frozen: the oldest's last word before that belongs to it. */
static void cell_reason(struct queue_groups *g, struct span reason, const char *between,
                        const json_t *row)
{
    struct span before = row_text(row, "before");
    struct buf b;
    buf_init(&b, 4096);
    buf_puts(&b, reason);
    if (before.n)
        buf_printf(&b, "%s%.*s", between, SPAN_ARG(before));
    cell(g, &b, TABLE_PLAIN);
    buf_free(&b);
}

static void cell_name(struct queue_groups *g, const json_t *row)
{
    struct span by = row_text(g->total, "by");
    const char *member = json_string_value(json_object_get(g->total, "by"));
    struct span name = row_text(row, member ? member : "domain");
    if (name.n && g->by_reason)
        cell_reason(g, name, "; before that, of the oldest: ", row);
    else if (name.n)
        cli_table_cell(g->table, name);
    else if (span_eq(by, SPAN("sender")) || span_eq(by, SPAN("sender-domain")))
        cli_table_cell(g->table, SPAN("<>"));
    else if (span_eq(by, SPAN("reason")))
        cli_table_cell(g->table, SPAN("(not tried yet)"));
    else if (span_eq(by, SPAN("site")))
        cli_table_cell(g->table, SPAN("(not routed yet)"));
    else
        cli_table_cell(g->table, span_eq(by, SPAN("client")) ? SPAN("(this host)")
                                                             : SPAN("(none)"));
}

static void group_row(struct queue_groups *g, const json_t *row)
{
    struct buf b;
    int64_t next = row_int(row, "next_try_ms");
    buf_init(&b, 256);
    cell_name(g, row);
    term_put_count(&b, (uint64_t)waiting_of(row));
    cell(g, &b, TABLE_PLAIN);
    num_put_size(&b, (uint64_t)row_int(row, "bytes"));
    cell(g, &b, TABLE_PLAIN);
    term_put_age(&b, g->now_ms - row_int(row, "oldest_ms"));
    cell(g, &b, TABLE_YELLOW);
    term_put_moment(&b, row_int(row, "oldest_ms"), g->now_ms);
    cell(g, &b, TABLE_PLAIN);
    cli_table_cell(g->table, row_text(row, "oldest_id"));
    term_put_age(&b, g->now_ms - row_int(row, "newest_ms"));
    cell(g, &b, TABLE_PLAIN);
    if (next > g->now_ms)
        term_put_age(&b, next - g->now_ms);
    else if (next)
        buf_putz(&b, "now");
    cell(g, &b, TABLE_PLAIN);
    if (!g->by_reason)
        cell_reason(g, row_text(row, "reason"), "; before that: ", row);
    cli_table_end_row(g->table);
    buf_free(&b);
}

static json_int_t waiting_between(const json_t *row, const struct ages *a)
{
    json_int_t n = 0;
    for (size_t i = a->from; i <= a->to; i++)
        n += json_integer_value(json_array_get(json_object_get(row, "ages"), i));
    return n;
}

static void shape_row(struct queue_groups *g, const json_t *row, int64_t most)
{
    struct buf b;
    int64_t waiting = waiting_of(row);
    buf_init(&b, 256);
    cell_name(g, row);
    for (size_t i = 0; i < g->n_ages; i++) {
        json_int_t n = waiting_between(row, &g->ages[i]);
        if (n > 0)
            term_put_count(&b, (uint64_t)n);
        else
            buf_putc(&b, '.');
        cell(g, &b, n > 0 && g->ages[i].to >= LONG_AGE ? TABLE_YELLOW : TABLE_PLAIN);
    }
    term_put_count(&b, waiting > 0 ? (uint64_t)waiting : 0);
    cell(g, &b, TABLE_PLAIN);
    cli_table_cell_bar(g->table, waiting > 0 ? (uint64_t)waiting : 0, (uint64_t)most, TABLE_GREEN);
    cli_table_end_row(g->table);
    buf_free(&b);
}

static const char *title_of(const struct queue_groups *g)
{
    static const char *const names[][2] = {
        { "domain", "DOMAIN" },   { "site", "SITE" },
        { "reason", "REASON" },   { "state", "STATE" },
        { "sender", "SENDER" },   { "sender-domain", "SENDER'S DOMAIN" },
        { "listener", "LISTENER" }, { "client", "CLIENT" },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_eq(row_text(g->total, "by"), span_str(names[i][0])))
            return names[i][1];
    return "GROUP";
}

/* Where there is little room, fewer ages, of which each is longer. */
static size_t shape_titles(struct queue_groups *g)
{
    bool narrow = g->width && g->width < NARROW;
    size_t n = 0;
    g->ages = narrow ? narrow_ages : wide_ages;
    g->n_ages = narrow ? sizeof narrow_ages / sizeof *narrow_ages
                       : sizeof wide_ages / sizeof *wide_ages;
    g->titles[n++] = (struct table_column){ .most = NAME_COLUMNS, .least = NAME_LEAST,
                                            .weight = 3 };
    for (size_t i = 0; i < g->n_ages; i++)
        g->titles[n++] = (struct table_column){ .title = g->ages[i].title, .right = true };
    g->titles[n++] = (struct table_column){ .title = narrow ? "ALL" : "WAITING", .right = true };
    g->titles[n++] = (struct table_column){ .title = "", .least = 4, .weight = 1, .spare = 1,
                                            .most = g->width ? BAR_COLUMNS_MAX : BAR_COLUMNS };
    return n;
}

static size_t titles(struct queue_groups *g)
{
    size_t n = COLUMNS;
    if (g->shape)
        n = shape_titles(g);
    else
        memcpy(g->titles, columns, sizeof columns);
    g->titles[0].title = title_of(g);
    g->by_reason = span_eq(row_text(g->total, "by"), SPAN("reason"));
    if (g->by_reason) {
        g->titles[0].most = REASON_COLUMNS;
        g->titles[0].least = g->shape ? NAME_LEAST : REASON_LEAST;
    }
    return n - (g->by_reason && !g->shape);
}

static void put_total(const struct queue_groups *g, struct buf *out)
{
    int64_t groups = row_int(g->total, "groups"), shown = row_int(g->total, "shown");
    if (json_is_true(json_object_get(g->total, "messages_at_most")))
        buf_putz(out, "at most ");
    term_put_counted(out, (uint64_t)row_int(g->total, "messages"), "message");
    buf_putz(out, ", ");
    num_put_size(out, (uint64_t)row_int(g->total, "bytes"));
    buf_putz(out, ", ");
    term_put_counted(out, (uint64_t)groups, "group");
    if (groups > shown) {
        buf_putz(out, ", ");
        term_put_count(out, (uint64_t)(groups - shown));
        buf_putz(out, " not shown (--limit N)");
    }
    buf_putc(out, '\n');
}

bool queue_groups_none(const struct queue_groups *g)
{
    return json_array_size(g->rows) == 0 && row_int(g->total, "groups") <= 0;
}

void queue_groups_end(struct queue_groups *g, struct buf *out)
{
    size_t n = json_array_size(g->rows);
    int64_t most = 0;
    size_t n_columns = titles(g);
    g->table = cli_table_new(g->titles, n_columns, g->width, g->colour);
    for (size_t i = 0; i < n; i++) {
        int64_t waiting = waiting_of(json_array_get(g->rows, i));
        most = waiting > most ? waiting : most;
    }
    for (size_t i = 0; i < n; i++) {
        if (g->shape)
            shape_row(g, json_array_get(g->rows, i), most);
        else
            group_row(g, json_array_get(g->rows, i));
        if (cli_table_held(g->table) >= TABLE_HELD_MAX)
            cli_table_put(g->table, out);
    }
    cli_table_put(g->table, out);
    put_total(g, out);
}
