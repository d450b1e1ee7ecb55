/* Between deliver, which has neither files nor sockets of the file system, and a next hop that
 * listens on one (LMTP): bytes go through in both directions until either side ends. */
#include "local/inside.h"

#include "base/must.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PIPE_MAX = 128 << 10, PUMP_READ_BYTES = 64 << 10 };

static void pump(struct local *l);

/* False: that side has ended. */
static bool fill(struct local *l, int fd, struct buf *b)
{
    char *to = b->len < PIPE_MAX - PUMP_READ_BYTES ? buf_space(b, PUMP_READ_BYTES) : NULL;
    if (!to)
        return true;
    ssize_t n = loop_read(l->env->loop, fd, to, PUMP_READ_BYTES);
    if (n > 0)
        buf_added(b, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool drain(struct local *l, int fd, struct buf *b)
{
    while (b->len) {
        ssize_t n = loop_write(l->env->loop, fd, buf_span(b).p, b->len);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_take(b, (size_t)n);
    }
    return true;
}

static int want(const struct buf *in, const struct buf *out, bool gone)
{
    bool room = in->len < PIPE_MAX - PUMP_READ_BYTES && !gone;
    return (room ? LOOP_READ : 0) | (out->len ? LOOP_WRITE : 0);
}

static void pump(struct local *l)
{
    bool up = drain(l, l->socket, &l->to_socket) && drain(l, l->fd, &l->from_socket);
    bool done = (l->socket_gone && !l->from_socket.len) || (l->peer_gone && !l->to_socket.len);
    if (!up || done) {
        local_over(l);
        return;
    }
    loop_io_want(l->env->loop, &l->io, want(&l->to_socket, &l->from_socket, l->peer_gone));
    loop_io_want(l->env->loop, &l->socket_io,
                 want(&l->from_socket, &l->to_socket, l->socket_gone));
}

static void on_peer(void *ctx, int ready)
{
    struct local *l = ctx;
    if (ready & LOOP_READ)
        l->peer_gone = !fill(l, l->fd, &l->to_socket);
    pump(l);
}

static void on_socket(void *ctx, int ready)
{
    struct local *l = ctx;
    if (ready & LOOP_READ)
        l->socket_gone = !fill(l, l->socket, &l->from_socket);
    pump(l);
}

void pump_begin(struct local *l)
{
    buf_init(&l->to_socket, PIPE_MAX);
    buf_init(&l->from_socket, PIPE_MAX);
    loop_io_add(l->env->loop, &l->io, l->fd, LOOP_READ, on_peer, l);
    loop_io_add(l->env->loop, &l->socket_io, l->socket, LOOP_READ, on_socket, l);
}

void pump_free(struct local *l)
{
    loop_io_del(l->env->loop, &l->socket_io);
    if (l->socket >= 0)
        close(l->socket);
    buf_free(&l->to_socket);
    buf_free(&l->from_socket);
}
