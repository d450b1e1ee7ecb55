/* confine: the one place where a process gives up what its role does not need. */
#ifndef POSTERN_ROLE_CONFINE_H
#define POSTERN_ROLE_CONFINE_H

#include "config/config.h"
#include "events/events.h"
#include "proto/roles.h"

/* The user a role runs as; only looked up, nothing changes. False: there is none. */
struct user;
bool confine_user(enum role_id role, const struct config *cfg, struct user *user_r,
                  struct err *err);

/* Becomes the role's user (when started as root), in an empty root where the role opens no
 * files, then seccomp and Landlock as far as the kernel and the configuration go. What is
 * missing is said in one event, and is no reason not to start. False: the user cannot be
 * taken. */
bool confine(enum role_id role, const struct config *cfg, struct events *events, struct err *err);

#endif
