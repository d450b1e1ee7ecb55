#include "cli/queue_show.h"

#include "base/must.h"
#include "base/num.h"
#include "cli/ctl.h"
#include "cli/queue_groups.h"
#include "cli/term.h"
#include "queue/filter.h"

#include <jansson.h>
#include <stdlib.h>

enum { ROW_MAX_BYTES = 8 << 20, ADDRESS_COLUMNS = 40, REASON_COLUMNS = 200 };

/* The why is what is asked for: on a narrow terminal the others are cut first. */
static const struct table_column list_columns[] = {
    { .title = "ID" },
    { .title = "AGE", .right = true, .spare = 5 },
    { .title = "SINCE", .right = true, .spare = 1 },
    { .title = "SIZE", .right = true, .spare = 2 },
    { .title = "STATE", .spare = 6 },
    { .title = "SENDER", .most = ADDRESS_COLUMNS, .least = 12, .weight = 2,
      .address = true, .spare = 3 },
    { .title = "RECIPIENT", .most = ADDRESS_COLUMNS, .least = 20, .weight = 4, .address = true },
    { .title = "NEXT", .right = true, .spare = 4 },
    { .title = "REASON", .most = REASON_COLUMNS, .least = 16, .weight = 12 },
};
static const struct table_column site_columns[] = {
    { .title = "KIND", .spare = 2 },
    { .title = "NAME", .most = 60, .least = 14, .weight = 1 },
    { .title = "WAITING", .right = true },
    { .title = "DEFERRED", .right = true, .spare = 4 },
    { .title = "ACTIVE", .right = true, .spare = 3 },
    { .title = "LIMIT", .right = true, .spare = 1 },
    { .title = "TRIED IN", .right = true, .spare = 5 },
    { .title = "WHY", .most = REASON_COLUMNS, .least = 20, .weight = 3 },
};

struct queue_show {
    enum queue_what what;
    struct cli_table *table;
    struct queue_groups *groups;
    int64_t now_ms;
    uint64_t messages, recipients, bytes, not_shown, states[QUEUE_STATES];
    struct queue_totals totals;
    bool any;
};

struct queue_show *queue_show_new(enum queue_what what, unsigned width, bool colour,
                                  int64_t now_ms)
{
    struct queue_show *s = NEW(struct queue_show);
    s->what = what;
    s->now_ms = now_ms;
    if (what == QUEUE_LIST)
        s->table = cli_table_new(list_columns, sizeof list_columns / sizeof *list_columns, width,
                             colour);
    else if (what == QUEUE_GROUPS || what == QUEUE_SHAPE)
        s->groups = queue_groups_new(what == QUEUE_SHAPE, width, colour, now_ms);
    else if (what == QUEUE_SITES)
        s->table = cli_table_new(site_columns, sizeof site_columns / sizeof *site_columns, width,
                             colour);
    return s;
}

void queue_show_free(struct queue_show **s)
{
    if (!*s)
        return;
    cli_table_free(&(*s)->table);
    queue_groups_free(&(*s)->groups);
    free(*s);
    *s = NULL;
}

static void cell_age(struct cli_table *t, int64_t ms)
{
    struct buf b;
    buf_init(&b, 64);
    term_put_age(&b, ms);
    cli_table_cell(t, buf_span(&b));
    buf_free(&b);
}

static void cell_moment(struct queue_show *s, int64_t wall_ms)
{
    struct buf b;
    buf_init(&b, 64);
    term_put_moment(&b, wall_ms, s->now_ms);
    cli_table_cell(s->table, buf_span(&b));
    buf_free(&b);
}

static void cell_size(struct cli_table *t, int64_t bytes)
{
    struct buf b;
    buf_init(&b, 64);
    num_put_size(&b, (uint64_t)bytes);
    cli_table_cell(t, buf_span(&b));
    buf_free(&b);
}

static void cell_number(struct cli_table *t, int64_t n)
{
    struct buf b;
    buf_init(&b, 64);
    term_put_count(&b, (uint64_t)n);
    cli_table_cell(t, buf_span(&b));
    buf_free(&b);
}

/* Addresses as they stand in an envelope: the null sender is "<>". */
static void cell_address(struct cli_table *t, struct span addr)
{
    cli_table_cell(t, addr.n ? addr : SPAN("<>"));
}

/* --- list --- */

static enum table_colour colour_of(struct span state)
{
    if (span_eq(state, SPAN("deferred")))
        return TABLE_YELLOW;
    if (span_eq(state, SPAN("held")) || span_eq(state, SPAN("quarantined")) ||
        span_eq(state, SPAN("frozen")))
        return TABLE_MAGENTA;
    return span_eq(state, SPAN("active")) ? TABLE_GREEN : TABLE_PLAIN;
}

