/* For tests: every message of a schedule, in order of age. */
#ifndef POSTERN_TESTS_UNIT_SCHED_EACH_H
#define POSTERN_TESTS_UNIT_SCHED_EACH_H

#include "sched/walk.h"

/* *age: of the one before; 0: from the first on. False: there is no other. */
static inline bool sched_each(const struct sched *s, uint64_t *age, struct sched_msg_info *m_r)
{
    const struct sched_msg *m;
    if (!sched_walk(s, *age, &m, 1))
        return false;
    sched_msg_show(m, m_r);
    *age = m_r->age;
    return true;
}

#endif
