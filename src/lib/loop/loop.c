#include "loop/impl.h"

#include "base/must.h"

#include <stdlib.h>

void loop_init(struct loop *l, const struct loop_ops *ops, void *impl)
{
    l->ops = ops;
    l->impl = impl;
    heap_init(&l->timers);
    for (int i = 0; i < LOOP_STAGES; i++)
        list_init(&l->hooks[i]);
}

void loop_free(struct loop **l)
{
    if (!*l)
        return;
    (*l)->ops->free(*l);
    heap_free(&(*l)->timers);
    free(*l);
    *l = NULL;
}

void loop_update_clock(struct loop *l) { l->ops->clock(l, &l->mono_ns, &l->wall_ms); }

int64_t loop_mono_ms(const struct loop *l) { return l->mono_ns / 1000000; }
int64_t loop_mono_ns(const struct loop *l) { return l->mono_ns; }
int64_t loop_wall_ms(const struct loop *l) { return l->wall_ms; }

int64_t loop_fresh_ns(const struct loop *l)
{
    int64_t mono_ns, wall_ms;
    l->ops->clock(l, &mono_ns, &wall_ms);
    return mono_ns;
}

int64_t loop_cpu_ns(const struct loop *l) { return l->ops->cpu_ns ? l->ops->cpu_ns() : 0; }

void loop_random(struct loop *l, void *p, size_t n) { l->ops->random(l, p, n); }

uint64_t loop_random_u64(struct loop *l)
{
    uint64_t v;
    loop_random(l, &v, sizeof v);
    return v;
}

void loop_timer_init(struct loop_timer *t, void (*fn)(void *ctx), void *ctx)
{
    *t = (struct loop_timer){ .fn = fn, .ctx = ctx };
}

void loop_timer_at(struct loop *l, struct loop_timer *t, int64_t mono_ms)
{
    heap_change(&l->timers, &t->node, mono_ms);
}

void loop_timer_in(struct loop *l, struct loop_timer *t, int64_t wait_ms)
{
    loop_timer_at(l, t, loop_mono_ms(l) + wait_ms);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t) { heap_remove(&l->timers, &t->node); }

void loop_hook_init(struct loop_hook *h, int stage, void (*fn)(void *ctx), void *ctx)
{
    MUST(stage >= 0 && stage < LOOP_STAGES);
    *h = (struct loop_hook){ .stage = stage, .fn = fn, .ctx = ctx };
    list_init(&h->node);
}

void loop_hook_ask(struct loop *l, struct loop_hook *h)
{
    if (!list_linked(&h->node))
        list_append(&l->hooks[h->stage], &h->node);
}

void loop_hook_cancel(struct loop_hook *h) { list_remove(&h->node); }

/* A hook may ask for hooks of its own or a later stage, which then run in this same turn; one
 * of an earlier stage runs at the end of the next. */
static void run_hooks(struct loop *l)
{
    for (int stage = 0; stage < LOOP_STAGES; stage++) {
        for (struct list *n; (n = list_first(&l->hooks[stage]));) {
            struct loop_hook *h = CONTAINER(n, struct loop_hook, node);
            list_remove(n);
            h->fn(h->ctx);
        }
    }
}

static bool hooks_pending(const struct loop *l)
{
    for (int stage = 0; stage < LOOP_STAGES; stage++)
        if (!list_empty(&l->hooks[stage]))
            return true;
    return false;
}

/* No more than there are at first: one that is set again for now, again and again, must not keep
 * the descriptors from being heard. */
static void run_timers(struct loop *l)
{
    int64_t now = loop_mono_ms(l);
    size_t most = l->timers.n;
    for (struct heap_node *n; most && (n = heap_min(&l->timers)) && n->key <= now; most--) {
        struct loop_timer *t = CONTAINER(n, struct loop_timer, node);
        heap_remove(&l->timers, n);
        t->fn(t->ctx);
    }
}

static int64_t wait_for(const struct loop *l, int64_t max_wait_ms)
{
    if (hooks_pending(l))
        return 0;
    const struct heap_node *n = heap_min(&l->timers);
    if (!n)
        return max_wait_ms;
    int64_t mono_ns, wall_ms;
    l->ops->clock(l, &mono_ns, &wall_ms);
    int64_t wait = n->key - mono_ns / 1000000;
    if (wait < 0)
        wait = 0;
    return max_wait_ms >= 0 && max_wait_ms < wait ? max_wait_ms : wait;
}

bool loop_turn(struct loop *l, int max_wait_ms)
{
    if (l->stopping)
        return false;
    l->ops->wait(l, wait_for(l, max_wait_ms));
    loop_update_clock(l);
    run_timers(l);
    run_hooks(l);
    return !l->stopping;
}

void loop_run(struct loop *l)
{
    loop_update_clock(l);
    while (loop_turn(l, -1))
        ;
}

void loop_stop(struct loop *l) { l->stopping = true; }

void loop_io_add(struct loop *l, struct loop_io *io, int fd, int want,
                 void (*fn)(void *ctx, int ready), void *ctx)
{
    *io = (struct loop_io){ .fd = fd, .want = want, .fn = fn, .ctx = ctx, .loop = l };
    l->ops->io_set(l, io, false);
}

void loop_io_want(struct loop *l, struct loop_io *io, int want)
{
    if (io->want == want)
        return;
    io->want = want;
    l->ops->io_set(l, io, true);
}

void loop_io_del(struct loop *l, struct loop_io *io)
{
    if (io->fn)
        l->ops->io_del(l, io);
    io->fn = NULL;
    io->want = 0;
}

int loop_listen(struct loop *l, const struct netaddr *at, int backlog, struct err *err)
{
    return l->ops->listen(l, at, backlog, err);
}

int loop_accept(struct loop *l, int fd, struct netaddr *peer_r)
{
    return l->ops->accept(l, fd, peer_r);
}

int loop_connect(struct loop *l, const struct netaddr *to, const struct netaddr *from)
{
    return l->ops->connect(l, to, from);
}

int loop_connect_result(struct loop *l, int fd) { return l->ops->connect_result(l, fd); }
int loop_pair(struct loop *l, int fds_r[2]) { return l->ops->pair(l, fds_r); }

bool loop_local_addr(struct loop *l, int fd, struct netaddr *addr_r)
{
    return l->ops->local_addr(l, fd, addr_r);
}

bool loop_is_local(struct loop *l, const struct netaddr *ip)
{
    return netaddr_is_loopback(ip) || l->ops->is_local(l, ip);
}

ssize_t loop_read(struct loop *l, int fd, void *p, size_t n) { return l->ops->read(l, fd, p, n); }

ssize_t loop_write_fd(struct loop *l, int fd, const void *p, size_t n, int passed)
{
    return l->ops->write_fd(l, fd, p, n, passed);
}

ssize_t loop_read_fds(struct loop *l, int fd, void *p, size_t n, int *fds_r, size_t max_fds,
                      size_t *nfds_r)
{
    return l->ops->read_fds(l, fd, p, n, fds_r, max_fds, nfds_r);
}

ssize_t loop_write(struct loop *l, int fd, const void *p, size_t n)
{
    struct iovec iov = { .iov_base = (void *)p, .iov_len = n };
    return l->ops->writev(l, fd, &iov, 1);
}

ssize_t loop_writev(struct loop *l, int fd, const struct iovec *iov, int n)
{
    return l->ops->writev(l, fd, iov, n);
}

void loop_close(struct loop *l, int fd)
{
    if (fd >= 0)
        l->ops->close(l, fd);
}
