/* Senders as others are to see them: what smtpd asks about a message whose header has come. */
#include "router/inside.h"

#include "envelope/envelope.h"
#include "proto/lists.h"
#include "proto/smtpd_router.h"

enum {
    ANSWER_MAX = CHANNEL_FRAME_MAX - 1024,
    WHY_MAX = 300,
    STEPS_MAX = 16,
};

/* "masquerade_as", "genericstable /etc/mail/genericstable:12": the step that found something. */
static void put_why(struct buf *b, const struct trail *trail)
{
    const struct trail_step *found = NULL;
    for (size_t i = 0; i < trail_count(trail); i++)
        if (trail_step(trail, i)->verdict == TRAIL_MATCH)
            found = trail_step(trail, i);
    buf_puts(b, found ? found->what : SPAN("hostname"));
    if (found && found->source.n)
        buf_printf(b, " %.*s:%u", SPAN_ARG(span_to(found->source, WHY_MAX / 2)),
                   (unsigned)found->line);
}

/* Of most addresses nothing is to be said: a trail is kept only where there is. */
static void put_answer(struct router *r, struct buf *b, enum route_place place, struct span addr)
{
    struct buf why;
    arena_reset(r->element);
    struct span now = route_rewrite_sender(r->tables, place, addr, r->element, NULL);
    buf_init(&why, WHY_MAX);
    if (!span_eq(now, addr) && now.n <= ENVELOPE_ADDR_MAX) {
        struct trail *trail = trail_new(STEPS_MAX);
        arena_reset(r->element);
        now = route_rewrite_sender(r->tables, place, addr, r->element, trail);
        put_why(&why, trail);
        trail_free(&trail);
    }
    wire_put_bytes(b, why.len ? now : SPAN_NONE);
    wire_put_bytes(b, buf_span(&why));
    buf_free(&why);
}

void senders_ask(struct client *c, struct channel *ch, const struct msg_ask_rewrite *m)
{
    struct wire w = wire_reader(m->addrs);
    struct span addr;
    struct buf b;
    uint8_t place;
    buf_init(&b, ANSWER_MAX);
    while (list_next_place(&w, &place, &addr) && place <= ROUTE_HEADER_RCPT &&
           buf_room(&b) > addr.n + ENVELOPE_ADDR_MAX + WHY_MAX + 64)
        put_answer(c->r, &b, place, addr);
    struct msg_rewritten said = { .q = m->q, .addrs = buf_span(&b) };
    send_rewritten(ch, &said);
    buf_free(&b);
}
