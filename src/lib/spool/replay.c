/* The log from its beginning: first what is live and where, then every live message and its
 * outcomes to the caller. Both go through the metas only, in the order of lsn: the records of
 * one directory are in that order, so the directories are merged. */
#include "base/list.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

struct stream { /* one directory */
    struct segment **segs;
    size_t n, next;
    struct cursor *cursor;
    struct segment *seg; /* of rec */
    struct rec rec;
    bool have;
};

/* Outcomes of a message whose links are broken, gathered to be written anew; and the lsn from
 * which on the outcomes of a message count, where that is not its first. */
struct note {
    struct hash_node node;
    uint64_t seq, lsn;
    struct buf outcomes;
};

struct replay {
    struct spool *s;
    struct stream streams[SPOOL_DIRECTORIES_MAX];
    struct hash notes;
    struct arena *arena;
    bool second;
};

/* --- merging --- */

static int by_gen(const void *a, const void *b)
{
    const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;
    return x->gen < y->gen ? -1 : x->gen > y->gen;
}

static bool counts(const struct rec *r)
{
    return (r->type == REC_COMMIT || r->type == REC_OUTCOME) && rec_lsn(r);
}

static void report_damage(struct spool *s, struct segment *seg, const struct cursor *c)
{
    const struct ranges *bad = cursor_bad(c);
    if (cursor_error(c)) { /* not to be freed by this process: it may read the next time */
        seg->stuck = s->unread = true;
        seg_emit(s, seg, SPOOL_EVENT_UNREADABLE, 0, seg->end, cursor_error(c));
        return;
    }
    for (size_t i = 0; i < bad->n; i++) {
        struct range r = bad->list[i];
        seg->damaged = true;
        ranges_add(&seg->holes, r.from, r.to);
        seg_emit(s, seg, SPOOL_EVENT_DAMAGED, r.from, r.to - r.from, 0);
    }
}

static void advance(struct replay *x, struct stream *t)
{
    t->have = false;
    for (;;) {
        if (!t->cursor) {
            if (t->next == t->n)
                return;
            t->seg = t->segs[t->next++];
            t->cursor = cursor_new(x->s, t->seg, false);
        }
        while (cursor_next(t->cursor, &t->rec) == 1) {
            if (counts(&t->rec)) {
                t->have = true;
                return;
            }
            if (x->second && t->rec.type > REC_FOOTER) /* of a later release: kept */
                seg_live_add(x->s, t->seg, rec_size(&t->rec));
        }
        report_damage(x->s, t->seg, t->cursor);
        cursor_free(&t->cursor);
    }
}

static void open_streams(struct replay *x)
{
    struct spool *s = x->s;
    for (size_t d = 0; d < s->dir_count; d++) {
        struct stream *t = &x->streams[d];
        *t = (struct stream){ .segs = must_calloc(s->slot_count + 1, sizeof *t->segs) };
        for (size_t i = 0; i < s->slot_count; i++)
            if (s->slots[i] && s->slots[i]->dir == &s->dirs[d])
                t->segs[t->n++] = s->slots[i];
        qsort(t->segs, t->n, sizeof *t->segs, by_gen);
        advance(x, t);
    }
}

static struct stream *oldest(struct replay *x)
{
    struct stream *found = NULL;
    for (size_t d = 0; d < x->s->dir_count; d++) {
        struct stream *t = &x->streams[d];
        if (t->have && (!found || rec_lsn(&t->rec) < rec_lsn(&found->rec)))
            found = t;
    }
    return found;
}

static void close_streams(struct replay *x)
{
    for (size_t d = 0; d < x->s->dir_count; d++) {
        cursor_free(&x->streams[d].cursor);
        free(x->streams[d].segs);
    }
}

/* --- notes --- */

static struct note *note_get(struct replay *x, uint64_t seq, bool make)
{
    struct hash_node *n = hash_get(&x->notes, span_of(&seq, sizeof seq));
    if (n || !make)
        return n ? CONTAINER(n, struct note, node) : NULL;
    struct note *note = NEW(struct note);
    note->seq = seq;
    buf_init(&note->outcomes, REC_META_MAX);
    MUST(hash_add(&x->notes, &note->node, span_of(&note->seq, sizeof note->seq)));
    return note;
}

