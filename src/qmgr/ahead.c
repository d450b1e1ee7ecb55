/* ahead: after a start, where mail goes that is not due. Routes are not on disk, so that nobody
 * would know the site, the rule or a freeze of what waits for hours; and a person asks for mail by
 * its site, or freezes one, and would be told that nothing is there.
 *
 * Nothing waits for it, and mail that is due goes first: a few questions to router at each tick
 * (less when small mail comes in), fewer to resolver. A million messages take some two minutes; a
 * name server that is silent is asked again with the next pass, later and later. */
#include "qmgr/inside.h"

#include "base/must.h"

#include <stdlib.h>

enum {
    TICK_MS = 10, /* doubled, as long as it does not get on: */
    TICK_MAX_MS = 200,
    SMALL_ROUTES = 20, /* at a tick while small mail comes in, else AHEAD_ROUTES */
    SITES = 4,
    PAUSE_MS = 60000, /* before the next pass; doubled each time */
    PAUSE_MAX_MS = 3600000,
};

struct ahead {
    struct loop_timer tick;
    struct sched_ahead pass;
    int64_t tick_ms, pause_ms;
};

static void on_tick(void *ctx)
{
    struct qmgr *q = ctx;
    struct ahead *a = q->ahead;
    bool begins = !a->pass.over && !a->pass.seq && !a->pass.rcpt;
    uint64_t seq = a->pass.seq;
    size_t asked = 0;
    if (q->finishing || (begins && !sched_totals(q->sched).unsited))
        return;
    if (!a->pass.over)
        asked = dispatch_ahead(q, &a->pass, intake_small(q) ? SMALL_ROUTES : AHEAD_ROUTES);
    bool more = sites_ahead(q, SITES, &asked) || q->ahead_asks || !a->pass.over;
    a->tick_ms = asked || a->pass.seq != seq     ? TICK_MS
                 : a->tick_ms < TICK_MAX_MS / 2 ? a->tick_ms * 2
                                                : TICK_MAX_MS;
    if (more) {
        loop_timer_in(q->env->loop, &a->tick, a->tick_ms);
    } else if (a->pass.unknown) { /* asked about, or not known; the next pass will see */
        loop_timer_in(q->env->loop, &a->tick, a->pause_ms);
        a->pause_ms = a->pause_ms < PAUSE_MAX_MS / 2 ? a->pause_ms * 2 : PAUSE_MAX_MS;
        a->pass = (struct sched_ahead){ 0 };
    }
}

void ahead_again(struct qmgr *q)
{
    struct ahead *a = q->ahead;
    if (!a || !sched_totals(q->sched).unsited)
        return;
    a->pass = (struct sched_ahead){ 0 };
    a->tick_ms = TICK_MS;
    a->pause_ms = PAUSE_MS;
    loop_timer_in(q->env->loop, &a->tick, TICK_MS);
}

void ahead_start(struct qmgr *q)
{
    q->ahead = NEW(struct ahead);
    loop_timer_init(&q->ahead->tick, on_tick, q);
    ahead_again(q);
}

void ahead_free(struct qmgr *q)
{
    if (!q->ahead)
        return;
    loop_timer_stop(q->env->loop, &q->ahead->tick);
    free(q->ahead);
    q->ahead = NULL;
}
