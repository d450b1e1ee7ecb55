/* Segments: their files, their place in memory, their end. */
#include "base/list.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { FAILURES_MAX = 3 };

void spool_emit(struct spool *s, struct spool_event e)
{
    if (e.kind == SPOOL_EVENT_DAMAGED)
        s->stat.damaged++;
    if (e.kind == SPOOL_EVENT_DROPPED)
        s->stat.dropped++;
    if (e.error < 0)
        e.error = -e.error;
    if (s->calls.on_event)
        s->calls.on_event(s->calls.ctx, &e);
}

void seg_emit(struct spool *s, struct segment *seg, enum spool_event_kind kind, uint64_t off,
              uint64_t bytes, int error)
{
    spool_emit(s, (struct spool_event){ .kind = kind, .directory = seg->dir->path,
                                        .segment = seg->gen, .offset = off, .bytes = bytes,
                                        .error = error });
}

/* To be freed. */
static char *seg_path(const struct segment *seg, const char *suffix)
{
    struct buf b;
    buf_init(&b, 8192);
    MUST(buf_printf(&b, "%s/%016llx.%s", seg->dir->path, (unsigned long long)seg->gen, suffix));
    char *path = must_strndup(buf_cstr(&b), b.len);
    buf_free(&b);
    return path;
}

struct segment *seg_add(struct spool *s, struct dir *d, uint64_t gen, uint64_t salt)
{
    size_t slot = 1;
    while (slot < s->slot_count && s->slots[slot])
        slot++;
    if (slot > UINT16_MAX)
        return NULL;
    if (slot >= s->slot_count) {
        s->slot_count = slot + 1;
        s->slots = must_realloc(s->slots, must_mul(s->slot_count, sizeof *s->slots));
        s->slots[0] = NULL;
    }
    struct segment *seg = NEW(struct segment);
    seg->gen = gen;
    seg->salt = salt;
    seg->dir = d;
    seg->slot = (uint16_t)slot;
    seg->state = SEG_CLOSED;
    buf_init(&seg->entries, (size_t)1 << 40);
    s->slots[slot] = seg;
    MUST(hash_add(&s->by_gen, &seg->node, span_of(&seg->gen, sizeof seg->gen)));
    if (gen > s->gen_high)
        s->gen_high = gen;
    s->stat.segments++;
    return seg;
}

struct segment *seg_by_gen(const struct spool *s, uint64_t gen)
{
    struct hash_node *node = gen ? hash_get(&s->by_gen, span_of(&gen, sizeof gen)) : NULL;
    return node ? CONTAINER(node, struct segment, node) : NULL;
}

/* --- files --- */

static void close_one(struct spool *s)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        s->close_next = (s->close_next + 1) % s->slot_count;
        struct segment *seg = s->slots[s->close_next];
        if (seg && seg->file && !seg->refs && seg->state != SEG_ACTIVE) {
            vfs_close(&seg->file);
            s->open_files--;
            return;
        }
    }
}

int seg_file(struct spool *s, struct segment *seg)
{
    if (seg->file)
        return 0;
    if (s->open_files >= OPEN_FILES_MAX)
        close_one(s);
    char *path = seg_path(seg, "seg");
    int r = vfs_open(s->vfs, path, s->config.read_only ? 0 : VFS_WRITE, &seg->file);
    free(path);
    if (r == 0)
        s->open_files++;
    return r;
}

static void close_file(struct spool *s, struct segment *seg)
{
    if (seg->file)
        s->open_files--;
    vfs_close(&seg->file);
}

int seg_pread(struct spool *s, struct segment *seg, void *to, size_t n, uint64_t off)
{
    int r = seg_file(s, seg);
    if (r < 0)
        return r;
    ssize_t got = vfs_pread(seg->file, to, n, off);
    return got < 0 ? (int)got : (size_t)got == n ? 0 : -EIO;
}

/* --- birth --- */

static int write_head(struct spool *s, struct segment *seg)
{
    char head[SEG_HEAD_BYTES];
    seg_head_put(head, &(struct seg_head){ seg->gen, seg->salt, s->id_high, s->now_ms });
    return vfs_pwrite(seg->file, head, sizeof head, 0);
}

int seg_create(struct spool *s, struct dir *d)
{
    uint64_t gen = s->gen_high + 1;
    struct segment *seg = seg_add(s, d, gen, s->config.salt ^ (gen * 0x9e3779b97f4a7c15u));
    if (!seg)
        return -ENOSPC;
    char *path = seg_path(seg, "seg");
    int r = vfs_open(s->vfs, path, VFS_WRITE | VFS_CREATE | VFS_EXCL, &seg->file);
    if (r < 0)
        goto out;
    s->open_files++;
    r = write_head(s, seg);
    if (r == 0)
        r = vfs_sync_dir(s->vfs, d->path);
    if (r < 0)
        vfs_unlink(s->vfs, path);
out:
    free(path);
    if (r < 0) {
        seg_remove(s, seg);
        return r;
    }
    seg->end = SEG_HEAD_BYTES;
    seg->ahead = SEG_HEAD_BYTES;
    seg->state = SEG_ACTIVE;
    d->active = seg;
    return 0;
}