static bool is_final(struct span state)
{
    static const char *const finals[] = { "delivered", "failed", "expired", "discarded",
                                          "deleted" };
    for (size_t i = 0; i < sizeof finals / sizeof *finals; i++)
        if (span_eq(state, span_str(finals[i])))
            return true;
    return false;
}

/* Of many for whom a site with a rate has one slot after the other: between its next one and that
 * of the last of them. */
static void cell_next(struct queue_show *s, const json_t *rcpt)
{
    int64_t at = row_int(rcpt, "next_try_ms"), latest = row_int(rcpt, "latest_try_ms");
    struct buf b;
    buf_init(&b, 64);
    if (at > s->now_ms)
        term_put_age(&b, at - s->now_ms);
    else if (at)
        buf_putz(&b, "now");
    if (latest > at) {
        buf_putc(&b, '-');
        term_put_age(&b, latest - s->now_ms);
    }
    cli_table_cell(s->table, buf_span(&b));
    buf_free(&b);
}

static void cell_reason(struct cli_table *t, const json_t *rcpt)
{
    struct span before = row_text(rcpt, "before");
    struct buf b;
    buf_init(&b, 4096);
    if (span_eq(row_text(rcpt, "then"), SPAN("deleted")))
        buf_putz(&b, "is deleted when this attempt ends");
    buf_putz(&b, b.len && row_text(rcpt, "reason").n ? "; " : "");
    buf_puts(&b, row_text(rcpt, "reason"));
    if (before.n)
        buf_printf(&b, "; before that: %.*s", SPAN_ARG(before));
    cli_table_cell(t, buf_span(&b));
    buf_free(&b);
}

static void list_rcpt(struct queue_show *s, const json_t *m, const json_t *rcpt, bool first)
{
    struct cli_table *t = s->table;
    struct span state = row_text(rcpt, "state");
    if (first) {
        cli_table_cell(t, row_text(m, "id"));
        cell_age(t, row_int(m, "age_ms"));
        cell_moment(s, row_int(m, "received_ms"));
        cell_size(t, row_int(m, "size"));
    } else {
        for (int i = 0; i < 4; i++)
            cli_table_cell(t, SPAN_NONE);
    }
    cli_table_cell_colour(t, state, colour_of(state));
    if (json_object_get(rcpt, "sender")) /* its own: the owner of a list */
        cell_address(t, row_text(rcpt, "sender"));
    else if (first)
        cell_address(t, row_text(m, "sender"));
    else
        cli_table_cell(t, SPAN_NONE);
    cell_address(t, row_text(rcpt, "to"));
    cell_next(s, rcpt);
    cell_reason(t, rcpt);
    cli_table_end_row(t);
    s->recipients++;
    enum queue_state is;
    if (queue_state_of(state, &is))
        s->states[is]++;
}

static void list_row(struct queue_show *s, const json_t *m)
{
    const json_t *rcpts = json_object_get(m, "recipients");
    bool first = row_int(m, "part") == 0;
    s->messages += first;
    s->bytes += first ? (uint64_t)row_int(m, "size") : 0;
    for (size_t i = 0; i < json_array_size(rcpts); i++) {
        const json_t *r = json_array_get(rcpts, i);
        if (is_final(row_text(r, "state")))
            continue;
        list_rcpt(s, m, r, first);
        first = false;
    }
}

static void put_nothing(const struct queue_show *s, struct buf *out)
{
    if (!s->totals.known) {
        buf_putz(out, "nothing in the queue is meant by that\n");
    } else if (s->totals.all) {
        buf_putz(out, "nothing in the queue is meant by that (");
        term_put_counted(out, s->totals.all, "message");
        buf_printf(out, " wait%s)\n", s->totals.all == 1 ? "s" : "");
    } else {
        buf_putz(out, "the queue is empty\n");
    }
    term_put_unsited(out, s->totals.unsited);
}

static void list_end(const struct queue_show *s, struct buf *out)
{
    bool more = s->totals.meant > s->messages;
    if (!s->messages && !more) {
        put_nothing(s, out);
        return;
    }
    if (more) {
        term_put_count(out, s->messages);
        buf_printf(out, " of %s", s->totals.meant_at_most ? "at most " : "");
        term_put_counted(out, s->totals.meant, "message");
        buf_putz(out, " shown (--limit)");
        if (!s->messages) {
            buf_putc(out, '\n');
            return;
        }
    } else {
        term_put_counted(out, s->messages, "message");
    }
    buf_putz(out, ", ");
    num_put_size(out, s->bytes);
    buf_putz(out, ", ");
    term_put_counted(out, s->recipients, "recipient");
    for (int i = 0; i < QUEUE_STATES; i++)
        if (s->states[i] && i != QUEUE_READY) {
            buf_putz(out, ", ");
            term_put_count(out, s->states[i]);
            buf_printf(out, " %s", queue_state_name((enum queue_state)i));
        }
    buf_putc(out, '\n');
}

