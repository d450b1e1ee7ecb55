/* Faults, by seed: which kinds this world has at all (so that seeds differ in character), when
 * they come, and at which moment of a turn a process dies. */
#include "world.h"

#include "base/must.h"

#include <stdlib.h>

enum {
    GAP_MAX_MS = 90 * SECOND_MS,
    WINDOW_MAX_MS = 3 * MINUTE_MS,
    JUMP_MAX_MS = 2 * HOUR_MS,
    OPS_AHEAD = 12,
    CALM_SEEDS = 8, /* one in so many has no faults */
};

#define HUGE_BYTES (UINT64_C(1) << 50)

bool fault_on(const struct world *w, enum fault f)
{
    return !w->faults.over && (w->faults.on & 1u << f);
}

/* --- processes --- */

static void on_strike(void *ctx)
{
    struct world *w = ctx;
    proc_kill(w->faults.victim);
}

/* At once, or between two stages of this turn's end: after a flush and before its receipts have
 * left, say. */
static void kill_some(struct world *w, enum role_id id, int count)
{
    uint64_t stage = chance(w, LOOP_STAGES + 1);
    if (loop_timer_set(&w->reboot))
        return;
    w->faults.victim = proc_of(w, id, (int)chance(w, (uint64_t)count));
    if (stage == LOOP_STAGES) {
        proc_kill(w->faults.victim);
        return;
    }
    loop_hook_cancel(&w->faults.strike);
    loop_hook_init(&w->faults.strike, (int)stage, on_strike, w);
    loop_hook_ask(w->l, &w->faults.strike);
}

/* --- the disk --- */

static void break_disk(struct world *w, enum vfs_fault fault)
{
    vfs_faulty_plan(w->disk, vfs_faulty_ops(w->disk) + 1 + chance(w, OPS_AHEAD), fault);
    excuse_now(w);
}

static void fill_disk(struct world *w)
{
    struct vfs_space space;
    vfs_faulty_capacity(w->disk, HUGE_BYTES);
    if (vfs_space(w->disk, "/spool/q1", &space) != 0)
        return;
    vfs_faulty_capacity(w->disk, HUGE_BYTES - space.free_bytes + chance(w, 400 << 10));
    loop_timer_in(w->l, &w->faults.mend, 1 + (int64_t)chance(w, WINDOW_MAX_MS));
    excuse_now(w);
}

static void take_disk_away(struct world *w)
{
    static const char *const paths[] = { "/spool/q1", "/spool/q2", "/spool" };
    const char *path = paths[chance(w, 3)];
    say(w, "the disk under %s fails", path);
    vfs_faulty_break(w->disk, path);
    loop_timer_in(w->l, &w->faults.mend, 1 + (int64_t)chance(w, WINDOW_MAX_MS));
    excuse_now(w);
}

static void on_mend(void *ctx)
{
    struct world *w = ctx;
    say(w, "the disk is mended");
    vfs_faulty_break(w->disk, NULL);
    vfs_faulty_capacity(w->disk, 0);
    excuse_now(w);
}

static void crash(struct world *w)
{
    excuse_now(w);
    if (one_in(w, 3))
        procs_crash(w);
    else
        break_disk(w, FAULT_CRASH);
}

/* --- network and clock --- */

static void cut(struct world *w)
{
    struct netaddr ip = { .family = NETADDR_V4, .ip = { 10, 1, 0, 1 } };
    ip.ip[1] = one_in(w, 3) ? 2 : 1;
    ip.ip[3] = (uint8_t)(1 + chance(w, SINKS));
    if (one_in(w, 6))
        ip = w->address;
    say(w, "10.%d.0.%d is cut off", ip.ip[1], ip.ip[3]);
    loop_sim_cut(w->l, &ip, loop_mono_ms(w->l) + 1 + (int64_t)chance(w, WINDOW_MAX_MS));
    excuse_now(w);
}

static void set_clock(struct world *w)
{
    int64_t by = (int64_t)chance(w, one_in(w, 2) ? 2 * MINUTE_MS : JUMP_MAX_MS);
    by = one_in(w, 2) ? by : -by;
    say(w, "the clock is set by %lld s", (long long)by / SECOND_MS);
    w->clock_was_set = true;
    loop_sim_jump_wall(w->l, by);
}

