#include "base/arena.h"

#include "base/must.h"

#include <stdalign.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 1024 };

struct chunk {
    struct chunk *next;
    size_t used, size;
    alignas(max_align_t) char mem[];
};

struct arena {
    struct chunk *chunks; /* newest first */
    size_t used, max;
};

struct arena *arena_new(size_t max_bytes)
{
    struct arena *a = NEW(struct arena);
    a->max = max_bytes;
    return a;
}

static void free_chunks(struct arena *a, bool keep_last)
{
    while (a->chunks && !(keep_last && !a->chunks->next)) {
        struct chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
}

void arena_free(struct arena **a)
{
    if (!*a)
        return;
    free_chunks(*a, false);
    free(*a);
    *a = NULL;
}

void arena_reset(struct arena *a)
{
    free_chunks(a, true);
    if (a->chunks)
        a->chunks->used = 0;
    a->used = 0;
}

static void *take(struct arena *a, size_t size)
{
    size_t align = alignof(max_align_t);
    size = must_add(size, align - 1) & ~(align - 1);
    if (size > a->max - a->used)
        return NULL;
    struct chunk *c = a->chunks;
    if (!c || c->size - c->used < size) {
        size_t want = size > CHUNK_BYTES ? size : CHUNK_BYTES;
        c = must_realloc(NULL, must_add(sizeof *c, want));
        *c = (struct chunk){ .next = a->chunks, .size = want };
        a->chunks = c;
    }
    void *p = c->mem + c->used;
    c->used += size;
    a->used += size;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *p = take(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

struct span arena_dup(struct arena *a, struct span s)
{
    char *p = take(a, must_add(s.n, 1));
    if (!p)
        return SPAN_NONE;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return span_of(p, s.n);
}
