/* The inside of deliver, for the files of this folder.
 *
 *   deliver.c     the role
 *   job.c         one attempt for one message: addresses in turn, a result for each recipient
 *   conn.c        one connection: socket <-> TLS <-> smtp/client; kept between messages
 *   local.c       connections that master makes: a delivery on this host, a socket's file
 *   probe.c       does a next hop know a recipient? what router asks
 *   upstream.c    the channels to qmgr and resolver
 *   say.c         log lines and events
 *   talk.c        the dialogue, for an administrator who looks on
 *   record.c      the dialogue of what is put off, for one who asks later
 *   where.c       what a delivery waits for, for one who asks now */
#ifndef POSTERN_DELIVER_INSIDE_H
#define POSTERN_DELIVER_INSIDE_H

#include "attempt/attempt.h"
#include "base/arena.h"
#include "base/hash.h"
#include "config/config.h"
#include "dns/mx.h"
#include "events/events.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "proto/deliver_resolver.h"
#include "proto/qmgr_deliver.h"
#include "role/role.h"
#include "route/dest.h"
#include "smtp/client.h"
#include "tls/client.h"

enum {
    READ_BYTES = 32 << 10,
    JOB_BYTES_MAX = 64 << 20, /* recipients and texts of one job */
    WANT_MAX = 256 << 10,     /* content asked of qmgr at once */
    WINDOW_BYTES = 512 << 10, /* content of one message held here at most */
    TLS_SESSIONS_MAX = 10000,
    PROBE_BYTES_MAX = 1 << 20,
    ALONE_MS = 5 * 60 * 1000,
    KEEPER_SHIFT = 17, /* a name is short enough for qmgr, and no other process's by chance */
    QUIT_MS = 2000,    /* after QUIT, when another connection waits for the end of this one */
    KEEP_MIN_MS = 10000,
    KEEP_SPARE_MS = 60000, /* of a host that was not the first choice */
};

struct deliver;
struct conn;

/* What one address said about a recipient while there is another address to ask. */
struct rcpt_state {
    bool told;        /* its result has been sent */
    bool waits;       /* next_mx: for another address */
    struct smtp_outcome last; /* spans in the job's arena */
};

struct job {
    struct hash_node node; /* by id */
    struct deliver *d;
    uint64_t id;
    uint64_t watch; /* by whom it is looked on; 0: nobody */
    struct arena *arena;
    struct route_dest dest;
    struct span classes; /* of delivery rules; what holds of them: */
    enum config_tls tls_mode;
    struct netaddr source[2]; /* one for each family; NETADDR_NONE: none */
    uint64_t messages_max;    /* of a connection */
    struct span sender, envid, content;
    uint32_t flags;
    uint64_t size_bytes, sent_bytes; /* of content */
    size_t budget_bytes; /* the client may be given so much */
    struct envelope_rcpt *rcpts;
    struct rcpt_state *states;
    size_t rcpt_count;
    /* the present transaction: indices into rcpts */
    struct envelope_rcpt *now_rcpts;
    size_t *now_index;
    size_t now_count;
    uint64_t question; /* at resolver; 0: none */
    struct loop_timer patience; /* with resolver */
    struct hash_node question_node;
    struct dns_plan plan;
    bool have_plan, reached, dns_failed, content_asked;
    bool lmtp;     /* the next hop speaks it */
    bool by_local; /* master is asked for the connection, no DNS: local.c */
    bool probe;    /* no message, and not of d->jobs: id is router's question */
    bool probe_told;
    struct list probe_node; /* in d->probes */
    bool once;     /* a connection for each recipient: it ends in a mailbox, program or file */
    struct conn *waits; /* for that connection to end, to make its own then */
    size_t next_addr;  /* of the plan */
    size_t plain_addr; /* next_addr of the one to be asked without TLS, whose handshake failed */
    int64_t begun_ms, deadline_ms;
    struct conn *conn;
    struct span why; /* the last trouble with the site, for its back-off */
    char tls[64];
    char last_host[256]; /* of the address asked last */
    struct netaddr last_addr;
    /* The story of it, should it be put off (record.c). */
    struct attempt_log log;      /* of connections that were left */
    bool failing;                /* some recipient heard something else than yes */
    bool asked;                  /* the DNS */
    int64_t asked_ms, dns_ms;
    int64_t dns_before_ms;       /* what failed took so much longer: others asked before us */
    const struct smtp_outcome *last_no; /* in the arena; NULL: none was told */
};

