/* live: a queue run of chosen messages, and somebody who looks on.
 *
 *   live.c        the runs: begun, abandoned by who looked on, ended
 *   live_run.c    one message of a run: its recipients are set going and waited for
 *   live_say.c    what is told of it
 *   admin_live.c  the verb "live"
 *
 * Which messages and recipients are meant is a filter's to say, as of any other question
 * (admin_query.h). They are counted by the index; the run itself looks at every message, as its
 * deliveries move what is to come from one cell of the index to another.
 *
 * A run with somebody who looks on takes a few messages at once (`window`), in their order, and
 * goes on when all is said of one. When he goes away nothing is taken back: what is left is made
 * due at once, or, where some of it may be held, and is to be again, the run goes on by itself.
 * A run tells no more than its buffer holds; a slow reader loses lines of dialogue,
 * never a delivery. */
#ifndef POSTERN_QMGR_LIVE_H
#define POSTERN_QMGR_LIVE_H

#include "qmgr/admin_query.h"

enum {
    LIVE_WINDOW_MAX = 32,
    LIVE_KEPT_MAX = 32,
    LIVE_OUT_MAX = 4 << 20,   /* rows that wait for the reader */
    LIVE_TALK_MAX = 1 << 20,  /* with more waiting, dialogue is left out */
    LIVE_WORDS_MAX = 1024,    /* of its filter in the log */
    LIVE_TOLD_MAX = 64,       /* frozen names and slow sites that are told of */
    LIVE_OUT_LOW = 256 << 10, /* with more waiting, no message is begun */
};

/* --- a run --- */

enum live_phase { LIVE_COUNT, LIVE_RUN, LIVE_CLOSE, LIVE_END, LIVE_ALONE };

/* A message whose delivery began by itself while the run was elsewhere. */
struct live_ahead {
    struct hash_node node;
    uint64_t seq;
};

enum live_rcpt { LIVE_NOT_MEANT, LIVE_OPEN, LIVE_HEARD, LIVE_RCPT_STATE = 3, /* and: */
                 LIVE_WAS_HELD = 4, LIVE_WAS_RELEASED = 8,
                 LIVE_FOLLOWED = 16 /* another run, or a delivery that was under way, has it */ };

/* All of its recipients that are meant are found before the first is set going, as that changes
 * the others. */
enum live_stage { LIVE_FIND, LIVE_GO, LIVE_WAIT };

struct live_run {
    struct list node;
    enum live_stage stage;
    uint64_t seq, number;
    uint32_t rcpt_count, open; /* open: not heard of yet */
    uint32_t at;               /* the next recipient to find, set going or look at */
    uint32_t jobs;
    bool frozen;               /* some of it is left alone */
    bool adopted;              /* it began by itself */
    bool follows;              /* some of its recipients are LIVE_FOLLOWED */
    uint8_t *rcpts;   /* enum live_rcpt */
    struct span held; /* what was held, was for that, and will be again; malloc'd */
};

struct live {
    struct live *next; /* of q->lives */
    struct qmgr *q;
    struct admin_ask *ask; /* NULL: nobody looks on */
    uint64_t id;
    struct query y;
    struct admin_slice slice; /* a turn's */
    enum live_phase phase;
    bool chosen;   /* there was a filter: not everything that waits is meant */
    bool by_state; /* it asks for states, which a run changes: what is meant is noted first */
    bool background; /* nobody looks on from the start */
    bool always;   /* past any back-off, for each message */
    bool patient;  /* ... also where nobody has answered three times */
    bool silent;   /* no dialogue */
    bool follow;   /* what is tried already is waited for, and told of */
    bool gave_up;  /* it was not patient, and the rest was not tried */
    unsigned window;
    uint64_t last_age; /* messages up to it belong to the run */
    uint64_t total, begun, untouched; /* untouched: begun, and all of it is frozen */
    struct query_sum sum;
    uint64_t sent, deferred, failed, other, frozen; /* recipients */
    struct span told[LIVE_TOLD_MAX]; /* in the arena */
    unsigned told_count;
    struct buf words, who; /* its filter, as it was asked for, and by whom; who empty: it is said */
    unsigned unreached; /* jobs in a row that reached nobody */
    struct list runs;   /* struct live_run, oldest first */
    unsigned run_count;
    bool busy;          /* the last one that was begun has not all its recipients going */
    struct hash ahead;  /* struct live_ahead: begun before the cursor came to them */
    struct {
        uint64_t keeper;
        struct span site; /* in the arena */
    } kept[LIVE_KEPT_MAX]; /* connections that stay open until its end */
    unsigned kept_count, closing;
    struct arena *arena;
    struct buf out;     /* rows, each with its '\n' */
    uint64_t left_out;  /* lines of dialogue */
    bool may_say;
    int64_t said_ms, close_ms;
    struct loop_timer turn;
};

/* live.c */
struct live *live_new(struct admin_ask *a);
/* l->y is ready (query_init). */
void live_begin(struct live *l);
/* Nobody looks on any more, or from the start. */
void live_abandon(struct live *l);
void live_soon(struct live *l); /* its next step, in another turn */
void live_free(struct live *l);

/* live_run.c: each as far as the slice (l->slice) goes */
void live_run_begin(struct live *l, const struct sched_msg_info *m);
/* Whether the cursor has come to a message that was begun before; forgets it. */
bool live_run_was(struct live *l, uint64_t seq);
/* Whether all is said of it: it is freed then. */
bool live_run_look(struct live *l, struct live_run *r);
void live_run_free(struct live *l, struct live_run *r);
/* One message, nobody waits for it; query_next gives it again when there is more to do. */
void live_run_alone(struct live *l, const struct sched_msg_info *m);

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
/* That it is not tried any more ("frozen", "deleted", "gone"), and who did that; SPAN_NONE: that is
 * not known. */
void live_say_untried(struct live *l, const struct live_run *r, uint32_t rcpt, const char *what,
                      struct span who);
/* By whom the names are frozen that hold it; SPAN_NONE: not known. Borrowed. */
struct span live_frozen_by(struct live *l, const struct sched_rcpt_info *info);
/* A recipient is left alone: for each frozen name it is said once, by whom and since when. */
void live_say_frozen(struct live *l, const struct sched_rcpt_info *info);
/* What waits for its site's rate: why and until when, once for each site and interval. */
void live_say_slow(struct live *l, const struct sched_place_info *site);
/* Nothing begins there before the DNS has said at which site it is: once for each. */
void live_say_asking(struct live *l, struct span dest);
void live_say_end(struct live *l);
void live_flush(struct live *l);

#endif
