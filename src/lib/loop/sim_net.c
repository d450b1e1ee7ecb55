/* The simulated network: descriptors, listening sockets, connections being made. */
#include "loop/sim_impl.h"

#include "base/must.h"

#include <errno.h>
#include <stdlib.h>

enum {
    IN_MAX = 64 << 20,
    PAIR_LATENCY_MAX_US = 40,
    RETRANSMIT_MAX_MS = 3000, /* after a cut */
    NS_PER_US = 1000,
    NS_PER_MS = 1000000,
};

/* --- descriptors --- */

struct sock *sim_sock_maybe(struct sim *s, int fd)
{
    size_t i = (size_t)fd - LOOP_SIM_FD_FIRST;
    return fd >= LOOP_SIM_FD_FIRST && i < s->fd_count ? s->by_fd[i] : NULL;
}

struct sock *sim_sock(struct sim *s, int fd)
{
    struct sock *k = sim_sock_maybe(s, fd);
    MUST(k);
    return k;
}

static void sim_give_fd(struct sim *s, struct sock *k)
{
    if (s->fd_count == s->fd_cap) {
        s->fd_cap = s->fd_cap ? 2 * s->fd_cap : 256;
        s->by_fd = must_realloc(s->by_fd, must_mul(s->fd_cap, sizeof(struct sock *)));
    }
    k->fd = LOOP_SIM_FD_FIRST + (int)s->fd_count;
    s->by_fd[s->fd_count++] = k;
    list_append(&s->socks, &k->node);
    s->open++;
}

static struct link *link_new(struct sim *s, bool tcp);

int sim_move_fd(struct sim *s, int fd)
{
    struct sock *k = sim_sock(s, fd), *husk = sim_end_new(link_new(s, false), 0);
    MUST(!k->io && !k->listener);
    list_remove(&k->node);
    s->open--;
    sim_give_fd(s, k);
    husk->fd = fd;
    s->by_fd[fd - LOOP_SIM_FD_FIRST] = husk;
    list_append(&s->socks, &husk->node);
    s->open++;
    return k->fd;
}

struct sock *sim_end_new(struct link *link, size_t cap)
{
    struct sock *k = NEW(struct sock);
    k->fd = -1;
    k->link = link;
    k->cap = cap;
    k->fin_ns = k->reset_ns = SIM_NEVER;
    buf_init(&k->in, IN_MAX);
    list_init(&k->segs);
    link->refs++;
    return k;
}

static size_t buffer_bytes(struct sim *s)
{
    const struct loop_sim_link *c = &s->link;
    return c->buffer_min + sim_below(&s->net_rng, c->buffer_max - c->buffer_min + 1);
}

static struct link *link_new(struct sim *s, bool tcp)
{
    struct link *k = NEW(struct link);
    const struct loop_sim_link *c = &s->link;
    k->tcp = tcp;
    k->part = c->part;
    k->latency_max_ns = PAIR_LATENCY_MAX_US * NS_PER_US;
    if (!tcp)
        return k;
    k->latency_min_ns = c->latency_min_us * NS_PER_US;
    k->latency_max_ns = c->latency_max_us * NS_PER_US;
    k->may_reset = sim_below(&s->net_rng, 1000) < c->reset;
    k->may_stall = sim_below(&s->net_rng, 1000) < c->stall;
    k->strike_after = c->strike_max_bytes ? sim_below(&s->net_rng, c->strike_max_bytes) : 0;
    return k;
}

static void join(struct sock *a, struct sock *b)
{
    a->peer = b;
    b->peer = a;
}

void sim_strike(struct sim *s, struct link *k)
{
    if (k->struck)
        return;
    k->struck = true;
    if (s->on_strike)
        s->on_strike(s->on_strike_ctx);
}

