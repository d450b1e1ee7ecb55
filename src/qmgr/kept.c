#include "qmgr/kept.h"

#include "base/must.h"

#include <stdlib.h>

void kept_init(struct kept *k, size_t max, kept_order *order)
{
    *k = (struct kept){ .v = must_calloc(max + 1, sizeof *k->v), .max = max, .order = order };
}

void kept_free(struct kept *k)
{
    free(k->v);
    *k = (struct kept){ 0 };
}

/* x takes the first place, and goes down to its own among n. */
static void sink(struct kept *k, void *x, size_t n)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && k->order(k->v[child + 1], k->v[child]) > 0)
            child++;
        if (k->order(k->v[child], x) <= 0)
            break;
        k->v[at] = k->v[child];
    }
    k->v[at] = x;
}

void *kept_offer(struct kept *k, void *x)
{
    if (k->n == k->max && (!k->n || k->order(x, k->v[0]) >= 0))
        return x;
    if (k->n == k->max) {
        void *last = k->v[0];
        sink(k, x, k->n);
        return last;
    }
    size_t at = k->n++;
    for (; at && k->order(k->v[(at - 1) / 2], x) < 0; at = (at - 1) / 2)
        k->v[at] = k->v[(at - 1) / 2];
    k->v[at] = x;
    return NULL;
}

void kept_sort(struct kept *k) { k->unsorted = k->n; }

/* The last of the heap goes behind it. */
bool kept_step(struct kept *k)
{
    if (k->unsorted < 2)
        return false;
    void *last = k->v[0];
    k->unsorted--;
    sink(k, k->v[k->unsorted], k->unsorted);
    k->v[k->unsorted] = last;
    return k->unsorted > 1;
}
