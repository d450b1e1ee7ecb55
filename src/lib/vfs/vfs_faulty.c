#include "vfs/vfs_faulty.h"

#include "base/list.h"
#include "base/must.h"
#include "vfs/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { SECTOR = 512, BLOCK = 4096 };

struct bytes {
    char *p;
    uint64_t n, cap;
};

/* One write (or, with no data, one truncate to `off`) that is not on the disk yet. */
struct dirty {
    uint64_t off;
    size_t n;
    char *data;
};

struct inode {
    struct inode *next;
    struct bytes cache, disk;
    struct dirty *dirty;
    size_t dirty_count, dirty_cap;
    uint64_t reserved;
    int names, opens; /* current names, open files */
    bool locked;
};

struct name {
    char *path;
    struct inode *inode;
};

struct names {
    struct name *list;
    size_t n, cap;
};

struct dir_op {
    enum { OP_CREATE, OP_RENAME, OP_UNLINK } kind;
    char *path, *to;
    struct inode *inode;
};

struct faulty {
    struct vfs base;
    struct inode *inodes;
    struct names now, disk;
    struct dir_op *ops;
    size_t op_count, op_cap;
    uint64_t rng, counter, fault_at, capacity;
    enum vfs_fault fault;
    char *broken, *blind;
    bool crashed, lie;
    void (*on_flush)(void *ctx);
    void *on_flush_ctx;
};

struct file {
    struct vfs_file base;
    struct inode *inode;
    char *path;
    bool lock;
};

static struct faulty *of(struct vfs *v) { return CONTAINER(v, struct faulty, base); }
static struct file *file_of(struct vfs_file *f) { return CONTAINER(f, struct file, base); }

static uint64_t next_random(struct faulty *v)
{
    uint64_t z = v->rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool coin(struct faulty *v) { return next_random(v) & 1; }

/* --- bytes --- */

static void bytes_resize(struct bytes *b, uint64_t n)
{
    if (n > b->cap) {
        b->cap = n < 4096 ? 4096 : n + n / 2;
        b->p = must_realloc(b->p, b->cap);
    }
    if (n > b->n)
        memset(b->p + b->n, 0, n - b->n);
    b->n = n;
}

static void bytes_put(struct bytes *b, uint64_t off, const char *p, size_t n)
{
    if (off + n > b->n)
        bytes_resize(b, off + n);
    if (n)
        memcpy(b->p + off, p, n);
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
    to->n = 0;
    bytes_resize(to, from->n);
    if (from->n)
        memcpy(to->p, from->p, from->n);
}

/* --- names --- */

static struct name *find(struct names *l, const char *path)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->list[i].path, path) == 0)
            return &l->list[i];
    return NULL;
}

static void drop(struct names *l, const char *path)
{
    struct name *e = find(l, path);
    if (!e)
        return;
    e->inode->names--;
    free(e->path);
    *e = l->list[--l->n];
}

static void link_name(struct names *l, const char *path, struct inode *inode)
{
    drop(l, path);
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 16;
        l->list = must_realloc(l->list, must_mul(l->cap, sizeof *l->list));
    }
    l->list[l->n++] = (struct name){ must_strndup(path, strlen(path)), inode };
    inode->names++;
}

static void apply_dir_op(struct names *l, const struct dir_op *op)
{
    struct name *e = find(l, op->path);
    if (op->kind == OP_CREATE) {
        link_name(l, op->path, op->inode);
    } else if (e && op->kind == OP_UNLINK) {
        drop(l, op->path);
    } else if (e) {
        struct inode *inode = e->inode;
        link_name(l, op->to, inode);
        drop(l, op->path);
    }
}

static void add_dir_op(struct faulty *v, int kind, const char *path, const char *to,
                       struct inode *inode)
{
    if (v->op_count == v->op_cap) {
        v->op_cap = v->op_cap ? 2 * v->op_cap : 16;
        v->ops = must_realloc(v->ops, must_mul(v->op_cap, sizeof *v->ops));
    }
    struct dir_op *op = &v->ops[v->op_count++];
    *op = (struct dir_op){ .path = must_strndup(path, strlen(path)), .inode = inode };
    op->kind = kind;
    if (to)
        op->to = must_strndup(to, strlen(to));
    if (inode)
        inode->names++; /* held by the pending entry */
    apply_dir_op(&v->now, op);
}

static void free_dir_op(struct dir_op *op)
{
    if (op->inode)
        op->inode->names--;
    free(op->path);
    free(op->to);
}

/* --- inodes --- */

