#include "spool/format.h"

#include "base/crc32c.h"
#include "base/hash.h"

static const char seg_magic[8] = { 'P', 'S', 'T', 'N', 'S', 'E', 'G', '1' };
static const char end_magic[8] = { 'P', 'S', 'T', 'N', 'E', 'N', 'D', '1' };

/* --- segments --- */

void seg_head_put(char to[SEG_HEAD_BYTES], const struct seg_head *h)
{
    memset(to, 0, SEG_HEAD_BYTES);
    memcpy(to, seg_magic, 8);
    wire_set_u64(to + 8, h->gen);
    wire_set_u64(to + 16, h->salt);
    wire_set_u64(to + 24, h->id_high);
    wire_set_u64(to + 32, (uint64_t)h->created_ms);
    wire_set_u32(to + 60, crc32c(0, to, 60));
    memcpy(to + SEG_HEAD_BYTES / 2, to, SEG_HEAD_COPY);
}

bool seg_head_get(struct span block, struct seg_head *h_r)
{
    for (size_t at = 0; at + SEG_HEAD_COPY <= block.n; at += SEG_HEAD_BYTES / 2) {
        const char *p = block.p + at;
        if (memcmp(p, seg_magic, 8) != 0 || wire_peek_u32(p + 60) != crc32c(0, p, 60))
            continue;
        *h_r = (struct seg_head){ wire_peek_u64(p + 8), wire_peek_u64(p + 16),
                                  wire_peek_u64(p + 24), (int64_t)wire_peek_u64(p + 32) };
        return true;
    }
    return false;
}

void seg_trailer_put(char to[TRAILER_BYTES], const struct seg_trailer *t)
{
    memset(to, 0, TRAILER_BYTES);
    memcpy(to, end_magic, 8);
    wire_set_u64(to + 8, t->gen);
    wire_set_u64(to + 16, t->salt);
    wire_set_u64(to + 24, t->footer_off);
    wire_set_u32(to + 44, crc32c(0, to, 44));
}

bool seg_trailer_get(struct span bytes, struct seg_trailer *t_r)
{
    const char *p = bytes.p;
    if (bytes.n != TRAILER_BYTES || memcmp(p, end_magic, 8) != 0 ||
        wire_peek_u32(p + 44) != crc32c(0, p, 44))
        return false;
    *t_r = (struct seg_trailer){ wire_peek_u64(p + 8), wire_peek_u64(p + 16),
                                 wire_peek_u64(p + 24) };
    return true;
}

/* --- records --- */

uint64_t rec_lsn(const struct rec *r) { return r->meta.n < 8 ? 0 : wire_peek_u64(r->meta.p); }

uint64_t rec_tag(uint64_t salt, uint64_t gen, uint64_t off)
{
    uint64_t place[2] = { gen, off };
    uint64_t tag = hash_bytes(salt, span_of(place, sizeof place));
    return tag ? tag : 1; /* zeros are never a record */
}

static uint32_t head_crc(const char *at, uint32_t head_len)
{
    return crc32c(crc32c(0, at + 8, 20), at + REC_HEAD_BYTES, head_len);
}

void rec_close(char *at, const struct rec *r, uint64_t tag)
{
    wire_set_u64(at, tag);
    wire_set_u32(at + 8, r->type);
    wire_set_u32(at + 12, r->head_len);
    wire_set_u64(at + 16, r->body_len);
    wire_set_u32(at + 24, r->body_crc);
    wire_set_u32(at + 28, head_crc(at, r->head_len));
}

int rec_open(const char *at, uint64_t n, uint64_t off, uint64_t tag, struct rec *r,
             uint64_t *need_r)
{
    *need_r = REC_HEAD_BYTES;
    if (n < REC_HEAD_BYTES)
        return 0;
    if (wire_peek_u64(at) != tag)
        return -1;
    r->off = off;
    r->type = wire_peek_u32(at + 8);
    r->head_len = wire_peek_u32(at + 12);
    r->body_len = wire_peek_u64(at + 16);
    r->body_crc = wire_peek_u32(at + 24);
    if (r->head_len < 8 || r->head_len > REC_META_MAX || r->body_len >> 48)
        return -1;
    *need_r = REC_HEAD_BYTES + (uint64_t)r->head_len;
    if (n < *need_r)
        return 0;
    if (wire_peek_u32(at + 28) != head_crc(at, r->head_len))
        return -1;
    r->meta = span_of(at + REC_HEAD_BYTES, r->head_len);
    return 1;
}

