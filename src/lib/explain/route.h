/* route: what an admin asks of the tables, answered with one JSON object: by the running router,
 * and by the command line from the files alone.
 *
 * "accept": {"accepted","reply","code","text","discard","quarantine","targets":[{"address",
 *     "expanded","sender"}],"shown":{"header","envelope","trail":[...]},"trail":[...]}: what the
 *     SMTP server would be told; shown: the sender, where genericstable and masquerading are for it
 * "route": {"dest":{...},"hops":"...","trail":[...]} as route/dest.h writes it, or
 *     {"need_canon":"example.net"}: the canonical name decides; ask again with canon=
 * "map": {"table","in_use","source","type","found":-1|0|1,"value","line"}
 * "ours": {"local","virtual"}: rcpt is an address of this host, of a domain of virtusertable
 * "rewrite": {"address"}: rcpt as genericstable and masquerading write it; type= is one of
 *     ES HS ER HR (envelope or header, sender or recipient) */
#ifndef POSTERN_EXPLAIN_ROUTE_H
#define POSTERN_EXPLAIN_ROUTE_H

#include "explain/args.h"
#include "route/route.h"

/* rcpt: rcpt= is needed; trail: it says how the answer came about. */
#define EXPLAIN_ROUTE_VERBS(V) \
    V(accept, true, true) V(route, true, true) V(map, false, false) V(ours, true, false) \
    V(rewrite, true, true)

enum { EXPLAIN_JSON_MAX = 512 << 10 };

/* False: e says what is wrong with the question. a is for this answer alone. */
bool explain_route(const struct route_tables *tables, struct span verb,
                   const struct explain_args *args, struct arena *a, struct buf *json,
                   struct err *e);

#endif