static void clear_dirty(struct inode *inode)
{
    for (size_t i = 0; i < inode->dirty_count; i++)
        free(inode->dirty[i].data);
    inode->dirty_count = 0;
}

static void add_dirty(struct inode *inode, uint64_t off, const char *p, size_t n)
{
    if (inode->dirty_count == inode->dirty_cap) {
        inode->dirty_cap = inode->dirty_cap ? 2 * inode->dirty_cap : 8;
        inode->dirty = must_realloc(inode->dirty, must_mul(inode->dirty_cap, sizeof(struct dirty)));
    }
    char *copy = NULL;
    if (p) {
        copy = must_alloc(n);
        memcpy(copy, p, n);
    }
    inode->dirty[inode->dirty_count++] = (struct dirty){ off, n, copy };
}

static void apply_dirty(struct inode *inode, const struct dirty *d)
{
    if (d->data)
        bytes_put(&inode->disk, d->off, d->data, d->n);
    else
        bytes_resize(&inode->disk, d->off);
}

static void reap(struct faulty *v)
{
    for (struct inode **at = &v->inodes; *at;) {
        struct inode *inode = *at;
        if (inode->names || inode->opens) {
            at = &inode->next;
            continue;
        }
        *at = inode->next;
        clear_dirty(inode);
        free(inode->dirty);
        free(inode->cache.p);
        free(inode->disk.p);
        free(inode);
    }
}

static bool has_name(const struct faulty *v, const struct inode *inode)
{
    for (size_t i = 0; i < v->now.n; i++)
        if (v->now.list[i].inode == inode)
            return true;
    return false;
}

static uint64_t used_bytes(const struct faulty *v)
{
    uint64_t sum = 0;
    for (const struct inode *i = v->inodes; i; i = i->next) {
        if (!i->opens && !has_name(v, i))
            continue; /* unlinked, kept only for the case of a crash */
        uint64_t n = i->cache.n > i->reserved ? i->cache.n : i->reserved;
        sum += (n + BLOCK - 1) / BLOCK * BLOCK;
    }
    return sum;
}

/* --- faults --- */

/* Counts an operation and tells what happens to it: 0, or -errno, or 1 for a crash or a short
 * write, where the caller acts by v->fault. */
static int step(struct faulty *v, const char *path)
{
    if (v->crashed)
        return -EIO;
    v->counter++;
    if (v->broken && strncmp(path, v->broken, strlen(v->broken)) == 0)
        return -EIO;
    if (v->fault == FAULT_NONE || v->counter != v->fault_at)
        return 0;
    if (v->fault == FAULT_CRASH)
        v->crashed = true;
    return v->fault == FAULT_EIO ? -EIO : v->fault == FAULT_ENOSPC ? -ENOSPC : 1;
}

/* --- the calls --- */

static int faulty_open(struct vfs *base, const char *path, int flags, struct vfs_file **file_r)
{
    struct faulty *v = of(base);
    if (v->crashed)
        return -EIO;
    struct name *e = find(&v->now, path);
    if (e && (flags & VFS_CREATE) && (flags & VFS_EXCL))
        return -EEXIST;
    struct inode *inode = e ? e->inode : NULL;
    if (!inode) {
        if (!(flags & VFS_CREATE))
            return -ENOENT;
        int r = step(v, path);
        if (r < 0)
            return r;
        if (v->capacity && used_bytes(v) >= v->capacity)
            return -ENOSPC;
        inode = NEW(struct inode);
        inode->next = v->inodes;
        v->inodes = inode;
        add_dir_op(v, OP_CREATE, path, NULL, inode);
        if (v->crashed)
            return -EIO;
    }
    struct file *f = NEW(struct file);
    *f = (struct file){ { base }, inode, must_strndup(path, strlen(path)), false };
    inode->opens++;
    *file_r = &f->base;
    return 0;
}

static void faulty_close(struct vfs_file *base)
{
    struct file *f = file_of(base);
    f->inode->opens--;
    if (f->lock)
        f->inode->locked = false;
    reap(of(base->vfs));
    free(f->path);
    free(f);
}

static ssize_t faulty_pread(struct vfs_file *base, void *to, size_t n, uint64_t off)
{
    const struct bytes *b = &file_of(base)->inode->cache;
    const char *blind = of(base->vfs)->blind;
    if (of(base->vfs)->crashed ||
        (blind && strncmp(file_of(base)->path, blind, strlen(blind)) == 0))
        return -EIO;
    if (off >= b->n)
        return 0;
    if (n > b->n - off)
        n = b->n - off;
    memcpy(to, b->p + off, n);
    return (ssize_t)n;
}

