/* Writing the spool. This is the specification of its format; it changes with the code.
 *
 * FILES. Each spool directory holds segments GGGGGGGGGGGGGGGG.seg, named by their generation (16
 * hex digits, unique in the whole spool, growing), a `lock` and a `reserve` (space set aside for
 * outcomes). GGGG.damaged is a segment in which bytes were lost, kept for people to look at
 * after all that could be read has been moved. Integers are little-endian. CRC is CRC32C.
 *
 * SEGMENT. 4096 bytes of head: at 0 and again at 2048 stand
 *    0 "PSTNSEG1"   8 generation u64   16 salt u64   24 id_high u64   32 created ms i64
 *   40 zeros        60 CRC of bytes 0..59
 * then records, each at an offset that is a multiple of 8, zeros between. The file may end in
 * zeros that were written ahead. A sealed segment ends in a trailer of 48 bytes:
 *    0 "PSTNEND1"   8 generation   16 salt   24 offset of the footer record   44 CRC of 0..43
 *
 * RECORD.
 *    0 tag u64: SipHash-1-3, keyed by the salt, of generation and offset. Nothing a stranger
 *      puts into a message, and no record copied from elsewhere, passes for a record here; so a
 *      reader that lost its way goes on at the next multiple of 8 where the tag is right
 *    8 type u32     12 length of the meta u32     16 length of the body u64
 *   24 CRC of the body u32     28 CRC of bytes 8..27 and the meta u32
 *   32 meta, then the body
 * Every meta begins with lsn u64, which grows through all writing of the spool (0 in records
 * that are not replayed). In one directory, records stand in the order of their lsn.
 *
 *   1 BATCH    generation, flushed_upto, id_high, gen_high, now_ms: begins each batch. Everything
 *              before flushed_upto was known to be on the disk; counters below id_high and
 *              generations up to gen_high may have been used, and are not used again
 *   2 COMMIT   a message: seq, flags u32 (1: moved by compaction, 2: found damaged then), number
 *              of recipients u32, content bytes u64, bytes as delivered u64, groups u8 and groups
 *              (below), then with u32 lengths: lengths of the prepended blocks (u32 each), cuts
 *              (offset u64, bytes u64), extents (generation u64, offset u64, bytes u64, CRC u32),
 *              envelope (envelope_put). The body is the blocks and, when there are no extents,
 *              the content. Delivered is: blocks, then content without the cuts
 *   3 EXTENT   seq, transaction; the body is content. Without a COMMIT that names it: dead bytes
 *   4 OUTCOME  one group; the body, where there is one, is of stories
 *   5 VOID     (generation u64, from u64)...: all records of that segment at or behind `from` are
 *              void: they belong to a flush that failed
 *   6 SKIP     its body is a hole, put over what recovery dropped; its CRC means nothing
 *   7 INDEX    the body repeats the records (2, 3, 4, 5 and unknown ones) since the INDEX before,
 *              without their bodies: type u32, meta length u32, offset u64, body length u64, body
 *              CRC u32, zero u32, meta, zeros up to a multiple of 8
 *   8 FOOTER   flushed_upto, id_high and gen_high as in BATCH, flags u32 (1: bytes of this segment
 *              were lost), offsets of the INDEX records, voids known
 * Records of other types are kept and carried on unread.
 *
 * A GROUP is outcomes of one message: seq; home (generation, offset): where its COMMIT lay;
 * previous (generation, offset): the record with the outcomes before these, generation 0 when
 * these are all there are; count u32; u32 length and the outcomes. In a COMMIT, a group about the
 * message itself carries its state at the time it was moved, a group about another message is
 * what caused this report: report and outcomes are one record, durable together.
 *
 * STORIES say of attempts what people may want to know, and nothing else relies on them: number of
 * recipients u32 and each of them (u32), length u32, text; oldest first, to the body's end. They
 * come in an OUTCOME of their own, whose group has no outcomes and is a link of the chain like
 * others; a merged record has the last ones of each recipient that is not final. When a message
 * is moved they follow its COMMIT. Readers from before them pass over the bodies.
 *
 * WHAT IS TRUE. A message exists when its COMMIT is flushed, and as long as not every recipient
 * has a final outcome with a higher lsn. Of several COMMITs with one seq (a copy made by
 * compaction) the one with the highest lsn counts; outcomes with a lower lsn are merged in it.
 * For one recipient the outcome with the highest lsn counts.
 *
 * THE COMMIT INSTANT is the return of the fdatasync that covers the batch; the receipt follows it.
 * A failed flush is final: the segment is closed, nothing is written to it or flushed again,
 * nothing of it is acknowledged; what was flushed before stays readable. In this process the
 * batch does not exist. The next batch, in a new segment, begins with a VOID for it, so that
 * after a restart it does not come to life either; only if the process ends before that is
 * written may unacknowledged mail be found and delivered (at-least-once). A write that fails for
 * lack of space is cut off again and the segment goes on. Outcomes that were in a failed batch
 * are facts: they are written again.
 *
 * RECOVERY. Sealed segments are read by their indexes, metas only. An unsealed one (or one whose
 * trailer reached the disk without the footer or the last INDEX) is scanned: a bad record before
 * the highest flushed_upto is damage (alarm, go on at the next record); behind it, it was never
 * acknowledged and is dropped (a clean end writes an empty BATCH, so that nothing acknowledged
 * lies there), and every whole record after it is kept, bodies checked. What is
 * kept there is written again and flushed before anything relies on it (a page that failed to
 * reach the disk may look clean), what is dropped is covered with SKIP. The newest one goes on
 * being written, unless a VOID names it. Then all records are replayed in the order of lsn. A
 * damaged index is replaced by a scan. Where a read fails, nothing is concluded from it, and
 * nothing merged or freed until a start at which everything reads.
 *
 * FREEING. A segment is unlinked (and the directory flushed) when nothing in it is live, no open
 * transaction has extents in it, and no final outcome in it is about a message whose COMMIT
 * still lies on the disk elsewhere (a `tomb`: else that message would rise again). */
