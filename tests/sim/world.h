/* The simulated world around one gateway: its processes and their master, its disk, clients,
 * next hops, faults, and the ledger that knows what must have become of each message.
 *
 * Everything runs on one loop_sim; nothing here reads a clock, a file or an address of memory,
 * so that a seed is a run. */
#ifndef POSTERN_TESTS_SIM_WORLD_H
#define POSTERN_TESTS_SIM_WORLD_H

#include "base/buf.h"
#include "config/config.h"
#include "loop/loop.h"
#include "loop/sim.h"
#include "role/role.h"
#include "vfs/vfs_faulty.h"

enum {
    SMTPDS = 2,
    DELIVERS = 2,
    PROCS = 4 + SMTPDS + DELIVERS, /* and qmgr, router, resolver, watch */
    SINKS = 6,
    CLIENTS = 12,
    RCPTS_MAX = 4,
    COPIES_MAX = 16,
    ADDRESS_MAX = 64,
};

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    HOUR_MS = 60 * MINUTE_MS,
    ATTEMPT_MS = 10 * MINUTE_MS, /* an attempt, as world.c configures it, and some more */
    CALM_MS = 90 * MINUTE_MS,    /* after the faults: by then all that can be delivered is */
};

struct world;
struct message;

struct options {
    uint64_t seed;
    unsigned messages;
    bool trace;    /* say what happens */
    bool lie;      /* flushes do nothing: the ledger must notice */
    bool quiet;    /* failures are only counted */
    int64_t fault_ms; /* how long faults go on; then everything must settle */
};

/* --- processes (procs.c) --- */

struct proc {
    struct world *w;
    enum role_id id;
    int index;
    const struct role_ops *ops;
    struct role_env env;
    void *role;         /* NULL: not running */
    struct vfs *disk;   /* qmgr's view of the disk, which dies with it */
    struct list gifts;  /* what master has sent and the process has not read yet */
    struct loop_timer give, restart;
    struct loop_hook end;
    int64_t started_ms;
    unsigned deaths;
    bool started;
    int qmgr_fd; /* deliver's end of the channel to qmgr, as it was given; 0: none */
};

void procs_boot(struct world *w); /* watch only where w->watched */
void procs_crash(struct world *w);            /* all at once, without a word */
void proc_kill(struct proc *p);               /* kill -9; master starts it again */
void proc_away(struct proc *p, int64_t ms);   /* the same, after so long */
void proc_unwire(struct proc *p);             /* a deliver's channel to qmgr breaks */
void procs_stop(struct world *w);             /* all asked to finish; then started again */
void procs_reload(struct world *w);
void procs_free(struct world *w);
struct proc *proc_of(struct world *w, enum role_id id, int index);
struct spool *procs_spool(struct world *w);   /* NULL while qmgr is away */

extern const struct role_ops resolver_twin;   /* resolver over the staged zone */

/* --- the disk of one life of qmgr (mortal.c) --- */

struct vfs *mortal_new(struct vfs *under);
void mortal_die(struct vfs *v); /* every call fails from now on but close */

/* --- the ledger (ledger.c) --- */

enum kind { KIND_GOOD, KIND_BAD }; /* deliverable once faults end; never deliverable */

/* One message of the gateway's own: a client that heard no 250 sends again, and each of what it
 * sent may have been accepted. */
struct copy {
    char id[24];     /* as it stands in Received */
    int64_t last_ms; /* its last delivery */
};

struct rcpt {
    char named[ADDRESS_MAX]; /* by the client; "": the one before, a list, has it as a member */
    char address[ADDRESS_MAX]; /* where it is to arrive */
    enum kind kind;
    unsigned acks;      /* 250s its client saw */
    unsigned sent;      /* whole transactions its client sent: each may have been accepted */
    unsigned delivered, reported;
    bool refused;       /* a next hop said 5xx */
    struct copy copies[COPIES_MAX];
    size_t copy_count;
};

struct message {
    unsigned n;
    char sender[ADDRESS_MAX]; /* "": the null sender */
    char owner[ADDRESS_MAX];  /* of the list: who is its sender then, and gets the reports */
    struct rcpt rcpts[RCPTS_MAX];
    size_t rcpt_count;
    size_t bytes;
    bool eightbit, in_hand, notify;
    int64_t due_ms; /* the client's next try */
};

