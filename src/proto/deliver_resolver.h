/* deliver asks resolver where to connect for a destination: all its hops in one question. */
#ifndef POSTERN_PROTO_DELIVER_RESOLVER_H
#define POSTERN_PROTO_DELIVER_RESOLVER_H

#include "ipc/proto.h"

/* hops: as dns_hops_put writes them. plan: dns_plan_put. */
#define LOOKUP_FIELDS(F) F(U64, q) F(BYTES, hops)
#define FOUND_FIELDS(F) F(U64, q) F(BYTES, plan)

#define DELIVER_RESOLVER(M) \
    M(0x50, lookup, LOOKUP_FIELDS) \
    M(0x52, found, FOUND_FIELDS) /* 0x51 had a trail */
PROTO_DECLARE(DELIVER_RESOLVER)

#endif
