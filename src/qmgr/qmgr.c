/* qmgr: the only opener of the spool, and the schedule. */
#include "qmgr/keep.h"
#include "qmgr/reroute.h"

#include "base/must.h"

#include <stdlib.h>
#include <unistd.h>

enum { TURN_ARENA_MAX = 512 << 20, DEST_ARENA_MAX = 256 << 10 };

static struct sched_config sched_config_of(const struct config *cfg, uint64_t seed)
{
    struct sched_config c;
    sched_config_defaults(&c);
    c.retry_first_ms = cfg->retry.first_ms;
    c.retry_max_ms = cfg->retry.max_ms;
    /* A site's own back-off is never longer than what was asked for a recipient. */
    if (c.site_first_ms > c.retry_first_ms)
        c.site_first_ms = c.retry_first_ms;
    if (c.site_max_ms > c.retry_max_ms)
        c.site_max_ms = c.retry_max_ms;
    if (c.site_max_ms < c.site_first_ms)
        c.site_max_ms = c.site_first_ms;
    c.warn_after_ms = cfg->retry.warn_after_ms;
    c.expire_after_ms = cfg->retry.expire_after_ms;
    c.site_initial = (uint32_t)cfg->deliver.concurrency_initial;
    c.site_max = (uint32_t)cfg->deliver.concurrency_max;
    c.job_rcpts_max = (uint32_t)cfg->deliver.recipients_per_transaction;
    if (c.job_rcpts_max > JOB_RCPTS_MAX)
        c.job_rcpts_max = JOB_RCPTS_MAX;
    c.jobs_max = (uint32_t)cfg->deliver.connections;
    c.places = true;
    c.seed = seed;
    return c;
}

static void on_work(void *ctx) { dispatch_pump(ctx); }

/* The batch of this turn; then at once what it made due, so that a message's first attempt
 * begins in the turn it was accepted in. */
static void on_flush(void *ctx)
{
    struct qmgr *q = ctx;
    store_flush(q);
    dispatch_pump(q);
}

static void on_queue_run(void *ctx)
{
    struct qmgr *q = ctx;
    sched_run_queue(q->sched);
    event_begin(q->env->events, EVENT_queue_run);
    event_str(q->env->events, FIELD_text, SPAN("queue.run"));
    event_end(q->env->events);
    if (q->config->queue.run_ms > 0)
        loop_timer_in(q->env->loop, &q->run, q->config->queue.run_ms);
    dispatch_pump(q);
}

/* What is known of mail is on disk, with the reports of it. */
static void end(struct qmgr *q)
{
    reports_stop_asking(q);
    store_flush(q);
    q->env->done(q->env);
}

static void on_finish_late(void *ctx) { end(ctx); }

static void *qmgr_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct qmgr *q = NEW(struct qmgr);
    (void)err;
    q->env = env;
    q->config = cfg;
    struct sched_config sc = sched_config_of(cfg, loop_random_u64(env->loop));
    struct sched_rule *rules = rules_of(cfg, &sc);
    q->sched = sched_new(&sc);
    free(rules);
    q->batch = must_calloc(BATCH_MAX, sizeof *q->batch);
    q->batch_seqs = must_calloc(BATCH_MAX, sizeof *q->batch_seqs);
    q->recent = recent_new();
    q->turn = arena_new(TURN_ARENA_MAX);
    q->routed = arena_new(DEST_ARENA_MAX);
    sites_new(q);
    hash_init(&q->jobs, loop_random_u64(env->loop), 0);
    hash_init(&q->dests, loop_random_u64(env->loop), 0);
    list_init(&q->told);
    list_init(&q->dest_order);
    q->dests_max = DESTS_MAX;
    list_init(&q->wants);
    list_init(&q->ways);
    list_init(&q->reports_asking);
    list_init(&q->reports);
    list_init(&q->reports_out);
    loop_hook_init(&q->work, LOOP_STAGE_WORK, on_work, q);
    loop_hook_init(&q->flush, LOOP_STAGE_FLUSH, on_flush, q);
    loop_hook_init(&q->serve, LOOP_STAGE_WORK, deliverers_serve, q);
    loop_timer_init(&q->serve_more, deliverers_serve, q);
    /* After the channels: receipts have left before the first extent is written. */
    loop_hook_init(&q->extents, LOOP_STAGE_LOG, intake_extents, q);
    loop_timer_init(&q->pace, intake_paced, q);
    loop_timer_init(&q->wake, on_work, q);
    loop_timer_init(&q->late, on_flush, q);
    loop_timer_init(&q->run, on_queue_run, q);
    loop_timer_init(&q->upkeep, store_upkeep, q);
    loop_timer_init(&q->again, reports_again, q);
    loop_timer_init(&q->finish, on_finish_late, q);
    return q;
}

