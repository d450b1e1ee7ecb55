/* The spool, as qmgr uses it: opened and replayed at start, one flush per turn that has mail in
 * it, compaction in slices between. */
#include "qmgr/keep.h"

#include "base/must.h"
#include "spool/dirs.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UPKEEP_MS = 1000,
    UPKEEP_BUSY_MS = 20,
    FLUSH_AGAIN_MS = 1000,
    LATE_MAX = 200,         /* outcomes that a crash would have repeated */
    STUCK_MS = 10000,       /* outcomes that cannot be written for so long */
    REPORTS_WAIT_MAX = 200, /* reports that cannot */
};

/* --- what the spool tells --- */

static enum event_name name_of(enum spool_event_kind kind)
{
    switch (kind) {
    case SPOOL_EVENT_DAMAGED:
    case SPOOL_EVENT_MESSAGE_DAMAGED:
    case SPOOL_EVENT_INDEX_DAMAGED:
    case SPOOL_EVENT_UNREADABLE: return EVENT_spool_damage;
    case SPOOL_EVENT_DROPPED:
    case SPOOL_EVENT_DIRECTORY_BACK: return EVENT_spool_notice;
    default: return EVENT_spool_failed;
    }
}

static void on_event(void *ctx, const struct spool_event *e)
{
    struct qmgr *q = ctx;
    enum event_name name = name_of(e->kind);
    const char *words = spool_event_text(e->kind);
    if (!words)
        return;
    char text[256], path[512];
    snprintf(path, sizeof path, "%s segment %llu offset %llu", e->directory ? e->directory : "",
             (unsigned long long)e->segment, (unsigned long long)e->offset);
    snprintf(text, sizeof text, "%s%s%s (%llu bytes)", words, e->error ? ": " : "",
             e->error ? strerror(e->error) : "", (unsigned long long)e->bytes);
    event_begin(q->env->events, name);
    event_str(q->env->events, FIELD_path, span_str(path));
    event_str(q->env->events, FIELD_text, span_str(text));
    event_end(q->env->events);
    log_line(q->env->events, name == EVENT_spool_notice ? EVENT_NOTICE : EVENT_ALARM,
             "spool %s: %s", path, text);
}

static void on_message(void *ctx, const struct spool_message_info *m)
{
    struct qmgr *q = ctx;
    const struct envelope *env = m->env;
    struct sched_entry_rcpt *rcpts = must_calloc(env->rcpt_count, sizeof *rcpts);
    struct sched_entry e = entry_of(env, m->size_bytes, rcpts);
    sched_add(q->sched, &e, qmgr_now(q));
    q->recovered++;
    q->recovered_bytes += m->size_bytes;
    free(rcpts);
}

static void on_outcome(void *ctx, const struct spool_outcome *o)
{
    struct qmgr *q = ctx;
    static const uint8_t done[] = {
        [SPOOL_DELIVERED] = SCHED_DELIVERED, [SPOOL_RELAYED] = SCHED_DELIVERED,
        [SPOOL_EXPANDED] = SCHED_DELIVERED,  [SPOOL_FAILED] = SCHED_FAILED,
        [SPOOL_EXPIRED] = SCHED_EXPIRED,     [SPOOL_REMOVED] = SCHED_DELETED,
    };
    /* It was held when it came, or by a record before this one, which compaction may have left
     * behind: then only the mark is to be put, and what this one alone has of earlier attempts. */
    struct span before, reason = spool_decision(o, &before);
    if (o->kind == SPOOL_RELEASED &&
        sched_release(q->sched, o->seq, o->rcpt, reason, qmgr_now(q)) > 0 && !o->attempts &&
        !o->no_dsn && !o->duplicate)
        return;
    struct sched_entry_rcpt e = { .reason = reason,
                                  .before = before,
                                  .next_try_wall_ms = o->next_ms,
                                  .attempts = (uint16_t)(o->attempts < UINT16_MAX ? o->attempts
                                                                                  : UINT16_MAX),
                                  .warned = o->kind == SPOOL_DELAY_REPORTED ||
                                            (o->no_dsn && !o->final),
                                  .duplicate = o->duplicate || o->kind == SPOOL_UNKNOWN,
                                  .held = o->kind == SPOOL_HELD,
                                  .released = o->released || o->kind == SPOOL_RELEASED };
    if (o->final)
        e.done = o->kind < sizeof done && done[o->kind] ? done[o->kind] : SCHED_FAILED;
    sched_restore(q->sched, o->seq, o->rcpt, &e, qmgr_now(q));
}

const struct envelope *store_envelope(struct qmgr *q, uint64_t seq)
{
    enum { SEEN_ARENA_MAX = 256 << 20 };
    if (q->seen.seq == seq)
        return &q->seen.env;
    arena_free(&q->seen.arena);
    q->seen.arena = arena_new(SEEN_ARENA_MAX);
    q->seen.seq = spool_envelope(q->spool, seq, q->seen.arena, &q->seen.env, NULL) == 0 ? seq : 0;
    return q->seen.seq ? &q->seen.env : NULL;
}

/* --- open, flush, upkeep --- */

