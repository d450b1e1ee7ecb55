/* Freeing: survivors of mostly dead segments move to the active one, in slices, flushed before
 * their source goes. One victim at a time, and to its end: as long as a victim holds older
 * copies of what has moved, nothing else is freed, for the dead of those copies must not rise. */
#include "base/crc32c.h"
#include "base/list.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

#define READ_FAILED (-EBADMSG) /* the victim's bytes are to blame, not the place they go to */

enum {
    RECORD_COST_BYTES = 256, /* what looking at one record takes from the slice */
    DUE_PER_SLICE = 64,
    EARLY_SHARE = 8,         /* less than 1/8 alive: worth it at once */
};

struct slice {
    struct spool *s;
    struct arena *arena;
    int64_t budget;
};

void compact_stop(struct spool *s)
{
    struct compaction *c = &s->compaction;
    cursor_free(&c->cursor);
    if (c->moving)
        txn_free(s, c->moving, true);
    free(c->carried.slots);
    *c = (struct compaction){ 0 };
}

/* --- which --- */

static bool kept(const struct segment *seg) { return seg->homes || seg->lasts || seg->extents; }

static bool may_go(const struct segment *seg)
{
    return seg && seg->state != SEG_ACTIVE && !seg->pins && !seg->stuck;
}

/* What must go before anything else may: segments whose last part may not be on the disk (it
 * may hold the only new copy of what lies in another), then those with older copies. One that
 * cannot go yet is waited for. Older copies in a segment that does not read are provided for in
 * another way: as long as there is one, all tombs are kept. */
static struct segment *urgent(const struct spool *s, bool *blocked)
{
    struct segment *found = NULL;
    *blocked = false;
    for (size_t i = 0; i < s->slot_count; i++) {
        struct segment *seg = s->slots[i];
        if (!seg || !(seg->unsettled || (seg->twins && !seg->stuck)))
            continue;
        *blocked = true;
        if (!may_go(seg) && seg->unsettled)
            return NULL;
        if (may_go(seg) && (!found || seg->unsettled))
            found = seg;
    }
    return found;
}

static struct segment *choose(const struct spool *s)
{
    struct segment *best = NULL;
    uint64_t total = 0, live = 0;
    double best_share = 2;
    for (size_t i = 0; i < s->slot_count; i++) {
        struct segment *seg = s->slots[i];
        if (!seg || seg->clings)
            continue;
        total += seg->end;
        live += seg->live;
        if (!may_go(seg) || !seg->end)
            continue;
        double share = (double)(seg->live + seg_tombs(s, seg)) / (double)seg->end;
        if (seg->state == SEG_CLOSED)
            share = 0; /* without an index, or on bad ground: away from there */
        if (share < best_share) {
            best_share = share;
            best = seg;
        }
    }
    bool over = total > 2 * live + s->dir_count * s->config.segment_size_bytes;
    return best && best_share < (over ? 0.875 : 1.0 / EARLY_SHARE) ? best : NULL;
}

/* --- the end of a segment --- */

/* What else lives in segments: the notes of voids, and of the highest counter. The note about
 * the segment itself stays until it is gone: the unlink may fail. */
static int note_elsewhere(struct spool *s, const struct segment *gone)
{
    size_t left = 0, others = 0;
    for (size_t i = 0; i < s->void_count; i++) {
        if (!seg_by_gen(s, s->voids[i].gen))
            continue;
        others += s->voids[i].gen != gone->gen;
        s->voids[left++] = s->voids[i];
    }
    s->void_count = left;
    s->voids_written = 0;
    if (!others && s->id_gen != gone->gen && s->id_gen)
        return 0;
    int r = -EIO;
    for (size_t i = 0; i < s->dir_count && r < 0; i++)
        if (dir_takes(s, &s->dirs[i]))
            r = batch_note(s, &s->dirs[i], s->id_high);
    return r;
}

/* What cannot be unlinked, as its directory fails, keeps no other from being freed: it is as good
 * as one that does not read, whose older copies all tombs are kept for. */
