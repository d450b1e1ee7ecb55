#include "cli/queue_rule.h"

#include "cli/ctl.h"
#include "cli/queue_hop.h"
#include "cli/table.h"
#include "cli/term.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { ROW_MAX_BYTES = 1 << 20, OUT_MAX_BYTES = 16 << 20, WHEN_MAX = 64 };

struct shown {
    const struct cli_args *a;
    enum queue_rule_verb verb;
    struct cli_table *table;
    struct buf out;
    size_t rows;
};

static void put_line(struct buf *b, const json_t *o)
{
    bool removed = span_eq(row_text(o, "action"), SPAN("removed"));
    term_put_text(b, row_text(o, "name"));
    if (removed) {
        buf_putz(b, ": the rule is withdrawn: from the next attempt on, mail goes where the "
                    "tables say\n");
        return;
    }
    buf_putz(b, ": all mail goes to ");
    term_put_text(b, row_text(o, "nexthop"));
    buf_putz(b, ", from its next attempt on, until the rule is withdrawn (reroute --remove)\n");
}

static void on_row(void *ctx, struct span row)
{
    struct shown *s = ctx;
    json_t *o = s->a->json ? NULL : ctl_json(row, ROW_MAX_BYTES);
    struct buf when;
    s->rows++;
    if (s->a->json) {
        buf_puts(&s->out, row);
        buf_putc(&s->out, '\n');
    } else if (s->verb != QUEUE_RULE_LIST) {
        put_line(&s->out, o);
    } else {
        buf_init(&when, WHEN_MAX);
        term_put_when(&when, json_integer_value(json_object_get(o, "since_ms")));
        cli_table_cell(s->table, row_text(o, "name"));
        cli_table_cell(s->table, row_text(o, "nexthop"));
        cli_table_cell(s->table, buf_span(&when));
        cli_table_cell(s->table, row_text(o, "who"));
        cli_table_end_row(s->table);
        buf_free(&when);
    }
    if (s->table && cli_table_held(s->table) >= TABLE_HELD_MAX)
        cli_table_put(s->table, &s->out);
    json_decref(o);
}

static int ask(const struct cli_args *a, enum queue_rule_verb verb, const struct queue_words *w)
{
    static const struct table_column columns[] = {
        { .title = "MAIL FOR" }, { .title = "GOES TO" }, { .title = "SINCE" }, { .title = "BY" }
    };
    struct shown s = { .a = a, .verb = verb };
    struct ctl c;
    buf_init(&s.out, OUT_MAX_BYTES);
    if (verb == QUEUE_RULE_LIST && !a->json)
        s.table = cli_table_new(columns, 4, term_width(STDOUT_FILENO), term_colour(STDOUT_FILENO));
    int rc = ctl_open(&c, a);
    if (rc == EX_OK)
        rc = ctl_run(&c, "reroute", w->v, w->n, on_row, &s);
    if (s.table)
        cli_table_put(s.table, &s.out);
    if (rc == EX_OK && s.table && !s.rows)
        buf_putz(&s.out, "there are no rules: all mail goes where the tables say\n");
    if (!cli_print(&s.out) && rc == EX_OK)
        rc = cli_fail(a, EX_IOERR, "the output cannot be written");
    ctl_close(&c);
    cli_table_free(&s.table);
    buf_free(&s.out);
    return rc;
}

int queue_rule(const struct cli_args *a, enum queue_rule_verb verb,
               const struct queue_words *filters, const char *const *names, size_t n,
               const char *hop)
{
    struct queue_words w = { .n = 0 };
    const char *word = verb == QUEUE_RULE_SET ? "set" : "remove";
    bool fits = true;
    size_t count = 0;
    for (size_t i = 0; i < filters->n; i++) {
        const char *v = filters->v[i];
        bool domain = strncmp(v, "domain=", 7) == 0;
        if (!domain && strncmp(v, "site=", 5) != 0)
            return cli_usage_error(a, "a rule is for domains, destinations or sites", v);
        fits = fits && queue_words_add(&w, word, v + (domain ? 7 : 5));
        count++;
    }
    for (size_t i = 0; i < n; i++, count++)
        fits = fits && queue_words_add(&w, word, names[i]);
    if (hop)
        fits = fits && queue_words_add(&w, "nexthop", hop);
    if (!fits)
        return cli_usage_error(a, "more arguments than it takes at once", NULL);
    if ((verb == QUEUE_RULE_LIST) != (count == 0))
        return cli_usage_error(a, count ? "takes no name" : "of what? a domain, destination or "
                               "site is missing", verb == QUEUE_RULE_SET ? "--rule"
                               : verb == QUEUE_RULE_LIST ? "--list" : "--remove");
    int rc = hop ? queue_hop_check(a, hop) : EX_OK;
    return rc == EX_OK ? ask(a, verb, &w) : rc;
}
