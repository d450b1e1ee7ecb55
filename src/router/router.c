/* router: the map files and every decision made with them. It has no network and no spool. */
#include "router/inside.h"

#include "base/must.h"
#include "proto/qmgr_router.h"

#include <stdlib.h>
#include <unistd.h>

/* --- the tables --- */

/* One event with all lines, and a line of the log for each. */
static void say_report(struct router *r, const struct map_report *rep)
{
    struct span lines = buf_span(&rep->lines);
    if (!lines.n)
        return;
    event_begin(r->env->events, EVENT_map_refused);
    event_str(r->env->events, FIELD_text, span_trim_lines(lines));
    event_end(r->env->events);
    while (lines.n) {
        struct span line = span_to(lines, span_find(lines, '\n'));
        lines = span_from(lines, line.n + 1);
        log_line(r->env->events, EVENT_WARNING, "%.*s", SPAN_ARG(line));
    }
}

/* user@[ip] is ours when one of our listeners stands at that address; a wildcard listener stands
 * at all that this host has. */
static bool is_own_ip(void *ctx, const struct netaddr *ip)
{
    struct router *r = ctx;
    for (size_t i = 0; i < r->config->n_listens; i++) {
        const struct config_addrs *a = &r->config->listens[i].address;
        for (size_t k = 0; k < a->n; k++)
            if (netaddr_same_ip(&a->v[k], ip) ||
                (netaddr_is_any(&a->v[k]) && loop_is_local(r->env->loop, ip)))
                return true;
    }
    return false;
}

static void verified(void *ctx, struct span rcpt, struct span queue, struct buf *text)
{
    verify_say(((struct router *)ctx)->verify, rcpt, queue, text);
}

/* A table that cannot be read must not turn its mail to the MX hosts: then there is no routing
 * at all, and mail waits (design: never "not there" for "cannot say"). */
static bool build(struct router *r, const struct config *cfg, struct err *err)
{
    struct map_report rep;
    struct route_world world = { .is_own_ip = is_own_ip, .verified = verified, .ctx = r };
    map_report_init(&rep);
    struct route_tables *t = route_load(cfg, loop_random_u64(r->env->loop), &world, &rep);
    say_report(r, &rep);
    if (!t)
        err_set(err, "%.*s", (int)rep.lines.len, rep.lines.len ? buf_cstr(&rep.lines) : "");
    map_report_free(&rep);
    if (!t)
        return false;
    route_tables_free(&r->tables);
    r->tables = t;
    return true;
}

static void say_new_tables(struct router *r)
{
    struct msg_tables m = { .entries = route_entries(r->tables) };
    event_begin(r->env->events, EVENT_map_reloaded);
    event_int(r->env->events, FIELD_count, (int64_t)m.entries);
    event_end(r->env->events);
    log_line(r->env->events, EVENT_INFO, "maps reread: %llu entries",
             (unsigned long long)m.entries);
    if (r->qmgr.channel)
        send_tables(r->qmgr.channel, &m);
}

/* An edited map is in force within seconds; a bad one keeps the old table and is said once. */
static void on_refresh(void *ctx)
{
    struct router *r = ctx;
    struct map_report rep;
    map_report_init(&rep);
    bool changed = route_refresh(r->tables, &rep);
    say_report(r, &rep);
    map_report_free(&rep);
    if (changed)
        say_new_tables(r);
    loop_timer_in(r->env->loop, &r->refresh, REFRESH_MS);
}

/* --- who comes and goes --- */

static bool any_client(const struct router *r)
{
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (r->smtpds[i].channel)
            return true;
    return r->qmgr.channel != NULL;
}

void router_client_gone(struct client *c)
{
    channel_free(&c->channel);
    if (c->r->finishing && !any_client(c->r))
        c->r->env->done(c->r->env);
}

