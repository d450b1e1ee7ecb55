/* A file of notes made by a stranger. The first byte chooses: the rest is the file as it is, or
 * what stands behind a sound head and checksum. It is opened, changed and written; what is read
 * again is what was there. */
#include "base/crc32c.h"
#include "base/must.h"
#include "base/wire.h"
#include "notes/notes.h"
#include "vfs/vfs_faulty.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const dirs[] = { "/s" };
enum { HEAD_BYTES = 24, CRC_AT = 20 };

static void put_file(struct vfs *v, struct span in)
{
    struct vfs_file *f;
    struct buf b;
    buf_init(&b, 1 << 24);
    if (in.n && in.p[0] & 1) {
        buf_puts(&b, span_from(in, 1));
    } else {
        buf_putz(&b, "PSTNNOT1");
        wire_put_u64(&b, 7);
        wire_put_u32(&b, in.n > 1 ? (uint8_t)in.p[1] : 0);
        wire_put_u32(&b, 0);
        buf_puts(&b, span_from(in, 2));
        char *p = b.mem + b.off;
        wire_set_u32(p + CRC_AT,
                     crc32c(crc32c(0, p, CRC_AT), p + HEAD_BYTES, b.len - HEAD_BYTES));
    }
    MUST(vfs_open(v, "/s/notes", VFS_WRITE | VFS_CREATE, &f) == 0);
    MUST(vfs_pwrite(f, b.mem ? b.mem + b.off : "", b.len, 0) == 0);
    vfs_close(&f);
    buf_free(&b);
}

static void sum(void *ctx, struct span key, struct span value)
{
    MUST(key.n && key.n <= NOTES_KEY_MAX && value.n <= NOTES_VALUE_MAX);
    *(uint64_t *)ctx += crc32c(crc32c(0, key.p, key.n), value.p, value.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct vfs *v = vfs_faulty(1);
    struct err e;
    unsigned damaged;
    uint64_t before = 0, after = 0;
    MUST(vfs_mkdir(v, "/s") == 0);
    put_file(v, span_of(data, n));
    struct notes *s = notes_open(v, dirs, 1, 1, 1, &damaged, &e);
    notes_set(s, SPAN("k"), SPAN("v"));
    notes_drop_all(s, SPAN("alarm "));
    notes_each(s, SPAN_NONE, sum, &before);
    MUST(notes_flush(s) == 0);
    notes_free(&s);
    s = notes_open(v, dirs, 1, 1, 1, &damaged, &e);
    notes_each(s, SPAN_NONE, sum, &after);
    MUST(!damaged && before == after);
    notes_free(&s);
    vfs_free(&v);
    return 0;
}