static int let_go(struct spool *s, struct segment *seg)
{
    int r = note_elsewhere(s, seg);
    if (r < 0)
        return r;
    r = seg_unlink(s, seg);
    if (r == 0)
        return 0;
    seg->stuck = seg->clings = seg->dir->clings = true;
    seg->unsettled = seg->unsettled && !seg->carried;
    return r;
}

static bool is_empty(const struct spool *s, const struct segment *seg)
{
    return may_go(seg) && !kept(seg) && !seg->live && !seg_tombs(s, seg);
}

/* One in a slice: the system takes 20 ms to forget the pages of 64M. 1: it was one. */
static int free_empty(struct spool *s)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        if (!is_empty(s, s->slots[i]))
            continue;
        int r = let_go(s, s->slots[i]);
        return r < 0 ? r : 1;
    }
    return 0;
}

/* --- moving one message --- */

static void encode(struct buf *b, const struct spool_outcome *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        outcome_put(b, &list[i]);
}

static int own_group(struct slice *x, const struct entry *e, struct buf *encoded, struct group *g)
{
    struct spool_outcome *list;
    size_t n;
    if (!e->last_slot)
        return 0;
    int r = chain_state(x->s, e, x->arena, &list, &n);
    if (r < 0)
        return r;
    encode(encoded, list, n);
    *g = (struct group){ .seq = entry_seq(e), .count = (uint32_t)n, .list = buf_span(encoded) };
    return 0;
}

static void put_move(struct slice *x, struct commit_meta *m, struct span body, struct txn *moved)
{
    struct batch *b = &x->s->batch;
    struct buf extents;
    buf_init(&extents, REC_META_MAX);
    for (size_t i = 0; moved && i < moved->n; i++)
        extent_put(&extents, &moved->extents[i]);
    if (moved)
        m->extents = buf_span(&extents);
    m->flags |= COMMIT_MOVED;
    m->bound = (struct group){ 0 };
    struct item *it = batch_begin(b, ITEM_MOVE, REC_COMMIT);
    it->seq = m->seq;
    it->txn = moved;
    commit_put(&b->metas, m);
    batch_body(b, it, body);
    batch_end(x->s, b, it);
    batch_group(b, it, m->seq, 0);
    x->s->stat.moved_bytes += m->content_bytes;
    buf_free(&extents);
}

static int move_message(struct slice *x, const struct entry *e, struct txn *moved)
{
    struct spool *s = x->s;
    struct buf b, encoded;
    struct rec r;
    struct span body;
    struct commit_meta m;
    buf_init(&b, (size_t)1 << 40);
    buf_init(&encoded, REC_META_MAX);
    int error = rec_read(s, seg_at(s, e->slot), (uint64_t)e->off8 * 8, (uint64_t)e->size8 * 8, &b,
                         &r, &body);
    if (error || !commit_get(&r, &m))
        error = READ_FAILED;
    if (!error && (crc32c(0, body.p, body.n) != r.body_crc || (moved && moved->damaged)))
        m.flags |= COMMIT_DAMAGED; /* stays to be seen */
    if (!error) {
        m.own = (struct group){ 0 };
        error = own_group(x, e, &encoded, &m.own);
    }
    struct span kept_body = error ? SPAN_NONE : arena_dup(x->arena, body);
    struct span stories = error ? SPAN_NONE : story_body(s, e, x->arena);
    if (!error && !kept_body.p)
        error = -ENOMEM;
    if (!error)
        put_move(x, &m, kept_body, moved);
    if (!error && stories.n)
        story_put_record(s, m.seq, stories);
    x->budget -= (int64_t)b.len;
    buf_free(&b);
    buf_free(&encoded);
    return error;
}

/* --- moving one with extents, over several slices --- */

static void begin_extents(struct spool *s, uint64_t seq)
{
    struct txn *t = NEW(struct txn);
    t->seq = seq;
    s->compaction.moving = t;
    s->compaction.next_extent = 0;
}

