/* The inside of struct route_tables; only for files of this room. */
#ifndef POSTERN_ROUTE_IMPL_H
#define POSTERN_ROUTE_IMPL_H

#include "route/names.h"
#include "route/route.h"

struct route_tables {
    struct map *map[ROUTE_TABLES]; /* NULL = none */
    bool owns_maps;
    bool passwd_users;             /* map[ROUTE_USERS] was made from /etc/passwd: */
    int64_t passwd_ns, passwd_inode; /* that one */
    struct config *own_config;     /* a copy that lives as long as the tables; NULL = borrowed */
    const struct config *config;   /* NULL = none */
    struct arena *arena;           /* of the texts below */
    unsigned access_forms;         /* bits of enum route_access_tag that its keys have */
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
    bool masquerade_limited, masquerade_envelope, masquerade_all;
    struct route_names *virtuals;  /* the domains of virtusertable's keys */
    bool verify, no_canonical, delay_checks, blocklist_recipients;
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
/* Addresses of virtusertable for user@domain. 1: *value_r, with its %1 %2 %3 filled in (in a), is
 * an address or "error:..."; 0: nothing; -1: the table cannot say, or a is full. */
int route_virtual(const struct route_tables *t, const struct route_address *addr, struct arena *a,
                  struct trail *trail, struct span *value_r);
bool route_is_virtual(const struct route_tables *t, const struct route_address *addr);

/* What rcpt stands for: virtusertable and aliases, into out->targets. False: out->refused. */
bool route_expand(const struct route_tables *t, struct span sender, struct span rcpt,
                  struct arena *a, struct trail *trail, struct route_accept *out);
/* Whether a local user has a mailbox. 1, 0, -1. Everybody when nobody keeps a list. */
int route_user_exists(const struct route_tables *t, struct span user, struct trail *trail);

/* Sets out->refused. "<WHO>... TEXT" when who is not empty. Always returns false. */
bool route_refuse(struct route_accept *out, struct arena *a, uint16_t reply, struct span code,
                  struct span who, struct span text);

/* open.c: passwd's users as a map, and the maps of a configuration read again. */
void route_map_params(enum route_table which, struct map_params *p);
struct map *route_open_passwd(uint64_t seed, struct map_report *r);
bool route_passwd_changed(struct route_tables *t); /* since it was asked last */
bool route_refresh_passwd(struct route_tables *t, struct map_report *r);
void route_derive(struct route_tables *t); /* after any map has changed */

struct span route_fold(char *key, size_t n); /* in lower case, where it stands */
/* In lower case; s itself when a is full. */
struct span route_lower(struct span s, struct arena *a);
/* The listener of ours that the first next hop is; NULL = none. */
const struct config_listen *route_own_listener(const struct route_tables *t,
                                               const struct route_dest *d);
bool route_is_own_ip(const struct route_tables *t, const struct netaddr *ip);

#endif
