/* What watch asks: from the groups of the queue, in slices between which mail flows. */
#include "qmgr/inside.h"

#include "base/must.h"
#include "proto/watch_qmgr.h"

#include <stdlib.h>

enum { SLICE_NS = 500 * 1000, LOOK_EVERY = 16 };

struct vitals {
    struct channel *watch;
    bool walking;
    struct queue_walk walk;
    struct msg_facts_ask ask;
    uint32_t told;
    struct loop_timer turn;
};

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
    send_facts(f->watch, &m);
}

/* What rests by somebody's will is no trouble. */
static bool rests(enum queue_state s)
{
    return s == QUEUE_HELD || s == QUEUE_QUARANTINED || s == QUEUE_WAITING;
}

static void tell(struct qmgr *q, const struct queue_cell *c)
{
    struct vitals *f = q->vitals;
    struct sched_cell_info info;
    struct sched_msg_info m;
    uint64_t age, old;
    int64_t now = loop_wall_ms(q->env->loop);
    old = queue_set_below(&c->ages, sched_age_at(now - f->ask.older_ms));
    if (!old || !queue_set_from(&c->ages, 0, &age) || !sched_age_get(q->sched, age, &m))
        return;
    sched_cell(c, &info);
    if (rests(info.state))
        return;
    struct msg_old_cell cell = { .q = f->ask.q,
                                 .site = info.site.n ? info.site : info.dest,
                                 .domain = info.domain,
                                 .reason = info.reason,
                                 .age_ms = now - m.received_ms,
                                 .old = old };
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
    f->ask = *m;
    f->told = 0;
    queue_walk_begin(&f->walk, sched_index(q->sched), QUEUE_RCPTS);
    f->walking = true;
    on_turn(q);
}
PROTO_HANDLER(facts_ask, struct qmgr *, on_facts_ask)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct qmgr *q = ctx;
    (void)ch;
    (void)why;
    stop(q->vitals);
    channel_free(&q->vitals->watch);
}

void vitals_peer(struct qmgr *q, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(facts_ask) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    if (!q->vitals) {
        q->vitals = NEW(struct vitals);
        loop_timer_init(&q->vitals->turn, on_turn, q);
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
