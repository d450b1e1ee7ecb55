#include "envelope/envelope.h"

enum { VERSION = 1 };

void envelope_put(struct buf *b, const struct envelope *e)
{
    wire_put_u8(b, VERSION);
    wire_put_u64(b, e->seq);
    wire_put_i64(b, e->received_ms);
    wire_put_u32(b, e->flags);
    const struct span texts[] = { e->sender, e->envid, e->client_ip, e->client_name,
                                  e->helo,   e->proto, e->listener,  e->auth };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        wire_put_bytes(b, texts[i]);
    wire_put_u32(b, (uint32_t)e->rcpt_count);
    for (size_t i = 0; i < e->rcpt_count; i++) {
        wire_put_bytes(b, e->rcpts[i].addr);
        wire_put_bytes(b, e->rcpts[i].orcpt);
        wire_put_u8(b, e->rcpts[i].notify);
    }
}

bool envelope_get(struct wire *w, struct arena *a, struct envelope *e_r)
{
    enum { RCPT_BYTES_MIN = 9 };
    *e_r = (struct envelope){ 0 };
    if (wire_get_u8(w) != VERSION)
        return false;
    e_r->seq = wire_get_u64(w);
    e_r->received_ms = wire_get_i64(w);
    e_r->flags = wire_get_u32(w);
    struct span *texts[] = { &e_r->sender, &e_r->envid, &e_r->client_ip, &e_r->client_name,
                             &e_r->helo,   &e_r->proto, &e_r->listener,  &e_r->auth };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
    size_t n = wire_get_u32(w);
    if (w->bad || e_r->seq > QUEUEID_SEQ_MAX || n > ENVELOPE_RCPTS_MAX ||
        n > w->rest.n / RCPT_BYTES_MIN)
        return false;
    e_r->rcpts = arena_alloc(a, n * sizeof *e_r->rcpts);
    if (!e_r->rcpts)
        return false;
    e_r->rcpt_count = n;
    for (size_t i = 0; i < n; i++) {
        e_r->rcpts[i].addr = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
        e_r->rcpts[i].orcpt = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
        e_r->rcpts[i].notify = wire_get_u8(w);
    }
    return !w->bad;
}
