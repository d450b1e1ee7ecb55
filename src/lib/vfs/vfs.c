#include "vfs/vfs.h"

#include "vfs/inside.h"

#include <errno.h>
#include <limits.h>

int vfs_open(struct vfs *v, const char *path, int flags, struct vfs_file **file_r)
{
    *file_r = NULL;
    return v->ops->open(v, path, flags, file_r);
}

void vfs_close(struct vfs_file **f)
{
    if (!*f)
        return;
    (*f)->vfs->ops->close(*f);
    *f = NULL;
}

ssize_t vfs_pread(struct vfs_file *f, void *to, size_t n, uint64_t off)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = f->vfs->ops->pread(f, (char *)to + done, n - done, off + done);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Drops `done` written bytes from the front of the pieces. */
static void take(struct iovec **iov, size_t *n, size_t done)
{
    while (*n && done >= (*iov)->iov_len) {
        done -= (*iov)->iov_len;
        ++*iov;
        --*n;
    }
    if (done) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + done;
        (*iov)->iov_len -= done;
    }
}

int vfs_pwritev(struct vfs_file *f, struct iovec *iov, size_t n, uint64_t off)
{
    take(&iov, &n, 0);
    while (n) {
        int count = n > IOV_MAX ? IOV_MAX : (int)n;
        ssize_t wrote = f->vfs->ops->pwritev(f, iov, count, off);
        if (wrote < 0)
            return (int)wrote;
        if (wrote == 0)
            return -EIO;
        off += (uint64_t)wrote;
        take(&iov, &n, (size_t)wrote);
    }
    return 0;
}

int vfs_pwrite(struct vfs_file *f, const void *p, size_t n, uint64_t off)
{
    struct iovec iov = { (void *)(uintptr_t)p, n };
    return vfs_pwritev(f, &iov, 1, off);
}

int vfs_fdatasync(struct vfs_file *f) { return f->vfs->ops->fdatasync(f); }

void vfs_start_writing(struct vfs_file *f, uint64_t off, uint64_t n)
{
    if (f->vfs->ops->start_writing)
        f->vfs->ops->start_writing(f, off, n);
}


int vfs_reserve(struct vfs_file *f, uint64_t off, uint64_t n)
{
    return f->vfs->ops->reserve(f, off, n);
}

int vfs_truncate(struct vfs_file *f, uint64_t size) { return f->vfs->ops->truncate(f, size); }
int64_t vfs_size(struct vfs_file *f) { return f->vfs->ops->size(f); }

int vfs_rename(struct vfs *v, const char *from, const char *to)
{
    return v->ops->rename(v, from, to);
}

int vfs_unlink(struct vfs *v, const char *path) { return v->ops->unlink(v, path); }
int vfs_mkdir(struct vfs *v, const char *path) { return v->ops->mkdir(v, path); }
int vfs_sync_dir(struct vfs *v, const char *path) { return v->ops->sync_dir(v, path); }

int vfs_list(struct vfs *v, const char *path, vfs_name_fn *fn, void *ctx)
{
    return v->ops->list(v, path, fn, ctx);
}

int vfs_space(struct vfs *v, const char *path, struct vfs_space *space_r)
{
    return v->ops->space(v, path, space_r);
}

int vfs_lock(struct vfs *v, const char *path, struct vfs_file **lock_r)
{
    *lock_r = NULL;
    return v->ops->lock(v, path, lock_r);
}

void vfs_free(struct vfs **v)
{
    if (*v)
        (*v)->ops->free(*v);
    *v = NULL;
}