static void say_opened(struct qmgr *q, int64_t ms, size_t dirs)
{
    struct spool_stat st = spool_stat(q->spool);
    event_begin(q->env->events, EVENT_spool_opened);
    event_int(q->env->events, FIELD_count, (int64_t)q->recovered);
    event_int(q->env->events, FIELD_bytes, (int64_t)st.disk_bytes);
    event_int(q->env->events, FIELD_ms, ms);
    event_end(q->env->events);
    log_line(q->env->events, EVENT_INFO,
             "spool opened: %llu messages in %llu segments of %zu directories, %lld ms",
             (unsigned long long)q->recovered, (unsigned long long)st.segments, dirs,
             (long long)ms);
}

static struct spool_config spool_config_of(const struct config *config)
{
    const struct config_spool *c = &config->spool;
    return (struct spool_config){ .segment_size_bytes = c->segment_size_bytes,
                                  .inline_max_bytes = c->inline_max_bytes,
                                  .free_min_bytes = c->free_min_bytes,
                                  .reserve_bytes = c->reserve_bytes,
                                  .stories_kept = config->attempts.kept };
}

void store_configure(struct qmgr *q)
{
    struct spool_config sc = spool_config_of(q->config);
    spool_configure(q->spool, &sc);
}

bool store_open(struct qmgr *q, struct err *err)
{
    const struct config_spool *c = &q->config->spool;
    struct spool_dirs dirs = { .n = 0 };
    for (size_t i = 0; i < c->directories.n; i++)
        spool_dirs_add(&dirs, q->env->vfs, c->directories.v[i]);
    struct spool_config sc = spool_config_of(q->config);
    sc.directories = (const char *const *)dirs.v;
    sc.directory_count = dirs.n;
    sc.salt = loop_random_u64(q->env->loop);
    struct spool_calls calls = { .ctx = q,
                                 .on_message = on_message,
                                 .on_outcome = on_outcome,
                                 .on_receipt = intake_receipt,
                                 .on_refused = intake_refused,
                                 .on_event = on_event };
    int64_t begun_ns = loop_fresh_ns(q->env->loop);
    bool ok = dirs.n > 0;
    if (!ok)
        err_set(err, "spool.directories: nothing there matches");
    ok = ok && spool_open(q->env->vfs, &sc, &calls, loop_wall_ms(q->env->loop), &q->spool,
                          err) == 0;
    if (ok) {
        q->leased_upto = spool_ids_upto(q->spool);
        say_opened(q, (loop_fresh_ns(q->env->loop) - begun_ns) / 1000000, dirs.n);
        keep_open(q, &dirs);
        clock_open(q, q->leased_upto);
    }
    spool_dirs_free(&dirs);
    return ok;
}

void store_flush_soon(struct qmgr *q, size_t outcomes)
{
    q->late_outcomes += outcomes;
    if (q->late_outcomes >= LATE_MAX)
        loop_hook_ask(q->env->loop, &q->flush);
    else if (!loop_timer_set(&q->late))
        loop_timer_in(q->env->loop, &q->late, q->config->spool.flush_late_ms);
}

/* The commit instant of every message of this turn lies inside spool_flush. Outcomes that could
 * not be written are facts all the same, and wait for the next one. */
void store_flush(struct qmgr *q)
{
    spool_flush(q->spool, loop_wall_ms(q->env->loop));
    q->late_outcomes = 0;
    loop_timer_stop(q->env->loop, &q->late);
    if (spool_dirty_since(q->spool) >= 0)
        loop_timer_in(q->env->loop, &q->late, FLUSH_AGAIN_MS);
    q->batch_count = q->batch_done = 0;
    reports_flushed(q);
    arena_reset(q->turn);
    intake_space(q);
    if (q->finishing && !intake_any_peer(q) && !deliverers_busy(q))
        spool_vouch(q->spool); /* a clean end */
}

bool store_stuck(struct qmgr *q)
{
    int64_t since_ms = spool_dirty_since(q->spool); /* by the wall's clock, which may be set */
    if (since_ms != q->dirty_since_ms)
        q->dirty_seen_ms = loop_mono_ms(q->env->loop);
    q->dirty_since_ms = since_ms;
    bool stuck = q->report_count >= REPORTS_WAIT_MAX ||
                 (since_ms >= 0 && loop_mono_ms(q->env->loop) - q->dirty_seen_ms > STUCK_MS);
    if (stuck != q->stuck)
        log_line(q->env->events, stuck ? EVENT_ALARM : EVENT_NOTICE,
                 stuck ? "spool: what becomes of mail cannot be written; deliveries wait for that"
                       : "spool: it can be written again; deliveries go on");
    return q->stuck = stuck;
}

/* Once a second, and in small steps while there is something to move. */
void store_upkeep(void *ctx)
{
    struct qmgr *q = ctx;
    intake_space(q);
    /* Mail of this turn goes first: it comes in every turn when there is much of it, and that is
     * when room must be made. */
    if (q->batch_count)
        store_flush(q);
    int more = spool_compact(q->spool, loop_wall_ms(q->env->loop),
                             intake_small(q) ? COMPACT_SMALL_BYTES : COMPACT_SLICE_BYTES);
    if (loop_mono_ms(q->env->loop) - q->checked_ms >= UPKEEP_MS) {
        q->checked_ms = loop_mono_ms(q->env->loop);
        deliverers_check(q);
    }
    keep_upkeep(q);
    clock_upkeep(q);
    loop_timer_in(q->env->loop, &q->upkeep, more > 0 ? UPKEEP_BUSY_MS : UPKEEP_MS);
}
