/* wire: the put and get of every binary format of ours (spool records, IPC, the flattened
 * configuration): little-endian integers, and bytes with a 32-bit length in front.
 * A reader is checked once at its end: after a failed get every further get yields zero or
 * empty and `bad` stays set. */
#ifndef POSTERN_BASE_WIRE_H
#define POSTERN_BASE_WIRE_H

#include "base/buf.h"

void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u16(struct buf *b, uint16_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
void wire_put_i64(struct buf *b, int64_t v);
void wire_put_bytes(struct buf *b, struct span s); /* u32 length, then the bytes */

/* A bytes field that is put piece by piece: begin, the pieces, end with what begin returned. */
static inline size_t wire_begin_bytes(struct buf *b)
{
    size_t at = b->len;
    wire_put_u32(b, 0);
    return at;
}
void wire_end_bytes(struct buf *b, size_t at);

struct wire {
    struct span rest;
    bool bad;
};

static inline struct wire wire_reader(struct span s) { return (struct wire){ .rest = s }; }
uint8_t wire_get_u8(struct wire *w);
uint16_t wire_get_u16(struct wire *w);
uint32_t wire_get_u32(struct wire *w);
uint64_t wire_get_u64(struct wire *w);
int64_t wire_get_i64(struct wire *w);
/* A view into the reader's bytes; longer than max_bytes is bad. */
struct span wire_get_bytes(struct wire *w, size_t max_bytes);
/* True when nothing failed and every byte was read: a reader must end exactly at the end. */
static inline bool wire_done(const struct wire *w) { return !w->bad && w->rest.n == 0; }

/* In place, for headers whose length is known only later. */
void wire_set_u32(char *at, uint32_t v);
uint32_t wire_peek_u32(const char *at);
void wire_set_u64(char *at, uint64_t v);
uint64_t wire_peek_u64(const char *at);

#endif
