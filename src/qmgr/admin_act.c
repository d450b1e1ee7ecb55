/* What a person does to messages: recorded in the spool before it is answered, so that a restart
 * does not undo it. Nothing here tells a sender: that is the person's to do. */
#include "qmgr/admin.h"
#include "qmgr/keep.h"

#include "base/must.h"
#include "proto/lists.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* What one verb does to one message. */
struct act {
    const char *past;
    enum event_name event;
    uint8_t kind; /* the outcome that is recorded */
    bool (*concerns)(const struct sched_rcpt_info *r);
    uint32_t (*apply)(struct admin_ask *a, uint64_t seq, struct span why);
    const char *no_change;
};

static void say(struct admin_ask *a, const struct act *act, struct span id, uint64_t recipients)
{
    struct events *e = a->q->env->events;
    event_begin(e, act->event);
    event_str(e, FIELD_id, id);
    event_int(e, FIELD_count, (int64_t)recipients);
    event_str(e, FIELD_text, buf_span(&a->who));
    event_end(e);
    log_line(e, EVENT_INFO, "%.*s: %s by %.*s, nrcpts=%llu", SPAN_ARG(id), act->past,
             SPAN_ARG(buf_span(&a->who)), (unsigned long long)recipients);
}

static void row(struct admin_ask *a, const struct act *act, struct span id, uint64_t recipients,
                bool later, const char *error)
{
    struct buf b;
    buf_init(&b, 8192);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "id", id);
    if (error) {
        json_str(&j, "error", span_str(error));
        a->failed++;
    } else {
        json_str(&j, "action", span_str(act->past));
        json_uint(&j, "recipients", recipients);
        if (later)
            json_bool(&j, "after_attempt", true);
    }
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
}

/* The message an id names; the time in it must be right as well, lest a slip of the finger hits
 * a stranger's mail. */
static bool find_message(struct admin_ask *a, struct span id, struct sched_msg_info *m)
{
    uint64_t seq;
    return queueid_seq(id, &seq) && sched_msg(a->q->sched, seq, m) &&
           span_eq(span_str(queueid_make(seq, m->received_ms).text), id);
}

/* --- the record --- */

struct span admin_diag(struct arena *texts, uint8_t kind, const struct sched_msg_info *m,
                       uint32_t rcpt, struct span why)
{
    bool parks = kind == SPOOL_HELD || kind == SPOOL_RELEASED;
    struct span before = parks ? sched_msg_earlier(m->here, rcpt) : SPAN_NONE;
    char *text = before.n ? arena_alloc(texts, why.n + 1 + before.n) : NULL;
    if (!text)
        return why;
    memcpy(text, why.p, why.n);
    text[why.n] = '\n';
    memcpy(text + why.n + 1, before.p, before.n);
    return span_of(text, why.n + 1 + before.n);
}

/* Recipients in a job are not final yet, whatever a person wants: they are noted as held (a
 * crash then leaves them held, not delivered against the person's will), and the job's end
 * settles it. */
static void outcome_of(const struct act *act, const struct sched_rcpt_info *r, uint64_t seq,
                       uint32_t rcpt, int64_t now_ms, struct span why, struct spool_outcome *o)
{
    bool active = r->state == SCHED_ACTIVE;
    bool removes = act->kind == SPOOL_REMOVED;
    *o = (struct spool_outcome){ .seq = seq,
                                 .rcpt = rcpt,
                                 .kind = removes && active ? SPOOL_HELD : act->kind,
                                 .final = removes && !active,
                                 .no_dsn = removes && !active,
                                 .released = r->released || act->kind == SPOOL_RELEASED,
                                 .attempts = r->attempts,
                                 .at_ms = now_ms,
                                 .diag = why };
}

/* Records act for all it concerns. 0 with their number in *n_r (and whether some are in a job),
 * or -errno. */
static int record(struct admin_ask *a, const struct act *act, const struct sched_msg_info *m,
                  struct span why, size_t *n_r, bool *active_r)
{
    struct qmgr *q = a->q;
    struct spool_outcome *list = must_calloc(m->rcpt_count ? m->rcpt_count : 1, sizeof *list);
    struct arena *texts = arena_new((m->rcpt_count + 1) * (size_t)SPOOL_DIAG_MAX);
    struct sched_rcpt_info r;
    size_t n = 0;
    *active_r = false;
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        if (!sched_rcpt(q->sched, m->seq, i, &r) || r.state >= SCHED_LIVE ||
            !act->concerns(&r))
            continue;
        outcome_of(act, &r, m->seq, i, loop_wall_ms(q->env->loop),
                   admin_diag(texts, act->kind, m, i, why), &list[n++]);
        *active_r |= r.state == SCHED_ACTIVE;
    }
    int rc = n ? spool_outcome(q->spool, list, n) : 0;
    *n_r = n;
    arena_free(&texts);
    free(list);
    return rc;
}

static void act_on_message(struct admin_ask *a, const struct act *act, struct span id,
                           const struct sched_msg_info *m, struct span why)
{
    size_t n = 0;
    bool active = false;
    int rc = record(a, act, m, why, &n, &active);
    if (rc) {
        row(a, act, id, 0, false, strerror(-rc));
        return;
    }
    uint32_t changed = act->apply(a, m->seq, why);
    if (!changed) {
        row(a, act, id, 0, false, act->no_change);
        return;
    }
    say(a, act, id, changed);
    row(a, act, id, changed, active, NULL);
}

