/* vfs_faulty: a disk in memory that fails as told, for tests and for the simulator.
 *
 * Writes are buffered per file until vfs_fdatasync, names until vfs_sync_dir. At a chosen
 * operation it crashes: from then on every call gives -EIO, until vfs_faulty_reboot makes the
 * disk that survived: each write that was not flushed is kept, dropped, torn (a prefix, or any
 * sectors of it) or reordered, and each unsynced name kept or dropped, as the seed says. The
 * same seed gives the same disk.
 *
 * Counted operations: every write, flush, truncate, sync_dir, rename, unlink, and every open
 * that makes a file; reads are not. Drawback: all files are in memory twice, and names are
 * searched one by one: fit for hundreds of files. */
#ifndef POSTERN_VFS_VFS_FAULTY_H
#define POSTERN_VFS_VFS_FAULTY_H

#include "vfs/vfs.h"

enum vfs_fault {
    FAULT_NONE,
    FAULT_CRASH,  /* a flush that crashes may have reached the disk or not */
    FAULT_EIO,    /* a failed flush drops what it pleases; the next one succeeds */
    FAULT_ENOSPC,
    FAULT_SHORT,  /* a write takes only a part; others are not touched */
};

struct vfs *vfs_faulty(uint64_t seed);

/* The fault hits operation number `op` (the first counted one is 1), once. op 0: none. */
void vfs_faulty_plan(struct vfs *v, uint64_t op, enum vfs_fault fault);
uint64_t vfs_faulty_ops(const struct vfs *v); /* counted so far */
bool vfs_faulty_crashed(const struct vfs *v);

/* Also without a crash before (power loss at rest). Every file must have been closed. */
void vfs_faulty_reboot(struct vfs *v, uint64_t seed);

/* All files together take at most this much; 0 = no limit. */
void vfs_faulty_capacity(struct vfs *v, uint64_t bytes);
/* Every write and flush under this path fails with -EIO from now on; NULL mends it. */
void vfs_faulty_break(struct vfs *v, const char *path_prefix);
/* Every read under this path fails with -EIO from now on; NULL mends it. */
void vfs_faulty_blind(struct vfs *v, const char *path_prefix);
/* Flushes claim success and do nothing: to see that a test notices. */
void vfs_faulty_lie(struct vfs *v, bool lie);
/* Called at each fdatasync and sync_dir: a simulator advances its clock there. */
void vfs_faulty_on_flush(struct vfs *v, void (*fn)(void *ctx), void *ctx);

/* Damage: the byte at `off` is XORed with `mask`, on the disk and in the cache. */
bool vfs_faulty_flip(struct vfs *v, const char *path, uint64_t off, uint8_t mask);

#endif
