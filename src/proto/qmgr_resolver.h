/* qmgr asks resolver at which site a destination is, before it begins anything there. What the
 * DNS said is in resolver's cache then, where deliver finds it. qmgr has a deadline of its own
 * and forgets what is answered too late. */
#ifndef POSTERN_PROTO_QMGR_RESOLVER_H
#define POSTERN_PROTO_QMGR_RESOLVER_H

#include "ipc/proto.h"

/* hops: as dns_hops_put writes them. */
#define ASK_SITE_FIELDS(F) F(U64, q) F(BYTES, hops)
/* site: of the plan (dns/plan.h); "" = there is none now, and deliver will be told why. ttl_s: how
 * long that stays true. best, all: the plan's order. */
#define SITE_FIELDS(F) F(U64, q) F(BYTES, site) F(U32, ttl_s) F(U64, best) F(U64, all)

/* A person wants something tried now: that the DNS failed for it a moment ago is not remembered. */
#define DNS_ANEW_FIELDS(F) F(U64, q)

#define QMGR_RESOLVER(M) \
    M(0xc0, ask_site, ASK_SITE_FIELDS) \
    M(0xc3, site, SITE_FIELDS) /* 0xc1 had no order */ \
    M(0xc2, dns_anew, DNS_ANEW_FIELDS)
PROTO_DECLARE(QMGR_RESOLVER)

#endif
