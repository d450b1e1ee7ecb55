/* Making the tables: every mistake of all lists is reported, then none is used. */
#include "route/access.h"
#include "route/impl.h"
#include "route/value.h"

#include "base/must.h"

#include <stdlib.h>

static struct route_names *make_names(const char *option, const struct span *list, size_t n,
                                      uint64_t seed, struct map_report *r)
{
    struct route_names *names = route_names_new(seed);
    struct err e = { "" };
    for (size_t i = 0; i < n; i++)
        if (!route_names_add(names, list[i], &e))
            map_report_error(r, span_str(option), 0, "%s", e.text);
    return names;
}

static void make_from(struct route_tables *t, const struct route_params *p, struct map_report *r)
{
    struct err e = { "" };
    t->relay_from = must_calloc(p->relay_from_count + 1, sizeof *t->relay_from);
    for (size_t i = 0; i < p->relay_from_count; i++) {
        if (cidr_parse(p->relay_from[i], &t->relay_from[t->relay_from_count], &e))
            t->relay_from_count++;
        else
            map_report_error(r, SPAN("relay.from"), 0, "%s", e.text);
    }
}

static void make_smart_host(struct route_tables *t, struct span text, struct map_report *r)
{
    struct err e = { "" };
    if (!text.n)
        return;
    t->has_smart_host = true;
    t->smart_host_text = arena_dup(t->arena, text);
    if (!route_value_or_hops(text, t->arena, &t->smart_host, &e))
        map_report_error(r, SPAN("route.smart_host"), 0, "%s", e.text);
    else if (!route_dest_has_hops(&t->smart_host) && t->smart_host.mailer != ROUTE_ERROR &&
             t->smart_host.mailer != ROUTE_HOLD)
        map_report_error(r, SPAN("route.smart_host"), 0, "\"%s:\" is no place for all other mail",
                         route_mailer_name(t->smart_host.mailer));
    t->smart_host.matched = SPAN("smart_host");
}

static void make_exposed(struct route_tables *t, const struct route_params *p)
{
    t->exposed_users = must_calloc(p->exposed_users_count + 1, sizeof *t->exposed_users);
    for (size_t i = 0; i < p->exposed_users_count; i++)
        t->exposed_users[t->exposed_users_count++] = arena_dup(t->arena, p->exposed_users[i]);
}

static void take_plain(struct route_tables *t, const struct route_params *p)
{
    struct map *const maps[ROUTE_TABLES] = {
        [ROUTE_MAILERTABLE] = p->mailertable,     [ROUTE_ACCESS] = p->access,
        [ROUTE_VIRTUSERTABLE] = p->virtusertable, [ROUTE_ALIASES] = p->aliases,
        [ROUTE_SMARTTABLE] = p->smarttable,       [ROUTE_GENERICSTABLE] = p->genericstable,
        [ROUTE_RECIPIENTS] = p->relay_recipients, [ROUTE_USERS] = p->local_users,
    };
    memcpy(t->map, maps, sizeof maps);
    t->config = p->config;
    t->world = p->world;
    t->verify = p->verify;
    t->no_canonical = p->no_canonical;
    t->delay_checks = p->delay_checks;
    t->blocklist_recipients = p->blocklist_recipients;
    t->masquerade_limited = p->masquerade_limited;
    t->masquerade_envelope = p->masquerade_envelope;
    t->masquerade_all = p->masquerade_all;
    t->alias_depth = p->alias_depth ? p->alias_depth : ROUTE_DEPTH_MAX;
    t->alias_targets = p->alias_targets ? p->alias_targets : ROUTE_TARGETS_MAX;
    t->seed = p->seed;
    t->postmaster = arena_dup(t->arena, p->postmaster);
    t->hostname = arena_dup(t->arena, p->hostname.n ? p->hostname : SPAN("localhost"));
    t->masquerade_as = arena_dup(t->arena, p->masquerade_as);
}

static bool is_name(void *found, struct span key, const struct map_hit *hit)
{
    (void)hit;
    return !(*(bool *)found = !span_eq(key, SPAN(".")));
}

static bool add_virtual(void *virtuals, struct span key, const struct map_hit *hit)
{
    struct err ignored; /* checked at load */
    (void)hit;
    route_names_add(virtuals, span_from(key, span_rfind(key, '@') + 1), &ignored);
    return true;
}

