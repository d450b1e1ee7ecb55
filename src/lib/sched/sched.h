/* sched: the queue in memory and its schedule. Pure: no I/O, no clock; time is an argument.
 *
 * The owner (qmgr) adds messages, asks who is to be routed, tells the router's decisions, takes
 * jobs, reports their results, and records what the verdicts say. The life of a recipient:
 *
 *   add -> PENDING -> ROUTING -> READY -> ACTIVE -> DELIVERED | FAILED
 *            ^  (router asked)     |         |----> DEFERRED -> (due) READY, to be routed anew
 *            |---------------------'         '----> READY (the site's trouble, not its own)
 *   WAITING (queue_only, until a run)  HELD (until a release)  EXPIRED  DISCARDED  DELETED
 *
 * Two levels. A destination is a route result (a key string); a site is the MX set behind it, one
 * for many destinations. The owner is asked for it before anything begins there, and again when
 * its answer has grown old (sched_next_to_place); as long as nobody knows, a destination has a
 * site of its own. Sites take turns, and so do the senders of one site's mail.
 *
 * A site that cannot be reached backs off AS A WHOLE: its recipients stay READY, no attempt of
 * theirs is consumed and no timer of theirs runs; when the back-off ends one job probes it, and
 * only that job's recipients count an attempt. Success opens the site to all of them. The
 * drawback: a message to a site in back-off waits for the site's next probe even when it is
 * fresh; sched_retry goes at once. A destination backs off likewise (DNS).
 *
 * At a site senders take turns, and so do the destinations of each: for each message of its own
 * sender that goes first a recipient waits for one of each other sender's there; the first 8 wait
 * in order. Addresses of one domain are one sender up to a + or =, or a digit behind - _ or . (of
 * lists, that have one for each message). (With more than 65536 lines of senders waiting, the
 * rest share one line at each destination.)
 *
 * Many sites that do not answer leave room for the others. All jobs together (jobs_max) are for
 * sites that took something within the last minute; what has worked, and lately has not answered,
 * leaves them the last eighth, and sites never heard of leave the last quarter. What works and
 * takes long (SCHED_LONG_MS the last time) leaves the last eighth, too; and another one to those
 * where nothing is under way. Sites in trouble
 * (what was tried there last failed, or a job there is silent for SCHED_SILENT_MS, or where it
 * worked for SCHED_HUNG_MS; longer where deliveries always take long) have one half. A bound holds
 * for the jobs of all that are trusted less together, so the room above it stays free; a job counts
 * as what its site was when it began. New sites and those in trouble have more than one job only
 * while no new one waits for its first, and half of all is free. Of those that may start
 * something the one goes that waits the longest: none starves, since every job ends.
 * Many that work may stop to answer at one moment and take all, before anything is known of them.
 * Their jobs do not count any more as soon as they are silent, up to as many again (so there are
 * at most twice jobs_max); and while those are more than an eighth, an answer from before they
 * hung counts for nothing, so that what still answers has room for itself.
 * The drawbacks: sites in trouble alone use half of the jobs, slow ones three quarters; and when
 * far more sites than jobs_max stop at one moment, one that works and had not answered since waits
 * with them.
 *
 * Rules: a site may have a number of its own for any limit. A rate lets messages begin evenly. A
 * site that asks for less (421, time-outs, replies about load) is given less: half the jobs, then
 * half the rate, each time again; successes bring it back step by step.
 *
 * The route is asked anew at each attempt: a recipient that comes due again waits at the
 * destination it had, and is sent to the router when that has a slot for it (so 100,000 waiting
 * for one slot are not routed in vain). sched_routes_changed sends all that wait through the
 * router again, without attempts.
 *
 * Time may leap (a machine that slept): what would have expired meanwhile has grace_ms and some
 * more to be tried once more. Retries that fell due meanwhile begin as the limits let them.
 *
 * Clocks: waits and ages run on the monotonic clock. The wall clock is read once for each
 * message, when it is added: that gives its age, at which it then goes on ageing, so that setting
 * the clock expires nothing and hurries nothing. Nothing expires within grace_ms of being added
 * or released. Expiry and warning are timers of their own and fire also behind a wedged site;
 * they rest while a message is held or waits for a queue run. Of mail whose rule is not known (it
 * was not routed since a restart, or its domain is frozen) they are the latest of any rule's.
 *
 * Every operation is O(1) or O(log n) in the number of messages (plus the recipients touched);
 * single-message actions are also O(recipients of that message). */
