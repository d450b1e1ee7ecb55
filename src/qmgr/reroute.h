/* reroute: recipients that an administrator sends another way than the tables say. Kept in memory
 * until they are delivered, or the gateway restarts: what is to last is a line in the
 * mailertable. */
#ifndef POSTERN_QMGR_REROUTE_H
#define POSTERN_QMGR_REROUTE_H

#include "qmgr/inside.h"

enum { REROUTES_MAX = 200000 }; /* messages */

/* Whether a next hop can be read: as smart_host has them. */
bool reroute_check(struct span hop, struct err *err);
/* False: there are too many already. */
bool reroute_set(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct span hop);
/* The route of a recipient that has one, in `a`. */
bool reroute_find(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct arena *a,
                  struct route_dest *d_r);
void reroute_gone(struct qmgr *q, uint64_t seq);
void reroutes_free(struct qmgr *q);

#endif
