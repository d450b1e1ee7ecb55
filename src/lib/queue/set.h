/* set: numbers in order, the same one possibly several times: a sorted directory of sorted
 * chunks. 8 bytes a number when they come in order (they mostly do), less than 24 always; one or
 * two take no memory of their own. To add, remove and find: a binary search and a move within
 * one chunk; once per chunk a move of the directory. */
#ifndef POSTERN_QUEUE_SET_H
#define POSTERN_QUEUE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_chunk;
struct queue_set { /* zeroed: empty */
    uint64_t count;
    uint32_t n, cap; /* chunks; 0: the numbers are `few` */
    union {
        uint64_t few[2];
        struct queue_chunk **chunks; /* none is empty */
    } u;
};

void queue_set_free(struct queue_set *s);
/* True: it was not in there yet. */
bool queue_set_add(struct queue_set *s, uint64_t v);
/* Takes one of them out; MUST be in there. True: it was the last of this value. */
bool queue_set_remove(struct queue_set *s, uint64_t v);
/* The first one >= from. False: there is none. */
bool queue_set_from(const struct queue_set *s, uint64_t from, uint64_t *v_r);
bool queue_set_max(const struct queue_set *s, uint64_t *v_r);
/* How many are below v: O(chunks). */
uint64_t queue_set_below(const struct queue_set *s, uint64_t v);

#endif