/* When the bytes that leave now for this end arrive, a cut of either address reckoned in. */
int64_t sim_latency(struct sim *s, const struct sock *to)
{
    struct link *k = to->link;
    int64_t range = k->latency_max_ns - k->latency_min_ns;
    int64_t at = s->mono_ns + k->latency_min_ns +
                 (range ? (int64_t)sim_below(&s->net_rng, (uint64_t)range) : 0);
    for (size_t i = 0; k->tcp && i < s->cut_count; i++) {
        const struct cut *c = &s->cuts[i];
        if (c->until_ns <= s->mono_ns || (!netaddr_same_ip(&c->ip, &to->local) &&
                                          !netaddr_same_ip(&c->ip, &to->remote)))
            continue;
        int64_t late = (int64_t)sim_below(&s->net_rng, RETRANSMIT_MAX_MS) * NS_PER_MS;
        sim_strike(s, k);
        if (c->until_ns + late > at)
            at = c->until_ns + late;
    }
    return k->stalled ? SIM_NEVER : at;
}

/* --- listening --- */

static struct sock *listening_at(struct sim *s, const struct netaddr *to)
{
    LIST_EACH(n, &s->socks) {
        struct sock *k = CONTAINER(n, struct sock, node);
        if (k->listener && k->listener->at.port == to->port &&
            k->listener->at.family == to->family &&
            (netaddr_eq(&k->listener->at, to) || netaddr_is_any(&k->listener->at)))
            return k;
    }
    return NULL;
}

int sim_listen(struct loop *l, const struct netaddr *at, int backlog, struct err *err)
{
    struct sim *s = sim_of(l);
    if (listening_at(s, at)) {
        errno = EADDRINUSE;
        err_errno(err, "listen in the simulation");
        return -1;
    }
    struct sock *k = NEW(struct sock);
    k->listener = NEW(struct listener);
    k->listener->refs = 1;
    k->listener->at = k->local = *at;
    k->listener->backlog = backlog;
    list_init(&k->listener->queue);
    sim_give_fd(s, k);
    return k->fd;
}

int loop_sim_dup(struct loop *l, int fd)
{
    struct sim *s = sim_of(l);
    struct sock *old = sim_sock(s, fd), *k = NEW(struct sock);
    MUST(old->listener);
    k->listener = old->listener;
    k->listener->refs++;
    k->local = old->local;
    sim_give_fd(s, k);
    return k->fd;
}

int sim_accept(struct loop *l, int fd, struct netaddr *peer_r)
{
    struct sim *s = sim_of(l);
    struct listener *at = sim_sock(s, fd)->listener;
    LIST_EACH(n, &at->queue) {
        struct sock *k = CONTAINER(n, struct sock, node);
        if (k->open_ns > s->mono_ns)
            continue;
        list_remove(n);
        at->queued--;
        sim_give_fd(s, k);
        sim_mix(s, (uint64_t)k->fd);
        if (peer_r)
            *peer_r = k->remote;
        return k->fd;
    }
    errno = EAGAIN;
    return -1;
}

/* --- connecting --- */

static struct netaddr from_of(struct sim *s, const struct netaddr *to, const struct netaddr *from)
{
    struct netaddr a = { .family = to->family };
    if (from)
        a = *from;
    else if (to->family == NETADDR_V4)
        a.ip[0] = 10, a.ip[3] = 1;
    else
        a.ip[0] = 0xfd, a.ip[15] = 1;
    a.port = s->next_port;
    s->next_port = s->next_port == UINT16_MAX ? 20000 : (uint16_t)(s->next_port + 1);
    return a;
}

static void refuse(struct sim *s, struct sock *mine, int error, bool fault)
{
    mine->connect_error = error;
    if (fault)
        sim_strike(s, mine->link);
}

static void reach(struct sim *s, struct sock *mine, struct sock *at)
{
    struct listener *lst = at->listener;
    struct sock *other = sim_end_new(mine->link, buffer_bytes(s));
    other->local = mine->remote;
    other->remote = mine->local;
    other->last_ns = other->open_ns = sim_latency(s, other);
    join(mine, other);
    list_append(&lst->queue, &other->node);
    lst->queued++;
}

