/* The loop over libevent and the kernel. libevent's changelist saves the epoll_ctl calls of
 * descriptors whose interest changes and changes back within a turn. */
#include "loop/impl.h"

#include "base/must.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct real {
    struct event_base *base;
    struct event *wake; /* ends the wait when a timer is due */
    bool clock_read;    /* in this turn */
};

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void real_clock(const struct loop *l, int64_t *mono_ns_r, int64_t *wall_ms_r)
{
    (void)l;
    /* It goes on while the machine sleeps: mail is not to live longer by the time of a suspend. */
    *mono_ns_r = clock_ns(CLOCK_BOOTTIME);
    *wall_ms_r = clock_ns(CLOCK_REALTIME) / 1000000;
}

static int64_t real_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

static void real_random(struct loop *l, void *p, size_t n)
{
    (void)l;
    for (char *at = p; n;) {
        ssize_t got = getrandom(at, n, 0);
        MUST(got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

/* The kernel's wait stands still while the machine sleeps, our clock does not: it is looked at
 * again within a minute. */
enum { WAIT_MAX_MS = 60000 };

static void real_wait(struct loop *l, int64_t wait_ms)
{
    struct real *r = l->impl;
    if (wait_ms > WAIT_MAX_MS)
        wait_ms = WAIT_MAX_MS;
    if (wait_ms > 0) {
        struct timeval tv = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };
        event_add(r->wake, &tv);
    } else if (wait_ms < 0) {
        event_del(r->wake);
    }
    r->clock_read = false;
    int flags = EVLOOP_ONCE | (wait_ms == 0 ? EVLOOP_NONBLOCK : 0) | EVLOOP_NO_EXIT_ON_EMPTY;
    MUST(event_base_loop(r->base, flags) >= 0);
}

/* The wait is inside libevent: the clock it returned at is read before the first handler. */
static void on_io(evutil_socket_t fd, short what, void *ctx)
{
    struct loop_io *io = ctx;
    struct real *r = io->loop->impl;
    (void)fd;
    if (!r->clock_read)
        loop_update_clock(io->loop);
    r->clock_read = true;
    int ready = (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);
    io->fn(io->ctx, ready);
}

static void real_io_set(struct loop *l, struct loop_io *io, bool added)
{
    struct real *r = l->impl;
    short what = EV_PERSIST;
    if (io->want & LOOP_READ)
        what |= EV_READ;
    if (io->want & LOOP_WRITE)
        what |= EV_WRITE;
    if (!added) {
        io->ev = must_alloc(event_get_struct_event_size());
        event_assign(io->ev, r->base, io->fd, what, on_io, io);
    } else {
        event_del(io->ev);
        event_assign(io->ev, r->base, io->fd, what, on_io, io);
    }
    if (io->want)
        event_add(io->ev, NULL);
}

static void real_io_del(struct loop *l, struct loop_io *io)
{
    (void)l;
    event_del(io->ev);
    free(io->ev);
    io->ev = NULL;
}

static void real_free(struct loop *l)
{
    struct real *r = l->impl;
    event_free(r->wake);
    event_base_free(r->base);
    free(r);
}

static void real_close(struct loop *l, int fd)
{
    (void)l;
    close(fd);
}

static ssize_t real_read(struct loop *l, int fd, void *p, size_t n)
{
    (void)l;
    ssize_t got;
    do
        got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got;
}

/* sendmsg rather than writev: a peer that has gone must give EPIPE and no signal. */
static ssize_t real_writev(struct loop *l, int fd, const struct iovec *iov, int n)
{
    (void)l;
    struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
    ssize_t put;
    do
        put = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put < 0 && errno == ENOTSOCK)
        put = writev(fd, iov, n);
    return put;
}

static const struct loop_ops real_ops = {
    .free = real_free,
    .clock = real_clock,
    .cpu_ns = real_cpu_ns,
    .random = real_random,
    .wait = real_wait,
    .io_set = real_io_set,
    .io_del = real_io_del,
    .listen = loop_real_listen,
    .accept = loop_real_accept,
    .connect = loop_real_connect,
    .connect_result = loop_real_connect_result,
    .pair = loop_real_pair,
    .local_addr = loop_real_local_addr,
    .is_local = loop_real_is_local,
    .read = real_read,
    .writev = real_writev,
    .write_fd = loop_real_write_fd,
    .read_fds = loop_real_read_fds,
    .close = real_close,
};

struct loop *loop_new(void)
{
    struct real *r = NEW(struct real);
    struct event_config *cfg = event_config_new();
    MUST(cfg);
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST |
                                   EVENT_BASE_FLAG_IGNORE_ENV);
    r->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    MUST(r->base);
    r->wake = event_new(r->base, -1, 0, on_wake, NULL);
    MUST(r->wake);
    struct loop *l = NEW(struct loop);
    loop_init(l, &real_ops, r);
    loop_update_clock(l);
    return l;
}

struct event_base *loop_event_base(struct loop *l)
{
    return l->ops == &real_ops ? ((struct real *)l->impl)->base : NULL;
}

static void on_signal(evutil_socket_t signo, short what, void *ctx)
{
    (void)signo;
    (void)what;
    struct loop_signal *s = ctx;
    loop_update_clock(s->loop);
    s->fn(s->ctx);
}

void loop_signal_add(struct loop *l, struct loop_signal *s, int signo, void (*fn)(void *ctx),
                     void *ctx)
{
    struct event_base *base = loop_event_base(l);
    MUST(base);
    s->loop = l;
    s->fn = fn;
    s->ctx = ctx;
    s->ev = evsignal_new(base, signo, on_signal, s);
    MUST(s->ev && event_add(s->ev, NULL) == 0);
}

void loop_signal_del(struct loop_signal *s)
{
    if (s->ev)
        event_free(s->ev);
    s->ev = NULL;
}