/* 1: all are copied; 0: the budget is used up; -errno. */
static int copy_extents(struct slice *x, const struct commit_meta *m)
{
    struct spool *s = x->s;
    struct compaction *c = &s->compaction;
    struct buf b;
    int error = 0;
    buf_init(&b, (size_t)1 << 40);
    while (!error && c->next_extent < commit_extents(m) && x->budget > 0) {
        struct extent e = extent_at(m->extents, c->next_extent);
        struct segment *seg = seg_by_gen(s, e.gen);
        struct rec r;
        struct span body;
        if (!seg || rec_read(s, seg, e.off, extent_rec_size(&e), &b, &r, &body) < 0 ||
            body.n != e.len)
            error = READ_FAILED;
        if (!error)
            error = append_extent(s, c->moving, body, true);
        c->moving->damaged |= !error && crc32c(0, body.p, body.n) != e.crc;
        x->budget -= (int64_t)e.len + RECORD_COST_BYTES;
        c->next_extent++;
    }
    buf_free(&b);
    return error ? error : c->next_extent == commit_extents(m);
}

static void drop_moving(struct spool *s)
{
    txn_free(s, s->compaction.moving, true);
    s->compaction.moving = NULL;
}

/* 1: done (or the message is gone); 0: to be continued; -errno. */
static int go_on_moving(struct slice *x)
{
    struct spool *s = x->s;
    struct compaction *c = &s->compaction;
    struct entry *e = table_get(&s->table, c->moving->seq);
    struct buf b;
    struct rec r;
    struct commit_meta m;
    if (!e) {
        drop_moving(s);
        return 1;
    }
    buf_init(&b, REC_META_MAX);
    int got = c->moving->failed ? -EIO : READ_FAILED;
    if (!c->moving->failed &&
        rec_read(s, seg_at(s, e->slot), (uint64_t)e->off8 * 8, 0, &b, &r, NULL) == 0 &&
        commit_get(&r, &m))
        got = copy_extents(x, &m);
    buf_free(&b);
    if (got == 1) {
        int error = move_message(x, e, c->moving);
        if (error < 0)
            return error;
        c->moving = NULL; /* the item has it */
        got = batch_flush(s);
        return got < 0 ? got : 1;
    }
    return got;
}

/* --- one record of the victim --- */

struct passes {
    const struct segment *victim;
    bool found;
};

static int passes_through(void *ctx, struct segment *seg, const struct rec *r,
                          const struct group *g)
{
    struct passes *p = ctx;
    (void)r;
    (void)g;
    p->found |= seg == p->victim;
    return 0;
}

static struct carried_tomb *carried_slot(const struct carried *c, const struct carried_tomb *t)
{
    size_t i = (size_t)((t->seq * 31 + t->rcpt) * 0x9e3779b97f4a7c15u >> 20) ^ (size_t)t->home;
    for (i &= c->size - 1; c->slots[i].seq; i = (i + 1) & (c->size - 1)) {
        struct carried_tomb *k = &c->slots[i];
        if (k->seq == t->seq && k->rcpt == t->rcpt && k->home == t->home)
            break;
    }
    return &c->slots[i];
}

static void carried_grow(struct carried *c)
{
    struct carried old = *c;
    c->size = old.size ? 2 * old.size : 256;
    c->slots = must_calloc(c->size, sizeof *c->slots);
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].seq)
            *carried_slot(c, &old.slots[i]) = old.slots[i];
    free(old.slots);
}

/* False: it was carried before. Unlinking that fails again and again makes copies of copies:
 * without this their number would double each time. */
static bool carry_once(struct carried *c, const struct carried_tomb *t)
{
    if (2 * c->n >= c->size)
        carried_grow(c);
    struct carried_tomb *slot = carried_slot(c, t);
    if (slot->seq)
        return false;
    *slot = *t;
    c->n++;
    return true;
}

/* The outcomes are about a message that is gone: those that say so stay as long as its commit
 * record lies somewhere, be it an older copy of it (two segments that hold such copies may be
 * about the same message, and only one of them goes at a time). */