#include "base/list.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { EXTENT_PIECE_BYTES = 4 << 20 };

static struct txn *txn_get(const struct spool *s, uint64_t key)
{
    struct hash_node *n = hash_get(&s->txns, span_of(&key, sizeof key));
    return n ? CONTAINER(n, struct txn, node) : NULL;
}

static struct txn *txn_begin(struct spool *s, uint64_t key, uint64_t seq)
{
    struct txn *t = NEW(struct txn);
    t->key = key;
    t->seq = seq;
    MUST(hash_add(&s->txns, &t->node, span_of(&t->key, sizeof t->key)));
    return t;
}

/* No directory that new mail may use has room. */
static bool is_low(const struct spool *s)
{
    for (size_t i = 0; i < s->dir_count; i++)
        if (!s->dirs[i].low && !s->dirs[i].out)
            return false;
    for (size_t i = 0; i < s->dir_count; i++)
        if (s->dirs[i].low)
            return true;
    return false; /* all are out: let the write find out */
}

int spool_extent(struct spool *s, uint64_t txn, uint64_t seq, struct span data)
{
    MUST(txn && !s->config.read_only);
    struct txn *t = txn_get(s, txn);
    if (!t)
        t = txn_begin(s, txn, seq);
    int r = t->failed ? -EIO : is_low(s) ? -ENOSPC : 0;
    while (!r && data.n) {
        r = t->n == EXTENTS_MAX ? -E2BIG
                                : append_extent(s, t, span_to(data, EXTENT_PIECE_BYTES), false);
        data = span_from(data, EXTENT_PIECE_BYTES);
    }
    if (r)
        t->failed = true;
    return r;
}

void spool_abort(struct spool *s, uint64_t txn)
{
    struct txn *t = txn_get(s, txn);
    if (!t)
        return;
    hash_remove(&s->txns, &t->node);
    txn_free(s, t, true);
}

/* --- outcomes --- */

static int check_outcomes(const struct spool *s, const struct spool_outcome *o, size_t n)
{
    const struct entry *e = n ? table_get(&s->table, o->seq) : NULL;
    if (!e)
        return n ? -ENOENT : -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (o[i].seq != o->seq || (o[i].rcpt >= e->rcpts && o[i].rcpt != SPOOL_RCPT_ALL))
            return -EINVAL;
    return 0;
}

