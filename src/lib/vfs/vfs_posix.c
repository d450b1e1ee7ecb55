#include "base/list.h"
#include "base/must.h"
#include "vfs/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct file {
    struct vfs_file base;
    int fd;
};

static int fd_of(struct vfs_file *f) { return CONTAINER(f, struct file, base)->fd; }

static struct vfs_file *file_new(struct vfs *v, int fd)
{
    struct file *f = NEW(struct file);
    f->base.vfs = v;
    f->fd = fd;
    return &f->base;
}

static int posix_open(struct vfs *v, const char *path, int flags, struct vfs_file **file_r)
{
    int oflags = O_CLOEXEC | O_NOFOLLOW | (flags & VFS_WRITE ? O_RDWR : O_RDONLY);
    if (flags & VFS_CREATE)
        oflags |= O_CREAT;
    if (flags & VFS_EXCL)
        oflags |= O_EXCL;
    int fd = open(path, oflags, 0600);
    if (fd < 0)
        return -errno;
    *file_r = file_new(v, fd);
    return 0;
}

static void posix_close(struct vfs_file *f)
{
    close(fd_of(f));
    free(CONTAINER(f, struct file, base));
}

static ssize_t posix_pread(struct vfs_file *f, void *to, size_t n, uint64_t off)
{
    ssize_t got;
    do
        got = pread(fd_of(f), to, n, (off_t)off);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static ssize_t posix_pwritev(struct vfs_file *f, const struct iovec *iov, int n, uint64_t off)
{
    ssize_t wrote;
    do
        wrote = pwritev(fd_of(f), iov, n, (off_t)off);
    while (wrote < 0 && errno == EINTR);
    return wrote < 0 ? -errno : wrote;
}

static int result(int r) { return r < 0 ? -errno : 0; }

static int posix_fdatasync(struct vfs_file *f) { return result(fdatasync(fd_of(f))); }

static void posix_start_writing(struct vfs_file *f, uint64_t off, uint64_t n)
{
    sync_file_range(fd_of(f), (off_t)off, (off_t)n, SYNC_FILE_RANGE_WRITE);
}


static int posix_reserve(struct vfs_file *f, uint64_t off, uint64_t n)
{
    return result(fallocate(fd_of(f), FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)n));
}

static int posix_truncate(struct vfs_file *f, uint64_t size)
{
    return result(ftruncate(fd_of(f), (off_t)size));
}

static int64_t posix_size(struct vfs_file *f)
{
    struct stat st;
    return fstat(fd_of(f), &st) < 0 ? -errno : st.st_size;
}

static int posix_rename(struct vfs *v, const char *from, const char *to)
{
    (void)v;
    return result(rename(from, to));
}

static int posix_unlink(struct vfs *v, const char *path)
{
    (void)v;
    return result(unlink(path));
}

static int posix_mkdir(struct vfs *v, const char *path)
{
    (void)v;
    int r = result(mkdir(path, 0700));
    return r == -EEXIST ? 0 : r;
}

static int posix_sync_dir(struct vfs *v, const char *path)
{
    (void)v;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = result(fsync(fd));
    close(fd);
    return r;
}

static int posix_list(struct vfs *v, const char *path, vfs_name_fn *fn, void *ctx)
{
    (void)v;
    DIR *d = opendir(path);
    if (!d)
        return -errno;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e)
            break;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            fn(ctx, e->d_name);
    }
    int r = -errno;
    closedir(d);
    return r;
}

static int posix_space(struct vfs *v, const char *path, struct vfs_space *space_r)
{
    (void)v;
    struct statvfs st;
    if (statvfs(path, &st) < 0)
        return -errno;
    space_r->free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    space_r->free_inodes = st.f_files ? st.f_favail : UINT64_MAX;
    return 0;
}

/* flock, not fcntl: a lock of the open file, which no other open or close of the same path in
 * this process can drop by accident. */
static int posix_lock(struct vfs *v, const char *path, struct vfs_file **lock_r)
{
    int r = posix_open(v, path, VFS_WRITE | VFS_CREATE, lock_r);
    if (r < 0)
        return r;
    r = result(flock(fd_of(*lock_r), LOCK_EX | LOCK_NB));
    if (r < 0)
        vfs_close(lock_r);
    return r;
}

static void posix_free(struct vfs *v) { free(v); }

static const struct vfs_ops posix_ops = {
    .open = posix_open, .close = posix_close, .pread = posix_pread, .pwritev = posix_pwritev,
    .fdatasync = posix_fdatasync, .start_writing = posix_start_writing,
    .reserve = posix_reserve, .truncate = posix_truncate,
    .size = posix_size, .rename = posix_rename, .unlink = posix_unlink, .mkdir = posix_mkdir,
    .sync_dir = posix_sync_dir, .list = posix_list, .space = posix_space, .lock = posix_lock,
    .free = posix_free,
};

struct vfs *vfs_posix(void)
{
    struct vfs *v = NEW(struct vfs);
    v->ops = &posix_ops;
    return v;
}
