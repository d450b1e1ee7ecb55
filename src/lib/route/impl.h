/* The inside of struct route_tables; only for files of this room. */
#ifndef POSTERN_ROUTE_IMPL_H
#define POSTERN_ROUTE_IMPL_H

#include "route/names.h"
#include "route/route.h"

struct route_tables {
    struct map *map[ROUTE_TABLES]; /* NULL = none */
    bool owns_maps;
    struct config *own_config;     /* a copy that lives as long as the tables; NULL = borrowed */
    const struct config *config;   /* NULL = none */
    struct arena *arena;           /* of the texts below */
    bool mailertable_has_names;    /* more than the catch-all */
    bool has_smart_host;
    struct route_dest smart_host;
    struct span smart_host_text, postmaster, hostname;
    struct route_names *local, *relay_domains, *generics_domains, *masquerade_domains;
    struct cidr *relay_from;
    size_t relay_from_count;
    struct span *exposed_users;
    size_t exposed_users_count;
    struct span masquerade_as;
    bool masquerade_envelope, masquerade_all;
    bool check_passwd, delay_checks, blocklist_recipients;
    uint64_t alias_depth, alias_targets;
    uint64_t seed;
    struct route_world world;
};

/* Delivered here: a local name, no domain at all, or a literal of our own. *why_r names it. */
bool route_is_local(const struct route_tables *t, const struct route_address *a,
                    struct span *why_r);
/* One key of one table, with its step. As map_lookup; 0 when there is no such table. */
int route_look(const struct route_tables *t, enum route_table which, struct span key,
               struct trail *trail, struct map_hit *hit_r);
void route_step(struct trail *t, enum trail_verdict verdict, const char *what, struct span key,
                struct span source, const struct map_hit *hit);
/* In lower case; s itself when a is full. */
struct span route_lower(struct span s, struct arena *a);
bool route_is_own_ip(const struct route_tables *t, const struct netaddr *ip);

#endif