static bool add_form(void *forms, struct span key, const struct map_hit *hit)
{
    (void)hit;
    *(unsigned *)forms |= 1u << route_access_tag(&key);
    return true;
}

/* The keys of the first two are patterns and networks, not what is looked up; the third gets its
 * keys from a program, at any time. */
static bool has_plain_keys(const struct map *m)
{
    return strcmp(map_type(m), "regex") != 0 && strcmp(map_type(m), "cidr") != 0 &&
           strcmp(map_type(m), "ram") != 0;
}

/* What is read out of the maps once, when they are new. */
void route_derive(struct route_tables *t)
{
    t->mailertable_has_names = false;
    if (t->map[ROUTE_MAILERTABLE]) {
        map_each(t->map[ROUTE_MAILERTABLE], is_name, &t->mailertable_has_names);
        if (!has_plain_keys(t->map[ROUTE_MAILERTABLE]))
            t->mailertable_has_names = true;
    }
    t->access_forms = 0;
    if (t->map[ROUTE_ACCESS]) {
        map_each(t->map[ROUTE_ACCESS], add_form, &t->access_forms);
        if (!has_plain_keys(t->map[ROUTE_ACCESS]))
            t->access_forms = ~0u;
    }
    route_names_free(&t->virtuals);
    t->virtuals = route_names_new(t->seed);
    if (t->map[ROUTE_VIRTUSERTABLE])
        map_each(t->map[ROUTE_VIRTUSERTABLE], add_virtual, t->virtuals);
}

/* The host name is ours as route.local is (sendmail's class w). */
static void add_hostname(struct route_tables *t, struct map_report *r)
{
    struct err e = { "" };
    if (!route_names_add(t->local, t->hostname, &e))
        map_report_error(r, SPAN("hostname"), 0, "%s", e.text);
}

struct route_tables *route_tables_new(const struct route_params *p, struct map_report *r)
{
    struct route_tables *t = NEW(struct route_tables);
    size_t errors = r->errors;
    t->arena = arena_new((size_t)64 << 20);
    take_plain(t, p);
    t->local = make_names("route.local", p->local, p->local_count, p->seed, r);
    add_hostname(t, r);
    t->relay_domains = make_names("relay.domains", p->relay_domains, p->relay_domains_count,
                                  p->seed, r);
    t->generics_domains = make_names("route.generics_domains", p->generics_domains,
                                     p->generics_domains_count, p->seed, r);
    t->masquerade_domains = make_names("route.masquerade_domains", p->masquerade_domains,
                                       p->masquerade_domains_count, p->seed, r);
    make_from(t, p, r);
    make_exposed(t, p);
    make_smart_host(t, p->smart_host, r);
    route_derive(t);
    if (r->errors > errors)
        route_tables_free(&t);
    return t;
}

void route_tables_free(struct route_tables **t)
{
    if (!*t)
        return;
    for (int i = 0; (*t)->owns_maps && i < ROUTE_TABLES; i++)
        map_free(&(*t)->map[i]);
    route_names_free(&(*t)->local);
    route_names_free(&(*t)->virtuals);
    route_names_free(&(*t)->relay_domains);
    route_names_free(&(*t)->generics_domains);
    route_names_free(&(*t)->masquerade_domains);
    arena_free(&(*t)->arena);
    config_free(&(*t)->own_config);
    free((*t)->relay_from);
    free((*t)->exposed_users);
    free(*t);
    *t = NULL;
}

/* A wildcard listener says nothing about which addresses this host has, but loopback is among
 * them. */
bool route_is_own_ip(const struct route_tables *t, const struct netaddr *ip)
{
    if (t->world.is_own_ip)
        return t->world.is_own_ip(t->world.ctx, ip);
    if (netaddr_is_loopback(ip))
        return true;
    for (size_t i = 0; t->config && i < t->config->n_listens; i++) {
        const struct config_addrs *a = &t->config->listens[i].address;
        for (size_t k = 0; k < a->n; k++)
            if (netaddr_same_ip(&a->v[k], ip))
                return true;
    }
    return false;
}

bool route_is_local(const struct route_tables *t, const struct route_address *a,
                    struct span *why_r)
{
    if (a->kind == ROUTE_ADDR_LOCAL_PART) {
        *why_r = SPAN("no domain");
        return true;
    }
    if (route_names_has(t->local, a, why_r))
        return true;
    *why_r = SPAN("an address of this host");
    return a->kind == ROUTE_ADDR_LITERAL && route_is_own_ip(t, &a->literal);
}
