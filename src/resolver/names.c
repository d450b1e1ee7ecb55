#include "resolver/names.h"

#include "base/must.h"
#include "ipc/channel.h"
#include "proto/router_resolver.h"

#include <stdlib.h>

enum { PTR_MAX = 5 }; /* names of one address that are followed: more is somebody's game */

struct resolver_names {
    struct dns_resolver *dns; /* NULL until started */
    struct channel *channel;
    struct list open; /* struct name_ask */
};

/* A question under way. */
struct name_ask {
    struct list node;
    struct resolver_names *n;
    uint64_t q;
    struct dns_ask ask;
};

/* An address whose name is sought: PTR, then each name back. */
struct reverse {
    struct name_ask a; /* first */
    struct netaddr ip;
    struct dns_name names[PTR_MAX];
    size_t count, at;
    bool failed; /* a name could not be looked up */
};

static void name_ask_begin(struct resolver_names *n, struct name_ask *a, uint64_t q)
{
    a->n = n;
    a->q = q;
    list_append(&n->open, &a->node);
}

/* --- the name of an address --- */

static void reverse_end(struct reverse *r, enum resolver_name state)
{
    struct msg_reverse m = { .q = r->a.q, .state = (uint8_t)state };
    if (state == RESOLVER_NAME_GOOD)
        m.name = dns_name_span(&r->names[r->at]);
    if (r->a.n->channel)
        send_reverse(r->a.n->channel, &m);
    list_remove(&r->a.node);
    free(r);
}

/* "4.3.2.1.in-addr.arpa" (RFC 1035 3.5), nibbles under ip6.arpa (RFC 3596 2.5). */
static bool reverse_name(const struct netaddr *ip, struct dns_name *name_r)
{
    struct buf b;
    buf_init(&b, DNS_NAME_MAX);
    if (ip->family == NETADDR_V4) {
        for (int i = 3; i >= 0; i--)
            buf_printf(&b, "%d.", ip->ip[i]);
        buf_putz(&b, "in-addr.arpa");
    } else {
        for (int i = 15; i >= 0; i--)
            buf_printf(&b, "%x.%x.", ip->ip[i] & 15, ip->ip[i] >> 4);
        buf_putz(&b, "ip6.arpa");
    }
    bool ok = dns_name_from(buf_span(&b), name_r) == DNS_NAME_OK;
    buf_free(&b);
    return ok;
}

static void ask_back(struct reverse *r);

static void on_back(void *ctx, const struct dns_question *q, const struct dns_answer *a)
{
    struct reverse *r = ctx;
    (void)q;
    for (size_t i = 0; a->status == DNS_RECORDS && i < a->count; i++) {
        if (netaddr_same_ip(&a->records[i].addr, &r->ip)) {
            reverse_end(r, RESOLVER_NAME_GOOD);
            return;
        }
    }
    r->failed |= a->status == DNS_SERVFAIL || a->status == DNS_TIMEOUT;
    r->at++;
    ask_back(r);
}

static void ask_back(struct reverse *r)
{
    if (r->at == r->count) {
        reverse_end(r, r->failed ? RESOLVER_NAME_FAILED : RESOLVER_NAME_FORGED);
        return;
    }
    struct dns_question q = { .name = r->names[r->at],
                              .type = r->ip.family == NETADDR_V4 ? DNS_A : DNS_AAAA };
    dns_ask(r->a.n->dns, &r->a.ask, &q, on_back, r);
}

static void on_ptr(void *ctx, const struct dns_question *q, const struct dns_answer *a)
{
    struct reverse *r = ctx;
    (void)q;
    for (size_t i = 0; a->status == DNS_RECORDS && i < a->count && r->count < PTR_MAX; i++)
        if (dns_name_from(a->records[i].name, &r->names[r->count]) == DNS_NAME_OK)
            r->count++;
    if (r->count)
        ask_back(r);
    else if (a->status == DNS_SERVFAIL || a->status == DNS_TIMEOUT)
        reverse_end(r, RESOLVER_NAME_FAILED);
    else
        reverse_end(r, RESOLVER_NAME_NONE);
}

