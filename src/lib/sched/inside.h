/* inside: the structures of sched, shared by its files only.
 *
 * A recipient is in exactly one state; what links it there depends on the state:
 *   PENDING   at.link in s->urgent or s->bulk      READY    at.link in one line of its dest
 *   ROUTING   at.link in s->routing                DEFERRED at.due in s->deferred
 *   WAITING   at.link in s->waiting or s->released ACTIVE   at.job       HELD and final: nothing
 * sched_rcpt_leave undoes the link and the counts, sched_rcpt_enter counts; the caller links. */
#ifndef POSTERN_SCHED_INSIDE_H
#define POSTERN_SCHED_INSIDE_H

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/must.h"
#include "queue/index.h"
#include "queue/reason.h"
#include "sched/gate.h"
#include "sched/name.h"
#include "sched/order.h"
#include "sched/pace.h"
#include "sched/sched.h"
#include "sched/share.h"

enum rcpt_flag {
    RCPT_WARNED = 1,
    RCPT_DUPLICATE = 2,
    RCPT_TOKEN = 4,      /* PENDING or ROUTING with a slot of its dest and site reserved */
    RCPT_EXPIRE = 8,     /* ACTIVE, and its time is over */
    RCPT_DELETE = 16,    /* ACTIVE, to be deleted */
    RCPT_HOLD = 32,      /* ACTIVE, to be held */
    RCPT_WHOLE = 64,     /* text is the whole address */
    RCPT_FRONT = 128,    /* retried by a person: before those that wait at its destination, and no
                            step of its retries */
};

enum { AGE_TIE_BITS = 21 }; /* of a message's age, below the milliseconds */

/* What the index calls those that are too many to be told apart. */
#define SCHED_OTHER_REASONS "(other reasons)"
#define SCHED_OTHER_SENDERS "(other senders)"

enum { MARK_RELEASED = 0x80, MARK_QUARANTINED = 0x40, MARKS_OWN = 0xc0 };

/* The states that groups are made of. */
enum sched_cell_state { CELL_ROUTING, CELL_READY, CELL_ACTIVE, CELL_DEFERRED, CELL_WAITING,
                        CELL_HELD, CELL_QUARANTINED };

struct sched_rcpt {
    union {
        struct list link;
        struct heap_node due;
        struct sched_job_slot *job;
    } at;
    struct sched_name *domain;
    struct sched_dest *dest; /* last route; held as a reference while live */
    struct sched_name *reason;
    struct queue_cell *cell; /* of the index; NULL between leave and enter, and when final */
    uint32_t index, text; /* place in rcpts[]; offset of its text in the message's */
    uint16_t text_len, attempts;
    uint8_t state, notify, flags;
    uint8_t lost : 4, stale : 4;
    uint32_t routed_s; /* monotonic second of the routing + 1; 0: route it anew; ROUTING: the
                          number of the question */
    uint16_t epoch;    /* of the maps it was asked with */
    uint8_t strikes;   /* deferrals of its own, not its site's: they make the delay */
    uint8_t marks;     /* the owner's, and enum MARK_ */
};

struct sched_msg { /* what a look at very many needs comes first */
    uint64_t seq;
    uint64_t age; /* time of receipt, and what orders within a millisecond: there is no other */
    uint64_t size_bytes;
    struct sched_name *sender_domain;
    struct queue_cell *cell; /* of the index: sender and listener */
    uint32_t flags, rcpt_count, live;
    uint16_t sender_len;
    bool sender_whole : 1, spared : 1; /* spared: once it did not expire, as time had leapt */
    bool client_many : 1;              /* its client is one of many_clients */
    uint8_t client_len;                /* 0, 4 or 16 */
    int64_t born_ms; /* monotonic time of receipt, may be negative */
    union {
        struct heap_node timer; /* in s->timers, or rests */
        struct list gone;       /* in s->gone, live == 0; unless pinned */
    } at;
    struct sched_rcpt rcpts[]; /* then the text: sender, recipients, client's address */
};

/* Recipients that wait, in order: of one sender, or those that go first (queue NULL). */
struct sched_line {
    struct list rcpts;
    struct list link; /* in queue->lines while it is not empty */
    struct list turn; /* in seat->lines while its destination is open, too */
    struct sched_dest *dest;
    struct sched_queue *queue;
    struct sched_seat *seat;
    uint64_t sender; /* line.c; 0: several */
};

struct sched_queue { /* never moved */
    struct list lines;
    struct sched_line own;
    uint32_t more; /* lines beside it */
};

struct sched_seat { /* the lines of one sender at a site, the next one first; one at least */
    struct list lines, turn;
    struct sched_turns *turns;
};