static void router_peer(void *role, enum role_id peer, int index, int fd)
{
    struct router *r = role;
    struct client *c = peer == ROLE_QMGR                           ? &r->qmgr
                       : peer == ROLE_SMTPD && index < CLIENTS_MAX ? &r->smtpds[index]
                                                                   : NULL;
    if (c) {
        channel_free(&c->channel);
        c->r = r;
        c->life++;
        if (peer == ROLE_QMGR)
            attempt_peer(c, fd);
        else
            accept_peer(c, fd);
        if (!r->tables)
            channel_pause(c->channel, true); /* asked before master says start */
    } else if (peer == ROLE_RESOLVER) {
        names_peer(r->names, fd);
    } else if (peer == ROLE_DELIVER && index < DELIVERS_MAX) {
        verify_peer(r->verify, index, fd);
    } else if (peer == ROLE_CONTROL) {
        router_admin_free(&r->admin);
        r->admin = router_admin_new(r, fd);
    } else {
        close(fd);
    }
}

/* --- the role --- */

static void on_finish_late(void *ctx)
{
    struct router *r = ctx;
    r->env->done(r->env);
}

static void *router_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct router *r = NEW(struct router);
    (void)err;
    r->env = env;
    r->config = cfg;
    r->arena = arena_new(ANSWER_ARENA_MAX);
    r->element = arena_new(ANSWER_ARENA_MAX);
    r->names = names_new(r);
    r->canons = canons_new(r);
    r->verify = verify_new(r);
    list_init(&r->flights);
    list_init(&r->asks);
    loop_timer_init(&r->refresh, on_refresh, r);
    loop_timer_init(&r->finish, on_finish_late, r);
    return r;
}

static bool router_start(void *role, struct err *err)
{
    struct router *r = role;
    if (!build(r, r->config, err))
        return false;
    loop_timer_in(r->env->loop, &r->refresh, REFRESH_MS);
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (r->smtpds[i].channel)
            channel_pause(r->smtpds[i].channel, false);
    if (r->qmgr.channel)
        channel_pause(r->qmgr.channel, false);
    return true;
}

/* Maps are read anew with each reload; a bad one keeps the tables that are in force. */
static void router_reload(void *role, struct config *next)
{
    struct router *r = role;
    struct err e = { "" };
    const char *hint = next->sandbox.landlock
                           ? "; one in a directory that had none needs a restart, outside /etc "
                             "(sandbox.landlock)" : "";
    if (build(r, next, &e)) {
        say_new_tables(r);
    } else {
        log_line(r->env->events, EVENT_WARNING, "the old tables stay in force%s", hint);
        err_set(&r->env->untaken, "%.*s: all of route and its tables stays as it was%s",
                SPAN_ARG(span_trim_lines(span_str(e.text))), hint);
    }
    config_free(&r->config);
    r->config = next;
    canons_forget(r->canons);
    verify_forget(r->verify);
}

static void router_finish(void *role, int64_t within_ms)
{
    struct router *r = role;
    r->finishing = true;
    loop_timer_in(r->env->loop, &r->finish, within_ms);
    if (!any_client(r))
        r->env->done(r->env);
}

/* Their list node stands first. */
static void asks_free(struct router *r)
{
    LIST_EACH(n, &r->asks)
        free(n);
}

static void router_free(void *role)
{
    struct router *r = role;
    loop_timer_stop(r->env->loop, &r->finish);
    loop_timer_stop(r->env->loop, &r->refresh);
    names_free(&r->names);
    canons_free(&r->canons);
    verify_free(&r->verify);
    flight_free_all(r);
    asks_free(r);
    for (int i = 0; i < CLIENTS_MAX; i++)
        channel_free(&r->smtpds[i].channel);
    channel_free(&r->qmgr.channel);
    router_admin_free(&r->admin);
    route_tables_free(&r->tables);
    arena_free(&r->arena);
    arena_free(&r->element);
    config_free(&r->config);
    free(r);
}

const struct role_ops router_role = {
    .make = router_make,
    .peer = router_peer,
    .start = router_start,
    .reload = router_reload,
    .finish = router_finish,
    .free = router_free,
};
