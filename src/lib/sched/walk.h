/* walk: for who looks at very many messages, one after the other in order of age. It spares the
 * search for each of them, the wait for their memory, and what nobody asked for. */
#ifndef POSTERN_SCHED_WALK_H
#define POSTERN_SCHED_WALK_H

#include "sched/sched.h"

/* Those that follow on an age, up to n, into m_r; returns how many. They are to be used before
 * anything is changed in the schedule, which may free them. */
size_t sched_walk(const struct sched *s, uint64_t after_age, const struct sched_msg **m_r,
                  size_t n);
/* This one is looked at soon. */
void sched_walk_soon(const struct sched_msg *m);

void sched_msg_show(const struct sched_msg *m, struct sched_msg_info *m_r);
/* As sched_msg_rcpt, but no more than the state and the address. */
bool sched_msg_rcpt_addr(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r);

#endif