static void free_notes(struct replay *x)
{
    for (struct hash_node *n = hash_next(&x->notes, NULL), *next; n; n = next) {
        struct note *note = CONTAINER(n, struct note, node);
        next = hash_next(&x->notes, n);
        hash_remove(&x->notes, n);
        buf_free(&note->outcomes);
        free(note);
    }
    hash_free(&x->notes);
}

/* --- first: what is live --- */

static void forget(struct spool *s, struct entry *e)
{
    entry_set_home(s, e, NULL, 0, 0);
    entry_set_last(s, e, NULL, 0);
    table_remove(&s->table, e);
}

static void learn_group(struct replay *x, struct segment *seg, const struct rec *r,
                        const struct group *g)
{
    struct spool *s = x->s;
    struct entry *e = table_get(&s->table, g->seq);
    if (!e)
        return;
    if (g->home_gen && g->home_gen != seg_at(s, e->slot)->gen)
        seg_at(s, e->slot)->twins = true; /* the newer copy, which these are about, has gone */
    struct segment *last = seg_at(s, e->last_slot);
    bool linked = last ? g->prev_gen == last->gen && g->prev_off == (uint64_t)e->last_off8 * 8
                       : g->prev_gen == 0;
    if (g->prev_gen == 0) { /* complete */
        if (last)
            note_get(x, g->seq, true)->lsn = rec_lsn(r);
        e->chain_bytes = 0;
        e->flags &= (uint16_t)~ENTRY_BROKEN;
    } else if (!linked) {
        e->flags |= ENTRY_BROKEN;
    }
    e->chain_bytes += g->prev_gen && r->type == REC_OUTCOME ? chain_weight(r, g) : 0;
    if (r->type == REC_OUTCOME && r->body_len)
        e->flags |= ENTRY_STORIES;
    entry_set_last(s, e, seg, r->off);
    if (apply_finals(s, e, g))
        forget(s, e);
}

static void learn_commit(struct replay *x, struct segment *seg, const struct rec *r,
                         const struct commit_meta *m)
{
    struct spool *s = x->s;
    struct entry *e = table_get(&s->table, m->seq);
    if (m->seq >= s->id_high)
        s->id_high = m->seq + 1;
    if (e && e->rcpts != m->rcpts) { /* not the same message: ids are never reused */
        seg_emit(s, seg, SPOOL_EVENT_DAMAGED, r->off, rec_size(r), 0);
        return;
    }
    if (e)
        seg_at(s, e->slot)->twins = true;
    else
        e = table_add(&s->table, m->seq, m->rcpts);
    table_clear_final(&s->table, e);
    entry_set_home(s, e, seg, r->off, rec_size(r));
    entry_set_last(s, e, m->own.seq ? seg : NULL, r->off);
    e->flags = m->extents.n ? ENTRY_EXTENTS : 0;
    e->chain_bytes = 0;
    if (m->own.seq && apply_finals(s, e, &m->own))
        forget(s, e);
    if (m->bound.seq)
        learn_group(x, seg, r, &m->bound);
}

/* --- second: to the caller --- */

static void tell_group(struct replay *x, struct segment *seg, const struct rec *r,
                       const struct group *g)
{
    struct spool *s = x->s;
    struct entry *e = table_get(&s->table, g->seq);
    const struct note *start = e ? note_get(x, g->seq, false) : NULL;
    if (e && (!(e->flags & ENTRY_STARTED) || (start && rec_lsn(r) < start->lsn)))
        return; /* merged into a later record */
    struct note *broken = e && e->flags & ENTRY_BROKEN ? note_get(x, g->seq, true) : NULL;
    struct wire w = wire_reader(g->list);
    bool final = false;
    for (uint32_t i = 0; i < g->count; i++) {
        struct spool_outcome o;
        if (!outcome_get(&w, g->seq, &o))
            break;
        final |= o.final;
        if (e && !o.final && o.rcpt != SPOOL_RCPT_ALL && table_is_final(&s->table, e, o.rcpt))
            continue; /* what is final stays so, whatever was said later */
        if (e && s->calls.on_outcome)
            s->calls.on_outcome(s->calls.ctx, &o);
        if (broken)
            outcome_put(&broken->outcomes, &o);
    }
    if (e)
        seg_live_add(s, seg, group_cost(r, g));
    if (!e && final)
        seg_add_tomb(seg, g->home_gen, group_cost(r, g));
}

