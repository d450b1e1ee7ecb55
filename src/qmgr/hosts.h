/* hosts: what became of the last attempt at each host, those that were left for the next one too;
 * those heard of last, a bounded number, in memory. */
#ifndef POSTERN_QMGR_HOSTS_H
#define POSTERN_QMGR_HOSTS_H

#include "qmgr/inside.h"

struct host_info { /* spans are valid during the call */
    struct span name, text;
    struct span dest;    /* the destination's key, cut when it is long */
    struct netaddr relay; /* NETADDR_NONE: it was not reached */
    int64_t wall_ms;
};
/* The latest first. */
void hosts_each(const struct qmgr *q, void (*fn)(void *ctx, const struct host_info *h), void *ctx);

#endif
