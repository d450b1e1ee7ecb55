/* live: a queue run of chosen messages, and somebody who looks on.
 *
 *   match.c       which messages and recipients are meant
 *   live.c        the runs: begun, abandoned by who looked on, ended
 *   live_run.c    one message of a run: its recipients are set going and waited for
 *   live_say.c    what is told of it
 *   admin_live.c  the verbs "live" and "mailq"
 *
 * A run with somebody who looks on takes a few messages at once (`window`), in their order, and
 * goes on when all is said of one. When he goes away nothing is taken back: what is left is made
 * due at once. A run tells no more than its buffer holds; a slow reader loses lines of dialogue,
 * never a delivery. */
#ifndef POSTERN_QMGR_LIVE_H
#define POSTERN_QMGR_LIVE_H

#include "qmgr/admin.h"

enum {
    LIVE_MATCHES_MAX = 64,
    LIVE_WINDOW_MAX = 32,
    LIVE_KEPT_MAX = 32,
    LIVE_OUT_MAX = 4 << 20,   /* rows that wait for the reader */
    LIVE_TALK_MAX = 1 << 20,  /* with more waiting, dialogue is left out */
    LIVE_OUT_LOW = 256 << 10, /* with more waiting, no message is begun */
};

/* --- which: -qRsub -qSsub -qIsub -qQsub (each possibly !sub), or a target --- */

struct match {
    struct arena *arena; /* the texts */
    struct {
        char what; /* R S I Q */
        bool not;
        struct span text;
    } items[LIVE_MATCHES_MAX];
    size_t n;
    bool held;          /* those that are held, else the others */
    struct span target; /* "": none; else an address, a domain, a destination, a site, or an id: */
    uint64_t target_seq;
};

void match_init(struct match *m);
void match_free(struct match *m);
/* One argument of a question, "match=R:sub", "match=!R:sub", "held", "target=word". */
bool match_take(struct match *m, struct span arg);
/* Whether everything is meant: nothing was chosen. */
bool match_is_all(const struct match *m);
bool match_message(const struct match *m, const struct qmgr *q, const struct sched_msg_info *msg);
/* A recipient of a message that is meant. */
bool match_rcpt(const struct match *m, const struct sched_rcpt_info *r);

/* --- a run --- */

enum live_phase { LIVE_COUNT, LIVE_RUN, LIVE_CLOSE, LIVE_END, LIVE_ALONE };

/* A message whose delivery began by itself while the run was elsewhere. */
struct live_ahead {
    struct hash_node node;
    uint64_t seq;
};

enum live_rcpt { LIVE_NOT_MEANT, LIVE_OPEN, LIVE_HEARD };

struct live_run {
    struct list node;
    uint64_t seq, number;
    uint32_t rcpt_count, open, looked; /* open: not heard of yet; looked: the next to look at */
    uint32_t jobs;
    uint8_t *rcpts;   /* enum live_rcpt */
    struct span held; /* it was held for that, and will be again; malloc'd */
};

struct live {
    struct live *next; /* of q->lives */
    struct qmgr *q;
    struct admin_ask *ask; /* NULL: nobody looks on */
    uint64_t id;
    struct match match;
    enum live_phase phase;
    bool always;   /* past any back-off, for each message */
    bool patient;  /* ... also where nobody has answered three times */
    bool silent;   /* no dialogue */
    bool gave_up;  /* it was not patient, and the rest was not tried */
    unsigned window;
    uint64_t last_seq, cursor; /* messages up to last_seq belong to it; after cursor are to come */
    uint64_t total, begun;
    uint64_t sent, deferred, failed, other; /* recipients */
    unsigned unreached; /* jobs in a row that reached nobody */
    struct list runs;   /* struct live_run, oldest first */
    unsigned run_count;
    struct hash ahead;  /* struct live_ahead: begun before the cursor came to them */
    struct {
        uint64_t keeper;
        struct span site; /* in the match's arena */
    } kept[LIVE_KEPT_MAX]; /* connections that stay open until its end */
    unsigned kept_count, closing;
    struct buf out;     /* rows, each with its '\n' */
    uint64_t left_out;  /* lines of dialogue */
    bool may_say;
    int64_t said_ms, close_ms;
    struct loop_timer turn;
};

/* live.c */
struct live *live_new(struct admin_ask *a);
void live_begin(struct live *l);
/* Nobody looks on any more, or from the start: what is left is made due. */
void live_abandon(struct live *l);
void live_soon(struct live *l); /* its next step, in another turn */
void live_free(struct live *l);

/* live_run.c */
void live_run_begin(struct live *l, const struct sched_msg_info *m);
/* Whether the cursor has come to a message that was begun before; forgets it. */
bool live_run_was(struct live *l, uint64_t seq);
/* Whether all is said of it: it is freed then. */
bool live_run_look(struct live *l, struct live_run *r);
void live_run_free(struct live *l, struct live_run *r);
/* One message, nobody waits for it. */
void live_run_alone(struct live *l, const struct sched_msg_info *m);
struct live_run *live_run_of(const struct live *l, uint64_t seq);

/* live_say.c: rows */
void live_say_total(struct live *l);
void live_say_run(struct live *l, const struct live_run *r, const struct sched_msg_info *m);
void live_say_locked(struct live *l, const struct sched_msg_info *m);
void live_say_ran(struct live *l, const struct live_run *r);
void live_say_job(struct live *l, const struct live_run *r, const struct job *j);
void live_say_result(struct live *l, const struct live_run *r, uint64_t job, const struct fact *f);
/* Without an attempt: what the schedule says of it. */
void live_say_state(struct live *l, const struct live_run *r, uint32_t rcpt,
                    const struct sched_rcpt_info *info);
void live_say_end(struct live *l);
void live_flush(struct live *l);

#endif
