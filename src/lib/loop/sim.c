#include "loop/sim_impl.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

enum { TURN_MAX_NS = 30000, NS_PER_MS = 1000000 };

/* splitmix64: one word of state, so that streams of chance can be told apart cheaply. */
static uint64_t sim_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sim_below(uint64_t *state, uint64_t below) { return sim_random(state) % below; }

void sim_mix(struct sim *s, uint64_t v)
{
    uint64_t state = s->trace ^ (v * 0xd6e8feb86659fd93u);
    s->trace = sim_random(&state);
}

/* --- what every loop does --- */

static void clock_of(const struct loop *l, int64_t *mono_ns_r, int64_t *wall_ms_r)
{
    const struct sim *s = sim_of(l);
    *mono_ns_r = s->mono_ns;
    *wall_ms_r = s->mono_ns / NS_PER_MS + s->wall_offset_ms;
}

static void random_of(struct loop *l, void *p, size_t n)
{
    struct sim *s = sim_of(l);
    for (char *at = p; n;) {
        uint64_t v = sim_random(&s->roles_rng);
        size_t part = n < sizeof v ? n : sizeof v;
        memcpy(at, &v, part);
        at += part;
        n -= part;
    }
}

static size_t gather(struct sim *s)
{
    size_t n = 0;
    if (s->ready_cap < s->open) {
        s->ready_cap = 2 * s->open;
        s->ready = must_realloc(s->ready, must_mul(s->ready_cap, sizeof *s->ready));
    }
    LIST_EACH(node, &s->socks) {
        struct sock *k = CONTAINER(node, struct sock, node);
        if (k->io && k->io->want && (sim_ready(s, k) & k->io->want))
            s->ready[n++] = k->fd;
    }
    return n;
}

static int64_t next_event(const struct sim *s)
{
    int64_t at = SIM_NEVER;
    LIST_EACH(node, &s->socks) {
        const struct sock *k = CONTAINER(node, struct sock, node);
        int64_t mine = k->io && k->io->want ? sim_next(s, k) : SIM_NEVER;
        if (mine < at)
            at = mine;
    }
    return at;
}

/* In any order, and at times only some of them: the rest are still ready in the next turn. */
static void call(struct loop *l, size_t n)
{
    struct sim *s = sim_of(l);
    for (size_t i = n; i > 1; i--) {
        size_t j = sim_below(&s->net_rng, i);
        int fd = s->ready[i - 1];
        s->ready[i - 1] = s->ready[j];
        s->ready[j] = fd;
    }
    if (n > 1 && sim_below(&s->net_rng, 4) == 0)
        n = 1 + sim_below(&s->net_rng, n);
    s->mono_ns += 1 + (int64_t)sim_below(&s->net_rng, TURN_MAX_NS);
    loop_update_clock(l);
    for (size_t i = 0; i < n; i++) {
        struct sock *k = sim_sock_maybe(s, s->ready[i]);
        int ready = k && k->io ? sim_ready(s, k) & k->io->want : 0;
        if (!ready)
            continue;
        sim_mix(s, (uint64_t)k->fd << 8 | (unsigned)ready);
        k->io->fn(k->io->ctx, ready);
    }
}

static void wait_for(struct loop *l, int64_t wait_ms)
{
    struct sim *s = sim_of(l);
    int64_t until = wait_ms < 0 ? SIM_NEVER
                                : (s->mono_ns / NS_PER_MS + wait_ms) * (int64_t)NS_PER_MS;
    size_t n = gather(s);
    int64_t next;
    if (n == 0 && wait_ms == 0) /* a turn without work takes its time, too */
        s->mono_ns += 1 + (int64_t)sim_below(&s->net_rng, TURN_MAX_NS);
    /* What is under way may arrive and yet make nothing ready (a part of nothing): go on. */
    while (n == 0 && wait_ms != 0 && (next = next_event(s)) <= until && next != SIM_NEVER) {
        s->mono_ns = next;
        n = gather(s);
    }
    if (n)
        call(l, n);
    else if (until == SIM_NEVER)
        loop_stop(l);
    else if (until > s->mono_ns)
        s->mono_ns = until;
}

static void io_set(struct loop *l, struct loop_io *io, bool added)
{
    struct sock *k = sim_sock(sim_of(l), io->fd);
    MUST(added ? k->io == io : k->io == NULL);
    k->io = io;
}

