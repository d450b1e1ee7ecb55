/* What watch asks: from the groups of the queue, in slices between which mail flows. */
#include "qmgr/keep.h"

#include "base/must.h"
#include "proto/watch_qmgr.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLICE_NS = 500 * 1000,
    LOOK_EVERY = 16,
    CLOCKS_MAX = 16,
    CLOCK_STEP_MS = 60 * 1000,      /* less than that is no news */
    CLOCK_UNSEEN_MS = 5 * 60 * 1000, /* it was set so long before we saw it, at most */
    YOUNG_MAX = 64,
};

/* Messages lie in order of the wall's clock as it was when they came, and what is said to be old
 * must be old by a clock that nobody sets. So what the wall's clock said is remembered: from then
 * on it was ahead of the monotonic one by so much. */
struct clock {
    int64_t from_ms, ahead_ms; /* from: monotonic */
};

struct vitals {
    struct channel *watch;
    bool walking;
    struct queue_walk walk;
    struct msg_facts_ask ask;
    uint32_t told;
    struct loop_timer turn;
    struct clock clocks[CLOCKS_MAX]; /* the last is the present one */
    size_t clock_count;
};

static void see_clock(struct qmgr *q)
{
    struct vitals *f = q->vitals;
    struct sched_now now = qmgr_now(q);
    int64_t ahead = now.wall_ms - now.mono_ms;
    int64_t step = f->clock_count ? ahead - f->clocks[f->clock_count - 1].ahead_ms : INT64_MAX;
    if (step < CLOCK_STEP_MS && step > -CLOCK_STEP_MS)
        return;
    if (f->clock_count == CLOCKS_MAX)
        memmove(f->clocks, f->clocks + 1, --f->clock_count * sizeof *f->clocks);
    f->clocks[f->clock_count++] = (struct clock){ now.mono_ms, ahead };
}

static void stop(struct vitals *f)
{
    if (f->walking)
        queue_walk_end(&f->walk);
    f->walking = false;
}

static void finish(struct qmgr *q)
{
    struct vitals *f = q->vitals;
    struct sched_totals t = sched_totals(q->sched);
    struct msg_facts m = { .q = f->ask.q, .messages = t.messages, .bytes = t.bytes };
    for (int i = 0; i < SCHED_LIVE; i++)
        m.rcpts += t.rcpts[i];
    stop(f);
    struct buf doubt;
    buf_init(&doubt, 400);
    if (clock_doubt(q, &doubt))
        m.clock = buf_span(&doubt);
    send_facts(f->watch, &m);
    buf_free(&doubt);
}

/* What rests by somebody's will is no trouble. */
static bool rests(enum queue_state s)
{
    return s == QUEUE_HELD || s == QUEUE_QUARANTINED || s == QUEUE_WAITING;
}

struct old {
    int64_t age_ms; /* of the oldest */
    size_t n;
    struct {
        uint64_t from, to;
    } ranges[CLOCKS_MAX]; /* of ages, by `from`; they may overlap */
};

static void add_range(struct old *o, uint64_t from, uint64_t to)
{
    size_t i = o->n++;
    for (; i > 0 && o->ranges[i - 1].from > from; i--)
        o->ranges[i] = o->ranges[i - 1];
    o->ranges[i].from = from;
    o->ranges[i].to = to;
}

static uint64_t count_old(const struct old *o, const struct queue_set *ages)
{
    uint64_t n = 0, done = 0;
    for (size_t i = 0; i < o->n; i++) {
        uint64_t from = o->ranges[i].from > done ? o->ranges[i].from : done;
        if (from >= o->ranges[i].to)
            continue;
        done = o->ranges[i].to;
        n += queue_set_below(ages, done) - queue_set_below(ages, from);
    }
    return n;
}

/* The age of the first between these two that is old enough; -1: none. Where the clock was set
 * back, some are younger than it seems. */
static int64_t oldest_between(const struct qmgr *q, const struct queue_set *ages, uint64_t from,
                              uint64_t to)
{
    struct sched_msg_info m;
    uint64_t age = from;
    for (int i = 0; i < YOUNG_MAX && queue_set_from(ages, age, &age) && age < to; i++, age++) {
        if (!sched_age_get(q->sched, age, &m))
            continue;
        int64_t age_ms = loop_mono_ms(q->env->loop) - sched_msg_born_ms(q->sched, m.here);
        if (age_ms >= q->vitals->ask.older_ms)
            return age_ms;
    }
    return -1;
}

