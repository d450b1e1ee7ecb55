/* The spool's records as bytes and back: pure, no file is touched. The specification stands at
 * the top of write.c. Everything read here is outside input: lengths are checked, and only what
 * rec_open has accepted is decoded further. */
#ifndef POSTERN_SPOOL_FORMAT_H
#define POSTERN_SPOOL_FORMAT_H

#include "base/wire.h"
#include "spool/spool.h"

enum rec_type {
    REC_BATCH = 1,
    REC_COMMIT = 2,
    REC_EXTENT = 3,
    REC_OUTCOME = 4,
    REC_VOID = 5,
    REC_SKIP = 6,
    REC_INDEX = 7,
    REC_FOOTER = 8,
};

enum {
    SEG_HEAD_BYTES = 4096,      /* two copies of the header, at 0 and in the middle */
    SEG_HEAD_COPY = 64,
    REC_HEAD_BYTES = 32,
    REC_META_MAX = 256 << 20,
    TRAILER_BYTES = 48,
    EXTENT_BYTES = 28,
    CUT_BYTES = 16,
    VOID_BYTES = 16,
    COMMIT_FIXED_BYTES = 41,    /* where the first group of a commit's meta begins */
    OUTCOME_FIXED_BYTES = 8,    /* the same of an outcome record */
    EXTENTS_MAX = 65536,
};

#define REC_ALIGN(n) (((n) + 7) & ~(uint64_t)7)

/* --- segments --- */

struct seg_head {
    uint64_t gen, salt, id_high;
    int64_t created_ms;
};

void seg_head_put(char to[SEG_HEAD_BYTES], const struct seg_head *h);
bool seg_head_get(struct span block, struct seg_head *h_r); /* either copy will do */

struct seg_trailer {
    uint64_t gen, salt, footer_off;
};

void seg_trailer_put(char to[TRAILER_BYTES], const struct seg_trailer *t);
bool seg_trailer_get(struct span bytes, struct seg_trailer *t_r);

/* --- records --- */

struct rec {
    uint64_t off; /* in its segment, of the record's first byte */
    uint32_t type, head_len, body_crc;
    uint64_t body_len;
    struct span meta; /* head_len bytes */
};

static inline uint64_t rec_body_off(const struct rec *r)
{
    return r->off + REC_HEAD_BYTES + r->head_len;
}
static inline uint64_t rec_size(const struct rec *r)
{
    return REC_ALIGN(REC_HEAD_BYTES + r->head_len + r->body_len);
}
uint64_t rec_lsn(const struct rec *r); /* the first 8 bytes of every meta */

uint64_t rec_tag(uint64_t salt, uint64_t gen, uint64_t off);

/* Fills the 32 bytes in front of the meta; r->meta need not be set. */
void rec_close(char *at, const struct rec *r, uint64_t tag);

/* Looks at the n bytes of the file from `off` on. 1: a record whose header and meta are sound
 * (its body is not looked at); 0: more bytes are needed, *need_r in all; -1: none here. */
int rec_open(const char *at, uint64_t n, uint64_t off, uint64_t tag, struct rec *r,
             uint64_t *need_r);

/* An entry of an index: a record without its body. */
void entry_put(struct buf *b, const struct rec *r);
bool entry_get(struct wire *w, struct rec *r);

/* --- metas --- */

struct batch_meta {
    uint64_t lsn, gen, flushed_upto, id_high, gen_high;
    int64_t now_ms;
};
void batch_put(struct buf *b, const struct batch_meta *m);
bool batch_get(const struct rec *r, struct batch_meta *m);

/* Outcomes of one message, as they stand in an outcome record or in a commit record. */
struct group {
    uint64_t seq;                /* 0 = there is none */
    uint64_t home_gen, home_off; /* where that message's commit record lay at the time */
    uint64_t prev_gen, prev_off; /* the record with its outcomes before these; gen 0 = complete */
    uint32_t count;
    struct span list; /* encoded outcomes */
};
void group_put(struct buf *b, const struct group *g);
/* What the group weighs in the sums of live bytes, standing in record r: all of an outcome
 * record, nothing beside a message's own moved record, its bytes in the record of a report
 * (which may be dead long before the message it reports about). */
uint64_t group_cost(const struct rec *r, const struct group *g);
/* In place, once the locations are known; `at` is where the group begins. */
void group_patch(char *at, const struct group *g);

void outcome_put(struct buf *b, const struct spool_outcome *o); /* texts cut to their limits */
bool outcome_get(struct wire *w, uint64_t seq, struct spool_outcome *o);

bool outcome_rec_get(const struct rec *r, struct group *g);

struct extent {
    uint64_t gen, off, len; /* off of the record; len of its body */
    uint32_t crc;
};
void extent_put(struct buf *b, const struct extent *e);
struct extent extent_at(struct span list, size_t i);
struct spool_cut cut_at(struct span list, size_t i);
/* Size on disk of the extent's record. */
uint64_t extent_rec_size(const struct extent *e);

enum { EXTENT_META_BYTES = 24 };
void extent_meta_put(char to[EXTENT_META_BYTES], uint64_t lsn, uint64_t seq, uint64_t txn);
bool extent_meta_get(const struct rec *r, uint64_t *seq_r);

enum commit_flag {
    COMMIT_MOVED = 1,
    COMMIT_DAMAGED = 2, /* its content failed its checksum when it was moved: the checksums now
                           are of what was left */
};

struct commit_meta {
    uint64_t lsn, seq, content_bytes, size_bytes;
    uint32_t flags, rcpts;
    struct group own;   /* the message's outcomes so far (of a moved one) */
    struct group bound; /* the outcomes that caused this report */
    struct span blocks; /* u32 each */
    struct span cuts, extents, env;
};
void commit_put(struct buf *b, const struct commit_meta *m);
/* Up to where the groups begin. */
void commit_put_fixed(struct buf *b, const struct commit_meta *m, uint8_t groups);
bool commit_get(const struct rec *r, struct commit_meta *m);
static inline size_t commit_extents(const struct commit_meta *m)
{
    return m->extents.n / EXTENT_BYTES;
}
uint64_t commit_block_bytes(const struct commit_meta *m);

struct void_note { /* every record of segment `gen` from `from` on is void */
    uint64_t gen, from;
};
void void_put(struct buf *b, struct void_note v);
struct void_note void_at(struct span list, size_t i);

enum footer_flag { FOOTER_DAMAGED = 1 };
struct footer_meta {
    uint64_t flushed_upto, id_high, gen_high; /* as in a batch record */
    uint32_t flags;
    struct span chunks; /* u64 each: the index records, in order */
    struct span voids;
};
void footer_put(struct buf *b, const struct footer_meta *m);
bool footer_get(const struct rec *r, struct footer_meta *m);

#endif
