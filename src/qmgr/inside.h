/* The inside of qmgr, for the files of this folder.
 *
 * qmgr is the only opener of spool files and the owner of the schedule. What a turn does, in
 * order: handlers take messages in and results back; the WORK hook hands out what has become
 * due; the FLUSH hook makes the batch durable and only then tells smtpd. A job or a receipt
 * never leaves before what it stands for is on disk. */
#ifndef POSTERN_QMGR_INSIDE_H
#define POSTERN_QMGR_INSIDE_H

#include "base/arena.h"
#include "base/hash.h"
#include "config/config.h"
#include "dsn/dsn.h"
#include "events/events.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "proto/control.h"
#include "proto/qmgr_deliver.h"
#include "proto/qmgr_router.h"
#include "proto/smtpd_qmgr.h"
#include "qmgr/recent.h"
#include "role/role.h"
#include "route/route.h"
#include "sched/sched.h"
#include "spool/spool.h"
#include "trail/trail.h"

enum {
    PEERS_MAX = 64,          /* smtpd or deliver instances */
    BATCH_MAX = 4096,        /* messages committed in one turn */
    JOB_INLINE_MAX = 256 << 10, /* content that goes along with its job */
    JOB_RCPTS_MAX = 300, /* so that with the longest addresses a job is one message of a channel */
    ROUTES_AT_ONCE = 512,    /* router questions per turn */
    AHEAD_ROUTES = 100,      /* those of mail that is not due */
    COMPACT_SLICE_BYTES = 1 << 20,
    COMPACT_SMALL_BYTES = 128 << 10, /* the same, while small mail comes in */
    JOBS_QUEUED_BYTES = 1 << 20, /* at a deliver: some jobs of 100K, or it would go hungry */
    CONTENT_TURN_BYTES = 512 << 10, /* of large messages to all delivers in one turn */
    CONTENT_SMALL_BYTES = 128 << 10, /* the same, while small mail comes in */
    EXTENTS_MAX = 128,       /* of one turn, put by until its commits are answered */
    EXTENT_SMALL_BYTES = 64 << 10,   /* of EXTENT_WINDOW_BYTES, while small mail comes in */
    SMALL_RECENT_MS = 1000,  /* so long after a small message others are expected */
    DSN_AT_ONCE = 200,       /* recipients in one report */
    ASKS_MAX = 4096,         /* router questions on their way */
    DESTS_MAX = 200000,      /* destinations remembered */
};

/* In a message's flags in the schedule only: its envelope has ENVID or ORCPT. */
#define QMGR_HAS_DSN (UINT32_C(1) << 31)
/* ... another address in the place of the sender in MAIL. */
#define QMGR_SHOWN (UINT32_C(1) << 30)

/* Marks of recipients in the schedule. */
enum {
    QMGR_EXPANDED = 1,
    QMGR_OWN_SENDER = 2,
    QMGR_TOLD = 4, /* ENVELOPE_RCPT_ALIAS or _LIST: it goes nowhere */
};

struct qmgr;
struct report;

struct smtpd_peer {
    struct qmgr *q;
    int index;
    struct channel *channel;
    bool told_full;
    uint64_t untold_bytes; /* of extents, written and not told of */
    struct hash streams; /* struct stream by txn: those with extents */
};

/* A transaction that has sent extents. */
struct stream {
    struct hash_node node;
    uint64_t txn;
    int error; /* errno of the first extent that was refused */
    uint64_t bytes;
};

/* An extent that came in this turn: it is written when the turn's commits have been answered. */
struct waiting_extent {
    struct smtpd_peer *from;
    uint64_t txn; /* 0: written, or not wanted any more */
    uint64_t seq;
    struct span data; /* in the channel's memory */
};

/* A message in this turn's batch: everything points into this turn's memory. */
struct batch_item {
    uint64_t txn;
    struct smtpd_peer *from; /* NULL: a report of our own, this: */
    struct report *report;
    struct envelope env;
    uint64_t size_bytes;
};

struct job_rcpt {
    enum sched_outcome_kind kind;
    uint8_t result, cause, stage, bits;
    unsigned code;
    struct span enhanced, reply, text, host; /* in the job's arena */
    struct netaddr relay;
    int64_t ms;
    bool told;
};

