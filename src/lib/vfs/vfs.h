/* vfs: the file calls the spool makes, behind a small table, so that the spool runs unchanged on
 * a real disk (vfs_posix) and on one that tears, drops and fails at will (vfs_faulty).
 *
 * Every call returns 0 (or a count) or -errno. Paths are C strings; nothing here follows a path
 * that a stranger wrote. A name made, renamed or unlinked is durable only after vfs_sync_dir of
 * its directory; bytes written are durable only after vfs_fdatasync of their file.
 * One thread at a time. */
#ifndef POSTERN_VFS_VFS_H
#define POSTERN_VFS_VFS_H

#include "base/span.h"

#include <sys/types.h>
#include <sys/uio.h>

struct vfs_file; /* one open file (or one held lock) */

struct vfs {
    const struct vfs_ops *ops;
};

enum vfs_open_flag {
    VFS_WRITE = 1,  /* read and write; otherwise read only */
    VFS_CREATE = 2, /* made (mode 0600) when missing */
    VFS_EXCL = 4,   /* with VFS_CREATE: -EEXIST when it is there */
};

struct vfs_space {
    uint64_t free_bytes;  /* for the calling user */
    uint64_t free_inodes; /* UINT64_MAX where the file system counts none */
};

typedef void vfs_name_fn(void *ctx, const char *name); /* "." and ".." are left out */

struct vfs_ops {
    int (*open)(struct vfs *v, const char *path, int flags, struct vfs_file **file_r);
    void (*close)(struct vfs_file *f);
    ssize_t (*pread)(struct vfs_file *f, void *to, size_t n, uint64_t off);
    ssize_t (*pwritev)(struct vfs_file *f, const struct iovec *iov, int n, uint64_t off);
    int (*fdatasync)(struct vfs_file *f);
    void (*start_writing)(struct vfs_file *f, uint64_t off, uint64_t n); /* may be NULL */
    int (*reserve)(struct vfs_file *f, uint64_t off, uint64_t n);
    int (*truncate)(struct vfs_file *f, uint64_t size);
    int64_t (*size)(struct vfs_file *f);
    int (*rename)(struct vfs *v, const char *from, const char *to);
    int (*unlink)(struct vfs *v, const char *path);
    int (*mkdir)(struct vfs *v, const char *path);
    int (*sync_dir)(struct vfs *v, const char *path);
    int (*list)(struct vfs *v, const char *path, vfs_name_fn *fn, void *ctx);
    int (*space)(struct vfs *v, const char *path, struct vfs_space *space_r);
    int (*lock)(struct vfs *v, const char *path, struct vfs_file **lock_r);
    void (*free)(struct vfs *v);
};

/* *file_r is the caller's, to be closed with vfs_close. */
int vfs_open(struct vfs *v, const char *path, int flags, struct vfs_file **file_r);
void vfs_close(struct vfs_file **f); /* accepts NULL in *f; sets it to NULL */

/* Fills all n bytes unless the file ends before: returns the count. */
ssize_t vfs_pread(struct vfs_file *f, void *to, size_t n, uint64_t off);
/* Writes everything, whatever the number of pieces and however short the kernel's writes are;
 * 0 or -errno, and then any part of it may have been written. `iov` is used up (changed). */
int vfs_pwritev(struct vfs_file *f, struct iovec *iov, size_t n, uint64_t off);
int vfs_pwrite(struct vfs_file *f, const void *p, size_t n, uint64_t off);

/* After a failure the unwritten bytes may be lost although a second call succeeds (as on
 * Linux): a failed flush is final. */
int vfs_fdatasync(struct vfs_file *f);
/* A hint: the disk may begin with [off, off+n) now, so that the flush to come has less to wait
 * for. Promises nothing, fails never; a write that fails is told by the next vfs_fdatasync. */
void vfs_start_writing(struct vfs_file *f, uint64_t off, uint64_t n);
/* Space for [off, off+n) is set aside without changing the size; -EOPNOTSUPP where the file
 * system cannot. */
int vfs_reserve(struct vfs_file *f, uint64_t off, uint64_t n);
int vfs_truncate(struct vfs_file *f, uint64_t size);
int64_t vfs_size(struct vfs_file *f);

int vfs_rename(struct vfs *v, const char *from, const char *to); /* replaces `to` */
int vfs_unlink(struct vfs *v, const char *path); /* open files keep their bytes until closed */
int vfs_mkdir(struct vfs *v, const char *path);  /* mode 0700; 0 when it is there already */
int vfs_sync_dir(struct vfs *v, const char *path);
int vfs_list(struct vfs *v, const char *path, vfs_name_fn *fn, void *ctx);
int vfs_space(struct vfs *v, const char *path, struct vfs_space *space_r);

/* An exclusive lock on a file made for it; -EWOULDBLOCK when another opener (of this process or
 * of any other) holds it. Freed by vfs_close or by the end of the process. */
int vfs_lock(struct vfs *v, const char *path, struct vfs_file **lock_r);

void vfs_free(struct vfs **v); /* no file of it may be open; accepts NULL in *v */

/* The real file system. */
struct vfs *vfs_posix(void);

#endif
