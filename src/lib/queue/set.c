#include "queue/set.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256, FIRST = 4 };

struct queue_chunk {
    uint32_t n, cap;
    uint64_t v[];
};

void queue_set_free(struct queue_set *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        free(s->u.chunks[i]);
    if (s->cap)
        free(s->u.chunks);
    *s = (struct queue_set){ 0 };
}

/* --- finding --- */

/* The first place in a sorted array with a number >= v. */
static uint32_t place_of(const uint64_t *at, uint32_t n, uint64_t v)
{
    uint32_t lo = 0;
    while (lo < n) {
        uint32_t mid = (lo + n) / 2;
        if (at[mid] < v)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo;
}

/* The first chunk whose last number is >= v; s->n when there is none. */
static uint32_t chunk_of(const struct queue_set *s, uint64_t v)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        const struct queue_chunk *c = s->u.chunks[mid];
        if (c->v[c->n - 1] < v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool queue_set_from(const struct queue_set *s, uint64_t from, uint64_t *v_r)
{
    if (!s->cap) {
        uint32_t at = place_of(s->u.few, (uint32_t)s->count, from);
        if (at == s->count)
            return false;
        *v_r = s->u.few[at];
        return true;
    }
    uint32_t i = chunk_of(s, from);
    if (i == s->n)
        return false;
    const struct queue_chunk *c = s->u.chunks[i];
    *v_r = c->v[place_of(c->v, c->n, from)];
    return true;
}

bool queue_set_max(const struct queue_set *s, uint64_t *v_r)
{
    if (!s->count)
        return false;
    const struct queue_chunk *last = s->cap ? s->u.chunks[s->n - 1] : NULL;
    *v_r = last ? last->v[last->n - 1] : s->u.few[s->count - 1];
    return true;
}

uint64_t queue_set_below(const struct queue_set *s, uint64_t v)
{
    if (!s->cap)
        return place_of(s->u.few, (uint32_t)s->count, v);
    uint32_t end = chunk_of(s, v);
    uint64_t n = 0;
    for (uint32_t i = 0; i < end; i++)
        n += s->u.chunks[i]->n;
    if (end < s->n)
        n += place_of(s->u.chunks[end]->v, s->u.chunks[end]->n, v);
    return n;
}

/* --- chunks --- */

static struct queue_chunk *chunk_new(uint32_t cap)
{
    struct queue_chunk *c = must_alloc(sizeof *c + cap * sizeof *c->v);
    c->n = 0;
    c->cap = cap;
    return c;
}

static struct queue_chunk *chunk_sized(struct queue_set *s, uint32_t i, uint32_t cap)
{
    struct queue_chunk *c =
        must_realloc(s->u.chunks[i], sizeof *c + cap * sizeof *c->v);
    c->cap = cap;
    return s->u.chunks[i] = c;
}

static void insert_chunk(struct queue_set *s, uint32_t at, struct queue_chunk *c)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 1;
        s->u.chunks = must_realloc(s->u.chunks, must_mul(s->cap, sizeof c));
    }
    memmove(s->u.chunks + at + 1, s->u.chunks + at, (s->n - at) * sizeof c);
    s->u.chunks[at] = c;
    s->n++;
}

static void remove_chunk(struct queue_set *s, uint32_t at)
{
    free(s->u.chunks[at]);
    s->n--;
    memmove(s->u.chunks + at, s->u.chunks + at + 1, (s->n - at) * sizeof *s->u.chunks);
}

static void move_tail(struct queue_chunk *to, struct queue_chunk *from, uint32_t at)
{
    memcpy(to->v + to->n, from->v + at, (from->n - at) * sizeof *to->v);
    to->n += from->n - at;
    from->n = at;
}

/* --- adding --- */

static void leave_few(struct queue_set *s)
{
    struct queue_chunk *c = chunk_new(FIRST);
    c->n = (uint32_t)s->count;
    memcpy(c->v, s->u.few, sizeof s->u.few);
    s->u.chunks = NULL;
    insert_chunk(s, 0, c);
}

