/* callfilter: which system calls each role may make: one table, read by people. Enforced by
 * seccomp. */
#ifndef POSTERN_SYS_CALLFILTER_H
#define POSTERN_SYS_CALLFILTER_H

#include "base/err.h"

#include <stdbool.h>

enum callfilter_deny {
    CALLFILTER_ERRNO, /* a forbidden call fails with EPERM: the default */
    CALLFILTER_KILL,  /* the process ends by SIGSYS: for tests and the strict */
    CALLFILTER_LOG,   /* it is allowed, and stands in the kernel's audit log */
};

/* What a role does, for those who prepare it; NULL when the table does not know the name. */
struct callfilter_role {
    const char *name;
    unsigned sets;   /* see callfilter.c */
    bool opens;      /* opens files by path after it is locked up */
    bool network;    /* makes connections */
    bool secret;     /* its memory is not to be read, not even by the same user */
};
const struct callfilter_role *callfilter_role(const char *name);

/* Locks this process (one thread) to its role. Needs no_new_privs or root. False with `why`
 * when the kernel or the library cannot; nothing is locked then. */
bool callfilter_lock(const struct callfilter_role *role, enum callfilter_deny deny,
                     struct err *why);

#endif
