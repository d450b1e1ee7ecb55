/* The outcomes of one message: records linked backwards from the newest, merged into one when
 * they have grown long or when a segment that holds one of them is to be freed. */
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

/* The group about `seq` in an outcome record, or in a commit record that carries it. */
static bool group_of(const struct rec *r, uint64_t seq, struct group *g)
{
    struct commit_meta m;
    if (r->type == REC_OUTCOME)
        return outcome_rec_get(r, g) && g->seq == seq;
    if (r->type != REC_COMMIT || !commit_get(r, &m))
        return false;
    *g = m.seq == seq ? m.own : m.bound;
    return g->seq == seq;
}

int chain_walk(struct spool *s, const struct entry *e,
               int (*fn)(void *ctx, struct segment *seg, const struct rec *r,
                         const struct group *g),
               void *ctx)
{
    struct segment *seg = seg_at(s, e->last_slot);
    uint64_t off = (uint64_t)e->last_off8 * 8, seq = entry_seq(e), lsn = UINT64_MAX;
    struct buf b;
    buf_init(&b, REC_META_MAX);
    int error = 0;
    while (seg && !error) {
        struct rec r;
        struct group g;
        error = rec_read(s, seg, off, 0, &b, &r, NULL);
        if (error)
            break;
        if (!group_of(&r, seq, &g) || rec_lsn(&r) >= lsn) {
            error = -EILSEQ; /* not what the link promised; and links go back only */
            break;
        }
        lsn = rec_lsn(&r);
        error = fn(ctx, seg, &r, &g);
        seg = seg_by_gen(s, g.prev_gen);
        off = g.prev_off;
        if (!seg && g.prev_gen)
            error = -EILSEQ;
    }
    buf_free(&b);
    return error;
}

/* --- giving back --- */

struct release {
    struct spool *s;
    bool dead;
};

static int release_one(void *ctx, struct segment *seg, const struct rec *r, const struct group *g)
{
    struct release *x = ctx;
    uint64_t bytes = group_cost(r, g);
    seg_live_sub(x->s, seg, bytes);
    struct wire w = wire_reader(g->list);
    bool final = false;
    for (uint32_t i = 0; i < g->count && x->dead && !final; i++) {
        struct spool_outcome o;
        final = outcome_get(&w, g->seq, &o) && o.final;
    }
    if (final)
        seg_add_tomb(seg, g->home_gen, bytes ? bytes : REC_HEAD_BYTES + g->list.n);
    return 0;
}

void chain_release(struct spool *s, const struct entry *e, bool dead)
{
    struct release x = { s, dead };
    chain_walk(s, e, release_one, &x);
}

/* --- collecting --- */

struct collect {
    struct arena *a;
    struct spool_outcome *list;
    size_t n, cap;
    bool full;
};

static int collect_one(void *ctx, struct segment *seg, const struct rec *r, const struct group *g)
{
    struct collect *c = ctx;
    struct wire w = wire_reader(g->list);
    size_t first = c->n;
    (void)seg;
    (void)r;
    for (uint32_t i = 0; i < g->count; i++) {
        struct spool_outcome o;
        if (!outcome_get(&w, g->seq, &o))
            return -EILSEQ;
        if (c->n == c->cap) {
            c->cap = c->cap ? 2 * c->cap : 16;
            c->list = must_realloc(c->list, must_mul(c->cap, sizeof *c->list));
        }
        o.status = arena_dup(c->a, o.status);
        o.diag = arena_dup(c->a, o.diag);
        o.remote = arena_dup(c->a, o.remote);
        if (!o.status.p || !o.diag.p || !o.remote.p)
            return -ENOMEM;
        c->list[c->n++] = o;
    }
    for (size_t i = first, k = c->n; i + 1 < k; i++, k--) { /* newest first */
        struct spool_outcome o = c->list[i];
        c->list[i] = c->list[k - 1];
        c->list[k - 1] = o;
    }
    return 0;
}

/* By recipient, and for one recipient newest first. */
struct ranked {
    uint32_t rcpt;
    size_t rank;
};

