/* userdb: users and groups of the system, looked up by master before anything is locked up: the
 * only place that asks NSS. Blocks. */
#ifndef POSTERN_SYS_USERDB_H
#define POSTERN_SYS_USERDB_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

enum { USERDB_NAME_MAX = 64, USERDB_HOME_MAX = 1024 };

struct user {
    uid_t uid;
    gid_t gid;
    char name[USERDB_NAME_MAX]; /* "" when the number has no entry */
    char home[USERDB_HOME_MAX]; /* "" likewise */
};

/* A name, or a number in digits (which needs no entry; its group is then the same number).
 * False with `why` when there is no such user or the entry does not fit. */
bool userdb_user(const char *name, struct user *user_r, struct err *why);
/* The same, but apart: 1 found, 0 there is none, -1 it cannot be said now. */
int userdb_find(const char *name, struct user *user_r, struct err *why);
bool userdb_group(const char *name, gid_t *gid_r, struct err *why);
/* The user this process runs as (effective). */
void userdb_self(struct user *user_r);

#endif