#ifndef POSTERN_SCHED_SCHED_H
#define POSTERN_SCHED_SCHED_H

#include "envelope/envelope.h"
#include "queue/filter.h"
#include "queue/index.h"

struct sched;

struct sched_now {
    int64_t mono_ms; /* never goes back */
    int64_t wall_ms; /* since the epoch */
};

enum {
    SCHED_REASON_MAX = 200, /* bytes kept of a reason */
    SCHED_JOB_RCPTS_MAX = 1000,
    SCHED_KEPT_MAX = 64,    /* kept connections remembered per site */
    SCHED_STALE_MAX = 3,    /* re-queues at no cost for a recipient */
    SCHED_CURVE_MAX = 16,
    SCHED_RULES_MAX = 1000,
    SCHED_SILENT_MS = 5000,
    SCHED_HUNG_MS = 1000,
    SCHED_LONG_MS = 2000,
};
#define SCHED_FROZEN_REASON "frozen by an administrator"
#define SCHED_ALL UINT32_MAX /* for a recipient's index: all of the message's */

/* What holds at some sites instead of the configuration's own. */
struct sched_rule {
    uint32_t site_initial, site_max;
    uint32_t rate; /* messages that may begin in rate_ms, evenly; 0: no limit */
    int64_t rate_ms;
    int64_t retry_first_ms, retry_max_ms;
    int64_t retry_ms[SCHED_CURVE_MAX]; /* instead of these two: one by one, then the last again */
    uint32_t retry_count;              /* of them; 0: none */
    int64_t warn_after_ms, expire_after_ms;
};

struct sched_config {
    int64_t retry_first_ms, retry_max_ms; /* a recipient's own retries, doubling, +-1/8 jitter */
    int64_t site_first_ms, site_max_ms;   /* back-off of a site or destination, doubling */
    int64_t warn_after_ms, expire_after_ms; /* 0: no warning; since received */
    int64_t grace_ms;
    int64_t lost_ms;      /* first delay after a lost job, doubling with each loss */
    int64_t route_ttl_ms; /* a routed recipient that waited longer is routed again */
    uint32_t site_initial, site_max; /* concurrency of a site */
    uint32_t job_rcpts_max;
    uint32_t jobs_max;       /* at once, all sites together; hung ones: as many again */
    uint32_t idle_dests_max; /* destinations remembered without recipients; at least 16 */
    uint64_t seed;           /* for jitter and hash tables; the same seed repeats a run */
    const struct sched_rule *rules; /* copied; numbered from 1, as sched_place has them */
    uint32_t rule_count;
    bool places; /* the owner knows at which site a destination is: sched_next_to_place */
};

void sched_config_defaults(struct sched_config *c);
/* A rule that says what the configuration says. */
void sched_rule_defaults(struct sched_rule *r, const struct sched_config *c);
struct sched *sched_new(const struct sched_config *c);
void sched_free(struct sched **s);
/* At a reload; not the seed. Rules have other numbers then: where there are any, or were, the owner
 * tells each destination's anew (sched_place), in as many turns as it likes. Nothing begins at a
 * site before, and what waits there ends as if its rule were not known. */
void sched_configure(struct sched *s, const struct sched_config *c);
/* The next destination whose rule is to be told; the key is valid until the next change. */
bool sched_next_to_rule(struct sched *s, struct span *dest_r);

