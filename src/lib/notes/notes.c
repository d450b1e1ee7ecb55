/* Notes on the disk. This is the specification of the file; it changes with the code.
 *
 *    0 "PSTNNOT1"   8 serial u64   16 number of notes u32   20 CRC32C of bytes 0..19 and of all
 *      from 24 on
 *   24 the notes: length u32 and bytes of the key, length u32 and bytes of the value
 *
 * Integers are little-endian; the file ends with the last note. Serials grow with every writing;
 * where a directory lacks the file, or it does not read, they go on from the time: it may come
 * back with more of them than the others have, and what is written meanwhile counts.
 * A file is written as `notes.new`, flushed, renamed to `notes`, and the directory flushed: a
 * crash leaves the old file or the new one, whole. Of several directories the highest serial
 * counts: at the instant a flush says 0 each of them has it, so that any one is enough. A note
 * exists when that file has it. Keys of other releases are kept. */
#include "notes/notes.h"

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/must.h"
#include "base/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 24, CRC_AT = 20, PATH_MAX_BYTES = 8192 };

#define MAGIC "PSTNNOT1"

struct note {
    struct hash_node node;
    size_t key_len, value_len;
    char bytes[]; /* key, value */
};

struct notes {
    struct vfs *vfs;
    char **dirs;
    bool *current; /* the directory has what memory has */
    size_t dir_count;
    struct hash by_key;
    uint64_t serial;
};

/* --- in memory --- */

static struct note *note_of(struct hash_node *n) { return CONTAINER(n, struct note, node); }

static struct span key_of(const struct note *t) { return span_of(t->bytes, t->key_len); }

static struct span value_of(const struct note *t)
{
    return span_of(t->bytes + t->key_len, t->value_len);
}

static void changed(struct notes *n)
{
    memset(n->current, 0, n->dir_count * sizeof *n->current);
}

static void forget(struct notes *n, struct note *t)
{
    hash_remove(&n->by_key, &t->node);
    free(t);
}

bool notes_find(const struct notes *n, struct span key, struct span *key_r, struct span *value_r)
{
    struct hash_node *node = hash_get(&n->by_key, key);
    if (!node)
        return false;
    *key_r = node->key;
    *value_r = value_of(note_of(node));
    return true;
}

bool notes_set(struct notes *n, struct span key, struct span value)
{
    struct hash_node *old = hash_get(&n->by_key, key);
    if (!key.n || key.n > NOTES_KEY_MAX || value.n > NOTES_VALUE_MAX ||
        (!old && n->by_key.n >= NOTES_COUNT_MAX))
        return false;
    if (old && span_eq(value_of(note_of(old)), value))
        return true;
    struct note *t = must_alloc(must_add(sizeof *t, must_add(key.n, value.n)));
    t->key_len = key.n;
    t->value_len = value.n;
    memcpy(t->bytes, key.p, key.n);
    if (value.n)
        memcpy(t->bytes + key.n, value.p, value.n);
    if (old)
        forget(n, note_of(old));
    MUST(hash_add(&n->by_key, &t->node, key_of(t)));
    changed(n);
    return true;
}

bool notes_drop(struct notes *n, struct span key)
{
    struct hash_node *node = hash_get(&n->by_key, key);
    if (!node)
        return false;
    forget(n, note_of(node));
    changed(n);
    return true;
}

void notes_drop_all(struct notes *n, struct span prefix)
{
    struct hash_node *h = hash_next(&n->by_key, NULL), *next;
    for (; h; h = next) {
        next = hash_next(&n->by_key, h);
        if (!span_starts(h->key, prefix))
            continue;
        forget(n, note_of(h));
        changed(n);
    }
}

void notes_each(const struct notes *n, struct span prefix,
                void (*fn)(void *ctx, struct span key, struct span value), void *ctx)
{
    for (struct hash_node *h = NULL; (h = hash_next(&n->by_key, h)) != NULL;)
        if (span_starts(h->key, prefix))
            fn(ctx, h->key, value_of(note_of(h)));
}

static void count_one(void *ctx, struct span key, struct span value)
{
    (void)key;
    (void)value;
    ++*(size_t *)ctx;
}

