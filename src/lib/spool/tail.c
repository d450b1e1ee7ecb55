/* Recovery of a segment without an index: the one that was active when the process ended, or
 * one that failed. What was flushed is kept or reported; what was not is kept where it is whole. */
#include "base/crc32c.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { COPY_BYTES = 256 * 1024, SKIP_MIN = REC_HEAD_BYTES + 8 };

struct place {
    uint64_t off, size;
};

struct tail {
    struct segment *seg;
    struct place *recs;
    size_t n, cap;
    struct ranges bad;
    uint64_t flushed; /* the highest flushed_upto */
    int error;        /* a read failed: nothing is concluded from what did not read */
};

/* Where the void part of the segment begins, or UINT64_MAX. */
static uint64_t void_from(const struct spool *s, uint64_t gen)
{
    uint64_t from = UINT64_MAX;
    for (size_t i = 0; i < s->void_count; i++)
        if (s->voids[i].gen == gen && s->voids[i].from < from)
            from = s->voids[i].from;
    return from;
}

static void note_record(struct spool *s, struct tail *t, const struct rec *r)
{
    struct batch_meta m;
    if (r->type == REC_BATCH && batch_get(r, &m) && m.gen == t->seg->gen) {
        if (m.flushed_upto > t->flushed && m.flushed_upto <= t->seg->end)
            t->flushed = m.flushed_upto;
        note_high(s, m.id_high, m.gen_high);
    }
    struct footer_meta f;
    if (r->type == REC_FOOTER && footer_get(r, &f) && f.flushed_upto > t->flushed &&
        f.flushed_upto <= r->off)
        t->flushed = f.flushed_upto;
    if (r->type == REC_VOID)
        for (size_t at = 8; at + VOID_BYTES <= r->meta.n; at += VOID_BYTES) {
            struct void_note v = void_at(span_from(r->meta, at), 0);
            seg_note_void(s, v.gen, v.from);
            note_high(s, 0, v.gen);
        }
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 256;
        t->recs = must_realloc(t->recs, must_mul(t->cap, sizeof *t->recs));
    }
    t->recs[t->n++] = (struct place){ r->off, rec_size(r) };
}

static bool look_through(struct spool *s, struct tail *t)
{
    struct rec r;
    struct segment *seg = t->seg;
    t->flushed = SEG_HEAD_BYTES;
    t->n = t->bad.n = 0;
    struct cursor *c = cursor_new(s, seg, true);
    while (cursor_next(c, &r) == 1)
        note_record(s, t, &r);
    const struct ranges *bad = cursor_bad(c);
    t->error = cursor_error(c);
    s->unread |= t->error != 0;
    for (size_t i = 0; i < bad->n; i++)
        ranges_add(&t->bad, bad->list[i].from, bad->list[i].to);
    cursor_free(&c);
    return !t->bad.n || t->bad.list[0].from >= t->flushed;
}

/* Beside a running daemon, what was still blank when it was read may be flushed by the time the
 * next part is: only damage that stays is damage. */
struct tail *tail_scan(struct spool *s, struct segment *seg)
{
    struct tail *t = NEW(struct tail);
    t->seg = seg;
    for (int tries = s->config.read_only ? 3 : 1; tries && !look_through(s, t); tries--)
        ;
    return t;
}

void tail_free(struct tail **t)
{
    if (!*t)
        return;
    free((*t)->recs);
    free((*t)->bad.list);
    free(*t);
    *t = NULL;
}

/* --- what of the unflushed part is whole --- */

static bool read_whole(struct spool *s, struct tail *t, struct segment *seg,
                       const struct place *p, struct buf *b, struct rec *r, struct span *body)
{
    int error = rec_read(s, seg, p->off, p->size, b, r, body);
    if (error < 0 && error != -EILSEQ)
        t->error = error;
    return error == 0;
}

static bool extent_whole(struct spool *s, struct tail *t, const struct extent *x, struct buf *b)
{
    struct segment *seg = seg_by_gen(s, x->gen);
    struct place p = { x->off, extent_rec_size(x) };
    if (!seg && s->unread)
        t->error = -EIO; /* it may be where nothing reads now */
    struct rec r;
    struct span body;
    return seg && x->off < void_from(s, x->gen) && read_whole(s, t, seg, &p, b, &r, &body) &&
           r.type == REC_EXTENT && r.body_len == x->len && r.body_crc == x->crc &&
           crc32c(0, body.p, body.n) == x->crc;
}

static bool whole(struct spool *s, struct tail *t, const struct place *p, struct buf *b,
                  struct buf *scratch)
{
    struct rec r;
    struct span body;
    struct commit_meta m;
    if (!read_whole(s, t, t->seg, p, b, &r, &body))
        return false;
    if (r.type == REC_SKIP)
        return true;
    if (crc32c(0, body.p, body.n) != r.body_crc)
        return false;
    if (r.type != REC_COMMIT)
        return true;
    if (!commit_get(&r, &m))
        return false;
    for (size_t i = 0; i < commit_extents(&m); i++) {
        struct extent x = extent_at(m.extents, i);
        if (!extent_whole(s, t, &x, scratch))
            return false;
    }
    return true;
}

