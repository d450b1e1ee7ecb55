/* Where to, now? Asked by qmgr at each attempt of a recipient. */
#include "router/inside.h"

#include "base/must.h"
#include "envelope/envelope.h"
#include "proto/lists.h"
#include "proto/qmgr_router.h"

#include <stdlib.h>
#include <string.h>

enum { EXPANDED_MAX = 512 << 10 };

/* A question that waits for the canonical name of its recipient's domain. */
struct route_wait {
    struct list node; /* in r->asks */
    struct client *c;
    uint64_t life, q;
    uint8_t flags, released;
    size_t sender_bytes, rcpt_bytes;
    char text[]; /* sender, recipient */
};

static void answer(struct client *c, uint64_t q, const struct route_dest *d)
{
    struct buf *b = channel_begin(c->channel, MSG_routed);
    wire_put_u64(b, q);
    size_t at = wire_begin_bytes(b);
    route_dest_put(b, d);
    wire_end_bytes(b, at);
    channel_end(c->channel);
}

static void on_canon(void *ctx, struct span canon, struct span why)
{
    struct route_wait *w = ctx;
    struct router *r = w->c->r;
    if (w->c->channel && w->life == w->c->life) {
        struct route_ask ask = { .sender = span_of(w->text, w->sender_bytes),
                                 .rcpt = span_of(w->text + w->sender_bytes, w->rcpt_bytes),
                                 .rcpt_flags = w->flags,
                                 .released = w->released,
                                 .canon_known = true,
                                 .canon = canon,
                                 .canon_why = why };
        struct route_dest d;
        arena_reset(r->arena);
        MUST(route_find(r->tables, &ask, r->arena, NULL, &d));
        answer(w->c, w->q, &d);
    }
    list_remove(&w->node);
    free(w);
}

static void wait_for_canon(struct client *c, const struct msg_route *m)
{
    struct route_wait *w = must_alloc(sizeof *w + m->sender.n + m->rcpt.n);
    *w = (struct route_wait){ .c = c, .life = c->life, .q = m->q, .flags = m->flags,
                              .released = m->released, .sender_bytes = m->sender.n,
                              .rcpt_bytes = m->rcpt.n };
    if (m->sender.n)
        memcpy(w->text, m->sender.p, m->sender.n);
    if (m->rcpt.n)
        memcpy(w->text + m->sender.n, m->rcpt.p, m->rcpt.n);
    list_append(&c->r->asks, &w->node);
    struct span rcpt = span_of(w->text + w->sender_bytes, w->rcpt_bytes);
    canons_ask(c->r->canons, span_from(rcpt, span_rfind(rcpt, '@') + 1), on_canon, w);
}

static void on_route(struct client *c, struct channel *ch, const struct msg_route *m)
{
    struct router *r = c->r;
    struct route_ask ask = { .sender = m->sender, .rcpt = m->rcpt, .rcpt_flags = m->flags,
                             .released = m->released };
    struct route_dest d;
    (void)ch;
    arena_reset(r->arena);
    if (route_find(r->tables, &ask, r->arena, NULL, &d))
        answer(c, m->q, &d);
    else
        wait_for_canon(c, m);
}
/* A report is mail of our own making: nobody refuses it here. What has no answer goes to rcpt
 * itself, and what becomes of that is said at the attempt. */
static void on_expand(struct client *c, struct channel *ch, const struct msg_expand *m)
{
    struct router *r = c->r;
    struct route_client own = { .ip = { .family = NETADDR_NONE } };
    struct route_accept out;
    struct buf targets;
    arena_reset(r->arena);
    buf_init(&targets, EXPANDED_MAX);
    bool good = route_accept_rcpt(r->tables, &own, SPAN_NONE, m->rcpt, r->arena, NULL, &out);
    for (size_t i = 0; good && !out.discard && i < out.target_count; i++) {
        const struct route_target *t = &out.targets[i];
        struct envelope_rcpt e = { .addr = t->addr, .flags = t->flags,
                                   .own_sender = t->own_sender, .sender = t->sender };
        list_put_target(&targets, &e);
    }
    struct msg_expanded said = { .q = m->q,
                                 .targets = targets.failed ? SPAN_NONE : buf_span(&targets) };
    send_expanded(ch, &said);
    buf_free(&targets);
}

PROTO_HANDLER(route, struct client *, on_route)
PROTO_HANDLER(expand, struct client *, on_expand)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ch;
    (void)why;
    router_client_gone(ctx);
}

void attempt_peer(struct client *c, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(route), PROTO_TYPE(expand) };
    static const struct channel_ops ops = { types, 2, on_gone, NULL };
    c->channel = channel_new(c->r->env->loop, fd, "qmgr", &ops, c);
}
