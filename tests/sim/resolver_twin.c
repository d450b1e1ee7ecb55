/* The resolver of the simulation: src/resolver with the staged zone in place of libunbound,
 * which has its own sockets and clock. Our cache and the making of plans are the real ones. */
#include "world.h"

#include "base/must.h"
#include "dns/resolver.h"
#include "dns/zone.h"
#include "ipc/channel.h"
#include "proto/deliver_resolver.h"
#include "resolver/names.h"
#include "resolver/sites.h"

#include <stdlib.h>

enum { PLAN_BYTES_MAX = 256 << 10, WATCH = DELIVERS, ASKERS };

struct twin;

struct asker {
    struct twin *t;
    struct channel *channel;
};

struct lookup {
    struct list node;
    struct asker *from;
    uint64_t q;
    struct dns_lookup *running;
};

struct twin {
    struct role_env *env;
    struct config *config;
    struct dns_zone *zone;
    struct dns_resolver *dns;
    struct asker askers[ASKERS];
    struct resolver_names *names;
    struct resolver_sites *sites;
    struct list lookups;
};

static void lookup_free(struct lookup *l)
{
    list_remove(&l->node);
    dns_lookup_cancel(&l->running);
    free(l);
}

static void on_plan(void *ctx, const struct dns_plan *plan)
{
    struct lookup *l = ctx;
    struct buf p;
    buf_init(&p, PLAN_BYTES_MAX);
    dns_plan_put(&p, plan);
    struct msg_found m = { .q = l->q, .plan = buf_span(&p) };
    if (l->from->channel)
        send_found(l->from->channel, &m);
    buf_free(&p);
    l->running = NULL;
    lookup_free(l);
}

static bool is_own(void *ctx, const struct netaddr *a)
{
    const struct twin *t = ctx;
    return config_listen_at(t->config, a) != NULL;
}

static void set_params(void *ctx, struct dns_mx_params *p)
{
    struct twin *t = ctx;
    p->port = (uint16_t)t->config->deliver.port;
    p->is_own = is_own;
    p->is_own_ctx = t;
    p->seed = loop_random_u64(t->env->loop);
}

static void on_lookup(struct asker *from, struct channel *ch, const struct msg_lookup *m)
{
    struct twin *t = from->t;
    struct dns_hop hops[DNS_HOPS_MAX];
    size_t n;
    struct err e;
    const struct proc *self = t->env->host;
    (void)ch;
    if (self->w->resolver_mute)
        return;
    MUST(dns_hops_parse(m->hops, hops, &n, &e));
    struct lookup *l = NEW(struct lookup);
    l->from = from;
    l->q = m->q;
    list_append(&t->lookups, &l->node);
    struct dns_mx_params p = { 0 };
    set_params(t, &p);
    l->running = dns_lookup_start(t->dns, &p, hops, n, on_plan, l);
}
PROTO_HANDLER(lookup, struct asker *, on_lookup)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct asker *a = ctx;
    (void)ch;
    (void)why;
    channel_free(&a->channel);
    LIST_EACH(n, &a->t->lookups) {
        struct lookup *l = CONTAINER(n, struct lookup, node);
        if (l->from == a)
            lookup_free(l);
    }
}

static void twin_peer(void *role, enum role_id peer, int index, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(lookup) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    struct twin *t = role;
    if (peer == ROLE_ROUTER) {
        resolver_names_free(&t->names);
        t->names = resolver_names_new(t->env->loop, fd);
        if (t->dns)
            resolver_names_start(t->names, t->dns);
        return;
    }
    if (peer == ROLE_QMGR) {
        resolver_sites_free(&t->sites);
        t->sites = resolver_sites_new(t->env->loop, fd, set_params, t);
        if (t->dns)
            resolver_sites_start(t->sites, t->dns);
        return;
    }
    MUST(peer == ROLE_WATCH || (peer == ROLE_DELIVER && index < DELIVERS));
    struct asker *a = &t->askers[peer == ROLE_WATCH ? WATCH : index];
    a->t = t;
    if (a->channel)
        on_gone(a, a->channel, "replaced");
    a->channel = channel_new(t->env->loop, fd, role_name(peer), &ops, a);
    if (!t->dns)
        channel_pause(a->channel, true);
}

static void *twin_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct twin *t = NEW(struct twin);
    struct buf text;
    t->env = env;
    t->config = cfg;
    list_init(&t->lookups);
    t->zone = dns_zone_new();
    buf_init(&text, 64 << 10);
    struct proc *p = env->host;
    p->w->zone(p->w, &text);
    MUST(dns_zone_add(t->zone, buf_span(&text), err));
    buf_free(&text);
    return t;
}

static bool twin_start(void *role, struct err *err)
{
    struct twin *t = role;
    const struct config_dns *c = &t->config->dns;
    (void)err;
    struct dns_resolver_params p = {
        .cache = { .max_bytes = c->cache_size_bytes,
                   .max_ttl_s = (uint32_t)(c->cache_ttl_max_ms / 1000),
                   .max_negative_ttl_s = (uint32_t)(c->negative_ttl_max_ms / 1000),
                   .seed = loop_random_u64(t->env->loop) },
        .deadline_ms = c->timeout_ms,
    };
    t->dns = dns_resolver_new(t->env->loop, &p, dns_zone_backend(t->zone));
    for (int i = 0; i < ASKERS; i++)
        if (t->askers[i].channel)
            channel_pause(t->askers[i].channel, false);
    resolver_names_start(t->names, t->dns);
    resolver_sites_start(t->sites, t->dns);
    return true;
}

static void twin_reload(void *role, struct config *next)
{
    struct twin *t = role;
    config_free(&t->config);
    t->config = next;
}

static void twin_finish(void *role, int64_t within_ms)
{
    struct twin *t = role;
    (void)within_ms;
    t->env->done(t->env);
}

static void twin_free(void *role)
{
    struct twin *t = role;
    LIST_EACH(n, &t->lookups)
        lookup_free(CONTAINER(n, struct lookup, node));
    for (int i = 0; i < ASKERS; i++)
        channel_free(&t->askers[i].channel);
    resolver_names_free(&t->names);
    resolver_sites_free(&t->sites);
    dns_resolver_free(&t->dns);
    dns_zone_free(&t->zone);
    config_free(&t->config);
    free(t);
}

const struct role_ops resolver_twin = {
    .make = twin_make,
    .peer = twin_peer,
    .start = twin_start,
    .reload = twin_reload,
    .finish = twin_finish,
    .free = twin_free,
};