static void count_extents(struct spool *s, const struct commit_meta *m)
{
    for (size_t i = 0; i < commit_extents(m); i++) {
        struct extent x = extent_at(m->extents, i);
        struct segment *seg = seg_by_gen(s, x.gen);
        if (!seg)
            continue;
        seg->extents++;
        seg_live_add(s, seg, extent_rec_size(&x));
    }
}

static void tell_message(struct replay *x, struct segment *seg, const struct rec *r,
                         const struct commit_meta *m, struct entry *e)
{
    struct spool *s = x->s;
    struct envelope env;
    struct wire w = wire_reader(m->env);
    e->flags |= ENTRY_STARTED;
    seg_live_add(s, seg, rec_size(r));
    count_extents(s, m);
    s->stat.messages++;
    if (s->calls.on_message && envelope_get(&w, x->arena, &env)) {
        struct spool_message_info info = { &env, m->content_bytes, m->size_bytes };
        s->calls.on_message(s->calls.ctx, &info);
    }
    arena_reset(x->arena);
}

static void tell_commit(struct replay *x, struct segment *seg, const struct rec *r,
                        const struct commit_meta *m)
{
    struct entry *e = table_get(&x->s->table, m->seq);
    if (e && e->slot == seg->slot && (uint64_t)e->off8 * 8 == r->off) {
        tell_message(x, seg, r, m, e);
        if (m->own.seq)
            tell_group(x, seg, r, &m->own);
    }
    if (m->bound.seq)
        tell_group(x, seg, r, &m->bound);
}

/* --- both --- */

static void one_record(struct replay *x, struct segment *seg, const struct rec *r)
{
    struct spool *s = x->s;
    struct commit_meta m;
    struct group g;
    if (rec_lsn(r) >= s->lsn)
        s->lsn = rec_lsn(r) + 1;
    if (r->type == REC_COMMIT && commit_get(r, &m)) {
        if (x->second)
            tell_commit(x, seg, r, &m);
        else
            learn_commit(x, seg, r, &m);
    } else if (r->type == REC_OUTCOME && outcome_rec_get(r, &g)) {
        if (x->second)
            tell_group(x, seg, r, &g);
        else
            learn_group(x, seg, r, &g);
    } else if (!x->second) {
        seg->damaged = true;
        seg_emit(s, seg, SPOOL_EVENT_DAMAGED, r->off, rec_size(r), 0);
    }
}

static void pass(struct replay *x, bool second)
{
    x->second = second;
    open_streams(x);
    for (struct stream *t; (t = oldest(x));) {
        one_record(x, t->seg, &t->rec);
        advance(x, t);
    }
    close_streams(x);
}

static int mend_broken(struct replay *x)
{
    struct spool *s = x->s;
    for (struct hash_node *n = hash_next(&x->notes, NULL); n; n = hash_next(&x->notes, n)) {
        struct note *note = CONTAINER(n, struct note, node);
        struct entry *e = note->outcomes.len ? table_get(&s->table, note->seq) : NULL;
        struct wire w = wire_reader(buf_span(&note->outcomes));
        struct spool_outcome *list = NULL;
        size_t count = 0;
        while (e && w.rest.n) {
            list = must_realloc(list, must_mul(count + 1, sizeof *list));
            if (!outcome_get(&w, note->seq, &list[count++]))
                break;
        }
        if (count)
            chain_put_snapshot(s, note->seq, list, count, SPAN_NONE);
        free(list);
    }
    return batch_flush(s);
}

int replay(struct spool *s)
{
    struct replay x = { .s = s, .arena = arena_new((size_t)1 << 30) };
    hash_init(&x.notes, s->config.salt, 0);
    pass(&x, false);
    enum { LSN_GAP = 1 << 20 }; /* whatever was lost unseen had a lower one */
    pass(&x, true);
    s->lsn += LSN_GAP;
    int r = s->config.read_only || s->unread ? 0 : mend_broken(&x);
    free_notes(&x);
    arena_free(&x.arena);
    return r == -ENOSPC || r == -EIO ? 0 : r; /* tried again by compaction */
}