enum sched_state {
    SCHED_PENDING,  /* to be routed */
    SCHED_ROUTING,  /* the router was asked */
    SCHED_READY,    /* waits for a slot at its site */
    SCHED_ACTIVE,   /* in a job */
    SCHED_DEFERRED, /* until next_try */
    SCHED_WAITING,  /* queue_only, for a queue run */
    SCHED_HELD,
    SCHED_LIVE,     /* the states before it are live, those from here on final */
    SCHED_DELIVERED = SCHED_LIVE,
    SCHED_FAILED,
    SCHED_EXPIRED,
    SCHED_DISCARDED,
    SCHED_DELETED,
    SCHED_STATES,
};
const char *sched_state_name(enum sched_state state);

/* --- messages in and out --- */

struct sched_entry_rcpt {
    struct span addr;         /* without <>, up to ENVELOPE_ADDR_MAX */
    struct span reason;       /* last one, or empty */
    struct span before;       /* as in sched_rcpt_info */
    int64_t next_try_wall_ms; /* 0: now; never waited for longer than retry_max */
    uint8_t notify;
    uint8_t done;             /* SCHED_DELIVERED ... when final already; 0: live */
    uint16_t attempts;
    bool warned, held;
    bool duplicate;           /* as in sched_rcpt_info; only looked at by sched_restore */
    bool released;            /* as in sched_rcpt_info */
    bool quarantined;         /* it is the tables that hold it; only looked at by sched_add */
    uint8_t marks;            /* the owner's, below 0x40: given back by sched_rcpt */
};

struct sched_entry {
    uint64_t seq; /* of the queue id: the message's only name here */
    int64_t received_ms;
    uint64_t size_bytes;
    uint32_t flags; /* enum envelope_flag; HOLD, QUEUE_ONLY and DEFER act here */
    struct span sender, listener;
    uint8_t client_len, client[16]; /* the client's address: 0, 4 or 16 bytes */
    const struct sched_entry_rcpt *rcpts; /* all of the envelope's, in its order */
    uint32_t rcpt_count;
};

/* Everything is copied. QUEUE_ONLY and DEFER wait for a run only while attempts is 0. False when
 * the seq is known already. */
bool sched_add(struct sched *s, const struct sched_entry *e, struct sched_now now);

/* At start: what the spool has recorded of one recipient since the message was added: its end
 * (r->done), or attempts, next try, reason, warned, held (r->addr and notify are not looked at).
 * SCHED_ALL: of each. False: not known, or final already. */
bool sched_restore(struct sched *s, uint64_t seq, uint32_t rcpt, const struct sched_entry_rcpt *r,
                   struct sched_now now);

/* Messages below this seq are by `ms` younger than the wall's clock said when they were added, at
 * `from`; 0: they are not. What is due then is given grace_ms. */
void sched_clock_doubt(struct sched *s, uint64_t upto_seq, int64_t ms, struct sched_now from);
/* At start, once for each such time: what was received then (by the wall's clock) is by so much
 * younger than it seems, as the clock was behind. O(n) in those. */
void sched_clock_was(struct sched *s, int64_t from_ms, int64_t to_ms, int64_t behind_ms,
                     struct sched_now now);

/* The next message of which every recipient is final, which this call forgets; the owner frees
 * its spool bytes. Until then the message can still be read by seq. */
bool sched_next_gone(struct sched *s, uint64_t *seq_r);
/* It is not forgotten before as many unpins as pins. False: not known. */
bool sched_pin(struct sched *s, uint64_t seq);
void sched_unpin(struct sched *s, uint64_t seq);

/* --- the flow ---
 * In each turn call sched_next_job, then sched_next_to_route (the first may send others to the
 * router), again until neither yields; sched_next_wake tells when to come again. */

struct sched_ask {
    uint64_t seq;
    uint32_t rcpt;
    uint32_t number;
    bool ahead; /* sched_next_ahead */
};

