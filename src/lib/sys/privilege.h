/* privilege: giving up what a role does not need, for good. Every call shrinks; none widens. */
#ifndef POSTERN_SYS_PRIVILEGE_H
#define POSTERN_SYS_PRIVILEGE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether this process may change its user at all (effective uid 0). */
bool privilege_is_root(void);

/* As root: becomes uid and gid (real, effective, saved), in no other group, and makes sure that
 * there is no way back. False: half done at worst, the process must end. Not as root: nothing
 * changes, true (the roles then run as the calling user). uid 0 is refused. */
bool privilege_drop(uid_t uid, gid_t gid, struct err *why);

/* As root: makes the empty directory `dir` the root. False with `why` when it is not a directory
 * owned by root, not empty, or writable by others. Not as root: MUST not be called. */
bool privilege_empty_root(const char *dir, struct err *why);

/* No exec may give new rights from here on (also what seccomp and Landlock need). */
bool privilege_no_new(struct err *why);

/* Descriptors: raises the soft limit to `files` (the hard one too, as root). Returns the limit
 * now in force, which may be lower than what was asked. */
uint64_t privilege_files(uint64_t files);
void privilege_no_core(void);   /* no core dumps: mail and passwords are in them */
void privilege_no_peeking(void); /* nor may other processes of the same user read the memory */

#endif
