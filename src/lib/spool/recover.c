/* Start: which segments there are, and in which state. */
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { UNREAD_STEPS = 1024 };

struct listing {
    struct spool *s;
    struct dir *d;
    uint64_t *gens;
    size_t n, cap;
};

static bool hex16(const char *name, uint64_t *v_r)
{
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        if (!ascii_isdigit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        v = v << 4 | (uint64_t)(ascii_isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    *v_r = v;
    return true;
}

static void list_one(void *ctx, const char *name)
{
    struct listing *l = ctx;
    uint64_t gen;
    if (!hex16(name, &gen) || name[16] != '.')
        return;
    if (gen > l->s->gen_high)
        l->s->gen_high = gen;
    if (strcmp(name + 17, "seg") != 0)
        return;
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 16;
        l->gens = must_realloc(l->gens, must_mul(l->cap, sizeof *l->gens));
    }
    l->gens[l->n++] = gen;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* --- one segment --- */

static void note_footer(struct spool *s, struct segment *seg)
{
    struct buf b;
    struct rec r;
    struct footer_meta m;
    buf_init(&b, (size_t)1 << 40);
    if (rec_read(s, seg, seg->footer_off, seg->end - seg->footer_off, &b, &r, NULL) == 0 &&
        r.type == REC_FOOTER && footer_get(&r, &m)) {
        note_high(s, m.id_high, m.gen_high);
        if (m.flags & FOOTER_DAMAGED)
            seg->damaged = true;
        for (size_t i = 0; i < m.voids.n / VOID_BYTES; i++) {
            struct void_note v = void_at(m.voids, i);
            seg_note_void(s, v.gen, v.from);
            note_high(s, 0, v.gen);
        }
    }
    buf_free(&b);
}

/* A file whose head never reached the disk holds nothing that was acknowledged: the head is
 * flushed with the first batch. Zeros are what a crash leaves; other bytes are set aside. */
static void discard(struct spool *s, struct segment *seg, uint64_t size, const char *head, size_t n)
{
    bool blank = true;
    if (size <= SEG_HEAD_BYTES)
        n = 0; /* no record was ever in it */
    for (size_t i = 0; i < n && blank; i++)
        blank = head[i] == 0;
    seg_emit(s, seg, blank ? SPOOL_EVENT_DROPPED : SPOOL_EVENT_UNREADABLE, 0, size, 0);
    seg->damaged = !blank;
    if (s->config.read_only)
        seg_remove(s, seg);
    else if (seg_unlink(s, seg) < 0)
        seg_remove(s, seg);
}

static int read_ends(struct spool *s, struct segment *seg)
{
    char head[SEG_HEAD_BYTES] = { 0 }, tail[TRAILER_BYTES];
    struct seg_head h;
    struct seg_trailer t = { 0 };
    int r = seg_file(s, seg);
    int64_t size = r < 0 ? r : vfs_size(seg->file);
    ssize_t got = size < 0 ? size : vfs_pread(seg->file, head, sizeof head, 0);
    if (got < 0)
        return (int)got;
    bool sealed = size >= SEG_HEAD_BYTES + TRAILER_BYTES &&
                  seg_pread(s, seg, tail, sizeof tail, (uint64_t)size - sizeof tail) == 0 &&
                  seg_trailer_get(span_of(tail, sizeof tail), &t) && t.gen == seg->gen &&
                  t.footer_off < (uint64_t)size;
    if (got == SEG_HEAD_BYTES && seg_head_get(span_of(head, sizeof head), &h) &&
        h.gen == seg->gen) {
        seg->salt = h.salt;
        note_high(s, h.id_high, h.gen);
    } else if (sealed) {
        seg->salt = t.salt;
    } else {
        discard(s, seg, (uint64_t)size, head, sizeof head);
        return 1;
    }
    seg->end = seg->flushed = seg->ahead = (uint64_t)size;
    seg->footer_off = t.footer_off;
    seg->state = sealed && index_sound(s, seg) ? SEG_SEALED : SEG_CLOSED;
    return 0;
}

static int load_segment(struct spool *s, struct dir *d, uint64_t gen)
{
    if (seg_by_gen(s, gen))
        return 0; /* the same number in two directories: a copy by hand; the first one counts */
    struct segment *seg = seg_add(s, d, gen, 0);
    if (!seg)
        return -EMFILE;
    int r = read_ends(s, seg);
    if (r < 0) {
        seg_emit(s, seg, SPOOL_EVENT_UNREADABLE, 0, 0, r);
        seg_remove(s, seg);
        s->unread = true;
        return r == -ENOENT && s->config.read_only ? r : 0;
    }
    if (r == 0 && seg->state == SEG_SEALED)
        note_footer(s, seg);
    return 0;
}

/* --- all of them --- */

static int load_dir(struct spool *s, struct dir *d)
{
    struct listing l = { .s = s, .d = d };
    int r = vfs_list(s->vfs, d->path, list_one, &l);
    if (l.n)
        qsort(l.gens, l.n, sizeof *l.gens, by_number);
    for (size_t i = 0; i < l.n && r == 0; i++)
        r = load_segment(s, d, l.gens[i]);
    free(l.gens);
    return r;
}

static void finish_tails(struct spool *s, struct tail **tails, struct segment **segs, size_t n)
{
    s->voids_written = s->void_count; /* those found are on the disk; later ones are not */
    for (size_t i = 0; i < n; i++) {
        bool newest = true;
        for (size_t k = 0; k < s->slot_count; k++)
            if (s->slots[k] && s->slots[k]->dir == segs[i]->dir && s->slots[k]->gen > segs[i]->gen)
                newest = false;
        tail_finish(s, tails[i], newest);
        tail_free(&tails[i]);
    }
}

/* All tails are looked through before one is put in order: a void note may stand in another. */
static void repair(struct spool *s)
{
    struct tail **tails = must_calloc(s->slot_count + 1, sizeof *tails);
    struct segment **segs = must_calloc(s->slot_count + 1, sizeof *segs);
    size_t n = 0;
    for (size_t i = 0; i < s->slot_count; i++) {
        struct segment *seg = s->slots[i];
        if (!seg || seg->state != SEG_CLOSED)
            continue;
        segs[n] = seg;
        tails[n++] = tail_scan(s, seg);
    }
    finish_tails(s, tails, segs, n);
    free(tails);
    free(segs);
}

int recover(struct spool *s, struct err *err)
{
    size_t sound = 0;
    for (size_t i = 0; i < s->dir_count; i++) {
        struct dir *d = &s->dirs[i];
        int r = d->lock || s->config.read_only ? load_dir(s, d) : -ENOLCK;
        if (r == 0) {
            sound++;
            continue;
        }
        errno = -r;
        if (r != -ENOLCK) /* that one has been told */
            err_errno(err, "%s", d->path);
        if (s->config.read_only)
            return r;
        s->unread = true;
        d->out = true;
        d->retry_ms = INT64_MAX; /* its mail is unknown: not before a restart */
        spool_emit(s, (struct spool_event){ .kind = SPOOL_EVENT_DIRECTORY_OUT,
                                            .directory = d->path, .error = r });
    }
    if (!sound)
        return -EIO;
    repair(s);
    int r = replay(s);
    if (s->unread) { /* higher numbers than those seen may have been used where nothing reads */
        s->id_high += UNREAD_STEPS * s->config.lease_step;
        s->gen_high += (uint64_t)1 << 24;
        s->lsn += (uint64_t)1 << 40;
    }
    if (r < 0) {
        errno = -r;
        err_errno(err, "replay");
    }
    return r;
}
