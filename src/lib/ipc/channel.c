#include "ipc/channel.h"

#include "base/must.h"
#include "base/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum {
    HEADER_BYTES = 8,
    FLAG_FD = 1,
    IN_FDS_MAX = 64,
    OUT_FDS_MAX = 1024,
    TAIL_BYTES = 16 << 10,
};

/* A descriptor to be sent with the byte at `offset` of all that was ever queued. */
struct out_fd {
    uint64_t offset;
    int fd;
};

struct channel {
    struct loop *loop;
    char *name;
    const struct channel_ops *ops;
    void *ctx;
    int fd;
    struct loop_io io;
    struct loop_hook hook;
    struct buf in, out;
    size_t full_bytes; /* of out */
    uint64_t written; /* bytes of `out` ever written */
    size_t begun;     /* offset in out of the frame being put */
    bool in_frame, was_full, paused, dispatching, dead;
    bool deaf;     /* the peer reads no more; what it said before is still to be heard */
    char why[80];  /* deaf, and its end will not come by itself: closed at the turn's end */
    struct out_fd *out_fds;
    size_t out_fd_count, out_fd_room;
    int in_fds[IN_FDS_MAX];
    size_t in_fd_count;
};

static void on_ready(void *ctx, int ready);
static void on_turn_end(void *ctx);

struct channel *channel_new(struct loop *l, int fd, const char *name,
                            const struct channel_ops *ops, void *ctx)
{
    struct channel *ch = NEW(struct channel);
    ch->loop = l;
    ch->fd = fd;
    ch->name = must_strndup(name, strlen(name));
    ch->ops = ops;
    ch->ctx = ctx;
    buf_init(&ch->in, CHANNEL_FRAME_MAX + HEADER_BYTES + CHANNEL_READ_BYTES);
    buf_init(&ch->out, CHANNEL_QUEUE_HARD);
    ch->full_bytes = CHANNEL_QUEUE_MAX;
    loop_hook_init(&ch->hook, LOOP_STAGE_CHANNEL, on_turn_end, ch);
    loop_io_add(l, &ch->io, fd, LOOP_READ, on_ready, ch);
    return ch;
}

static void drop_out_fds(struct channel *ch)
{
    for (size_t i = 0; i < ch->out_fd_count; i++)
        loop_close(ch->loop, ch->out_fds[i].fd);
    ch->out_fd_count = 0;
}

static void shut(struct channel *ch)
{
    if (ch->fd < 0)
        return;
    loop_io_del(ch->loop, &ch->io);
    loop_hook_cancel(&ch->hook);
    loop_close(ch->loop, ch->fd);
    ch->fd = -1;
    for (size_t i = 0; i < ch->in_fd_count; i++)
        loop_close(ch->loop, ch->in_fds[i]);
    ch->in_fd_count = 0;
    drop_out_fds(ch);
}

static void destroy(struct channel *ch)
{
    buf_free(&ch->in);
    buf_free(&ch->out);
    free(ch->out_fds);
    free(ch->name);
    free(ch);
}

/* Freed from inside one of its own handlers: the memory goes when on_ready unwinds. */
void channel_free(struct channel **chp)
{
    struct channel *ch = *chp;
    *chp = NULL;
    if (!ch)
        return;
    shut(ch);
    ch->dead = true;
    if (!ch->dispatching)
        destroy(ch);
}

static void fail(struct channel *ch, const char *why)
{
    if (ch->fd < 0)
        return;
    shut(ch);
    ch->ops->closed(ch->ctx, ch, why);
}

/* Nothing can be sent any more. The owner hears of it from the loop and never inside a send:
 * whoever sends is in the middle of something, and what `closed` frees may be just that. */
static void go_deaf(struct channel *ch, const char *why, bool peer_gone)
{
    ch->deaf = true;
    buf_reset(&ch->out);
    drop_out_fds(ch);
    if (peer_gone && !ch->paused)
        return; /* its last words (a receipt, a result) may still be unread: EOF ends it */
    memcpy(ch->why, why, strnlen(why, sizeof ch->why - 1));
    loop_hook_ask(ch->loop, &ch->hook);
}

static void write_failed(struct channel *ch, int error)
{
    go_deaf(ch, strerror(error), error == EPIPE || error == ECONNRESET);
}

static int wanted(const struct channel *ch)
{
    return (ch->paused ? 0 : LOOP_READ) | (ch->out.len && !ch->in_frame ? LOOP_WRITE : 0);
}

/* --- out --- */