/* What a destination key stands for, as deliver is told. */
struct dest {
    struct hash_node node;
    struct list order; /* in q->dest_order */
    struct span mailer;
    uint64_t failed_seq; /* the message whose attempt failed last; 0: none */
    struct queueid failed_id;
    char *story; /* of that attempt, also when the message is gone; NULL: not kept */
    size_t story_len;
    struct list told; /* in q->told: those that have one, the newest last */
    size_t key_len, mailer_len, codec_len;
    char bytes[]; /* key, mailer, codec */
};

/* A job at a deliver. */
struct job {
    struct hash_node node;
    uint64_t id, seq;
    struct deliver_peer *at;
    struct arena *arena;
    struct span dest, mailer; /* in the arena */
    uint32_t flags;
    uint32_t *rcpts;
    struct job_rcpt *got;
    struct sched_outcome *outcomes; /* at its end: what is told the schedule, */
    struct sched_verdict *verdicts; /* and what it makes of it */
    uint32_t rcpt_count;
    struct spool_reader *reader; /* large content: open while the job runs */
    struct list want_node;       /* deliver waits for content from here on */
    uint64_t want_offset;
    uint32_t want_bytes;
    int64_t begun_ms;
    uint32_t late;  /* how often it was seen to be late */
    uint64_t watch; /* of a run with somebody who looks on; 0: none */
    bool joined;    /* ... who came when it was under way: it is not the run's own */
    struct span story; /* at its end: deliver's, of those that were put off; or empty */
};

struct deliver_peer {
    struct qmgr *q;
    int index;
    struct channel *channel;
    uint32_t jobs;
};

struct qmgr {
    struct role_env *env;
    struct config *config;
    struct spool *spool;
    struct sched *sched;
    struct hash jobs; /* struct job by id */
    struct smtpd_peer smtpds[PEERS_MAX];
    struct deliver_peer delivers[PEERS_MAX];
    struct channel *router, *resolver, *control;
    struct batch_item *batch;
    uint64_t *batch_seqs; /* of the batch's items */
    size_t batch_count, batch_done;
    uint64_t leased_upto; /* no message has a counter from here on */
    struct recent *recent;
    struct arena *turn;   /* decoded envelopes of this turn */
    struct arena *routed; /* one decoded destination */
    struct sched_ask asks[ASKS_MAX]; /* questions at the router, by slot; seq 0: free */
    struct asked *asked[ASKS_MAX];   /* with whom each was asked about; NULL: alone */
    uint16_t free_asks[ASKS_MAX];
    size_t free_ask_count, ahead_asks; /* ahead: of those on their way, ahead.c's */
    struct {
        uint64_t seq; /* 0: none */
        struct arena *arena;
        struct envelope env;
    } seen; /* the envelope that was read last: its recipients are asked for one by one */
    struct hash dests; /* struct dest by key: what the router last said a key means */
    struct list dest_order; /* the same: those that were not looked at for long come first */
    size_t dests_max;
    struct list told; /* struct dest with a story, the oldest first */
    size_t told_count;
    uint64_t next_own_txn;
    struct loop_hook work, flush, serve, extents;
    struct waiting_extent waiting[EXTENTS_MAX];
    size_t waiting_count;
    int64_t small_ms; /* when the last small message came in; 0: none yet */
    int64_t pace_ns;  /* owed to small mail for the extents written */
    struct loop_timer pace;
    struct loop_timer wake, late, run, upkeep, finish, again, serve_more;
    struct list wants; /* struct job, in the order they asked */
    struct list reports_asking; /* router is to say who gets them */
    struct list reports;     /* struct report: their commit is to be tried again */
    struct list reports_out; /* in the batch */
    size_t report_count;     /* in reports */
    uint64_t next_expand, report_serial; /* serial: of the one begun last */
    bool started, finishing, full, stuck;
    size_t late_outcomes; /* recorded, and not written yet */
    int64_t checked_ms; /* when it was last looked whether a deliver is stuck */
    int64_t dirty_since_ms, dirty_seen_ms; /* of outcomes: wall, as the spool says; monotonic */
    int next_deliver;
    /* recovery */
    uint64_t recovered, recovered_bytes;
    struct admin_state *admin;
    struct reroutes *reroutes; /* reroute.c */
    struct keeper *keeper;     /* keep.c; NULL: not opened yet */
    struct sites *sites; /* sites.c */
    struct ahead *ahead; /* ahead.c; NULL: not started */
    struct live *lives; /* runs that go on */
    uint64_t next_live;
    struct list ways; /* struct way: questions to the delivers */
    uint64_t next_way;
    struct hosts *hosts; /* NULL: none was tried yet */
    struct vitals *vitals; /* NULL: watch was not there yet */
    struct clock *clock;   /* clock.c; NULL: the spool is not open */
};