/* The end of the last record that stays; the dropped ones become holes. */
static uint64_t sift(struct spool *s, struct tail *t)
{
    struct segment *seg = t->seg;
    struct buf b, scratch;
    uint64_t end = t->flushed, dropped = 0, first = 0;
    buf_init(&b, (size_t)1 << 40);
    buf_init(&scratch, (size_t)1 << 40);
    for (size_t i = 0; i < t->n; i++) {
        const struct place *p = &t->recs[i];
        if (p->off < t->flushed)
            continue;
        if (p->off + p->size <= seg->end && whole(s, t, p, &b, &scratch)) {
            end = p->off + p->size;
            continue;
        }
        ranges_add(&seg->holes, p->off, p->off + p->size);
        first = dropped ? first : p->off;
        dropped += p->size;
    }
    buf_free(&b);
    buf_free(&scratch);
    if (dropped)
        seg_emit(s, seg, SPOOL_EVENT_DROPPED, first, dropped, 0);
    return end;
}

static void judge_bad(struct spool *s, struct tail *t)
{
    for (size_t i = 0; i < t->bad.n; i++) {
        struct range r = t->bad.list[i];
        ranges_add(&t->seg->holes, r.from, r.to);
        if (r.from < t->flushed) {
            t->seg->damaged = true;
            uint64_t to = r.to < t->flushed ? r.to : t->flushed;
            seg_emit(s, t->seg, SPOOL_EVENT_DAMAGED, r.from, to - r.from, 0);
        }
        if (r.to > t->flushed) {
            uint64_t from = r.from > t->flushed ? r.from : t->flushed;
            seg_emit(s, t->seg, SPOOL_EVENT_DROPPED, from, r.to - from, 0);
        }
    }
}

/* --- made durable --- */

static int put_skip(struct spool *s, struct segment *seg, uint64_t from, uint64_t to)
{
    char head[SKIP_MIN] = { 0 };
    struct rec r = { .off = from, .type = REC_SKIP, .head_len = 8,
                     .body_len = to - from - SKIP_MIN };
    (void)s;
    rec_close(head, &r, rec_tag(seg->salt, seg->gen, from));
    return vfs_pwrite(seg->file, head, sizeof head, from);
}

/* Reads and writes the same bytes: whatever the page cache thinks, they are dirty again. */
static int rewrite(struct spool *s, struct segment *seg, uint64_t from, uint64_t to)
{
    char *copy = must_alloc(COPY_BYTES);
    int r = 0;
    while (from < to && r == 0) {
        size_t n = to - from < COPY_BYTES ? to - from : COPY_BYTES;
        r = seg_pread(s, seg, copy, n, from);
        if (r == 0)
            r = vfs_pwrite(seg->file, copy, n, from);
        from += n;
    }
    free(copy);
    return r;
}

static int settle(struct spool *s, struct segment *seg, uint64_t flushed, uint64_t end)
{
    int r = seg_file(s, seg); /* others may have been opened since it was looked through */
    if (r == 0)
        r = vfs_truncate(seg->file, end);
    if (r == 0)
        r = rewrite(s, seg, flushed > SEG_HEAD_BYTES ? flushed : 0, end);
    for (size_t i = 0; i < seg->holes.n && r == 0; i++) {
        struct range h = seg->holes.list[i];
        uint64_t from = h.from > flushed ? h.from : flushed;
        if (h.to > end || from >= h.to)
            continue;
        /* A hole that began in the flushed part has no record head at `flushed`; it is damage
         * and the segment gets sealed, so that nobody scans it again without need. */
        if (h.from >= flushed && h.to - from >= SKIP_MIN)
            r = put_skip(s, seg, from, h.to);
    }
    return r == 0 ? vfs_fdatasync(seg->file) : r;
}

/* --- in order again --- */

/* The entries of an index to come. Index records already there count only where the segment is
 * whole: else they may know of what was dropped. */
static void index_again(struct spool *s, struct segment *seg)
{
    bool trust = seg->holes.n == 0;
    struct rec r;
    struct cursor *c = cursor_new(s, seg, true);
    while (cursor_next(c, &r) == 1) {
        if (r.type == REC_INDEX && trust) {
            index_add_chunk(seg, r.off);
            buf_reset(&seg->entries);
        }
        if (r.type != REC_BATCH && r.type != REC_SKIP && r.type != REC_INDEX &&
            r.type != REC_FOOTER)
            index_add(seg, &r);
    }
    cursor_free(&c);
}

/* Nothing is added to a segment about which a void note exists, or may exist where it could not
 * be read: it would hit what is added, after the next restart. */
static bool may_resume(const struct spool *s, const struct segment *seg)
{
    return !seg->damaged && !s->unread && void_from(s, seg->gen) == UINT64_MAX &&
           seg->end < s->config.segment_size_bytes;
}

void tail_finish(struct spool *s, struct tail *t, bool newest)
{
    struct segment *seg = t->seg;
    uint64_t from = void_from(s, seg->gen);
    if (from < seg->end)
        seg->end = from > SEG_HEAD_BYTES ? from : SEG_HEAD_BYTES;
    if (t->flushed > seg->end)
        t->flushed = seg->end;
    judge_bad(s, t);
    uint64_t end = sift(s, t);
    if (s->config.read_only) {
        seg->end = seg->flushed = end;
        return;
    }
    int r = t->error ? t->error : settle(s, seg, t->flushed, end);
    seg->stuck |= t->error != 0;
    seg->end = seg->flushed = seg->ahead = end;
    if (r < 0) { /* what reads is believed, and moved to better ground before all else */
        seg_emit(s, seg, SPOOL_EVENT_WRITE_FAILED, t->flushed, end - t->flushed, r);
        seg->unsettled = true;
        dir_failed(s, seg->dir, r);
        return;
    }
    index_again(s, seg);
    seg->state = SEG_ACTIVE;
    if (newest && may_resume(s, seg))
        seg->dir->active = seg;
    else if (index_seal(s, seg) < 0 && seg->state == SEG_ACTIVE)
        seg->state = SEG_CLOSED;
}
