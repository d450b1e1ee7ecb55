/* Batches: records gathered in memory, written with one write and made durable by one flush. */
#include "base/crc32c.h"
#include "base/must.h"
#include "receipt/mint.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum {
    SMALL_BATCH_BYTES = 16 * 1024, /* up to this, zeros are written ahead */
    AHEAD_MAX = 64 * 1024,
    CHUNK_BYTES = 64 * 1024,       /* of index entries in one index record */
    TRIES_MAX = 4,
    MAP_KEEP = 4096,
};

static const char zeros[AHEAD_MAX];

void batch_init(struct batch *b)
{
    *b = (struct batch){ .oldest_ms = -1 };
    buf_init(&b->metas, (size_t)1 << 40);
}

void batch_free(struct spool *s, struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].txn)
            txn_free(s, b->items[i].txn, false);
    buf_free(&b->metas);
    arena_free(&b->bodies);
    free(b->items);
    free(b->spans);
    free(b->map);
    free(b->seqs);
}

static void batch_reset(struct batch *b)
{
    buf_reset(&b->metas);
    if (b->bodies)
        arena_reset(b->bodies);
    b->n = b->span_count = b->commits = 0;
    b->bytes = 0;
    b->oldest_ms = -1;
    if (b->map_size > MAP_KEEP) { /* after one large batch, small ones need not clear so much */
        free(b->map);
        b->map = NULL;
        b->map_size = 0;
    }
    if (b->map_size)
        memset(b->map, 0, b->map_size * sizeof *b->map);
    if (b->seqs_size > MAP_KEEP) {
        free(b->seqs);
        b->seqs = NULL;
        b->seqs_size = 0;
    }
    if (b->seqs_size)
        memset(b->seqs, 0, b->seqs_size * sizeof *b->seqs);
}

struct item *batch_begin(struct batch *b, enum item_kind kind, uint32_t type)
{
    static const char head[REC_HEAD_BYTES];
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 64;
        b->items = must_realloc(b->items, must_mul(b->cap, sizeof *b->items));
    }
    struct item *it = &b->items[b->n++];
    *it = (struct item){ .kind = kind, .type = type, .at = b->metas.len,
                         .span_at = b->span_count };
    buf_put(&b->metas, head, sizeof head);
    return it;
}

void batch_body(struct batch *b, struct item *it, struct span s)
{
    if (!s.n)
        return;
    if (b->span_count == b->span_cap) {
        b->span_cap = b->span_cap ? 2 * b->span_cap : 256;
        b->spans = must_realloc(b->spans, must_mul(b->span_cap, sizeof *b->spans));
    }
    b->spans[b->span_count++] = s;
    it->span_count++;
    it->body_len += s.n;
    it->body_crc = crc32c(it->body_crc, s.p, s.n);
}

static struct rec item_rec(const struct batch *b, const struct item *it)
{
    return (struct rec){ .off = it->off, .type = it->type, .head_len = (uint32_t)it->meta_len,
                         .body_crc = it->body_crc, .body_len = it->body_len,
                         .meta = span_of(b->metas.mem + b->metas.off + it->at + REC_HEAD_BYTES,
                                         it->meta_len) };
}

void batch_end(struct spool *s, struct batch *b, struct item *it)
{
    (void)s;
    it->meta_len = b->metas.len - it->at - REC_HEAD_BYTES;
    MUST(it->meta_len <= REC_META_MAX && !b->metas.failed);
    if (!it->body_len) /* records without a body stand side by side, one piece to write */
        buf_put(&b->metas, zeros, REC_ALIGN(it->meta_len) - it->meta_len);
    struct rec r = item_rec(b, it);
    b->bytes += rec_size(&r);
    if (it->kind == ITEM_COMMIT)
        b->commits++;
    if (it->kind == ITEM_OUTCOME && (b->oldest_ms < 0 || it->at_ms < b->oldest_ms))
        b->oldest_ms = it->at_ms;
}

static uint32_t *map_slot(const struct batch *b, uint64_t seq)
{
    size_t i = (seq * 0x9e3779b97f4a7c15u) >> 32;
    for (;; i++) {
        uint32_t *slot = &b->map[i & (b->map_size - 1)];
        if (!*slot || b->items[*slot - 1].group_seq == seq)
            return slot;
    }
}

void batch_group(struct batch *b, struct item *it, uint64_t seq, size_t at)
{
    it->group_at = at;
    it->group_seq = seq;
    if (2 * b->n > b->map_size) {
        b->map_size = b->map_size ? 4 * b->map_size : 256;
        free(b->map);
        b->map = must_calloc(b->map_size, sizeof *b->map);
        for (size_t i = 0; i + 1 < b->n; i++) /* later items replace earlier ones */
            if (b->items[i].group_seq)
                *map_slot(b, b->items[i].group_seq) = (uint32_t)i + 1;
    }
    uint32_t *slot = map_slot(b, seq);
    it->previous = *slot;
    *slot = (uint32_t)(it - b->items) + 1;
}

