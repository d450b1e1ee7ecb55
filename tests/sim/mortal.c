/* A process that is killed writes nothing any more, whatever its memory is freed through: this
 * layer between one life of qmgr and the disk makes that so. */
#include "world.h"

#include "base/list.h"
#include "base/must.h"
#include "vfs/inside.h"

#include <errno.h>
#include <stdlib.h>

struct mortal {
    struct vfs base;
    struct vfs *under;
    bool dead;
};

struct mortal_file {
    struct vfs_file base;
    struct vfs_file *under;
};

static struct mortal *of(struct vfs *v) { return CONTAINER(v, struct mortal, base); }
static struct vfs_file *under(struct vfs_file *f)
{
    return CONTAINER(f, struct mortal_file, base)->under;
}
static bool dead(const struct vfs_file *f) { return of(f->vfs)->dead; }

static int wrap(struct vfs *v, int r, struct vfs_file *file, struct vfs_file **file_r)
{
    if (r < 0)
        return r;
    struct mortal_file *f = NEW(struct mortal_file);
    f->base.vfs = v;
    f->under = file;
    *file_r = &f->base;
    return r;
}

static int mortal_open(struct vfs *v, const char *path, int flags, struct vfs_file **file_r)
{
    struct vfs_file *file = NULL;
    int r = of(v)->dead ? -EIO : vfs_open(of(v)->under, path, flags, &file);
    return wrap(v, r, file, file_r);
}

static int mortal_lock(struct vfs *v, const char *path, struct vfs_file **lock_r)
{
    struct vfs_file *file = NULL;
    int r = of(v)->dead ? -EIO : vfs_lock(of(v)->under, path, &file);
    return wrap(v, r, file, lock_r);
}

static void mortal_close(struct vfs_file *f)
{
    struct mortal_file *m = CONTAINER(f, struct mortal_file, base);
    vfs_close(&m->under);
    free(m);
}

static ssize_t mortal_pread(struct vfs_file *f, void *to, size_t n, uint64_t off)
{
    return dead(f) ? -EIO : under(f)->vfs->ops->pread(under(f), to, n, off);
}

static ssize_t mortal_pwritev(struct vfs_file *f, const struct iovec *iov, int n, uint64_t off)
{
    return dead(f) ? -EIO : under(f)->vfs->ops->pwritev(under(f), iov, n, off);
}

static int mortal_fdatasync(struct vfs_file *f) { return dead(f) ? -EIO : vfs_fdatasync(under(f)); }

static int mortal_reserve(struct vfs_file *f, uint64_t off, uint64_t n)
{
    return dead(f) ? -EIO : vfs_reserve(under(f), off, n);
}

static int mortal_truncate(struct vfs_file *f, uint64_t size)
{
    return dead(f) ? -EIO : vfs_truncate(under(f), size);
}

static int64_t mortal_size(struct vfs_file *f) { return dead(f) ? -EIO : vfs_size(under(f)); }

static int mortal_rename(struct vfs *v, const char *from, const char *to)
{
    return of(v)->dead ? -EIO : vfs_rename(of(v)->under, from, to);
}

static int mortal_unlink(struct vfs *v, const char *path)
{
    return of(v)->dead ? -EIO : vfs_unlink(of(v)->under, path);
}

static int mortal_mkdir(struct vfs *v, const char *path)
{
    return of(v)->dead ? -EIO : vfs_mkdir(of(v)->under, path);
}

static int mortal_sync_dir(struct vfs *v, const char *path)
{
    return of(v)->dead ? -EIO : vfs_sync_dir(of(v)->under, path);
}

static int mortal_list(struct vfs *v, const char *path, vfs_name_fn *fn, void *ctx)
{
    return of(v)->dead ? -EIO : vfs_list(of(v)->under, path, fn, ctx);
}

static int mortal_space(struct vfs *v, const char *path, struct vfs_space *space_r)
{
    return of(v)->dead ? -EIO : vfs_space(of(v)->under, path, space_r);
}

static void mortal_free(struct vfs *v) { free(of(v)); }

struct vfs *mortal_new(struct vfs *disk)
{
    static const struct vfs_ops ops = {
        .open = mortal_open, .close = mortal_close, .pread = mortal_pread,
        .pwritev = mortal_pwritev, .fdatasync = mortal_fdatasync, .reserve = mortal_reserve,
        .truncate = mortal_truncate, .size = mortal_size, .rename = mortal_rename,
        .unlink = mortal_unlink, .mkdir = mortal_mkdir, .sync_dir = mortal_sync_dir,
        .list = mortal_list, .space = mortal_space, .lock = mortal_lock, .free = mortal_free,
    };
    struct mortal *m = NEW(struct mortal);
    m->base.ops = &ops;
    m->under = disk;
    return &m->base;
}

void mortal_die(struct vfs *v) { of(v)->dead = true; }
