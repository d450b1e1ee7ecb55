#include "envelope/envelope.h"

/* Version 1 had neither the hold reason nor the recipients' flags and senders. Version 3 has
 * `shown` and `rewritten` and is written only where there is one: other mail stays readable for
 * the release before it. */
enum { VERSION_1 = 1, VERSION_2 = 2, VERSION_3 = 3, RCPT_HAS_SENDER = 0x80 };
enum { TEXTS_1 = 8, TEXTS_2 = 9, TEXTS_3 = 11 };

static void put_rcpt(struct buf *b, const struct envelope_rcpt *r)
{
    wire_put_bytes(b, r->addr);
    wire_put_bytes(b, r->orcpt);
    wire_put_u8(b, r->notify);
    wire_put_u8(b, (uint8_t)((r->flags & ~RCPT_HAS_SENDER) |
                             (r->own_sender ? RCPT_HAS_SENDER : 0)));
    if (r->own_sender)
        wire_put_bytes(b, r->sender);
}

static void get_rcpt(struct wire *w, uint8_t version, struct envelope_rcpt *r)
{
    *r = (struct envelope_rcpt){ 0 };
    r->addr = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
    r->orcpt = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
    r->notify = wire_get_u8(w);
    uint8_t flags = version >= VERSION_2 ? wire_get_u8(w) : 0;
    r->flags = flags & (uint8_t)~RCPT_HAS_SENDER;
    r->own_sender = flags & RCPT_HAS_SENDER;
    if (r->own_sender)
        r->sender = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
}

void envelope_put(struct buf *b, const struct envelope *e)
{
    bool rewritten = e->shown.n || e->rewritten.n;
    wire_put_u8(b, rewritten ? VERSION_3 : VERSION_2);
    wire_put_u64(b, e->seq);
    wire_put_i64(b, e->received_ms);
    wire_put_u32(b, e->flags);
    const struct span texts[] = { e->sender, e->envid, e->client_ip, e->client_name, e->helo,
                                  e->proto,  e->listener, e->auth,   e->hold,
                                  e->shown,  e->rewritten };
    for (size_t i = 0; i < (rewritten ? TEXTS_3 : TEXTS_2); i++)
        wire_put_bytes(b, texts[i]);
    wire_put_u32(b, (uint32_t)e->rcpt_count);
    for (size_t i = 0; i < e->rcpt_count; i++)
        put_rcpt(b, &e->rcpts[i]);
}

bool envelope_get(struct wire *w, struct arena *a, struct envelope *e_r)
{
    enum { RCPT_BYTES_MIN = 9 };
    *e_r = (struct envelope){ 0 };
    uint8_t version = wire_get_u8(w);
    if (version < VERSION_1 || version > VERSION_3)
        return false;
    e_r->seq = wire_get_u64(w);
    e_r->received_ms = wire_get_i64(w);
    e_r->flags = wire_get_u32(w);
    struct span *texts[] = { &e_r->sender, &e_r->envid,    &e_r->client_ip, &e_r->client_name,
                             &e_r->helo,   &e_r->proto,    &e_r->listener,  &e_r->auth,
                             &e_r->hold,   &e_r->shown,    &e_r->rewritten };
    size_t n_texts = version == VERSION_1 ? TEXTS_1 : version == VERSION_2 ? TEXTS_2 : TEXTS_3;
    for (size_t i = 0; i < n_texts; i++)
        *texts[i] = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
    size_t n = wire_get_u32(w);
    if (w->bad || e_r->seq > QUEUEID_SEQ_MAX || n > ENVELOPE_RCPTS_MAX ||
        n > w->rest.n / RCPT_BYTES_MIN)
        return false;
    e_r->rcpts = arena_alloc(a, n * sizeof *e_r->rcpts);
    if (!e_r->rcpts)
        return false;
    e_r->rcpt_count = n;
    for (size_t i = 0; i < n; i++)
        get_rcpt(w, version, &e_r->rcpts[i]);
    return !w->bad;
}