bool batch_has(const struct batch *b, uint64_t seq)
{
    return b->map_size && *map_slot(b, seq);
}

static uint64_t *seq_slot(const struct batch *b, uint64_t seq)
{
    size_t i = (seq * 0x9e3779b97f4a7c15u) >> 32;
    for (;; i++) {
        uint64_t *slot = &b->seqs[i & (b->seqs_size - 1)];
        if (!*slot || *slot == seq)
            return slot;
    }
}

bool batch_commits(const struct batch *b, uint64_t seq)
{
    return b->seqs_size && *seq_slot(b, seq) == seq;
}

bool batch_note_seq(struct batch *b, uint64_t seq)
{
    if (batch_commits(b, seq))
        return false;
    if (2 * (b->commits + 1) > b->seqs_size) {
        struct batch old = *b;
        b->seqs_size = old.seqs_size ? 4 * old.seqs_size : 64;
        b->seqs = must_calloc(b->seqs_size, sizeof *b->seqs);
        for (size_t i = 0; i < old.seqs_size; i++)
            if (old.seqs[i])
                *seq_slot(b, old.seqs[i]) = old.seqs[i];
        free(old.seqs);
    }
    *seq_slot(b, seq) = seq;
    return true;
}

void txn_free(struct spool *s, struct txn *t, bool aborted)
{
    for (size_t i = 0; i < t->n; i++) {
        struct segment *seg = seg_by_gen(s, t->extents[i].gen);
        if (!seg)
            continue;
        seg->pins--;
        if (!aborted)
            continue;
        seg->extents--;
        seg_live_sub(s, seg, extent_rec_size(&t->extents[i]));
    }
    free(t->extents);
    free(t);
}

/* --- from items to bytes --- */

static bool refuse(struct item *it, int error)
{
    if (it->refused)
        return false;
    it->refused = true;
    it->error = error;
    return true;
}

/* Outcomes name the commit record they are about and the record with the ones before. */
static bool patch_group(struct spool *s, const struct segment *seg, const struct batch *b,
                        struct item *it)
{
    const struct entry *e = table_get(&s->table, it->group_seq);
    if (!e)
        return false;
    struct group g = { .home_gen = seg_at(s, e->slot)->gen,
                       .home_off = (uint64_t)e->off8 * 8 };
    uint32_t before = it->previous;
    while (before && b->items[before - 1].refused)
        before = b->items[before - 1].previous;
    if (it->kind == ITEM_SNAPSHOT) {
        g.prev_gen = 0;
    } else if (before) {
        g.prev_gen = seg->gen;
        g.prev_off = b->items[before - 1].off;
    } else if (e->last_slot) {
        g.prev_gen = seg_at(s, e->last_slot)->gen;
        g.prev_off = (uint64_t)e->last_off8 * 8;
    }
    group_patch(b->metas.mem + b->metas.off + it->at + REC_HEAD_BYTES + it->group_at, &g);
    return true;
}

static uint64_t place_item(struct spool *s, struct segment *seg, struct batch *b,
                           struct item *it, uint64_t off)
{
    char *at = b->metas.mem + b->metas.off + it->at;
    it->off = off;
    if (it->group_at && !patch_group(s, seg, b, it)) {
        refuse(it, -ENOENT); /* outcomes of a message that is gone */
        return off;
    }
    wire_set_u64(at + REC_HEAD_BYTES, s->lsn++);
    struct rec r = item_rec(b, it);
    rec_close(at, &r, rec_tag(seg->salt, seg->gen, off));
    uint64_t size = rec_size(&r), put = REC_HEAD_BYTES + it->meta_len;
    if (!it->body_len)
        put = size;
    append_piece(s, at, put);
    for (size_t i = 0; i < it->span_count; i++)
        append_piece(s, b->spans[it->span_at + i].p, b->spans[it->span_at + i].n);
    append_piece(s, zeros, size - put - it->body_len);
    return off + size;
}

/* A record of the prologue; the meta has been put behind 32 bytes of head at `at`. */
static uint64_t close_prologue(struct spool *s, const struct segment *seg, size_t at,
                               uint32_t type, struct span body, uint64_t off)
{
    struct buf *p = &s->prologue;
    struct rec r = { .off = off, .type = type, .body_len = body.n,
                     .head_len = (uint32_t)(p->len - at - REC_HEAD_BYTES),
                     .body_crc = crc32c(0, body.p, body.n) };
    rec_close(p->mem + p->off + at, &r, rec_tag(seg->salt, seg->gen, off));
    buf_put(p, zeros, REC_ALIGN(p->len) - p->len);
    return off + rec_size(&r);
}

