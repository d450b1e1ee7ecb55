/* sandbox: the one visible privilege block of every role. Limits, empty root, change of user,
 * no_new_privs, Landlock, seccomp, in this order. What the system cannot do is written into the
 * report, for one event and a line of `postern doctor`; it is never a reason not to start. The one
 * exception: as root, a change of user that fails. */
#ifndef POSTERN_SYS_SANDBOX_H
#define POSTERN_SYS_SANDBOX_H

#include "base/buf.h"
#include "sys/landlock.h"
#include "sys/callfilter.h"
#include "sys/userdb.h"

enum { SANDBOX_REPORT_MAX = 2048 };

struct sandbox_params {
    const struct user *user;       /* whom the role becomes when started as root; NULL: stays */
    const char *empty_root;        /* an empty directory of root's, for roles that open no files;
                                    * used as root only; NULL: none */
    const struct landlock_rule *paths; /* what a role that opens files may touch */
    size_t path_count;
    uint64_t files;                /* descriptors wanted; 0: leave the limit */
    enum callfilter_deny deny;
    bool off;                      /* by configuration: user and limits only */
    bool no_landlock, no_seccomp;  /* by configuration: without this one */
};

struct sandbox_report {
    bool root;           /* started as root */
    bool dropped, empty_root, no_new_privs, landlock, seccomp;
    int landlock_abi;
    uint64_t files;      /* descriptors now allowed */
    struct buf missing;  /* "; " between the parts; empty: all that was asked for is in force */
};

void sandbox_report_init(struct sandbox_report *r);
void sandbox_report_free(struct sandbox_report *r);

/* `role` is the name in the table of callfilter.c ("smtpd"). To be called once, with one thread,
 * after everything that needs files or rights (tls_warm_up, listeners, logs, config). False with
 * `why` only when the process must not go on. */
bool sandbox_apply(const char *role, const struct sandbox_params *params,
                   struct sandbox_report *report, struct err *why);

/* This build cannot be locked up: the sanitizers need files, threads and ptrace. */
bool sandbox_sanitized(void);

#endif
