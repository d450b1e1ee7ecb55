/* The one way bytes reach a segment: at its end, in one write. */
#include "base/crc32c.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { BEGIN_STEP_BYTES = 256 << 10, FLUSH_STEP_BYTES = 1 << 20 };

void append_piece(struct spool *s, const void *p, size_t n)
{
    if (!n)
        return;
    struct iovec *last = s->iov_count ? &s->iov[s->iov_count - 1] : NULL;
    if (last && (const char *)last->iov_base + last->iov_len == p) {
        last->iov_len += n;
        return;
    }
    if (s->iov_count == s->iov_cap) {
        s->iov_cap = s->iov_cap ? 2 * s->iov_cap : 256;
        s->iov = must_realloc(s->iov, must_mul(s->iov_cap, sizeof *s->iov));
    }
    s->iov[s->iov_count++] = (struct iovec){ (void *)(uintptr_t)p, n };
}

static bool is_full(int r) { return r == -ENOSPC || r == -EDQUOT || r == -EFBIG; }

int append_write(struct spool *s, struct segment *seg, uint64_t bytes)
{
    int r = vfs_pwritev(seg->file, s->iov, s->iov_count, seg->end);
    s->iov_count = 0;
    if (r == 0) {
        seg->end += bytes;
        s->stat.written_bytes += bytes;
        return 0;
    }
    seg_emit(s, seg, SPOOL_EVENT_WRITE_FAILED, seg->end, bytes, r);
    /* Cut back, so that no whole record of this write is left to be found by recovery. */
    if (is_full(r) && vfs_truncate(seg->file, seg->end) == 0) {
        seg->ahead = seg->end;
        return -ENOSPC;
    }
    seg_failed(s, seg, r);
    return is_full(r) ? -ENOSPC : r;
}

struct segment *append_target(struct spool *s, struct dir *d, int *error)
{
    if (d->active && d->active->end >= s->config.segment_size_bytes)
        index_seal(s, d->active);
    if (d->active)
        return d->active;
    int r = seg_create(s, d);
    if (r < 0) {
        *error = is_full(r) ? -ENOSPC : r;
        if (is_full(r))
            d->low = true;
        else
            dir_failed(s, d, r);
    }
    return d->active;
}

struct segment *append_next(struct spool *s, bool essential, int *error)
{
    *error = -ENOSPC; /* when every directory is passed over for its lack of space */
    bool any = false;
    for (int low = 0; low <= (int)essential; low++) {
        for (size_t i = 0; i < s->dir_count; i++) {
            struct dir *d = &s->dirs[(s->turn + i) % s->dir_count];
            if (!dir_takes(s, d))
                continue;
            any = true;
            struct segment *seg = d->low && !low ? NULL : append_target(s, d, error);
            if (seg)
                return seg;
        }
    }
    if (!any)
        *error = -EIO;
    return NULL;
}

static void add_extent(struct txn *t, struct extent e)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 8;
        t->extents = must_realloc(t->extents, must_mul(t->cap, sizeof *t->extents));
    }
    t->extents[t->n++] = e;
    t->bytes += e.len;
}

/* Extents are flushed in steps as they come: else the commit of a large message, and every small
 * one behind it, waits for all of them at once. Each step is begun early, so that its flush finds
 * most of it on the disk. A flush that fails here has killed the transaction like any other. */
static int settle_extents(struct spool *s, struct segment *seg)
{
    if (seg->begun < seg->flushed)
        seg->begun = seg->flushed;
    if (seg->end - seg->flushed >= FLUSH_STEP_BYTES)
        return seg_flush(s, seg);
    if (seg->end - seg->begun >= BEGIN_STEP_BYTES) {
        vfs_start_writing(seg->file, seg->begun, seg->end - seg->begun);
        seg->begun = seg->end;
    }
    return 0;
}

int append_extent(struct spool *s, struct txn *t, struct span data, bool essential)
{
    static const char zeros[8];
    int error;
    struct segment *seg = append_next(s, essential, &error);
    if (!seg)
        return error;
    char head[REC_HEAD_BYTES + EXTENT_META_BYTES];
    struct rec r = { .off = seg->end, .type = REC_EXTENT, .head_len = EXTENT_META_BYTES,
                     .body_len = data.n, .body_crc = crc32c(0, data.p, data.n) };
    extent_meta_put(head + REC_HEAD_BYTES, s->lsn++, t->seq, t->key);
    r.meta = span_of(head + REC_HEAD_BYTES, EXTENT_META_BYTES);
    rec_close(head, &r, rec_tag(seg->salt, seg->gen, r.off));
    uint64_t size = rec_size(&r);
    append_piece(s, head, sizeof head);
    append_piece(s, data.p, data.n);
    append_piece(s, zeros, size - sizeof head - data.n);
    int failed = append_write(s, seg, size);
    if (failed)
        return failed;
    index_add(seg, &r);
    add_extent(t, (struct extent){ seg->gen, r.off, data.n, r.body_crc });
    seg_live_add(s, seg, size);
    seg->pins++;
    seg->extents++;
    return settle_extents(s, seg);
}