size_t notes_count(const struct notes *n, struct span prefix)
{
    size_t count = 0;
    notes_each(n, prefix, count_one, &count);
    return count;
}

static void clear(struct notes *n)
{
    for (struct hash_node *h; (h = hash_next(&n->by_key, NULL)) != NULL;)
        forget(n, note_of(h));
}

/* --- the file --- */

static char *path_of(const char *dir, const char *name)
{
    struct buf b;
    buf_init(&b, PATH_MAX_BYTES);
    buf_printf(&b, "%s/%s", dir, name);
    char *path = must_strndup(buf_cstr(&b), b.len);
    buf_free(&b);
    return path;
}

static uint32_t checksum(struct span file)
{
    return crc32c(crc32c(0, file.p, CRC_AT), file.p + HEAD_BYTES, file.n - HEAD_BYTES);
}

static void encode(const struct notes *n, uint64_t serial, struct buf *b)
{
    buf_putz(b, MAGIC);
    wire_put_u64(b, serial);
    wire_put_u32(b, (uint32_t)n->by_key.n);
    wire_put_u32(b, 0);
    for (struct hash_node *h = NULL; (h = hash_next(&n->by_key, h)) != NULL;) {
        wire_put_bytes(b, h->key);
        wire_put_bytes(b, value_of(note_of(h)));
    }
    if (!b->failed)
        wire_set_u32(b->mem + b->off + CRC_AT, checksum(buf_span(b)));
}

static bool head_get(struct span file, uint64_t *serial_r)
{
    if (file.n < HEAD_BYTES || !span_starts(file, SPAN(MAGIC)) ||
        wire_peek_u32(file.p + CRC_AT) != checksum(file))
        return false;
    *serial_r = wire_peek_u64(file.p + 8);
    return true;
}

static void decode(struct notes *n, struct span file)
{
    uint32_t count = wire_peek_u32(file.p + 16);
    struct wire w = wire_reader(span_from(file, HEAD_BYTES));
    clear(n);
    for (uint32_t i = 0; i < count && !w.bad; i++) {
        struct span key = wire_get_bytes(&w, NOTES_KEY_MAX);
        struct span value = wire_get_bytes(&w, NOTES_VALUE_MAX);
        if (!w.bad)
            notes_set(n, key, value);
    }
}

/* The whole file in `b`: 0, -ENOENT, -errno. */
static int read_file(struct vfs *vfs, const char *path, struct buf *b)
{
    struct vfs_file *f = NULL;
    int r = vfs_open(vfs, path, 0, &f);
    if (r < 0)
        return r;
    int64_t size = vfs_size(f);
    char *to = size > 0 && size <= NOTES_BYTES_MAX ? buf_space(b, (size_t)size) : NULL;
    ssize_t got = size < 0 ? (ssize_t)size : to ? vfs_pread(f, to, (size_t)size, 0) : 0;
    if (got > 0)
        buf_added(b, (size_t)got);
    vfs_close(&f);
    return got < 0 ? (int)got : 0;
}

static int write_file(struct vfs *vfs, const char *dir, struct span bytes)
{
    char *new = path_of(dir, "notes.new"), *path = path_of(dir, "notes");
    struct vfs_file *f = NULL;
    int r = vfs_open(vfs, new, VFS_WRITE | VFS_CREATE, &f);
    if (r == 0)
        r = vfs_truncate(f, 0); /* one that a crash left */
    if (r == 0)
        r = vfs_pwrite(f, bytes.p, bytes.n, 0);
    if (r == 0)
        r = vfs_fdatasync(f);
    vfs_close(&f);
    if (r == 0)
        r = vfs_rename(vfs, new, path);
    if (r == 0)
        r = vfs_sync_dir(vfs, dir);
    free(new);
    free(path);
    return r;
}

/* --- open, flush --- */