struct prologue {
    uint64_t end, void_off, chunk_off; /* 0: not there */
    size_t void_at, chunk_at;
};

/* The batch record; the voids that are not noted yet; a piece of the index when it is time. */
static struct prologue put_prologue(struct spool *s, struct segment *seg, uint64_t id_high)
{
    struct buf *b = &s->prologue;
    struct prologue p = { .end = seg->end };
    buf_reset(b);
    buf_put(b, zeros, REC_HEAD_BYTES);
    batch_put(b, &(struct batch_meta){ s->lsn++, seg->gen, seg->flushed, id_high, s->gen_high,
                                       s->now_ms });
    p.end = close_prologue(s, seg, 0, REC_BATCH, SPAN_NONE, p.end);
    if (s->void_count > s->voids_written) {
        p.void_at = b->len;
        p.void_off = p.end;
        buf_put(b, zeros, REC_HEAD_BYTES);
        wire_put_u64(b, s->lsn++);
        for (size_t i = s->voids_written; i < s->void_count; i++)
            void_put(b, s->voids[i]);
        p.end = close_prologue(s, seg, p.void_at, REC_VOID, SPAN_NONE, p.end);
    }
    if (seg->entries.len >= CHUNK_BYTES) {
        p.chunk_at = b->len;
        p.chunk_off = p.end;
        buf_put(b, zeros, REC_HEAD_BYTES);
        wire_put_u64(b, s->lsn++);
        p.end = close_prologue(s, seg, p.chunk_at, REC_INDEX, buf_span(&seg->entries), p.end);
    }
    append_piece(s, b->mem + b->off, b->len);
    if (p.chunk_off) /* entries are multiples of 8: no padding */
        append_piece(s, seg->entries.mem + seg->entries.off, seg->entries.len);
    return p;
}

static void note_prologue(struct spool *s, struct segment *seg, const struct prologue *p)
{
    const char *mem = s->prologue.mem + s->prologue.off;
    if (p->chunk_off) {
        index_add_chunk(seg, p->chunk_off);
        buf_reset(&seg->entries);
    }
    if (p->void_off) {
        struct rec r;
        uint64_t need;
        int opened = rec_open(mem + p->void_at, s->prologue.len - p->void_at, p->void_off,
                              rec_tag(seg->salt, seg->gen, p->void_off), &r, &need);
        MUST(opened == 1);
        index_add(seg, &r);
        s->voids_written = s->void_count;
    }
}

/* Writes and flushes what is not refused, and applies it: 0 or -errno. */
static int write_batch(struct spool *s, struct segment *seg, struct batch *b, uint64_t id_high)
{
    struct prologue p = put_prologue(s, seg, id_high);
    uint64_t off = p.end;
    for (size_t i = 0; i < b->n; i++)
        if (!b->items[i].refused)
            off = place_item(s, seg, b, &b->items[i], off);
    uint64_t bytes = off - seg->end, ahead = 0;
    if (bytes <= SMALL_BATCH_BYTES && off > seg->ahead && !seg->dir->low &&
        off < s->config.segment_size_bytes)
        ahead = s->config.ahead_bytes & ~(uint64_t)7;
    append_piece(s, zeros, ahead);
    int r = append_write(s, seg, bytes);
    if (r < 0)
        return r;
    if (off + ahead > seg->ahead)
        seg->ahead = off + ahead;
    r = seg_flush(s, seg);
    if (r < 0)
        return r;
    dir_worked(s, seg->dir);
    s->stat.batches++;
    s->id_gen = seg->gen;
    note_prologue(s, seg, &p);
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].refused)
            continue;
        struct rec rec = item_rec(b, &b->items[i]);
        index_add(seg, &rec);
        apply_item(s, seg, b, &b->items[i]);
    }
    return 0;
}

int batch_note(struct spool *s, struct dir *d, uint64_t id_high)
{
    int error = -EIO;
    struct segment *seg = append_target(s, d, &error);
    struct batch none = { .oldest_ms = -1 };
    return seg ? write_batch(s, seg, &none, id_high) : error;
}

/* --- the flush --- */

/* Which items fall: plain mail and what compaction moves, then reports too; never outcomes. */
static bool refuse_some(struct batch *b, bool reports, int error)
{
    bool any = false;
    for (size_t i = 0; i < b->n; i++) {
        struct item *it = &b->items[i];
        bool report = it->kind == ITEM_COMMIT && it->group_seq;
        if (it->kind != ITEM_OUTCOME && (reports || !report))
            any |= refuse(it, error);
    }
    return any;
}

