/* gate: what limits a destination or a site: slots, and a back-off while it cannot be reached.
 * Pure numbers; who waits behind the gate is the caller's. */
#ifndef POSTERN_SCHED_GATE_H
#define POSTERN_SCHED_GATE_H

#include "base/heap.h"

struct sched_gate {
    struct heap_node wake; /* linked while closed; key: monotonic ms of the next probe */
    uint32_t active;       /* jobs */
    uint32_t tokens;       /* recipients on their way through the router, a slot promised */
    uint32_t limit;        /* UINT32_MAX: none */
    uint32_t credit;       /* successes towards the next slot */
    uint8_t level;         /* consecutive back-offs */
    bool half_open;        /* one at a time until a success */
    bool slow_start;       /* doubles until the first trouble */
    bool is_site;
    bool frozen; /* by a person: nothing starts behind it */
};

void sched_gate_init(struct sched_gate *g, uint32_t limit, bool is_site);

static inline bool sched_gate_closed(const struct sched_gate *g) { return heap_linked(&g->wake); }
static inline uint32_t sched_gate_room(const struct sched_gate *g)
{
    return g->half_open ? 1 : g->limit;
}
/* May something start behind it now? */
static inline bool sched_gate_open(const struct sched_gate *g)
{
    return !sched_gate_closed(g) && !g->frozen && g->active < sched_gate_room(g) &&
           g->tokens < sched_gate_room(g);
}

/* It answers: a back-off is forgotten (the limit then starts again from `initial`). */
void sched_gate_answers(struct sched_gate *g, uint32_t initial);
/* It takes something, too: the limit grows: by one per success in slow start, by one per `limit`
 * successes afterwards. */
void sched_gate_success(struct sched_gate *g, uint32_t initial, uint32_t max);
/* Trouble: the limit is halved, at least 1. */
void sched_gate_halve(struct sched_gate *g);
/* One too many: the limit is one less, at least 1. */
void sched_gate_less(struct sched_gate *g);
/* Length of the back-off that begins now: first, 2 first, 4 first ... max. Counts the level. */
int64_t sched_gate_backoff_ms(struct sched_gate *g, int64_t first_ms, int64_t max_ms);

#endif
