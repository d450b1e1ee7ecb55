#include "resolver/sites.h"

#include "base/must.h"
#include "ipc/channel.h"
#include "proto/qmgr_resolver.h"

#include <stdlib.h>

struct resolver_sites {
    struct dns_resolver *dns; /* NULL until started */
    struct channel *channel;
    void (*params)(void *ctx, struct dns_mx_params *p);
    void *ctx;
    struct list open; /* struct site_ask */
};

struct site_ask {
    struct list node;
    struct resolver_sites *n;
    uint64_t q;
    struct dns_lookup *running;
};

static void answer(struct resolver_sites *n, uint64_t q, const struct dns_plan *plan)
{
    struct msg_site m = { .q = q };
    if (plan) {
        m.site = plan->site;
        m.ttl_s = plan->ttl_s;
        m.best = plan->order.best;
        m.all = plan->order.all;
    }
    if (n->channel)
        send_site(n->channel, &m);
}

static void on_plan(void *ctx, const struct dns_plan *plan)
{
    struct site_ask *a = ctx;
    answer(a->n, a->q, plan);
    list_remove(&a->node);
    free(a);
}

static void on_ask_site(struct resolver_sites *n, struct channel *ch, const struct msg_ask_site *m)
{
    struct dns_hop hops[DNS_HOPS_MAX];
    struct dns_mx_params p = { .port = 0 };
    size_t count;
    struct err e;
    (void)ch;
    if (!dns_hops_parse(m->hops, hops, &count, &e)) {
        answer(n, m->q, NULL);
        return;
    }
    struct site_ask *a = NEW(struct site_ask);
    a->n = n;
    a->q = m->q;
    list_append(&n->open, &a->node);
    n->params(n->ctx, &p);
    a->running = dns_lookup_start(n->dns, &p, hops, count, on_plan, a);
}
PROTO_HANDLER(ask_site, struct resolver_sites *, on_ask_site)

static void on_dns_anew(struct resolver_sites *n, struct channel *ch, const struct msg_dns_anew *m)
{
    (void)ch;
    (void)m;
    dns_resolver_forget_failed(n->dns);
}
PROTO_HANDLER(dns_anew, struct resolver_sites *, on_dns_anew)

/* qmgr has gone: what it asked is answered to nobody. */
static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct resolver_sites *n = ctx;
    (void)ch;
    (void)why;
    channel_free(&n->channel);
}

struct resolver_sites *resolver_sites_new(struct loop *l, int fd,
                                          void (*params)(void *ctx, struct dns_mx_params *p),
                                          void *ctx)
{
    static const struct channel_type types[] = { PROTO_TYPE(ask_site), PROTO_TYPE(dns_anew) };
    static const struct channel_ops ops = { types, 2, on_gone, NULL };
    struct resolver_sites *n = NEW(struct resolver_sites);
    list_init(&n->open);
    n->params = params;
    n->ctx = ctx;
    n->channel = channel_new(l, fd, "qmgr", &ops, n);
    channel_pause(n->channel, true);
    return n;
}

void resolver_sites_start(struct resolver_sites *n, struct dns_resolver *r)
{
    if (!n)
        return;
    n->dns = r;
    if (n->channel)
        channel_pause(n->channel, false);
}

void resolver_sites_free(struct resolver_sites **pn)
{
    struct resolver_sites *n = *pn;
    *pn = NULL;
    if (!n)
        return;
    channel_free(&n->channel);
    LIST_EACH(node, &n->open) {
        struct site_ask *a = CONTAINER(node, struct site_ask, node);
        dns_lookup_cancel(&a->running);
        free(a);
    }
    free(n);
}
