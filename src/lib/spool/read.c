/* Reading messages back, checked. */
#include "base/crc32c.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

struct run { /* content that is delivered, between two cuts */
    uint64_t at, content_off, bytes; /* at: in the message as delivered */
};

struct part { /* one extent */
    struct extent x;
    struct segment *seg;
    uint64_t content_off;
};

struct spool_reader {
    struct spool *s;
    uint64_t seq, size, block_bytes, content_bytes;
    struct buf record; /* the commit record with its body */
    struct span body;
    struct run *runs;
    size_t run_count;
    struct part *parts;
    size_t part_count;
    struct buf part; /* the body of parts[loaded] */
    struct span part_body;
    size_t loaded; /* part_count: none */
    uint64_t content_end; /* content_bytes, or where extents that are gone begin */
    bool lenient;         /* opened to read what is damaged too */
};

static void report(struct spool *s, struct segment *seg, uint64_t seq, uint64_t off)
{
    spool_emit(s, (struct spool_event){ .kind = SPOOL_EVENT_MESSAGE_DAMAGED,
                                        .directory = seg->dir->path, .segment = seg->gen,
                                        .offset = off, .seq = seq });
}

static void add_run(struct spool_reader *r, uint64_t from, uint64_t to, uint64_t *at)
{
    if (from == to)
        return;
    r->runs[r->run_count++] = (struct run){ *at, from, to - from };
    *at += to - from;
}

static void lay_out(struct spool_reader *r, const struct commit_meta *m)
{
    size_t cuts = m->cuts.n / CUT_BYTES;
    uint64_t from = 0, at = r->block_bytes;
    r->runs = must_calloc(cuts + 1, sizeof *r->runs);
    for (size_t i = 0; i < cuts; i++) {
        struct spool_cut c = cut_at(m->cuts, i);
        add_run(r, from, c.offset, &at);
        from = c.offset + c.bytes;
    }
    add_run(r, from, m->content_bytes, &at);
    MUST(at == r->size); /* commit_get has checked it */
}

static int open_parts(struct spool_reader *r, const struct commit_meta *m)
{
    uint64_t off = 0;
    size_t n = commit_extents(m);
    r->parts = must_calloc(n, sizeof *r->parts);
    for (size_t i = 0; i < n; i++) {
        struct extent x = extent_at(m->extents, i);
        struct segment *seg = seg_by_gen(r->s, x.gen);
        if (!seg) {
            r->content_end = off;
            break;
        }
        seg->refs++;
        r->parts[r->part_count++] = (struct part){ x, seg, off };
        off += x.len;
    }
    r->loaded = r->part_count;
    return r->part_count == n || r->lenient ? 0 : -EILSEQ;
}

static int open_reader(struct spool_reader *r, const struct entry *e)
{
    struct segment *seg = seg_at(r->s, e->slot);
    uint64_t off = (uint64_t)e->off8 * 8;
    struct rec rec;
    struct commit_meta m;
    int error = rec_read(r->s, seg, off, (uint64_t)e->size8 * 8, &r->record, &rec, &r->body);
    if (error == 0 && (rec.type != REC_COMMIT || !commit_get(&rec, &m) || m.seq != r->seq))
        error = -EILSEQ;
    if (error == 0 && !r->lenient &&
        (m.flags & COMMIT_DAMAGED || crc32c(0, r->body.p, r->body.n) != rec.body_crc))
        error = -EILSEQ;
    if (error == 0) {
        r->size = m.size_bytes;
        r->block_bytes = commit_block_bytes(&m);
        r->content_bytes = r->content_end = m.content_bytes;
        lay_out(r, &m);
        error = open_parts(r, &m);
    }
    if (error == -EILSEQ)
        report(r->s, seg, r->seq, off);
    return error;
}

static struct spool_reader *open_message(struct spool *s, uint64_t seq, bool lenient, int *error)
{
    const struct entry *e = table_get(&s->table, seq);
    *error = ENOENT;
    if (!e)
        return NULL;
    struct spool_reader *r = NEW(struct spool_reader);
    r->s = s;
    r->seq = seq;
    r->lenient = lenient;
    buf_init(&r->record, (size_t)1 << 40);
    buf_init(&r->part, (size_t)1 << 40);
    *error = -open_reader(r, e);
    if (*error)
        spool_reader_close(&r);
    return r;
}

struct spool_reader *spool_reader_open(struct spool *s, uint64_t seq, int *error)
{
    return open_message(s, seq, false, error);
}

struct spool_reader *spool_reader_open_damaged(struct spool *s, uint64_t seq, int *error)
{
    return open_message(s, seq, true, error);
}

void spool_reader_close(struct spool_reader **r)
{
    if (!*r)
        return;
    for (size_t i = 0; i < (*r)->part_count; i++)
        seg_unref((*r)->s, (*r)->parts[i].seg);
    free((*r)->parts);
    free((*r)->runs);
    buf_free(&(*r)->record);
    buf_free(&(*r)->part);
    free(*r);
    *r = NULL;
}