/* Room for one more in front of c->v[*at]; the place may move to the next chunk. */
static struct queue_chunk *room_at(struct queue_set *s, uint32_t i, uint32_t *at)
{
    struct queue_chunk *c = s->u.chunks[i];
    if (c->n < c->cap)
        return c;
    if (c->cap < CHUNK)
        return chunk_sized(s, i, c->cap * 2);
    bool append = *at == CHUNK && i + 1 == s->n;
    struct queue_chunk *next = chunk_new(append ? FIRST : CHUNK);
    insert_chunk(s, i + 1, next);
    /* In order of arrival, which is the rule, chunks stay full. */
    if (!append)
        move_tail(next, c, CHUNK / 2);
    if (*at < c->n || (*at == c->n && !append))
        return c;
    *at -= c->n;
    return next;
}

bool queue_set_add(struct queue_set *s, uint64_t v)
{
    if (!s->cap && s->count < 2) {
        uint32_t at = place_of(s->u.few, (uint32_t)s->count, v);
        bool is_new = at == s->count || s->u.few[at] != v;
        if (at < s->count)
            s->u.few[1] = s->u.few[0];
        s->u.few[at] = v;
        s->count++;
        return is_new;
    }
    if (!s->cap)
        leave_few(s);
    uint32_t i = chunk_of(s, v);
    if (i == s->n)
        i--;
    uint32_t at = place_of(s->u.chunks[i]->v, s->u.chunks[i]->n, v);
    bool is_new = at == s->u.chunks[i]->n || s->u.chunks[i]->v[at] != v;
    struct queue_chunk *c = room_at(s, i, &at);
    memmove(c->v + at + 1, c->v + at, (c->n - at) * sizeof *c->v);
    c->v[at] = v;
    c->n++;
    s->count++;
    return is_new;
}

/* --- removing --- */

static void back_to_few(struct queue_set *s)
{
    uint64_t few[2] = { 0, 0 };
    for (uint32_t i = 0, k = 0; i < s->n; i++)
        for (uint32_t j = 0; j < s->u.chunks[i]->n; j++)
            few[k++] = s->u.chunks[i]->v[j];
    uint64_t count = s->count;
    queue_set_free(s);
    s->count = count;
    memcpy(s->u.few, few, sizeof few);
}

/* Chunks left small are merged; what is nearly empty gives memory back. */
static void shrink(struct queue_set *s, uint32_t i)
{
    struct queue_chunk *c = s->u.chunks[i];
    if (c->n == 0) {
        remove_chunk(s, i);
        return;
    }
    uint32_t with = i + 1 < s->n && c->n + s->u.chunks[i + 1]->n <= CHUNK / 2 ? i : UINT32_MAX;
    if (with == UINT32_MAX && i > 0 && c->n + s->u.chunks[i - 1]->n <= CHUNK / 2)
        with = i - 1;
    if (with != UINT32_MAX) {
        struct queue_chunk *a = chunk_sized(s, with, CHUNK);
        move_tail(a, s->u.chunks[with + 1], 0);
        remove_chunk(s, with + 1);
    } else if (c->cap > FIRST && c->n <= c->cap / 4) {
        chunk_sized(s, i, c->cap / 2);
    }
}

bool queue_set_remove(struct queue_set *s, uint64_t v)
{
    if (!s->cap) {
        bool first = s->count > 0 && s->u.few[0] == v;
        MUST(first || (s->count == 2 && s->u.few[1] == v));
        if (first)
            s->u.few[0] = s->u.few[1];
        s->count--;
        return s->count == 0 || s->u.few[0] != v;
    }
    uint32_t i = chunk_of(s, v);
    MUST(i < s->n);
    struct queue_chunk *c = s->u.chunks[i];
    uint32_t at = place_of(c->v, c->n, v);
    MUST(c->v[at] == v);
    memmove(c->v + at, c->v + at + 1, (c->n - at - 1) * sizeof *c->v);
    c->n--;
    s->count--;
    shrink(s, i);
    if (s->count <= 2)
        back_to_few(s);
    uint64_t next;
    return !queue_set_from(s, v, &next) || next != v;
}
