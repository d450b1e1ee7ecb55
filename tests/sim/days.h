/* Days of a gateway among next hops in trouble: what is deferred, tried again, warned about and
 * expired, with the clock set, the machine asleep and processes dying meanwhile. Time is what is
 * tested here: when each attempt came, and how many. */
#ifndef POSTERN_TESTS_SIM_DAYS_H
#define POSTERN_TESTS_SIM_DAYS_H

#include "hop.h"

enum {
    HOSTS_MAX = 48,
    EVENTS_MAX = 64,
    LANES = 40, /* clients at once, half of them strangers */
    PIECES_MAX = 400,
};

#define DAY_MS INT64_C(86400000)

struct days;

/* --- next hops (stage.c) --- */

enum manner {
    GOOD,
    NOBODY,    /* nothing listens */
    SILENT,    /* packets get lost */
    ANSWERS,   /* `reply` at `stage` */
    BYE,       /* the same, and the connection is closed */
    DROPS, RESETS, STALLS, DEAF, /* at `stage` */
    GREYLISTS, /* 450 for `number` minutes */
    RATES,     /* 450 4.7.28 or 421 to more than `number` messages a minute */
    CROWDED,   /* 421 to more than `number` connections */
    SLOW,      /* up to `number` seconds before each answer */
    SIPS,      /* reads `number` bytes a second */
    MUTE_DNS,  /* questions for its domain get no answer */
};

struct host_plan {
    const char *name; /* mail is for NAME.example */
    enum manner manner;
    enum stage stage;
    const char *reply;
    unsigned number;
    int64_t until_ms;  /* since the world began; it is good from then on. 0: never */
    unsigned limit;    /* connections at once that it may see; 0: as configured */
    unsigned most;     /* messages that may begin ... */
    int64_t window_ms; /* within so long; 0: no limit */
    int64_t curve_ms[4];        /* its rule's, up to a 0 */
    int64_t expire_ms, warn_ms; /* its rule's; 0: as configured */
    unsigned domains;  /* NAME1.example, NAME2.example ... have the same MX; 0: just the one */
    unsigned weight;   /* its part of the mail; 0: 1. NONE: none */
    bool no_dsn;
};
#define WEIGHT_NONE UINT32_MAX

/* For tables of them. */
#define H ((int64_t)HOUR_MS)
#define M ((int64_t)MINUTE_MS)
#define IS(n, m) .name = n, .manner = m
#define DOES(n, m, s) IS(n, m), .stage = s
#define SAYS(n, m, s, r) DOES(n, m, s), .reply = r "\r\n"

struct host {
    struct days *d;
    const struct host_plan *plan;
    struct hop_server server;
    unsigned connections, begun, most_at_once;
    int64_t *begun_at; /* times of MAIL */
    size_t begun_cap;
};

void stage_make(struct days *d);
void stage_turn(struct days *d); /* whose trouble begins or ends */
void stage_free(struct days *d);
void stage_zone(struct world *w, struct buf *zone);
bool host_troubled(const struct host *h);
bool host_never_takes(const struct host *h);
struct host *host_named(struct days *d, const char *name);
/* Connections it saw, and messages that began, between two times since the world began. */
unsigned host_begun_between(const struct host *h, int64_t from_ms, int64_t to_ms);

enum news { RAISED, REPEATED, CLEARED };

struct piece { /* of news about an alarm, as a letter tells it */
    int64_t at_ms;
    enum news news;
    char kind[64]; /* "dns", "crashes deliver" */
};

/* --- the book (book.c): every message, what it met and what became of it --- */

enum notify { NOTIFY_PLAIN, NOTIFY_ON_NEVER, NOTIFY_ON_FAILURE, NOTIFY_ON_DELAY,
              NOTIFY_ON_SUCCESS, NOTIFIES };

