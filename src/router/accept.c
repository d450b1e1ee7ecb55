/* May it? What smtpd asks: about a client when it connects, about senders and recipients when
 * they are named. Nothing of it is remembered here: what a recipient has become goes back to
 * smtpd, which has it put into the envelope. */
#include "router/inside.h"

#include "base/must.h"
#include "proto/lists.h"
#include "proto/smtpd_router.h"

#include <stdlib.h>

enum {
    VERDICTS_MAX = CHANNEL_FRAME_MAX - 65536, /* of one flight; what comes on top is put off */
    TARGETS_MAX = 512 << 10,                  /* of one recipient */
};

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

/* --- a flight --- */

static void put_refusal(struct buf *b, const struct route_reply *r)
{
    struct buf text;
    buf_init(&text, ENVELOPE_TEXT_MAX);
    put_reply(&text, r);
    struct list_verdict v = { .code = r->reply, .text = buf_span(&text) };
    list_put_verdict(b, &v);
    buf_free(&text);
}

static const struct route_reply too_many = {
    .reply = 452, .code = SPAN("4.5.3"), .text = SPAN("Too many recipients at once, send fewer")
};

/* The recipient alone, unchanged: nothing to tell. */
static bool is_itself(const struct route_accept *out, struct span rcpt)
{
    const struct route_target *t = out->targets;
    return out->target_count == 1 && !t->flags && !t->own_sender && span_eq(t->addr, rcpt);
}

static bool put_targets(struct buf *b, const struct route_accept *out)
{
    for (size_t i = 0; i < out->target_count; i++) {
        const struct route_target *t = &out->targets[i];
        struct envelope_rcpt e = { .addr = t->addr, .flags = t->flags,
                                   .own_sender = t->own_sender, .sender = t->sender };
        if (t->addr.n > ENVELOPE_ADDR_MAX || t->sender.n > ENVELOPE_ADDR_MAX)
            return false;
        list_put_target(b, &e);
    }
    return !b->failed;
}

static void put_accepted(struct buf *b, const struct route_accept *whole,
                         const struct route_accept *out, struct span rcpt)
{
    struct buf targets;
    buf_init(&targets, TARGETS_MAX);
    struct list_verdict v = { .discard = whole->discard || out->discard,
                              .hold = out->quarantine.n ? out->quarantine : whole->quarantine,
                              .rcpt = rcpt };
    v.hold = span_to(v.hold, ENVELOPE_TEXT_MAX);
    bool fits = v.discard || is_itself(out, rcpt) || put_targets(&targets, out);
    v.targets = buf_span(&targets);
    if (fits && b->len + v.targets.n + v.hold.n + rcpt.n < VERDICTS_MAX)
        list_put_verdict(b, &v);
    else
        put_refusal(b, &too_many);
    buf_free(&targets);
}

/* What the tables say of the client and the sender holds for each recipient as well. */
static bool accept_front(struct router *r, const struct route_client *client, struct span sender,
                         struct route_accept *whole_r)
{
    struct route_accept out;
    *whole_r = (struct route_accept){ 0 };
    if (!route_accept_client(r->tables, client, r->arena, NULL, &out)) {
        whole_r->reply = out.reply;
        return false;
    }
    whole_r->discard = out.discard;
    whole_r->quarantine = out.quarantine;
    if (!route_accept_sender(r->tables, client, sender, r->arena, NULL, &out)) {
        whole_r->reply = out.reply;
        return false;
    }
    whole_r->discard |= out.discard;
    if (out.quarantine.n)
        whole_r->quarantine = out.quarantine;
    return true;
}

static void on_ask_flight(struct client *c, struct channel *ch, const struct msg_ask_flight *m)
{
    struct router *r = c->r;
    struct route_client client = { .ip = m->client, .auth = m->auth, .host = m->name,
                                   .name = m->name_state };
    struct route_accept whole, out;
    struct buf verdicts;
    struct wire w = wire_reader(m->rcpts);
    struct span rcpt;
    buf_init(&verdicts, CHANNEL_FRAME_MAX - 1024);
    arena_reset(r->arena);
    bool good = accept_front(r, &client, m->sender, &whole);
    if (m->has_mail && good)
        list_put_verdict(&verdicts, &(struct list_verdict){ 0 });
    else if (m->has_mail)
        put_refusal(&verdicts, &whole.reply);
    while (list_next_text(&w, &rcpt)) {
        arena_reset(r->element);
        if (!good)
            put_refusal(&verdicts, &whole.reply);
        else if (route_accept_rcpt(r->tables, &client, m->sender, rcpt, r->element, NULL, &out))
            put_accepted(&verdicts, &whole, &out, rcpt);
        else
            put_refusal(&verdicts, &out.reply);
    }
    struct msg_flight_verdict said = { .q = m->q, .verdicts = buf_span(&verdicts) };
    send_flight_verdict(ch, &said);
    buf_free(&verdicts);
}

PROTO_HANDLER(ask_client, struct client *, on_ask_client)
PROTO_HANDLER(ask_flight, struct client *, on_ask_flight)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ch;
    (void)why;
    router_client_gone(ctx);
}

void accept_peer(struct client *c, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(ask_client), PROTO_TYPE(ask_flight) };
    static const struct channel_ops ops = { types, 2, on_gone, NULL };
    c->channel = channel_new(c->r->env->loop, fd, "smtpd", &ops, c);
}
