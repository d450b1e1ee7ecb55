/* What became of recipients is recorded in the spool. Where somebody is to be told, a report is
 * begun, and its commit carries the record (design: a permanent failure and the DSN it causes
 * are one commit). Whom nobody can be told of is held for a person. */
#include "qmgr/inside.h"

#include "base/must.h"

#include <errno.h>
#include <stdlib.h>

/* --- facts as the spool keeps them --- */

/* Who holds it and why, and what was said before (spool_decision), as the schedule has them. */
static struct span held_for(const struct sched_rcpt_info *r, struct fact_remote *to)
{
    struct span reason = span_to(r->reason, SCHED_REASON_MAX);
    struct span before = span_to(r->before, SCHED_REASON_MAX);
    memcpy(to->held, reason.p, reason.n);
    if (!before.n)
        return span_of(to->held, reason.n);
    to->held[reason.n] = '\n';
    memcpy(to->held + reason.n + 1, before.p, before.n);
    return span_of(to->held, reason.n + 1 + before.n);
}

struct spool_outcome fact_outcome(struct qmgr *q, uint64_t seq, const struct fact *f,
                                  struct fact_remote *to)
{
    struct span host = span_to(f->host, SPOOL_REMOTE_MAX - NETADDR_TEXT_MAX - 1);
    size_t n = host.n;
    if (n)
        memcpy(to->text, host.p, n);
    if (f->relay.family != NETADDR_NONE) {
        struct buf ip;
        buf_init(&ip, NETADDR_TEXT_MAX + 1);
        buf_putc(&ip, ' ');
        netaddr_put(&ip, &f->relay);
        struct span s = span_to(buf_span(&ip), sizeof to->text - n);
        memcpy(to->text + n, s.p, s.n);
        n += s.n;
        buf_free(&ip);
    }
    struct sched_rcpt_info r;
    int64_t now_ms = loop_wall_ms(q->env->loop);
    bool known = !f->final && sched_rcpt(q->sched, seq, f->rcpt, &r);
    bool held = known && f->kind == SPOOL_HELD && r.reason.n;
    return (struct spool_outcome){ .seq = seq,
                                   .rcpt = f->rcpt,
                                   .kind = f->kind,
                                   .final = f->final,
                                   .released = known && r.released,
                                   .duplicate = known && r.duplicate,
                                   .no_dsn = f->final ? f->no_dsn : f->warned,
                                   .attempts = f->attempts,
                                   .at_ms = f->at_ms && !f->final ? f->at_ms : now_ms,
                                   .noted_ms = now_ms,
                                   .next_ms = f->next_wall_ms,
                                   .status = span_to(f->enhanced, SPOOL_STATUS_MAX),
                                   .diag = held         ? held_for(&r, to)
                                           : f->reply.n ? f->reply
                                                        : f->text,
                                   .remote = span_of(to->text, n) };
}

/* As one record of the log, whatever their number. */
static void record(struct qmgr *q, uint64_t seq, const struct fact *f, size_t n)
{
    enum { FEW = 4 };
    struct spool_outcome few[FEW], *list = few;
    struct fact_remote few_remotes[FEW], *remotes = few_remotes;
    if (n > FEW) {
        list = must_calloc(n, sizeof *list);
        remotes = must_calloc(n, sizeof *remotes);
    }
    for (size_t i = 0; i < n; i++)
        list[i] = fact_outcome(q, seq, &f[i], &remotes[i]);
    /* -ENOENT: an administrator was quicker; there is nothing left to know. */
    if (n)
        spool_outcome(q->spool, list, n);
    if (list != few) {
        free(list);
        free(remotes);
    }
    store_flush_soon(q, n);
}

void fact_record(struct qmgr *q, uint64_t seq, const struct fact *f)
{
    struct fact alone = *f;
    alone.no_dsn = alone.final;
    record(q, seq, &alone, 1);
}

void fact_hold(struct qmgr *q, uint64_t seq, struct span id, const struct fact *f, const char *why)
{
    struct fact held = *f;
    held.kind = SPOOL_HELD;
    held.final = false;
    sched_hold_failed(q->sched, seq, f->rcpt, span_str(why), f->reply.n ? f->reply : f->text);
    record(q, seq, &held, 1);
    event_begin(q->env->events, EVENT_bounce_held);
    event_str(q->env->events, FIELD_id, id);
    event_str(q->env->events, FIELD_text, f->reply.n ? f->reply : f->text);
    event_end(q->env->events);
    log_line(q->env->events, EVENT_ALARM, "%.*s: %s; it is held", SPAN_ARG(id), why);
}

/* --- what is due --- */

static enum dsn_outcome dsn_outcome_of(const struct fact *f)
{
    switch (f->kind) {
    case SPOOL_FAILED:
    case SPOOL_EXPIRED: return DSN_OUT_FAILED;
    case SPOOL_DELAY_REPORTED: return DSN_OUT_DELAYED;
    default:
        return !f->relayed_report ? DSN_OUT_PASSED_ON
               : f->mailbox       ? DSN_OUT_DELIVERED
                                  : DSN_OUT_RELAYED;
    }
}

static bool may_be_due(const struct fact *f)
{
    return f->relayed_report || f->kind == SPOOL_FAILED || f->kind == SPOOL_EXPIRED ||
           f->kind == SPOOL_DELAY_REPORTED;
}

static enum dsn_kind dsn_kind_of(const struct fact *f)
{
    if (f->kind == SPOOL_DELAY_REPORTED)
        return DSN_DELAY;
    return f->relayed_report ? DSN_SUCCESS : DSN_FAILURE;
}

struct pile {
    struct span to;
    const struct fact *facts[DSN_AT_ONCE];
    size_t n;
};

