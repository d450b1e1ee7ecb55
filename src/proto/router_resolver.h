/* router asks resolver for names: whose address a client has, and what a domain's canonical name
 * is. Router has deadlines of its own and forgets what is answered too late. */
#ifndef POSTERN_PROTO_ROUTER_RESOLVER_H
#define POSTERN_PROTO_ROUTER_RESOLVER_H

#include "ipc/proto.h"

/* PTR, then whether one of the names leads back to the address. */
#define ASK_REVERSE_FIELDS(F) F(U64, q) F(ADDR, ip)
/* state: enum resolver_name; name: the verified one, or "". */
#define REVERSE_FIELDS(F) F(U64, q) F(U8, state) F(BYTES, name)

/* Where the chain of CNAMEs of `domain` ends. */
#define ASK_CANON_FIELDS(F) F(U64, q) F(BYTES, domain)
/* ok: DNS has answered; name: "" = the domain is its own canonical name, or does not exist.
 * ttl_s: how long that stays true. why: of a failure. */
#define CANON_FIELDS(F) F(U64, q) F(U8, ok) F(U32, ttl_s) F(BYTES, name) F(BYTES, why)

/* Whether any name server answers at all; never answered out of our own cache. */
#define ASK_ALIVE_FIELDS(F) F(U64, q)
#define ALIVE_FIELDS(F) F(U64, q) F(U8, ok)

enum resolver_name {
    RESOLVER_NAME_GOOD,   /* leads back to the address */
    RESOLVER_NAME_NONE,   /* there is none */
    RESOLVER_NAME_FORGED, /* there is one, and it does not lead back */
    RESOLVER_NAME_FAILED, /* DNS could not say */
};

#define ROUTER_RESOLVER(M) \
    M(0x90, ask_reverse, ASK_REVERSE_FIELDS) \
    M(0x91, reverse, REVERSE_FIELDS) \
    M(0x92, ask_canon, ASK_CANON_FIELDS) \
    M(0x93, canon, CANON_FIELDS) \
    M(0x94, ask_alive, ASK_ALIVE_FIELDS) \
    M(0x95, alive, ALIVE_FIELDS)
PROTO_DECLARE(ROUTER_RESOLVER)

#endif
