/* A spool made by a stranger. The first byte chooses: the rest is a segment file as it is, or
 * the types and metas of records that get sound heads around them (so that the fuzzer reaches
 * what stands behind the checksums). It is opened, read, compacted and checked; nothing may
 * break, and a second opening must agree with the first. */
#include "base/crc32c.h"
#include "base/must.h"
#include "spool/format.h"
#include "vfs/vfs_faulty.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const dirs[] = { "/s" };
enum { GEN = 1, SALT = 7 };

/* Records: type, length of the meta and of the body (two bytes each), then both. */
static void put_records(struct buf *b, struct span in)
{
    static const char zeros[8];
    char head[SEG_HEAD_BYTES];
    seg_head_put(head, &(struct seg_head){ GEN, SALT, 100, 0 });
    buf_put(b, head, sizeof head);
    while (in.n >= 5) {
        struct rec r = { .off = b->len, .type = (uint8_t)in.p[0] % 12 };
        size_t meta = (uint8_t)in.p[1] | (size_t)(uint8_t)in.p[2] << 8;
        size_t body = (uint8_t)in.p[3] | (size_t)(uint8_t)in.p[4] << 8;
        in = span_from(in, 5);
        struct span m = span_to(in, meta), c = span_to(span_from(in, meta), body);
        in = span_from(in, meta + body);
        r.head_len = (uint32_t)m.n;
        r.body_len = c.n;
        r.body_crc = crc32c(0, c.p, c.n);
        buf_put(b, zeros, 8);
        buf_put(b, zeros, 8);
        buf_put(b, zeros, 8);
        buf_put(b, zeros, 8);
        buf_puts(b, m);
        rec_close(b->mem + b->off + r.off, &r, rec_tag(SALT, GEN, r.off));
        buf_puts(b, c);
        buf_put(b, zeros, REC_ALIGN(b->len) - b->len);
    }
}

static void put_file(struct vfs *v, struct span in)
{
    struct vfs_file *f;
    struct buf b;
    buf_init(&b, 1 << 24);
    if (in.n && in.p[0] & 1)
        buf_puts(&b, span_from(in, 1));
    else
        put_records(&b, span_from(in, 1));
    MUST(vfs_open(v, "/s/0000000000000001.seg", VFS_WRITE | VFS_CREATE, &f) == 0);
    MUST(vfs_pwrite(f, b.mem ? b.mem + b.off : "", b.len, 0) == 0);
    vfs_close(&f);
    buf_free(&b);
}

static void look(void *ctx, uint64_t seq)
{
    struct spool *s = ctx;
    struct arena *a = arena_new(1 << 22);
    struct envelope e;
    struct spool_outcome *list;
    size_t n;
    char text[512];
    spool_read(s, seq, 0, text, sizeof text);
    spool_verify(s, seq);
    spool_envelope(s, seq, a, &e, NULL);
    spool_outcomes(s, seq, a, &list, &n);
    arena_free(&a);
}

static struct spool *reopen(struct vfs *v, bool read_only)
{
    struct spool_config c = { .directories = dirs, .directory_count = 1, .salt = SALT,
                              .segment_size_bytes = 16384, .free_min_bytes = 1,
                              .reserve_bytes = 1, .read_only = read_only };
    struct spool *s;
    struct err err;
    return spool_open(v, &c, NULL, 1, &s, &err) == 0 ? s : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct vfs *v = vfs_faulty(1);
    put_file(v, span_of(data, n));
    struct spool *s = reopen(v, true);
    uint64_t messages = s ? spool_stat(s).messages : 0;
    spool_close(&s);
    s = reopen(v, false);
    MUST(s && spool_stat(s).messages == messages);
    spool_each(s, look, s);
    for (int i = 0; i < 50 && spool_compact(s, i, 4096) == 1; i++)
        ;
    spool_each(s, look, s);
    spool_close(&s);
    s = reopen(v, false);
    MUST(s && spool_stat(s).messages == messages);
    spool_close(&s);
    vfs_free(&v);
    return 0;
}
