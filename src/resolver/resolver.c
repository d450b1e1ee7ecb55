/* resolver: every DNS question of the gateway, through one cache. It consults neither NSS nor
 * /etc/hosts nor nscd. */
#include "base/must.h"
#include "dns/engine.h"
#include "dns/resolver.h"
#include "dns/servers.h"
#include "ipc/channel.h"
#include "proto/deliver_resolver.h"
#include "resolver/admin.h"
#include "resolver/names.h"
#include "resolver/sites.h"
#include "role/role.h"

#include <stdlib.h>
#include <unistd.h>

enum { WATCH_CLIENT = 64, CLIENTS_MAX, PLAN_BYTES_MAX = 256 << 10,
       CACHE_MS_PER_S = 1000,
       FAIL_TTL_S = 10 }; /* not each message asks for a domain whose servers do not answer */

struct resolver;

struct client {
    struct resolver *r;
    struct channel *channel;
};

/* A next hop being looked up for a client. */
struct lookup {
    struct list node;
    struct client *client;
    uint64_t q;
    struct dns_lookup *running;
};

struct resolver {
    struct role_env *env;
    struct config *config;
    struct dns_engine *engine;
    struct dns_resolver *dns;
    struct client clients[CLIENTS_MAX];
    struct resolver_admin *admin;
    struct resolver_names *names;
    struct resolver_sites *sites;
    struct list lookups;
    struct loop_timer finish;
    bool finishing;
};

/* --- servers --- */

static void say(struct resolver *r, const char *text)
{
    event_begin(r->env->events, EVENT_dns_notice);
    event_str(r->env->events, FIELD_text, span_str(text));
    event_end(r->env->events);
    log_line(r->env->events, EVENT_NOTICE, "dns: %s", text);
}

static void on_dnssec(void *ctx, bool validating, const char *why)
{
    if (!validating)
        say(ctx, why);
}

static enum dns_dnssec dnssec_of(enum config_dnssec d)
{
    return d == CONFIG_DNSSEC_ON ? DNS_DNSSEC_ON
           : d == CONFIG_DNSSEC_OFF ? DNS_DNSSEC_OFF
                                    : DNS_DNSSEC_AUTO;
}

static struct dns_engine *make_engine(struct resolver *r, const struct config *cfg,
                                      struct err *err)
{
    struct netaddr servers[DNS_SERVERS_MAX];
    size_t n = 0;
    for (; n < cfg->dns.servers.n && n < DNS_SERVERS_MAX; n++)
        servers[n] = cfg->dns.servers.v[n];
    char *resolv_conf = must_strndup(cfg->dns.resolv_conf.p, cfg->dns.resolv_conf.n);
    char *anchor = must_strndup(cfg->dns.trust_anchor.p, cfg->dns.trust_anchor.n);
    if (n == 0 && !dns_servers_read(resolv_conf, servers, &n, err))
        n = 0;
    struct dns_engine_params p = { .servers = servers,
                                   .server_count = n,
                                   .dnssec = dnssec_of(cfg->dns.dnssec),
                                   .trust_anchor = anchor,
                                   .say = on_dnssec,
                                   .say_ctx = r };
    struct dns_engine *e = n ? dns_engine_new(r->env->loop, &p, err) : NULL;
    free(resolv_conf);
    free(anchor);
    return e;
}

static void *resolver_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct resolver *r = NEW(struct resolver);
    (void)err;
    r->env = env;
    r->config = cfg;
    list_init(&r->lookups);
    return r;
}

/* Never 0: that has a meaning of its own there. */
static uint32_t ttl_of(int64_t ms)
{
    return ms > 0 ? (uint32_t)((ms + CACHE_MS_PER_S - 1) / CACHE_MS_PER_S) : DNS_NOT_KEPT;
}

static struct dns_resolver_params params_of(const struct config_dns *c, uint64_t seed)
{
    return (struct dns_resolver_params){
        .cache = { .max_bytes = c->cache_size_bytes,
                   .max_ttl_s = ttl_of(c->cache_ttl_max_ms),
                   .max_negative_ttl_s = ttl_of(c->negative_ttl_max_ms),
                   .fail_ttl_s = FAIL_TTL_S,
                   .seed = seed },
        .deadline_ms = c->timeout_ms,
    };
}

static bool resolver_start(void *role, struct err *err)
{
    struct resolver *r = role;
    r->engine = make_engine(r, r->config, err);
    if (!r->engine)
        return false;
    struct dns_resolver_params p = params_of(&r->config->dns, loop_random_u64(r->env->loop));
    r->dns = dns_resolver_new(r->env->loop, &p, dns_engine_backend(r->engine));
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (r->clients[i].channel)
            channel_pause(r->clients[i].channel, false);
    resolver_admin_start(r->admin, r->dns);
    resolver_names_start(r->names, r->dns);
    resolver_sites_start(r->sites, r->dns);
    return true;
}

/* Other servers: what is out is asked again there. The cache stays; its answers have TTLs. */
static void resolver_reload(void *role, struct config *next)
{
    struct resolver *r = role;
    struct err e = { "" };
    struct dns_engine *engine = make_engine(r, next, &e);
    if (engine) {
        dns_resolver_use(r->dns, dns_engine_backend(engine));
        dns_engine_free(&r->engine);
        r->engine = engine;
    } else {
        say(r, e.text);
    }
    struct dns_resolver_params p = params_of(&next->dns, 0);
    dns_resolver_configure(r->dns, &p);
    config_free(&r->config);
    r->config = next;
}

