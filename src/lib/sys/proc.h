/* proc: small things a process does to itself. */
#ifndef POSTERN_SYS_PROC_H
#define POSTERN_SYS_PROC_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Closes every descriptor from `lowest` up. */
void proc_close_from(int lowest);

/* What ps and top show. The title takes the place of the arguments the process was started with
 * and is cut to their length; nothing else of argv may be used afterwards. */
struct proc_title {
    char *start;
    size_t room; /* the final NUL included */
};
void proc_title_init(struct proc_title *t, int argc, char **argv);
void proc_title_set(struct proc_title *t, const char *name, const char *title);

/* One lock file per spool (and the pid file of master): made when missing, locked until the
 * descriptor (and every copy of it) is closed, with our pid written inside. Returns the descriptor
 * (close-on-exec), or -1: then `holder_r` is the pid of who has it (0 when unknown, or when the
 * reason in `why` is another one). */
int proc_lock(const char *path, pid_t *holder_r, struct err *why);

/* Who holds the lock: its pid (as written inside), 0 nobody, -1 cannot tell. */
pid_t proc_lock_holder(const char *path);

#endif