/* --- sites --- */

/* Of a destination without a site, for it is not known where its MX are. */
static void cell_place(struct cli_table *t, struct span name, struct span of)
{
    struct buf b;
    buf_init(&b, ROW_MAX_BYTES);
    if (!name.n)
        buf_printf(&b, "(MX not known: %.*s)", SPAN_ARG(of));
    cli_table_cell(t, name.n ? name : buf_span(&b));
    buf_free(&b);
}

/* What is slowed, or has a rate, says how much. */
static void cell_why(struct cli_table *t, const json_t *p)
{
    struct span why = row_text(p, "why"), rate = row_text(p, "rate");
    int64_t one_in_ms = row_int(p, "one_in_ms");
    struct buf b;
    buf_init(&b, ROW_MAX_BYTES);
    if (one_in_ms > 0) {
        buf_putz(&b, "one message each ");
        term_put_pace(&b, one_in_ms);
        if (rate.n && row_int(p, "slowed") <= 0)
            buf_printf(&b, " (rule: %.*s)", SPAN_ARG(rate));
        buf_putz(&b, why.n ? ": " : "");
    }
    buf_puts(&b, why);
    cli_table_cell(t, buf_span(&b));
    buf_free(&b);
}

static void site_row(struct queue_show *s, const json_t *p)
{
    const json_t *states = json_object_get(p, "recipients");
    struct cli_table *t = s->table;
    bool site = !json_object_get(p, "destination");
    if (json_object_get(p, "not_shown")) {
        s->not_shown = (uint64_t)row_int(p, "not_shown");
        return;
    }
    if (json_object_get(p, "site_unknown")) {
        s->totals.unsited = row_int(p, "site_unknown");
        return;
    }
    int64_t down = row_int(p, "down_until_ms"), waiting = 0;
    const char *key;
    json_t *n;
    json_object_foreach((json_t *)states, key, n) {
        waiting += json_integer_value(n);
    }
    struct span name = row_text(p, site ? "site" : "destination");
    cli_table_cell(t, site ? SPAN("site") : SPAN("destination"));
    cell_place(t, name, row_text(p, "of"));
    cell_number(t, waiting);
    cell_number(t, row_int(states, "deferred"));
    cell_number(t, row_int(p, "active"));
    if (row_int(p, "limit"))
        cell_number(t, row_int(p, "limit"));
    else
        cli_table_cell(t, SPAN_NONE);
    struct buf b;
    buf_init(&b, 64);
    if (down)
        term_put_age(&b, down - s->now_ms);
    cli_table_cell_colour(t, buf_span(&b), TABLE_RED);
    buf_free(&b);
    cell_why(t, p);
    cli_table_end_row(t);
    s->any = true;
}

static void sites_end(const struct queue_show *s, struct buf *out)
{
    if (!s->any)
        buf_putz(out, "no destination has mail waiting\n");
    if (s->not_shown) {
        term_put_count(out, s->not_shown);
        buf_putz(out, " more are not shown (--limit N): those that are down come first, then where "
                      "most waits\n");
    }
    term_put_unsited(out, s->totals.unsited);
}

/* --- count, and what was done --- */

static void pad(struct buf *out, size_t has, size_t wants)
{
    for (; has < wants; has++)
        buf_putc(out, ' ');
}

/* Of a filter. */
static void count_some(const json_t *c, struct buf *out)
{
    if (json_is_true(json_object_get(c, "messages_at_most")))
        buf_putz(out, "at most ");
    term_put_counted(out, (uint64_t)row_int(c, "messages"), "message");
    buf_putz(out, ", ");
    if (json_object_get(c, "recipients")) {
        term_put_counted(out, (uint64_t)row_int(c, "recipients"), "recipient");
        buf_putz(out, ", ");
    }
    num_put_size(out, (uint64_t)row_int(c, "bytes"));
    buf_putc(out, '\n');
    term_put_unsited(out, row_int(c, "site_unknown"));
}

static void put_counts(const json_t *c, struct buf *out)
{
    static const char *const counts[][2] = { { "deliveries    ", "jobs" },
                                             { "\ndestinations  ", "destinations" },
                                             { "\nsites         ", "sites" } };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        buf_putz(out, counts[i][0]);
        term_put_count(out, (uint64_t)row_int(c, counts[i][1]));
    }
    buf_putz(out, "\nspool         ");
}

