#include "master/master.h"

#include "base/hash.h"
#include "base/must.h"
#include "master/inside.h"
#include "master/load.h"
#include "role/logs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static void on_term(void *ctx) { master_stop(ctx, SPAN("SIGTERM")); }
static void on_int(void *ctx) { master_stop(ctx, SPAN("SIGINT")); }
static void on_chld(void *ctx) { children_reap(ctx); }

static void on_hup(void *ctx)
{
    struct buf text;
    buf_init(&text, 256 << 10);
    if (!master_reload(ctx, SPAN("SIGHUP"), NULL, &text))
        dprintf(STDERR_FILENO, "postern: reload refused:\n%s", buf_cstr(&text));
    buf_free(&text);
}

static void on_usr1(void *ctx)
{
    struct master *m = ctx;
    struct err e = { "" };
    if (!logs_reopen(m, &e))
        log_line(m->events, EVENT_WARNING, "%s: the old files stay in use", e.text);
}

static void on_finish_late(void *ctx)
{
    struct master *m = ctx;
    for (size_t i = 0; i < m->child_count; i++) {
        struct child_slot *c = &m->children[i];
        if (!c->pid)
            continue;
        log_line(m->events, EVENT_WARNING, "%s[%d] did not finish in time and is killed",
                 role_name(c->role), (int)c->pid);
        kill(c->pid, SIGKILL);
    }
    locals_kill(m);
}

static bool open_events(struct master *m, struct err *err)
{
    int lines = log_open(m->config, 0, err);
    int events = err->text[0] ? -1 : log_open(m->config, 1, err);
    if (err->text[0])
        return false;
    m->events = logs_new(m->loop, m->config, "master", lines, events);
    return true;
}

/* FILE:LINE: notice: TEXT, as `config check` says it. */
static void put_notice(struct buf *b, const struct config *cfg, const struct config_notice *n)
{
    buf_puts(b, cfg->file);
    if (n->line)
        buf_printf(b, ":%u", n->line);
    buf_putz(b, ": notice: ");
    if (span_find(n->name, '.') < n->name.n) /* else it is of no option alone */
        buf_printf(b, "%.*s: ", SPAN_ARG(n->name));
    buf_puts(b, n->text);
}

static void say_notices(struct master *m)
{
    struct buf text;
    buf_init(&text, 16384);
    for (size_t i = 0; i < m->config->n_notices; i++) {
        const struct config_notice *n = &m->config->notices[i];
        event_begin(m->events, EVENT_config_notice);
        event_str(m->events, FIELD_option, n->name);
        event_str(m->events, FIELD_text, n->text);
        event_end(m->events);
        buf_reset(&text);
        put_notice(&text, m->config, n);
        log_line(m->events, EVENT_NOTICE, "%s", buf_cstr(&text));
        dprintf(STDERR_FILENO, "postern: %s\n", buf_cstr(&text));
    }
    buf_free(&text);
}

static void make_instance_id(struct master *m)
{
    struct span given = m->config->instance_id;
    if (given.n)
        snprintf(m->instance_id, sizeof m->instance_id, "%.*s", SPAN_ARG(given));
    else
        snprintf(m->instance_id, sizeof m->instance_id, "%08x",
                 (unsigned)hash_bytes(0, m->config->hostname) ^
                     (unsigned)hash_bytes(1, m->config->control.socket));
}

static void catch_signals(struct master *m)
{
    signal(SIGPIPE, SIG_IGN);
    loop_signal_add(m->loop, &m->on_term, SIGTERM, on_term, m);
    loop_signal_add(m->loop, &m->on_int, SIGINT, on_int, m);
    loop_signal_add(m->loop, &m->on_hup, SIGHUP, on_hup, m);
    loop_signal_add(m->loop, &m->on_usr1, SIGUSR1, on_usr1, m);
    loop_signal_add(m->loop, &m->on_chld, SIGCHLD, on_chld, m);
}

static bool prepare(struct master *m, struct err *err)
{
    if (!open_events(m, err))
        return false;
    make_instance_id(m);
    if (!places_prepare(m, err) || !listeners_open(m, m->config, err))
        return false;
    listeners_settle(m);
    return true;
}

static void master_free(struct master *m)
{
    locals_free(m);
    for (size_t i = 0; i < m->child_count; i++)
        channel_free(&m->children[i].channel);
    listeners_close(m);
    struct loop_signal *signals[] = { &m->on_term, &m->on_int, &m->on_hup, &m->on_usr1,
                                      &m->on_chld };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        loop_signal_del(signals[i]);
    events_free(&m->events);
    config_free(&m->config);
    loop_free(&m->loop);
}

int master_run(const struct master_options *o)
{
    struct master *m = NEW(struct master);
    struct buf text;
    unsigned count = 0;
    struct err e = { "" };
    int code;
    buf_init(&text, 256 << 10);
    m->config_path = o->config_path;
    m->ready_fd = o->ready_fd;
    m->queue_run_ms = o->queue_run_ms;
    m->delivery = o->delivery;
    m->loop = loop_new();
    list_init(&m->locals);
    list_init(&m->local_waits);
    loop_timer_init(&m->finish_timer, on_finish_late, m);
    m->config = master_load(o->config_path, &text, &count);
    if (!m->config) {
        dprintf(STDERR_FILENO, "%s", buf_cstr(&text));
        code = EX_CONFIG;
    } else if (!prepare(m, &e)) {
        dprintf(STDERR_FILENO, "postern: %s\n", e.text);
        code = EX_OSERR;
    } else {
        m->starting = true;
        master_override(m, m->config);
        catch_signals(m);
        say_notices(m);
        children_plan(m);
        for (size_t i = 0; i < m->child_count; i++)
            child_spawn(m, &m->children[i]);
        loop_run(m->loop);
        code = m->exit_code;
    }
    buf_free(&text);
    master_free(m);
    free(m);
    return code;
}
