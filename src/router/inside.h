/* The inside of router, for the files of this folder.
 *
 *   router.c   the role: tables read, refreshed and reloaded; who comes and goes
 *   accept.c   may it? what smtpd asks of clients
 *   flight.c   the same of senders and recipients
 *   senders.c  senders as others are to see them: addresses of a message that comes in
 *   verify.c   does the next hop know a recipient? asked through deliver, and remembered
 *   attempt.c  where to? what qmgr asks at each attempt
 *   names.c    names of clients, asked of resolver and waited for within bounds
 *   canon.c    canonical names of domains, in the same way; none are while no server answers
 *   admin.c    what control asks */
#ifndef POSTERN_ROUTER_INSIDE_H
#define POSTERN_ROUTER_INSIDE_H

#include "base/arena.h"
#include "config/config.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "proto/roles.h"
#include "proto/router_deliver.h"
#include "role/role.h"
#include "route/route.h"

enum {
    ANSWER_ARENA_MAX = 4 << 20,
    CLIENTS_MAX = 66,   /* smtpd instances */
    DELIVERS_MAX = 64,
    REFRESH_MS = 2000,  /* between looks at the maps' files */
    REVERSE_MAX = 4096, /* questions for a client's name under way */
    CANON_MAX = 20000,  /* canonical names known or under way */
    CANON_WAITERS_MAX = 8192,
};

struct router;
struct names;
struct canons;
struct msg_canon;
struct msg_ask_flight;
struct msg_ask_rewrite;
struct verify;
struct msg_alive;
struct router_admin;

/* Who asks. The memory stays while its process is away; `life` tells one process from the next. */
struct client {
    struct router *r;
    struct channel *channel;
    uint64_t life;
};

struct router {
    struct role_env *env;
    struct config *config;
    struct route_tables *tables; /* NULL until started */
    struct client smtpds[CLIENTS_MAX], qmgr;
    struct router_admin *admin;
    struct names *names;
    struct canons *canons;
    struct verify *verify;
    struct arena *arena, *element; /* of one answer; of one of its recipients */
    struct list asks;              /* struct client_ask and struct route_wait that wait for names */
    struct list flights;           /* that wait for next hops */
    struct loop_timer finish, refresh;
    bool finishing;
};

/* accept.c */
void accept_peer(struct client *c, int fd);

/* flight.c */
void flight_ask(struct client *c, const struct msg_ask_flight *m);
void flight_free_all(struct router *r);

/* senders.c */
void senders_ask(struct client *c, struct channel *ch, const struct msg_ask_rewrite *m);

/* attempt.c */
void attempt_peer(struct client *c, int fd);

/* router.c */
void router_client_gone(struct client *c);

/* --- names.c --- */

struct names *names_new(struct router *r);
void names_free(struct names **n); /* who waits is not called */
void names_peer(struct names *n, int fd);

/* Calls fn once, maybe at once: with the verified name of ip, ROUTE_NAME_FAILED or _FORGED, or
 * ROUTE_NAME_UNKNOWN when nobody could say within deadline_ms. The name lives for the call. */
void names_reverse(struct names *n, const struct netaddr *ip, int64_t deadline_ms,
                   void (*fn)(void *ctx, enum route_client_name state, struct span name),
                   void *ctx);

/* --- canon.c --- */

struct canons *canons_new(struct router *r);
void canons_free(struct canons **n); /* who waits is not called */
void canons_resolver(struct canons *n, struct channel *ch); /* NULL: it has gone */
void canons_forget(struct canons *n); /* after a reload: what DNS said is asked anew */
void canons_answer(struct canons *n, const struct msg_canon *m);
void canons_alive(struct canons *n, const struct msg_alive *m);

/* Calls fn once, maybe at once, at the latest after route.canonical_timeout: with the canonical
 * name of `domain`, "" when it is its own or none could be had; why says so in the latter case,
 * else it is empty. */
void canons_ask(struct canons *n, struct span domain,
                void (*fn)(void *ctx, struct span canon, struct span why), void *ctx);
/* True: no name server answers, and this is what holds for the domain until one does. */
bool canons_paused(struct canons *n, struct span domain, struct span *canon_r,
                   struct span *why_r);

/* --- verify.c --- */

struct verify_answer {
    enum probe_verdict verdict;
    struct span enhanced, host, reply; /* during the call */
};

struct verify *verify_new(struct router *r);
void verify_free(struct verify **v); /* who waits is not called */
void verify_peer(struct verify *v, int index, int fd); /* a deliver */
void verify_forget(struct verify *v); /* after a reload: answers are asked for anew */

/* Calls fn once, maybe at once, at the latest after relay.verify_timeout: whether the next hop of
 * d knows rcpt. The same recipient asked about twice at a time is one probe. */
void verify_ask(struct verify *v, const struct route_dest *d, struct span rcpt,
                void (*fn)(void *ctx, const struct verify_answer *a), void *ctx);
/* What is known of it, for people; nothing is asked. */
void verify_say(struct verify *v, struct span rcpt, struct span queue, struct buf *text);

/* --- admin.c: what control asks --- */
struct router_admin *router_admin_new(struct router *r, int fd);
void router_admin_free(struct router_admin **a); /* accepts NULL in *a */

#endif
