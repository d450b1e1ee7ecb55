/* The records of a segment one after another: from its index, or from the records themselves,
 * finding the way again behind damage. */
#include "base/crc32c.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { WINDOW_BYTES = 256 * 1024, PAGE = 4096, FIRST_READ = 4096 };

struct cursor {
    struct spool *s;
    struct segment *seg;
    bool scan;
    struct buf chunk; /* the index record being read */
    struct wire entries;
    uint64_t *chunks;
    size_t chunk_count, next_chunk;
    uint64_t pos, end; /* of the scan; pos also: behind the last record given */
    char *window;
    uint64_t window_off;
    size_t window_len, window_cap;
    struct ranges bad;
    int error;
};

/* --- one record --- */

/* Head and meta, and as much of the body as came along, at the start of b. */
static int read_head(struct spool *s, struct segment *seg, uint64_t off, uint64_t hint,
                     struct buf *b, struct rec *r)
{
    uint64_t want = hint ? hint : FIRST_READ;
    int error = seg_file(s, seg);
    if (error < 0)
        return error;
    for (;;) {
        buf_reset(b);
        char *to = buf_space(b, want);
        if (!to)
            return -ENOMEM;
        ssize_t got = vfs_pread(seg->file, to, want, off);
        if (got < 0)
            return (int)got;
        buf_added(b, (size_t)got);
        uint64_t need;
        int opened = rec_open(b->mem + b->off, b->len, off, rec_tag(seg->salt, seg->gen, off), r,
                              &need);
        if (opened > 0)
            return 0;
        if (opened < 0 || (uint64_t)got < want || need <= want)
            return -EILSEQ;
        want = need;
    }
}

static int find_in_index(struct spool *s, struct segment *seg, uint64_t off, struct buf *b,
                         struct rec *r)
{
    struct cursor *c = seg->state == SEG_SEALED ? cursor_new(s, seg, false) : NULL;
    int found = 0;
    while (c && !c->scan && (found = cursor_next(c, r)) == 1 && r->off != off)
        ;
    bool ok = c && !c->scan && found == 1;
    if (ok) {
        static const char head[REC_HEAD_BYTES];
        buf_reset(b);
        buf_put(b, head, sizeof head);
        buf_puts(b, r->meta);
        r->meta = span_of(b->mem + b->off + REC_HEAD_BYTES, r->head_len);
    }
    cursor_free(&c);
    return ok ? 0 : -EILSEQ;
}

int rec_read(struct spool *s, struct segment *seg, uint64_t off, uint64_t hint, struct buf *b,
             struct rec *r, struct span *body_r)
{
    int error = read_head(s, seg, off, hint, b, r);
    if (error == -EILSEQ || error == -EIO)
        error = find_in_index(s, seg, off, b, r);
    if (error < 0 || !body_r)
        return error;
    size_t start = REC_HEAD_BYTES + r->head_len, have = b->len - start;
    if (have < r->body_len) {
        char *to = buf_space(b, r->body_len - have);
        if (!to)
            return -ENOMEM;
        error = seg_pread(s, seg, to, r->body_len - have, rec_body_off(r) + have);
        if (error < 0)
            return error;
        buf_added(b, r->body_len - have);
        r->meta = span_of(b->mem + b->off + REC_HEAD_BYTES, r->head_len);
    }
    *body_r = span_of(b->mem + b->off + start, r->body_len);
    return 0;
}

/* --- by the index --- */

static bool read_footer(struct cursor *c)
{
    struct rec r;
    struct footer_meta m;
    if (read_head(c->s, c->seg, c->seg->footer_off, 0, &c->chunk, &r) < 0 ||
        r.type != REC_FOOTER || !footer_get(&r, &m))
        return false;
    c->chunk_count = m.chunks.n / 8;
    c->chunks = must_calloc(c->chunk_count, sizeof *c->chunks);
    for (size_t i = 0; i < c->chunk_count; i++)
        c->chunks[i] = wire_peek_u64(m.chunks.p + 8 * i);
    return true;
}

static bool read_chunk(struct cursor *c)
{
    struct rec r;
    struct segment *seg = c->seg;
    enum { CHUNK_GUESS = 80 * 1024 };
    uint64_t off = c->chunks[c->next_chunk];
    uint64_t left = seg->end > off ? seg->end - off : 0;
    if (read_head(c->s, seg, off, left < CHUNK_GUESS ? left : CHUNK_GUESS, &c->chunk, &r) < 0)
        return false;
    size_t start = REC_HEAD_BYTES + r.head_len, have = c->chunk.len - start;
    if (r.type != REC_INDEX || r.body_len > left)
        return false;
    if (have < r.body_len) {
        char *to = buf_space(&c->chunk, r.body_len - have);
        if (!to || seg_pread(c->s, seg, to, r.body_len - have, rec_body_off(&r) + have) < 0)
            return false;
        buf_added(&c->chunk, r.body_len - have);
    }
    struct span body = span_of(c->chunk.mem + c->chunk.off + start, r.body_len);
    c->entries = wire_reader(body);
    c->next_chunk++;
    return crc32c(0, body.p, body.n) == r.body_crc;
}

bool index_sound(struct spool *s, struct segment *seg)
{
    struct cursor c = { .s = s, .seg = seg };
    buf_init(&c.chunk, (size_t)1 << 40);
    bool sound = read_footer(&c);
    if (sound && c.chunk_count) {
        c.next_chunk = c.chunk_count - 1;
        sound = read_chunk(&c);
    }
    buf_free(&c.chunk);
    free(c.chunks);
    return sound;
}