/* --- questions --- */

static void lookup_free(struct lookup *l)
{
    list_remove(&l->node);
    dns_lookup_cancel(&l->running);
    free(l);
}

static void answer(struct client *c, uint64_t q, const struct dns_plan *plan)
{
    struct buf p;
    buf_init(&p, PLAN_BYTES_MAX);
    dns_plan_put(&p, plan);
    struct msg_found m = { .q = q, .plan = buf_span(&p) };
    if (c->channel)
        send_found(c->channel, &m);
    buf_free(&p);
}

static void on_plan(void *ctx, const struct dns_plan *plan)
{
    struct lookup *l = ctx;
    l->running = NULL;
    answer(l->client, l->q, plan);
    lookup_free(l);
}

static bool is_local(void *ctx, const struct netaddr *ip)
{
    return loop_is_local(((struct resolver *)ctx)->env->loop, ip);
}

static bool is_own(void *ctx, const struct netaddr *a)
{
    return config_listens_at(((struct resolver *)ctx)->config, a, is_local, ctx);
}

static void set_params(void *ctx, struct dns_mx_params *p)
{
    struct resolver *r = ctx;
    p->port = (uint16_t)r->config->deliver.port;
    p->is_own = is_own;
    p->is_own_ctx = r;
    p->seed = loop_random_u64(r->env->loop);
}

static void on_lookup(struct client *c, struct channel *ch, const struct msg_lookup *m)
{
    struct resolver *r = c->r;
    struct dns_hop hops[DNS_HOPS_MAX];
    size_t n;
    struct err e;
    (void)ch;
    if (!r->dns || !dns_hops_parse(m->hops, hops, &n, &e)) {
        struct dns_plan none = { .verdict = DNS_PLAN_LATER,
                                 .code = SPAN("4.3.0"),
                                 .text = SPAN("the next hop could not be understood") };
        answer(c, m->q, &none);
        return;
    }
    struct lookup *l = NEW(struct lookup);
    l->client = c;
    l->q = m->q;
    list_append(&r->lookups, &l->node);
    struct dns_mx_params p = { 0 };
    set_params(r, &p);
    l->running = dns_lookup_start(r->dns, &p, hops, n, on_plan, l);
}
PROTO_HANDLER(lookup, struct client *, on_lookup)

/* --- the role --- */

static bool any_client(const struct resolver *r)
{
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (r->clients[i].channel)
            return true;
    return false;
}

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct client *c = ctx;
    (void)ch;
    (void)why;
    channel_free(&c->channel);
    LIST_EACH(n, &c->r->lookups) {
        struct lookup *l = CONTAINER(n, struct lookup, node);
        if (l->client == c)
            lookup_free(l);
    }
    if (c->r->finishing && !any_client(c->r))
        c->r->env->done(c->r->env);
}

static void resolver_peer(void *role, enum role_id peer, int index, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(lookup) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    struct resolver *r = role;
    if (peer == ROLE_CONTROL) {
        resolver_admin_free(&r->admin);
        r->admin = resolver_admin_new(r->env->loop, fd, set_params, r);
        if (r->dns)
            resolver_admin_start(r->admin, r->dns);
        return;
    }
    if (peer == ROLE_ROUTER) {
        resolver_names_free(&r->names);
        r->names = resolver_names_new(r->env->loop, fd);
        if (r->dns)
            resolver_names_start(r->names, r->dns);
        return;
    }
    if (peer == ROLE_QMGR) {
        resolver_sites_free(&r->sites);
        r->sites = resolver_sites_new(r->env->loop, fd, set_params, r);
        if (r->dns)
            resolver_sites_start(r->sites, r->dns);
        return;
    }
    struct client *c = peer == ROLE_DELIVER && index < WATCH_CLIENT ? &r->clients[index]
                       : peer == ROLE_WATCH                         ? &r->clients[WATCH_CLIENT]
                                                                    : NULL;
    if (!c) {
        close(fd);
        return;
    }
    if (c->channel)
        on_gone(c, c->channel, "replaced");
    c->r = r;
    c->channel = channel_new(r->env->loop, fd, role_name(peer), &ops, c);
    if (!r->dns)
        channel_pause(c->channel, true); /* asked before master says start */
}

static void on_finish_late(void *ctx)
{
    struct resolver *r = ctx;
    r->env->done(r->env);
}

static void resolver_finish(void *role, int64_t within_ms)
{
    struct resolver *r = role;
    r->finishing = true;
    loop_timer_init(&r->finish, on_finish_late, r);
    loop_timer_in(r->env->loop, &r->finish, within_ms);
    if (!any_client(r))
        r->env->done(r->env);
}

static void resolver_free(void *role)
{
    struct resolver *r = role;
    loop_timer_stop(r->env->loop, &r->finish);
    LIST_EACH(n, &r->lookups)
        lookup_free(CONTAINER(n, struct lookup, node));
    for (int i = 0; i < CLIENTS_MAX; i++)
        channel_free(&r->clients[i].channel);
    resolver_admin_free(&r->admin);
    resolver_names_free(&r->names);
    resolver_sites_free(&r->sites);
    dns_resolver_free(&r->dns);
    dns_engine_free(&r->engine);
    config_free(&r->config);
    free(r);
}

const struct role_ops resolver_role = {
    .make = resolver_make,
    .peer = resolver_peer,
    .start = resolver_start,
    .reload = resolver_reload,
    .finish = resolver_finish,
    .free = resolver_free,
};
