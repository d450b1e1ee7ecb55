/* Stories: what people may want to know of attempts, in the bodies of outcome records. Nothing
 * relies on them, so whatever stands in their way is a reason to have one less. */
#include "base/crc32c.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

/* --- as bytes --- */

static void story_put(struct buf *b, const struct spool_story *t)
{
    wire_put_u32(b, (uint32_t)t->n);
    for (size_t i = 0; i < t->n; i++)
        wire_put_u32(b, t->rcpts[i]);
    wire_put_bytes(b, t->text);
}

/* The recipients are given as they lie there: u32 each. */
static bool story_next(struct wire *w, struct span *rcpts_r, struct span *text_r)
{
    if (w->bad || !w->rest.n)
        return false;
    size_t bytes = (size_t)wire_get_u32(w) * 4;
    if (w->bad || bytes > w->rest.n)
        return false;
    *rcpts_r = span_to(w->rest, bytes);
    w->rest = span_from(w->rest, bytes);
    *text_r = wire_get_bytes(w, SPOOL_STORY_MAX);
    return !w->bad;
}

/* --- writing --- */

static bool takes_stories(const struct spool *s)
{
    for (size_t i = 0; i < s->dir_count; i++)
        if (s->dirs[i].low || s->dirs[i].out)
            return false;
    return !s->config.read_only;
}

/* A group without outcomes: it is a link of the message's chain, and changes nothing. */
void story_put_record(struct spool *s, uint64_t seq, struct span body)
{
    struct item *it = batch_begin(&s->batch, ITEM_STORY, REC_OUTCOME);
    wire_put_u64(&s->batch.metas, 0);
    group_put(&s->batch.metas, &(struct group){ .seq = seq });
    batch_body(&s->batch, it, body);
    batch_end(s, &s->batch, it);
    batch_group(&s->batch, it, seq, OUTCOME_FIXED_BYTES);
}

struct span batch_keep(struct batch *b, struct span s)
{
    if (!s.n)
        return SPAN_NONE;
    if (!b->bodies)
        b->bodies = arena_new((size_t)1 << 40);
    return arena_dup(b->bodies, s);
}

int spool_story(struct spool *s, uint64_t seq, const struct spool_story *t)
{
    const struct entry *e = table_get(&s->table, seq);
    if (!e)
        return -ENOENT;
    if (!t->n || t->text.n > SPOOL_STORY_MAX)
        return -EINVAL;
    for (size_t i = 0; i < t->n; i++)
        if (t->rcpts[i] >= e->rcpts)
            return -EINVAL;
    if (!takes_stories(s))
        return -ENOSPC;
    struct buf b;
    buf_init(&b, SPOOL_STORY_MAX + 8 + 4 * t->n);
    story_put(&b, t);
    struct span body = batch_keep(&s->batch, buf_span(&b));
    if (body.p)
        story_put_record(s, seq, body);
    buf_free(&b);
    return body.p ? 0 : -ENOMEM;
}

/* --- collecting: of each recipient that is not done the last ones --- */

struct telling {
    struct spool *s;
    const struct entry *e;
    struct arena *a;
    uint8_t *told; /* by recipient */
    struct spool_story *list; /* newest first */
    size_t n, cap;
};

static void tell_one(struct telling *x, struct span rcpts, struct span text)
{
    size_t n = rcpts.n / 4, left = 0;
    uint32_t *of = arena_alloc(x->a, n * sizeof *of + 1);
    for (size_t i = 0; of && i < n; i++) {
        uint32_t rcpt = wire_peek_u32(rcpts.p + 4 * i);
        if (rcpt >= x->e->rcpts || x->told[rcpt] >= x->s->config.stories_kept ||
            table_is_final(&x->s->table, x->e, rcpt))
            continue;
        x->told[rcpt]++;
        of[left++] = rcpt;
    }
    struct spool_story t = { of, left, left ? arena_dup(x->a, text) : SPAN_NONE };
    if (!left || !t.text.p)
        return;
    if (x->n == x->cap) {
        x->cap = x->cap ? 2 * x->cap : 8;
        x->list = must_realloc(x->list, must_mul(x->cap, sizeof *x->list));
    }
    x->list[x->n++] = t;
}

/* A record has them oldest first. */
static void tell_body(struct telling *x, struct span body)
{
    struct wire w = wire_reader(body);
    struct span rcpts, text, *all = NULL;
    size_t n = 0;
    while (story_next(&w, &rcpts, &text)) {
        all = must_realloc(all, must_mul(2 * (n + 1), sizeof *all));
        all[2 * n] = rcpts;
        all[2 * n++ + 1] = text;
    }
    for (; n; n--)
        tell_one(x, all[2 * n - 2], all[2 * n - 1]);
    free(all);
}

static int tell_record(void *ctx, struct segment *seg, const struct rec *r, const struct group *g)
{
    struct telling *x = ctx;
    struct buf b;
    struct rec whole;
    struct span body;
    (void)g;
    if (r->type != REC_OUTCOME || !r->body_len)
        return 0;
    buf_init(&b, (size_t)1 << 40);
    if (rec_read(x->s, seg, r->off, rec_size(r), &b, &whole, &body) == 0 &&
        crc32c(0, body.p, body.n) == whole.body_crc)
        tell_body(x, body);
    buf_free(&b);
    return 0;
}

static void collect(struct telling *x)
{
    x->told = must_calloc(x->e->rcpts, 1);
    chain_walk(x->s, x->e, tell_record, x); /* as far as it reads */
    free(x->told);
}

int spool_stories(struct spool *s, uint64_t seq, struct arena *a, struct spool_story **list_r,
                  size_t *n_r)
{
    struct telling x = { .s = s, .e = table_get(&s->table, seq), .a = a };
    if (!x.e)
        return -ENOENT;
    collect(&x);
    *list_r = arena_alloc(a, must_mul(x.n + 1, sizeof **list_r));
    *n_r = *list_r ? x.n : 0;
    if (*n_r)
        memcpy(*list_r, x.list, x.n * sizeof *x.list);
    free(x.list);
    return *list_r ? 0 : -ENOMEM;
}

struct span story_body(struct spool *s, const struct entry *e, struct arena *a)
{
    struct telling x = { .s = s, .e = e, .a = a };
    struct buf b;
    if (!(e->flags & ENTRY_STORIES))
        return SPAN_NONE;
    buf_init(&b, (size_t)1 << 40);
    collect(&x);
    for (size_t i = x.n; i > 0; i--)
        story_put(&b, &x.list[i - 1]);
    struct span body = b.len ? arena_dup(a, buf_span(&b)) : SPAN_NONE;
    buf_free(&b);
    free(x.list);
    return body;
}