struct buf *channel_begin(struct channel *ch, uint16_t type)
{
    MUST(!ch->in_frame);
    ch->in_frame = true;
    ch->begun = ch->out.len;
    wire_put_u32(&ch->out, 0);
    wire_put_u16(&ch->out, type);
    wire_put_u16(&ch->out, 0);
    return &ch->out;
}

static void add_fd(struct channel *ch, int fd)
{
    if (ch->out_fd_count == ch->out_fd_room) {
        ch->out_fd_room = ch->out_fd_room ? 2 * ch->out_fd_room : 8;
        ch->out_fds = must_realloc(ch->out_fds, ch->out_fd_room * sizeof *ch->out_fds);
    }
    ch->out_fds[ch->out_fd_count++] =
        (struct out_fd){ .offset = ch->written + ch->begun, .fd = fd };
}

void channel_end_fd(struct channel *ch, int passed)
{
    MUST(ch->in_frame);
    ch->in_frame = false;
    bool full = ch->out.failed || (passed >= 0 && ch->out_fd_count == OUT_FDS_MAX);
    if (ch->fd < 0 || ch->deaf || full) {
        if (ch->fd >= 0 && !ch->deaf)
            go_deaf(ch, "its queue of unread messages is full", false);
        buf_reset(&ch->out);
        loop_close(ch->loop, passed);
        return;
    }
    size_t body = ch->out.len - ch->begun - HEADER_BYTES;
    MUST(body <= CHANNEL_FRAME_MAX);
    char *header = ch->out.mem + ch->out.off + ch->begun;
    wire_set_u32(header, (uint32_t)body);
    if (passed >= 0) {
        header[6] = FLAG_FD;
        add_fd(ch, passed);
    }
    loop_hook_ask(ch->loop, &ch->hook);
}

void channel_end(struct channel *ch) { channel_end_fd(ch, -1); }

void channel_cancel(struct channel *ch)
{
    MUST(ch->in_frame);
    ch->in_frame = false;
    buf_cut(&ch->out, ch->begun);
}

/* The frame is whole only with its tail: nothing may be written between the two. */
static bool write_with_tail(struct channel *ch, struct span tail)
{
    ch->was_full = ch->was_full || channel_full(ch); /* who saw it so waits for `drained` */
    struct span s = buf_span(&ch->out);
    struct iovec iov[2] = { { (void *)s.p, s.n }, { (void *)tail.p, tail.n } };
    ssize_t put = loop_writev(ch->loop, ch->fd, iov, 2);
    if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return false;
    size_t n = put > 0 ? (size_t)put : 0;
    ch->written += n;
    buf_take(&ch->out, n < s.n ? n : s.n);
    buf_puts(&ch->out, span_from(tail, n > s.n ? n - s.n : 0));
    return true;
}

void channel_end_tail(struct channel *ch, struct span tail)
{
    MUST(ch->in_frame);
    if (tail.n < TAIL_BYTES || ch->fd < 0 || ch->deaf || ch->out_fd_count || ch->out.failed ||
        tail.n > buf_room(&ch->out)) {
        wire_put_bytes(&ch->out, tail);
        channel_end(ch);
        return;
    }
    wire_put_u32(&ch->out, (uint32_t)tail.n);
    size_t body = ch->out.len - ch->begun - HEADER_BYTES + tail.n;
    MUST(body <= CHANNEL_FRAME_MAX);
    wire_set_u32(ch->out.mem + ch->out.off + ch->begun, (uint32_t)body);
    ch->in_frame = false;
    if (write_with_tail(ch, tail))
        loop_hook_ask(ch->loop, &ch->hook);
    else
        write_failed(ch, errno);
}

bool channel_full(const struct channel *ch)
{
    return ch->out.len > ch->full_bytes;
}

void channel_set_full(struct channel *ch, size_t bytes) { ch->full_bytes = bytes; }

/* One write: up to the next byte that carries a descriptor, or that byte with it. */
static ssize_t write_some(struct channel *ch)
{
    struct span s = buf_span(&ch->out);
    if (ch->out_fd_count == 0)
        return loop_write(ch->loop, ch->fd, s.p, s.n);
    struct out_fd *next = &ch->out_fds[0];
    if (next->offset > ch->written)
        return loop_write(ch->loop, ch->fd, s.p, (size_t)(next->offset - ch->written));
    ssize_t put = loop_write_fd(ch->loop, ch->fd, s.p, HEADER_BYTES, next->fd);
    if (put > 0) {
        loop_close(ch->loop, next->fd);
        ch->out_fd_count--;
        memmove(&ch->out_fds[0], &ch->out_fds[1], ch->out_fd_count * sizeof *next);
    }
    return put;
}

