/* reroute: mail that an administrator sends another way than the tables say: some recipients, until
 * they are delivered, or by rule, all mail for a domain, a destination or a site until the rule is
 * withdrawn. Both outlive this process (keep.h). */
#ifndef POSTERN_QMGR_REROUTE_H
#define POSTERN_QMGR_REROUTE_H

#include "qmgr/inside.h"

enum {
    REROUTES_MAX = 200000,    /* recipients */
    REROUTE_HOP_MAX = 1000,   /* bytes */
    REROUTE_RULES_MAX = 1000,
    REROUTE_NAME_MAX = 512,
};

/* Whether a next hop can be read, as smart_host has them. One that does not exist, or leads back to
 * us, is refused by who asks (the resolver knows), or puts mail off (reroute_spare). */
bool reroute_check(struct span hop, struct err *err);

/* --- recipients --- */

/* False: there are too many already. To be kept by keep_flush. */
bool reroute_set(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct span hop);
/* Its next attempt goes where the tables and rules say again. False: it has no way of its own. */
bool reroute_unset(struct qmgr *q, uint64_t seq, uint32_t rcpt);
/* The route of a recipient that has one, by itself or by its domain's rule, in `a`. */
bool reroute_find(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct arena *a,
                  struct route_dest *d_r);
/* What the tables say leads to a destination or site with a rule: another route is put in *d. */
bool reroute_place(struct qmgr *q, struct arena *a, struct route_dest *d);
/* A job for a next hop that an administrator gave and of which the DNS says that it will never
 * do: no mail is lost by a slip of the finger. What would fail for that is put off instead, with
 * words that name the next hop. False: it is none of that kind; else *why_r is the trouble. */
bool reroute_spare(struct qmgr *q, struct job *j, struct span *why_r);
void reroute_gone(struct qmgr *q, uint64_t seq);
void reroutes_free(struct qmgr *q);

/* --- rules --- */

struct reroute_rule {
    struct span name, hop, who; /* as long as no rule is changed */
    int64_t since_ms;           /* wall */
};
/* To be kept by keep_flush. False: the name is too long, or there are too many. */
bool reroute_rule_set(struct qmgr *q, struct span name, struct span hop, struct span who);
bool reroute_rule_remove(struct qmgr *q, struct span name); /* false: there is none */
bool reroute_rule_get(struct qmgr *q, struct span name, struct reroute_rule *r_r);
/* The rule that mail for this domain, or else with this destination, meets; where it leads to. */
bool reroute_rule_for(struct qmgr *q, struct span domain, struct span dest, struct arena *a,
                      struct reroute_rule *r_r, struct route_dest *d_r);
void reroute_rules(struct qmgr *q, void (*fn)(void *ctx, const struct reroute_rule *r), void *ctx);

/* --- for keep.c --- */

void reroutes_restore(struct qmgr *q);
/* What is not as the notes have it is put there. */
void reroutes_note(struct qmgr *q);

#endif
