/* sim: a loop over simulated time, randomness and network, for the whole gateway in one process.
 *
 * Time stands still while handlers run and jumps to the next thing that happens when nothing is
 * ready. Everything that is left to chance (what a role asks of loop_random, the order of ready
 * descriptors, how many bytes a read or write takes, latency, faults) comes from the seed and
 * from nothing else: the same seed and the same calls give the same run, and loop_sim_trace()
 * proves it. loop_event_base() is NULL and there are no signals;
 * loop_run ends when nothing can ever happen any more.
 *
 * Descriptors are numbers from LOOP_SIM_FD_FIRST up and are never used twice: whoever uses one
 * after its close meets a MUST, and a close(2) of one harms no real file. */
#ifndef POSTERN_LOOP_SIM_H
#define POSTERN_LOOP_SIM_H

#include "loop/loop.h"

enum { LOOP_SIM_FD_FIRST = 1 << 20 };

/* wall_ms: the time of day at the start. */
struct loop *loop_sim_new(uint64_t seed, int64_t wall_ms);

/* What befalls connections (loop_connect) that are made from now on. Pairs have only the buffer
 * and the parts, and a latency of some microseconds: the kernel loses nothing of them. */
struct loop_sim_link {
    uint32_t refuse, silent; /* in 1000 connections: refused; never answered */
    uint32_t reset, stall;   /* in 1000: reset, or nothing passes any more, after some bytes */
    size_t strike_max_bytes; /* ... after 0 to this many bytes, both directions together */
    uint32_t part;           /* in 1000 reads and writes: only a part is taken */
    int64_t latency_min_us, latency_max_us; /* of each write; order is kept */
    size_t buffer_min, buffer_max; /* bytes written and not read yet, per direction */
};

/* Without a call: no faults, no parts, 200 us, 64K to 256K. */
void loop_sim_link(struct loop *l, const struct loop_sim_link *link);
/* Nothing reaches or leaves this address (its port is ignored) until then; what was written
 * meanwhile arrives afterwards. At most 32 cuts at a time: false. */
bool loop_sim_cut(struct loop *l, const struct netaddr *ip, int64_t until_mono_ms);
/* Resets the connection of this descriptor, both ends. */
void loop_sim_reset(struct loop *l, int fd);
/* Whether a fault of the network has struck this connection (a cut counts). */
bool loop_sim_struck(struct loop *l, int fd);
/* Whether the other end of this connection has not been closed, as both ends know in time. */
bool loop_sim_peer_open(struct loop *l, int fd);
/* Called when a fault strikes a connection. */
void loop_sim_on_strike(struct loop *l, void (*fn)(void *ctx), void *ctx);

/* A second descriptor of the same listening socket, as dup(2). */
int loop_sim_dup(struct loop *l, int fd);
/* Descriptors that are open now. */
size_t loop_sim_open(const struct loop *l);

/* Work that takes time: only the clock moves. */
void loop_sim_advance(struct loop *l, int64_t ns);
/* Somebody sets the clock on the wall. */
void loop_sim_jump_wall(struct loop *l, int64_t by_ms);

/* Chance of the world outside of the roles (clients, faults); its own stream. below > 0. */
uint64_t loop_sim_chance(struct loop *l, uint64_t below);

/* A hash of every call and every byte so far, and of what was noted. */
uint64_t loop_sim_trace(const struct loop *l);

#endif