static int by_rcpt(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->rcpt != y->rcpt)
        return x->rcpt < y->rcpt ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int keep_newest(struct collect *c, struct arena *a, struct spool_outcome **list_r,
                       size_t *n_r)
{
    struct ranked *order = must_calloc(c->n, sizeof *order);
    for (size_t i = 0; i < c->n; i++)
        order[i] = (struct ranked){ c->list[i].rcpt, i };
    qsort(order, c->n, sizeof *order, by_rcpt);
    *list_r = arena_alloc(a, must_mul(c->n + 1, sizeof **list_r));
    *n_r = 0;
    for (size_t i = 0; i < c->n && *list_r; i++) {
        const struct spool_outcome *o = &c->list[order[i].rank];
        if (i == 0 || order[i].rcpt != order[i - 1].rcpt)
            (*list_r)[(*n_r)++] = *o;
        else if (o->final && !(*list_r)[*n_r - 1].final)
            (*list_r)[*n_r - 1] = *o; /* what is final stays so, whatever was said later */
    }
    free(order);
    return *list_r ? 0 : -ENOMEM;
}

int chain_collect(struct spool *s, const struct entry *e, struct arena *a,
                  struct spool_outcome **list_r, size_t *n_r)
{
    struct collect c = { .a = a };
    int error = chain_walk(s, e, collect_one, &c);
    int kept = keep_newest(&c, a, list_r, n_r);
    free(c.list);
    return error ? error : kept;
}

/* --- merging --- */

void chain_due(struct spool *s, struct entry *e)
{
    enum { SLACK_BYTES = 4096, PER_RCPT_BYTES = 128 };
    bool due = e->chain_bytes > SLACK_BYTES + (uint64_t)e->rcpts * PER_RCPT_BYTES;
    if (!due || e->flags & ENTRY_DUE || s->due_count == DUE_MAX || s->config.read_only)
        return;
    if (!s->due)
        s->due = must_calloc(DUE_MAX, sizeof *s->due);
    s->due[s->due_count++] = entry_seq(e);
    e->flags |= ENTRY_DUE;
}

void chain_put_snapshot(struct spool *s, uint64_t seq, const struct spool_outcome *list, size_t n,
                        struct span body)
{
    struct item *it = batch_begin(&s->batch, ITEM_SNAPSHOT, REC_OUTCOME);
    struct buf encoded;
    buf_init(&encoded, REC_META_MAX);
    for (size_t i = 0; i < n; i++)
        outcome_put(&encoded, &list[i]);
    wire_put_u64(&s->batch.metas, 0);
    group_put(&s->batch.metas, &(struct group){ .seq = seq, .count = (uint32_t)n,
                                                .list = buf_span(&encoded) });
    buf_free(&encoded);
    batch_body(&s->batch, it, body);
    batch_end(s, &s->batch, it);
    batch_group(&s->batch, it, seq, OUTCOME_FIXED_BYTES);
}

/* Where older outcomes do not read any more, who is done is still known from memory. */
static struct spool_outcome *add_finals(struct spool *s, const struct entry *e, struct arena *a,
                                        const struct spool_outcome *list, size_t *n)
{
    struct spool_outcome *all = arena_alloc(a, must_mul(*n + e->rcpts, sizeof *all));
    size_t count = 0;
    for (uint32_t rcpt = 0; all && rcpt < e->rcpts; rcpt++)
        if (table_is_final(&s->table, e, rcpt))
            all[count++] = (struct spool_outcome){ .rcpt = rcpt, .final = true };
    for (size_t i = 0; all && i < *n; i++)
        all[count++] = list[i]; /* the later one of a recipient counts */
    *n = count;
    return all;
}

int chain_state(struct spool *s, const struct entry *e, struct arena *a,
                struct spool_outcome **list_r, size_t *n_r)
{
    int error = chain_collect(s, e, a, list_r, n_r);
    if (error == -EILSEQ || error == -EIO)
        *list_r = *list_r ? add_finals(s, e, a, *list_r, n_r) : NULL;
    else if (error)
        return error;
    return *list_r ? 0 : -ENOMEM;
}

int chain_snapshot(struct spool *s, struct entry *e, struct arena *a)
{
    struct spool_outcome *list;
    size_t n;
    int error = chain_state(s, e, a, &list, &n);
    if (!error)
        chain_put_snapshot(s, entry_seq(e), list, n,
                           batch_keep(&s->batch, story_body(s, e, a)));
    return error;
}
