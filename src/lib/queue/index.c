#include "queue/index.h"

#include "base/must.h"

#include <stdlib.h>

#define DUE_BIAS (UINT64_C(1) << 63)

void queue_index_init(struct queue_index *ix, uint64_t seed)
{
    for (int k = 0; k < QUEUE_KINDS; k++) {
        hash_init(&ix->kinds[k].hash, seed, 0);
        list_init(&ix->kinds[k].all);
    }
    list_init(&ix->walks);
}

void queue_index_free(struct queue_index *ix)
{
    for (int k = 0; k < QUEUE_KINDS; k++) {
        MUST(ix->kinds[k].hash.n == 0);
        hash_free(&ix->kinds[k].hash);
    }
}

/* Pointers of our own, which nobody chooses; every change of every recipient passes here. */
static uint64_t hash_of(uint64_t seed, const struct queue_key *key)
{
    const uint64_t words[] = { (uintptr_t)key->a, (uintptr_t)key->b, (uintptr_t)key->c,
                               key->state };
    uint64_t x = seed;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        x = (x ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        x ^= x >> 29;
    }
    return x;
}

struct queue_cell *queue_cell_get(struct queue_index *ix, enum queue_kind kind,
                                  const struct queue_key *key)
{
    struct span bytes = span_of(key, sizeof *key);
    uint64_t hash = hash_of(ix->kinds[kind].hash.seed, key);
    struct hash_node *node = hash_get_by(&ix->kinds[kind].hash, hash, bytes);
    if (node)
        return CONTAINER(node, struct queue_cell, node);
    struct queue_cell *c = NEW(struct queue_cell);
    c->key = *key;
    c->kind = kind;
    hash_add_by(&ix->kinds[kind].hash, &c->node, hash, span_of(&c->key, sizeof c->key));
    list_append(&ix->kinds[kind].all, &c->all);
    return c;
}

static void cell_free(struct queue_index *ix, struct queue_cell *c)
{
    LIST_EACH(n, &ix->walks) {
        struct queue_walk *w = CONTAINER(n, struct queue_walk, node);
        if (w->next == &c->all)
            w->next = c->all.next;
    }
    hash_remove(&ix->kinds[c->kind].hash, &c->node);
    list_remove(&c->all);
    queue_set_free(&c->ages);
    queue_set_free(&c->dues);
    free(c);
}

void queue_cell_add(struct queue_cell *c, uint64_t age, uint64_t bytes, bool shared)
{
    if (queue_set_add(&c->ages, age)) {
        c->messages++;
        c->bytes += bytes;
    }
    c->shared += shared;
}

void queue_cell_remove(struct queue_index *ix, struct queue_cell *c, uint64_t age, uint64_t bytes,
                       bool shared)
{
    if (queue_set_remove(&c->ages, age)) {
        c->messages--;
        c->bytes -= bytes;
    }
    c->shared -= shared;
    if (c->ages.count == 0 && !c->pins)
        cell_free(ix, c);
}

void queue_cell_due(struct queue_cell *c, int64_t due_ms)
{
    queue_set_add(&c->dues, (uint64_t)due_ms ^ DUE_BIAS);
}

void queue_cell_undue(struct queue_cell *c, int64_t due_ms)
{
    queue_set_remove(&c->dues, (uint64_t)due_ms ^ DUE_BIAS);
}

bool queue_cell_next_due(const struct queue_cell *c, int64_t *due_ms_r)
{
    uint64_t v;
    if (!queue_set_from(&c->dues, 0, &v))
        return false;
    *due_ms_r = (int64_t)(v ^ DUE_BIAS);
    return true;
}

/* --- pins and walks --- */

void queue_cell_pin(struct queue_cell *c) { c->pins++; }

void queue_cell_unpin(struct queue_index *ix, struct queue_cell *c)
{
    MUST(c->pins > 0);
    if (--c->pins == 0 && c->ages.count == 0)
        cell_free(ix, c);
}

void queue_walk_begin(struct queue_walk *w, struct queue_index *ix, enum queue_kind kind)
{
    *w = (struct queue_walk){ .ix = ix, .kind = kind, .next = ix->kinds[kind].all.next };
    list_append(&ix->walks, &w->node);
}

struct queue_cell *queue_walk_next(struct queue_walk *w)
{
    while (w->next != &w->ix->kinds[w->kind].all) {
        struct queue_cell *c = CONTAINER(w->next, struct queue_cell, all);
        w->next = w->next->next;
        if (c->ages.count)
            return c;
    }
    return NULL;
}

void queue_walk_end(struct queue_walk *w) { list_remove(&w->node); }