static void pile_add(struct qmgr *q, struct pile *p, uint64_t seq, bool to_postmaster,
                     const struct fact *f)
{
    if (f)
        p->facts[p->n++] = f;
    if (p->n && (!f || p->n == DSN_AT_ONCE)) {
        report_begin(q, seq, dsn_kind_of(p->facts[0]), to_postmaster, p->to, p->facts, p->n);
        p->n = 0;
    }
}

enum dsn_due facts_due(const struct qmgr *q, const struct envelope *env, uint32_t rcpt,
                       enum dsn_outcome outcome)
{
    if (rcpt >= env->rcpt_count)
        return DSN_NONE;
    struct envelope of = *env;
    of.sender = ENVELOPE_SENDER(env, &env->rcpts[rcpt]);
    enum dsn_due due = dsn_due(&of, &env->rcpts[rcpt], outcome, q->config->postmaster);
    return due == DSN_TO_POSTMASTER && env->flags & ENVELOPE_DOUBLE
               ? DSN_ALARM /* the postmaster's alias, which is not his address */
               : due;
}

/* Facts about recipients of one sender, which env has. */
static void settle_of_sender(struct qmgr *q, const struct envelope *env, const struct fact *f,
                             size_t n)
{
    struct pile *piles = must_calloc(2, sizeof *piles); /* to the sender, to the postmaster */
    struct queueid id = envelope_id(env);
    piles[0].to = env->sender;
    piles[1].to = q->config->postmaster;
    for (size_t i = 0; i < n; i++) {
        enum dsn_due due = facts_due(q, env, f[i].rcpt, dsn_outcome_of(&f[i]));
        if (due == DSN_TO_SENDER)
            pile_add(q, &piles[0], env->seq, false, &f[i]);
        else if (due == DSN_TO_POSTMASTER)
            pile_add(q, &piles[1], env->seq, true, &f[i]);
        else if (due == DSN_ALARM)
            fact_hold(q, env->seq, span_str(id.text), &f[i],
                      "a report that cannot be delivered to the postmaster either");
        else
            fact_record(q, env->seq, &f[i]);
    }
    pile_add(q, &piles[0], env->seq, false, NULL);
    pile_add(q, &piles[1], env->seq, true, NULL);
    free(piles);
}

static bool same_sender(const struct envelope *env, const struct fact *a, const struct fact *b)
{
    if (a->rcpt >= env->rcpt_count || b->rcpt >= env->rcpt_count)
        return a->rcpt >= env->rcpt_count && b->rcpt >= env->rcpt_count;
    return span_eq(ENVELOPE_SENDER(env, &env->rcpts[a->rcpt]),
                   ENVELOPE_SENDER(env, &env->rcpts[b->rcpt]));
}

/* A list's owner is told of its members, the sender of the others: a report for each of them. */
static void settle_with_envelope(struct qmgr *q, const struct envelope *env, struct fact *f,
                                 size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t end = at + 1;
        for (size_t i = end; i < n; i++) {
            if (!same_sender(env, &f[at], &f[i]))
                continue;
            struct fact other = f[end];
            f[end++] = f[i];
            f[i] = other;
        }
        struct envelope of = *env;
        if (f[at].rcpt < env->rcpt_count)
            of.sender = ENVELOPE_SENDER(env, &env->rcpts[f[at].rcpt]);
        settle_of_sender(q, &of, f + at, end - at);
        at = end;
    }
}

/* Who is to be told stands in the envelope only, and that does not read. */
static void settle_blind(struct qmgr *q, uint64_t seq, const struct fact *f, size_t n)
{
    struct sched_msg_info m = { 0 };
    sched_msg(q->sched, seq, &m);
    struct queueid id = queueid_make(seq, m.received_ms);
    for (size_t i = 0; i < n; i++) {
        if (dsn_kind_of(&f[i]) == DSN_FAILURE)
            fact_hold(q, seq, span_str(id.text), &f[i],
                      "it failed, and its sender cannot be read from the spool");
        else
            fact_record(q, seq, &f[i]);
    }
}

/* Facts of one kind: one report of all of them (or as many as DSN_AT_ONCE asks for). Of a message
 * with very many recipients they come in many parts: its envelope is read once. */
static void settle_kind(struct qmgr *q, uint64_t seq, struct fact *f, size_t n)
{
    const struct envelope *env = store_envelope(q, seq);
    if (env)
        settle_with_envelope(q, env, f, n);
    else if (spool_has(q->spool, seq))
        settle_blind(q, seq, f, n);
}

/* A job's failures and its "relayed" reports may stand in any order, with others between. */
static void settle_due(struct qmgr *q, uint64_t seq, const struct fact *f, size_t n)
{
    static const enum dsn_kind kinds[] = { DSN_FAILURE, DSN_DELAY, DSN_SUCCESS };
    struct fact *due = must_calloc(n, sizeof *due);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t count = 0;
        for (size_t i = 0; i < n; i++)
            if (may_be_due(&f[i]) && dsn_kind_of(&f[i]) == kinds[k])
                due[count++] = f[i];
        if (count)
            settle_kind(q, seq, due, count);
    }
    free(due);
}

void facts_settle(struct qmgr *q, uint64_t seq, struct fact *f, size_t n)
{
    size_t at = 0; /* in front of it: due, and not recorded yet */
    for (size_t i = 0; i < n; i++) {
        f[i].no_dsn = f[i].final;
        if (!may_be_due(&f[i]))
            continue;
        struct fact due = f[i];
        due.no_dsn = false;
        f[i] = f[at];
        f[at++] = due;
    }
    if (at < n)
        record(q, seq, f + at, n - at);
    if (at)
        settle_due(q, seq, f, at);
}
