/* What a person does to messages, each deed in a row of a table: what it is called, which
 * recipients it concerns, how it is done. Which messages are meant is admin_select.c's. */
#ifndef POSTERN_QMGR_ADMIN_DEEDS_H
#define POSTERN_QMGR_ADMIN_DEEDS_H

#include "qmgr/admin.h"
#include "sched/walk.h"

enum { DEED_RCPTS_MAX = DSN_AT_ONCE }; /* of one message, in one record and one report */

/* Of the message at hand, and for all of them. The one who walks owns what is in it. */
struct doing {
    struct admin_ask *a;
    struct buf hop;         /* of a reroute */
    struct buf why;         /* what is recorded with it */
    uint32_t *rcpts;        /* those that are meant, at most DEED_RCPTS_MAX */
    size_t n;
    struct last last;       /* of the message at hand: its records are read once */
    uint64_t untold, to_postmaster; /* count those whose end its sender is not told */
    uint64_t after_attempt; /* counts those that are in a session: it is done at its end */
};

struct deed {
    const char *name, *past;
    enum event_name event;
    bool (*concerns)(const struct sched_rcpt_info *r);
    /* Of the recipients d->rcpts; how many it changed, or -errno. m is not to be looked at any
     * more. */
    int (*apply)(struct doing *d, const struct sched_msg_info *m);
    bool own_session; /* recipients in a session are left alone, and counted */
    bool thawed;      /* the same for what is frozen */
    bool reports;     /* each end is told its sender, and waits for the report */
    bool hop;         /* it needs a next hop; others take none */
    bool reason;      /* whoever asks may give one */
    bool opens;       /* it changes states: of its message, and of others at the site */
    const char *note;
    const char *no_change; /* what is said of an id */
};

const struct deed *deed_named(struct span name); /* NULL: there is none */

#endif
