/* router: the map files and every decision made with them. It has no network and no spool. */
#include "base/must.h"
#include "ipc/channel.h"
#include "proto/lists.h"
#include "proto/qmgr_router.h"
#include "proto/smtpd_router.h"
#include "role/role.h"
#include "route/route.h"

#include <stdlib.h>
#include <unistd.h>

enum { ANSWER_ARENA_MAX = 1 << 20, CLIENTS_MAX = 66, REFRESH_MS = 2000 };

struct router;

struct client {
    struct router *r;
    struct channel *channel;
};

struct router {
    struct role_env *env;
    struct config *config;
    struct map *mailertable;
    struct route_tables *tables;
    struct client smtpds[CLIENTS_MAX], qmgr, control;
    struct arena *arena; /* of one answer */
    struct loop_timer finish;
    bool finishing;
};

/* --- the tables --- */

static void say_report(struct router *r, const struct map_report *rep)
{
    struct span lines = buf_span(&rep->lines);
    while (lines.n) {
        struct span line = span_to(lines, span_find(lines, '\n'));
        lines = span_from(lines, line.n + 1);
        event_begin(r->env->events, EVENT_map_refused);
        event_str(r->env->events, FIELD_text, line);
        event_end(r->env->events);
        log_line(r->env->events, EVENT_WARNING, "%.*s", SPAN_ARG(line));
    }
}

/* user@[ip] is ours when one of our listeners stands at that address; a wildcard listener says
 * nothing about which addresses this host has, but loopback is among them. */
static bool is_own_ip(void *ctx, const struct netaddr *ip)
{
    const struct config *cfg = ((struct router *)ctx)->config;
    for (size_t i = 0; i < cfg->n_listens; i++) {
        const struct config_addrs *a = &cfg->listens[i].address;
        for (size_t k = 0; k < a->n; k++)
            if (netaddr_same_ip(&a->v[k], ip) ||
                (netaddr_is_any(&a->v[k]) && netaddr_is_loopback(ip)))
                return true;
    }
    return false;
}

/* A table that cannot be read must not turn its mail to the MX hosts: then there is no routing
 * at all, and mail waits (design: never "not there" for "cannot say"). */
static bool build(struct router *r, struct config *cfg, struct err *err)
{
    struct map_report rep;
    map_report_init(&rep);
    struct map *m = NULL;
    bool ok = true;
    uint64_t seed = loop_random_u64(r->env->loop);
    if (cfg->route.mailertable.n) {
        m = route_open_mailertable(cfg->route.mailertable, seed, &rep);
        ok = m != NULL;
    }
    struct span from[CONFIG_LIST_MAX];
    struct buf text;
    buf_init(&text, CONFIG_LIST_MAX * NETADDR_TEXT_MAX);
    size_t offsets[CONFIG_LIST_MAX + 1], n = cfg->relay.from.n;
    for (size_t i = 0; i < n; i++) {
        offsets[i] = text.len;
        cidr_put(&text, &cfg->relay.from.v[i]);
    }
    offsets[n] = text.len;
    for (size_t i = 0; i < n; i++)
        from[i] = span_of(text.mem + text.off + offsets[i], offsets[i + 1] - offsets[i]);
    struct route_params p = { .mailertable = m,
                              .smart_host = cfg->route.smart_host,
                              .local = cfg->route.local.v,
                              .local_count = cfg->route.local.n,
                              .relay_from = from,
                              .relay_from_count = n,
                              .relay_domains = cfg->relay.domains.v,
                              .relay_domains_count = cfg->relay.domains.n,
                              .postmaster = cfg->postmaster,
                              .is_own_ip = is_own_ip,
                              .is_own_ip_ctx = r,
                              .seed = seed };
    struct route_tables *t = ok ? route_tables_new(&p, &rep) : NULL;
    buf_free(&text);
    say_report(r, &rep);
    ok = t != NULL;
    if (!ok)
        err_set(err, "%.*s", (int)rep.lines.len, rep.lines.len ? buf_cstr(&rep.lines) : "");
    map_report_free(&rep);
    if (!ok) {
        map_free(&m);
        return false;
    }
    route_tables_free(&r->tables);
    map_free(&r->mailertable);
    r->tables = t;
    r->mailertable = m;
    return true;
}

/* --- may it? --- */

static void put_verdict(struct router *r, struct buf *b, const struct msg_ask_flight *m,
                        struct span rcpt)
{
    struct route_client c = { .ip = m->client, .auth = m->auth };
    struct route_reply reply;
    arena_reset(r->arena);
    if (route_relay_allowed(r->tables, &c, rcpt, r->arena, NULL, &reply)) {
        /* What the mailertable refuses or puts off is said here already, to the client. */
        struct route_dest d;
        route_find(r->tables, m->sender, rcpt, r->arena, NULL, &d);
        if (d.mailer != ROUTE_ERROR && d.mailer != ROUTE_LOCAL) {
            list_put_verdict(b, 0, SPAN_NONE);
            return;
        }
        reply = (struct route_reply){ .reply = d.reply, .code = d.code, .text = d.text };
        if (d.mailer == ROUTE_LOCAL)
            reply = (struct route_reply){ .reply = 550,
                                          .code = SPAN("5.3.5"),
                                          .text = SPAN("Local delivery is not in this release") };
    }
    struct buf text;
    buf_init(&text, ENVELOPE_TEXT_MAX);
    buf_puts(&text, reply.code);
    buf_putc(&text, ' ');
    buf_puts(&text, reply.text);
    list_put_verdict(b, reply.reply, buf_span(&text));
    buf_free(&text);
}

