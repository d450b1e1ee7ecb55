/* What can be done to the recipients of one message (admin_deeds.h). It is recorded in the spool
 * before the schedule is told. */
#include "qmgr/admin_deeds.h"

#include "base/must.h"
#include "qmgr/reroute.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool not_held(const struct sched_rcpt_info *r) { return r->state != SCHED_HELD; }
static bool is_held(const struct sched_rcpt_info *r)
{
    return r->state == SCHED_HELD || r->to_be_held || r->to_be_deleted;
}
static bool any(const struct sched_rcpt_info *r)
{
    (void)r;
    return true;
}
static bool waits(const struct sched_rcpt_info *r)
{
    return r->state == SCHED_READY || r->state == SCHED_DEFERRED || r->state == SCHED_WAITING ||
           r->frozen;
}

/* What is recorded of a decision: why, and what was said of the recipient before
 * (spool_decision). */
static struct span diag_of(struct arena *texts, uint8_t kind, const struct sched_msg_info *m,
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

/* Read by nobody but a process that comes after a crash. */
static struct span unknown_end(struct arena *texts, struct span why)
{
    struct buf b;
    buf_init(&b, SPOOL_DIAG_MAX);
    buf_printf(&b, "to be %.*s, when an attempt ended whose end is not known", SPAN_ARG(why));
    struct span text = b.failed ? why : arena_dup(texts, buf_span(&b));
    buf_free(&b);
    return text.p ? text : why;
}

/* One record for all of a message that are meant. Recipients in a job are not final yet, whatever a
 * person wants: they are noted as held (a crash then leaves them held, not delivered against the
 * person's will), and the job's end settles it. */
static int record(struct doing *d, const struct sched_msg_info *m, uint8_t kind)
{
    struct qmgr *q = d->a->q;
    struct spool_outcome *list = must_calloc(d->n, sizeof *list);
    struct arena *texts = arena_new(DEED_RCPTS_MAX * SPOOL_DIAG_MAX);
    for (size_t i = 0; i < d->n; i++) {
        struct sched_rcpt_info r;
        MUST(sched_msg_rcpt(m->here, d->rcpts[i], &r));
        bool active = r.state == SCHED_ACTIVE, removed = kind == SPOOL_REMOVED;
        list[i] = (struct spool_outcome){ .seq = m->seq,
                                          .rcpt = d->rcpts[i],
                                          .kind = removed && active ? SPOOL_HELD : kind,
                                          .final = removed && !active,
                                          .no_dsn = removed && !active ? true : r.warned,
                                          .released = r.released || kind == SPOOL_RELEASED,
                                          .duplicate = r.duplicate && !(removed && !active),
                                          .attempts = r.attempts,
                                          .at_ms = loop_wall_ms(q->env->loop),
                                          .diag = removed && active
                                                      ? unknown_end(texts, buf_span(&d->why))
                                                      : diag_of(texts, kind, m, d->rcpts[i],
                                                                buf_span(&d->why)) };
        d->after_attempt += active && kind != SPOOL_RELEASED; /* that goes on as it was */
    }
    int rc = spool_outcome(q->spool, list, d->n);
    arena_free(&texts);
    free(list);
    store_flush_soon(q, d->n);
    return rc;
}

static int do_hold(struct doing *d, const struct sched_msg_info *m)
{
    int rc = record(d, m, SPOOL_HELD), n = 0;
    for (size_t i = 0; i < d->n && !rc; i++)
        n += (int)sched_hold(d->a->q->sched, m->seq, d->rcpts[i], buf_span(&d->why));
    return rc ? rc : n;
}

static int do_release(struct doing *d, const struct sched_msg_info *m)
{
    struct qmgr *q = d->a->q;
    int rc = record(d, m, SPOOL_RELEASED), n = 0;
    for (size_t i = 0; i < d->n && !rc; i++)
        n += (int)sched_release(q->sched, m->seq, d->rcpts[i], buf_span(&d->why), qmgr_now(q));
    return rc ? rc : n;
}

static int do_delete(struct doing *d, const struct sched_msg_info *m)
{
    int rc = record(d, m, SPOOL_REMOVED), n = 0;
    uint64_t seq = m->seq; /* m is not to be looked at after the first change */
    for (size_t i = 0; i < d->n && !rc; i++) {
        live_deleted(d->a->q, seq, d->rcpts[i], buf_span(&d->a->who));
        n += (int)sched_delete(d->a->q->sched, seq, d->rcpts[i]);
    }
    return rc ? rc : n;
}

/* What waited for a queue run does not wait for one again: that outlives this process. */
static int record_waiting(struct doing *d, const struct sched_msg_info *m)
{
    size_t n = d->n, waiting = 0;
    for (size_t i = 0; i < n; i++) {
        struct sched_rcpt_info r;
        uint32_t rcpt = d->rcpts[i];
        if (!sched_msg_rcpt(m->here, rcpt, &r) || r.state != SCHED_WAITING)
            continue;
        d->rcpts[i] = d->rcpts[waiting];
        d->rcpts[waiting++] = rcpt;
    }
    d->n = waiting;
    int rc = waiting ? record(d, m, SPOOL_RELEASED) : 0;
    d->n = n;
    return rc;
}

static int do_retry(struct doing *d, const struct sched_msg_info *m)
{
    struct qmgr *q = d->a->q;
    int rc = record_waiting(d, m);
    if (rc)
        return rc;
    for (size_t i = 0; i < d->n; i++)
        sched_retry(q->sched, m->seq, d->rcpts[i], qmgr_now(q));
    return (int)d->n;
}

static void count_told(struct doing *d, uint64_t seq, uint32_t rcpt)
{
    const struct envelope *env = store_envelope(d->a->q, seq);
    enum dsn_due due = env ? facts_due(d->a->q, env, rcpt, DSN_OUT_FAILED) : DSN_TO_SENDER;
    d->untold += due == DSN_NONE;
    d->to_postmaster += due == DSN_TO_POSTMASTER;
}

/* Final, with a report, as an expiry is. */
static int finish(struct doing *d, const struct sched_msg_info *m, enum sched_state state)
{
    struct qmgr *q = d->a->q;
    bool expired = state == SCHED_EXPIRED;
    struct fact *facts = must_calloc(d->n, sizeof *facts);
    struct arena *a = arena_new(64 << 20);
    size_t n = 0;
    uint64_t seq = m->seq; /* m is not to be looked at after the first change */
    for (size_t i = 0; i < d->n; i++) {
        struct sched_rcpt_info r;
        MUST(sched_rcpt(q->sched, seq, d->rcpts[i], &r));
        struct fact f = { .rcpt = d->rcpts[i],
                          .attempts = r.attempts,
                          .text = arena_dup(a, r.reason),
                          .mailer = SPAN("esmtp") };
        last_fill(&d->last, a, seq, r.state == SCHED_READY && r.next_try_ms ? r.dest : SPAN_NONE,
                  &f);
        if (!sched_end(q->sched, seq, d->rcpts[i], state))
            continue;
        verdict_ended(&f, expired, buf_span(&d->a->who), a);
        facts[n++] = f;
        count_told(d, seq, d->rcpts[i]);
    }
    if (n) {
        say_facts(q, seq, facts, n);
        facts_settle(q, seq, facts, n);
    }
    arena_free(&a);
    free(facts);
    return (int)n;
}

static int do_bounce(struct doing *d, const struct sched_msg_info *m)
{
    return finish(d, m, SCHED_FAILED);
}

static int do_expire(struct doing *d, const struct sched_msg_info *m)
{
    return finish(d, m, SCHED_EXPIRED);
}

static int do_reroute(struct doing *d, const struct sched_msg_info *m)
{
    struct qmgr *q = d->a->q;
    for (size_t i = 0; i < d->n; i++) {
        if (!reroute_set(q, m->seq, d->rcpts[i], buf_span(&d->hop)))
            return -ENOSPC;
        sched_reroute(q->sched, m->seq, d->rcpts[i], qmgr_now(q));
    }
    return (int)d->n;
}

/* What has no way of its own is not concerned. */
static int do_back(struct doing *d, const struct sched_msg_info *m)
{
    struct qmgr *q = d->a->q;
    uint64_t seq = m->seq;
    int n = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (!reroute_unset(q, seq, d->rcpts[i]))
            continue;
        sched_reroute(q->sched, seq, d->rcpts[i], qmgr_now(q));
        n++;
    }
    return n;
}

