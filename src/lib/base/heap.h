/* heap: an intrusive binary min-heap on a 64-bit key, for timers and schedules. A node knows its
 * place, so that removal and change of key are O(log n). */
#ifndef POSTERN_BASE_HEAP_H
#define POSTERN_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    uint32_t place; /* 1-based; 0 = in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t n, cap;
};

void heap_init(struct heap *h);
void heap_free(struct heap *h); /* the nodes are the caller's */
void heap_add(struct heap *h, struct heap_node *node, int64_t key); /* node is in no heap */
void heap_remove(struct heap *h, struct heap_node *node);           /* fine when in none */
void heap_change(struct heap *h, struct heap_node *node, int64_t key); /* adds when in none */
static inline struct heap_node *heap_min(const struct heap *h) { return h->n ? h->nodes[0] : NULL; }
static inline bool heap_linked(const struct heap_node *node) { return node->place != 0; }

#endif
