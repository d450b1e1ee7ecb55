/* proto: messages declared once. A pair of roles has one header in proto/ with one table; from
 * each line of it come a struct msg_NAME, msg_NAME_put, msg_NAME_get, send_NAME and the number.
 *
 *   #define COMMIT_FIELDS(F) F(U64, txn) F(BYTES, envelope) F(BYTES, content)
 *   #define SMTPD_QMGR(M) M(0x21, commit, COMMIT_FIELDS)
 *   PROTO_DECLARE(SMTPD_QMGR)
 *
 * BYTES fields of a received message live until the end of the turn. Numbers are unique over all
 * pairs and never used again for another meaning; a message that changes gets a new number:
 * that is its version, since all processes of one gateway are one binary. */
#ifndef POSTERN_IPC_PROTO_H
#define POSTERN_IPC_PROTO_H

#include "base/netaddr.h"
#include "base/wire.h"
#include "ipc/channel.h"

#include <unistd.h>

#define PROTO_C_U8 uint8_t
#define PROTO_C_U16 uint16_t
#define PROTO_C_U32 uint32_t
#define PROTO_C_U64 uint64_t
#define PROTO_C_I64 int64_t
#define PROTO_C_BYTES struct span
#define PROTO_C_ADDR struct netaddr

#define PROTO_PUT_U8(b, v) wire_put_u8(b, v)
#define PROTO_PUT_U16(b, v) wire_put_u16(b, v)
#define PROTO_PUT_U32(b, v) wire_put_u32(b, v)
#define PROTO_PUT_U64(b, v) wire_put_u64(b, v)
#define PROTO_PUT_I64(b, v) wire_put_i64(b, v)
#define PROTO_PUT_BYTES(b, v) wire_put_bytes(b, v)
#define PROTO_PUT_ADDR(b, v) netaddr_put_wire(b, &(v))

#define PROTO_GET_U8(w) wire_get_u8(w)
#define PROTO_GET_U16(w) wire_get_u16(w)
#define PROTO_GET_U32(w) wire_get_u32(w)
#define PROTO_GET_U64(w) wire_get_u64(w)
#define PROTO_GET_I64(w) wire_get_i64(w)
#define PROTO_GET_BYTES(w) wire_get_bytes(w, CHANNEL_FRAME_MAX)
#define PROTO_GET_ADDR(w) netaddr_get_wire(w)

#define PROTO_MEMBER(kind, name) PROTO_C_##kind name;
#define PROTO_PUT(kind, name) PROTO_PUT_##kind(b, m->name);
#define PROTO_GET(kind, name) m->name = PROTO_GET_##kind(w);

#define PROTO_MESSAGE(number, name, FIELDS) \
    enum { MSG_##name = number }; \
    struct msg_##name { \
        FIELDS(PROTO_MEMBER) \
    }; \
    __attribute__((unused)) static inline void msg_##name##_put(struct buf *b, \
                                                                const struct msg_##name *m) \
    { \
        FIELDS(PROTO_PUT) \
    } \
    __attribute__((unused)) static inline bool msg_##name##_get(struct span s, \
                                                                struct msg_##name *m) \
    { \
        struct wire wire_ = wire_reader(s), *w = &wire_; \
        FIELDS(PROTO_GET) \
        return wire_done(w); \
    } \
    __attribute__((unused)) static inline void send_##name(struct channel *ch, \
                                                           const struct msg_##name *m) \
    { \
        msg_##name##_put(channel_begin(ch, number), m); \
        channel_end(ch); \
    }

#define PROTO_DECLARE(TABLE) TABLE(PROTO_MESSAGE)

/* Defines handle_NAME, a channel_handler that decodes and calls
 * fn(owner, channel, &message); PROTO_TYPE is its line in the owner's table of types. */
#define PROTO_HANDLER(name, owner_type, fn) \
    static bool handle_##name(void *ctx, struct channel *ch, struct span body, int fd) \
    { \
        struct msg_##name m; \
        if (fd >= 0) \
            close(fd); /* none belongs to it: malformed */ \
        if (fd >= 0 || !msg_##name##_get(body, &m)) \
            return false; \
        fn((owner_type)ctx, ch, &m); \
        return true; \
    }
#define PROTO_TYPE(name) { MSG_##name, #name, handle_##name }

#endif