uint64_t spool_reader_size(const struct spool_reader *r) { return r->size; }

static int load_part(struct spool_reader *r, size_t i)
{
    const struct part *p = &r->parts[i];
    struct rec rec;
    if (r->loaded == i)
        return 0;
    r->loaded = r->part_count;
    int error = rec_read(r->s, p->seg, p->x.off, extent_rec_size(&p->x), &r->part, &rec,
                         &r->part_body);
    if (error == 0 && (rec.type != REC_EXTENT || rec.body_len != p->x.len))
        error = -EILSEQ;
    if (error == 0 && !r->lenient &&
        (rec.body_crc != p->x.crc || crc32c(0, r->part_body.p, r->part_body.n) != p->x.crc))
        error = -EILSEQ;
    if (error == -EILSEQ)
        report(r->s, p->seg, r->seq, p->x.off);
    if (error == 0)
        r->loaded = i;
    return error;
}

/* Bytes that stand together from content offset `off` on; .p NULL: *error. */
static struct span content_at(struct spool_reader *r, uint64_t off, int *error)
{
    if (off >= r->content_end) {
        *error = -EILSEQ;
        return SPAN_NONE;
    }
    if (!r->part_count)
        return span_from(r->body, r->block_bytes + off);
    size_t low = 0, high = r->part_count;
    while (high - low > 1) { /* parts[low] begins at or before off */
        size_t middle = (low + high) / 2;
        if (r->parts[middle].content_off <= off)
            low = middle;
        else
            high = middle;
    }
    *error = load_part(r, low);
    return *error ? SPAN_NONE : span_from(r->part_body, off - r->parts[low].content_off);
}

static struct span delivered_at(struct spool_reader *r, uint64_t off, int *error)
{
    if (off < r->block_bytes)
        return span_from(span_to(r->body, r->block_bytes), off);
    for (size_t i = 0; i < r->run_count; i++) {
        const struct run *run = &r->runs[i];
        if (off >= run->at && off - run->at < run->bytes) {
            uint64_t in = off - run->at;
            return span_to(content_at(r, run->content_off + in, error), run->bytes - in);
        }
    }
    return SPAN_NONE;
}

ssize_t spool_reader_read(struct spool_reader *r, uint64_t off, char *to, size_t n)
{
    size_t done = 0;
    while (done < n && off + done < r->size) {
        int error = 0;
        struct span s = span_to(delivered_at(r, off + done, &error), n - done);
        if (error)
            return done ? (ssize_t)done : error;
        MUST(s.n > 0);
        memcpy(to + done, s.p, s.n);
        done += s.n;
    }
    return (ssize_t)done;
}

ssize_t spool_read(struct spool *s, uint64_t seq, uint64_t off, char *to, size_t n)
{
    int error;
    struct spool_reader *r = spool_reader_open(s, seq, &error);
    if (!r)
        return -error;
    ssize_t got = spool_reader_read(r, off, to, n);
    spool_reader_close(&r);
    return got;
}

int spool_verify(struct spool *s, uint64_t seq)
{
    int error;
    struct spool_reader *r = spool_reader_open(s, seq, &error);
    if (!r)
        return -error;
    error = 0;
    for (size_t i = 0; i < r->part_count && !error; i++)
        error = load_part(r, i);
    spool_reader_close(&r);
    return error;
}

/* --- what is known of a message --- */

bool spool_has(const struct spool *s, uint64_t seq) { return table_get(&s->table, seq); }

int spool_envelope(struct spool *s, uint64_t seq, struct arena *a, struct envelope *e_r,
                   uint64_t *size_r)
{
    const struct entry *e = table_get(&s->table, seq);
    if (!e)
        return -ENOENT;
    struct buf b;
    struct rec rec;
    struct commit_meta m;
    buf_init(&b, (size_t)1 << 40);
    int error = rec_read(s, seg_at(s, e->slot), (uint64_t)e->off8 * 8, 0, &b, &rec, NULL);
    if (!error && (!commit_get(&rec, &m) || m.seq != seq))
        error = -EILSEQ;
    if (!error) {
        struct span env = arena_dup(a, m.env);
        struct wire w = wire_reader(env);
        if (!env.p || !envelope_get(&w, a, e_r))
            error = env.p ? -EILSEQ : -ENOMEM;
        if (size_r)
            *size_r = m.size_bytes;
    }
    buf_free(&b);
    return error;
}

int spool_outcomes(struct spool *s, uint64_t seq, struct arena *a, struct spool_outcome **list_r,
                   size_t *n_r)
{
    const struct entry *e = table_get(&s->table, seq);
    if (!e)
        return -ENOENT;
    return chain_state(s, e, a, list_r, n_r);
}

void spool_each(struct spool *s, void (*fn)(void *ctx, uint64_t seq), void *ctx)
{
    size_t at;
    for (struct entry *e = table_next(&s->table, NULL, &at); e; e = table_next(&s->table, e, &at))
        fn(ctx, entry_seq(e));
}
