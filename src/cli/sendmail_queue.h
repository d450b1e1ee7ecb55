/* The queue as sendmail's users know it: mailq and -bp, queue runs, quarantine, hoststat. */
#ifndef POSTERN_CLI_SENDMAIL_QUEUE_H
#define POSTERN_CLI_SENDMAIL_QUEUE_H

#include "cli/ctl.h"
#include "cli/sendmail.h"

/* -bp, mailq */
int sendmail_mailq(const struct sendmail_flags *f);
/* -bP */
int sendmail_queue_count(const struct sendmail_flags *f);
/* -q..., without an interval */
int sendmail_queue_run(const struct sendmail_flags *f);
/* -Q[reason] with -q[!]R..., -q[!]S..., -q[!]I... */
int sendmail_quarantine(const struct sendmail_flags *f);
/* -bh, hoststat; -bH, purgestat */
int sendmail_hosts(const struct sendmail_flags *f);

/* --- what these share --- */

struct queue_asker {
    struct cli_args args;
    struct ctl ctl;
    const char *denied; /* what is said to whom this is not allowed */
    bool to_stdout;     /* ... as sendmail says it */
    struct config *config;
    bool away;          /* no gateway answers; that has been said */
};

/* EX_OK, or a status with everything said. sendmail_queue_close in either case. */
int sendmail_queue_open(struct queue_asker *k, const struct sendmail_flags *f, const char *denied);
void sendmail_queue_close(struct queue_asker *k);
/* What the gateway's refusal is to sendmail's users; said. */
int sendmail_queue_failed(struct queue_asker *k);

enum { QUEUE_ARGS_MAX = SENDMAIL_MATCHES_MAX + 8, QUEUE_ARG_MAX = 1100 };
struct queue_args {
    const char *v[QUEUE_ARGS_MAX];
    size_t n;
    char texts[SENDMAIL_MATCHES_MAX][QUEUE_ARG_MAX];
};
/* The same for what is listed, where nothing is left to the gateway: without -qQ what is not
 * held. */
void sendmail_queue_listed(struct queue_args *a, const struct sendmail_flags *f);

#endif
