/* Making the tables: every mistake of all lists is reported, then none is used. */
#include "route/impl.h"
#include "route/value.h"

#include "base/must.h"

#include <stdlib.h>

struct map *route_open_mailertable(struct span spec, uint64_t seed, struct map_report *r)
{
    struct map_params p = { .seed = seed, .check = route_check_entry };
    return map_open(spec, &p, r);
}

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

struct route_tables *route_tables_new(const struct route_params *p, struct map_report *r)
{
    struct route_tables *t = NEW(struct route_tables);
    size_t errors = r->errors;
    t->mailertable = p->mailertable;
    t->is_own_ip = p->is_own_ip;
    t->is_own_ip_ctx = p->is_own_ip_ctx;
    t->arena = arena_new(1 << 16);
    t->local = make_names("route.local", p->local, p->local_count, p->seed, r);
    t->relay_domains = make_names("relay.domains", p->relay_domains, p->relay_domains_count,
                                  p->seed, r);
    make_from(t, p, r);
    make_smart_host(t, p->smart_host, r);
    t->postmaster = arena_dup(t->arena, p->postmaster);
    if (r->errors > errors)
        route_tables_free(&t);
    return t;
}

void route_tables_free(struct route_tables **t)
{
    if (!*t)
        return;
    route_names_free(&(*t)->local);
    route_names_free(&(*t)->relay_domains);
    arena_free(&(*t)->arena);
    free((*t)->relay_from);
    free(*t);
    *t = NULL;
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
    return a->kind == ROUTE_ADDR_LITERAL &&
           (t->is_own_ip ? t->is_own_ip(t->is_own_ip_ctx, &a->literal)
                         : netaddr_is_loopback(&a->literal));
}
