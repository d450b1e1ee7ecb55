/* landlock: which files a role may touch, by path, as far as the kernel can enforce it (Linux
 * 5.13 and later; by raw system call, the C library has no wrapper). */
#ifndef POSTERN_SYS_LANDLOCK_H
#define POSTERN_SYS_LANDLOCK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum landlock_may {
    MAY_READ = 1,  /* read files, list directories */
    MAY_WRITE = 2, /* write, make, rename and remove files and directories */
};

struct landlock_rule {
    const char *path; /* a file, or a directory with all beneath it */
    unsigned may;
};

/* Version of the interface; 0: the kernel has none, or it is switched off. */
int landlock_abi(void);

/* Prepares the rules (the paths are opened here: before a chroot or a change of user); everything
 * not named is forbidden, TCP too if `tcp` is false. A path that does not exist is passed over
 * and named in `missed`, which may be empty. Returns a descriptor, or -1 with `why`. */
int landlock_prepare(const struct landlock_rule *rules, size_t n, bool tcp, struct err *missed,
                     struct err *why);
/* Puts the rules into force for this process and closes fd. Needs no_new_privs. Descriptors
 * already open are not affected. */
bool landlock_enforce(int fd, struct err *why);

#endif
