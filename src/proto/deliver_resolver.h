/* deliver asks resolver where to connect for a destination: all its hops in one question. */
#ifndef POSTERN_PROTO_DELIVER_RESOLVER_H
#define POSTERN_PROTO_DELIVER_RESOLVER_H

#include "ipc/proto.h"

/* hops: as dns_hops_put writes them. plan: dns_plan_put; trail: trail_put. */
#define LOOKUP_FIELDS(F) F(U64, q) F(BYTES, hops)
#define FOUND_FIELDS(F) F(U64, q) F(BYTES, plan) F(BYTES, trail)

#define DELIVER_RESOLVER(M) \
    M(0x50, lookup, LOOKUP_FIELDS) \
    M(0x51, found, FOUND_FIELDS)
PROTO_DECLARE(DELIVER_RESOLVER)

#endif
