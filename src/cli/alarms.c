#include "cli/alarms.h"

#include "cli/args.h"
#include "cli/ask.h"
#include "cli/ctl.h"
#include "cli/table.h"
#include "cli/term.h"

#include <jansson.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: postern alarms [--json]\n"
    "\n"
    "What is wrong with the running gateway: the alarms that are present, with what was seen last\n"
    "and for how long, and which listeners refuse mail because of it. The sections alarm and\n"
    "check of postern.conf(5) say what is watched.\n"
    "\n"
    "  -C FILE        the configuration that names the socket (" CLI_CONFIG_FILE ")\n"
    "  --socket PATH  the gateway's admin socket\n"
    "  --json         JSON objects, one a line\n"
    "\n"
    "exit status: 0 there is no alarm, 1 there is one, 69 no gateway answers (or it watches\n"
    "nothing), 77 not allowed, 64 usage\n";

enum { ALARM_PRESENT = 1, ROW_MAX_BYTES = 1 << 20, SUBJECT_COLUMNS = 50 };

static const struct table_column columns[] = {
    { .title = "ALARM" },
    { .title = "FOR", .right = true },
    { .title = "WHERE", .most = SUBJECT_COLUMNS, .least = 12, .weight = 1 },
    { .title = "SEEN", .least = 20, .weight = 2 },
};

struct output {
    bool json, any;
    struct cli_table *table;
    struct buf out, refusals; /* lines for people */
};

/* The listeners that refuse mail while this alarm lasts. */
static void put_refusals(struct output *o, const json_t *row)
{
    const json_t *listeners = json_object_get(row, "refusing"), *name;
    size_t i;
    json_array_foreach(listeners, i, name)
    {
        buf_putz(&o->refusals, "listener ");
        term_put_text(&o->refusals, span_str(json_string_value(name)));
        buf_putz(&o->refusals, " refuses mail with 421 because of ");
        term_put_text(&o->refusals, row_text(row, "alarm"));
        buf_putz(&o->refusals, row_text(row, "subject").n ? " " : "");
        term_put_text(&o->refusals, row_text(row, "subject"));
        buf_putc(&o->refusals, '\n');
    }
}

static void put_row(struct output *o, const json_t *row)
{
    struct buf age;
    buf_init(&age, 64);
    term_put_age(&age, row_int(row, "age_ms"));
    cli_table_cell_colour(o->table, row_text(row, "alarm"), TABLE_RED);
    cli_table_cell(o->table, buf_span(&age));
    cli_table_cell(o->table, row_text(row, "subject"));
    cli_table_cell(o->table, row_text(row, "text"));
    cli_table_end_row(o->table);
    buf_free(&age);
}

static void on_row(void *ctx, struct span json)
{
    struct output *o = ctx;
    o->any = true;
    if (o->json) {
        buf_puts(&o->out, json);
        buf_putc(&o->out, '\n');
        return;
    }
    json_t *row = ctl_json(json, ROW_MAX_BYTES);
    if (row) {
        put_row(o, row);
        put_refusals(o, row);
    }
    json_decref(row);
}

int cli_alarms(int argc, char **argv)
{
    struct cli_args a = { .verb = "alarms", .usage = usage, .config = CLI_CONFIG_FILE };
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++)
        if (!cli_common(&a, argc, argv, &i, &rc))
            rc = cli_usage_error(&a, argv[i][0] == '-' ? "unknown option" : "takes no words",
                                 argv[i]);
    if (rc != EX_OK)
        return rc;
    if (a.help) {
        fputs(usage, stdout);
        return EX_OK;
    }
    struct output o = { .json = a.json };
    o.table = cli_table_new(columns, sizeof columns / sizeof *columns, term_width(STDOUT_FILENO),
                            term_colour(STDOUT_FILENO));
    buf_init(&o.out, 64 << 20);
    buf_init(&o.refusals, 1 << 20);
    rc = ctl_once(&a, "alarms", NULL, 0, on_row, &o);
    cli_table_put(o.table, &o.out);
    buf_puts(&o.out, buf_span(&o.refusals));
    if (rc == EX_OK && !o.any && !o.json)
        buf_putz(&o.out, "no alarm\n");
    if (!cli_print(&o.out) && rc == EX_OK)
        rc = cli_fail(&a, EX_IOERR, "the output cannot be written");
    cli_table_free(&o.table);
    buf_free(&o.out);
    buf_free(&o.refusals);
    return rc == EX_OK && o.any ? ALARM_PRESENT : rc;
}