/* intake.c: mail from smtpd, receipts back */
void intake_peer(struct qmgr *q, int index, int fd);
void intake_forget(struct smtpd_peer *p); /* what it was sending; the spool is not told */
void intake_receipt(void *ctx, const struct receipt *r);
void intake_refused(void *ctx, uint64_t txn, int error);
void intake_space(struct qmgr *q);
void intake_extents(void *ctx); /* hook: writes what came in this turn */
void intake_paced(void *ctx);   /* timer: the pause for small mail is over */
/* Small mail comes in these days: the turns are to be short. */
bool intake_small(const struct qmgr *q);
bool intake_any_peer(const struct qmgr *q);
/* Adds one message to the batch: to be called before spool_commit with the same txn. */
struct batch_item *batch_add(struct qmgr *q);
/* What the schedule is told of a message: rcpts has room for all its recipients. */
struct sched_entry entry_of(const struct envelope *env, uint64_t size_bytes,
                            struct sched_entry_rcpt *rcpts);

/* store.c: opening the spool, its events, flushing */
bool store_open(struct qmgr *q, struct err *err);
void store_configure(struct qmgr *q); /* after a reload */
/* A message's envelope, valid until the next call; NULL: it cannot be read. */
const struct envelope *store_envelope(struct qmgr *q, uint64_t seq);
void store_flush(struct qmgr *q);
void store_flush_soon(struct qmgr *q, size_t outcomes); /* so many more wait for it */
void store_upkeep(void *ctx);
/* What becomes of mail cannot be written for a while: nothing more is to be begun, since a crash
 * would repeat it all, and what waits to be written is kept in memory. */
bool store_stuck(struct qmgr *q);

/* dispatch.c: routes asked, jobs given */
void dispatch_router(struct qmgr *q, int fd);
void dispatch_forget_asks(struct qmgr *q); /* nobody answers what router was asked */
void dispatch_pump(struct qmgr *q);
struct sched_now qmgr_now(const struct qmgr *q);
const struct dest *dest_find(const struct qmgr *q, struct span key);
/* An attempt, with its story: of some hundred destinations the last one is remembered. */
void dest_failed(struct qmgr *q, struct span key, uint64_t seq, struct span story);
void dests_free(struct qmgr *q);

/* The routes of some that are not due, as far as the router has room; how many. */
size_t dispatch_ahead(struct qmgr *q, struct sched_ahead *pass, size_t max);

/* ahead.c: after a start, where mail goes that is not due */
void ahead_start(struct qmgr *q);
void ahead_again(struct qmgr *q); /* from the beginning; nothing before the start */
void ahead_free(struct qmgr *q);

/* qmgr.c */
void qmgr_check_finished(struct qmgr *q);

/* rules.c: delivery_rule */
/* c is given the rules, which the caller frees after its use. */
struct sched_rule *rules_of(const struct config *cfg, struct sched_config *c);
/* d->queue, in q->routed, also says of which rules the message is. False: it does not fit. */
bool rules_route(struct qmgr *q, const struct sched_ask *ask, struct route_dest *d);
/* What holds for this destination; site empty: the one it has. True: it was at another one. */
bool rules_place(struct qmgr *q, struct span dest, struct span site);
/* After a reload: tells the schedule some destinations' rules anew. */
void rules_pump(struct qmgr *q);

/* sites.c: at which site a destination is */
void sites_new(struct qmgr *q);
void sites_free(struct qmgr *q);
void sites_resolver(struct qmgr *q, int fd);
/* A delivery has found it elsewhere, where it is now: resolver is asked anew, but not at once. */
void sites_elsewhere(struct qmgr *q, struct span dest);
void sites_ask_anew(struct qmgr *q); /* what resolver got no answer to is not remembered any more */
bool sites_pump(struct qmgr *q); /* asks for what the schedule wants to know; false: nothing */
/* Some of those where nothing is due, counted in *asked. False: all of them are known, or will not
 * be. */