static void put_zeros(struct buf *b, size_t n)
{
    static const char zeros[8];
    buf_put(b, zeros, n);
}

void entry_put(struct buf *b, const struct rec *r)
{
    wire_put_u32(b, r->type);
    wire_put_u32(b, r->head_len);
    wire_put_u64(b, r->off);
    wire_put_u64(b, r->body_len);
    wire_put_u32(b, r->body_crc);
    wire_put_u32(b, 0);
    buf_puts(b, r->meta);
    put_zeros(b, REC_ALIGN(r->head_len) - r->head_len);
}

bool entry_get(struct wire *w, struct rec *r)
{
    r->type = wire_get_u32(w);
    r->head_len = wire_get_u32(w);
    r->off = wire_get_u64(w);
    r->body_len = wire_get_u64(w);
    r->body_crc = wire_get_u32(w);
    wire_get_u32(w);
    uint64_t padded = REC_ALIGN((uint64_t)r->head_len);
    if (w->bad || r->head_len < 8 || padded > w->rest.n || r->off >> 48 || r->body_len >> 48)
        return false;
    r->meta = span_to(w->rest, r->head_len);
    w->rest = span_from(w->rest, padded);
    return true;
}

/* --- metas --- */

void batch_put(struct buf *b, const struct batch_meta *m)
{
    wire_put_u64(b, m->lsn);
    wire_put_u64(b, m->gen);
    wire_put_u64(b, m->flushed_upto);
    wire_put_u64(b, m->id_high);
    wire_put_u64(b, m->gen_high);
    wire_put_i64(b, m->now_ms);
}

bool batch_get(const struct rec *r, struct batch_meta *m)
{
    struct wire w = wire_reader(r->meta);
    m->lsn = wire_get_u64(&w);
    m->gen = wire_get_u64(&w);
    m->flushed_upto = wire_get_u64(&w);
    m->id_high = wire_get_u64(&w);
    m->gen_high = wire_get_u64(&w);
    m->now_ms = wire_get_i64(&w);
    return !w.bad;
}

void group_put(struct buf *b, const struct group *g)
{
    wire_put_u64(b, g->seq);
    wire_put_u64(b, g->home_gen);
    wire_put_u64(b, g->home_off);
    wire_put_u64(b, g->prev_gen);
    wire_put_u64(b, g->prev_off);
    wire_put_u32(b, g->count);
    wire_put_bytes(b, g->list);
}

void group_patch(char *at, const struct group *g)
{
    wire_set_u64(at + 8, g->home_gen);
    wire_set_u64(at + 16, g->home_off);
    wire_set_u64(at + 24, g->prev_gen);
    wire_set_u64(at + 32, g->prev_off);
}

uint64_t group_cost(const struct rec *r, const struct group *g)
{
    if (r->type == REC_OUTCOME)
        return rec_size(r);
    bool own = r->meta.n >= 16 && wire_peek_u64(r->meta.p + 8) == g->seq;
    return own ? 0 : REC_HEAD_BYTES + g->list.n;
}

static bool group_get(struct wire *w, struct group *g)
{
    g->seq = wire_get_u64(w);
    g->home_gen = wire_get_u64(w);
    g->home_off = wire_get_u64(w);
    g->prev_gen = wire_get_u64(w);
    g->prev_off = wire_get_u64(w);
    g->count = wire_get_u32(w);
    g->list = wire_get_bytes(w, REC_META_MAX);
    return !w->bad && g->seq && g->seq <= QUEUEID_SEQ_MAX;
}

enum { OUTCOME_FINAL = 1, OUTCOME_NO_DSN = 2, OUTCOME_RELEASED = 4, OUTCOME_DUPLICATE = 8 };