/* Up to max recipients for the router, now ROUTING; each is to be answered by sched_routed (or
 * sched_route_lost). Fresh mail and what has a slot go first; a quarter is left to the rest. */
size_t sched_next_to_route(struct sched *s, struct sched_now now, struct sched_ask *asks_r,
                           size_t max);

enum sched_decision {
    SCHED_TO,        /* deliver to destination `key` */
    SCHED_NO,        /* permanent error */
    SCHED_NOT_NOW,   /* temporary error */
    SCHED_HOLD,      /* this recipient is held */
    SCHED_WAIT,      /* it waits for a queue run */
    SCHED_DISCARD,
};

/* What became of a recipient: to be logged and, when final or deferred, recorded. */
struct sched_verdict {
    uint32_t rcpt;
    enum sched_state state;
    uint16_t attempts;
    bool duplicate;       /* outcome unknown: the next delivery may be a second one */
    bool warned;          /* told of its delay (SCHED_EVENT_WARN) */
    bool site_wait;       /* READY behind a back-off which ends at next_try */
    int64_t next_try_ms;  /* monotonic; 0 when there is none */
    int64_t next_try_wall_ms;
};

/* Whether this question is still open: not when its recipient has been held, released and so asked
 * about again meanwhile, when the answer to it is from before that. */
bool sched_awaits(const struct sched *s, const struct sched_ask *ask);
/* False when the recipient is not ROUTING any more (held, deleted or expired meanwhile).
 * `text` is the key for SCHED_TO, else the reason. */
bool sched_routed(struct sched *s, uint64_t seq, uint32_t rcpt, enum sched_decision decision,
                  struct span text, struct sched_now now, struct sched_verdict *v_r);
/* The router went away: everything ROUTING will be asked again. */
void sched_route_lost(struct sched *s);
/* Maps were reread: all routed recipients that wait are routed anew before their attempt, those
 * behind a back-off at once. */
void sched_routes_changed(struct sched *s);

struct sched_job {
    uint64_t id;
    uint64_t seq;
    uint64_t size_bytes;
    uint32_t flags;
    const uint32_t *rcpts; /* indices into the envelope; valid until the job's end */
    uint32_t rcpt_count;
    struct span dest, site; /* keys; site is empty until bound; valid until the next call */
    uint32_t more;   /* READY recipients left at this site: is keeping the connection worth it? */
    uint64_t keeper; /* a connection of this site, taken; 0: none */
    bool instead;    /* it is not for this destination, but one too many beside its own */
    bool probe;      /* the only job let through after a back-off */
};

bool sched_next_job(struct sched *s, struct sched_now now, struct sched_job *job_r);

/* The next destination where somebody waits and of which the site is not known, or not any more:
 * nothing begins there until sched_placed (what is under way goes on). To be called until there
 * is none: it asks for each once. The key is valid until the next call. */
bool sched_next_to_place(struct sched *s, struct span *dest_r);
/* The answer, after a sched_place if one was found: it is good until then. Not found: it goes on
 * with the site it has, or with one of its own. */
void sched_placed(struct sched *s, struct span dest_key, int64_t until_ms, bool found);

/* Where a destination is: the MX set, and the rule that holds there (0: none); one rule for all
 * of a site. site_key empty: the site it has. True: it was elsewhere. */
bool sched_place(struct sched *s, struct span dest_key, struct span site_key, uint32_t rule);
/* --- before it is due ---
 * Routes are not on disk: after a start nothing is known of where mail goes that waits for its
 * time, or a queue run, or is held, and so nothing of its site, of who has frozen that, or which
 * rule holds there. It is found out in a pass over the queue, in slices, without an attempt of
 * anything: states and times stay as they are. */