static void on_ask_reverse(struct resolver_names *n, struct channel *ch,
                           const struct msg_ask_reverse *m)
{
    struct dns_question q = { .type = DNS_PTR };
    struct reverse *r = NEW(struct reverse);
    (void)ch;
    name_ask_begin(n, &r->a, m->q);
    r->ip = m->ip;
    if (m->ip.family == NETADDR_NONE || !reverse_name(&m->ip, &q.name))
        reverse_end(r, RESOLVER_NAME_NONE);
    else
        dns_ask(n->dns, &r->a.ask, &q, on_ptr, r);
}

/* --- the canonical name of a domain --- */

/* The MX question: the one that is asked for the delivery as well. */
static void on_mx(void *ctx, const struct dns_question *q, const struct dns_answer *a)
{
    struct name_ask *c = ctx;
    bool ok = a->status != DNS_SERVFAIL && a->status != DNS_TIMEOUT;
    struct msg_canon m = { .q = c->q, .ok = ok, .ttl_s = a->ttl_s, .why = a->why };
    if (ok && !span_ieq(a->canon, dns_name_span(&q->name)))
        m.name = a->canon;
    if (!ok && !m.why.n)
        m.why = span_str(dns_status_name(a->status));
    if (c->n->channel)
        send_canon(c->n->channel, &m);
    list_remove(&c->node);
    free(c);
}

static void on_ask_canon(struct resolver_names *n, struct channel *ch,
                         const struct msg_ask_canon *m)
{
    struct dns_question q = { .type = DNS_MX };
    (void)ch;
    if (dns_name_from(m->domain, &q.name) != DNS_NAME_OK) {
        struct msg_canon none = { .q = m->q, .ok = true };
        send_canon(n->channel, &none);
        return;
    }
    struct name_ask *c = NEW(struct name_ask);
    name_ask_begin(n, c, m->q);
    dns_ask(n->dns, &c->ask, &q, on_mx, c);
}

/* --- does any server answer? --- */

static void on_root(void *ctx, const struct dns_question *q, const struct dns_answer *a)
{
    struct name_ask *c = ctx;
    struct msg_alive m = { .q = c->q,
                           .ok = a->status != DNS_SERVFAIL && a->status != DNS_TIMEOUT };
    (void)q;
    if (c->n->channel)
        send_alive(c->n->channel, &m);
    list_remove(&c->node);
    free(c);
}

/* The root has no MX: every server can say so, without asking others. */
static void on_ask_alive(struct resolver_names *n, struct channel *ch,
                         const struct msg_ask_alive *m)
{
    struct dns_question q = { .type = DNS_MX };
    struct name_ask *c = NEW(struct name_ask);
    (void)ch;
    name_ask_begin(n, c, m->q);
    dns_cache_flush(dns_resolver_cache(n->dns), &q.name, false);
    dns_ask(n->dns, &c->ask, &q, on_root, c);
}

PROTO_HANDLER(ask_reverse, struct resolver_names *, on_ask_reverse)
PROTO_HANDLER(ask_canon, struct resolver_names *, on_ask_canon)
PROTO_HANDLER(ask_alive, struct resolver_names *, on_ask_alive)

/* --- router comes and goes --- */

/* What it asked is answered to nobody. */
static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct resolver_names *n = ctx;
    (void)ch;
    (void)why;
    channel_free(&n->channel);
}

struct resolver_names *resolver_names_new(struct loop *l, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(ask_reverse), PROTO_TYPE(ask_canon),
                                                 PROTO_TYPE(ask_alive) };
    static const struct channel_ops ops = { types, 3, on_gone, NULL };
    struct resolver_names *n = NEW(struct resolver_names);
    list_init(&n->open);
    n->channel = channel_new(l, fd, "router", &ops, n);
    channel_pause(n->channel, true);
    return n;
}

void resolver_names_start(struct resolver_names *n, struct dns_resolver *r)
{
    if (!n)
        return;
    n->dns = r;
    if (n->channel)
        channel_pause(n->channel, false);
}

void resolver_names_free(struct resolver_names **pn)
{
    struct resolver_names *n = *pn;
    *pn = NULL;
    if (!n)
        return;
    channel_free(&n->channel);
    LIST_EACH(node, &n->open) {
        struct name_ask *a = CONTAINER(node, struct name_ask, node);
        dns_ask_cancel(&a->ask);
        free(a); /* of a reverse too: it begins with it */
    }
    free(n);
}
