/* dns/mx.h driven through the resolver. */
#include "dns/resolver.h"

#include "base/must.h"

#include <stdlib.h>

/* One question of the lookup; freed with it. */
struct wait {
    struct wait *next;
    struct dns_ask ask;
    struct dns_lookup *l;
};

struct dns_lookup {
    struct dns_resolver *r;
    struct loop *loop;
    struct dns_mx *mx;
    struct wait *waits;
    struct loop_hook done; /* so that fn is never called inside dns_lookup_start */
    struct arena *arena;   /* of answers from the cache */
    void (*fn)(void *ctx, const struct dns_plan *plan);
    void *ctx;
};

static void step(struct dns_lookup *l);

static void answered(void *ctx, const struct dns_question *q, const struct dns_answer *ans)
{
    struct wait *w = ctx;
    dns_mx_told(w->l->mx, q, ans);
    step(w->l);
}

/* Asks all there is to ask; what the cache has is told at once. */
static void step(struct dns_lookup *l)
{
    struct dns_question q;
    struct dns_answer ans;
    while (dns_mx_next(l->mx, &q)) {
        arena_reset(l->arena);
        if (dns_resolver_cached(l->r, &q, l->arena, &ans)) {
            dns_mx_told(l->mx, &q, &ans);
            continue;
        }
        struct wait *w = NEW(struct wait);
        w->l = l;
        w->next = l->waits;
        l->waits = w;
        dns_ask(l->r, &w->ask, &q, answered, w);
    }
    if (dns_mx_done(l->mx))
        loop_hook_ask(l->loop, &l->done);
}

static void finish(void *ctx)
{
    struct dns_lookup *l = ctx;
    l->fn(l->ctx, dns_mx_plan(l->mx));
    dns_lookup_cancel(&l);
}

struct dns_lookup *dns_lookup_start(struct dns_resolver *r, const struct dns_mx_params *p,
                                    const struct dns_hop *hops, size_t n,
                                    void (*fn)(void *ctx, const struct dns_plan *plan), void *ctx)
{
    struct dns_lookup *l = NEW(struct dns_lookup);
    l->r = r;
    l->loop = dns_resolver_loop(r);
    l->fn = fn;
    l->ctx = ctx;
    l->arena = arena_new(DNS_ARENA_BYTES);
    l->mx = dns_mx_new(p, hops, n);
    loop_hook_init(&l->done, LOOP_STAGE_WORK, finish, l);
    step(l);
    return l;
}

void dns_lookup_cancel(struct dns_lookup **lp)
{
    struct dns_lookup *l = *lp;
    if (!l)
        return;
    for (struct wait *w = l->waits, *next; w; w = next) {
        next = w->next;
        dns_ask_cancel(&w->ask);
        free(w);
    }
    loop_hook_cancel(&l->done);
    dns_mx_free(&l->mx);
    arena_free(&l->arena);
    free(l);
    *lp = NULL;
}
