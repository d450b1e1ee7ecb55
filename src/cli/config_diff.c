#include "cli/config_diff.h"

#include "base/json.h"
#include "cli/ctl.h"
#include "cli/term.h"

#include <stdio.h>
#include <sysexits.h>

/* --- what runs --- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* {"release":"...","config":"HEX"}: our own writer's line, so that looking for the name does. */
static struct config *read_flat(struct span row)
{
    static const char name[] = "\"config\":\"";
    struct buf flat;
    size_t at = 0;
    while (at < row.n && !span_starts(span_from(row, at), span_str(name)))
        at++;
    struct span s = span_from(row, at + strlen(name));
    buf_init(&flat, CONFIG_WIRE_MAX);
    for (size_t i = 0; i + 1 < s.n && hex(s.p[i]) >= 0 && hex(s.p[i + 1]) >= 0; i += 2)
        buf_putc(&flat, (char)(hex(s.p[i]) << 4 | hex(s.p[i + 1])));
    struct wire w = wire_reader(buf_span(&flat));
    struct config *cfg = config_get(&w);
    if (cfg && !wire_done(&w))
        config_free(&cfg);
    buf_free(&flat);
    return cfg;
}

int cli_running_config(struct ctl *c, struct config **cfg_r, struct err *e)
{
    struct span row;
    *cfg_r = NULL;
    if (!ctl_ask(c, "config", NULL, 0) || ctl_next(c, &row) != CTL_ROW) {
        err_set(e, "%.400s", buf_cstr(&c->text));
        return c->exit;
    }
    *cfg_r = read_flat(row);
    if (*cfg_r)
        return EX_OK;
    err_set(e, "the running gateway is another release than this program (" POSTERN_VERSION
               "): restart it");
    return EX_PROTOCOL;
}

/* --- the comparison --- */

struct output {
    struct buf text;
    struct json json;
    bool as_json;
    size_t live, restart;
};

static void on_change(void *arg, const struct config_change *ch)
{
    struct output *o = arg;
    *(ch->live ? &o->live : &o->restart) += 1;
    if (o->as_json) {
        json_open(&o->json, NULL);
        json_str(&o->json, "name", ch->name);
        json_str(&o->json, "running", ch->old_text);
        json_str(&o->json, "file", ch->new_text);
        json_bool(&o->json, "live", ch->live);
        json_close(&o->json);
        return;
    }
    struct span old = ch->old_text.n ? ch->old_text : SPAN("(not there)");
    struct span new = ch->new_text.n ? ch->new_text : SPAN("(gone)");
    term_put_text(&o->text, ch->name);
    buf_putz(&o->text, ": ");
    term_put_text(&o->text, old);
    buf_putz(&o->text, " -> ");
    term_put_text(&o->text, new);
    buf_printf(&o->text, "  (%s)\n", ch->live ? "live" : "needs a restart");
}

static void put_verdict(struct output *o, const char *file)
{
    if (!o->live && !o->restart)
        buf_printf(&o->text, "%s says what the running gateway works with\n", file);
    else if (!o->restart)
        buf_printf(&o->text, "postern reload would change %zu\n", o->live);
    else
        buf_printf(&o->text, "postern reload would be refused: %zu of %zu need%s a restart\n",
                   o->restart, o->live + o->restart, o->restart == 1 ? "s" : "");
}

static int compare(const struct cli_args *a, const struct config *running, struct config *file)
{
    struct output o = { .as_json = a->json };
    buf_init(&o.text, 64 << 20);
    o.json = json_writer(&o.text);
    /* 0 is "as many as there are processors": the running one has that number already. */
    if (!file->processes.smtpd)
        file->processes.smtpd = running->processes.smtpd;
    if (!file->processes.deliver)
        file->processes.deliver = running->processes.deliver;
    config_force(file, &running->forced);
    if (a->json) {
        json_open(&o.json, NULL);
        json_str(&o.json, "file", span_str(a->config));
        json_open_array(&o.json, "changes");
    }
    config_diff(running, file, on_change, &o);
    if (a->json) {
        json_close_array(&o.json);
        json_uint(&o.json, "live", o.live);
        json_uint(&o.json, "restart", o.restart);
        json_close(&o.json);
        buf_putc(&o.text, '\n');
    } else {
        put_verdict(&o, a->config);
    }
    bool good = cli_print(&o.text);
    buf_free(&o.text);
    return good ? EX_OK : cli_fail(a, EX_IOERR, "the output cannot be written");
}

int cli_config_diff(const struct cli_args *a)
{
    struct config *file = NULL, *running = NULL;
    struct ctl c = { .fd = -1 };
    struct err e = { "" };
    int rc = cli_load(a, &file);
    if (rc != EX_OK)
        return rc;
    rc = ctl_open(&c, a);
    if (rc == EX_OK && (rc = cli_running_config(&c, &running, &e)) != EX_OK)
        cli_fail(a, rc, "%s", e.text);
    if (rc == EX_OK)
        rc = compare(a, running, file);
    ctl_close(&c);
    config_free(&running);
    config_free(&file);
    return rc;
}