enum conn_state { CONN_CONNECTING, CONN_TALKING, CONN_KEPT, CONN_ENDING };

struct conn {
    struct list node;
    struct deliver *d;
    enum conn_state state;
    int fd;
    struct loop_io io;
    struct loop_timer timer;
    struct smtp_client *client;
    struct smtp_client_config conf; /* as it stood when the connection was made */
    char hostname[256];             /* conf's */
    struct tls *tls;
    bool tls_pending, tls_told, tls_failed, busy, closed, eof;
    bool once; /* never kept */
    bool probe; /* it never had to do with qmgr */
    struct netaddr addr;
    char host[256];
    char site[DNS_PLAN_SITE_MAX + 80]; /* with a rule's name */
    uint64_t messages_max;
    char tls_text[64];
    struct job *job;
    uint64_t keeper; /* qmgr knows it by this name: it is kept, or being closed */
    struct hash_node keeper_node;
    uint64_t under;  /* of the plan's order: for whom it may be kept */
    unsigned configured; /* with which of d's configurations */
    struct job *heir;    /* waits for its end */
    int64_t quit_ms;     /* when that began */
    unsigned messages, settled; /* begun and ended here; of them those the job has heard of */
    int64_t opened_ms, connect_until_ms;
    int64_t valid_until_ms; /* by the TTLs of its addresses */
    struct talk {
        uint64_t watch, job; /* watch 0: nobody is told */
        unsigned lines;      /* that may still be told */
        bool secret;         /* what we say is a credential */
        bool closing;        /* told */
    } talk;
    struct attempt_log log; /* of the job at hand */
    uint32_t begun_ms;      /* of the attempt, when the job took it */
    bool was_open;
    bool ended;             /* how it ended stands there */
};

struct deliver {
    struct role_env *env;
    struct config *config;
    struct smtp_client_config client_conf; /* for new connections; hostname is the config's */
    struct route_dest mailboxes; /* route.local_delivery = lmtp: (else mailer is ROUTE_LOCAL) */
    struct arena *mailboxes_arena;
    struct tls_client_ctx *tls;
    struct channel *qmgr, *resolver, *router;
    struct list probes;
    unsigned configured; /* how often */
    struct hash jobs, questions, kept;
    struct list conns;
    uint64_t next_question, next_keeper;
    uint64_t watched_job, watch; /* the job that comes next, and who looks on */
    struct loop_timer finish;
    struct loop_timer alone; /* without qmgr */
    struct buf read_buf;
    bool finishing;
};

/* job.c */
void job_begin(struct deliver *d, const struct msg_job *m);
void job_plan(struct job *j, struct span plan);
void job_content(struct job *j, uint64_t offset, bool failed, struct span data);
void job_want(struct job *j, size_t budget_bytes);
void job_rewind(struct job *j); /* before each transaction */
void job_rcpt_done(struct job *j, size_t i, const struct smtp_outcome *o);
void job_message_done(struct job *j);
/* The connection for it could not be made or used before a message was begun. */
void job_no_connection(struct job *j, const struct smtp_outcome *o);
/* master makes no connection for it: all its recipients wait for another attempt. */
void job_no_local(struct job *j, const struct smtp_outcome *o);
void job_forget(struct deliver *d, struct job *j); /* without results */
bool job_take_rcpts(struct job *j, struct span list);

