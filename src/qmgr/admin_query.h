/* Which messages a question means: a filter (queue/filter.h), and the shortest way to those it
 * holds for. The way is chosen by the index: the cells it may hold in are merged when they are
 * few, else every message is looked at, in order of age. Both ways stand at an age, so that
 * anything may happen between two slices: what has left its cell meanwhile is not found any more,
 * what has come into another may not be found yet. */
#ifndef POSTERN_QMGR_ADMIN_QUERY_H
#define POSTERN_QMGR_ADMIN_QUERY_H

#include "qmgr/admin.h"
#include "queue/filter.h"
#include "queue/index.h"

enum { QUERY_CELLS_MAX = 128 };

enum query_sort { QUERY_AGE, QUERY_SIZE, QUERY_DOMAIN, QUERY_NEXT, QUERY_COUNT };

enum query_got { QUERY_ONE, QUERY_LATER, QUERY_END };

/* The sum of all cells it holds in for sure; of others it is not known without a look. */
struct query_sum {
    uint64_t messages, recipients, bytes, shared;
};

struct query {
    struct admin_ask *a;
    struct queue_filter *filter;
    uint32_t fields;
    enum query_sort sort;
    bool sorted; /* asked for by name */
    uint64_t limit; /* UINT64_MAX: none given */
    /* The plan: which cells may it hold in? */
    bool planned, by_cells, exact; /* exact: sum is the answer */
    enum queue_kind kind;
    struct queue_walk walk;
    bool walking;
    struct queue_cell *cells[QUERY_CELLS_MAX]; /* pinned */
    size_t cell_count;
    bool too_many;
    uint64_t candidates; /* members of cells it may hold in */
    struct query_sum sum;
    uint64_t cursor; /* age of the last one looked at */
};

/* Takes words and the options sort=, limit=. False: the question has been ended. `other` may take
 * options of the verb's own: 1 taken, 0 unknown, -1 err says. */
bool query_init(struct query *y, struct admin_ask *a, struct wire *args,
                int (*other)(struct admin_ask *a, struct span arg, struct err *err));
void query_free(struct query *y);

/* One of the cells of a kind: does it hold there? */
enum queue_match query_cell(const struct query *y, const struct queue_cell *c,
                            const struct sched_cell_info *info);
/* The fields that cells of this kind know. */
uint32_t query_kind_fields(enum queue_kind kind);

/* Makes the plan, in slices: QUERY_LATER, or QUERY_END when it is made. */
enum query_got query_plan(struct query *y, int64_t begun_ns);
/* The next message, in order of age. */
enum query_got query_next(struct query *y, int64_t begun_ns, struct sched_msg_info *m_r);
/* Of a message that query_next gave. Only live recipients. */
bool query_rcpt(const struct query *y, const struct sched_msg_info *m,
                const struct sched_rcpt_info *r);
bool query_time_is_up(const struct query *y, int64_t begun_ns);

#endif