struct sched_ahead { /* a pass; all zero to begin with one */
    uint64_t seq; /* looked at next, */
    uint32_t rcpt;
    uint64_t unknown; /* not known when it was looked at; known to be at no site is known */
    bool over;
};
/* Up to max recipients for the router; each may be answered by sched_routed_ahead. Those that are
 * to be routed for an attempt go first: 0 as long as there are any. At so many destinations that
 * they would be much memory it asks about no more. */
size_t sched_next_ahead(struct sched *s, struct sched_now now, struct sched_ahead *pass,
                        struct sched_ask *asks_r, size_t max);
/* It goes to the destination `key`. False: it is known by now, or gone. */
bool sched_routed_ahead(struct sched *s, const struct sched_ask *ask, struct span key,
                        struct sched_now now);
/* As sched_next_to_place, of destinations that a pass has come by; any number of calls. */
bool sched_next_to_place_ahead(struct sched *s, struct span *dest_r);

/* In which order the destination has its site's hosts. A kept connection is for those that have the
 * same hosts in front (`best`), or, when it goes to another host, the same order altogether. Both
 * 0, as at first: the site's key says it all. */
struct sched_mx {
    uint64_t best, all;
};
void sched_set_mx(struct sched *s, struct span dest_key, struct sched_mx mx);
/* The same as sched_place by a job, without a change of the rule. */
bool sched_bind(struct sched *s, uint64_t job_id, struct span site_key);

enum sched_outcome_kind {
    SCHED_OUT_DELIVERED,
    SCHED_OUT_FAILED,
    SCHED_OUT_DEFERRED,
    SCHED_OUT_UNKNOWN, /* stalled or dropped after the final dot: deferred, perhaps a duplicate */
    SCHED_OUT_STALE,   /* the kept connection had died before MAIL: at once again, at no cost */
    SCHED_OUT_SITE,    /* the site (or destination) could not be used: waits with it. Only with
                          news of trouble; else it is as DEFERRED */
};

struct sched_outcome {
    enum sched_outcome_kind kind;
    struct span reason; /* cut at SCHED_REASON_MAX; control bytes become '?' */
};

enum sched_news {
    SCHED_NEWS_NONE,      /* nothing learned */
    SCHED_NEWS_OK,        /* a transaction ran: a back-off is over; and if something was
                             delivered, concurrency grows */
    SCHED_NEWS_BUSY,      /* 421, time-out, connection lost in the middle: concurrency is
                             halved; with no other job there and recipients that wait with the
                             site (OUT_SITE), back-off */
    SCHED_NEWS_DOWN,      /* no host reachable or greeting well: halved; with no other job
                             there, back-off */
    SCHED_NEWS_CROWDED,   /* 421 in place of a greeting: where others of ours are there, or were
                             a moment ago, it has one connection less; else as DOWN */
    SCHED_NEWS_DEST_DOWN, /* the destination alone (its DNS): it backs off, not the site */
    SCHED_NEWS_SLOW,      /* it asks for less: as BUSY, and never a back-off. Both also slow the
                             rate; where none is set, one at a time begins later and later */
};

struct sched_result {
    const struct sched_outcome *outcomes; /* one for each of the job's rcpts, in its order */
    enum sched_news news;
    struct span why;  /* the site's or destination's trouble; empty: none */
    /* A connection is still there under this name; 0: none. It is counted as one until a job takes
     * it or sched_unkeep. */
    uint64_t keeper;
    uint64_t under; /* for those with this mx.best or mx.all; SCHED_ENDING: for nobody */
};
#define SCHED_ENDING UINT64_MAX

/* Ends the job. verdicts_r has room for its rcpt_count. False when the id is not known. */
bool sched_job_result(struct sched *s, uint64_t job_id, const struct sched_result *res,
                      struct sched_now now, struct sched_verdict *verdicts_r);
/* What that did to the pace of its site: told once for each change, when it is slowed further at
 * most once a minute. Of the last sched_job_result. */