static void set_links(struct world *w)
{
    struct loop_sim_link link = { .part = (uint32_t)chance(w, 400),
                                  .latency_min_us = 50,
                                  .latency_max_us = 100 + (int64_t)chance(w, 300000),
                                  .buffer_min = 500 + chance(w, 4000),
                                  .buffer_max = 5000 + chance(w, 200000) };
    if (fault_on(w, FAULT_LINKS)) {
        link.refuse = (uint32_t)chance(w, 60);
        link.silent = (uint32_t)chance(w, 30);
        link.reset = (uint32_t)chance(w, 200);
        link.stall = (uint32_t)chance(w, 80);
        link.strike_max_bytes = 1 + chance(w, 20000);
    }
    loop_sim_link(w->l, &link);
}

/* --- one after the other --- */

static void do_fault(struct world *w, enum fault f)
{
    w->faults.count[f]++;
    switch (f) {
    case FAULT_SMTPD_DIES: kill_some(w, ROLE_SMTPD, SMTPDS); break;
    case FAULT_ROUTER_DIES: kill_some(w, ROLE_ROUTER, 1); break;
    case FAULT_RESOLVER_DIES: kill_some(w, ROLE_RESOLVER, 1); break;
    case FAULT_DELIVER_DIES: kill_some(w, ROLE_DELIVER, DELIVERS); break;
    case FAULT_QMGR_DIES: kill_some(w, ROLE_QMGR, 1); break;
    case FAULT_MACHINE_DIES: crash(w); break;
    case FAULT_DISK_ERROR: break_disk(w, one_in(w, 2) ? FAULT_EIO : FAULT_SHORT); break;
    case FAULT_DISK_FULL:
        if (one_in(w, 2))
            break_disk(w, FAULT_ENOSPC);
        else
            fill_disk(w);
        break;
    case FAULT_DISK_AWAY: take_disk_away(w); break;
    case FAULT_LINKS: set_links(w); break;
    case FAULT_CUTS: cut(w); break;
    case FAULT_CLOCK: set_clock(w); break;
    case FAULT_RELOADS: procs_reload(w); break;
    case FAULT_STOPS: procs_stop(w); break;
    default: break;
    }
}

static void end_faults(struct world *w)
{
    say(w, "no more faults");
    w->faults.over = true;
    vfs_faulty_plan(w->disk, 0, FAULT_NONE);
    on_mend(w);
    loop_timer_stop(w->l, &w->faults.mend);
    set_links(w);
}

static void next_fault(struct world *w)
{
    enum fault f = (enum fault)chance(w, FAULTS);
    for (int i = 0; i < FAULTS && !fault_on(w, f); i++)
        f = (f + 1) % FAULTS;
    if (fault_on(w, f))
        do_fault(w, f);
}

static void on_next(void *ctx)
{
    struct world *w = ctx;
    if (loop_mono_ms(w->l) >= w->faults_until_ms) {
        end_faults(w);
        return;
    }
    next_fault(w);
    loop_timer_in(w->l, &w->faults.next, 1 + (int64_t)chance(w, GAP_MAX_MS));
}

void faults_begin(struct world *w)
{
    struct faults *f = &w->faults;
    uint64_t dice = chance(w, UINT64_MAX);
    f->on = one_in(w, CALM_SEEDS) ? 0 : (unsigned)(dice & (dice >> 32)) & ((1u << FAULTS) - 1);
    if (one_in(w, 2)) /* many kinds at once */
        f->on |= f->on ? (unsigned)(dice >> 16) & ((1u << FAULTS) - 1) : 0;
    if (w->opt.lie)
        f->on = 1u << FAULT_MACHINE_DIES | 1u << FAULT_QMGR_DIES;
    f->fuse_max = UINT64_C(30) << chance(w, 7);
    f->fuse = 1 + chance(w, f->fuse_max);
    loop_hook_init(&f->strike, LOOP_STAGE_WORK, on_strike, w);
    loop_timer_init(&f->next, on_next, w);
    loop_timer_init(&f->mend, on_mend, w);
    loop_timer_in(w->l, &f->next, 1 + (int64_t)chance(w, GAP_MAX_MS));
    set_links(w);
}

/* Faults also come where something moves: time alone would mostly hit an idle gateway. */
void faults_after_turn(struct world *w)
{
    struct faults *f = &w->faults;
    uint64_t trace = loop_sim_trace(w->l);
    if (vfs_faulty_crashed(w->disk))
        procs_crash(w);
    if (f->over || trace == f->trace)
        return;
    f->trace = trace;
    if (--f->fuse == 0) {
        next_fault(w);
        f->fuse = 1 + chance(w, f->fuse_max);
    }
}