/* Those that came while this clock ran. */
static void look_at_clock(const struct qmgr *q, size_t i, const struct queue_set *ages,
                          struct old *o)
{
    const struct vitals *f = q->vitals;
    const struct clock *c = &f->clocks[i];
    int64_t end_ms = loop_mono_ms(q->env->loop) - f->ask.older_ms;
    if (i + 1 < f->clock_count && f->clocks[i + 1].from_ms < end_ms)
        end_ms = f->clocks[i + 1].from_ms;
    uint64_t from = i ? sched_age_at(c->from_ms + c->ahead_ms - CLOCK_UNSEEN_MS) : 0;
    uint64_t to = sched_age_at(end_ms + c->ahead_ms);
    int64_t age_ms = from < to ? oldest_between(q, ages, from, to) : -1;
    if (age_ms < 0)
        return;
    add_range(o, from, to);
    o->age_ms = age_ms > o->age_ms ? age_ms : o->age_ms;
}

static void tell(struct qmgr *q, const struct queue_cell *c)
{
    struct vitals *f = q->vitals;
    struct sched_cell_info info;
    struct old o = { .age_ms = -1 };
    for (size_t i = 0; i < f->clock_count; i++)
        look_at_clock(q, i, &c->ages, &o);
    if (!o.n)
        return;
    sched_cell(c, &info);
    if (rests(info.state))
        return;
    struct msg_old_cell cell = { .q = f->ask.q,
                                 .site = info.site.n ? info.site : info.dest,
                                 .domain = info.domain,
                                 .reason = info.reason,
                                 .age_ms = o.age_ms,
                                 .old = count_old(&o, &c->ages) };
    send_old_cell(f->watch, &cell);
    f->told++;
}

static void on_turn(void *ctx)
{
    struct qmgr *q = ctx;
    struct vitals *f = q->vitals;
    int64_t begun_ns = loop_fresh_ns(q->env->loop);
    struct queue_cell *c;
    if (!f->walking || !f->watch)
        return;
    for (unsigned n = 1; (c = queue_walk_next(&f->walk)); n++) {
        tell(q, c);
        if (f->told >= f->ask.cells)
            break;
        if (n % LOOK_EVERY == 0 && loop_fresh_ns(q->env->loop) - begun_ns > SLICE_NS) {
            loop_timer_in(q->env->loop, &f->turn, 1);
            return;
        }
    }
    finish(q);
}

static void on_facts_ask(struct qmgr *q, struct channel *ch, const struct msg_facts_ask *m)
{
    struct vitals *f = q->vitals;
    (void)ch;
    stop(f);
    see_clock(q);
    f->ask = *m;
    f->told = 0;
    queue_walk_begin(&f->walk, sched_index(q->sched), QUEUE_RCPTS);
    f->walking = true;
    on_turn(q);
}
PROTO_HANDLER(facts_ask, struct qmgr *, on_facts_ask)

static void on_kept_ask(struct qmgr *q, struct channel *ch, const struct msg_kept_ask *m)
{
    keep_tell(q, ch, m->q);
}

static void on_keep(struct qmgr *q, struct channel *ch, const struct msg_keep *m)
{
    (void)ch;
    keep_stage(q, m);
}

static void on_keep_end(struct qmgr *q, struct channel *ch, const struct msg_keep_end *m)
{
    (void)ch;
    (void)m;
    keep_staged(q);
}
PROTO_HANDLER(kept_ask, struct qmgr *, on_kept_ask)
PROTO_HANDLER(keep, struct qmgr *, on_keep)
PROTO_HANDLER(keep_end, struct qmgr *, on_keep_end)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct qmgr *q = ctx;
    (void)ch;
    (void)why;
    stop(q->vitals);
    keep_unstage(q);
    channel_free(&q->vitals->watch);
}

void vitals_peer(struct qmgr *q, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(facts_ask), PROTO_TYPE(kept_ask),
                                                 PROTO_TYPE(keep), PROTO_TYPE(keep_end) };
    static const struct channel_ops ops = { types, 4, on_gone, NULL };
    if (!q->vitals) {
        q->vitals = NEW(struct vitals);
        loop_timer_init(&q->vitals->turn, on_turn, q);
        see_clock(q);
    }
    if (q->vitals->watch)
        on_gone(q, q->vitals->watch, "replaced");
    q->vitals->watch = channel_new(q->env->loop, fd, "watch", &ops, q);
}

void vitals_started(struct qmgr *q, bool started)
{
    if (q->vitals && q->vitals->watch)
        channel_pause(q->vitals->watch, !started);
}

void vitals_free(struct qmgr *q)
{
    if (!q->vitals)
        return;
    stop(q->vitals);
    channel_free(&q->vitals->watch);
    loop_timer_stop(q->env->loop, &q->vitals->turn);
    free(q->vitals);
    q->vitals = NULL;
}
