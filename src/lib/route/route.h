/* route: where does this recipient go, and may this client send there at all? Pure: tables in,
 * decision and trail out; no network. The answer is asked for anew at each attempt, so that an
 * edited table works on mail that is queued already. */
#ifndef POSTERN_ROUTE_ROUTE_H
#define POSTERN_ROUTE_ROUTE_H

#include "maps/map.h"
#include "route/dest.h"
#include "trail/trail.h"

/* Plain values, from wherever the configuration is read. Lists are copied. */
struct route_params {
    struct map *mailertable;       /* borrowed; NULL = none. Open it with route_open_mailertable */
    struct span smart_host;        /* next hops, or MAILER:...; empty = none */
    const struct span *local;      /* route.local and our own host names: delivered here */
    size_t local_count;
    const struct span *relay_from; /* "10.0.0.0/8", "[::1]/128", one address */
    size_t relay_from_count;
    const struct span *relay_domains; /* "example.net", ".example.net", "[192.0.2.1]" */
    size_t relay_domains_count;
    struct span postmaster;        /* everybody may write to it; empty = none */
    /* Whether ip is one of this host's, for recipients user@[ip]. NULL: loopback only. */
    bool (*is_own_ip)(void *ctx, const struct netaddr *ip);
    void *is_own_ip_ctx;
    uint64_t seed;                 /* of hashes */
};

struct route_tables;

/* NULL: r has every error, each beginning with the option's name ("relay.from: ..."). */
struct route_tables *route_tables_new(const struct route_params *p, struct map_report *r);
void route_tables_free(struct route_tables **t);

/* A map whose entries are checked while it is read: an unknown mailer, an empty host, a value
 * without a mailer is an error with file and line, then and at every reload. */
struct map *route_open_mailertable(struct span spec, uint64_t seed, struct map_report *r);

/* The decision, always one: what cannot be routed is ROUTE_ERROR. In this order: addresses that
 * make no sense; local names; address literals (sent there); the mailertable (the name as
 * written, .parent, ..., "."); smart_host; the MX of the domain.
 * The sender decides nothing yet (the smarttable comes later). Spans live in `a` or in the
 * tables. `t` may be NULL. */
void route_find(const struct route_tables *tables, struct span sender, struct span rcpt,
                struct arena *a, struct trail *t, struct route_dest *dest_r);

/* --- may it? --- */

enum route_client_name {
    ROUTE_NAME_UNKNOWN, /* not looked up */
    ROUTE_NAME_GOOD,    /* the name leads back to the address */
    ROUTE_NAME_FAILED,  /* no name found */
    ROUTE_NAME_FORGED,  /* a name that does not lead back */
};

struct route_client {
    struct netaddr ip;     /* NETADDR_NONE: mail of our own making, allowed */
    struct span auth;      /* authenticated identity; empty = none */
    enum route_client_name name; /* for the words of the reply only */
};

struct route_reply {
    uint16_t reply;   /* 550 */
    struct span code; /* "5.7.1" */
    struct span text; /* "<x@y>... Relaying denied" */
};

/* True: this client may send to this recipient: it is in relay.from, or authenticated, or the
 * recipient is local, in relay.domains, or the postmaster (RFC 5321 4.5.1). A mailertable entry
 * alone allows nothing. For clients that are not trusted a local part with % ! or @ is not
 * relayed ("user%elsewhere@ours"), since a next hop may act on it. False: reply_r says no; its
 * spans live in `a`. */
bool route_relay_allowed(const struct route_tables *tables, const struct route_client *client,
                         struct span rcpt, struct arena *a, struct trail *t,
                         struct route_reply *reply_r);

#endif