struct sched_turns { /* of one site; never moved */
    struct list seats; /* the next one first */
    uint32_t n;
    struct sched_seat own; /* of all that have none */
};

/* Is its owner to say at which site a destination is? */
enum placing {
    PLACE_NOT,
    PLACE_RENEWED, /* something is under way, and goes on meanwhile */
    PLACE_SHUT,    /* nothing begins before */
    PLACE_TURN,    /* the same, and it holds a token of its site */
};

struct sched_dest {
    struct hash_node node;
    struct sched_gate gate;
    struct sched_site *site; /* never NULL */
    struct list ring;        /* in site->ring while open and somebody is granted */
    bool open;               /* it could yield something: its lines have seats at its site */
    struct sched_line granted; /* routed for a slot (a token), or retried by a person: first */
    struct sched_queue ready;   /* routed when fresh, oldest first */
    struct sched_queue backlog; /* due again, to be routed when there is a slot */
    struct list drain;       /* in s->drain: all that wait here are routed anew */
    struct list idle;        /* in s->idle while unused */
    struct list place;       /* in s->to_place: the owner is to be asked; or s->to_place_ahead */
    struct sched_mx mx;
    struct list rule;        /* in s->to_rule: the owner is to tell its rule anew */
    bool apart;              /* of a frozen domain: it is at no site */
    bool unsited;            /* it may be at one, and nobody has said at which */
    int64_t placed_until_ms; /* until then its site is known */
    uint8_t placing;         /* enum placing */
    uint32_t n[SCHED_LIVE];
    uint32_t refs;           /* recipients and jobs */
    struct sched_name *why;
    char key[];
};

struct sched_kept {
    uint64_t keeper, under;
};

struct sched_site {
    struct hash_node node; /* in s->sites unless key_len is 0: not bound yet */
    struct sched_gate gate;
    struct sched_pace pace;
    uint32_t rule;
    bool unplaced; /* since the configuration is new: nothing begins before the rule is told */
    struct list ring;     /* its dests where somebody goes first; then in turns by sender: */
    struct sched_turns ready, backlog;
    struct list runnable; /* in s->shares */
    struct sched_trust trust;
    uint32_t told; /* how much slower it was said to be; 0: it was not */
    int64_t tell_ms; /* not again before */
    struct list all;      /* in s->all_sites */
    uint32_t n[SCHED_LIVE];
    uint32_t dests;
    uint32_t kept_count, kept_room;
    struct sched_kept *kept; /* the one used last comes last */
    struct sched_name *why;
    size_t key_len;
    char key[];
};

struct sched_job_slot {
    uint64_t id; /* 0: free */
    struct sched_msg *msg;
    struct sched_dest *dest;
    uint32_t rcpt_count;
    uint32_t *rcpts;
    int64_t begun_ms;
    struct heap_node silent; /* in s->shares until it is */
    uint8_t share;           /* enum sched_share */
    uint32_t next_free; /* index + 1 */
};

struct sched {
    struct sched_config cfg;
    struct sched_rule *rules; /* [0]: the configuration's own */
    struct sched_rule patient; /* the same, with the latest end of all rules */
    int64_t seen_ms;          /* when we were called last */
    int64_t leapt_ms;         /* when time was seen to have passed by us; 0: never */
    int64_t doubt_ms;         /* so much younger than it seems is what came before: */
    uint64_t doubt_upto;
    int64_t doubt_from_ms;    /* and it was there then */
    bool looking;             /* at all timers, since rules have changed: from here on */
    uint64_t look_from;
    uint64_t random;
    uint16_t epoch;
    uint32_t next_ask;
    struct sched_order order, by_age;
    struct hash domains, reasons, dests, sites;
    struct hash frozen; /* names, freeze.c */
    struct queue_index index;
    struct hash classes, listeners, addresses, clients; /* names of the index's cells */
    struct sched_name *many_classes, *many_addresses, *many_clients;
    struct sched_name *many_reasons;
    struct hash lines, seats; /* of several senders */
    struct hash pins;         /* messages that are not to be forgotten yet, message.c */
    struct heap deferred, timers, gates, paces;
    struct list urgent, bulk, routing, waiting, released, gone;
    struct list drain, idle, all_sites, to_place, to_place_ahead, to_rule;
    struct sched_shares shares;
    enum sched_change change;
    uint32_t idle_count;
    struct sched_job_slot **jobs;
    uint32_t job_slots, job_free, job_count;
    uint64_t job_serial;
    struct sched_msg *event_msg; /* whose events are being told */
    uint32_t event_rcpt;
    enum sched_event_kind event_kind;
    int64_t event_ms;
    uint32_t delay_for; /* strikes delay_ms was drawn for, within one result */
    int64_t delay_ms;
    uint64_t bytes;
    uint64_t n[SCHED_LIVE];
    uint64_t unsited; /* recipients: sched_totals */
};