int sim_connect(struct loop *l, const struct netaddr *to, const struct netaddr *from)
{
    struct sim *s = sim_of(l);
    struct sock *mine = sim_end_new(link_new(s, true), buffer_bytes(s));
    struct sock *at = listening_at(s, to);
    mine->remote = *to;
    mine->local = from_of(s, to, from);
    mine->last_ns = mine->open_ns = sim_latency(s, mine);
    sim_give_fd(s, mine);
    uint64_t dice = sim_below(&s->net_rng, 1000);
    if (dice < s->link.silent) {
        mine->open_ns = SIM_NEVER;
        mine->link->stalled = true;
        sim_strike(s, mine->link);
    } else if (!at) {
        refuse(s, mine, ECONNREFUSED, false);
    } else if (dice < s->link.silent + s->link.refuse) {
        refuse(s, mine, ECONNREFUSED, true);
    } else if (at->listener->queued >= (size_t)at->listener->backlog) {
        refuse(s, mine, ETIMEDOUT, true); /* SYNs dropped: it does not become better here */
    } else {
        reach(s, mine, at);
    }
    sim_mix(s, (uint64_t)mine->fd);
    return mine->fd;
}

int sim_connect_result(struct loop *l, int fd)
{
    struct sim *s = sim_of(l);
    struct sock *k = sim_sock(s, fd);
    int error = k->connect_error;
    sim_arrive(s, k);
    if (!error && s->mono_ns >= k->reset_ns)
        error = ECONNRESET;
    k->connect_error = 0;
    return error;
}

int sim_pair(struct loop *l, int fds_r[2])
{
    struct sim *s = sim_of(l);
    struct link *link = link_new(s, false);
    struct sock *a = sim_end_new(link, buffer_bytes(s)), *b = sim_end_new(link, buffer_bytes(s));
    join(a, b);
    sim_give_fd(s, a);
    sim_give_fd(s, b);
    fds_r[0] = a->fd;
    fds_r[1] = b->fd;
    return 0;
}

bool sim_local_addr(struct loop *l, int fd, struct netaddr *addr_r)
{
    *addr_r = sim_sock(sim_of(l), fd)->local;
    return true;
}

/* --- the end --- */

/* What the one who stays sees: the end of the file behind all bytes, or a reset when some that
 * it had sent were never read. */
static void leave(struct sim *s, struct sock *k)
{
    struct sock *peer = k->peer;
    if (!peer)
        return;
    peer->peer = NULL;
    int64_t at = sim_latency(s, peer);
    if (at < peer->last_ns)
        at = peer->last_ns;
    if (k->in.len)
        peer->reset_ns = at < peer->reset_ns ? at : peer->reset_ns;
    else
        peer->fin_ns = at;
}

static void listener_drop(struct sim *s, struct listener *at)
{
    if (--at->refs)
        return;
    LIST_EACH(n, &at->queue) {
        struct sock *k = CONTAINER(n, struct sock, node);
        list_remove(n);
        sim_reset_both(s, k);
        leave(s, k);
        sim_end_free(k);
    }
    free(at);
}

void sim_close(struct loop *l, int fd)
{
    struct sim *s = sim_of(l);
    struct sock *k = sim_sock(s, fd);
    MUST(!k->io); /* loop_io_del comes before loop_close */
    sim_mix(s, (uint64_t)fd);
    s->by_fd[fd - LOOP_SIM_FD_FIRST] = NULL;
    s->open--;
    list_remove(&k->node);
    if (k->listener) {
        listener_drop(s, k->listener);
        free(k);
        return;
    }
    for (size_t i = 0; i < k->passed_count; i++)
        sim_close(l, k->passed[i]);
    leave(s, k);
    sim_end_free(k);
}

void sim_free_all(struct sim *s)
{
    s->on_strike = NULL;
    LIST_EACH(n, &s->socks) {
        struct sock *k = CONTAINER(n, struct sock, node);
        list_remove(n);
        if (k->listener) {
            listener_drop(s, k->listener);
            free(k);
            continue;
        }
        if (k->peer)
            k->peer->peer = NULL;
        sim_end_free(k);
    }
}
