/* kept: of very many things the first few, in an order of the owner's. Putting them in order is
 * done step by step, so that a slice may end in between. Pure. */
#ifndef POSTERN_QMGR_KEPT_H
#define POSTERN_QMGR_KEPT_H

#include <stdbool.h>
#include <stddef.h>

typedef int kept_order(const void *a, const void *b); /* < 0: a comes before b */

struct kept {
    void **v; /* a heap with the last one in front; from `unsorted` on, in order */
    size_t n, max, unsorted;
    kept_order *order;
};

void kept_init(struct kept *k, size_t max, kept_order *order);
void kept_free(struct kept *k); /* the things are the owner's */
/* Returns what is not kept (any more): x, or the one that was the last; NULL: all of them are. */
void *kept_offer(struct kept *k, void *x);
/* Begins to put them in order; nothing is offered any more. */
void kept_sort(struct kept *k);
/* One step: false when they are in order. */
bool kept_step(struct kept *k);

#endif
