/* loop: the one place of a process where time, randomness, waiting and sockets come from.
 *
 * Two makers share this contract: loop_new() over libevent and the kernel, and loop_sim_new()
 * (loop/sim.h) over simulated time and network. Code above never calls clock_gettime, socket or
 * getrandom itself, so that it runs unchanged in the simulator.
 *
 * A *turn* is: wait for descriptors, call their handlers, call due timers, then the turn-end
 * hooks. What should be done once for everything that arrived together (flush a batch, write a
 * channel, write the log) is done in a turn-end hook: that is where one disk flush comes to
 * serve many messages.
 *
 * Single-threaded. Handlers may add and delete anything, themselves included. */
#ifndef POSTERN_LOOP_LOOP_H
#define POSTERN_LOOP_LOOP_H

#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/netaddr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct loop;
struct event_base;

struct loop *loop_new(void);
void loop_free(struct loop **l);

/* Runs turns until loop_stop; then returns after the turn-end hooks of the last turn. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* One turn that waits no longer than max_wait_ms (-1: as long as it takes). False after
 * loop_stop. */
bool loop_turn(struct loop *l, int max_wait_ms);

/* Time as of the start of this turn's handlers. */
int64_t loop_mono_ms(const struct loop *l);
int64_t loop_mono_ns(const struct loop *l);
int64_t loop_wall_ms(const struct loop *l); /* since the epoch */
/* Asked of the clock now: for measuring within a turn. */
int64_t loop_fresh_ns(const struct loop *l);
/* Time this process has had of a processor; 0 in the simulator, where work takes none. */
int64_t loop_cpu_ns(const struct loop *l);
void loop_random(struct loop *l, void *p, size_t n);
uint64_t loop_random_u64(struct loop *l);

/* --- timers: intrusive; the owner keeps the memory, and stops it before freeing --- */
struct loop_timer {
    struct heap_node node;
    void (*fn)(void *ctx);
    void *ctx;
};

void loop_timer_init(struct loop_timer *t, void (*fn)(void *ctx), void *ctx);
void loop_timer_at(struct loop *l, struct loop_timer *t, int64_t mono_ms); /* (re)sets */
void loop_timer_in(struct loop *l, struct loop_timer *t, int64_t wait_ms);
void loop_timer_stop(struct loop *l, struct loop_timer *t); /* fine when not set */
static inline bool loop_timer_set(const struct loop_timer *t) { return heap_linked(&t->node); }

/* --- turn-end hooks: run once at the end of the turn in which they were asked for --- */
struct loop_hook {
    struct list node;
    void (*fn)(void *ctx);
    void *ctx;
    int stage; /* hooks of a lower stage run first */
};

enum { LOOP_STAGE_WORK, LOOP_STAGE_FLUSH, LOOP_STAGE_CHANNEL, LOOP_STAGE_LOG, LOOP_STAGES };

void loop_hook_init(struct loop_hook *h, int stage, void (*fn)(void *ctx), void *ctx);
void loop_hook_ask(struct loop *l, struct loop_hook *h); /* again and again is once */
void loop_hook_cancel(struct loop_hook *h);

/* --- descriptors --- */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop_io {
    int fd;
    int want; /* LOOP_READ | LOOP_WRITE */
    void (*fn)(void *ctx, int ready);
    void *ctx;
    struct event *ev; /* the loop's own, as is: */
    struct loop *loop;
};

/* Level-triggered. `io` must stay until loop_io_del; the descriptor stays the caller's. */
void loop_io_add(struct loop *l, struct loop_io *io, int fd, int want,
                 void (*fn)(void *ctx, int ready), void *ctx);
void loop_io_want(struct loop *l, struct loop_io *io, int want); /* 0 = none for now */
void loop_io_del(struct loop *l, struct loop_io *io);            /* fine when not added */

/* --- signals (never in the simulator) --- */
struct loop_signal {
    struct event *ev;
    struct loop *loop;
    void (*fn)(void *ctx);
    void *ctx;
};
void loop_signal_add(struct loop *l, struct loop_signal *s, int signo, void (*fn)(void *ctx),
                     void *ctx);
void loop_signal_del(struct loop_signal *s);

/* --- sockets: non-blocking, close-on-exec; -1 and errno as the system calls --- */
int loop_listen(struct loop *l, const struct netaddr *at, int backlog, struct err *err);
int loop_listen_unix(struct loop *l, const char *path, unsigned mode, struct err *err);
/* peer_r may be NULL. */
int loop_accept(struct loop *l, int fd, struct netaddr *peer_r);
/* from NULL: any source. When the io becomes writable ask loop_connect_result. */
int loop_connect(struct loop *l, const struct netaddr *to, const struct netaddr *from);
int loop_connect_result(struct loop *l, int fd); /* 0, or the errno of the failure */
int loop_connect_unix(struct loop *l, const char *path, struct err *err); /* blocking connect */
int loop_pair(struct loop *l, int fds_r[2]); /* a connected stream pair */
bool loop_local_addr(struct loop *l, int fd, struct netaddr *addr_r);
/* Whether an address is one of this machine's own. */
bool loop_is_local(struct loop *l, const struct netaddr *ip);
ssize_t loop_read(struct loop *l, int fd, void *p, size_t n);
ssize_t loop_write(struct loop *l, int fd, const void *p, size_t n);
ssize_t loop_writev(struct loop *l, int fd, const struct iovec *iov, int n);
/* With one descriptor attached (SCM_RIGHTS); passed = -1: none. */
ssize_t loop_write_fd(struct loop *l, int fd, const void *p, size_t n, int passed);
/* Takes descriptors that came along (up to max_fds), each close-on-exec. */
ssize_t loop_read_fds(struct loop *l, int fd, void *p, size_t n, int *fds_r, size_t max_fds,
                      size_t *nfds_r);
void loop_close(struct loop *l, int fd);

/* For libraries that plug into libevent (libunbound, evhttp); NULL in the simulator. */
struct event_base *loop_event_base(struct loop *l);

#endif
