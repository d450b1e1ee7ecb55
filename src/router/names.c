/* Names that only DNS knows. Each question has a deadline of our own, and how many are under way
 * is bounded: beyond that, and while resolver is away, the answer is "not known" at once. */
#include "router/inside.h"

#include "base/hash.h"
#include "base/must.h"
#include "dns/name.h"
#include "proto/router_resolver.h"

#include <stdlib.h>

struct reverse_ask {
    struct hash_node node; /* by q */
    struct names *n;
    uint64_t q;
    struct loop_timer deadline;
    void (*fn)(void *ctx, enum route_client_name state, struct span name);
    void *ctx;
};

struct names {
    struct router *r;
    struct channel *channel;
    struct hash reverse;
    uint64_t next_q;
};

/* --- the name of an address --- */

static void reverse_end(struct reverse_ask *a, enum route_client_name state, struct span name)
{
    hash_remove(&a->n->reverse, &a->node);
    loop_timer_stop(a->n->r->env->loop, &a->deadline);
    a->fn(a->ctx, state, name);
    free(a);
}

static void on_reverse_late(void *ctx) { reverse_end(ctx, ROUTE_NAME_UNKNOWN, SPAN_NONE); }

void names_reverse(struct names *n, const struct netaddr *ip, int64_t deadline_ms,
                   void (*fn)(void *ctx, enum route_client_name state, struct span name),
                   void *ctx)
{
    if (!n->channel || n->reverse.n >= REVERSE_MAX) {
        fn(ctx, ROUTE_NAME_UNKNOWN, SPAN_NONE);
        return;
    }
    struct reverse_ask *a = NEW(struct reverse_ask);
    a->n = n;
    a->q = ++n->next_q;
    a->fn = fn;
    a->ctx = ctx;
    hash_add(&n->reverse, &a->node, span_of(&a->q, sizeof a->q));
    loop_timer_init(&a->deadline, on_reverse_late, a);
    loop_timer_in(n->r->env->loop, &a->deadline, deadline_ms);
    struct msg_ask_reverse m = { .q = a->q, .ip = *ip };
    send_ask_reverse(n->channel, &m);
}

static void on_reverse(struct names *n, struct channel *ch, const struct msg_reverse *m)
{
    static const enum route_client_name states[] = {
        [RESOLVER_NAME_GOOD] = ROUTE_NAME_GOOD,
        [RESOLVER_NAME_NONE] = ROUTE_NAME_FAILED,
        [RESOLVER_NAME_FORGED] = ROUTE_NAME_FORGED,
        [RESOLVER_NAME_FAILED] = ROUTE_NAME_UNKNOWN,
    };
    struct hash_node *node = hash_get(&n->reverse, span_of(&m->q, sizeof m->q));
    (void)ch;
    if (!node)
        return; /* too late */
    struct dns_name name;
    enum route_client_name state =
        m->state < sizeof states / sizeof *states ? states[m->state] : ROUTE_NAME_UNKNOWN;
    /* What a stranger's DNS says is checked once more: it goes into headers and logs. */
    if (state == ROUTE_NAME_GOOD && dns_name_from(m->name, &name) != DNS_NAME_OK)
        state = ROUTE_NAME_FAILED;
    reverse_end(CONTAINER(node, struct reverse_ask, node), state,
                state == ROUTE_NAME_GOOD ? dns_name_span(&name) : SPAN_NONE);
}

static void on_canon(struct names *n, struct channel *ch, const struct msg_canon *m)
{
    (void)ch;
    canons_answer(n->r->canons, m);
}

static void on_alive(struct names *n, struct channel *ch, const struct msg_alive *m)
{
    (void)ch;
    canons_alive(n->r->canons, m);
}

PROTO_HANDLER(reverse, struct names *, on_reverse)
PROTO_HANDLER(canon, struct names *, on_canon)
PROTO_HANDLER(alive, struct names *, on_alive)

/* --- resolver comes and goes --- */

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct names *n = ctx;
    (void)ch;
    (void)why;
    channel_free(&n->channel);
    for (struct hash_node *node; (node = hash_next(&n->reverse, NULL));)
        reverse_end(CONTAINER(node, struct reverse_ask, node), ROUTE_NAME_UNKNOWN, SPAN_NONE);
    canons_resolver(n->r->canons, NULL);
}

void names_peer(struct names *n, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(reverse), PROTO_TYPE(canon),
                                                 PROTO_TYPE(alive) };
    static const struct channel_ops ops = { types, 3, on_gone, NULL };
    if (n->channel)
        on_gone(n, n->channel, "replaced");
    n->channel = channel_new(n->r->env->loop, fd, "resolver", &ops, n);
    canons_resolver(n->r->canons, n->channel);
}

struct names *names_new(struct router *r)
{
    struct names *n = NEW(struct names);
    n->r = r;
    hash_init(&n->reverse, loop_random_u64(r->env->loop), 0);
    return n;
}

void names_free(struct names **pn)
{
    struct names *n = *pn;
    *pn = NULL;
    if (!n)
        return;
    channel_free(&n->channel);
    for (struct hash_node *node; (node = hash_next(&n->reverse, NULL));) {
        struct reverse_ask *a = CONTAINER(node, struct reverse_ask, node);
        hash_remove(&n->reverse, node);
        loop_timer_stop(n->r->env->loop, &a->deadline);
        free(a);
    }
    hash_free(&n->reverse);
    free(n);
}