void outcome_put(struct buf *b, const struct spool_outcome *o)
{
    wire_put_u32(b, o->rcpt);
    wire_put_u8(b, o->kind);
    wire_put_u8(b, (uint8_t)((o->final ? OUTCOME_FINAL : 0) | (o->no_dsn ? OUTCOME_NO_DSN : 0) |
                             (o->released ? OUTCOME_RELEASED : 0) |
                             (o->duplicate ? OUTCOME_DUPLICATE : 0)));
    wire_put_u32(b, o->attempts);
    wire_put_i64(b, o->at_ms);
    wire_put_i64(b, o->next_ms);
    wire_put_bytes(b, span_to(o->status, SPOOL_STATUS_MAX));
    wire_put_bytes(b, span_to(o->diag, SPOOL_DIAG_MAX));
    wire_put_bytes(b, span_to(o->remote, SPOOL_REMOTE_MAX));
}

bool outcome_get(struct wire *w, uint64_t seq, struct spool_outcome *o)
{
    *o = (struct spool_outcome){ .seq = seq };
    o->rcpt = wire_get_u32(w);
    o->kind = wire_get_u8(w);
    uint8_t flags = wire_get_u8(w);
    o->final = flags & OUTCOME_FINAL;
    o->no_dsn = flags & OUTCOME_NO_DSN;
    o->released = flags & OUTCOME_RELEASED;
    o->duplicate = flags & OUTCOME_DUPLICATE;
    o->attempts = wire_get_u32(w);
    o->at_ms = wire_get_i64(w);
    o->next_ms = wire_get_i64(w);
    o->status = wire_get_bytes(w, SPOOL_STATUS_MAX);
    o->diag = wire_get_bytes(w, SPOOL_DIAG_MAX);
    o->remote = wire_get_bytes(w, SPOOL_REMOTE_MAX);
    return !w->bad;
}

bool outcome_rec_get(const struct rec *r, struct group *g)
{
    struct wire w = wire_reader(r->meta);
    wire_get_u64(&w);
    return group_get(&w, g);
}

void extent_put(struct buf *b, const struct extent *e)
{
    wire_put_u64(b, e->gen);
    wire_put_u64(b, e->off);
    wire_put_u64(b, e->len);
    wire_put_u32(b, e->crc);
}

struct extent extent_at(struct span list, size_t i)
{
    const char *p = list.p + i * EXTENT_BYTES;
    return (struct extent){ wire_peek_u64(p), wire_peek_u64(p + 8), wire_peek_u64(p + 16),
                            wire_peek_u32(p + 24) };
}

struct spool_cut cut_at(struct span list, size_t i)
{
    const char *p = list.p + i * CUT_BYTES;
    return (struct spool_cut){ wire_peek_u64(p), wire_peek_u64(p + 8) };
}

uint64_t extent_rec_size(const struct extent *e)
{
    return REC_ALIGN(REC_HEAD_BYTES + EXTENT_META_BYTES + e->len);
}

void extent_meta_put(char to[EXTENT_META_BYTES], uint64_t lsn, uint64_t seq, uint64_t txn)
{
    wire_set_u64(to, lsn);
    wire_set_u64(to + 8, seq);
    wire_set_u64(to + 16, txn);
}

bool extent_meta_get(const struct rec *r, uint64_t *seq_r)
{
    if (r->meta.n < EXTENT_META_BYTES)
        return false;
    *seq_r = wire_peek_u64(r->meta.p + 8);
    return true;
}

void commit_put_fixed(struct buf *b, const struct commit_meta *m, uint8_t groups)
{
    wire_put_u64(b, m->lsn);
    wire_put_u64(b, m->seq);
    wire_put_u32(b, m->flags);
    wire_put_u32(b, m->rcpts);
    wire_put_u64(b, m->content_bytes);
    wire_put_u64(b, m->size_bytes);
    wire_put_u8(b, groups);
}

void commit_put(struct buf *b, const struct commit_meta *m)
{
    commit_put_fixed(b, m, (uint8_t)((m->own.seq != 0) + (m->bound.seq != 0)));
    if (m->own.seq)
        group_put(b, &m->own);
    if (m->bound.seq)
        group_put(b, &m->bound);
    wire_put_bytes(b, m->blocks);
    wire_put_bytes(b, m->cuts);
    wire_put_bytes(b, m->extents);
    wire_put_bytes(b, m->env);
}

static bool get_commit_groups(struct wire *w, struct commit_meta *m)
{
    size_t groups = wire_get_u8(w);
    for (size_t i = 0; i < groups; i++) {
        struct group g;
        if (!group_get(w, &g))
            return false;
        *(g.seq == m->seq ? &m->own : &m->bound) = g;
    }
    return true;
}

