/* Bytes of the simulated network. */
#include "loop/sim_impl.h"

#include "base/crc32c.h"
#include "base/must.h"

#include <errno.h>
#include <stdlib.h>

void sim_end_free(struct sock *k)
{
    LIST_EACH(n, &k->segs)
        free(CONTAINER(n, struct seg, node));
    buf_free(&k->in);
    if (--k->link->refs == 0)
        free(k->link);
    free(k);
}

void sim_arrive(struct sim *s, struct sock *k)
{
    LIST_EACH(n, &k->segs) {
        struct seg *g = CONTAINER(n, struct seg, node);
        if (g->at_ns > s->mono_ns)
            return;
        k->arrived += g->n;
        list_remove(n);
        free(g);
    }
}

static bool is_open(const struct sim *s, const struct sock *k) { return k->open_ns <= s->mono_ns; }

static bool is_reset(const struct sim *s, const struct sock *k)
{
    return k->reset_ns <= s->mono_ns;
}

static size_t room(const struct sock *k)
{
    return k->peer && k->peer->in.len < k->peer->cap ? k->peer->cap - k->peer->in.len : 0;
}

static bool any_waits(const struct sim *s, const struct listener *at)
{
    LIST_EACH(n, &at->queue)
        if (CONTAINER(n, struct sock, node)->open_ns <= s->mono_ns)
            return true;
    return false;
}

int sim_ready(struct sim *s, struct sock *k)
{
    if (k->listener)
        return any_waits(s, k->listener) ? LOOP_READ : 0;
    if (!is_open(s, k))
        return 0;
    sim_arrive(s, k);
    if (k->connect_error || is_reset(s, k))
        return LOOP_READ | LOOP_WRITE;
    int ready = k->arrived || k->fin_ns <= s->mono_ns ? LOOP_READ : 0;
    return ready | (room(k) || !k->peer ? LOOP_WRITE : 0);
}

static int64_t sooner(const struct sim *s, int64_t best, int64_t at)
{
    return at > s->mono_ns && at < best ? at : best;
}

int64_t sim_next(const struct sim *s, const struct sock *k)
{
    int64_t best = SIM_NEVER;
    if (k->listener) {
        LIST_EACH(n, &k->listener->queue)
            best = sooner(s, best, CONTAINER(n, struct sock, node)->open_ns);
        return best;
    }
    best = sooner(s, best, k->open_ns);
    best = sooner(s, best, k->fin_ns);
    best = sooner(s, best, k->reset_ns);
    if (!list_empty(&k->segs))
        best = sooner(s, best, CONTAINER(k->segs.next, struct seg, node)->at_ns);
    return best;
}

static bool takes_a_part(struct sim *s, const struct sock *k)
{
    return k->link->part && sim_below(&s->net_rng, 1000) < k->link->part;
}

ssize_t sim_read(struct loop *l, int fd, void *p, size_t n)
{
    struct sim *s = sim_of(l);
    struct sock *k = sim_sock(s, fd);
    MUST(!k->listener);
    sim_arrive(s, k);
    size_t got = n < k->arrived ? n : k->arrived;
    if (got > 1 && takes_a_part(s, k))
        got = 1 + sim_below(&s->net_rng, got);
    if (got) {
        struct span bytes = span_to(buf_span(&k->in), got);
        memcpy(p, bytes.p, got);
        buf_take(&k->in, got);
        k->arrived -= got;
        sim_mix(s, crc32c(0, p, got));
        return (ssize_t)got;
    }
    sim_mix(s, (uint64_t)fd);
    if (is_reset(s, k) && !k->reset_seen) {
        k->reset_seen = true;
        errno = ECONNRESET;
        return -1;
    }
    if (is_reset(s, k) || k->fin_ns <= s->mono_ns)
        return 0;
    errno = EAGAIN;
    return -1;
}

/* What was under way is gone; what had arrived may still be read. */
static void reset_one(struct sim *s, struct sock *k, int64_t at_ns)
{
    sim_arrive(s, k);
    LIST_EACH(n, &k->segs) {
        list_remove(n);
        free(CONTAINER(n, struct seg, node));
    }
    buf_cut(&k->in, k->arrived);
    if (at_ns < k->reset_ns)
        k->reset_ns = at_ns;
}

