/* Lists inside BYTES fields of messages: repeated parts, read to the end. */
#ifndef POSTERN_PROTO_LISTS_H
#define POSTERN_PROTO_LISTS_H

#include "envelope/envelope.h"

/* Texts, one wire_put_bytes after another. */
static inline bool list_next_text(struct wire *w, struct span *text_r)
{
    if (w->bad || w->rest.n == 0)
        return false;
    *text_r = wire_get_bytes(w, ENVELOPE_TEXT_MAX * 4);
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

/* Verdicts: code (0 = fine), text with the enhanced code in front. */
static inline void list_put_verdict(struct buf *b, unsigned code, struct span text)
{
    wire_put_u16(b, (uint16_t)code);
    wire_put_bytes(b, text);
}

static inline bool list_next_verdict(struct wire *w, unsigned *code_r, struct span *text_r)
{
    if (w->bad || w->rest.n == 0)
        return false;
    *code_r = wire_get_u16(w);
    *text_r = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
    return !w->bad;
}

#endif