static const struct deed deeds[] = {
    { .name = "hold", .past = "held", .event = EVENT_admin_held, .concerns = not_held,
      .apply = do_hold, .reason = true, .no_change = "it is held already" },
    { .name = "release", .past = "released", .event = EVENT_admin_released, .concerns = is_held,
      .apply = do_release, .no_change = "it is not held" },
    { .name = "delete", .past = "deleted", .event = EVENT_admin_deleted, .concerns = any,
      .apply = do_delete, .no_change = "it is being deleted already" },
    { .name = "retry", .past = "retried", .event = EVENT_admin_retried, .concerns = waits,
      .apply = do_retry, .own_session = true, .thawed = true, .opens = true },
    { .name = "bounce", .past = "bounced", .event = EVENT_admin_bounced, .concerns = any,
      .apply = do_bounce, .own_session = true, .reports = true },
    { .name = "expire", .past = "expired", .event = EVENT_admin_expired, .concerns = any,
      .apply = do_expire, .own_session = true, .reports = true },
    { .name = "reroute", .past = "rerouted", .event = EVENT_admin_rerouted, .concerns = any,
      .apply = do_reroute, .own_session = true, .hop = true,
      .note = "until it is delivered, or reroute --back; --rule is for all mail to come" },
    { .name = "back", .past = "no longer rerouted", .event = EVENT_admin_reroute_back,
      .concerns = any, .apply = do_back, .own_session = true },
};

const struct deed *deed_named(struct span name)
{
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        if (span_eq(name, span_str(deeds[i].name)))
            return &deeds[i];
    return NULL;
}