enum sched_change {
    SCHED_SAME,
    SCHED_SLOWED,   /* fewer jobs at once than its rule begins with, or slower ones */
    SCHED_RESTORED, /* no less than its rule has, any more */
};
enum sched_change sched_change(const struct sched *s);
/* The process that had it is gone: its recipients come due after a small delay, flagged as
 * possible duplicates. verdicts_r may be NULL. */
bool sched_job_lost(struct sched *s, uint64_t job_id, struct sched_now now,
                    struct sched_verdict *verdicts_r);
/* Whether another connection to the job's site would be remembered: if not, it is to be closed.
 * Those that are kept and those of jobs are no more than a site may have at once: when they would
 * be, a job closes one that is not for it first (sched_job.instead). */
bool sched_may_keep(const struct sched *s, uint64_t job_id);
/* A kept connection was closed. */
void sched_unkeep(struct sched *s, struct span site_key, uint64_t keeper);

enum sched_event_kind { SCHED_EVENT_EXPIRED, SCHED_EVENT_WARN };
struct sched_event {
    enum sched_event_kind kind;
    uint64_t seq;
    uint32_t rcpt;
    bool last;   /* the last one of this message for now: compose one report of all */
    bool behind; /* it waits, or waited, for the end of a back-off: the reason is that one's */
    struct span reason, dest; /* as sched_rcpt has them before the event; until the next call */
    int64_t after_ms;         /* warn_after or expire_after, as its rule has it */
    int64_t expires_ms;       /* monotonic: when its time is over */
};
/* Expiry (the recipient is final now) and delay warning (told once per recipient). */
bool sched_next_event(struct sched *s, struct sched_now now, struct sched_event *ev_r);

/* What the owner can take now: the router may be away, deliver may have no hands free. */
enum sched_can { SCHED_CAN_ROUTE = 1, SCHED_CAN_START = 2 };
/* Monotonic time at which a call of the three sched_next_* may yield what the owner can take
 * (sched_can bits); now.mono_ms when at once; INT64_MAX: only after a change. */
int64_t sched_next_wake(const struct sched *s, struct sched_now now, uint32_t can);

/* --- actions; `rcpt` is an index or SCHED_ALL; each returns how many recipients it changed --- */

void sched_run_queue(struct sched *s); /* all WAITING become due, in order */
/* At start: those of mail received until then do, as there has been a run since it came. */
void sched_run_before(struct sched *s, int64_t received_ms);
/* Due now, and past any back-off of its destination and site. */
uint32_t sched_retry(struct sched *s, uint64_t seq, uint32_t rcpt, struct sched_now now);
/* Due now, as when its time comes (or the queue run it waits for): a back-off stays. */
uint32_t sched_due(struct sched *s, uint64_t seq, uint32_t rcpt, struct sched_now now);
/* Nothing is started for a domain, a destination or a site by its key, until thawed; those names
 * are kept here only. False: it is so already (or very many names are frozen). */
bool sched_freeze(struct sched *s, struct span name);
bool sched_thaw(struct sched *s, struct span name);
void sched_each_frozen(const struct sched *s, void (*fn)(void *, struct span name), void *arg);
/* The frozen name that holds up this recipient. False: none does (r->frozen is false). The name is
 * valid until it is thawed. */
struct sched_rcpt_info;
bool sched_frozen_as(const struct sched *s, const struct sched_rcpt_info *r, struct span *name_r);
/* A recipient in a job is held (deleted) when its job ends without a final outcome. */
uint32_t sched_hold(struct sched *s, uint64_t seq, uint32_t rcpt, struct span reason);
/* The same for one that was released to be tried once, and is as it was before: `released`. */
bool sched_hold_again(struct sched *s, uint64_t seq, uint32_t rcpt, struct span reason,
                      bool released);
/* reason: the new one of those that were held; empty: the old one stays. */
uint32_t sched_release(struct sched *s, uint64_t seq, uint32_t rcpt, struct span reason,
                       struct sched_now now);