bool sites_ahead(struct qmgr *q, size_t max, size_t *asked);

/* deliverers.c: the channels to deliver, content, results */
void deliverers_peer(struct qmgr *q, int index, int fd);
bool deliverers_give(struct qmgr *q, struct sched_job *j);
bool deliverers_let_go(struct qmgr *q, uint64_t keeper); /* no more use of it; false: gone */
bool deliverers_room(const struct qmgr *q);
void deliverers_serve(void *ctx); /* content that is wanted, as much as a turn may bear */
void deliverers_check(struct qmgr *q); /* now and then: is one stuck? */
bool deliverers_busy(const struct qmgr *q);
void deliverers_free(struct qmgr *q);

/* What became of one recipient: to be recorded, logged and, where due, reported. Spans live as
 * long as the call they are passed to. */
struct fact {
    uint32_t rcpt;
    uint8_t kind; /* enum spool_outcome_kind */
    bool final;
    uint32_t attempts;
    int64_t next_wall_ms;
    struct span enhanced, reply, text; /* reply: the peer's words; text: without codes, or ours */
    struct span host;
    struct netaddr relay;
    struct span mailer, stage, dest;
    struct span tls; /* of the attempt that failed, where its story has it */
    unsigned code;
    int64_t xdelay_ms;
    bool relayed_report; /* delivered, and the report of it is ours to send */
    bool mailbox;        /* ... saying "delivered", not "relayed" */
    bool warned;         /* not final: the sender has been told of the delay */
    bool no_dsn;         /* final, and no report is due */
    bool deleted;        /* by an administrator */
    bool returned;       /* the same, and the sender is told */
    bool ended;          /* the same, as if its time had been over */
    bool waits;          /* for a queue run: said, and not recorded */
    bool untried;        /* of delay and expiry: there was no attempt at all */
    bool expanded;       /* it stood for others, who have it: a list's when `mailbox` */
    int64_t at_ms;       /* when it was tried last; 0: now, or never */
    int64_t waited_ms;   /* of expiry: its age by the schedule's own clock; 0: not known */
    int64_t after_ms, until_wall_ms; /* of delay and expiry: the age by its rule; its end */
    struct span last_status; /* the same: of the last attempt */
    struct span over;        /* final, and nobody there said so: whose wish or which limit it was */
};

struct fact_remote {
    char text[SPOOL_REMOTE_MAX];
    char held[2 * SCHED_REASON_MAX + 1];
};

/* verdict.c: from results to facts */
void verdict_job(struct qmgr *q, struct job *j, const struct sched_verdict *v);
void verdict_route(struct qmgr *q, uint64_t seq, const struct sched_verdict *v,
                   const struct route_dest *d, struct span reason);
/* Of one with QMGR_TOLD that the schedule would have routed. */
void verdict_told(struct qmgr *q, uint64_t seq, uint32_t rcpt);
/* A person has ended it, and its sender is told: f has what last_fill knows. Texts go to `a`. */
void verdict_ended(struct fact *f, bool expired, struct span who, struct arena *a);
void verdict_events(struct qmgr *q); /* expiry and warnings */
void verdict_gone(struct qmgr *q);   /* messages whose last recipient is final: forgotten */

/* last.c: of delay and expiry, what the last attempt said, from the records on disk */
struct last {
    struct qmgr *q;
    struct last_of { /* a message's outcomes: of it itself, of one that was tried in its place */
        uint64_t seq;
        int64_t read_ms;
        struct arena *arena;
        struct spool_outcome *list;
        size_t n;
        bool sorted; /* by recipient */
        struct spool_story *stories; /* newest first */
        size_t story_count;
    } of[2];
};
void last_init(struct last *l, struct qmgr *q);
void last_forget(struct last *l); /* the records are to be read anew */
void last_free(struct last *l);
/* behind: the destination (in back-off) for which it waits, or empty. May flush the spool. Takes
 * f->rcpt and f->attempts; fills in status, words, host, time, and (where the attempt's story is
 * kept) stage and TLS; texts are copied to `a`. What is not known stays as it is. */
