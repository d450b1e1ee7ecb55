/* Names that only DNS knows. Each question has a deadline of our own, and how many are under way
 * is bounded: beyond that, and while resolver is away, the answer is "not known" at once. */
#include "router/inside.h"

#include "base/hash.h"
#include "base/must.h"
#include "dns/name.h"
#include "proto/router_resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KNOWN_MAX_MS = 5 * 60 * 1000, /* resolver's cache is behind it */
    FAILED_MS = 10 * 1000,
};

struct reverse_ask {
    struct hash_node node; /* by q */
    struct names *n;
    uint64_t q;
    struct loop_timer deadline;
    void (*fn)(void *ctx, enum route_client_name state, struct span name);
    void *ctx;
};

struct waiter {
    struct list node;
    void (*fn)(void *ctx, struct span canon, struct span why);
    void *ctx;
};

/* A domain's canonical name: known, or being asked for. */
struct canon {
    struct hash_node by_domain, by_q; /* by_q while it is asked for */
    struct list age;                  /* in n->known, the oldest first; not while it is asked for */
    struct names *n;
    uint64_t q;                       /* 0: known */
    int64_t until_ms;
    struct loop_timer deadline;
    struct list waiters;
    struct dns_name domain, name;
    char why[128];
};

struct names {
    struct router *r;
    struct channel *channel;
    struct hash reverse, domains, asked;
    struct list known;
    uint64_t next_q;
    size_t waiters;
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

/* --- the canonical name of a domain --- */

static void canon_free(struct canon *c)
{
    struct names *n = c->n;
    hash_remove(&n->domains, &c->by_domain);
    if (c->q)
        hash_remove(&n->asked, &c->by_q);
    list_remove(&c->age);
    loop_timer_stop(n->r->env->loop, &c->deadline);
    LIST_EACH(node, &c->waiters) {
        list_remove(node);
        free(CONTAINER(node, struct waiter, node));
        n->waiters--;
    }
    free(c);
}

/* It is known now, if only that it cannot be. */
static void canon_end(struct canon *c, int64_t keep_ms)
{
    struct names *n = c->n;
    hash_remove(&n->asked, &c->by_q);
    c->q = 0;
    c->until_ms = loop_mono_ms(n->r->env->loop) + keep_ms;
    loop_timer_stop(n->r->env->loop, &c->deadline);
    list_append(&n->known, &c->age);
    struct list waiting;
    list_init(&waiting);
    LIST_EACH(node, &c->waiters) {
        list_remove(node);
        list_append(&waiting, node);
    }
    /* c may go while they are told: whoever is told may ask again. */
    struct dns_name name = c->name;
    char why[sizeof c->why];
    memcpy(why, c->why, sizeof why);
    LIST_EACH(told, &waiting) {
        struct waiter *w = CONTAINER(told, struct waiter, node);
        list_remove(told);
        n->waiters--;
        w->fn(w->ctx, dns_name_span(&name), span_str(why));
        free(w);
    }
}

static void canon_failed(struct canon *c, const char *why)
{
    snprintf(c->why, sizeof c->why, "%s", why);
    canon_end(c, FAILED_MS);
}

static void on_canon_late(void *ctx) { canon_failed(ctx, "no answer in time"); }

/* NULL: no room, and nothing that could go. */
static struct canon *canon_new(struct names *n, const struct dns_name *domain)
{
    if (n->domains.n >= CANON_MAX) {
        struct list *oldest = list_first(&n->known);
        if (!oldest)
            return NULL;
        canon_free(CONTAINER(oldest, struct canon, age));
    }
    struct canon *c = NEW(struct canon);
    c->n = n;
    c->domain = *domain;
    c->q = ++n->next_q;
    list_init(&c->waiters);
    loop_timer_init(&c->deadline, on_canon_late, c);
    hash_add(&n->domains, &c->by_domain, dns_name_span(&c->domain));
    hash_add(&n->asked, &c->by_q, span_of(&c->q, sizeof c->q));
    int64_t wait_ms = n->r->config->dns.timeout_ms;
    loop_timer_in(n->r->env->loop, &c->deadline,
                  wait_ms < CANON_WAIT_MAX_MS ? wait_ms : CANON_WAIT_MAX_MS);
    struct msg_ask_canon m = { .q = c->q, .domain = dns_name_span(&c->domain) };
    send_ask_canon(n->channel, &m);
    return c;
}

static struct canon *canon_known(struct names *n, const struct dns_name *domain)
{
    struct hash_node *node = hash_get(&n->domains, dns_name_span(domain));
    struct canon *c = node ? CONTAINER(node, struct canon, by_domain) : NULL;
    if (c && !c->q && c->until_ms <= loop_mono_ms(n->r->env->loop)) {
        canon_free(c);
        return NULL;
    }
    return c;
}

void names_canon(struct names *n, struct span domain,
                 void (*fn)(void *ctx, struct span canon, struct span why), void *ctx)
{
    struct dns_name name;
    if (dns_name_from(domain, &name) != DNS_NAME_OK) {
        fn(ctx, SPAN_NONE, SPAN_NONE); /* nothing DNS could know */
        return;
    }
    struct canon *c = canon_known(n, &name);
    if (c && !c->q) {
        fn(ctx, dns_name_span(&c->name), span_str(c->why));
        return;
    }
    if (!c && n->channel)
        c = canon_new(n, &name);
    if (!c || n->waiters >= CANON_WAITERS_MAX) {
        fn(ctx, SPAN_NONE, c ? SPAN("too many questions at once") : SPAN("the resolver is away"));
        return;
    }
    struct waiter *w = NEW(struct waiter);
    w->fn = fn;
    w->ctx = ctx;
    list_append(&c->waiters, &w->node);
    n->waiters++;
}

static void on_canon(struct names *n, struct channel *ch, const struct msg_canon *m)
{
    struct hash_node *node = hash_get(&n->asked, span_of(&m->q, sizeof m->q));
    (void)ch;
    if (!node)
        return; /* too late */
    struct canon *c = CONTAINER(node, struct canon, by_q);
    if (!m->ok) {
        char why[sizeof c->why];
        snprintf(why, sizeof why, "%.*s", (int)(m->why.n < sizeof why ? m->why.n : sizeof why - 1),
                 m->why.n ? m->why.p : "");
        canon_failed(c, why[0] ? why : "DNS gave no answer");
        return;
    }
    if (dns_name_from(m->name, &c->name) != DNS_NAME_OK || dns_name_eq(&c->name, &c->domain))
        c->name = (struct dns_name){ 0 };
    int64_t keep_ms = (int64_t)m->ttl_s * 1000;
    canon_end(c, keep_ms < KNOWN_MAX_MS ? keep_ms : KNOWN_MAX_MS);
}

PROTO_HANDLER(reverse, struct names *, on_reverse)
PROTO_HANDLER(canon, struct names *, on_canon)

/* --- resolver comes and goes --- */

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct names *n = ctx;
    (void)ch;
    (void)why;
    channel_free(&n->channel);
    for (struct hash_node *node; (node = hash_next(&n->reverse, NULL));)
        reverse_end(CONTAINER(node, struct reverse_ask, node), ROUTE_NAME_UNKNOWN, SPAN_NONE);
    for (struct hash_node *node; (node = hash_next(&n->asked, NULL));)
        canon_failed(CONTAINER(node, struct canon, by_q), "the resolver went away");
}

void names_peer(struct names *n, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(reverse), PROTO_TYPE(canon) };
    static const struct channel_ops ops = { types, 2, on_gone, NULL };
    if (n->channel)
        on_gone(n, n->channel, "replaced");
    n->channel = channel_new(n->r->env->loop, fd, "resolver", &ops, n);
}

struct names *names_new(struct router *r)
{
    struct names *n = NEW(struct names);
    n->r = r;
    hash_init(&n->reverse, loop_random_u64(r->env->loop), 0);
    hash_init(&n->domains, loop_random_u64(r->env->loop), 0);
    hash_init(&n->asked, loop_random_u64(r->env->loop), 0);
    list_init(&n->known);
    return n;
}

void names_forget(struct names *n)
{
    LIST_EACH(node, &n->known)
        canon_free(CONTAINER(node, struct canon, age));
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
    for (struct hash_node *node; (node = hash_next(&n->domains, NULL));)
        canon_free(CONTAINER(node, struct canon, by_domain));
    hash_free(&n->reverse);
    hash_free(&n->domains);
    hash_free(&n->asked);
    free(n);
}
