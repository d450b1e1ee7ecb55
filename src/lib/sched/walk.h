/* walk: for who looks at very many messages, one after the other in order of age. It spares the
 * search for each of them, the wait for their memory, and what nobody asked for. */
#ifndef POSTERN_SCHED_WALK_H
#define POSTERN_SCHED_WALK_H

#include "sched/sched.h"

/* Those that follow on an age, up to n, into m_r; returns how many. They are to be used before
 * anything is changed in the schedule, which may free them. */
size_t sched_walk(const struct sched *s, uint64_t after_age, const struct sched_msg **m_r,
                  size_t n);
/* The age of the youngest there is; 0: there is none. Not the present time: the clock may have been
 * set back since it came. */
uint64_t sched_walk_end(const struct sched *s);
/* This one is looked at soon, with_rcpts or without. */
void sched_walk_soon(const struct sched_msg *m, bool with_rcpts);
/* The next but a few: its first recipient's domain. */
void sched_walk_next(const struct sched_msg *m);

void sched_msg_show(const struct sched_msg *m, struct sched_msg_info *m_r);
/* As sched_msg_rcpt, but no more than the state and the address. */
bool sched_msg_rcpt_addr(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r);

/* Whether any message came in by that listener. */
bool sched_walk_listener(const struct sched *s, struct span name);

/* The reasons that recipients have, each with its class (queue/reason.h), a few at a time. Calls fn
 * for those of the next bucket; returns as sched_walk_places does. */
struct sched_reason_walk { /* zeroed: from the beginning */
    size_t at, size;
};
int sched_walk_reasons(const struct sched *s, struct sched_reason_walk *w,
                       void (*fn)(void *arg, struct span class, struct span reason), void *arg);

/* Destinations, and the sites behind them, a few at a time. */
enum sched_place_kind {
    SCHED_PLACE_DEST,
    SCHED_PLACE_SITE,
    SCHED_PLACE_NAMELESS, /* the site of a destination of which nobody knows it yet */
};
struct sched_place_walk { /* zeroed: from the beginning */
    bool sites;
    size_t at, size;
};
/* Calls fn for those of the next bucket, with the key that sched_place_find takes. 1: there may be
 * more; 0: that was all; -1: so many have come meanwhile that it begins anew. What comes or goes
 * meanwhile may be left out. */
int sched_walk_places(const struct sched *s, struct sched_place_walk *w,
                      void (*fn)(void *arg, enum sched_place_kind kind, struct span key,
                                 const struct sched_place_info *p),
                      void *arg);
bool sched_place_find(const struct sched *s, enum sched_place_kind kind, struct span key,
                      struct sched_place_info *p_r);

#endif
