#include "sched/order.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 };

struct sched_chunk {
    uint64_t first; /* seq of m[0]: spares a look at the message */
    uint32_t n;
    struct sched_msg *m[CHUNK];
};

static uint64_t seq_of(const struct sched_order *o, const struct sched_msg *m)
{
    return *(const uint64_t *)(const void *)((const char *)m + o->key_at);
}

/* The last chunk that begins at or before seq; 0 when none does. */
static size_t find_chunk(const struct sched_order *o, uint64_t seq)
{
    size_t lo = 0, hi = o->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (o->chunks[mid]->first <= seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? lo - 1 : 0;
}

/* The first place in the chunk with a seq >= `seq`; c->n when there is none. */
static uint32_t find_place(const struct sched_order *o, const struct sched_chunk *c, uint64_t seq)
{
    uint32_t lo = 0, hi = c->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (seq_of(o, c->m[mid]) < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct sched_chunk *insert_chunk(struct sched_order *o, size_t at)
{
    if (o->n == o->cap) {
        o->cap = o->cap ? must_mul(o->cap, 2) : 16;
        o->chunks = must_realloc(o->chunks, must_mul(o->cap, sizeof *o->chunks));
    }
    memmove(o->chunks + at + 1, o->chunks + at, (o->n - at) * sizeof *o->chunks);
    o->n++;
    return o->chunks[at] = NEW(struct sched_chunk);
}

static void remove_chunk(struct sched_order *o, size_t at)
{
    free(o->chunks[at]);
    o->n--;
    memmove(o->chunks + at, o->chunks + at + 1, (o->n - at) * sizeof *o->chunks);
}

static void move_tail(const struct sched_order *o, struct sched_chunk *to,
                      struct sched_chunk *from, uint32_t at)
{
    memcpy(to->m + to->n, from->m + at, (from->n - at) * sizeof *to->m);
    to->n += from->n - at;
    from->n = at;
    to->first = seq_of(o, to->m[0]);
}

bool sched_order_add(struct sched_order *o, struct sched_msg *m)
{
    uint64_t seq = seq_of(o, m);
    if (o->n == 0)
        insert_chunk(o, 0);
    size_t i = find_chunk(o, seq);
    struct sched_chunk *c = o->chunks[i];
    uint32_t at = find_place(o, c, seq);
    if (at < c->n && seq_of(o, c->m[at]) == seq)
        return false;
    if (c->n == CHUNK) {
        struct sched_chunk *next = insert_chunk(o, i + 1);
        /* In order of arrival, which is the rule, chunks stay full. */
        if (at < CHUNK)
            move_tail(o, next, c, CHUNK / 2);
        if (at > c->n || c->n == CHUNK) {
            at -= c->n;
            c = next;
        }
    }
    memmove(c->m + at + 1, c->m + at, (c->n - at) * sizeof *c->m);
    c->m[at] = m;
    c->n++;
    c->first = seq_of(o, c->m[0]);
    o->count++;
    return true;
}

void sched_order_remove(struct sched_order *o, const struct sched_msg *m)
{
    uint64_t seq = seq_of(o, m);
    MUST(o->n > 0);
    size_t i = find_chunk(o, seq);
    struct sched_chunk *c = o->chunks[i];
    uint32_t at = find_place(o, c, seq);
    MUST(at < c->n && c->m[at] == m);
    c->n--;
    o->count--;
    memmove(c->m + at, c->m + at + 1, (c->n - at) * sizeof *c->m);
    if (c->n == 0) {
        remove_chunk(o, i);
        return;
    }
    c->first = seq_of(o, c->m[0]);
    if (i + 1 < o->n && c->n + o->chunks[i + 1]->n <= CHUNK / 2) {
        move_tail(o, c, o->chunks[i + 1], 0);
        remove_chunk(o, i + 1);
    } else if (i > 0 && c->n + o->chunks[i - 1]->n <= CHUNK / 2) {
        move_tail(o, o->chunks[i - 1], c, 0);
        remove_chunk(o, i);
    }
}

struct sched_msg *sched_order_from(const struct sched_order *o, uint64_t from)
{
    if (o->n == 0)
        return NULL;
    size_t i = find_chunk(o, from);
    uint32_t at = find_place(o, o->chunks[i], from);
    if (at < o->chunks[i]->n)
        return o->chunks[i]->m[at];
    return i + 1 < o->n ? o->chunks[i + 1]->m[0] : NULL;
}

struct sched_msg *sched_order_last(const struct sched_order *o)
{
    const struct sched_chunk *c = o->n ? o->chunks[o->n - 1] : NULL;
    return c ? c->m[c->n - 1] : NULL;
}

size_t sched_order_some(const struct sched_order *o, uint64_t from, const struct sched_msg **m_r,
                        size_t max)
{
    size_t got = 0;
    if (o->n == 0)
        return 0;
    size_t i = find_chunk(o, from);
    for (uint32_t at = find_place(o, o->chunks[i], from); got < max && i < o->n; i++, at = 0)
        for (; got < max && at < o->chunks[i]->n; at++)
            m_r[got++] = o->chunks[i]->m[at];
    return got;
}

struct sched_msg *sched_order_get(const struct sched_order *o, uint64_t seq)
{
    struct sched_msg *m = sched_order_from(o, seq);
    return m && seq_of(o, m) == seq ? m : NULL;
}

void sched_order_free(struct sched_order *o)
{
    for (size_t i = 0; i < o->n; i++)
        free(o->chunks[i]);
    free(o->chunks);
    *o = (struct sched_order){ .key_at = o->key_at };
}