uint32_t sched_delete(struct sched *s, uint64_t seq, uint32_t rcpt);
/* A recipient that is in no job becomes final now. False: it is in one, or not known. */
bool sched_end(struct sched *s, uint64_t seq, uint32_t rcpt, enum sched_state state);
/* To the router again, at once and whatever its present destination: not when held. */
uint32_t sched_reroute(struct sched *s, uint64_t seq, uint32_t rcpt, struct sched_now now);
/* A failure nobody can be told of: FAILED or EXPIRED is HELD instead. Only until sched_next_gone
 * has told of the message; false then (see sched_pin). before: how it failed. */
bool sched_hold_failed(struct sched *s, uint64_t seq, uint32_t rcpt, struct span reason,
                       struct span before);

/* --- looking --- */

struct sched_addr { /* local@domain, or local alone when there is no domain */
    struct span local, domain; /* the domain in lower case */
    bool whole; /* local holds the whole address, as its domain is not as it is compared */
};
void sched_addr_put(struct buf *b, struct sched_addr a); /* the address as it was given */
struct span sched_addr_domain(struct sched_addr a); /* as it was given, when a.whole */

struct sched_msg_info { /* spans are valid until the next change */
    uint64_t seq;
    int64_t received_ms;
    uint64_t size_bytes;
    uint32_t flags, rcpt_count, live_count;
    struct sched_addr sender;
    uint64_t age;                 /* for sched_walk (sched/walk.h) */
    const struct sched_msg *here; /* for sched_msg_rcpt; until the next change */
};
struct sched_rcpt_info {
    enum sched_state state;
    struct sched_addr addr;
    uint8_t notify;
    uint16_t attempts;
    bool warned, duplicate;
    bool released; /* it was held or waited for a run, and was let go */
    bool frozen;      /* before its attempt, and nothing is started for it */
    bool quarantined; /* held by the tables, and by nobody else */
    bool to_be_held;  /* in a job, and held when that ends without a final outcome; */
    bool to_be_deleted; /* or deleted */
    uint8_t marks;
    struct span reason; /* its own; when READY that of its site, while that has trouble; or "" */
    struct span before; /* of one that was held, released, or is frozen: what was said last before
                           that, where it is something else */
    struct span dest, site; /* of the last route; empty when none */
    /* Hashes of the texts (reason: with `before`), for who compares very many of them; 0: none is
     * known. */
    uint64_t domain_hash, place_hash, reason_hash;
    int64_t next_try_ms; /* monotonic; of the back-off when READY behind one; 0 = none */
};

bool sched_msg(const struct sched *s, uint64_t seq, struct sched_msg_info *m_r);
bool sched_rcpt(const struct sched *s, uint64_t seq, uint32_t rcpt, struct sched_rcpt_info *r_r);
bool sched_age_get(const struct sched *s, uint64_t age, struct sched_msg_info *m_r);
/* As sched_rcpt, without a look-up. */
bool sched_msg_rcpt(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r);
/* What is to be kept of it in the place of `before` when it is held, or released, now. */
struct span sched_msg_earlier(const struct sched_msg *m, uint32_t rcpt);
struct span sched_msg_listener(const struct sched_msg *m);
/* When it was received, on the monotonic clock: its age, whatever the wall's clock is set to. */
int64_t sched_msg_born_ms(const struct sched *s, const struct sched_msg *m);
struct span sched_msg_client(const struct sched_msg *m); /* 0, 4 or 16 bytes */
/* The first age of a message received at this time. */
uint64_t sched_age_at(int64_t received_ms);
int64_t sched_age_ms(uint64_t age); /* and back */

/* What is known of a site decides how much of all jobs it may take. */
enum sched_share {
    SCHED_ANSWERS, /* it took something within the last minute, and not slowly */
    SCHED_WORKS,   /* it took what it was given last */
    SCHED_NEW,     /* nothing is known */
    SCHED_TROUBLE, /* what was tried last failed, or is silent */
    SCHED_SHARES,
};
/* Jobs of this share and of those that are trusted less, and how many may be. */
struct sched_share_info {
    uint32_t jobs, max;
};
struct sched_share_info sched_share(const struct sched *s, enum sched_share share);