static void io_del(struct loop *l, struct loop_io *io)
{
    struct sock *k = sim_sock_maybe(sim_of(l), io->fd);
    MUST(k && k->io == io);
    k->io = NULL;
}

static void free_of(struct loop *l)
{
    struct sim *s = sim_of(l);
    sim_free_all(s);
    free(s->by_fd);
    free(s->ready);
    free(s);
}

/* Nothing but loopback: the hosts of a simulation are all on one network. */
static bool is_local(struct loop *l, const struct netaddr *ip)
{
    (void)l;
    (void)ip;
    return false;
}

static const struct loop_ops sim_ops = {
    .free = free_of,
    .clock = clock_of,
    .random = random_of,
    .wait = wait_for,
    .io_set = io_set,
    .io_del = io_del,
    .listen = sim_listen,
    .accept = sim_accept,
    .connect = sim_connect,
    .connect_result = sim_connect_result,
    .pair = sim_pair,
    .local_addr = sim_local_addr,
    .is_local = is_local,
    .read = sim_read,
    .writev = sim_writev,
    .write_fd = sim_write_fd,
    .read_fds = sim_read_fds,
    .close = sim_close,
};

struct loop *loop_sim_new(uint64_t seed, int64_t wall_ms)
{
    static const struct loop_sim_link calm = { .latency_min_us = 200, .latency_max_us = 200,
                                               .buffer_min = 64 << 10, .buffer_max = 256 << 10 };
    struct sim *s = NEW(struct sim);
    uint64_t state = seed;
    s->roles_rng = sim_random(&state);
    s->world_rng = sim_random(&state);
    s->net_rng = sim_random(&state);
    s->mono_ns = (int64_t)1000 * NS_PER_MS; /* not 0: a time that is 0 often means none */
    s->wall_offset_ms = wall_ms - s->mono_ns / NS_PER_MS;
    s->link = calm;
    s->next_port = 20000;
    list_init(&s->socks);
    struct loop *l = NEW(struct loop);
    loop_init(l, &sim_ops, s);
    loop_update_clock(l);
    return l;
}

/* --- the world's side --- */

void loop_sim_link(struct loop *l, const struct loop_sim_link *link)
{
    MUST(link->latency_min_us >= 0 && link->latency_min_us <= link->latency_max_us);
    MUST(link->buffer_min > 0 && link->buffer_min <= link->buffer_max);
    sim_of(l)->link = *link;
}

bool loop_sim_cut(struct loop *l, const struct netaddr *ip, int64_t until_mono_ms)
{
    struct sim *s = sim_of(l);
    size_t kept = 0;
    for (size_t i = 0; i < s->cut_count; i++)
        if (s->cuts[i].until_ns > s->mono_ns)
            s->cuts[kept++] = s->cuts[i];
    s->cut_count = kept;
    if (kept == SIM_CUTS_MAX)
        return false;
    s->cuts[s->cut_count++] = (struct cut){ *ip, until_mono_ms * NS_PER_MS };
    return true;
}

void loop_sim_reset(struct loop *l, int fd)
{
    struct sim *s = sim_of(l);
    sim_reset_both(s, sim_sock(s, fd));
}

bool loop_sim_struck(struct loop *l, int fd)
{
    struct sock *k = sim_sock(sim_of(l), fd);
    return k->link && k->link->struck;
}

bool loop_sim_peer_open(struct loop *l, int fd) { return sim_sock(sim_of(l), fd)->peer != NULL; }

void loop_sim_on_strike(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    sim_of(l)->on_strike = fn;
    sim_of(l)->on_strike_ctx = ctx;
}

size_t loop_sim_open(const struct loop *l) { return sim_of(l)->open; }

void loop_sim_advance(struct loop *l, int64_t ns)
{
    MUST(ns >= 0);
    sim_of(l)->mono_ns += ns;
}

void loop_sim_jump_wall(struct loop *l, int64_t by_ms)
{
    sim_of(l)->wall_offset_ms += by_ms;
    loop_update_clock(l);
}

uint64_t loop_sim_chance(struct loop *l, uint64_t below)
{
    return sim_below(&sim_of(l)->world_rng, below);
}

uint64_t loop_sim_trace(const struct loop *l) { return sim_of(l)->trace; }