struct mail {
    unsigned n;
    struct host *host;
    unsigned domain; /* of the host's */
    enum notify notify;
    bool no_sender, stranger, unknown;
    char from[ADDRESS_MAX]; /* "": sN@src.example */
    size_t bytes;
    int64_t due_ms, accepted_ms, rcpt_said_ms; /* -1: not yet. All times: since the world began */
    int code;              /* of the last reply to RCPT */
    bool in_hand;
    unsigned contents, acks; /* contents: sent to their end */
    unsigned delivered, failed, delayed, relayed;
    int64_t delivered_ms, failed_ms, delayed_ms;
    char failed_id[80], delayed_id[80];
    unsigned attempts, level; /* level: attempts without an excuse between */
    int64_t last_ms, grey_ms;
};

void book_make(struct days *d);
void book_free(struct days *d);
void mail_content(const struct mail *m, struct buf *b);
void mail_sender(const struct mail *m, struct buf *b);
void mail_to(const struct mail *m, struct buf *b);
struct mail *mail_of(struct days *d, struct span address); /* sN@ or mN@; NULL */
void book_attempt(struct mail *m, struct host *h);
void book_arrived(struct days *d, struct host *h, struct hop *hop);
unsigned book_open(const struct days *d); /* messages of which something is still to come */
void book_check(struct days *d);
/* Pieces of news about alarms of this kind; the n-th of them, or NULL. */
unsigned news_count(const struct days *d, const char *kind, enum news news);
const struct piece *news_at(const struct days *d, const char *kind, enum news news, unsigned n);
/* How many things explain an attempt too many, or a connection. */
unsigned excuses_since(const struct days *d, int64_t ms);

/* --- clients (lanes.c) --- */

struct lane;
void lanes_make(struct days *d);
void lanes_free(struct days *d);

/* --- one world --- */

/* UNWIRE: deliver's channel to qmgr breaks, and nobody dies of it. */
enum doing { KILL, AWAY, UNWIRE, SET_CLOCK, SLEEP, STOP, MUTE_RESOLVER };

struct event {
    int64_t at_ms; /* since the world began */
    enum doing what;
    enum role_id role;
    int64_t ms; /* AWAY, MUTE_RESOLVER, SLEEP: how long; SET_CLOCK: by */
};

struct play {
    const char *name;
    const char *config;    /* behind what all have, with relay.from; NULL: just that */
    const struct host_plan *hosts; /* up to one without a name */
    unsigned mails;
    int64_t spread_ms;     /* they come within */
    int64_t expire_ms, warn_ms, retry_first_ms, retry_max_ms; /* as configured */
    unsigned concurrency;  /* deliver.concurrency_max */
    int64_t least_ms, most_ms; /* the world lasts */
    const struct event *events; /* up to one at 0 */
    unsigned kills;        /* of any process, at any time within spread_ms */
    bool watched;
    bool plain;            /* no NOTIFY, no null senders */
    bool longer;           /* for fresh seeds only */
    bool endings;          /* processes may end by themselves */
    bool same;             /* each attempt comes at the same time when the clock is not set */
    void (*make)(struct days *d);  /* may change the mail */
    void (*check)(struct days *d); /* at the end; may be NULL */
};

struct days {
    struct world w; /* first */
    const struct play *play;
    struct host hosts[HOSTS_MAX];
    size_t host_count;
    struct mail *mails;
    unsigned count;
    struct lane *lanes;
    struct event events[EVENTS_MAX];
    size_t event_count, next_event;
    int64_t mute_until_ms;
    struct piece pieces[PIECES_MAX];
    size_t piece_count;
    unsigned letter_count;
    uint64_t times; /* a hash of when each attempt came */
    bool no_jumps;  /* of the clock: the same world without */
};

static inline struct days *days_of(struct world *w) { return (struct days *)(void *)w; }
static inline int64_t since(const struct days *d)
{
    return loop_mono_ms(d->w.l) - d->w.begun_ms;
}
void days_at(struct days *d, const struct event *e);
/* 0 when everything held. *times_r: a hash of when each attempt came. */
int days_run(const struct play *play, uint64_t seed, bool trace, bool no_jumps,
             uint64_t *times_r, struct buf *summary);

/* plays.c, plays_rules.c, plays_watch.c */
extern const struct play play_stages, play_clock, play_wrong_clock, play_sleep, play_away;
extern const struct play play_rules, play_rules_kills, play_fair;
extern const struct play play_alarms, play_alarms_queued, play_verify, play_verify_kills;

#endif