static void carry_tomb(struct slice *x, const struct segment *victim, const struct group *g)
{
    struct spool *s = x->s;
    bool needed = g->home_gen != victim->gen && seg_by_gen(s, g->home_gen);
    if (victim->carried || !(needed || seg_older_copies(s, victim)))
        return;
    struct buf finals;
    struct wire w = wire_reader(g->list);
    struct group tomb = { .seq = g->seq, .home_gen = g->home_gen, .home_off = g->home_off };
    buf_init(&finals, REC_META_MAX);
    for (uint32_t i = 0; i < g->count; i++) {
        struct spool_outcome o;
        if (!outcome_get(&w, g->seq, &o))
            break;
        if (!o.final || !carry_once(&s->compaction.carried, &(struct carried_tomb){
                                        g->seq, g->home_gen, o.rcpt }))
            continue;
        o.status = o.diag = o.remote = SPAN_NONE;
        outcome_put(&finals, &o);
        tomb.count++;
    }
    tomb.list = buf_span(&finals);
    if (tomb.count) {
        struct item *it = batch_begin(&s->batch, ITEM_TOMB, REC_OUTCOME);
        wire_put_u64(&s->batch.metas, 0);
        group_put(&s->batch.metas, &tomb);
        batch_end(s, &s->batch, it);
    }
    buf_free(&finals);
}

static int see_group(struct slice *x, const struct segment *victim, const struct group *g)
{
    struct spool *s = x->s;
    struct entry *e = table_get(&s->table, g->seq);
    if (!e) {
        carry_tomb(x, victim, g);
        return 0;
    }
    if (batch_has(&s->batch, g->seq))
        return 0;
    struct passes p = { .victim = victim };
    int error = chain_walk(s, e, passes_through, &p);
    if (!p.found && !error)
        return 0;
    return chain_snapshot(s, e, x->arena);
}

static bool names_extent(struct spool *s, const struct entry *e, const struct segment *seg)
{
    struct buf b;
    struct rec r;
    struct commit_meta m;
    bool found = false;
    buf_init(&b, REC_META_MAX);
    if (rec_read(s, seg_at(s, e->slot), (uint64_t)e->off8 * 8, 0, &b, &r, NULL) == 0 &&
        commit_get(&r, &m))
        for (size_t i = 0; i < commit_extents(&m) && !found; i++)
            found = extent_at(m.extents, i).gen == seg->gen;
    buf_free(&b);
    return found;
}

static int see_commit(struct slice *x, struct segment *victim, const struct rec *r)
{
    struct spool *s = x->s;
    struct commit_meta m;
    if (!commit_get(r, &m))
        return 0;
    struct entry *e = table_get(&s->table, m.seq);
    int error = 0;
    if (e && e->slot == victim->slot && (uint64_t)e->off8 * 8 == r->off) {
        if (batch_has(&s->batch, m.seq)) { /* its outcomes were merged in this slice */
            error = batch_flush(s);
            if (error)
                return error;
        }
        if (e->flags & ENTRY_EXTENTS)
            begin_extents(s, m.seq);
        else
            error = move_message(x, e, NULL);
    }
    if (!e && m.own.seq) { /* its outcomes until it was moved: an older copy has not all of them */
        m.own.home_gen = victim->gen;
        carry_tomb(x, victim, &m.own);
    }
    if (!error && m.bound.seq)
        error = see_group(x, victim, &m.bound);
    return error;
}

/* A record of a later release's type goes along unread. */
static int carry_unknown(struct slice *x, struct segment *victim, const struct rec *r)
{
    struct spool *s = x->s;
    struct buf b;
    struct rec whole;
    struct span body;
    buf_init(&b, (size_t)1 << 40);
    int error = rec_read(s, victim, r->off, rec_size(r), &b, &whole, &body);
    struct span keep = error ? SPAN_NONE : arena_dup(x->arena, body);
    if (!error && keep.p) {
        struct item *it = batch_begin(&s->batch, ITEM_COPY, whole.type);
        buf_puts(&s->batch.metas, whole.meta);
        batch_body(&s->batch, it, keep);
        it->body_crc = whole.body_crc;
        batch_end(s, &s->batch, it);
    }
    buf_free(&b);
    return error ? READ_FAILED : 0;
}

static int see(struct slice *x, struct segment *victim, const struct rec *r)
{
    struct spool *s = x->s;
    struct group g;
    uint64_t seq;
    x->budget -= RECORD_COST_BYTES;
    if (r->type == REC_COMMIT)
        return see_commit(x, victim, r);
    if (r->type == REC_OUTCOME && outcome_rec_get(r, &g))
        return see_group(x, victim, &g);
    if (r->type == REC_EXTENT && extent_meta_get(r, &seq)) {
        struct entry *e = table_get(&s->table, seq);
        if (e && e->flags & ENTRY_EXTENTS && e->slot != victim->slot &&
            !batch_has(&s->batch, seq) && names_extent(s, e, victim))
            begin_extents(s, seq);
        return 0;
    }
    return r->type > REC_FOOTER ? carry_unknown(x, victim, r) : 0;
}

