/* What a record means for the spool's memory, once it is flushed. */
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>

/* The commit record and the extents it names are dead. */
static void release_commit(struct spool *s, const struct entry *e)
{
    struct segment *home = seg_at(s, e->slot);
    struct buf b;
    struct rec r;
    struct commit_meta m;
    seg_live_sub(s, home, (uint64_t)e->size8 * 8);
    if (!(e->flags & ENTRY_EXTENTS))
        return;
    buf_init(&b, REC_META_MAX);
    if (rec_read(s, home, (uint64_t)e->off8 * 8, 0, &b, &r, NULL) == 0 && commit_get(&r, &m)) {
        for (size_t i = 0; i < commit_extents(&m); i++) {
            struct extent x = extent_at(m.extents, i);
            struct segment *seg = seg_by_gen(s, x.gen);
            if (!seg)
                continue;
            seg->extents--;
            seg_live_sub(s, seg, extent_rec_size(&x));
        }
    }
    buf_free(&b);
}

static void apply_remove(struct spool *s, struct entry *e)
{
    chain_release(s, e, true);
    release_commit(s, e);
    entry_set_home(s, e, NULL, 0, 0);
    entry_set_last(s, e, NULL, 0);
    table_remove(&s->table, e);
    s->stat.messages--;
}

bool apply_finals(struct spool *s, struct entry *e, const struct group *g)
{
    struct wire w = wire_reader(g->list);
    bool all = false;
    for (uint32_t i = 0; i < g->count; i++) {
        struct spool_outcome o;
        if (!outcome_get(&w, g->seq, &o))
            break;
        if (o.final && o.rcpt == SPOOL_RCPT_ALL)
            all = true;
        else if (o.final)
            table_final(&s->table, e, o.rcpt);
    }
    return all || table_all_final(&s->table, e);
}

static void apply_group(struct spool *s, struct segment *seg, const struct rec *r,
                        const struct group *g, bool snapshot)
{
    uint64_t bytes = group_cost(r, g);
    struct entry *e = table_get(&s->table, g->seq);
    if (!e)
        return;
    if (snapshot) {
        chain_release(s, e, false);
        e->chain_bytes = 0;
        entry_set_last(s, e, NULL, 0);
    }
    if (apply_finals(s, e, g)) {
        seg_add_tomb(seg, g->home_gen, bytes);
        apply_remove(s, e);
        return;
    }
    seg_live_add(s, seg, bytes);
    entry_set_last(s, e, seg, r->off);
    e->chain_bytes += snapshot ? 0 : chain_weight(r, g);
    if (r->type == REC_OUTCOME && r->body_len)
        e->flags |= ENTRY_STORIES;
    e->flags &= (uint16_t)~(snapshot ? ENTRY_BROKEN : 0);
    chain_due(s, e);
}

static void apply_commit(struct spool *s, struct segment *seg, const struct rec *r,
                         const struct item *it)
{
    struct commit_meta m;
    bool sane = commit_get(r, &m);
    MUST(sane);
    struct entry *e = table_get(&s->table, m.seq);
    if (it->kind == ITEM_MOVE) {
        MUST(e != NULL);
        seg_at(s, e->slot)->twins = true;
        chain_release(s, e, false);
        release_commit(s, e);
        entry_set_last(s, e, NULL, 0);
        e->chain_bytes = 0;
    } else {
        MUST(e == NULL);
        e = table_add(&s->table, m.seq, m.rcpts);
        s->stat.messages++;
    }
    uint64_t size = rec_size(r);
    entry_set_home(s, e, seg, r->off, size);
    e->flags = m.extents.n ? ENTRY_EXTENTS : 0;
    seg_live_add(s, seg, size);
    if (m.own.seq)
        entry_set_last(s, e, seg, r->off);
    if (m.bound.seq)
        apply_group(s, seg, r, &m.bound, false);
}

void apply_item(struct spool *s, struct segment *seg, const struct batch *b, struct item *it)
{
    struct rec r = { .off = it->off, .type = it->type, .head_len = (uint32_t)it->meta_len,
                     .body_len = it->body_len, .body_crc = it->body_crc };
    r.meta = span_of(b->metas.mem + b->metas.off + it->at + REC_HEAD_BYTES, it->meta_len);
    struct group g;
    if (it->kind == ITEM_COMMIT || it->kind == ITEM_MOVE) {
        apply_commit(s, seg, &r, it);
    } else if (it->kind == ITEM_COPY) {
        seg_live_add(s, seg, rec_size(&r));
    } else {
        bool sane = outcome_rec_get(&r, &g);
        MUST(sane);
        if (it->kind == ITEM_TOMB)
            seg_add_tomb(seg, g.home_gen, rec_size(&r));
        else
            apply_group(s, seg, &r, &g, it->kind == ITEM_SNAPSHOT);
    }
}