static void act_on(struct admin_ask *a, const struct act *act, struct span id)
{
    struct sched_msg_info m;
    struct buf why;
    if (!find_message(a, id, &m)) {
        row(a, act, id, 0, false, "there is no such message in the queue");
        return;
    }
    buf_init(&why, 512);
    if (a->word.len) /* of a hold: the reason that was given */
        buf_puts(&why, buf_span(&a->word));
    else
        buf_printf(&why, "%s by %.*s", act->past, SPAN_ARG(buf_span(&a->who)));
    act_on_message(a, act, id, &m, buf_span(&why));
    buf_free(&why);
}

/* What was recorded goes to the disk now, and then the answer. Outcomes that cannot be written
 * stay for the next flush, so the answer says so instead of promising. */
static void settle(struct admin_ask *a)
{
    struct qmgr *q = a->q;
    store_flush(q);
    loop_hook_ask(q->env->loop, &q->work);
    if (spool_dirty_since(q->spool) >= 0)
        admin_end(a, EX_IOERR, "done, but not on disk: it cannot be written at the moment");
    else if (a->failed)
        admin_end(a, EX_NOINPUT, "not all of them could be found and changed");
    else
        admin_end(a, ADMIN_OK, "");
}

/* The ids that are left, one after the other. */
struct acting {
    const struct act *act;
    struct buf args;
    struct wire left;
};

static void acting_gone(struct admin_ask *a)
{
    struct acting *t = a->own;
    buf_free(&t->args);
    free(t);
    a->own = NULL;
}

static void ids_slice(struct admin_ask *a)
{
    struct acting *t = a->own;
    struct span id;
    while (list_next_text(&t->left, &id)) {
        act_on(a, t->act, id);
        a->done++;
        if (admin_spent(a, ADMIN_CLOCK_UNITS)) {
            admin_next(a);
            return;
        }
    }
    if (a->done)
        settle(a);
    else
        admin_end(a, EX_USAGE, "which message? its id is missing");
}

static void act_on_all(struct admin_ask *a, const struct act *act, struct wire *args)
{
    struct acting *t = NEW(struct acting);
    t->act = act;
    buf_init(&t->args, args->rest.n + 1);
    buf_puts(&t->args, args->rest);
    t->left = wire_reader(buf_span(&t->args));
    a->own = t;
    a->own_gone = acting_gone;
    a->slice = ids_slice;
}

/* --- hold, release, delete --- */

static bool any_state(const struct sched_rcpt_info *r)
{
    (void)r;
    return true;
}
static bool not_held(const struct sched_rcpt_info *r) { return r->state != SCHED_HELD; }
static bool is_held(const struct sched_rcpt_info *r)
{
    return r->state == SCHED_HELD || r->to_be_held;
}

static uint32_t apply_hold(struct admin_ask *a, uint64_t seq, struct span why)
{
    return sched_hold(a->q->sched, seq, SCHED_ALL, why);
}

static uint32_t apply_release(struct admin_ask *a, uint64_t seq, struct span why)
{
    return sched_release(a->q->sched, seq, SCHED_ALL, why, qmgr_now(a->q));
}

static uint32_t apply_delete(struct admin_ask *a, uint64_t seq, struct span why)
{
    live_deleted(a->q, seq, SCHED_ALL, why);
    return sched_delete(a->q->sched, seq, SCHED_ALL);
}

void admin_hold(struct admin_ask *a, struct wire *args)
{
    static const struct act act = { "held", EVENT_admin_held, SPOOL_HELD, not_held,
                                    apply_hold, "it is held already" };
    struct wire reason = *args;
    struct span text;
    if (list_next_text(&reason, &text) && span_starts(text, SPAN("reason="))) {
        buf_puts(&a->word, span_to(span_from(text, 7), SCHED_REASON_MAX));
        *args = reason;
    }
    act_on_all(a, &act, args);
}

void admin_release(struct admin_ask *a, struct wire *args)
{
    static const struct act act = { "released", EVENT_admin_released, SPOOL_RELEASED,
                                    is_held, apply_release, "it is not held" };
    act_on_all(a, &act, args);
}

void admin_delete(struct admin_ask *a, struct wire *args)
{
    static const struct act act = { "deleted", EVENT_admin_deleted, SPOOL_REMOVED,
                                    any_state, apply_delete, "it is being deleted already" };
    act_on_all(a, &act, args);
}

/* --- run: a note of it is kept (keep.h) --- */

void admin_run(struct admin_ask *a, struct wire *args)
{
    struct qmgr *q = a->q;
    (void)args;
    int64_t waiting = (int64_t)sched_totals(q->sched).rcpts[SCHED_WAITING];
    sched_run_queue(q->sched);
    int error = keep_run(q);
    event_begin(q->env->events, EVENT_queue_run);
    event_int(q->env->events, FIELD_count, waiting);
    event_str(q->env->events, FIELD_text, buf_span(&a->who));
    event_end(q->env->events);
    log_line(q->env->events, EVENT_INFO, "queue run asked by %.*s: %lld recipients waited",
             SPAN_ARG(buf_span(&a->who)), (long long)waiting);
    loop_hook_ask(q->env->loop, &q->work);
    struct buf b;
    buf_init(&b, 128);
    buf_printf(&b, "{\"action\":\"run\",\"recipients\":%lld}", (long long)waiting);
    admin_row(a, &b);
    buf_free(&b);
    admin_end(a, error ? EX_IOERR : ADMIN_OK, error ? KEEP_NOT_WRITTEN : "");
}