/* conn.c */
struct conn *conn_open(struct deliver *d, struct job *j, const struct dns_plan_addr *a);
/* The address of ours that a connection to `to` is to come from; NULL: any. */
const struct netaddr *conn_source(const struct job *j, const struct netaddr *to);
/* Over a descriptor that is connected already; takes it over. */
void conn_adopt(struct deliver *d, struct job *j, int fd);
void conn_send(struct conn *c, struct job *j);
/* Closes it, or is at it; then the job goes on with one of its own. */
void conn_replace(struct conn *c, struct job *j);
void conn_run(struct conn *c);
void conn_watch(struct conn *c, struct job *j); /* somebody looks on at the job it has */
void conn_quit(struct conn *c);
void conn_free(struct conn *c);
bool conn_may_keep(const struct conn *c);
void conn_keep(struct conn *c);
void conn_name(struct conn *c); /* gives it a keeper name */
void conn_unname(struct conn *c); /* qmgr does not know it any more, or never did */

/* rule.c: delivery_rule */
void rule_none(struct job *j);
bool rule_take(struct job *j); /* the plan is there; false: the arena is full */

/* local.c */
void local_configure(struct deliver *d);
void local_take(struct job *j); /* a new job: is it for this host? */
void local_substitute(struct job *j); /* what stands in RCPT for a program or file */
void local_ask(struct job *j);
void local_said(void *role, uint64_t q, int fd, struct span text); /* role_ops */
void local_no_answer(struct job *j);

/* probe.c */
void probe_router(struct deliver *d, int fd);
void probe_result(struct job *j, const struct smtp_outcome *o);
void probe_done(struct job *j);
void probe_forget_all(struct deliver *d);

/* upstream.c */
struct job *upstream_job(struct deliver *d, uint64_t id); /* qmgr's; NULL: it is not here */
void upstream_qmgr(struct deliver *d, int fd);
void upstream_resolver(struct deliver *d, int fd);
void upstream_ask(struct job *j);
void upstream_no_answer(void *ctx); /* job->patience */
void upstream_result(struct job *j, size_t i, const struct smtp_outcome *o);
/* c: the connection that qmgr knows by its name from now on; NULL: none. */
void upstream_job_done(struct job *j, const struct conn *c);
void upstream_unkept(struct conn *c);
void upstream_left(struct job *j, const struct smtp_outcome *o); /* last_host, for another one */
void upstream_want(struct job *j, size_t n);

/* say.c */
void say_left(struct job *j); /* an address was left for the next one */

/* talk.c */
/* j takes the connection: from here on it is told to whom j is. */
void talk_take(struct conn *c, struct job *j);
void talk_line(void *conn, bool ours, struct span line); /* smtp_client_ops.trace */
void talk_say(struct conn *c, enum talk_kind kind, struct span text);
void talk_closing(struct conn *c); /* once */
void talk_asking(struct job *j); /* the DNS takes its time */
void talk_put_asking(const struct job *j, struct buf *words);
/* To whom the job is watched by, if there is one; watch and job are filled in. */
void talk_replay(const struct job *j, struct msg_talk m);
/* No connection to it could be begun. */
void talk_unreached(struct job *j, const struct dns_plan_addr *a, struct span why);

/* where.c */
void where_asked(struct deliver *d, const struct msg_where *m);
/* From now on it is told to this one: first what there is so far, and what it waits for. */
void where_watch(struct job *j, uint64_t watch);

/* record.c */
void record_begin(struct job *j);
void record_line(void *conn, int code, struct span text); /* smtp_client_ops.record */
void record_talk(struct conn *c, enum talk_kind kind, struct span text);
void record_open(struct conn *c); /* it is connected */
void record_no(struct conn *c, const struct smtp_outcome *o); /* not a yes; tells it, too */
void record_told(struct job *j, const struct smtp_outcome *o); /* to qmgr, as a result */
int64_t record_took_ms(const struct job *j); /* up to now, with the DNS before it */
void record_unreached(struct job *j, const struct dns_plan_addr *a, struct span why);
void record_keep(struct job *j, struct conn *c); /* the connection is left or lost */
void record_put(struct job *j, struct buf *b); /* the story; nothing when none is due */
void record_so_far(struct job *j, struct buf *b); /* of one that has not ended */

/* deliver.c */
void deliver_check_finished(struct deliver *d);
enum smtp_client_tls deliver_tls(enum config_tls tls);

#endif