void sim_reset_both(struct sim *s, struct sock *k)
{
    sim_strike(s, k->link);
    reset_one(s, k, s->mono_ns);
    if (k->peer)
        reset_one(s, k->peer, s->mono_ns);
}

/* Whether this write is the one at which the connection's fate strikes. */
static bool fate(struct sim *s, struct sock *k, size_t n)
{
    struct link *link = k->link;
    if (!link->may_reset && !link->may_stall)
        return false;
    if (link->strike_after > n) {
        link->strike_after -= n;
        return false;
    }
    if (link->may_reset) {
        link->may_reset = false;
        sim_reset_both(s, k);
        return true;
    }
    link->may_stall = false;
    link->stalled = true;
    sim_strike(s, link);
    return false;
}

/* To an end that has gone: the first such write is lost unseen on a real network. */
static ssize_t write_to_nobody(struct sim *s, struct sock *k, size_t n)
{
    if (!k->link->tcp || is_reset(s, k)) {
        errno = EPIPE;
        return -1;
    }
    if (k->reset_ns == SIM_NEVER)
        k->reset_ns = sim_latency(s, k);
    return (ssize_t)n;
}

static size_t put(struct sim *s, struct sock *to, const struct iovec *iov, int count, size_t n)
{
    uint32_t crc = 0;
    struct seg *g = NEW(struct seg);
    g->n = n;
    g->at_ns = sim_latency(s, to);
    if (g->at_ns < to->last_ns)
        g->at_ns = to->last_ns;
    to->last_ns = g->at_ns;
    list_append(&to->segs, &g->node);
    for (int i = 0; i < count && n; i++) {
        size_t part = iov[i].iov_len < n ? iov[i].iov_len : n;
        MUST(buf_put(&to->in, iov[i].iov_base, part));
        crc = crc32c(crc, iov[i].iov_base, part);
        n -= part;
    }
    sim_mix(s, crc);
    return g->n;
}

ssize_t sim_writev(struct loop *l, int fd, const struct iovec *iov, int count)
{
    struct sim *s = sim_of(l);
    struct sock *k = sim_sock(s, fd);
    size_t sum = 0;
    MUST(!k->listener);
    for (int i = 0; i < count; i++)
        sum += iov[i].iov_len;
    sim_mix(s, (uint64_t)fd << 32 | sum);
    if (!is_open(s, k)) {
        errno = EAGAIN;
        return -1;
    }
    if (is_reset(s, k) || k->connect_error || (k->peer && fate(s, k, sum))) {
        errno = k->reset_seen ? EPIPE : ECONNRESET;
        k->reset_seen = true;
        return -1;
    }
    if (!k->peer)
        return write_to_nobody(s, k, sum);
    size_t n = room(k) < sum ? room(k) : sum;
    if (n > 1 && takes_a_part(s, k))
        n = 1 + sim_below(&s->net_rng, n);
    if (n == 0) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)put(s, k->peer, iov, count, n);
}

ssize_t sim_write_fd(struct loop *l, int fd, const void *p, size_t n, int passed)
{
    struct sim *s = sim_of(l);
    struct sock *to = sim_sock(s, fd)->peer;
    struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
    ssize_t put = sim_writev(l, fd, &iov, 1);
    if (put <= 0 || passed < 0 || !to || to != sim_sock(s, fd)->peer)
        return put;
    MUST(to->passed_count < SIM_PASSED_MAX);
    to->passed[to->passed_count++] = sim_move_fd(s, passed);
    return put;
}

/* They may come before their bytes, as nobody looks at them before those. */
ssize_t sim_read_fds(struct loop *l, int fd, void *p, size_t n, int *fds_r, size_t max_fds,
                     size_t *nfds_r)
{
    struct sock *k = sim_sock(sim_of(l), fd);
    ssize_t got = sim_read(l, fd, p, n);
    size_t count = got <= 0 ? 0 : k->passed_count < max_fds ? k->passed_count : max_fds;
    *nfds_r = count;
    if (!count)
        return got;
    memcpy(fds_r, k->passed, count * sizeof *fds_r);
    k->passed_count -= count;
    memmove(k->passed, k->passed + count, k->passed_count * sizeof *k->passed);
    return got;
}
