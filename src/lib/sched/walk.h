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
/* What will be looked at: their memory is fetched beforehand, and no other. */
enum {
    SCHED_WALK_RCPTS = 1,
    SCHED_WALK_TEXT = 2,    /* addresses, and the client's */
    SCHED_WALK_DOMAIN = 4,  /* the text of a recipient's */
    SCHED_WALK_PLACE = 8,   /* destination, site, and all else that sched_msg_rcpt shows */
    SCHED_WALK_SENDER = 16, /* sched_msg_sender, or the listener */
    SCHED_WALK_STATE = 32,  /* what makes its state */
    SCHED_WALK_NUMBER = 64, /* the hash of its domain */
};
/* Of this one soon; of one that this was called for, what it refers to; and what that does. */
void sched_walk_soon(const struct sched_msg *m, unsigned what);
void sched_walk_next(const struct sched_msg *m, unsigned what);
void sched_walk_now(const struct sched_msg *m, unsigned what);

void sched_msg_show(const struct sched_msg *m, struct sched_msg_info *m_r);
/* As sched_msg_rcpt, but no more than the state and the address. */
bool sched_msg_rcpt_addr(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r);
/* As sched_msg_rcpt, but no more than the state, all that makes it, and the next try. */
bool sched_msg_rcpt_state(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r);
/* And its domain, with the hash. */
void sched_msg_rcpt_domain(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r);
/* The class of the reason that sched_msg_rcpt shows of it. Empty: that is not known here. */
struct span sched_msg_rcpt_class(const struct sched_msg *m, uint32_t rcpt);
/* Until when its site's rate lets nothing begin; 0: it does, or there is none. */
int64_t sched_msg_rcpt_paced_ms(const struct sched_msg *m, uint32_t rcpt);
/* Hash of the domain of its first recipient, as sched_msg_rcpt has it; 0: none is known. */
uint64_t sched_msg_domain_hash(const struct sched_msg *m);
/* The sender as it was given, in one text for all messages of his. False: one of so many that
 * each message has its own. */
bool sched_msg_sender(const struct sched_msg *m, struct span *sender_r);
/* Of that text; 0: each message has its own. */
uint64_t sched_msg_sender_hash(const struct sched_msg *m);

/* Whether any message came in by that listener. */
bool sched_walk_listener(const struct sched *s, struct span name);

/* The reasons that recipients have, each with its class (queue/reason.h) and what was said before
 * it (or nothing), a few at a time. Calls fn for those of the next bucket; returns as
 * sched_walk_places does. */
struct sched_reason_walk { /* zeroed: from the beginning */
    size_t at, size;
};
int sched_walk_reasons(const struct sched *s, struct sched_reason_walk *w,
                       void (*fn)(void *arg, struct span class, struct span reason,
                                  struct span before),
                       void *arg);

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
