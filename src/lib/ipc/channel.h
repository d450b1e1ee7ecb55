/* channel: typed messages between two of our processes over a connected stream socket.
 *
 * Frame: u32 body length, u16 type, u8 flags (1 = a descriptor comes along), u8 zero; body.
 * What is sent during a turn goes out in one write at the turn's end, and one read serves all
 * that arrived: that is what keeps the cost of four processes near that of one. The price: a
 * reply waits for the end of the sender's turn.
 *
 * Back-pressure: when channel_full() says so the sender stops reading its own source until
 * `drained` is called. A peer that does not read thus fills the socket, then `queue_max`, and
 * nothing more: memory is bounded by configuration. Only small replies may go beyond queue_max,
 * up to a hard limit at which the channel is closed.
 *
 * A malformed frame, a body that its reader does not end exactly, or an unknown type closes the
 * channel and never the process. */
#ifndef POSTERN_IPC_CHANNEL_H
#define POSTERN_IPC_CHANNEL_H

#include "base/buf.h"
#include "loop/loop.h"

struct channel;

enum {
    CHANNEL_FRAME_MAX = 1 << 20,       /* one message's body */
    /* Waiting to be written: beyond, channel_full. A small message's commit stands behind as much
     * of large ones: with 1M it took twice as long beside them, and they were no faster. */
    CHANNEL_QUEUE_MAX = 256 << 10,
    CHANNEL_QUEUE_HARD = 64 << 20,     /* beyond, the channel is closed */
    CHANNEL_READ_BYTES = 1 << 20,      /* one read */
};

/* Handles one message. `body` lives until the end of the turn. `fd` is the descriptor that came
 * along, or -1; the handler owns it. False: malformed, which closes the channel. */
typedef bool channel_handler(void *ctx, struct channel *ch, struct span body, int fd);

struct channel_type {
    uint16_t type;
    const char *name;
    channel_handler *handler;
};

struct channel_ops {
    const struct channel_type *types; /* what may arrive here; static */
    size_t type_count;
    /* The peer has gone or the channel was closed for `why`. The owner calls channel_free, at
     * once or later; nothing more arrives. Called from the loop only, never from inside a send:
     * until then what is sent to a peer that has gone is dropped. */
    void (*closed)(void *ctx, struct channel *ch, const char *why);
    void (*drained)(void *ctx, struct channel *ch); /* NULL when not needed */
};

/* Owns fd. `name` names the peer in messages ("router"); copied. */
struct channel *channel_new(struct loop *l, int fd, const char *name,
                            const struct channel_ops *ops, void *ctx);
void channel_free(struct channel **ch); /* unsent bytes are dropped; accepts NULL in *ch */

/* Writes one message: begin, put the body into the buf, end. channel_end_fd sends the
 * descriptor `passed` along (-1: none) and owns it from then on. */
struct buf *channel_begin(struct channel *ch, uint16_t type);
void channel_end(struct channel *ch);
void channel_end_fd(struct channel *ch, int passed);
/* As channel_end; the message's last field is BYTES with `tail` (begin has put all before it).
 * A long tail is written at once with what waits before it, and copied only where the socket does
 * not take it. */
void channel_end_tail(struct channel *ch, struct span tail);
/* The begun message is not sent after all. */
void channel_cancel(struct channel *ch);

bool channel_full(const struct channel *ch);
/* Another measure of full than CHANNEL_QUEUE_MAX. */
void channel_set_full(struct channel *ch, size_t bytes);
/* Writes now what can be written, instead of at the turn's end. */
void channel_flush(struct channel *ch);
/* As channel_flush, and waits (blocking, up to wait_ms) until all is written. */
bool channel_flush_all(struct channel *ch, int wait_ms);
/* While paused nothing is read from the peer. */
void channel_pause(struct channel *ch, bool pause);
bool channel_open(const struct channel *ch);

#endif