/* The group's list is put straight into the batch: its length is known only behind it. */
static void put_group(struct buf *b, const struct spool_outcome *o, size_t n)
{
    group_put(b, &(struct group){ .seq = o->seq, .count = (uint32_t)n });
    size_t start = b->len;
    for (size_t i = 0; i < n; i++)
        outcome_put(b, &o[i]);
    wire_set_u32(b->mem + b->off + start - 4, (uint32_t)(b->len - start));
}

int spool_outcome(struct spool *s, const struct spool_outcome *o, size_t n)
{
    int r = check_outcomes(s, o, n);
    if (r)
        return r;
    struct item *it = batch_begin(&s->batch, ITEM_OUTCOME, REC_OUTCOME);
    it->at_ms = o->noted_ms ? o->noted_ms : o->at_ms;
    wire_put_u64(&s->batch.metas, 0);
    put_group(&s->batch.metas, o, n);
    batch_end(s, &s->batch, it);
    batch_group(&s->batch, it, o->seq, OUTCOME_FIXED_BYTES);
    return 0;
}

/* --- commits --- */

struct sizes {
    uint64_t blocks, content, cuts;
};

static int measure(const struct spool *s, const struct spool_commit *c, const struct txn *t,
                   struct sizes *z)
{
    *z = (struct sizes){ 0 };
    for (size_t i = 0; i < c->content_count; i++)
        z->content += c->content[i].n;
    if (z->content > s->config.inline_max_bytes && !c->bound_count)
        return -E2BIG;
    if (t && z->content)
        return -EINVAL;
    if (t)
        z->content = t->bytes;
    for (size_t i = 0; i < c->block_count; i++)
        z->blocks += c->blocks[i].n;
    uint64_t at = 0;
    for (size_t i = 0; i < c->cut_count; i++) {
        const struct spool_cut *cut = &c->cuts[i];
        if (cut->offset < at || cut->offset > z->content || cut->bytes > z->content - cut->offset)
            return -EINVAL;
        at = cut->offset + cut->bytes;
        z->cuts += cut->bytes;
    }
    return z->blocks > UINT32_MAX ? -E2BIG : 0;
}

static int check_commit(const struct spool *s, const struct spool_commit *c, const struct txn *t)
{
    const struct envelope *e = c->env;
    if (!c->txn || !e->seq || e->seq > QUEUEID_SEQ_MAX || !e->rcpt_count)
        return -EINVAL;
    if (c->block_count > SPOOL_BLOCKS_MAX || c->cut_count > SPOOL_CUTS_MAX ||
        e->rcpt_count > ENVELOPE_RCPTS_MAX)
        return -E2BIG;
    if (table_get(&s->table, e->seq) || batch_commits(&s->batch, e->seq))
        return -EEXIST;
    if (c->bound_count && c->bound->seq == e->seq)
        return -EINVAL;
    int r = c->bound_count ? check_outcomes(s, c->bound, c->bound_count) : 0;
    if (r)
        return r;
    if (t && t->failed)
        return -EIO;
    return !c->bound_count && is_low(s) ? -ENOSPC : 0;
}

static void begin_bytes(struct buf *b, size_t n) { wire_put_u32(b, (uint32_t)n); }

static void put_commit(struct buf *b, const struct spool_commit *c, const struct txn *t,
                       const struct sizes *z)
{
    struct commit_meta m = { .seq = c->env->seq, .rcpts = (uint32_t)c->env->rcpt_count,
                             .content_bytes = z->content,
                             .size_bytes = z->blocks + z->content - z->cuts };
    commit_put_fixed(b, &m, c->bound_count ? 1 : 0);
    if (c->bound_count)
        put_group(b, c->bound, c->bound_count);
    begin_bytes(b, 4 * c->block_count);
    for (size_t i = 0; i < c->block_count; i++)
        wire_put_u32(b, (uint32_t)c->blocks[i].n);
    begin_bytes(b, CUT_BYTES * c->cut_count);
    for (size_t i = 0; i < c->cut_count; i++) {
        wire_put_u64(b, c->cuts[i].offset);
        wire_put_u64(b, c->cuts[i].bytes);
    }
    begin_bytes(b, t ? t->n * EXTENT_BYTES : 0);
    for (size_t i = 0; t && i < t->n; i++)
        extent_put(b, &t->extents[i]);
    begin_bytes(b, 0);
    size_t start = b->len;
    envelope_put(b, c->env);
    wire_set_u32(b->mem + b->off + start - 4, (uint32_t)(b->len - start));
}

