/* Where a next hop is: resolver is asked, as for deliveries. */
#include "watch/inside.h"

#include "base/arena.h"
#include "dns/hop.h"
#include "proto/deliver_resolver.h"

#include <stdio.h>

enum { LATE_MS = 10 * 1000, PLAN_ARENA_MAX = 1 << 20 };

static void end(struct where *k, const struct where_found *f)
{
    where_fn *fn = k->fn;
    where_stop(k);
    fn(k->ctx, f);
}

void where_stop(struct where *k)
{
    if (!k->fn)
        return;
    k->fn = NULL;
    list_remove(&k->node);
    loop_timer_stop(k->w->env->loop, &k->late);
}

static void fail(struct where *k, const char *why)
{
    struct where_found f = { .later = true, .why = span_str(why) };
    end(k, &f);
}

static void on_late(void *ctx) { fail(ctx, "the resolver does not answer"); }

static bool literals(const struct dns_hop *hops, size_t n, uint16_t port,
                     struct netaddr addrs[ADDRS_MAX], size_t *count_r)
{
    for (size_t i = 0; i < n && i < ADDRS_MAX; i++) {
        if (!hops[i].literal)
            return false;
        addrs[i] = hops[i].addr;
        addrs[i].port = hops[i].port ? hops[i].port : port;
        *count_r = i + 1;
    }
    return n > 0;
}

void where_ask(struct watch *w, struct where *k, struct span hop, uint16_t port, where_fn *fn,
               void *ctx)
{
    struct dns_hop hops[DNS_HOPS_MAX];
    struct netaddr addrs[ADDRS_MAX];
    size_t n = 0, count = 0;
    struct err e = { "" };
    where_stop(k);
    if (!dns_hops_parse(hop, hops, &n, &e)) {
        struct where_found f = { .why = span_str(e.text) };
        fn(ctx, &f);
        return;
    }
    if (literals(hops, n, port, addrs, &count)) {
        struct where_found f = { .addrs = addrs, .count = count };
        fn(ctx, &f);
        return;
    }
    *k = (struct where){ .w = w, .q = ++w->next_q, .fn = fn, .ctx = ctx };
    list_append(&w->wheres, &k->node);
    loop_timer_init(&k->late, on_late, k);
    if (!w->resolver) {
        fail(k, "the resolver is not running");
        return;
    }
    loop_timer_in(w->env->loop, &k->late, w->config->dns.timeout_ms + LATE_MS);
    struct msg_lookup m = { .q = k->q, .hops = hop };
    send_lookup(w->resolver, &m);
}

static void take_plan(struct where *k, struct span bytes)
{
    struct arena *a = arena_new(PLAN_ARENA_MAX);
    struct wire r = wire_reader(bytes);
    struct dns_plan plan;
    struct netaddr addrs[ADDRS_MAX];
    if (!dns_plan_get(&r, a, &plan)) {
        fail(k, "the resolver's answer cannot be read");
    } else {
        struct where_found f = { .addrs = addrs,
                                 .later = plan.verdict == DNS_PLAN_LATER,
                                 .why = plan.text };
        for (; f.count < plan.addr_count && f.count < ADDRS_MAX; f.count++)
            addrs[f.count] = plan.addrs[f.count].addr;
        end(k, &f);
    }
    arena_free(&a);
}

static void on_found(struct watch *w, struct channel *ch, const struct msg_found *m)
{
    (void)ch;
    LIST_EACH(n, &w->wheres) {
        struct where *k = CONTAINER(n, struct where, node);
        if (k->q == m->q) {
            take_plan(k, m->plan);
            return;
        }
    }
}
PROTO_HANDLER(found, struct watch *, on_found)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct watch *w = ctx;
    (void)ch;
    (void)why;
    channel_free(&w->resolver); /* its questions end by their timers */
}

void where_peer(struct watch *w, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(found) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    channel_free(&w->resolver);
    w->resolver = channel_new(w->env->loop, fd, "resolver", &ops, w);
}