static void count_row(const json_t *c, struct buf *out)
{
    const char *key;
    json_t *n;
    if (!json_is_object(json_object_get(c, "recipients"))) { /* by their states */
        count_some(c, out);
        return;
    }
    buf_putz(out, "messages      ");
    term_put_count(out, (uint64_t)row_int(c, "messages"));
    buf_putz(out, "\nsize          ");
    num_put_size(out, (uint64_t)row_int(c, "bytes"));
    buf_putz(out, "\nrecipients\n");
    json_object_foreach(json_object_get(c, "recipients"), key, n) {
        buf_putz(out, "  ");
        term_put_text(out, span_str(key));
        pad(out, strlen(key), 12);
        term_put_count(out, (uint64_t)json_integer_value(n));
        buf_putc(out, '\n');
    }
    put_counts(c, out);
    num_put_size(out, (uint64_t)row_int(c, "spool_disk_bytes"));
    buf_putz(out, " on disk in ");
    term_put_counted(out, (uint64_t)row_int(c, "spool_segments"), "segment");
    buf_printf(out, "%s\n",
               json_is_true(json_object_get(c, "spool_full")) ? ", FULL: new mail is refused" : "");
}

static void put_done(struct buf *to, const json_t *a, long long n)
{
    term_put_text(to, row_text(a, "action"));
    if (json_object_get(a, "note")) { /* it has the number */
        buf_putz(to, " ");
        term_put_text(to, row_text(a, "note"));
    } else if (json_object_get(a, "recipients")) {
        buf_putz(to, ", ");
        term_put_counted(to, (uint64_t)n, "recipient");
    }
    if (json_is_true(json_object_get(a, "after_attempt")))
        buf_putz(to, " (some are being delivered now: when that attempt ends, unless it "
                     "succeeds)");
    if (json_object_get(a, "who")) { /* of a freeze */
        buf_putz(to, " since ");
        term_put_when(to, row_int(a, "since_ms"));
        buf_putz(to, " by ");
        term_put_text(to, row_text(a, "who"));
    }
}

static void action_row(const json_t *a, struct buf *out, struct buf *err)
{
    struct span id = row_text(a, "id"), error = row_text(a, "error");
    long long n = (long long)row_int(a, "recipients");
    struct buf *to = error.n ? err : out;
    if (id.n) {
        term_put_text(to, id);
        buf_putz(to, ": ");
    }
    if (error.n)
        term_put_text(to, error);
    else if (id.n)
        put_done(to, a, n);
    if (!error.n && !id.n) {
        buf_putz(to, "queue run: ");
        term_put_counted(to, (uint64_t)n, "recipient");
        buf_putz(to, " waited for it");
    }
    buf_putc(to, '\n');
}

/* --- rows --- */

void queue_show_row(struct queue_show *s, struct span json, struct buf *out, struct buf *err)
{
    struct buf readable;
    json_error_t why;
    buf_init(&readable, ROW_MAX_BYTES);
    ctl_readable(&readable, json);
    json_t *row = json_loadb(buf_cstr(&readable), readable.len, 0, &why);
    if (!row) {
        buf_putz(err, "a row of the answer cannot be read: ");
        term_put_text(err, span_str(why.text));
        buf_putc(err, '\n');
    } else if (s->what == QUEUE_LIST)
        list_row(s, row);
    else if (s->what == QUEUE_SITES)
        site_row(s, row);
    else if (s->what == QUEUE_COUNT)
        count_row(row, out);
    else if (s->groups)
        queue_groups_row(s->groups, row);
    else
        action_row(row, out, err);
    json_decref(row);
    buf_free(&readable);
    if (s->table && cli_table_held(s->table) >= TABLE_HELD_MAX)
        cli_table_put(s->table, out);
}

void queue_show_rest(struct queue_show *s, struct buf *out)
{
    if (s->table)
        cli_table_put(s->table, out);
}

bool queue_show_nothing(const struct queue_show *s)
{
    return s->groups ? queue_groups_none(s->groups) : !s->messages;
}

uint64_t queue_show_messages(const struct queue_show *s) { return s->messages; }

void queue_show_totals(struct queue_show *s, struct queue_totals totals) { s->totals = totals; }

void queue_show_end(struct queue_show *s, struct buf *out)
{
    queue_show_rest(s, out);
    if (s->what == QUEUE_LIST)
        list_end(s, out);
    else if (s->what == QUEUE_SITES)
        sites_end(s, out);
    else if (s->groups && queue_groups_none(s->groups))
        put_nothing(s, out);
    else if (s->groups)
        queue_groups_end(s->groups, out);
}
