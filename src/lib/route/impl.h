/* The inside of struct route_tables; only for files of this room. */
#ifndef POSTERN_ROUTE_IMPL_H
#define POSTERN_ROUTE_IMPL_H

#include "route/names.h"
#include "route/route.h"

struct route_tables {
    struct map *mailertable;
    struct arena *arena;       /* of the smart host */
    bool has_smart_host;
    struct route_dest smart_host;
    struct span smart_host_text, postmaster;
    struct route_names *local, *relay_domains;
    struct cidr *relay_from;
    size_t relay_from_count;
    bool (*is_own_ip)(void *ctx, const struct netaddr *ip);
    void *is_own_ip_ctx;
};

/* Delivered here: a local name, no domain at all, or a literal of our own. *why_r names it. */
bool route_is_local(const struct route_tables *t, const struct route_address *a,
                    struct span *why_r);

#endif