/* The parts must make up the sizes: readers rely on it. */
static bool commit_sane(const struct commit_meta *m, uint64_t body_len)
{
    uint64_t blocks = commit_block_bytes(m), cut = 0, at = 0, extents = 0;
    for (size_t i = 0; i < m->cuts.n / CUT_BYTES; i++) {
        struct spool_cut c = cut_at(m->cuts, i);
        if (c.offset < at || c.offset > m->content_bytes || c.bytes > m->content_bytes - c.offset)
            return false;
        at = c.offset + c.bytes;
        cut += c.bytes;
    }
    for (size_t i = 0; i < commit_extents(m); i++) {
        struct extent e = extent_at(m->extents, i);
        if (e.len >> 40 || e.off >> 48)
            return false;
        extents += e.len;
    }
    uint64_t in_body = body_len < blocks ? 0 : body_len - blocks;
    return body_len >= blocks && (m->extents.n ? extents : in_body) == m->content_bytes &&
           (!m->extents.n || in_body == 0) && m->size_bytes == blocks + m->content_bytes - cut;
}

bool commit_get(const struct rec *r, struct commit_meta *m)
{
    struct wire w = wire_reader(r->meta);
    *m = (struct commit_meta){ .lsn = wire_get_u64(&w) };
    m->seq = wire_get_u64(&w);
    m->flags = wire_get_u32(&w);
    m->rcpts = wire_get_u32(&w);
    m->content_bytes = wire_get_u64(&w);
    m->size_bytes = wire_get_u64(&w);
    if (!get_commit_groups(&w, m))
        return false;
    m->blocks = wire_get_bytes(&w, 4 * SPOOL_BLOCKS_MAX);
    m->cuts = wire_get_bytes(&w, CUT_BYTES * SPOOL_CUTS_MAX);
    m->extents = wire_get_bytes(&w, (size_t)EXTENT_BYTES * EXTENTS_MAX);
    m->env = wire_get_bytes(&w, REC_META_MAX);
    return !w.bad && m->seq && m->seq <= QUEUEID_SEQ_MAX && m->rcpts &&
           m->rcpts <= ENVELOPE_RCPTS_MAX && m->blocks.n % 4 == 0 && m->cuts.n % CUT_BYTES == 0 &&
           m->extents.n % EXTENT_BYTES == 0 && commit_sane(m, r->body_len);
}

uint64_t commit_block_bytes(const struct commit_meta *m)
{
    uint64_t sum = 0;
    for (size_t at = 0; at + 4 <= m->blocks.n; at += 4)
        sum += wire_peek_u32(m->blocks.p + at);
    return sum;
}

void void_put(struct buf *b, struct void_note v)
{
    wire_put_u64(b, v.gen);
    wire_put_u64(b, v.from);
}

struct void_note void_at(struct span list, size_t i)
{
    const char *p = list.p + i * VOID_BYTES;
    return (struct void_note){ wire_peek_u64(p), wire_peek_u64(p + 8) };
}

void footer_put(struct buf *b, const struct footer_meta *m)
{
    wire_put_u64(b, 0);
    wire_put_u64(b, m->flushed_upto);
    wire_put_u64(b, m->id_high);
    wire_put_u64(b, m->gen_high);
    wire_put_u32(b, m->flags);
    wire_put_bytes(b, m->chunks);
    wire_put_bytes(b, m->voids);
}

bool footer_get(const struct rec *r, struct footer_meta *m)
{
    struct wire w = wire_reader(r->meta);
    wire_get_u64(&w);
    m->flushed_upto = wire_get_u64(&w);
    m->id_high = wire_get_u64(&w);
    m->gen_high = wire_get_u64(&w);
    m->flags = wire_get_u32(&w);
    m->chunks = wire_get_bytes(&w, REC_META_MAX);
    m->voids = wire_get_bytes(&w, REC_META_MAX);
    return !w.bad && m->chunks.n % 8 == 0 && m->voids.n % VOID_BYTES == 0;
}

struct span spool_decision(const struct spool_outcome *o, struct span *before_r)
{
    bool decided = o->kind == SPOOL_HELD || o->kind == SPOOL_RELEASED;
    size_t n = decided ? span_find(o->diag, '\n') : o->diag.n;
    *before_r = span_from(o->diag, n + 1);
    return span_to(o->diag, n);
}
