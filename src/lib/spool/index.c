/* The index of a segment: what a restart reads instead of the records. */
#include "base/crc32c.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

void index_add(struct segment *seg, const struct rec *r) { entry_put(&seg->entries, r); }

void index_add_chunk(struct segment *seg, uint64_t off)
{
    if (seg->chunk_count == seg->chunk_cap) {
        seg->chunk_cap = seg->chunk_cap ? 2 * seg->chunk_cap : 16;
        seg->chunks = must_realloc(seg->chunks, must_mul(seg->chunk_cap, sizeof *seg->chunks));
    }
    seg->chunks[seg->chunk_count++] = off;
}

void index_free(struct segment *seg)
{
    buf_free(&seg->entries);
    free(seg->chunks);
    seg->chunks = NULL;
    seg->chunk_count = seg->chunk_cap = 0;
}

static void close_rec(const struct segment *seg, struct buf *b, size_t at, struct rec *r)
{
    static const char zeros[8];
    r->head_len = (uint32_t)(b->len - at - REC_HEAD_BYTES);
    rec_close(b->mem + b->off + at, r, rec_tag(seg->salt, seg->gen, r->off));
    if (!r->body_len)
        buf_put(b, zeros, REC_ALIGN(r->head_len) - r->head_len);
}

static void put_footer(struct spool *s, struct segment *seg, struct buf *b)
{
    struct footer_meta m = { .flushed_upto = seg->flushed, .id_high = s->id_high,
                             .gen_high = s->gen_high,
                             .flags = seg->damaged ? FOOTER_DAMAGED : 0 };
    struct buf chunks, voids;
    buf_init(&chunks, REC_META_MAX);
    buf_init(&voids, REC_META_MAX);
    for (size_t i = 0; i < seg->chunk_count; i++)
        wire_put_u64(&chunks, seg->chunks[i]);
    for (size_t i = 0; i < s->void_count; i++)
        if (seg_by_gen(s, s->voids[i].gen))
            void_put(&voids, s->voids[i]);
    m.chunks = buf_span(&chunks);
    m.voids = buf_span(&voids);
    footer_put(b, &m);
    buf_free(&chunks);
    buf_free(&voids);
}

/* The rest of the index, the footer and the trailer go to s->iov; the size of all. */
static uint64_t put_end(struct spool *s, struct segment *seg)
{
    static const char head[REC_HEAD_BYTES];
    struct buf *b = &s->prologue;
    uint64_t off = seg->end;
    size_t footer_at = 0;
    buf_reset(b);
    if (seg->entries.len) {
        struct rec r = { .off = off, .type = REC_INDEX, .body_len = seg->entries.len };
        r.body_crc = crc32c(0, seg->entries.mem + seg->entries.off, seg->entries.len);
        buf_put(b, head, sizeof head);
        wire_put_u64(b, 0);
        close_rec(seg, b, 0, &r);
        index_add_chunk(seg, off);
        off += rec_size(&r);
        footer_at = b->len;
    }
    struct rec footer = { .off = off, .type = REC_FOOTER };
    buf_put(b, head, sizeof head);
    put_footer(s, seg, b);
    close_rec(seg, b, footer_at, &footer);
    off += rec_size(&footer);
    char trailer[TRAILER_BYTES];
    seg_trailer_put(trailer, &(struct seg_trailer){ seg->gen, seg->salt, footer.off });
    buf_put(b, trailer, sizeof trailer);
    seg->footer_off = footer.off;

    append_piece(s, b->mem + b->off, footer_at);
    append_piece(s, seg->entries.mem ? seg->entries.mem + seg->entries.off : NULL,
                 seg->entries.len);
    append_piece(s, b->mem + b->off + footer_at, b->len - footer_at);
    return off + TRAILER_BYTES - seg->end;
}

int index_seal(struct spool *s, struct segment *seg)
{
    size_t chunks = seg->chunk_count;
    uint64_t before = seg->end, bytes = put_end(s, seg);
    int r = append_write(s, seg, bytes);
    if (r < 0) {
        if (seg->state == SEG_ACTIVE)
            seg->chunk_count = chunks; /* no room: it stays open and grows */
        else
            index_free(seg);
        return r;
    }
    /* The zeros behind it are cut off: the trailer must stand at the end of the file. */
    r = seg->ahead > seg->end ? vfs_truncate(seg->file, seg->end) : 0;
    if (r == 0)
        r = seg_flush(s, seg);
    else
        seg_failed(s, seg, r);
    if (r < 0)
        return r;
    seg->state = SEG_SEALED;
    if (seg->dir->active == seg)
        seg->dir->active = NULL;
    index_free(seg);
    seg_emit(s, seg, SPOOL_EVENT_SEALED, before, seg->end, 0);
    return 0;
}
