/* What every vfs has in common; for the files of this folder alone. */
#ifndef POSTERN_VFS_INSIDE_H
#define POSTERN_VFS_INSIDE_H

#include "vfs/vfs.h"

struct vfs_file {
    struct vfs *vfs;
};

#endif
