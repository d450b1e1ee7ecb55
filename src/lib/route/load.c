/* From a configuration to the tables of it. */
#include "route/impl.h"

#include "base/must.h"

#include <stdlib.h>

static struct config *copy_config(const struct config *cfg)
{
    struct buf b;
    buf_init(&b, CONFIG_WIRE_MAX);
    config_put(&b, cfg);
    struct wire w = wire_reader(buf_span(&b));
    struct config *copy = b.failed ? NULL : config_get(&w);
    MUST(copy); /* it was a checked configuration */
    buf_free(&b);
    return copy;
}

/* Which option names the map of a table; empty = none. */
static struct span spec_of(const struct config *cfg, enum route_table which)
{
    switch (which) {
    case ROUTE_MAILERTABLE: return cfg->route.mailertable;
    case ROUTE_ACCESS: return cfg->route.access;
    case ROUTE_VIRTUSERTABLE: return cfg->route.virtusertable;
    case ROUTE_ALIASES: return cfg->route.aliases;
    case ROUTE_SMARTTABLE: return cfg->route.smarttable;
    case ROUTE_GENERICSTABLE: return cfg->route.genericstable;
    case ROUTE_RECIPIENTS: return cfg->relay.recipients;
    case ROUTE_USERS: return span_eq(cfg->route.local_users, SPAN("any"))
                                ? SPAN_NONE : cfg->route.local_users;
    default: return SPAN_NONE;
    }
}

static struct map **place_of(struct route_params *p, enum route_table which)
{
    struct map **const places[ROUTE_TABLES] = {
        [ROUTE_MAILERTABLE] = &p->mailertable,     [ROUTE_ACCESS] = &p->access,
        [ROUTE_VIRTUSERTABLE] = &p->virtusertable, [ROUTE_ALIASES] = &p->aliases,
        [ROUTE_SMARTTABLE] = &p->smarttable,       [ROUTE_GENERICSTABLE] = &p->genericstable,
        [ROUTE_RECIPIENTS] = &p->relay_recipients, [ROUTE_USERS] = &p->local_users,
    };
    return places[which];
}

/* `name@domain` as an alias is `name` where the domain is ours. */
static bool is_local(void *ctx, struct span domain)
{
    const struct config *cfg = ctx;
    for (size_t i = 0; i < cfg->route.local.n; i++)
        if (span_ieq(cfg->route.local.v[i], domain))
            return true;
    return span_ieq(cfg->hostname, domain);
}

static struct map *open_aliases(const struct config *cfg, uint64_t seed, struct map_report *r)
{
    struct map_params p = { .seed = seed, .check_ctx = (void *)(uintptr_t)cfg,
                            .is_local = is_local };
    route_map_params(ROUTE_ALIASES, &p);
    return map_open(cfg->route.aliases, &p, r);
}

static void open_maps(const struct config *cfg, struct route_params *p, struct map_report *r)
{
    for (int i = 0; i < ROUTE_TABLES; i++) {
        struct span spec = spec_of(cfg, (enum route_table)i);
        if (spec.n && i == ROUTE_ALIASES)
            p->aliases = open_aliases(cfg, p->seed, r);
        else if (spec.n)
            *place_of(p, (enum route_table)i) =
                route_open_table((enum route_table)i, spec, p->seed, r);
    }
}

/* The texts of relay.from, in one block. */
static void put_from(const struct config *cfg, struct buf *text, struct span *from)
{
    size_t n = cfg->relay.from.n;
    size_t *offsets = must_calloc(n + 1, sizeof *offsets);
    for (size_t i = 0; i < n; i++) {
        offsets[i] = text->len;
        cidr_put(text, &cfg->relay.from.v[i]);
    }
    offsets[n] = text->len;
    for (size_t i = 0; i < n; i++)
        from[i] = span_from(span_to(buf_span(text), offsets[i + 1]), offsets[i]);
    free(offsets);
}

static struct route_params params_of(const struct config *cfg, uint64_t seed,
                                     const struct route_world *world)
{
    const struct config_route *rt = &cfg->route;
    return (struct route_params){
        .smart_host = rt->smart_host,
        .local = rt->local.v,
        .local_count = rt->local.n,
        .relay_domains = cfg->relay.domains.v,
        .relay_domains_count = cfg->relay.domains.n,
        .postmaster = cfg->postmaster,
        .hostname = cfg->hostname,
        .verify = cfg->relay.verify,
        .no_canonical = !rt->canonical,
        .delay_checks = rt->delay_checks,
        .blocklist_recipients = rt->blocklist_recipients,
        .alias_depth = rt->alias_depth,
        .alias_targets = rt->alias_targets,
        .generics_domains = rt->generics_domains.v,
        .generics_domains_count = rt->generics_domains.n,
        .masquerade_domains = rt->masquerade_domains.v,
        .masquerade_domains_count = rt->masquerade_domains.n,
        .exposed_users = rt->exposed_users.v,
        .exposed_users_count = rt->exposed_users.n,
        .masquerade_as = rt->masquerade_as,
        .masquerade_limited = !rt->masquerade_local,
        .masquerade_envelope = rt->masquerade_envelope,
        .masquerade_all = rt->masquerade_all,
        .config = cfg,
        .world = world ? *world : (struct route_world){ 0 },
        .seed = seed,
    };
}

struct route_tables *route_load(const struct config *cfg, uint64_t seed,
                                const struct route_world *world, struct map_report *r)
{
    struct config *copy = copy_config(cfg);
    struct route_params p = params_of(copy, seed, world);
    struct span *from = must_calloc(copy->relay.from.n + 1, sizeof *from);
    struct buf text;
    size_t errors = r->errors;
    buf_init(&text, (copy->relay.from.n + 1) * NETADDR_TEXT_MAX);
    put_from(copy, &text, from);
    p.relay_from = from;
    p.relay_from_count = copy->relay.from.n;
    open_maps(copy, &p, r);
    struct route_tables *t = r->errors > errors ? NULL : route_tables_new(&p, r);
    if (t) {
        t->owns_maps = true;
        t->own_config = copy;
        t->passwd_users = span_eq(copy->route.local_users, SPAN("passwd"));
        route_passwd_changed(t);
    } else {
        for (int i = 0; i < ROUTE_TABLES; i++)
            map_free(place_of(&p, (enum route_table)i));
        config_free(&copy);
    }
    buf_free(&text);
    free(from);
    return t;
}

bool route_refresh(struct route_tables *t, struct map_report *r)
{
    bool changed = false;
    for (int i = 0; i < ROUTE_TABLES; i++) {
        bool passwd = i == ROUTE_USERS && t->passwd_users;
        if (t->map[i] && (passwd ? route_refresh_passwd(t, r) : map_refresh(t->map[i], r) == 1))
            changed = true;
    }
    if (changed)
        route_derive(t);
    return changed;
}

size_t route_entries(const struct route_tables *t)
{
    size_t n = 0;
    for (int i = 0; i < ROUTE_TABLES; i++)
        n += t->map[i] ? map_stats(t->map[i]).entries : 0;
    return n;
}
