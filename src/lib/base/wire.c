#include "base/wire.h"

static void put_le(struct buf *b, uint64_t v, size_t n)
{
    char le[8];
    for (size_t i = 0; i < n; i++)
        le[i] = (char)(v >> (8 * i));
    buf_put(b, le, n);
}

void wire_put_u8(struct buf *b, uint8_t v) { put_le(b, v, 1); }
void wire_put_u16(struct buf *b, uint16_t v) { put_le(b, v, 2); }
void wire_put_u32(struct buf *b, uint32_t v) { put_le(b, v, 4); }
void wire_put_u64(struct buf *b, uint64_t v) { put_le(b, v, 8); }
void wire_put_i64(struct buf *b, int64_t v) { put_le(b, (uint64_t)v, 8); }

void wire_put_bytes(struct buf *b, struct span s)
{
    if (s.n > UINT32_MAX) {
        b->failed = true;
        return;
    }
    wire_put_u32(b, (uint32_t)s.n);
    buf_puts(b, s);
}

static uint64_t get_le(struct wire *w, size_t n)
{
    if (w->bad || w->rest.n < n) {
        w->bad = true;
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)(unsigned char)w->rest.p[i] << (8 * i);
    w->rest = span_from(w->rest, n);
    return v;
}

uint8_t wire_get_u8(struct wire *w) { return (uint8_t)get_le(w, 1); }
uint16_t wire_get_u16(struct wire *w) { return (uint16_t)get_le(w, 2); }
uint32_t wire_get_u32(struct wire *w) { return (uint32_t)get_le(w, 4); }
uint64_t wire_get_u64(struct wire *w) { return get_le(w, 8); }
int64_t wire_get_i64(struct wire *w) { return (int64_t)get_le(w, 8); }

struct span wire_get_bytes(struct wire *w, size_t max_bytes)
{
    size_t n = wire_get_u32(w);
    if (w->bad || n > max_bytes || n > w->rest.n) {
        w->bad = true;
        return SPAN_NONE;
    }
    struct span s = span_to(w->rest, n);
    w->rest = span_from(w->rest, n);
    return s;
}

void wire_set_u32(char *at, uint32_t v)
{
    for (size_t i = 0; i < 4; i++)
        at[i] = (char)(v >> (8 * i));
}

uint32_t wire_peek_u32(const char *at)
{
    struct wire w = wire_reader(span_of(at, 4));
    return wire_get_u32(&w);
}

void wire_set_u64(char *at, uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        at[i] = (char)(v >> (8 * i));
}

uint64_t wire_peek_u64(const char *at)
{
    struct wire w = wire_reader(span_of(at, 8));
    return wire_get_u64(&w);
}

void wire_end_bytes(struct buf *b, size_t at)
{
    if (!b->failed) /* else the four bytes may not be there */
        wire_set_u32(b->mem + b->off + at, (uint32_t)(b->len - at - 4));
}