static int next_entry(struct cursor *c, struct rec *r)
{
    while (!c->entries.rest.n) {
        if (c->next_chunk == c->chunk_count)
            return 0;
        if (!read_chunk(c))
            return -1;
    }
    if (!entry_get(&c->entries, r) || r->off < c->pos)
        return -1;
    c->pos = r->off + rec_size(r);
    return 1;
}

/* --- by the records --- */

/* At least n bytes from `off` (or up to the end) are in the window: their number, or -errno. */
static int64_t ensure(struct cursor *c, uint64_t off, uint64_t n)
{
    if (off + n > c->end)
        n = c->end - off;
    if (off >= c->window_off && off + n <= c->window_off + c->window_len)
        return (int64_t)(c->window_off + c->window_len - off);
    uint64_t want = n > WINDOW_BYTES ? n : WINDOW_BYTES;
    if (off + want > c->end)
        want = c->end - off;
    if (want > c->window_cap) {
        c->window = must_realloc(c->window, want);
        c->window_cap = want;
    }
    c->window_len = 0;
    int r = seg_file(c->s, c->seg);
    ssize_t got = r < 0 ? r : vfs_pread(c->seg->file, c->window, want, off);
    if (got == -EIO && want > PAGE) /* perhaps only one page of it is bad */
        got = vfs_pread(c->seg->file, c->window, n > PAGE ? n : PAGE - off % PAGE, off);
    if (got < 0) {
        c->error = (int)got;
        return got;
    }
    c->window_off = off;
    c->window_len = (size_t)got;
    return got;
}

/* The record at `off`, wholly inside the segment: 1; none: 0; -errno. */
static int try_at(struct cursor *c, uint64_t off, struct rec *r)
{
    const struct segment *seg = c->seg;
    uint64_t need = REC_HEAD_BYTES, tag = rec_tag(seg->salt, seg->gen, off);
    for (int tries = 0; tries < 3; tries++) {
        if (need > c->end - off)
            return 0;
        int64_t have = ensure(c, off, need);
        if (have < 0)
            return (int)have;
        int opened = rec_open(c->window + (off - c->window_off), (uint64_t)have, off, tag, r,
                              &need);
        if (opened > 0)
            return rec_size(r) <= c->end - off;
        if (opened < 0)
            return 0;
    }
    return 0;
}

/* From a place where no record is to the next one; what lies between is bad, unless it is
 * nothing but the zeros at the end. */
static int resync(struct cursor *c, struct rec *r)
{
    uint64_t from = c->pos, last = from; /* last: behind the last byte that is not zero */
    for (uint64_t off = from; off < c->end; off += 8) {
        int64_t have = ensure(c, off, 8);
        if (have < 0) {
            off = (off + PAGE) / PAGE * PAGE - 8;
            last = off + 8;
            continue;
        }
        if (have < 8)
            break;
        static const char zeros[8];
        if (memcmp(c->window + (off - c->window_off), zeros, 8) == 0)
            continue;
        const struct range *hole = ranges_find(&c->seg->holes, off);
        if (hole || (off > from && try_at(c, off, r) == 1)) {
            ranges_add(&c->bad, from, off);
            c->pos = off;
            return 1;
        }
        last = off + 8;
    }
    ranges_add(&c->bad, from, last);
    c->pos = c->end;
    return 0;
}

static int next_scanned(struct cursor *c, struct rec *r)
{
    while (c->pos < c->end) {
        const struct range *hole = ranges_find(&c->seg->holes, c->pos);
        if (hole) {
            c->pos = hole->to;
            continue;
        }
        if (try_at(c, c->pos, r) == 1) {
            c->pos += rec_size(r);
            return 1;
        }
        resync(c, r);
    }
    return 0;
}

/* --- both --- */

struct cursor *cursor_new(struct spool *s, struct segment *seg, bool scan)
{
    struct cursor *c = NEW(struct cursor);
    c->s = s;
    c->seg = seg;
    c->pos = SEG_HEAD_BYTES;
    c->end = seg->state == SEG_SEALED ? seg->footer_off : seg->flushed;
    c->scan = scan || seg->state != SEG_SEALED;
    buf_init(&c->chunk, (size_t)1 << 40);
    if (!c->scan && !read_footer(c)) {
        seg_emit(s, seg, SPOOL_EVENT_INDEX_DAMAGED, seg->footer_off, 0, 0);
        c->scan = true;
    }
    return c;
}

int cursor_next(struct cursor *c, struct rec *r)
{
    if (!c->scan) {
        int got = next_entry(c, r);
        if (got >= 0)
            return got;
        seg_emit(c->s, c->seg, SPOOL_EVENT_INDEX_DAMAGED, c->pos, 0, 0);
        c->scan = true;
    }
    return next_scanned(c, r);
}

const struct ranges *cursor_bad(const struct cursor *c) { return &c->bad; }

int cursor_error(const struct cursor *c) { return c->error; }

void cursor_free(struct cursor **c)
{
    if (!*c)
        return;
    buf_free(&(*c)->chunk);
    free((*c)->chunks);
    free((*c)->window);
    free((*c)->bad.list);
    free(*c);
    *c = NULL;
}
