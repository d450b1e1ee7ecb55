/* pace: how fast messages may go to a site: so many in a second, a minute, an hour, evenly; and
 * slower than that while the site asks for it. Pure numbers, as gate.h.
 *
 * In any time as long as the rule's no more messages begin than it allows. What goes faster than
 * one in 20 ms may catch up by as much, since no loop wakes to the microsecond; the interval is
 * longer by its share. */
#ifndef POSTERN_SCHED_PACE_H
#define POSTERN_SCHED_PACE_H

#include "base/heap.h"

enum { SCHED_SLOW_MAX = 6 };

struct sched_pace {
    struct heap_node wake; /* linked while nothing may begin; key: monotonic ms */
    int64_t next_us;       /* when the next one is due */
    int64_t slowed_ms;     /* jobs that began before have told us nothing new */
    uint8_t slow;          /* 0 ... SCHED_SLOW_MAX: each doubles the interval */
    uint8_t credit;        /* successes since */
};

/* Between two messages; 0: no pace. rate 0: none is set; then it is slow only while `narrow`
 * (one at a time is too fast): 1 s, 2 s ... 32 s. */
int64_t sched_pace_interval_us(const struct sched_pace *p, uint32_t rate, int64_t rate_ms,
                               bool narrow);
/* A message begins: the monotonic ms at which the next one may, now_ms when at once. */
int64_t sched_pace_begin(struct sched_pace *p, int64_t interval_us, int64_t now_ms);
void sched_pace_trouble(struct sched_pace *p, int64_t now_ms);
void sched_pace_success(struct sched_pace *p);

#endif
