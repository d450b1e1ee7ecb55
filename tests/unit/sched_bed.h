/* For tests: a schedule's clocks, and a router that sends all mail to one place. */
#ifndef POSTERN_TESTS_UNIT_SCHED_BED_H
#define POSTERN_TESTS_UNIT_SCHED_BED_H

#include "sched/sched.h"

static const int64_t WALL = 1790000000000; /* the wall clock at monotonic 0 */

static inline struct sched_now at(int64_t mono_ms)
{
    return (struct sched_now){ .mono_ms = mono_ms, .wall_ms = WALL + mono_ms };
}

/* Routes all that wants to be routed to `dest`; the number of asks. */
static inline size_t route_all(struct sched *s, const char *dest, int64_t now_ms)
{
    struct sched_ask asks[64];
    struct sched_verdict v;
    size_t total = 0, n;
    while ((n = sched_next_to_route(s, at(now_ms), asks, 64)) > 0) {
        for (size_t i = 0; i < n; i++)
            sched_routed(s, asks[i].seq, asks[i].rcpt, SCHED_TO, span_str(dest), at(now_ms), &v);
        total += n;
    }
    return total;
}

#endif
