/* What the files of "why" share: rows, and small tallies of what was met.
 *
 *   admin_why.c  the question; one message
 *   cause_group.c  all mail of an address, a domain, a site or a host
 *   cause_place.c  the gateway itself, destinations, sites, hosts
 *   cause_way.c    deliveries that are under way */
#ifndef POSTERN_QMGR_CAUSE_H
#define POSTERN_QMGR_CAUSE_H

#include "qmgr/admin.h"
#include "qmgr/way.h"

enum {
    CAUSE_PLACES_SHOWN = 20,
    CAUSE_TALLIES_MAX = 5000, /* of a kind, told apart */
};

/* What was met several times, by its name. */
struct cause_tally {
    struct hash_node node;
    uint64_t recipients;
    uint64_t oldest; /* age of a message (sched_age_get) */
    int what;        /* the caller's */
    char key[];
};

void cause_tallies_init(struct hash *h, uint64_t seed);
void cause_tallies_free(struct hash *h);
/* One more of it; NULL: there are too many names. */
struct cause_tally *cause_tally_add(struct hash *h, struct span key, uint64_t recipients,
                                   uint64_t age);
/* Those with the most recipients, up to max; how many. */
size_t cause_tally_best(const struct hash *h, struct cause_tally **best_r, size_t max);

/* Begins {"kind":...; cause_row_end sends the row and frees b. */
struct json cause_row(struct buf *b, const char *kind);
void cause_row_end(struct admin_ask *a, struct json *j, struct buf *b);
void cause_put_who(struct json *j, struct span who, int64_t at_ms); /* of a person's decision */
int64_t cause_wall(struct sched_now now, int64_t mono_ms);

/* As people name it, of one that waits; else what became of it. */
struct span cause_state(const struct sched_rcpt_info *r);
/* "then", of one in a delivery: what becomes of it when that ends without a final outcome, where a
 * person has said something else than to try again. */
void cause_put_then(struct json *j, const struct sched_rcpt_info *r);

void cause_send_now(struct admin_ask *a);
/* The destinations of a tally with the most recipients, and the last word of each host there;
 * and of the host that is asked for by name or address. */
void cause_send_places(struct admin_ask *a, const struct hash *places, struct span host);
/* Members of a recipient that is frozen: by which name, and who froze that. */
void cause_put_frozen(struct json *j, struct qmgr *q, const struct sched_rcpt_info *r);
/* The next try: next_ms as the schedule has it, or where that has none, when the site's rate lets
 * the next one begin. 0: none, or no matter of time. */
int64_t cause_next_ms(const struct qmgr *q, enum queue_state state, struct span dest,
                      int64_t next_ms);
/* At a site with a rate: when the last of those that wait there for their turn begins. */
int64_t cause_latest_ms(const struct sched_place_info *site);
/* Of one that waits for its turn at a site with a rate, among others: that next slot is the site's.
 * "ready_there", how many wait for it, and "latest_try_ms", when the last of them begins at this
 * rate. */
void cause_put_turn(struct json *j, const struct qmgr *q, const struct sched_rcpt_info *r,
                    struct sched_now now);

/* A question to the delivers, whose end begins the next slice. */
struct way *cause_way(struct admin_ask *a);
/* One more job that *w is to ask about; NULL: a question is made. */
void cause_way_add(struct admin_ask *a, struct way **w, const struct job *j);
/* The jobs that it was about: a row for each. */
void cause_send_way(struct admin_ask *a, const struct way *w);

/* target: with its domain as it is compared. */
bool cause_is_address(struct span target, struct sched_addr addr);

/* All mail for a word that is no queue id: ends the question. */
void cause_group(struct admin_ask *a, struct span target);

#endif
