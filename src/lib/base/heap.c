#include "base/heap.h"

#include "base/must.h"

#include <stdlib.h>

void heap_init(struct heap *h) { *h = (struct heap){ 0 }; }

void heap_free(struct heap *h)
{
    free(h->nodes);
    heap_init(h);
}

static void put(struct heap *h, size_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->place = (uint32_t)(i + 1);
}

static void up(struct heap *h, size_t i)
{
    struct heap_node *node = h->nodes[i];
    while (i > 0 && h->nodes[(i - 1) / 2]->key > node->key) {
        put(h, i, h->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, node);
}

static void down(struct heap *h, size_t i)
{
    struct heap_node *node = h->nodes[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (h->nodes[child]->key >= node->key)
            break;
        put(h, i, h->nodes[child]);
        i = child;
    }
    put(h, i, node);
}

void heap_add(struct heap *h, struct heap_node *node, int64_t key)
{
    MUST(!node->place && h->n < UINT32_MAX - 1);
    if (h->n == h->cap) {
        h->cap = h->cap ? must_mul(h->cap, 2) : 16;
        h->nodes = must_realloc(h->nodes, must_mul(h->cap, sizeof *h->nodes));
    }
    node->key = key;
    h->nodes[h->n] = node;
    up(h, h->n++);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (!node->place)
        return;
    size_t i = node->place - 1;
    MUST(i < h->n && h->nodes[i] == node);
    node->place = 0;
    struct heap_node *last = h->nodes[--h->n];
    if (last == node)
        return;
    put(h, i, last);
    up(h, i);
    down(h, last->place - 1);
}

void heap_change(struct heap *h, struct heap_node *node, int64_t key)
{
    if (!node->place) {
        heap_add(h, node, key);
        return;
    }
    node->key = key;
    up(h, node->place - 1);
    down(h, node->place - 1);
}