static bool fits(struct faulty *v, const struct inode *inode, uint64_t end)
{
    uint64_t have = inode->cache.n > inode->reserved ? inode->cache.n : inode->reserved;
    return !v->capacity || end <= have ||
           used_bytes(v) + (end - have + BLOCK - 1) / BLOCK * BLOCK <= v->capacity;
}

static ssize_t faulty_pwritev(struct vfs_file *base, const struct iovec *iov, int n, uint64_t off)
{
    struct faulty *v = of(base->vfs);
    struct inode *inode = file_of(base)->inode;
    int r = step(v, file_of(base)->path);
    if (r < 0)
        return r;
    size_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += iov[i].iov_len;
    char *flat = must_alloc(sum);
    for (size_t i = 0, at = 0; i < (size_t)n; at += iov[i++].iov_len)
        if (iov[i].iov_len)
            memcpy(flat + at, iov[i].iov_base, iov[i].iov_len);
    if (r == 1 && v->fault == FAULT_SHORT && sum > 1)
        sum = 1 + next_random(v) % (sum - 1);
    while (sum && !fits(v, inode, off + sum))
        sum = sum > BLOCK ? sum - BLOCK : 0;
    if (sum) {
        bytes_put(&inode->cache, off, flat, sum);
        add_dirty(inode, off, flat, sum);
    }
    free(flat);
    return v->crashed ? -EIO : sum ? (ssize_t)sum : -ENOSPC;
}

static void flush_all(struct inode *inode)
{
    for (size_t i = 0; i < inode->dirty_count; i++)
        apply_dirty(inode, &inode->dirty[i]);
    clear_dirty(inode);
}

/* After a failed flush the cache still shows what the disk may never get. */
static void lose_some(struct faulty *v, struct inode *inode)
{
    for (size_t i = 0; i < inode->dirty_count; i++)
        if (coin(v))
            apply_dirty(inode, &inode->dirty[i]);
    clear_dirty(inode);
}

static int faulty_fdatasync(struct vfs_file *base)
{
    struct faulty *v = of(base->vfs);
    struct inode *inode = file_of(base)->inode;
    int r = step(v, file_of(base)->path);
    if (v->on_flush)
        v->on_flush(v->on_flush_ctx);
    if (v->crashed) {
        if (r == 1 && coin(v))
            flush_all(inode);
        return -EIO;
    }
    if (r < 0) {
        lose_some(v, inode);
        return r;
    }
    if (!v->lie)
        flush_all(inode);
    return 0;
}

static int faulty_reserve(struct vfs_file *base, uint64_t off, uint64_t n)
{
    struct faulty *v = of(base->vfs);
    struct inode *inode = file_of(base)->inode;
    if (v->crashed)
        return -EIO;
    if (!fits(v, inode, off + n))
        return -ENOSPC;
    if (off + n > inode->reserved)
        inode->reserved = off + n;
    return 0;
}

static int faulty_truncate(struct vfs_file *base, uint64_t size)
{
    struct faulty *v = of(base->vfs);
    struct inode *inode = file_of(base)->inode;
    int r = step(v, file_of(base)->path);
    if (r < 0)
        return r;
    bytes_resize(&inode->cache, size);
    add_dirty(inode, size, NULL, 0);
    if (inode->reserved > size)
        inode->reserved = size;
    return v->crashed ? -EIO : 0;
}

static int64_t faulty_size(struct vfs_file *base)
{
    return of(base->vfs)->crashed ? -EIO : (int64_t)file_of(base)->inode->cache.n;
}

static int faulty_rename(struct vfs *base, const char *from, const char *to)
{
    struct faulty *v = of(base);
    int r = step(v, from);
    if (r < 0)
        return r;
    if (!find(&v->now, from))
        return -ENOENT;
    add_dir_op(v, OP_RENAME, from, to, NULL);
    return v->crashed ? -EIO : 0;
}

static int faulty_unlink(struct vfs *base, const char *path)
{
    struct faulty *v = of(base);
    int r = step(v, path);
    if (r < 0)
        return r;
    if (!find(&v->now, path))
        return -ENOENT;
    add_dir_op(v, OP_UNLINK, path, NULL, NULL);
    reap(v);
    return v->crashed ? -EIO : 0;
}

static int faulty_mkdir(struct vfs *base, const char *path)
{
    (void)path;
    return of(base)->crashed ? -EIO : 0;
}