void channel_flush(struct channel *ch)
{
    ch->was_full = ch->was_full || channel_full(ch);
    while (ch->fd >= 0 && ch->out.len) {
        ssize_t put = write_some(ch);
        if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (put < 0) {
            write_failed(ch, errno);
            break;
        }
        ch->written += (uint64_t)put;
        buf_take(&ch->out, (size_t)put);
    }
    if (ch->fd < 0)
        return;
    loop_io_want(ch->loop, &ch->io, wanted(ch));
    if (ch->was_full && !ch->deaf && ch->out.len < ch->full_bytes / 2) {
        ch->was_full = false;
        if (ch->ops->drained)
            ch->ops->drained(ch->ctx, ch);
    }
}

bool channel_flush_all(struct channel *ch, int wait_ms)
{
    int64_t until = loop_fresh_ns(ch->loop) / 1000000 + wait_ms;
    for (;;) {
        channel_flush(ch);
        if (ch->fd < 0 || ch->out.len == 0)
            return ch->fd >= 0 && !ch->deaf;
        int64_t left = until - loop_fresh_ns(ch->loop) / 1000000;
        if (left <= 0)
            return false;
        struct pollfd p = { .fd = ch->fd, .events = POLLOUT };
        poll(&p, 1, (int)left);
    }
}

static void on_turn_end(void *ctx)
{
    struct channel *ch = ctx;
    if (ch->why[0])
        fail(ch, ch->why);
    else
        channel_flush(ch);
}

/* --- in --- */

static const struct channel_type *find_type(const struct channel *ch, uint16_t type)
{
    for (size_t i = 0; i < ch->ops->type_count; i++)
        if (ch->ops->types[i].type == type)
            return &ch->ops->types[i];
    return NULL;
}

/* 1 a message was handled, 0 more bytes are needed, -1 the peer does not speak our language. */
static int dispatch_one(struct channel *ch, size_t *at)
{
    struct span s = span_from(buf_span(&ch->in), *at);
    if (s.n < HEADER_BYTES)
        return 0;
    struct wire w = wire_reader(s);
    size_t body = wire_get_u32(&w);
    uint16_t type = wire_get_u16(&w);
    uint8_t flags = wire_get_u8(&w);
    const struct channel_type *t = find_type(ch, type);
    if (body > CHANNEL_FRAME_MAX || !t || flags > FLAG_FD)
        return -1;
    if (s.n - HEADER_BYTES < body)
        return 0;
    int fd = -1;
    if (flags & FLAG_FD) {
        if (ch->in_fd_count == 0)
            return -1;
        fd = ch->in_fds[0];
        ch->in_fd_count--;
        memmove(&ch->in_fds[0], &ch->in_fds[1], ch->in_fd_count * sizeof fd);
    }
    *at += HEADER_BYTES + body;
    return t->handler(ch->ctx, ch, span_of(s.p + HEADER_BYTES, body), fd) ? 1 : -1;
}

/* Handles every whole message that was read. Its bytes are given up only now and memory moves
 * only at the next read, so handlers' spans live until the end of the turn. */
static void dispatch(struct channel *ch)
{
    int r;
    size_t at = 0;
    while ((r = dispatch_one(ch, &at)) > 0 && ch->fd >= 0)
        ;
    if (ch->dead)
        return;
    buf_take(&ch->in, at);
    if (r < 0)
        fail(ch, "a malformed or unknown message");
}

static void on_readable(struct channel *ch)
{
    size_t want = CHANNEL_READ_BYTES;
    char *to = buf_space(&ch->in, want);
    MUST(to);
    size_t nfds = 0;
    ssize_t got = loop_read_fds(ch->loop, ch->fd, to, want, ch->in_fds + ch->in_fd_count,
                                IN_FDS_MAX - ch->in_fd_count, &nfds);
    ch->in_fd_count += nfds;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (got <= 0) {
        fail(ch, got == 0 ? "it has gone" : strerror(errno));
        return;
    }
    buf_added(&ch->in, (size_t)got);
    dispatch(ch);
}

static void on_ready(void *ctx, int ready)
{
    struct channel *ch = ctx;
    ch->dispatching = true;
    if (ready & LOOP_WRITE)
        channel_flush(ch);
    if ((ready & LOOP_READ) && ch->fd >= 0)
        on_readable(ch);
    ch->dispatching = false;
    if (ch->dead)
        destroy(ch);
}

void channel_pause(struct channel *ch, bool pause)
{
    ch->paused = pause;
    if (ch->fd >= 0)
        loop_io_want(ch->loop, &ch->io, wanted(ch));
}

bool channel_open(const struct channel *ch) { return ch->fd >= 0; }
