#include "resolver/admin.h"

#include "base/must.h"
#include "explain/dns.h"
#include "ipc/channel.h"
#include "proto/control.h"

#include <stdlib.h>
#include <sysexits.h>

enum { ASKS_MAX = 64 };

struct resolver_admin {
    struct channel *channel; /* NULL: control is away */
    struct dns_resolver *dns;
    void (*params)(void *ctx, struct dns_mx_params *p);
    void *ctx;
    struct list asks;
    size_t count;
};

struct ask {
    struct list node;
    struct resolver_admin *a;
    uint64_t q;
    struct explain_dns *running;
};

static void ask_free(struct ask *k)
{
    k->a->count--;
    list_remove(&k->node);
    explain_dns_cancel(&k->running);
    free(k);
}

static void said(struct resolver_admin *a, uint64_t q, uint8_t end, struct span text)
{
    struct msg_admin_said m = { .q = q, .end = end, .text = text };
    if (a->channel)
        send_admin_said(a->channel, &m);
}

static void on_found(void *ctx, struct span json)
{
    struct ask *k = ctx;
    k->running = NULL;
    said(k->a, k->q, 0, json);
    said(k->a, k->q, ADMIN_OK, SPAN_NONE);
    ask_free(k);
}

static void on_admin_ask(struct resolver_admin *a, struct channel *ch,
                         const struct msg_admin_ask *m)
{
    struct wire w = wire_reader(m->args);
    struct explain_args args;
    struct dns_mx_params p = { 0 };
    struct err e = { "" };
    (void)ch;
    if (a->count >= ASKS_MAX) {
        said(a, m->q, EX_TEMPFAIL, SPAN("too many questions at once"));
        return;
    }
    struct ask *k = NEW(struct ask);
    k->a = a;
    k->q = m->q;
    list_append(&a->asks, &k->node);
    a->count++;
    a->params(a->ctx, &p);
    dns_resolver_forget_failed(a->dns); /* a person wants to know what is so now */
    if (explain_args_get(&w, &args, &e))
        k->running = explain_dns_start(a->dns, &p, m->verb, &args, on_found, k, &e);
    if (!k->running) {
        said(a, m->q, EX_USAGE, span_str(e.text));
        ask_free(k);
    }
}

/* Answers are one row: there is never more of them. */
static void on_admin_more(struct resolver_admin *a, struct channel *ch,
                          const struct msg_admin_more *m)
{
    (void)a;
    (void)ch;
    (void)m;
}

static void on_admin_gone(struct resolver_admin *a, struct channel *ch,
                          const struct msg_admin_gone *m)
{
    (void)ch;
    LIST_EACH(n, &a->asks) {
        struct ask *k = CONTAINER(n, struct ask, node);
        if (k->q == m->q)
            ask_free(k);
    }
}

PROTO_HANDLER(admin_ask, struct resolver_admin *, on_admin_ask)
PROTO_HANDLER(admin_more, struct resolver_admin *, on_admin_more)
PROTO_HANDLER(admin_gone, struct resolver_admin *, on_admin_gone)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct resolver_admin *a = ctx;
    (void)ch;
    (void)why;
    channel_free(&a->channel);
    LIST_EACH(n, &a->asks)
        ask_free(CONTAINER(n, struct ask, node));
}

struct resolver_admin *resolver_admin_new(struct loop *l, int fd,
                                          void (*params)(void *ctx, struct dns_mx_params *p),
                                          void *ctx)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_ask), PROTO_TYPE(admin_more),
                                                 PROTO_TYPE(admin_gone) };
    static const struct channel_ops ops = { types, 3, on_gone, NULL };
    struct resolver_admin *a = NEW(struct resolver_admin);
    a->params = params;
    a->ctx = ctx;
    list_init(&a->asks);
    a->channel = channel_new(l, fd, "control", &ops, a);
    channel_pause(a->channel, true);
    return a;
}

void resolver_admin_start(struct resolver_admin *a, struct dns_resolver *r)
{
    if (!a)
        return;
    a->dns = r;
    if (a->channel)
        channel_pause(a->channel, false);
}

void resolver_admin_free(struct resolver_admin **ap)
{
    struct resolver_admin *a = *ap;
    if (!a)
        return;
    on_gone(a, a->channel, "over");
    free(a);
    *ap = NULL;
}
