/* The inside of the simulated loop. Only for sim.c, sim_net.c and sim_stream.c. */
#ifndef POSTERN_LOOP_SIM_IMPL_H
#define POSTERN_LOOP_SIM_IMPL_H

#include "base/buf.h"
#include "loop/impl.h"
#include "loop/sim.h"

enum { SIM_CUTS_MAX = 32, SIM_PASSED_MAX = 64 };

#define SIM_NEVER INT64_MAX

/* Some bytes on their way. */
struct seg {
    struct list node;
    int64_t at_ns;
    size_t n;
};

/* What both ends of a connection share. */
struct link {
    int refs;
    bool tcp, stalled, struck;
    bool may_reset, may_stall;
    size_t strike_after; /* bytes until then */
    int64_t latency_min_ns, latency_max_ns;
    uint32_t part;
};

struct listener {
    int refs;
    struct netaddr at;
    int backlog;
    struct list queue; /* struct sock: ends nobody has accepted yet */
    size_t queued;
};

/* One descriptor, or an end of a connection that has none yet. */
struct sock {
    struct list node; /* of all open ones in the order of their birth, or a listener's queue */
    int fd;           /* -1: not accepted yet */
    struct loop_io *io;
    struct listener *listener; /* NULL: an end of a stream */
    struct link *link;
    struct sock *peer; /* NULL: it was closed */
    struct netaddr local, remote;
    int64_t open_ns;   /* connected, or there to be accepted, from then on */
    int connect_error; /* from open_ns on, until it was asked for */
    struct buf in;     /* what the peer wrote: arrived and under way */
    struct list segs;
    size_t arrived;    /* bytes of `in` that may be read */
    size_t cap;
    int64_t last_ns;   /* when the last byte written to this end arrives */
    int64_t fin_ns;    /* the peer's end of file arrives */
    int64_t reset_ns;  /* a reset arrives */
    bool reset_seen;
    int passed[SIM_PASSED_MAX]; /* descriptors that came with `in`, not taken yet */
    size_t passed_count;
};

struct cut {
    struct netaddr ip;
    int64_t until_ns;
};

struct sim {
    int64_t mono_ns, wall_offset_ms;
    uint64_t roles_rng, world_rng, net_rng;
    uint64_t trace;
    struct loop_sim_link link;
    struct list socks; /* with a descriptor */
    struct sock **by_fd;
    size_t fd_count, fd_cap, open;
    struct cut cuts[SIM_CUTS_MAX];
    size_t cut_count;
    uint16_t next_port;
    void (*on_strike)(void *ctx);
    void *on_strike_ctx;
    int *ready; /* descriptors, of one turn */
    size_t ready_cap;
};

static inline struct sim *sim_of(const struct loop *l) { return l->impl; }

uint64_t sim_below(uint64_t *state, uint64_t below);
void sim_mix(struct sim *s, uint64_t v);

/* sim_net.c: descriptors, listening, connecting */
struct sock *sim_sock(struct sim *s, int fd); /* MUST be open */
struct sock *sim_sock_maybe(struct sim *s, int fd);
struct sock *sim_end_new(struct link *k, size_t cap);
int sim_move_fd(struct sim *s, int fd); /* it gets another number; what is left can be closed */
void sim_free_all(struct sim *s);
int64_t sim_latency(struct sim *s, const struct sock *to);
void sim_strike(struct sim *s, struct link *k);
int sim_listen(struct loop *l, const struct netaddr *at, int backlog, struct err *err);
int sim_accept(struct loop *l, int fd, struct netaddr *peer_r);
int sim_connect(struct loop *l, const struct netaddr *to, const struct netaddr *from);
int sim_connect_result(struct loop *l, int fd);
int sim_pair(struct loop *l, int fds_r[2]);
bool sim_local_addr(struct loop *l, int fd, struct netaddr *addr_r);
void sim_close(struct loop *l, int fd);

/* sim_stream.c: bytes */
void sim_arrive(struct sim *s, struct sock *k); /* what has reached it by now */
int sim_ready(struct sim *s, struct sock *k);   /* LOOP_READ | LOOP_WRITE, whatever is wanted */
int64_t sim_next(const struct sim *s, const struct sock *k); /* when this may change; SIM_NEVER */
ssize_t sim_read(struct loop *l, int fd, void *p, size_t n);
ssize_t sim_writev(struct loop *l, int fd, const struct iovec *iov, int n);
ssize_t sim_write_fd(struct loop *l, int fd, const void *p, size_t n, int passed);
ssize_t sim_read_fds(struct loop *l, int fd, void *p, size_t n, int *fds_r, size_t max_fds,
                     size_t *nfds_r);
void sim_reset_both(struct sim *s, struct sock *k);
void sim_end_free(struct sock *k);

#endif