/* False: what is there is of no use. Serial 0: nothing is there. */
static bool load(struct notes *n, const char *dir, uint64_t *serial_r, struct err *err)
{
    char *path = path_of(dir, "notes"), *aside = path_of(dir, "notes.damaged");
    struct buf b;
    buf_init(&b, NOTES_BYTES_MAX);
    *serial_r = 0;
    int r = read_file(n->vfs, path, &b);
    bool good = r == -ENOENT || (r == 0 && head_get(buf_span(&b), serial_r));
    if (!good) {
        if (!err->text[0])
            err_set(err, "%s: %s", path, r < 0 ? strerror(-r) : "damaged; kept as notes.damaged");
        vfs_rename(n->vfs, path, aside);
    } else if (*serial_r > n->serial) {
        decode(n, buf_span(&b));
        n->serial = *serial_r;
    }
    buf_free(&b);
    free(path);
    free(aside);
    return good;
}

static void tell_absent(const struct notes *n, const uint64_t *serials, struct err *err)
{
    for (size_t i = 0; n->serial && i < n->dir_count && !err->text[0]; i++)
        if (!serials[i])
            err_set(err, "%s/notes: not there, though other directories have it", n->dirs[i]);
}

/* No directory that is away has a higher serial, unless the clock was set back since it went. */
static void pass_those_away(struct notes *n, const uint64_t *serials, int64_t now_ms)
{
    enum { PER_MS = 1024 };
    bool away = false;
    for (size_t i = 0; i < n->dir_count; i++)
        away |= serials[i] == 0;
    if (away && now_ms > 0 && (uint64_t)now_ms * PER_MS > n->serial)
        n->serial = (uint64_t)now_ms * PER_MS;
}

struct notes *notes_open(struct vfs *vfs, const char *const *directories, size_t n, uint64_t seed,
                         int64_t now_ms, unsigned *damaged_r, struct err *err)
{
    struct notes *s = NEW(struct notes);
    uint64_t *serials = must_calloc(n + 1, sizeof *serials);
    s->vfs = vfs;
    s->dirs = must_calloc(n + 1, sizeof *s->dirs);
    s->current = must_calloc(n + 1, sizeof *s->current);
    s->dir_count = n;
    hash_init(&s->by_key, seed, NOTES_COUNT_MAX);
    *damaged_r = 0;
    err->text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        s->dirs[i] = must_strndup(directories[i], strlen(directories[i]));
        *damaged_r += !load(s, s->dirs[i], &serials[i], err);
    }
    /* A crash may have come between rename and flush of the directory: what is not known to be
     * there to stay is written again by the next flush. */
    for (size_t i = 0; i < n; i++)
        s->current[i] = s->serial == 0;
    tell_absent(s, serials, err);
    pass_those_away(s, serials, now_ms);
    free(serials);
    return s;
}

int notes_check(struct vfs *vfs, const char *directory)
{
    char *path = path_of(directory, "notes");
    struct buf b;
    uint64_t serial;
    buf_init(&b, NOTES_BYTES_MAX);
    int r = read_file(vfs, path, &b);
    if (r == -ENOENT)
        r = 0;
    else if (r == 0 && !head_get(buf_span(&b), &serial))
        r = -EILSEQ;
    buf_free(&b);
    free(path);
    return r;
}

void notes_free(struct notes **np)
{
    struct notes *n = *np;
    if (!n)
        return;
    clear(n);
    hash_free(&n->by_key);
    for (size_t i = 0; i < n->dir_count; i++)
        free(n->dirs[i]);
    free(n->dirs);
    free(n->current);
    free(n);
    *np = NULL;
}

bool notes_dirty(const struct notes *n)
{
    for (size_t i = 0; i < n->dir_count; i++)
        if (!n->current[i])
            return true;
    return false;
}

int notes_flush(struct notes *n)
{
    if (!notes_dirty(n))
        return 0;
    struct buf b;
    buf_init(&b, NOTES_BYTES_MAX);
    encode(n, ++n->serial, &b);
    int error = b.failed ? -E2BIG : -EIO, lack = 0;
    bool some = false;
    for (size_t i = 0; i < n->dir_count && !b.failed; i++) {
        int r = write_file(n->vfs, n->dirs[i], buf_span(&b));
        n->current[i] = r == 0;
        some |= r == 0;
        lack += r < 0;
        error = r < 0 ? r : error;
    }
    buf_free(&b);
    return some ? lack : error;
}
