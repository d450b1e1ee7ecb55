/* The inside of router, for the files of this folder.
 *
 *   router.c   the role: tables read, refreshed and reloaded; who comes and goes
 *   accept.c   may it? what smtpd asks of clients, senders and recipients
 *   attempt.c  where to? what qmgr asks at each attempt
 *   names.c    names that only DNS knows, asked of resolver and waited for within bounds
 *   admin.c    what control asks */
#ifndef POSTERN_ROUTER_INSIDE_H
#define POSTERN_ROUTER_INSIDE_H

#include "base/arena.h"
#include "config/config.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "proto/roles.h"
#include "role/role.h"
#include "route/route.h"

enum {
    ANSWER_ARENA_MAX = 4 << 20,
    CLIENTS_MAX = 66,   /* smtpd instances */
    REFRESH_MS = 2000,  /* between looks at the maps' files */
    REVERSE_MAX = 4096, /* questions for a client's name under way */
    CANON_MAX = 20000,  /* canonical names known or under way */
    CANON_WAITERS_MAX = 8192,
    CANON_WAIT_MAX_MS = 10000,
};

struct router;
struct names;
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
    struct arena *arena, *element; /* of one answer; of one of its recipients */
    struct list asks;              /* struct client_ask and struct route_wait that wait for names */
    struct loop_timer finish, refresh;
    bool finishing;
};

/* accept.c */
void accept_peer(struct client *c, int fd);

/* attempt.c */
void attempt_peer(struct client *c, int fd);

/* router.c */
void router_client_gone(struct client *c);

/* --- names.c --- */

struct names *names_new(struct router *r);
void names_free(struct names **n); /* who waits is not called */
void names_peer(struct names *n, int fd);
void names_forget(struct names *n); /* after a reload: what DNS said is asked anew */

/* Calls fn once, maybe at once: with the verified name of ip, ROUTE_NAME_FAILED or _FORGED, or
 * ROUTE_NAME_UNKNOWN when nobody could say within deadline_ms. The name lives for the call. */
void names_reverse(struct names *n, const struct netaddr *ip, int64_t deadline_ms,
                   void (*fn)(void *ctx, enum route_client_name state, struct span name),
                   void *ctx);

/* Calls fn once, maybe at once: with the canonical name of `domain`, "" when it is its own or none
 * could be had; why says so in the latter case, else it is empty. */
void names_canon(struct names *n, struct span domain,
                 void (*fn)(void *ctx, struct span canon, struct span why), void *ctx);

/* --- admin.c: what control asks --- */
struct router_admin *router_admin_new(struct router *r, int fd);
void router_admin_free(struct router_admin **a); /* accepts NULL in *a */

#endif