static bool is_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static int faulty_sync_dir(struct vfs *base, const char *path)
{
    struct faulty *v = of(base);
    int r = step(v, path);
    if (v->on_flush)
        v->on_flush(v->on_flush_ctx);
    if (r < 0)
        return r;
    if (v->lie || (v->crashed && coin(v)))
        return v->crashed ? -EIO : 0;
    size_t left = 0;
    for (size_t i = 0; i < v->op_count; i++) {
        if (!is_in(v->ops[i].path, path)) {
            v->ops[left++] = v->ops[i];
            continue;
        }
        apply_dir_op(&v->disk, &v->ops[i]);
        free_dir_op(&v->ops[i]);
    }
    v->op_count = left;
    reap(v);
    return v->crashed ? -EIO : 0;
}

static int faulty_list(struct vfs *base, const char *path, vfs_name_fn *fn, void *ctx)
{
    struct faulty *v = of(base);
    if (v->crashed)
        return -EIO;
    for (size_t i = 0; i < v->now.n; i++)
        if (is_in(v->now.list[i].path, path))
            fn(ctx, v->now.list[i].path + strlen(path) + 1);
    return 0;
}

static int faulty_space(struct vfs *base, const char *path, struct vfs_space *space_r)
{
    struct faulty *v = of(base);
    (void)path;
    if (v->crashed)
        return -EIO;
    uint64_t used = used_bytes(v);
    *space_r = (struct vfs_space){ UINT64_MAX, UINT64_MAX };
    if (v->capacity)
        space_r->free_bytes = used < v->capacity ? v->capacity - used : 0;
    return 0;
}

static int faulty_lock(struct vfs *base, const char *path, struct vfs_file **lock_r)
{
    int r = faulty_open(base, path, VFS_WRITE | VFS_CREATE, lock_r);
    if (r < 0)
        return r;
    struct file *f = file_of(*lock_r);
    if (f->inode->locked) {
        vfs_close(lock_r);
        return -EWOULDBLOCK;
    }
    f->lock = f->inode->locked = true;
    return 0;
}

static void free_names(struct names *l)
{
    while (l->n)
        drop(l, l->list[0].path);
    free(l->list);
}

static void faulty_free(struct vfs *base)
{
    struct faulty *v = of(base);
    for (size_t i = 0; i < v->op_count; i++)
        free_dir_op(&v->ops[i]);
    free(v->ops);
    free_names(&v->now);
    free_names(&v->disk);
    reap(v);
    MUST(!v->inodes);
    free(v->broken);
    free(v->blind);
    free(v);
}

static const struct vfs_ops faulty_ops = {
    .open = faulty_open, .close = faulty_close, .pread = faulty_pread, .pwritev = faulty_pwritev,
    .fdatasync = faulty_fdatasync, .reserve = faulty_reserve, .truncate = faulty_truncate,
    .size = faulty_size, .rename = faulty_rename, .unlink = faulty_unlink, .mkdir = faulty_mkdir,
    .sync_dir = faulty_sync_dir, .list = faulty_list, .space = faulty_space, .lock = faulty_lock,
    .free = faulty_free,
};

struct vfs *vfs_faulty(uint64_t seed)
{
    struct faulty *v = NEW(struct faulty);
    v->base.ops = &faulty_ops;
    v->rng = seed;
    return &v->base;
}

/* --- reboot --- */

enum survival { KEEP_ALL, DROP_ALL, KEEP_PREFIX, KEEP_SOME, SHUFFLE, SURVIVALS };

/* A part of one write: a prefix, or any of its sectors, the rest as it was. */
static void tear(struct faulty *v, struct inode *inode, const struct dirty *d)
{
    if (!d->data)
        return;
    if (coin(v)) {
        struct dirty part = { d->off, next_random(v) % (d->n + 1), d->data };
        apply_dirty(inode, &part);
        return;
    }
    for (size_t at = 0; at < d->n;) {
        size_t n = SECTOR - (d->off + at) % SECTOR;
        if (n > d->n - at)
            n = d->n - at;
        struct dirty part = { d->off + at, n, d->data + at };
        if (coin(v))
            apply_dirty(inode, &part);
        at += n;
    }
}

/* A dropped write whose growth of the file was kept: old bytes of other files show there. */
static void leave_garbage(struct faulty *v, struct inode *inode, const struct dirty *d)
{
    uint64_t from = inode->disk.n;
    if (!d->data || d->off + d->n <= from)
        return;
    bytes_resize(&inode->disk, d->off + d->n);
    for (uint64_t i = from; i < inode->disk.n; i++)
        inode->disk.p[i] = (char)next_random(v);
}

