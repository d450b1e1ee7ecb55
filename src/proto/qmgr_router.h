/* qmgr asks router: where to, now? Once per recipient and attempt, all of a turn in one write. */
#ifndef POSTERN_PROTO_QMGR_ROUTER_H
#define POSTERN_PROTO_QMGR_ROUTER_H

#include "ipc/proto.h"

/* flags: ENVELOPE_RCPT_EXPANDED; released: what would park it is passed over. */
#define ROUTE_FIELDS(F) \
    F(U64, q) F(U8, flags) F(U8, released) F(BYTES, sender) F(BYTES, rcpt)
/* destination: the route's codec (route/route.h). */
#define ROUTED_FIELDS(F) F(U64, q) F(BYTES, destination)

/* Who gets a report of our own that is for `rcpt`: aliases are for those as well.
 * targets: proto/lists.h; empty: rcpt itself. */
#define EXPAND_FIELDS(F) F(U64, q) F(BYTES, rcpt)
#define EXPANDED_FIELDS(F) F(U64, q) F(BYTES, targets)

/* To qmgr: the tables are new ones, and what waits is to be routed again. */
#define TABLES_FIELDS(F) F(U64, entries)

#define QMGR_ROUTER(M) \
    M(0x33, route, ROUTE_FIELDS) \
    M(0x36, routed, ROUTED_FIELDS) \
    M(0x32, tables, TABLES_FIELDS) \
    M(0x34, expand, EXPAND_FIELDS) \
    M(0x35, expanded, EXPANDED_FIELDS)
PROTO_DECLARE(QMGR_ROUTER)

#endif
