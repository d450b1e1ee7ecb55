/* Lists inside BYTES fields of messages: repeated parts, read to the end. */
#ifndef POSTERN_PROTO_LISTS_H
#define POSTERN_PROTO_LISTS_H

#include "envelope/envelope.h"
#include "ipc/channel.h"

/* Texts, one wire_put_bytes after another. */
static inline bool list_next_text(struct wire *w, struct span *text_r)
{
    if (w->bad || w->rest.n == 0)
        return false;
    *text_r = wire_get_bytes(w, ENVELOPE_TEXT_MAX * 4);
    return !w->bad;
}

/* Addresses with the place they stand in (enum route_place). */
static inline void list_put_place(struct buf *b, uint8_t place, struct span addr)
{
    wire_put_u8(b, place);
    wire_put_bytes(b, addr);
}

static inline bool list_next_place(struct wire *w, uint8_t *place_r, struct span *addr_r)
{
    if (w->bad || w->rest.n == 0)
        return false;
    *place_r = wire_get_u8(w);
    *addr_r = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
    return !w->bad;
}

/* Recipients: addr, orcpt, notify. */
static inline void list_put_rcpt(struct buf *b, const struct envelope_rcpt *r)
{
    wire_put_bytes(b, r->addr);
    wire_put_bytes(b, r->orcpt);
    wire_put_u8(b, r->notify);
}

static inline bool list_next_rcpt(struct wire *w, struct envelope_rcpt *r)
{
    if (w->bad || w->rest.n == 0)
        return false;
    r->addr = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
    r->orcpt = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
    r->notify = wire_get_u8(w);
    return !w->bad;
}

/* Verdicts on the elements of a flight. `targets` (list_put_target) are what a recipient has
 * become; empty: itself. Then, and where it is discarded, `rcpt` is the recipient they are of. */
struct list_verdict {
    uint16_t code;     /* 0 = fine */
    struct span text;  /* of a refusal: the enhanced code, a space, the words */
    bool discard;
    struct span hold;  /* why the whole message is held; "" = it is not */
    struct span rcpt, targets;
};

enum { LIST_VERDICT_PLAIN, LIST_VERDICT_REFUSED, LIST_VERDICT_RICH };

static inline bool list_verdict_is_rich(const struct list_verdict *v)
{
    return v->discard || v->hold.n || v->targets.n;
}

static inline void list_put_verdict(struct buf *b, const struct list_verdict *v)
{
    bool rich = list_verdict_is_rich(v);
    wire_put_u8(b, v->code ? LIST_VERDICT_REFUSED : rich ? LIST_VERDICT_RICH
                                                         : LIST_VERDICT_PLAIN);
    if (v->code) {
        wire_put_u16(b, v->code);
        wire_put_bytes(b, v->text);
    } else if (rich) {
        wire_put_u8(b, v->discard);
        wire_put_bytes(b, v->hold);
        wire_put_bytes(b, v->rcpt);
        wire_put_bytes(b, v->targets);
    }
}

static inline bool list_next_verdict(struct wire *w, struct list_verdict *v)
{
    *v = (struct list_verdict){ 0 };
    if (w->bad || w->rest.n == 0)
        return false;
    uint8_t kind = wire_get_u8(w);
    if (kind == LIST_VERDICT_REFUSED) {
        v->code = wire_get_u16(w);
        v->text = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
        w->bad |= v->code == 0;
    } else if (kind == LIST_VERDICT_RICH) {
        v->discard = wire_get_u8(w);
        v->hold = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
        v->rcpt = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
        v->targets = wire_get_bytes(w, CHANNEL_FRAME_MAX);
    }
    w->bad |= kind > LIST_VERDICT_RICH;
    return !w->bad;
}

/* Targets: addr, flags, own_sender, sender of an envelope's recipient. */
static inline void list_put_target(struct buf *b, const struct envelope_rcpt *r)
{
    wire_put_bytes(b, r->addr);
    wire_put_u8(b, r->flags);
    wire_put_u8(b, r->own_sender);
    if (r->own_sender)
        wire_put_bytes(b, r->sender);
}

static inline bool list_next_target(struct wire *w, struct envelope_rcpt *r)
{
    *r = (struct envelope_rcpt){ 0 };
    if (w->bad || w->rest.n == 0)
        return false;
    r->addr = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
    r->flags = wire_get_u8(w);
    r->own_sender = wire_get_u8(w);
    if (r->own_sender)
        r->sender = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
    return !w->bad;
}

#endif