/* What they have to say needs the spool, and they may be quicker than master's start. */
static void read_peers(struct qmgr *q, bool on)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        if (q->smtpds[i].channel)
            channel_pause(q->smtpds[i].channel, !on);
        if (q->delivers[i].channel)
            channel_pause(q->delivers[i].channel, !on);
    }
    if (q->router)
        channel_pause(q->router, !on);
    if (q->control)
        channel_pause(q->control, !on);
    vitals_started(q, on);
}

static void qmgr_peer(void *role, enum role_id peer, int index, int fd)
{
    struct qmgr *q = role;
    if (peer == ROLE_SMTPD && index < PEERS_MAX)
        intake_peer(q, index, fd);
    else if (peer == ROLE_DELIVER && index < PEERS_MAX)
        deliverers_peer(q, index, fd);
    else if (peer == ROLE_ROUTER)
        dispatch_router(q, fd);
    else if (peer == ROLE_RESOLVER)
        sites_resolver(q, fd);
    else if (peer == ROLE_CONTROL)
        admin_peer(q, fd);
    else if (peer == ROLE_WATCH)
        vitals_peer(q, fd);
    else
        close(fd);
    if (!q->started)
        read_peers(q, false);
}

static bool qmgr_start(void *role, struct err *err)
{
    struct qmgr *q = role;
    if (!store_open(q, err))
        return false;
    q->started = true;
    read_peers(q, true);
    loop_timer_in(q->env->loop, &q->upkeep, 1000);
    if (q->config->queue.run_ms > 0)
        loop_timer_in(q->env->loop, &q->run, q->config->queue.run_ms);
    ahead_start(q);
    loop_hook_ask(q->env->loop, &q->work);
    return true;
}

static void qmgr_reload(void *role, struct config *next)
{
    struct qmgr *q = role;
    struct sched_config sc = sched_config_of(next, 0);
    struct sched_rule *rules = rules_of(next, &sc);
    sched_configure(q->sched, &sc);
    free(rules);
    if (q->config->n_rules || next->n_rules)
        sched_routes_changed(q->sched); /* of which rules mail is stands in its destination */
    config_free(&q->config);
    q->config = next;
    store_configure(q);
    loop_timer_stop(q->env->loop, &q->run);
    if (next->queue.run_ms > 0)
        loop_timer_in(q->env->loop, &q->run, next->queue.run_ms);
    loop_hook_ask(q->env->loop, &q->work);
}

/* Those who bring mail and results have gone: what they brought is written, and that was it. */
void qmgr_check_finished(struct qmgr *q)
{
    if (!q->finishing || intake_any_peer(q) || deliverers_busy(q))
        return;
    end(q);
}

static void qmgr_finish(void *role, int64_t within_ms)
{
    struct qmgr *q = role;
    q->finishing = true;
    loop_timer_in(q->env->loop, &q->finish, within_ms);
    qmgr_check_finished(q);
}

static void qmgr_free(void *role)
{
    struct qmgr *q = role;
    q->finishing = false;
    for (int i = 0; i < PEERS_MAX; i++) {
        intake_forget(&q->smtpds[i]);
        channel_free(&q->smtpds[i].channel);
        channel_free(&q->delivers[i].channel);
    }
    channel_free(&q->router);
    dispatch_forget_asks(q);
    admin_free(q);
    vitals_free(q);
    reroutes_free(q);
    ahead_free(q);
    sites_free(q);
    deliverers_free(q);
    dests_free(q);
    reports_free(q);
    keep_free(q);
    clock_free(q);
    spool_close(&q->spool);
    sched_free(&q->sched);
    struct loop_timer *timers[] = { &q->wake, &q->late, &q->run, &q->upkeep, &q->again,
                                    &q->finish, &q->serve_more, &q->pace };
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++)
        loop_timer_stop(q->env->loop, timers[i]);
    loop_hook_cancel(&q->work);
    loop_hook_cancel(&q->flush);
    loop_hook_cancel(&q->serve);
    loop_hook_cancel(&q->extents);
    hash_free(&q->jobs);
    recent_free(&q->recent);
    arena_free(&q->turn);
    arena_free(&q->routed);
    arena_free(&q->seen.arena);
    free(q->batch);
    free(q->batch_seqs);
    config_free(&q->config);
    free(q);
}

const struct role_ops qmgr_role = {
    .make = qmgr_make,
    .peer = qmgr_peer,
    .start = qmgr_start,
    .reload = qmgr_reload,
    .finish = qmgr_finish,
    .free = qmgr_free,
};