/* --- a slice --- */

/* 1: the victim has been gone through; 0: to be continued; -errno. */
static int go_through(struct slice *x)
{
    struct spool *s = x->s;
    struct compaction *c = &s->compaction;
    while (x->budget > 0) {
        if (c->moving) {
            int r = go_on_moving(x);
            if (r <= 0)
                return r;
            continue;
        }
        struct rec r;
        int got = cursor_next(c->cursor, &r);
        if (got <= 0)
            return got < 0 ? got : 1;
        int error = see(x, c->victim, &r);
        if (error)
            return error;
    }
    return 0;
}

static void merge_due(struct slice *x)
{
    struct spool *s = x->s;
    for (int i = 0; i < DUE_PER_SLICE && s->due_count; i++) {
        struct entry *e = table_get(&s->table, s->due[--s->due_count]);
        if (!e)
            continue;
        e->flags &= (uint16_t)~ENTRY_DUE;
        if (!batch_has(&s->batch, entry_seq(e)))
            chain_snapshot(s, e, x->arena);
    }
}

/* A victim that does not read to its end stays as it is, with what it still holds. */
static void give_up(struct spool *s, int error)
{
    struct segment *victim = s->compaction.victim;
    if (error == READ_FAILED) {
        victim->stuck = true;
        seg_emit(s, victim, SPOOL_EVENT_UNREADABLE, 0, victim->live, error);
    }
    compact_stop(s);
}

static int finish_victim(struct spool *s)
{
    struct segment *victim = s->compaction.victim;
    compact_stop(s);
    victim->carried = !kept(victim);
    if (victim->carried)
        return let_go(s, victim);
    s->compaction.victim = victim;
    give_up(s, READ_FAILED);
    return READ_FAILED;
}

static int begin_victim(struct spool *s)
{
    struct compaction *c = &s->compaction;
    bool blocked;
    c->victim = urgent(s, &blocked);
    int r = blocked || seg_any_stuck(s) ? 0 : free_empty(s);
    if (r == 0 && !c->victim && !blocked)
        c->victim = choose(s);
    if (c->victim)
        c->cursor = cursor_new(s, c->victim, false);
    return r;
}

static int run_slice(struct slice *x)
{
    struct spool *s = x->s;
    merge_due(x);
    bool more = s->due_count > 0, through = false;
    int r = s->compaction.victim ? 0 : begin_victim(s);
    if (r == 1) { /* one was freed; there may be others */
        more = true;
        r = 0;
    }
    if (r == 0 && s->compaction.victim) {
        r = go_through(x);
        through = r == 1;
        more = true;
    }
    int flushed = batch_flush(s);
    if (r >= 0)
        r = flushed;
    if (r < 0 && s->compaction.victim)
        give_up(s, r);
    else if (r >= 0 && through)
        r = finish_victim(s);
    return r < 0 ? r : more;
}

int spool_compact(struct spool *s, int64_t now_ms, uint64_t max_bytes)
{
    enum { FLUSHES_MAX = 4 };
    MUST(!s->busy && !s->config.read_only);
    s->now_ms = now_ms;
    for (int i = 0; i < FLUSHES_MAX && s->batch.n; i++) {
        int r = batch_flush(s);
        if (r < 0)
            return r;
    }
    if (s->batch.n)
        return 1; /* the callbacks keep it busy */
    if (s->unread)
        return 0; /* outcomes may lie where nothing reads: nothing is merged, nothing freed */
    struct slice x = { .s = s, .arena = arena_new((size_t)1 << 40),
                       .budget = max_bytes > INT64_MAX ? INT64_MAX : (int64_t)max_bytes };
    int r = run_slice(&x);
    arena_free(&x.arena);
    bool dying = seg_dying_step(s);
    return r == 0 && dying ? 1 : r;
}
