/* order: all messages by a number of their own (seq, or age), for look-ups and for cursors. A
 * sorted directory of sorted chunks: 8 bytes a message when filled in order, a binary search to
 * find, and a move of at most one chunk and (once per chunk) of the directory to change. Chunks
 * left small are merged. */
#ifndef POSTERN_SCHED_ORDER_H
#define POSTERN_SCHED_ORDER_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

struct sched_msg;

struct sched_chunk;
struct sched_order {
    struct sched_chunk **chunks; /* none is empty */
    size_t n, cap;
    uint64_t count;
    size_t key_at; /* where in a message its uint64_t key is: 0, its seq */
};

void sched_order_free(struct sched_order *o); /* the messages are the caller's */
bool sched_order_add(struct sched_order *o, struct sched_msg *m); /* false: seq known */
void sched_order_remove(struct sched_order *o, const struct sched_msg *m); /* MUST be in it */
struct sched_msg *sched_order_get(const struct sched_order *o, uint64_t seq);
/* The first with a seq >= from; NULL: none. */
struct sched_msg *sched_order_from(const struct sched_order *o, uint64_t from);
/* The last of all; NULL: there is none. */
struct sched_msg *sched_order_last(const struct sched_order *o);
/* The first ones with a seq >= from, up to max; returns how many. */
size_t sched_order_some(const struct sched_order *o, uint64_t from, const struct sched_msg **m_r,
                        size_t max);

#endif