/* --- failure --- */

/* Each start reads what all earlier ones noted again: what is known already is not kept twice,
 * else the list would double with every start after a failure. */
void seg_note_void(struct spool *s, uint64_t gen, uint64_t from)
{
    for (size_t i = 0; i < s->void_count; i++)
        if (s->voids[i].gen == gen && s->voids[i].from <= from)
            return;
    s->voids = must_realloc(s->voids, must_mul(s->void_count + 1, sizeof *s->voids));
    s->voids[s->void_count++] = (struct void_note){ gen, from };
}

static void fail_txns(struct spool *s, const struct segment *seg)
{
    for (struct hash_node *n = hash_next(&s->txns, NULL); n; n = hash_next(&s->txns, n)) {
        struct txn *t = CONTAINER(n, struct txn, node);
        for (size_t i = 0; i < t->n; i++)
            if (t->extents[i].gen == seg->gen && t->extents[i].off >= seg->flushed)
                t->failed = true;
    }
    struct txn *moving = s->compaction.moving;
    for (size_t i = 0; moving && i < moving->n; i++)
        if (moving->extents[i].gen == seg->gen && moving->extents[i].off >= seg->flushed)
            moving->failed = true;
}

void dir_failed(struct spool *s, struct dir *d, int error)
{
    if (++d->failures < FAILURES_MAX && !d->out)
        return;
    if (!d->out)
        spool_emit(s, (struct spool_event){ .kind = SPOOL_EVENT_DIRECTORY_OUT,
                                            .directory = d->path, .error = error });
    d->out = true;
    d->retry_ms = s->now_ms + DIR_RETRY_MS;
}

static void let_unlink(struct spool *s, struct dir *d)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        struct segment *seg = s->slots[i];
        if (seg && seg->dir == d && seg->clings)
            seg->stuck = seg->clings = false;
    }
    d->clings = false;
}

void dir_worked(struct spool *s, struct dir *d)
{
    d->failures = 0;
    if (d->clings)
        let_unlink(s, d);
    if (!d->out)
        return;
    d->out = false;
    spool_emit(s, (struct spool_event){ .kind = SPOOL_EVENT_DIRECTORY_BACK, .directory = d->path });
}

void seg_failed(struct spool *s, struct segment *seg, int error)
{
    seg->state = SEG_CLOSED;
    seg->end = seg->flushed;
    if (seg->dir->active == seg)
        seg->dir->active = NULL;
    index_free(seg);
    seg_note_void(s, seg->gen, seg->flushed);
    fail_txns(s, seg);
    dir_failed(s, seg->dir, error);
}

int seg_flush(struct spool *s, struct segment *seg)
{
    s->stat.flushes++;
    int r = vfs_fdatasync(seg->file);
    if (r == 0) {
        seg->flushed = seg->end;
        return 0;
    }
    seg_emit(s, seg, SPOOL_EVENT_FLUSH_FAILED, seg->flushed, seg->end - seg->flushed, r);
    seg_failed(s, seg, r);
    return r;
}

/* --- the end --- */

void seg_remove(struct spool *s, struct segment *seg)
{
    close_file(s, seg);
    hash_remove(&s->by_gen, &seg->node);
    s->slots[seg->slot] = NULL;
    s->stat.segments--;
    if (seg->dir->active == seg)
        seg->dir->active = NULL;
    index_free(seg);
    free(seg->tombs);
    free(seg->holes.list);
    free(seg);
}

/* --- the bytes of a file that has no name any more ---
 *
 * To close it would free them all at once: 30 ms for 64M, in which nobody's mail is committed.
 * So it is kept open and made shorter in steps. A crash frees it as well. */

enum { DYING_STEP_BYTES = 4 << 20 };

static void let_die(struct spool *s, struct segment *seg)
{
    int64_t size = seg->file && !seg->damaged ? vfs_size(seg->file) : 0;
    if (size > DYING_STEP_BYTES && s->dying_count < DYING_MAX) {
        s->dying[s->dying_count++] = (struct dying_file){ seg->file, (uint64_t)size };
        s->open_files--;
        seg->file = NULL;
    }
    close_file(s, seg);
}

bool seg_dying_step(struct spool *s)
{
    if (!s->dying_count)
        return false;
    struct dying_file *d = &s->dying[s->dying_count - 1];
    d->bytes -= d->bytes < DYING_STEP_BYTES ? d->bytes : DYING_STEP_BYTES;
    if (d->bytes == 0 || vfs_truncate(d->file, d->bytes) < 0) {
        vfs_close(&d->file);
        s->dying_count--;
    }
    return true;
}

