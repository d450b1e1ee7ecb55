/* May it? What smtpd asks about a client when it connects; senders and recipients: flight.c;
 * addresses in the message: senders.c. */
#include "router/inside.h"

#include "base/must.h"
#include "envelope/envelope.h"
#include "proto/smtpd_router.h"

#include <stdlib.h>

/* --- the client --- */

/* A client whose name is being looked up. */
struct client_ask {
    struct list node; /* in r->asks */
    struct client *c;
    uint64_t life, q;
    struct netaddr ip;
};

static void put_reply(struct buf *b, const struct route_reply *r)
{
    buf_puts(b, r->code);
    buf_putc(b, ' ');
    buf_puts(b, r->text);
}

static void say_client(struct client *c, uint64_t q, const struct netaddr *ip,
                       enum route_client_name state, struct span name)
{
    struct router *r = c->r;
    struct route_client client = { .ip = *ip, .host = name, .name = state };
    struct route_accept out;
    struct buf text;
    arena_reset(r->arena);
    buf_init(&text, ENVELOPE_TEXT_MAX);
    bool good = route_accept_client(r->tables, &client, r->arena, NULL, &out);
    if (!good)
        put_reply(&text, &out.reply);
    struct msg_client_verdict m = { .q = q,
                                    .code = good ? 0 : out.reply.reply,
                                    .text = buf_span(&text),
                                    .name_state = (uint8_t)state,
                                    .name = name };
    send_client_verdict(c->channel, &m);
    buf_free(&text);
}

static void on_name(void *ctx, enum route_client_name state, struct span name)
{
    struct client_ask *a = ctx;
    if (a->c->channel && a->life == a->c->life)
        say_client(a->c, a->q, &a->ip, state, name);
    list_remove(&a->node);
    free(a);
}

static void on_ask_client(struct client *c, struct channel *ch, const struct msg_ask_client *m)
{
    struct router *r = c->r;
    (void)ch;
    if (netaddr_is_loopback(&m->client)) {
        say_client(c, m->q, &m->client, ROUTE_NAME_GOOD, SPAN("localhost"));
    } else if (!m->reverse) {
        say_client(c, m->q, &m->client, ROUTE_NAME_UNKNOWN, SPAN_NONE);
    } else {
        struct client_ask *a = NEW(struct client_ask);
        *a = (struct client_ask){ .c = c, .life = c->life, .q = m->q, .ip = m->client };
        list_append(&r->asks, &a->node);
        names_reverse(r->names, &m->client, r->config->server.reverse_timeout_ms, on_name, a);
    }
}

static void on_ask_flight(struct client *c, struct channel *ch, const struct msg_ask_flight *m)
{
    (void)ch;
    flight_ask(c, m);
}

PROTO_HANDLER(ask_client, struct client *, on_ask_client)
PROTO_HANDLER(ask_flight, struct client *, on_ask_flight)
PROTO_HANDLER(ask_rewrite, struct client *, senders_ask)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ch;
    (void)why;
    router_client_gone(ctx);
}

void accept_peer(struct client *c, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(ask_client), PROTO_TYPE(ask_flight),
                                                 PROTO_TYPE(ask_rewrite) };
    static const struct channel_ops ops = { types, 3, on_gone, NULL };
    c->channel = channel_new(c->r->env->loop, fd, "smtpd", &ops, c);
}