static void add_commit(struct spool *s, const struct spool_commit *c, struct txn *t,
                       const struct sizes *z)
{
    struct batch *b = &s->batch;
    struct item *it = batch_begin(b, ITEM_COMMIT, REC_COMMIT);
    it->key = c->txn;
    it->seq = c->env->seq;
    it->txn = t;
    MUST(batch_note_seq(b, it->seq));
    put_commit(&b->metas, c, t, z);
    for (size_t i = 0; i < c->block_count; i++)
        batch_body(b, it, c->blocks[i]);
    for (size_t i = 0; i < c->content_count; i++)
        batch_body(b, it, c->content[i]);
    batch_end(s, b, it);
    if (c->bound_count)
        batch_group(b, it, c->bound->seq, COMMIT_FIXED_BYTES);
}

int spool_commit(struct spool *s, const struct spool_commit *c)
{
    MUST(!s->config.read_only);
    struct txn *t = txn_get(s, c->txn);
    struct sizes z;
    int r = check_commit(s, c, t);
    if (!r)
        r = measure(s, c, t, &z);
    if (r) {
        spool_abort(s, c->txn);
        return r;
    }
    if (t)
        hash_remove(&s->txns, &t->node);
    if (t && !t->n) { /* extents of nothing: a message without content */
        txn_free(s, t, true);
        t = NULL;
    }
    add_commit(s, c, t, &z);
    return 0;
}

/* --- the batch --- */

int spool_flush(struct spool *s, int64_t now_ms)
{
    MUST(!s->busy && !s->config.read_only);
    s->now_ms = now_ms;
    return batch_flush(s);
}

/* The last batch of each segment stands behind the last flushed_upto on the disk: another one,
 * with nothing in it, says that it was flushed. */
void spool_vouch(struct spool *s)
{
    MUST(!s->busy && !s->config.read_only);
    for (size_t i = 0; i < s->dir_count; i++) {
        struct dir *d = &s->dirs[i];
        struct segment *seg = d->active;
        if (!seg || d->out || seg->end <= SEG_HEAD_BYTES || seg->vouched == seg->end ||
            seg->end >= s->config.segment_size_bytes)
            continue;
        if (batch_note(s, d, s->id_high) == 0 && d->active == seg)
            seg->vouched = seg->end;
    }
}

size_t spool_batch_count(const struct spool *s) { return s->batch.commits; }
uint64_t spool_batch_bytes(const struct spool *s) { return s->batch.bytes; }
int64_t spool_dirty_since(const struct spool *s) { return s->batch.oldest_ms; }

/* --- counters --- */

/* The note goes to every directory, so that the loss of one does not lead to an id given twice. */
static bool write_high(struct spool *s, uint64_t high)
{
    size_t noted = 0;
    for (size_t i = 0; i < s->dir_count; i++)
        if (dir_takes(s, &s->dirs[i]))
            noted += batch_note(s, &s->dirs[i], high) == 0;
    return noted > 0;
}

uint64_t spool_lease_ids(struct spool *s, uint32_t n, int64_t now_ms)
{
    MUST(!s->busy && !s->config.read_only && n && n <= s->config.lease_step);
    s->now_ms = now_ms;
    if (s->id_next + n > s->id_high) {
        uint64_t high = s->id_high + s->config.lease_step;
        if (!write_high(s, high) && !(space_release(s) && write_high(s, high)))
            return 0;
        s->id_high = high;
    }
    uint64_t first = s->id_next;
    s->id_next += n;
    return first;
}

uint64_t spool_ids_upto(const struct spool *s) { return s->id_next; }
