/* access: what stands on the right of an access entry, and how the table is searched.
 *   OK RELAY REJECT DISCARD SKIP     in any case
 *   QUARANTINE:reason
 *   ERROR:D.S.N:code text            also ERROR:code text
 *   550 text                         the reply itself, with or without D.S.N behind the code
 * Keys: address, user@, domain and the domains above it, IP address and what is left of it when
 * the last octet (IPv6: group) is dropped, "IPv6:" in front of IPv6; with Connect: From: To: in
 * front, or without for all of them. */
#ifndef POSTERN_ROUTE_ACCESS_H
#define POSTERN_ROUTE_ACCESS_H

#include "route/address.h"
#include "route/route.h"

enum route_access_kind {
    ROUTE_ACCESS_OK,
    ROUTE_ACCESS_RELAY,
    ROUTE_ACCESS_REJECT,
    ROUTE_ACCESS_DISCARD,
    ROUTE_ACCESS_SKIP, /* the search ends without a decision */
    ROUTE_ACCESS_QUARANTINE,
    ROUTE_ACCESS_ERROR,
};

struct route_access {
    enum route_access_kind kind;
    uint16_t reply;   /* ERROR */
    struct span code; /* ERROR */
    struct span text; /* ERROR: what the other side reads; QUARANTINE: the reason */
};

/* Spans point into value. False: e says what is wrong. */
bool route_access_value(struct span value, struct route_access *r, struct err *e);

enum route_access_tag {
    ROUTE_TAG_CONNECT, ROUTE_TAG_FROM, ROUTE_TAG_TO, ROUTE_TAGS,
    ROUTE_TAG_NONE,  /* no tag in front */
    ROUTE_TAG_OTHER, /* one of sendmail's that are not for this */
};
/* Takes the tag off the front of *key. */
enum route_access_tag route_access_tag(struct span *key);

/* For map_params.check. */
bool route_access_entry(void *unused, struct span key, struct span value, struct err *e);

struct route_search {
    const struct route_tables *tables;
    struct trail *trail;
    enum route_access_tag tag;
    bool tagged, untagged; /* which forms of each key are asked for */
};

/* 1: *r_r says what applies (never SKIP); 0: nothing; -1: the table cannot say. The texts live
 * in the table. An empty name or address is passed over. */
int route_access_client(const struct route_search *s, const struct route_client *c,
                        struct route_access *r_r);
int route_access_address(const struct route_search *s, struct span addr, struct route_access *r_r);
/* Only the domain and those above it. */
int route_access_domain(const struct route_search *s, const struct route_address *a,
                        struct route_access *r_r);

#endif