static void on_ask_flight(struct client *c, struct channel *ch, const struct msg_ask_flight *m)
{
    struct buf verdicts;
    buf_init(&verdicts, CHANNEL_FRAME_MAX / 2);
    if (m->has_mail)
        list_put_verdict(&verdicts, 0, SPAN_NONE);
    struct wire w = wire_reader(m->rcpts);
    struct span rcpt;
    while (list_next_text(&w, &rcpt))
        put_verdict(c->r, &verdicts, m, rcpt);
    struct msg_flight_verdict said = { .q = m->q, .verdicts = buf_span(&verdicts) };
    send_flight_verdict(ch, &said);
    buf_free(&verdicts);
}

/* --- where to? --- */

static void on_route(struct client *c, struct channel *ch, const struct msg_route *m)
{
    struct router *r = c->r;
    struct route_dest d;
    arena_reset(r->arena);
    route_find(r->tables, m->sender, m->rcpt, r->arena, NULL, &d);
    struct buf *b = channel_begin(ch, MSG_routed);
    wire_put_u64(b, m->q);
    size_t at = wire_begin_bytes(b);
    route_dest_put(b, &d);
    wire_end_bytes(b, at);
    wire_put_u32(b, 0); /* no trail on the hot path: `why` and `route` ask for it */
    channel_end(ch);
}

PROTO_HANDLER(ask_flight, struct client *, on_ask_flight)
PROTO_HANDLER(route, struct client *, on_route)

/* --- the role --- */

static bool any_client(const struct router *r)
{
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (r->smtpds[i].channel)
            return true;
    return r->qmgr.channel != NULL;
}

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct client *c = ctx;
    (void)ch;
    (void)why;
    channel_free(&c->channel);
    if (c->r->finishing && !any_client(c->r))
        c->r->env->done(c->r->env);
}

static const struct channel_type types[] = { PROTO_TYPE(ask_flight), PROTO_TYPE(route) };
static const struct channel_ops ops = { types, 2, on_gone, NULL };

static void router_peer(void *role, enum role_id peer, int index, int fd)
{
    struct router *r = role;
    struct client *c = peer == ROLE_QMGR    ? &r->qmgr
                       : peer == ROLE_SMTPD && index < CLIENTS_MAX ? &r->smtpds[index]
                       : peer == ROLE_CONTROL                      ? &r->control
                                                                   : NULL;
    if (!c) {
        close(fd);
        return;
    }
    channel_free(&c->channel);
    c->r = r;
    c->channel = channel_new(r->env->loop, fd, role_name(peer), &ops, c);
    if (!r->tables)
        channel_pause(c->channel, true); /* asked before master says start */
}

static void *router_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct router *r = NEW(struct router);
    (void)err;
    r->env = env;
    r->config = cfg;
    r->arena = arena_new(ANSWER_ARENA_MAX);
    return r;
}

static bool router_start(void *role, struct err *err)
{
    struct router *r = role;
    if (!build(r, r->config, err))
        return false;
    struct client *rest[] = { &r->qmgr, &r->control };
    for (int i = 0; i < CLIENTS_MAX + 2; i++) {
        struct client *c = i < CLIENTS_MAX ? &r->smtpds[i] : rest[i - CLIENTS_MAX];
        if (c->channel)
            channel_pause(c->channel, false);
    }
    return true;
}

/* Maps are read anew with each reload; a bad one keeps the tables that are in force. */
static void router_reload(void *role, struct config *next)
{
    struct router *r = role;
    struct err e = { "" };
    if (build(r, next, &e)) {
        struct msg_tables m = { .entries = r->mailertable ? map_stats(r->mailertable).entries
                                                          : 0 };
        event_begin(r->env->events, EVENT_map_reloaded);
        event_int(r->env->events, FIELD_count, (int64_t)m.entries);
        event_end(r->env->events);
        if (r->qmgr.channel)
            send_tables(r->qmgr.channel, &m);
    } else {
        log_line(r->env->events, EVENT_WARNING, "the old tables stay in force");
    }
    config_free(&r->config);
    r->config = next;
}

static void on_finish_late(void *ctx)
{
    struct router *r = ctx;
    r->env->done(r->env);
}

static void router_finish(void *role, int64_t within_ms)
{
    struct router *r = role;
    r->finishing = true;
    loop_timer_init(&r->finish, on_finish_late, r);
    loop_timer_in(r->env->loop, &r->finish, within_ms);
    if (!any_client(r))
        r->env->done(r->env);
}

static void router_free(void *role)
{
    struct router *r = role;
    loop_timer_stop(r->env->loop, &r->finish);
    for (int i = 0; i < CLIENTS_MAX; i++)
        channel_free(&r->smtpds[i].channel);
    channel_free(&r->qmgr.channel);
    channel_free(&r->control.channel);
    route_tables_free(&r->tables);
    map_free(&r->mailertable);
    arena_free(&r->arena);
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