/* Extents must be durable before (or with) the commit record that names them. */
static bool flush_extents(struct spool *s, struct batch *b, const struct segment *target)
{
    bool sound = true;
    for (size_t i = 0; i < b->n; i++) {
        struct txn *t = b->items[i].refused ? NULL : b->items[i].txn;
        for (size_t k = 0; t && k < t->n; k++) {
            struct segment *seg = seg_by_gen(s, t->extents[k].gen);
            if (!seg || (t->extents[k].off >= seg->flushed &&
                         (seg->state == SEG_CLOSED || (seg != target && seg_flush(s, seg) < 0))))
                t->failed = true;
        }
        if (t && t->failed)
            sound = !refuse(&b->items[i], -EIO) && sound;
    }
    return sound;
}

/* The segment that has the batch's extents, so that one flush serves both; else by turns. */
static struct segment *choose(struct spool *s, const struct batch *b, bool essential, int *error)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct txn *t = b->items[i].refused ? NULL : b->items[i].txn;
        struct segment *seg = t && t->n ? seg_by_gen(s, t->extents[t->n - 1].gen) : NULL;
        if (seg && seg->state == SEG_ACTIVE && seg->end < s->config.segment_size_bytes)
            return seg;
    }
    return append_next(s, essential, error);
}

struct tally {
    size_t items;
    bool essential;
};

static struct tally tally(const struct batch *b)
{
    struct tally t = { 0 };
    for (size_t i = 0; i < b->n; i++) {
        const struct item *it = &b->items[i];
        if (it->refused)
            continue;
        t.items++;
        t.essential |= it->kind != ITEM_COMMIT || it->group_seq;
    }
    return t;
}

/* What falls after a failed try; false when there is nothing more to try. */
static bool lower_sights(struct spool *s, struct batch *b, int error)
{
    if (error != -ENOSPC) {
        refuse_some(b, true, error);
        return true;
    }
    if (refuse_some(b, false, error))
        return true;
    if (space_release(s))
        return true;
    refuse_some(b, true, error);
    return false;
}

/* True when what is not refused in the end has been written; *error is the last failure met. */
static bool write_what_goes(struct spool *s, struct batch *b, int *error)
{
    *error = 0;
    for (int tries = 0; tries < TRIES_MAX + (int)s->dir_count; tries++) {
        struct tally t = tally(b);
        if (!t.items)
            return true;
        int r = -EIO;
        struct segment *seg = choose(s, b, t.essential, &r);
        if (seg && (!flush_extents(s, b, seg) || seg->state != SEG_ACTIVE)) {
            *error = -EIO;
            continue;
        }
        if (seg)
            r = write_batch(s, seg, b, s->id_high);
        if (!r && t.items == b->n)
            *error = 0; /* everything, at last */
        if (!r)
            return true;
        if (seg && r == -ENOSPC)
            seg->dir->low = true;
        *error = r;
        if (!lower_sights(s, b, r))
            break;
    }
    refuse_some(b, true, *error);
    return false;
}

/* Outcomes that did not make it stay: the next batch has them. */
static void keep_outcomes(struct spool *s, struct batch *from)
{
    for (size_t i = 0; i < from->n; i++) {
        struct item *old = &from->items[i];
        if (old->kind != ITEM_OUTCOME || old->refused)
            continue;
        struct item *it = batch_begin(&s->batch, ITEM_OUTCOME, REC_OUTCOME);
        it->at_ms = old->at_ms;
        buf_puts(&s->batch.metas, item_rec(from, old).meta);
        batch_end(s, &s->batch, it);
        batch_group(&s->batch, it, old->group_seq, old->group_at);
    }
}

static void tell(struct spool *s, struct batch *b)
{
    s->busy = true;
    for (size_t i = 0; i < b->n; i++) {
        struct item *it = &b->items[i];
        if (it->txn)
            txn_free(s, it->txn, it->refused);
        it->txn = NULL;
        if (it->kind != ITEM_COMMIT)
            continue;
        if (it->refused && s->calls.on_refused) {
            s->calls.on_refused(s->calls.ctx, it->key, -it->error);
        } else if (!it->refused && s->calls.on_receipt) {
            struct receipt r = receipt_mint(it->key, it->seq);
            s->calls.on_receipt(s->calls.ctx, &r);
        }
    }
    s->busy = false;
}

int batch_flush(struct spool *s)
{
    if (!s->batch.n)
        return 0;
    struct batch now = s->batch;
    s->batch = s->spare;
    s->spare = now;
    space_poll(s);
    int r;
    if (!write_what_goes(s, &s->spare, &r))
        keep_outcomes(s, &s->spare);
    s->turn = (s->turn + 1) % s->dir_count;
    tell(s, &s->spare);
    batch_reset(&s->spare);
    for (size_t i = 0; i < s->dir_count; i++)
        if (s->dirs[i].active && s->dirs[i].active->end >= s->config.segment_size_bytes)
            index_seal(s, s->dirs[i].active);
    return r;
}