static void survive_one(struct faulty *v, struct inode *inode, const struct dirty *d)
{
    switch (next_random(v) % 4) {
    case 0: apply_dirty(inode, d); break;
    case 1: tear(v, inode, d); break;
    case 2: leave_garbage(v, inode, d); break;
    default: break;
    }
}

static void shuffle(struct faulty *v, struct inode *inode)
{
    for (size_t i = inode->dirty_count; i > 1; i--) {
        size_t j = next_random(v) % i;
        struct dirty d = inode->dirty[i - 1];
        inode->dirty[i - 1] = inode->dirty[j];
        inode->dirty[j] = d;
    }
}

static void survive(struct faulty *v, struct inode *inode, enum survival mode)
{
    size_t keep = mode == KEEP_ALL ? inode->dirty_count : 0;
    if (mode == KEEP_PREFIX && inode->dirty_count)
        keep = next_random(v) % (inode->dirty_count + 1);
    if (mode == SHUFFLE)
        shuffle(v, inode);
    for (size_t i = 0; i < inode->dirty_count; i++) {
        if (i < keep)
            apply_dirty(inode, &inode->dirty[i]);
        else if (mode == KEEP_PREFIX && i == keep)
            tear(v, inode, &inode->dirty[i]);
        else if (mode == KEEP_SOME || mode == SHUFFLE)
            survive_one(v, inode, &inode->dirty[i]);
    }
    clear_dirty(inode);
    bytes_copy(&inode->cache, &inode->disk);
    inode->reserved = 0;
}

void vfs_faulty_reboot(struct vfs *base, uint64_t seed)
{
    struct faulty *v = of(base);
    v->rng = seed;
    enum survival mode = (enum survival)(next_random(v) % SURVIVALS);
    for (struct inode *i = v->inodes; i; i = i->next) {
        MUST(!i->opens);
        survive(v, i, mode);
    }
    size_t prefix = next_random(v) % (v->op_count + 1);
    bool by_prefix = coin(v);
    for (size_t i = 0; i < v->op_count; i++) {
        bool keep = mode == KEEP_ALL || (mode != DROP_ALL && (by_prefix ? i < prefix : coin(v)));
        if (keep)
            apply_dir_op(&v->disk, &v->ops[i]);
        free_dir_op(&v->ops[i]);
    }
    v->op_count = 0;
    while (v->now.n)
        drop(&v->now, v->now.list[0].path);
    for (size_t i = 0; i < v->disk.n; i++)
        link_name(&v->now, v->disk.list[i].path, v->disk.list[i].inode);
    reap(v);
    v->crashed = false;
    v->fault = FAULT_NONE;
    v->counter = 0;
}

/* --- knobs --- */

void vfs_faulty_plan(struct vfs *v, uint64_t op, enum vfs_fault fault)
{
    of(v)->fault_at = op;
    of(v)->fault = op ? fault : FAULT_NONE;
}

uint64_t vfs_faulty_ops(const struct vfs *v)
{
    return CONTAINER(v, const struct faulty, base)->counter;
}

bool vfs_faulty_crashed(const struct vfs *v)
{
    return CONTAINER(v, const struct faulty, base)->crashed;
}

void vfs_faulty_capacity(struct vfs *v, uint64_t bytes) { of(v)->capacity = bytes; }
void vfs_faulty_lie(struct vfs *v, bool lie) { of(v)->lie = lie; }

static void set_path(char **to, const char *path)
{
    free(*to);
    *to = path ? must_strndup(path, strlen(path)) : NULL;
}

void vfs_faulty_break(struct vfs *v, const char *path_prefix)
{
    set_path(&of(v)->broken, path_prefix);
}

void vfs_faulty_blind(struct vfs *v, const char *path_prefix)
{
    set_path(&of(v)->blind, path_prefix);
}

void vfs_faulty_on_flush(struct vfs *v, void (*fn)(void *ctx), void *ctx)
{
    of(v)->on_flush = fn;
    of(v)->on_flush_ctx = ctx;
}

bool vfs_faulty_flip(struct vfs *v, const char *path, uint64_t off, uint8_t mask)
{
    struct name *e = find(&of(v)->now, path);
    if (!e || off >= e->inode->cache.n)
        return false;
    e->inode->cache.p[off] ^= (char)mask;
    if (off < e->inode->disk.n)
        e->inode->disk.p[off] ^= (char)mask;
    return true;
}
