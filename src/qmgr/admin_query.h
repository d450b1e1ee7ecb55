/* Which messages a question means: a filter (queue/filter.h), and the shortest way to those it
 * holds for. The way is chosen by the index: the cells it may hold in are merged when they are
 * few, else every message is looked at, in order of age. What is asked of reasons is asked of the
 * reasons in the queue first, so that for most classes of them a cell's answer is known. Both ways
 * stand at an age, so that anything may happen between two slices: what has left its cell
 * meanwhile is not found any more, what has come into another may not be found yet. */
#ifndef POSTERN_QMGR_ADMIN_QUERY_H
#define POSTERN_QMGR_ADMIN_QUERY_H

#include "qmgr/admin.h"
#include "queue/filter.h"
#include "queue/index.h"
#include "sched/walk.h"

#define QUERY_FIELD(field) (UINT32_C(1) << (field))

enum {
    QUERY_CELLS_MAX = 128,
    QUERY_AHEAD = 256,
    /* What is asked of recipients. */
    QUERY_RCPT_FIELDS = QUERY_FIELD(QUEUE_TO) | QUERY_FIELD(QUEUE_DOMAIN) |
                        QUERY_FIELD(QUEUE_SITE) | QUERY_FIELD(QUEUE_REASON) |
                        QUERY_FIELD(QUEUE_TARGET) | QUERY_FIELD(QUEUE_STATE),
};

enum query_sort { QUERY_AGE, QUERY_SIZE, QUERY_DOMAIN, QUERY_NEXT, QUERY_COUNT };

enum query_got { QUERY_ONE, QUERY_LATER, QUERY_END };

/* The sum of all cells it holds in for sure; of others it is not known without a look. */
struct query_sum {
    uint64_t messages, recipients, bytes, shared;
};

struct query {
    struct qmgr *q;
    struct admin_ask *a;
    struct admin_slice *slice; /* the question's, unless somebody has slices of his own */
    struct queue_filter *filter;
    uint32_t fields, wants; /* of the filter */
    enum query_sort sort;
    bool sorted; /* asked for by name */
    uint64_t limit; /* UINT64_MAX: none given */
    /* The plan: which cells may it hold in? */
    bool planned, by_cells, exact; /* exact: sum is the answer */
    uint32_t tried; /* bits of kinds */
    enum queue_kind kind;
    struct hash reasons; /* struct query_class (admin_plan.c), by class */
    struct sched_reason_walk reason_walk;
    bool reasons_known;
    uint32_t reason_units; /* of the last look at some */
    struct queue_walk walk;
    bool walking;
    struct queue_cell *cells[QUERY_CELLS_MAX]; /* pinned */
    size_t cell_count;
    bool too_many, every, all_hold; /* every: no plan; all_hold: it holds in all cells */
    uint64_t only;       /* the counter of the one message it can be; 0: several */
    uint64_t candidates; /* members of cells it may hold in */
    struct query_sum sum;
    uint64_t cursor; /* age of the last one looked at */
    /* What is known of the next ones, for the rest of this slice or until something is changed. */
    uint64_t ahead_slice; /* its serial number; 0: nothing is known */
    const struct sched_msg *ahead[QUERY_AHEAD];
    size_t ahead_n, ahead_at;
    unsigned memory; /* SCHED_WALK_: what its owner looks at */
    uint64_t heads[QUERY_CELLS_MAX]; /* of each cell, the first age behind the cursor */
    uint32_t looked; /* recipients of the candidate at hand that have been looked at, */
    uint32_t got;    /* and what they have together (queue_filter_rcpt) */
    bool whole;      /* all live recipients of the message that came last are meant */
    uint32_t rest;   /* see query_rest */
    /* What was noted: the ages of all messages that are meant, ascending. */
    bool noted;
    uint64_t *meant;
    size_t meant_n, meant_cap;
};

/* Takes words and the options sort=, limit=. False: the question has been ended. `other` may take
 * options of the verb's own: 1 taken, 0 unknown, -1 err says. */
bool query_init(struct query *y, struct admin_ask *a, struct wire *args,
                int (*other)(struct admin_ask *a, struct span arg, struct err *err));
void query_free(struct query *y);
/* One more word. False: it has too many. */
bool query_add(struct query *y, struct span word);
/* From the beginning, with a new plan; `every`: by looking at every message, which finds those
 * as well that have changed their cells meanwhile. */
void query_again(struct query *y, bool every);

/* One of the cells of a kind: does it hold there? */
enum queue_match query_cell(const struct query *y, const struct queue_cell *c,
                            const struct sched_cell_info *info);
/* The fields that cells of this kind know. */
uint32_t query_kind_fields(enum queue_kind kind);

/* Unmakes it. */
void query_plan_drop(struct query *y);
/* Both end with QUERY_LATER when the slice is over: what came before it was looked at. */
/* Makes the plan: QUERY_END when it is made. */
enum query_got query_plan(struct query *y, int64_t begun_ns);
/* The next message, in order of age. */
enum query_got query_next(struct query *y, int64_t begun_ns, struct sched_msg_info *m_r);
/* The n-th candidate after the one that came last, when it is known already; else NULL. */
const struct sched_msg *query_peek(const struct query *y, size_t n);
/* How much it is: QUERY_END when sum has all of it. Where the cells know, nothing is looked at;
 * `sure`: unless the number of messages would be an upper bound. */
enum query_got query_count(struct query *y, int64_t begun_ns, bool sure, struct query_sum *sum);
/* As query_count, and notes which messages it is: what comes after query_again is these, whatever
 * becomes of their states meanwhile. For what changes the states it asks for: a retry of one opens
 * the site to others. Of a message that is meant, recipients that are due are meant, too. */
enum query_got query_note(struct query *y, int64_t begun_ns, struct query_sum *sum);
bool query_time_is_up(const struct query *y, int64_t begun_ns);
/* Of a message that query_next gave. Only live recipients. */
/* An address of 0, 4 or 16 bytes. */
void query_ip(struct span ip, struct netaddr *a_r);
/* Who sent it to us; of no family when it came by a program of this host. */
void query_client(const struct sched_msg_info *m, struct netaddr *a_r);
bool query_rcpt(const struct query *y, const struct sched_msg_info *m,
                const struct sched_rcpt_info *r);
/* Whether any message is meant, in one piece. */
bool query_message(const struct query *y, const struct sched_msg_info *m);
/* Recipients of the message that came last are still to be done, from this one on (not 0): it
 * comes again in the next slice, if it is still there, with the number in y->rest. */
void query_rest(struct query *y, uint32_t rcpt);
/* Something has been changed in the schedule. */
void query_changed(struct query *y);

#endif