void seg_dying_close(struct spool *s)
{
    while (s->dying_count)
        vfs_close(&s->dying[--s->dying_count].file);
}

/* The unlink is made durable before the segment counts as gone: its tombs elsewhere may be
 * dropped from then on, and it must not come back without them. */
int seg_unlink(struct spool *s, struct segment *seg)
{
    int r = seg_file(s, seg); /* readers go on with the open file; so does let_die */
    if (r < 0 && seg->refs)
        return r;
    char *path = seg_path(seg, "seg");
    if (seg->damaged) {
        char *aside = seg_path(seg, "damaged");
        r = vfs_rename(s->vfs, path, aside);
        free(aside);
    } else {
        r = vfs_unlink(s->vfs, path);
    }
    free(path);
    if (r == 0 || r == -ENOENT)
        r = vfs_sync_dir(s->vfs, seg->dir->path);
    if (r < 0)
        return r;
    seg_emit(s, seg, SPOOL_EVENT_FREED, 0, seg->end, 0);
    if (!seg->refs) {
        let_die(s, seg);
        seg_remove(s, seg);
        return 0;
    }
    seg->unlinked = true;
    hash_remove(&s->by_gen, &seg->node);
    s->slots[seg->slot] = NULL;
    s->stat.segments--;
    return 0;
}

void seg_unref(struct spool *s, struct segment *seg)
{
    MUST(seg->refs > 0);
    if (--seg->refs || !seg->unlinked)
        return;
    let_die(s, seg);
    index_free(seg);
    free(seg->tombs);
    free(seg->holes.list);
    free(seg);
}

/* --- what keeps a segment --- */

void entry_set_home(struct spool *s, struct entry *e, struct segment *seg, uint64_t off,
                    uint64_t size)
{
    struct segment *old = seg_at(s, e->slot);
    if (old)
        old->homes--;
    if (seg)
        seg->homes++;
    e->slot = seg ? seg->slot : 0;
    e->off8 = (uint32_t)(off / 8);
    e->size8 = (uint32_t)(size / 8);
}

void entry_set_last(struct spool *s, struct entry *e, struct segment *seg, uint64_t off)
{
    struct segment *old = seg_at(s, e->last_slot);
    if (old)
        old->lasts--;
    if (seg)
        seg->lasts++;
    e->last_slot = seg ? seg->slot : 0;
    e->last_off8 = (uint32_t)(off / 8);
}

/* --- tombs --- */

void seg_add_tomb(struct segment *seg, uint64_t home, uint64_t bytes)
{
    if (home == seg->gen)
        return;
    for (size_t i = 0; i < seg->tomb_count; i++) {
        if (seg->tombs[i].home == home) {
            seg->tombs[i].bytes += bytes;
            return;
        }
    }
    seg->tombs = must_realloc(seg->tombs, must_mul(seg->tomb_count + 1, sizeof *seg->tombs));
    seg->tombs[seg->tomb_count++] = (struct tomb){ home, bytes };
}

bool seg_any_stuck(const struct spool *s)
{
    for (size_t i = 0; i < s->slot_count; i++)
        if (s->slots[i] && s->slots[i]->stuck)
            return true;
    return false;
}

bool seg_older_copies(const struct spool *s, const struct segment *except)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        const struct segment *seg = s->slots[i];
        if (seg && seg != except && (seg->stuck || seg->twins))
            return true;
    }
    return false;
}

uint64_t seg_tombs(const struct spool *s, const struct segment *seg)
{
    uint64_t sum = 0;
    if (seg->carried)
        return 0;
    bool all = seg->tomb_count && seg_older_copies(s, seg);
    for (size_t i = 0; i < seg->tomb_count; i++)
        if (all || seg_by_gen(s, seg->tombs[i].home))
            sum += seg->tombs[i].bytes;
    return sum;
}

/* --- ranges --- */

void ranges_add(struct ranges *r, uint64_t from, uint64_t to)
{
    if (from >= to)
        return;
    size_t at = 0;
    while (at < r->n && r->list[at].to < from)
        at++;
    size_t last = at;
    for (; last < r->n && r->list[last].from <= to; last++) {
        from = from < r->list[last].from ? from : r->list[last].from;
        to = to > r->list[last].to ? to : r->list[last].to;
    }
    if (r->n + 1 > r->cap) {
        r->cap = r->cap ? 2 * r->cap : 4;
        r->list = must_realloc(r->list, must_mul(r->cap, sizeof *r->list));
    }
    memmove(r->list + at + 1, r->list + last, (r->n - last) * sizeof *r->list);
    r->list[at] = (struct range){ from, to };
    r->n = r->n - (last - at) + 1;
}

const struct range *ranges_find(const struct ranges *r, uint64_t off)
{
    for (size_t i = 0; i < r->n; i++)
        if (off >= r->list[i].from && off < r->list[i].to)
            return &r->list[i];
    return NULL;
}
