#include "spool/table.h"

#include "base/must.h"

#include <stdlib.h>

enum { CHUNK = 4096, INLINE_RCPTS = 32 };

static struct entry *at(const struct table *t, uint32_t i)
{
    return &t->chunks[i / CHUNK][i % CHUNK];
}

static uint32_t bucket(const struct table *t, uint64_t seq)
{
    return (uint32_t)((seq * 0x9e3779b97f4a7c15u) >> 32) & (t->size - 1);
}

static bool is(const struct entry *e, uint64_t seq)
{
    return e->seq_low == (uint32_t)seq && e->seq_high == seq >> 32;
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->chunk_count; i++)
        free(t->chunks[i]);
    for (size_t i = 0; i < t->bitmap_count; i++)
        free(t->bitmaps[i]);
    free(t->chunks);
    free(t->buckets);
    free(t->bitmaps);
    free(t->bitmap_next);
    *t = (struct table){ 0 };
}

struct entry *table_get(const struct table *t, uint64_t seq)
{
    if (!t->size)
        return NULL;
    for (uint32_t i = t->buckets[bucket(t, seq)]; i; i = at(t, i)->next)
        if (is(at(t, i), seq))
            return at(t, i);
    return NULL;
}

static void grow_buckets(struct table *t)
{
    uint32_t *old = t->buckets, old_size = t->size;
    t->size = old_size ? 2 * old_size : 1024;
    t->buckets = must_calloc(t->size, sizeof *t->buckets);
    for (uint32_t b = 0; b < old_size; b++) {
        for (uint32_t i = old[b], next; i; i = next) {
            struct entry *e = at(t, i);
            uint32_t *head = &t->buckets[bucket(t, entry_seq(e))];
            next = e->next;
            e->next = *head;
            *head = i;
        }
    }
    free(old);
}

static void grow_entries(struct table *t)
{
    t->chunks = must_realloc(t->chunks, must_mul(t->chunk_count + 1, sizeof *t->chunks));
    t->chunks[t->chunk_count] = must_calloc(CHUNK, sizeof(struct entry));
    uint32_t first = (uint32_t)t->chunk_count++ * CHUNK;
    for (uint32_t i = first + CHUNK - 1; i > first || (i == first && i > 0); i--) {
        at(t, i)->next = t->free;
        t->free = i; /* entry 0 is never used: 0 means none */
    }
}

static uint32_t bitmap_new(struct table *t, uint32_t rcpts)
{
    uint32_t n = t->bitmap_free;
    if (n) {
        t->bitmap_free = t->bitmap_next[n];
    } else {
        size_t count = t->bitmap_count ? t->bitmap_count + 1 : 2;
        t->bitmaps = must_realloc(t->bitmaps, must_mul(count, sizeof *t->bitmaps));
        t->bitmap_next = must_realloc(t->bitmap_next, must_mul(count, sizeof *t->bitmap_next));
        t->bitmaps[0] = NULL;
        n = (uint32_t)count - 1;
        t->bitmap_count = count;
    }
    t->bitmaps[n] = must_calloc(1 + (rcpts + 31) / 32, sizeof(uint32_t));
    return n;
}

struct entry *table_add(struct table *t, uint64_t seq, uint32_t rcpts)
{
    MUST(seq >> 48 == 0);
    if (t->count >= t->size)
        grow_buckets(t);
    if (!t->free)
        grow_entries(t);
    uint32_t i = t->free, *head = &t->buckets[bucket(t, seq)];
    struct entry *e = at(t, i);
    t->free = e->next;
    *e = (struct entry){ .seq_low = (uint32_t)seq, .seq_high = (uint16_t)(seq >> 32),
                         .rcpts = rcpts, .next = *head };
    if (rcpts > INLINE_RCPTS)
        e->final = bitmap_new(t, rcpts);
    *head = i;
    t->count++;
    return e;
}

void table_remove(struct table *t, struct entry *e)
{
    uint32_t *link = &t->buckets[bucket(t, entry_seq(e))];
    while (at(t, *link) != e)
        link = &at(t, *link)->next;
    uint32_t i = *link;
    *link = e->next;
    if (e->rcpts > INLINE_RCPTS) {
        free(t->bitmaps[e->final]);
        t->bitmaps[e->final] = NULL;
        t->bitmap_next[e->final] = t->bitmap_free;
        t->bitmap_free = e->final;
    }
    *e = (struct entry){ .next = t->free };
    t->free = i;
    t->count--;
}

bool table_is_final(const struct table *t, const struct entry *e, uint32_t rcpt)
{
    if (rcpt >= e->rcpts)
        return true;
    if (e->rcpts <= INLINE_RCPTS)
        return e->final >> rcpt & 1;
    return t->bitmaps[e->final][1 + rcpt / 32] >> (rcpt % 32) & 1;
}

bool table_final(struct table *t, struct entry *e, uint32_t rcpt)
{
    if (table_is_final(t, e, rcpt))
        return false;
    if (e->rcpts <= INLINE_RCPTS) {
        e->final |= (uint32_t)1 << rcpt;
        return true;
    }
    uint32_t *bits = t->bitmaps[e->final];
    bits[1 + rcpt / 32] |= (uint32_t)1 << (rcpt % 32);
    bits[0]++;
    return true;
}

bool table_all_final(const struct table *t, const struct entry *e)
{
    uint32_t done = e->rcpts <= INLINE_RCPTS ? (uint32_t)__builtin_popcount(e->final)
                                             : t->bitmaps[e->final][0];
    return done == e->rcpts;
}

void table_clear_final(struct table *t, struct entry *e)
{
    if (e->rcpts <= INLINE_RCPTS)
        e->final = 0;
    else
        memset(t->bitmaps[e->final], 0, (1 + (e->rcpts + 31) / 32) * sizeof(uint32_t));
}

uint64_t table_memory(const struct table *t)
{
    return t->chunk_count * CHUNK * sizeof(struct entry) + (uint64_t)t->size * sizeof *t->buckets;
}

struct entry *table_next(const struct table *t, const struct entry *e, size_t *at_r)
{
    if (!e)
        *at_r = 0;
    for (size_t i = *at_r + 1; i < t->chunk_count * CHUNK; i++) {
        struct entry *found = at(t, (uint32_t)i);
        if (!found->rcpts)
            continue;
        *at_r = i;
        return found;
    }
    return NULL;
}
