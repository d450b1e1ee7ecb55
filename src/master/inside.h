/* The inside of master, for the files of this folder. */
#ifndef POSTERN_MASTER_INSIDE_H
#define POSTERN_MASTER_INSIDE_H

#include "config/config.h"
#include "events/events.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "mail/headerwalk.h"
#include "master/master.h"
#include "proto/master_child.h"
#include "proto/roles.h"
#include "sys/userdb.h"

#include <sys/types.h>

enum { CHILDREN_MAX = 80, LISTENERS_MAX = 256, RELOADS_MAX = 16 };

struct master;

enum { DEATHS_KEPT = 16, DEATH_WORDS_MAX = 96 };

struct child_slot {
    struct master *master;
    enum role_id role;
    int index;
    pid_t pid; /* 0: not running */
    struct channel *channel;
    bool ready;
    uint64_t generation; /* of the configuration it works with */
    int64_t started_ms;
    int64_t backoff_ms; /* before the next restart */
    unsigned deaths;    /* in a row, without having run for a while */
    struct {
        int64_t at_ms; /* 0: none */
        char how[DEATH_WORDS_MAX];
    } died[DEATHS_KEPT]; /* the last ones, for a watch that begins */
    size_t died_count;
    struct loop_timer restart;
};

struct listener {
    int fd;
    struct netaddr address;
    char section[LISTEN_NAME_MAX + 1];
    char next_section[LISTEN_NAME_MAX + 1]; /* what a reload not yet accepted would make of it */
    bool keep;                              /* during a reload */
};

/* A reload that not every child has taken over yet. */
struct reload_wait {
    uint64_t generation, q;
    bool by_control; /* waits for the answer to q */
    char who[128];
    struct err untaken; /* by one of the children, in its words */
};

struct master {
    struct loop *loop;
    struct events *events;
    struct config *config;
    uint64_t generation;
    const char *config_path;
    char instance_id[HEADERWALK_INSTANCE_MAX + 1];
    struct child_slot children[CHILDREN_MAX];
    size_t child_count;
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
    int control_fd; /* the admin socket, listening */
    int submit_fd;  /* the socket of local programs, listening */
    int ready_fd;   /* who waits for the start, or 0 */
    int64_t queue_run_ms; /* of the command line, or 0; -1: never */
    const enum config_delivery *delivery; /* of the command line, or NULL */
    struct list locals, local_waits; /* local.c */
    size_t local_count, local_wait_count;
    struct loop_signal on_term, on_int, on_hup, on_chld, on_usr1;
    struct loop_timer finish_timer;
    struct reload_wait reloads[RELOADS_MAX];
    size_t reload_count;
    bool starting; /* until every child was ready once */
    bool stopping;
    int exit_code;
};

/* children.c: processes */
void children_settle_counts(struct config *cfg); /* 0 becomes what this machine suggests */
void children_plan(struct master *m);            /* the slots the configuration asks for */
void child_spawn(struct master *m, struct child_slot *c);
/* Only the process and the channel to it: nothing is given. False: neither. */
bool child_fork(struct master *m, struct child_slot *c);
void children_reap(struct master *m);
bool children_all_ready(const struct master *m);
bool children_any(const struct master *m);

/* give.c: what a child is given. False: the system has no descriptors for it now. */
bool give_all(struct master *m, struct child_slot *c);
void give_config(struct master *m, struct child_slot *c);
bool give_logs(struct master *m, struct child_slot *c);
void give_listeners(struct master *m, struct child_slot *c);
bool give_files(struct master *m, struct child_slot *c);
void give_start(struct master *m, struct child_slot *c);

/* local.c: deliveries on this host */
void local_asked(struct child_slot *by, const struct msg_local_ask *ask);
void locals_reap(struct master *m);
void locals_kill(struct master *m);
void locals_free(struct master *m);

/* listeners.c: sockets */
bool listeners_open(struct master *m, const struct config *cfg, struct err *err);
void listeners_settle(struct master *m); /* closes those the new configuration has not */
void listeners_close(struct master *m);

/* places.c: the directories the roles work in, made and given to their users; control's socket */
bool places_prepare(struct master *m, struct err *err);
bool places_make(const char *path, mode_t mode, struct err *err); /* mkdir -p */
bool places_own(const char *path, const struct user *user, struct err *err); /* as root only */

/* submission.c: the socket of local programs, and the directory for when nobody listens there */
bool submission_prepare(struct master *m, struct err *err);

/* reload.c; who: for the log. False: refused, the reason in text. True: it is on its way, and
 * said (to q of control, too) once every child has it. */
bool master_reload(struct master *m, struct span who, const uint64_t *q, struct buf *text);
void reload_settle(struct master *m); /* a child is ready, or gone */
/* Before that: what one of them could not take. */
void reload_untaken(struct master *m, enum role_id role, const struct msg_child_ready *msg);
void master_stop(struct master *m, struct span who);
void master_override(struct master *m, struct config *cfg);

/* logfile.c */
int log_open(const struct config *cfg, int which, struct err *err); /* 0 lines, 1 events */
bool logs_reopen(struct master *m, struct err *err);

#endif
