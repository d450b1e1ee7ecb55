/* role: what every process of ours is: a struct that is given its loop, its configuration and
 * its channels. role/child.c binds one to a real process; the simulator makes all of them in one.
 * A role opens no socket and reads no clock but through env->loop. */
#ifndef POSTERN_ROLE_ROLE_H
#define POSTERN_ROLE_ROLE_H

#include "base/err.h"
#include "config/config.h"
#include "events/events.h"
#include "loop/loop.h"
#include "proto/roles.h"

struct channel;
struct msg_local_ask;
struct msg_local_job;
struct vfs;

struct role_env {
    struct loop *loop;
    struct vfs *vfs;          /* qmgr's and watch's; NULL for others */
    struct events *events;
    const char *instance_id;  /* of this gateway; marks our Received lines */
    int index;                /* which of several smtpd or deliver */
    /* The role has finished (asked to, or because it cannot go on): ends the process. */
    void (*done)(struct role_env *env);
    /* control only: asks master; the answer comes through role_ops.master_said. */
    void (*ask_master)(struct role_env *env, bool stop, uint64_t q, struct span who);
    /* deliver only: asks master for a `local`; the answer comes through role_ops.local_said. NULL
     * where there is no master. */
    void (*ask_local)(struct role_env *env, const struct msg_local_ask *m);
    /* What a reload could not take, and what holds instead: written by the role's reload; empty
     * before it. */
    struct err untaken;
    void *host; /* of whoever runs the role */
};

struct role_ops {
    /* Takes over `config` (also when it fails: NULL and err). */
    void *(*make)(struct role_env *env, struct config *config, struct err *err);
    /* A channel to another role, replacing the one before to the same instance; owns fd. */
    void (*peer)(void *role, enum role_id peer, int index, int fd);
    /* A listening socket; owns fd. Comes before start, and again whole with each reload. */
    void (*listener)(void *role, int fd, const struct netaddr *address, struct span section);
    /* A file only master could open; owns fd. kind: enum master_file. */
    void (*file)(void *role, int kind, int index, struct span path, int fd);
    /* All is given: begin. False: cannot, err says why, the process ends. */
    bool (*start)(void *role, struct err *err);
    /* A checked configuration replaces the present one; takes it over. Listeners and files that
     * hold from now on have been given since the last start or reload. */
    void (*reload)(void *role, struct config *next);
    /* Take nothing new, finish what is held within so many ms, then env->done. */
    void (*finish)(void *role, int64_t within_ms);
    void (*master_said)(void *role, uint64_t q, bool ok, struct span text);
    /* deliver: fd (owned) leads to a `local`, or is -1 and text says why. */
    void (*local_said)(void *role, uint64_t q, int fd, struct span text);
    /* local: what it is for, and the end that deliver speaks to (owned). Comes before start. */
    void (*local_job)(void *role, const struct msg_local_job *m, int fd);
    /* watch: a child has ended unasked, so long ago. */
    void (*child_died)(void *role, enum role_id which, int64_t age_ms, struct span how);
    void (*free)(void *role);
};

extern const struct role_ops smtpd_role, router_role, resolver_role, qmgr_role, deliver_role,
    keyring_role, control_role, pickup_role, local_role, watch_role;

const struct role_ops *role_ops_of(enum role_id role); /* NULL for master */

#endif
