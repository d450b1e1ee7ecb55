/* The table that the readers fill. Memory: the text itself, one struct entry per entry and an index
 * of 32-bit numbers with at most three quarters of its places taken, probed linearly. */
#include "maps/impl.h"

#include "base/hash.h"
#include "base/must.h"

#include <stdlib.h>

struct entry {
    uint32_t tag; /* high half of the hash: most comparisons end here */
    uint32_t key_off, value_off, value_len;
    uint32_t line;
    uint16_t key_len;
};

struct map_table {
    char *text;
    size_t text_bytes;
    struct entry *entries;
    size_t n, cap;
    uint32_t *index; /* entry number + 1; 0 = free */
    size_t index_size;
    uint64_t seed;
};

void map_table_free(struct map_table **t)
{
    if (!*t)
        return;
    free((*t)->text);
    free((*t)->entries);
    free((*t)->index);
    free(*t);
    *t = NULL;
}

static struct span key_of(const struct map_table *t, const struct entry *e)
{
    return span_of(t->text + e->key_off, e->key_len);
}

static struct span value_of(const struct map_table *t, const struct entry *e)
{
    return span_of(t->text + e->value_off, e->value_len);
}

/* The place of key: its own, or the free one where it would stand. */
static uint32_t *place(const struct map_table *t, uint64_t hash, struct span key)
{
    size_t mask = t->index_size - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t at = t->index[i];
        if (!at)
            return &t->index[i];
        const struct entry *e = &t->entries[at - 1];
        if (e->tag == (uint32_t)(hash >> 32) && span_eq(key_of(t, e), key))
            return &t->index[i];
    }
}

struct map_table *map_table_new(char *text, size_t n, uint64_t seed)
{
    struct map_table *t = NEW(struct map_table);
    MUST(n < UINT32_MAX);
    *t = (struct map_table){ .text = text, .text_bytes = n, .seed = seed };
    return t;
}

void map_table_add(struct map_table *t, struct span key, struct span value, uint32_t line)
{
    MUST(key.n && key.n <= UINT16_MAX && t->n < UINT32_MAX);
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->entries = must_realloc(t->entries, must_mul(t->cap, sizeof *t->entries));
    }
    t->entries[t->n++] = (struct entry){
        .key_off = (uint32_t)(key.p - t->text), .key_len = (uint16_t)key.n, .line = line,
        .value_off = value.n ? (uint32_t)(value.p - t->text) : 0, .value_len = (uint32_t)value.n,
    };
}

/* Entries that do not count are dropped from the list; the others keep their order. */
static void build_index(struct map_table *t, const struct map_twice *twice, struct span source,
                        struct map_report *r)
{
    size_t kept = 0;
    for (t->index_size = 16; t->index_size * 3 / 4 < t->n;)
        t->index_size *= 2;
    t->index = must_calloc(t->index_size, sizeof *t->index);
    for (size_t i = 0; i < t->n; i++) {
        struct entry e = t->entries[i];
        uint64_t hash = hash_bytes(t->seed, key_of(t, &e));
        uint32_t *at = place(t, hash, key_of(t, &e));
        e.tag = (uint32_t)(hash >> 32);
        if (*at) {
            struct entry *before = &t->entries[*at - 1];
            twice->say(r, source, key_of(t, &e), e.line, before->line);
            if (twice->last_counts)
                *before = e;
            continue;
        }
        t->entries[kept++] = e;
        *at = (uint32_t)kept;
    }
    t->n = kept;
}

struct map_table *map_table_seal(struct map_table *t, const struct map_twice *twice,
                                 size_t errors_before, struct span source,
                                 const struct map_params *p, struct map_report *r)
{
    size_t most = p->max_entries ? p->max_entries : 1 << 24;
    if (t->n > most)
        map_report_error(r, source, t->entries[most].line, "more than %zu entries", most);
    if (r->errors > errors_before)
        map_table_free(&t);
    else
        build_index(t, twice, source, r);
    return t;
}

int map_table_lookup(const struct map_table *t, struct span key, struct map_hit *hit_r)
{
    uint32_t at = *place(t, hash_bytes(t->seed, key), key);
    if (!at)
        return 0;
    const struct entry *e = &t->entries[at - 1];
    *hit_r = (struct map_hit){ .value = value_of(t, e), .line = e->line };
    return 1;
}

void map_table_each(const struct map_table *t,
                    bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct entry *e = &t->entries[i];
        struct map_hit hit = { .value = value_of(t, e), .line = e->line };
        if (!fn(ctx, key_of(t, e), &hit))
            return;
    }
}

size_t map_table_entries(const struct map_table *t) { return t->n; }

size_t map_table_bytes(const struct map_table *t)
{
    return sizeof *t + t->text_bytes + t->cap * sizeof *t->entries +
           t->index_size * sizeof *t->index;
}