void last_fill(struct last *l, struct arena *a, uint64_t seq, struct span behind, struct fact *f);

/* say.c: sendmail's "to=" lines and the events */
void say_facts(struct qmgr *q, uint64_t seq, const struct fact *f, size_t n);
struct span say_failure(const struct fact *f); /* "User unknown" */
void say_queued(struct qmgr *q, const struct envelope *env);
void say_routed(struct qmgr *q, const struct sched_ask *ask, const struct route_dest *d);
void say_eightbit(struct qmgr *q, uint64_t seq, struct span host);
/* A site or destination is left alone for a while: why, and until when. */
void say_backed_off(struct qmgr *q, struct span dest, struct span why);
void say_probed(struct qmgr *q, const struct sched_job *j); /* that time is over: one job tries */
void say_back(struct qmgr *q, struct span dest, bool dest_alone); /* it works again */
void say_slowed(struct qmgr *q, struct span dest);
void say_restored(struct qmgr *q, struct span dest);

/* settle.c: facts are recorded, and reported where that is due. Changes their order. */
void facts_settle(struct qmgr *q, uint64_t seq, struct fact *f, size_t n);
/* Who is told of such an outcome of a recipient. */
enum dsn_due facts_due(const struct qmgr *q, const struct envelope *env, uint32_t rcpt,
                       enum dsn_outcome outcome);
/* Without a report. */
void fact_record(struct qmgr *q, uint64_t seq, const struct fact *f);
/* A failure nobody can be told of is held instead, with an alarm that says why. */
void fact_hold(struct qmgr *q, uint64_t seq, struct span id, const struct fact *f,
               const char *why);
/* Points into *f and *to. */
struct spool_outcome fact_outcome(struct qmgr *q, uint64_t seq, const struct fact *f,
                                  struct fact_remote *to);

/* report.c: reports, whose commits carry the facts. */
/* All facts of one kind; they and `to` are copied. */
void report_begin(struct qmgr *q, uint64_t seq, enum dsn_kind kind, bool to_postmaster,
                  struct span to, const struct fact *const *facts, size_t n);
void report_expanded(struct qmgr *q, uint64_t number, struct span targets); /* router's answer */
void reports_stop_asking(struct qmgr *q); /* whom nothing was heard of for long enough */
void report_stored(struct qmgr *q, struct report *r);
/* Some that were begun after this serial and up to that are not on the disk yet, nor is what they
 * are about. */
bool reports_wait(struct qmgr *q, uint64_t after, uint64_t upto);
void reports_flushed(struct qmgr *q); /* after each flush */
void reports_again(void *ctx);        /* timer: those that could not be stored */
void reports_free(struct qmgr *q);

/* live_run.c, live_say.c: what somebody who looks on at a run is to see */
void live_choose(struct qmgr *q, struct sched_job *j); /* which connection, before a job is made */
void live_watch(struct qmgr *q, struct job *j);        /* a job is made, and not sent */
void live_talk(struct qmgr *q, const struct msg_talk *m);
/* About to be deleted by a person. */
void live_deleted(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct span who);
void live_facts(struct qmgr *q, uint64_t seq, uint64_t job, const struct fact *f, size_t n);
void live_result(struct qmgr *q, const struct job *j, const struct sched_result *res);
void live_job_over(struct qmgr *q, const struct job *j);

/* hosts.c */
void hosts_note(struct qmgr *q, const struct job *j, const struct job_rcpt *g);
void hosts_left(struct qmgr *q, const struct job *j, const struct msg_left *m);
void hosts_free(struct qmgr *q);

/* clock.c: is the wall's clock to be believed? */
void clock_open(struct qmgr *q, uint64_t upto); /* after keep_open; upto: above all ids there */
void clock_upkeep(struct qmgr *q);
void clock_free(struct qmgr *q);
bool clock_doubt(const struct qmgr *q, struct buf *why); /* true: it is not, and why is put */

/* vitals.c: what watch asks */
void vitals_peer(struct qmgr *q, int fd);
void vitals_started(struct qmgr *q, bool started);
void vitals_free(struct qmgr *q);

/* admin.c: what control asks */
void admin_peer(struct qmgr *q, int fd);
void admin_free(struct qmgr *q);

#endif