void ledger_make(struct world *w);
void ledger_free(struct world *w);
void message_content(const struct message *m, struct buf *b); /* exactly, CRLF lines */
bool message_taken(const struct message *m);
struct message *ledger_next(struct world *w); /* the next one a client should send; NULL */
/* A next hop has taken this content for these recipients. */
void ledger_arrived(struct world *w, struct span sender, char rcpts[][ADDRESS_MAX], size_t n,
                    struct span content);
void ledger_refused(struct world *w, const char *address);
bool ledger_settled(const struct world *w);
void ledger_check(struct world *w);

/* --- clients and sinks --- */

struct client;
struct sink;
void clients_make(struct world *w);
void clients_free(struct world *w);
void sinks_make(struct world *w);
void sinks_free(struct world *w);
void sinks_zone(struct world *w, struct buf *zone);

/* --- faults (faults.c) --- */

enum fault {
    FAULT_SMTPD_DIES, FAULT_ROUTER_DIES, FAULT_RESOLVER_DIES, FAULT_DELIVER_DIES,
    FAULT_QMGR_DIES, FAULT_MACHINE_DIES, FAULT_DISK_ERROR, FAULT_DISK_FULL, FAULT_DISK_AWAY,
    FAULT_LINKS, FAULT_CUTS, FAULT_CLOCK, FAULT_SINKS, FAULT_CLIENTS, FAULT_RELOADS,
    FAULT_STOPS, FAULTS,
};

struct faults {
    unsigned on; /* bit set of enum fault: which kinds this seed has */
    struct loop_timer next, mend;
    struct loop_hook strike;
    struct proc *victim;
    uint64_t trace; /* of the network, at the last turn: whether anything moves */
    uint64_t fuse, fuse_max; /* turns in which something moves, until the next fault */
    bool over;
    unsigned count[FAULTS];
};

void faults_begin(struct world *w);
void faults_after_turn(struct world *w);
bool fault_on(const struct world *w, enum fault f); /* this seed has it and it is not over */

/* What kind of world this is, apart from its faults. */
struct temper {
    int64_t client_idle_ms; /* at most, between two sessions of a client */
    int64_t burst_ms;       /* mail comes in bursts this long; 0: evenly */
    unsigned bursts;
    int64_t sink_think_ms;  /* at most, before a next hop answers */
    bool maps;              /* access, virtual addresses, aliases, a mailertable */
    bool large;             /* much large mail: segments fill, and are compacted */
};

/* --- the world --- */

struct world {
    struct options opt;
    void (*zone)(struct world *w, struct buf *zone); /* puts the DNS */
    bool watched;
    unsigned endings;   /* of processes that ended by themselves */
    bool resolver_mute; /* questions are heard and never answered */
    struct loop *l;
    struct vfs *disk;
    struct config *config;
    struct proc procs[PROCS];
    struct loop_timer reboot, stopped;
    bool stopping;
    int listen_fd; /* master's own */
    struct netaddr address;
    int64_t smtpd_died_ms; /* the last time a session may have been lost with its smtpd */
    int64_t begun_ms, faults_until_ms;
    uint64_t generation;
    struct message *messages;
    int64_t *excuses;
    size_t excuse_count, excuse_cap;
    struct client *clients;
    struct sink *sinks;
    struct temper temper;
    struct faults faults;
    bool clock_was_set;
    int64_t last_good_ms; /* a first delivery that could be made */
    unsigned failures, duplicates, deliveries, reports, sessions, tries;
    char first_failure[400];
};

static inline uint64_t chance(struct world *w, uint64_t below)
{
    return loop_sim_chance(w->l, below);
}
static inline bool one_in(struct world *w, uint64_t n) { return chance(w, n) == 0; }
/* telling.c */
/* Something that may make a delivery happen twice. */
void excuse_now(struct world *w);
void say(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Runs one world to its end; 0 when everything held. *trace_r: its fingerprint. */
int world_run(const struct options *opt, uint64_t *trace_r, struct buf *summary);

#endif