struct sched_totals {
    uint64_t messages, bytes;
    uint64_t rcpts[SCHED_LIVE]; /* by state */
    uint32_t jobs, dests, sites;
    uint32_t silent_jobs; /* of these: they take longer than they should */
    uint64_t unsited;     /* recipients of which it is not known at which site they are */
};
struct sched_totals sched_totals(const struct sched *s);

struct sched_place_info { /* a destination or a site */
    struct span key;       /* empty: a site not bound yet */
    struct span site;      /* of a destination */
    uint32_t rcpts[SCHED_LIVE];
    uint32_t active, limit; /* jobs; limit is 0 for "no limit of its own" */
    int64_t down_until_ms;  /* 0: not in back-off */
    int64_t site_down_until_ms; /* of a destination: its site's */
    uint32_t down_level;    /* consecutive failures */
    struct span why;        /* of the back-off, or of what is less than it might be */
    uint32_t rule;          /* of a site, and all below: */
    uint32_t limit_max;
    uint32_t rate;          /* as the rule has it; 0: none */
    int64_t rate_ms;
    int64_t interval_us;    /* at present between two messages; 0: none */
    uint32_t slow;          /* how often the interval was doubled */
    enum sched_share share; /* for its next job */
    bool crowded;           /* it waits only because its share of all jobs is taken: */
    struct sched_share_info full;
    int64_t paced_until_ms; /* nothing begins before; 0: no matter of the rate */
    bool frozen;            /* by a person */
    bool asking;            /* of a destination: nothing begins before its site is known */
    uint32_t senders;       /* of a destination: who take turns at its site */
};
bool sched_dest(const struct sched *s, struct span key, struct sched_place_info *p_r);
/* The site behind a destination. */
bool sched_site_of(const struct sched *s, struct span dest_key, struct sched_place_info *p_r);
/* When a recipient is given up, on the monotonic clock; in an attempt then: when that is over.
 * After a release or a start that is later than its age alone says, by the grace. INT64_MAX: not
 * while it rests (held, waiting for a run) or will when its attempt is over, or it is gone. */
int64_t sched_msg_ends_ms(const struct sched *s, const struct sched_msg *m, uint32_t rcpt);
/* The age at which mail is given up there; empty: of mail that has no destination yet. */
int64_t sched_expire_ms(const struct sched *s, struct span dest_key);

/* --- groups (queue/index.h) --- */

/* What the members of a cell have in common. Spans as in sched_msg_info. */
struct sched_cell_info {
    struct span domain, dest, site; /* RCPTS: of the recipient; dest, site: empty when not routed */
    struct span reason;             /* that of its site, as sched_rcpt_info; else: */
    bool folded;                    /* a class of reasons (queue/reason.h) */
    struct span class;              /* that of their own last words, or empty; some may have been
                                       said before a decision (sched_rcpt_info's `before`): */
    struct span before;             /* when frozen: the place's reason; empty: their own */
    enum queue_state state;
    enum sched_state at; /* PENDING also stands for ROUTING */
    int64_t next_try_ms; /* the first; monotonic; 0: none */
    struct span listener;      /* MESSAGES, CLIENTS */
    struct span sender_domain; /* MESSAGES */
    struct span sender;  /* the whole address; of very many senders some are not told apart: */
    bool sender_known;
    struct span client; /* CLIENTS: 0, 4 or 16 bytes; of very many some are not told apart: */
    bool client_known;
};
struct queue_index *sched_index(struct sched *s);
void sched_cell(const struct queue_cell *c, struct sched_cell_info *c_r);
/* The state of a recipient as people name it. */
enum queue_state sched_queue_state(const struct sched_rcpt_info *r);

#endif
