/* pace: how fast messages may go to a site: so many in a second, a minute, an hour, evenly; and
 * slower than that while the site asks for it. Pure numbers, as gate.h.
 *
 * In any time as long as the rule's no more messages begin than it allows. What goes faster than
 * one in 20 ms may catch up by as much, since no loop wakes to the microsecond; the interval is
 * longer by its share.
 *
 * A refusal doubles the interval, each success takes a part of it: so the pace comes near to what
 * the site allows, and stays there with a refusal now and then. */
#ifndef POSTERN_SCHED_PACE_H
#define POSTERN_SCHED_PACE_H

#include "base/heap.h"

struct sched_pace {
    struct heap_node wake; /* linked while nothing may begin; key: monotonic ms */
    int64_t next_us;       /* when the next one is due */
    int64_t slowed_ms;     /* jobs that began before have told us nothing new */
    int64_t slow_us;       /* the interval it asks for; 0: it does not */
};

/* Between two messages as the rule has it; 0: no rate is set. */
int64_t sched_pace_rule_us(uint32_t rate, int64_t rate_ms);
/* The same at present; 0: no pace. Where no rate is set it is slow only while `narrow` (one at a
 * time is too fast): 1 s, up to 32 s. */
int64_t sched_pace_interval_us(const struct sched_pace *p, int64_t rule_us, bool narrow);
/* A message begins: the monotonic ms at which the next one may, now_ms when at once. */
int64_t sched_pace_begin(struct sched_pace *p, int64_t interval_us, int64_t now_ms);
void sched_pace_trouble(struct sched_pace *p, int64_t rule_us, int64_t now_ms);
void sched_pace_success(struct sched_pace *p, int64_t rule_us);
uint32_t sched_pace_doubled(const struct sched_pace *p, int64_t rule_us); /* so many times */

#endif