static inline struct sched_msg *sched_msg_of(const struct sched_rcpt *r)
{
    return (struct sched_msg *)(void *)((char *)(r - r->index) - offsetof(struct sched_msg, rcpts));
}
static inline struct sched_rcpt *sched_rcpt_at(struct list *l)
{
    return CONTAINER(l, struct sched_rcpt, at.link);
}
static inline int64_t sched_born_ms(const struct sched *s, const struct sched_msg *m)
{
    int64_t born_ms = m->born_ms;
    if (m->seq < s->doubt_upto && s->doubt_ms)
        born_ms = born_ms + s->doubt_ms < s->doubt_from_ms ? born_ms + s->doubt_ms
                                                           : s->doubt_from_ms;
    return born_ms;
}
static inline const char *sched_msg_text(const struct sched_msg *m)
{
    return (const char *)&m->rcpts[m->rcpt_count];
}

/* rcpt.c */
void sched_rcpt_leave(struct sched *s, struct sched_rcpt *r);
bool sched_rcpt_asked(struct sched_rcpt *r); /* this try was a person's wish: said once */
void sched_rcpt_enter(struct sched *s, struct sched_rcpt *r, enum sched_state state);
void sched_rcpt_to_dest(struct sched *s, struct sched_rcpt *r, struct sched_dest *d); /* or NULL */
void sched_rcpt_pending(struct sched *s, struct sched_rcpt *r, struct list *queue);
void sched_rcpt_defer(struct sched *s, struct sched_rcpt *r, int64_t due_ms);
void sched_rcpt_finish(struct sched *s, struct sched_rcpt *r, enum sched_state state);
void sched_rcpt_reason(struct sched *s, struct sched_rcpt *r, struct span reason);
/* A person's decision, and what was said before it (sched_msg_earlier). */
void sched_rcpt_decided(struct sched *s, struct sched_rcpt *r, struct span reason,
                        struct span before);
void sched_rcpt_ready(struct sched *s, struct sched_rcpt *r, bool front, struct sched_now now);
void sched_rcpt_backlog(struct sched *s, struct sched_rcpt *r, bool front);
void sched_rcpt_due(struct sched *s, struct sched_rcpt *r); /* DEFERRED, and its time has come */
int64_t sched_rcpt_next_try(const struct sched_rcpt *r);
void sched_verdict_of(const struct sched_rcpt *r, struct sched_now now, struct sched_verdict *v_r);

/* look.c */
struct span sched_rcpt_earlier(const struct sched_rcpt *r);
/* Why what is READY waits: the trouble of its place; NULL: that has none, and the last word about
 * itself is what there is to say. */
const struct sched_name *sched_place_why(const struct sched_dest *d);

/* freeze.c */
/* Of a domain that comes into use. */
bool sched_frozen_domain(const struct sched *s, struct span domain);
bool sched_frozen_key(const struct sched *s, struct span key); /* of a destination or site */
bool sched_frozen_apart(struct span key); /* a destination made for a frozen domain */
/* Where a recipient is to wait that was routed to key: in `room`, which is empty, or key. */
struct span sched_frozen_dest(const struct sched *s, const struct sched_rcpt *r, struct span key,
                              struct buf *room);
void sched_frozen_free(struct sched *s);
/* Nothing is started for those in this state, of this domain (NULL: none), at d (NULL: not routed).
 * That holds at once, also for what waits for another time. */
static inline bool sched_frozen_at(enum sched_state state, const struct sched_name *domain,
                                   const struct sched_dest *d)
{
    return (state <= SCHED_READY || state == SCHED_DEFERRED) &&
           ((domain && domain->frozen) || (d && (d->gate.frozen || d->site->gate.frozen)));
}
static inline bool sched_rcpt_frozen(const struct sched_rcpt *r)
{
    return sched_frozen_at(r->state, r->domain, r->dest);
}

static inline bool sched_rcpt_quarantined(const struct sched_rcpt *r)
{
    return r->state == SCHED_HELD && (r->marks & MARKS_OWN) == MARK_QUARANTINED;
}

/* index.c: to be told of every change that groups are made of */
void sched_index_init(struct sched *s);
void sched_index_free(struct sched *s);
void sched_index_leave(struct sched *s, struct sched_rcpt *r);
void sched_index_enter(struct sched *s, struct sched_rcpt *r);
void sched_index_due(struct sched_rcpt *r); /* it is in s->deferred now */
/* The client's address is in m already. */
void sched_index_message(struct sched *s, struct sched_msg *m, struct span sender,
                         struct span listener);
void sched_index_message_gone(struct sched *s, struct sched_msg *m);

/* message.c */
struct sched_rcpt *sched_find_rcpt(const struct sched *s, uint64_t seq, uint32_t rcpt);
void sched_msg_free(struct sched *s, struct sched_msg *m);
void sched_msg_over(struct sched *s, struct sched_msg *m); /* its last recipient is final */
void sched_pins_free(struct sched *s);

/* line.c: in turns by sender */
void sched_turns_init(struct sched_turns *t);
void sched_queue_init(struct sched_queue *q, struct sched_dest *d);
void sched_granted_init(struct sched_line *l, struct sched_dest *d);
/* r is counted as READY already. */
void sched_queue_add(struct sched *s, struct sched_queue *q, struct sched_rcpt *r, bool front);
/* Its lines take turns at their site, or do not any more. */
void sched_queue_open(struct sched *s, struct sched_queue *q);
void sched_queue_shut(struct sched *s, struct sched_queue *q);
void sched_queue_first(struct sched_queue *q); /* of one that is open: the next turn is its own */
/* The line whose turn it is; NULL: nobody waits. Valid while somebody is left in it. */
struct sched_line *sched_turns_next(const struct sched_turns *t);
void sched_line_pass(struct sched *s, struct sched_line *l); /* it has had its turn */
void sched_line_left(struct sched *s, struct list *rcpts); /* the last one left this line */

/* dest.c */
static inline bool sched_dest_waits(const struct sched_dest *d)
{
    return !list_empty(&d->granted.rcpts) || !list_empty(&d->ready.lines) ||
           !list_empty(&d->backlog.lines);
}
struct sched_dest *sched_dest_get(struct sched *s, struct span key);
void sched_dest_update(struct sched *s, struct sched_dest *d); /* after any change; may free it */
void sched_dest_front(struct sched_dest *d); /* next turn at its site is its own */
bool sched_dest_bind(struct sched *s, struct sched_dest *d, struct span site_key); /* moved? */
void sched_dest_free(struct sched *s, struct sched_dest *d);
void sched_site_update(struct sched *s, struct sched_site *t);
static inline const struct sched_rule *sched_site_rule(const struct sched *s,
                                                       const struct sched_site *t)
{
    return &s->rules[t->rule];
}
/* As long as it is not known which one holds, nothing ends that any of them lets go on. */
static inline const struct sched_rule *sched_dest_rule(const struct sched *s,
                                                       const struct sched_dest *d)
{
    return !d || d->site->unplaced || (d->apart && !d->site->rule) ? &s->patient
                                                                   : sched_site_rule(s, d->site);
}
static inline const struct sched_rule *sched_rcpt_rule(const struct sched *s,
                                                       const struct sched_rcpt *r)
{
    return sched_dest_rule(s, r->dest);
}
static inline int64_t sched_site_rule_us(const struct sched *s, const struct sched_site *t)
{
    return sched_pace_rule_us(sched_site_rule(s, t)->rate, sched_site_rule(s, t)->rate_ms);
}
int64_t sched_site_interval_us(const struct sched *s, const struct sched_site *t);
void sched_site_begin(struct sched *s, struct sched_site *t, int64_t now_ms); /* a message begins */
void sched_site_set_rule(struct sched *s, struct sched_site *t, uint32_t rule);

void sched_dest_sited(struct sched *s, struct sched_dest *d); /* it is at one, or at none */

/* place.c */
bool sched_place_due(const struct sched *s, const struct sched_dest *d);
void sched_place_ask(struct sched *s, struct sched_dest *d, bool its_turn);
void sched_place_end(struct sched_dest *d);

/* advance.c */
void sched_advance(struct sched *s, struct sched_now now); /* what became due; bounded */
int64_t sched_jitter(struct sched *s, int64_t delay_ms);
int64_t sched_retry_delay(struct sched *s, const struct sched_rcpt *r);
/* Between leave and enter: its router said this key. */
void sched_rcpt_to_key(struct sched *s, struct sched_rcpt *r, struct span key);

/* job.c */
struct sched_job_slot *sched_job_find(const struct sched *s, uint64_t id);
void sched_job_free(struct sched *s, struct sched_job_slot *j);

/* event.c */
void sched_timer_arm(struct sched *s, struct sched_msg *m, struct sched_now now);
void sched_timer_hurry(struct sched *s, struct sched_rcpt *r, struct sched_now now);
void sched_timers_look(struct sched *s, struct sched_now now);
void sched_time_seen(struct sched *s, struct sched_now now);

#endif
