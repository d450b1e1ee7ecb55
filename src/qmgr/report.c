/* Facts are recorded, and reports of them stored in the same commit (design: a permanent failure
 * and the DSN it causes are one commit). A report whose commit is refused stays in memory and is
 * tried again: its recipients are still there in the spool, so a crash meanwhile only means that
 * they are tried once more. */
#include "qmgr/inside.h"

#include "base/must.h"
#include "dsn/dsn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORT_ARENA_MAX = 96 << 20, AGAIN_MS = 5000, FULL_MAX_BYTES = 100 << 10 };

#define OWN_TXN (UINT64_C(1) << 63)

/* Everything a report needs, copied, until it is stored. */
struct report {
    struct list node;
    struct arena *arena;
    uint64_t seq, txn; /* txn 0: to be tried again */
    enum dsn_kind kind;
    bool to_postmaster;
    struct fact *facts;
    size_t n;
};

struct hold_note {
    struct list node;
    uint64_t seq;
};

/* --- facts as the spool keeps them --- */

static struct spool_outcome outcome_of(struct qmgr *q, uint64_t seq, const struct fact *f,
                                       char remote[SPOOL_REMOTE_MAX + 1])
{
    struct buf ip;
    buf_init(&ip, NETADDR_TEXT_MAX);
    if (f->relay.family != NETADDR_NONE)
        netaddr_put(&ip, &f->relay);
    snprintf(remote, SPOOL_REMOTE_MAX + 1, "%.*s%s%.*s", SPAN_ARG(f->host), ip.len ? " " : "",
             SPAN_ARG(buf_span(&ip)));
    buf_free(&ip);
    return (struct spool_outcome){ .seq = seq,
                                   .rcpt = f->rcpt,
                                   .kind = f->kind,
                                   .final = f->final,
                                   .attempts = f->attempts,
                                   .at_ms = loop_wall_ms(q->env->loop),
                                   .next_ms = f->next_wall_ms,
                                   .status = span_to(f->enhanced, SPOOL_STATUS_MAX),
                                   .diag = f->reply.n ? f->reply : f->text,
                                   .remote = span_str(remote) };
}

static void record(struct qmgr *q, uint64_t seq, const struct fact *f, bool no_dsn)
{
    char remote[SPOOL_REMOTE_MAX + 1];
    struct spool_outcome o = outcome_of(q, seq, f, remote);
    o.no_dsn = no_dsn;
    spool_outcome(q->spool, &o, 1);
    store_flush_soon(q);
}

/* --- what is due --- */

static enum dsn_outcome dsn_outcome_of(const struct fact *f)
{
    switch (f->kind) {
    case SPOOL_FAILED:
    case SPOOL_EXPIRED: return DSN_OUT_FAILED;
    case SPOOL_DELAY_REPORTED: return DSN_OUT_DELAYED;
    default: return f->relayed_report ? DSN_OUT_RELAYED : DSN_OUT_PASSED_ON;
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

/* Not even the postmaster can be told: the message is kept for the admin, with an alarm. */
static void hold_for_admin(struct qmgr *q, const struct envelope *env, const struct fact *f)
{
    struct fact held = *f;
    struct hold_note *h = NEW(struct hold_note);
    h->seq = env->seq;
    list_append(&q->holds, &h->node);
    held.kind = SPOOL_HELD;
    held.final = false;
    record(q, env->seq, &held, false);
    event_begin(q->env->events, EVENT_bounce_held);
    event_str(q->env->events, FIELD_id, span_str(envelope_id(env).text));
    event_str(q->env->events, FIELD_text, f->reply.n ? f->reply : f->text);
    event_end(q->env->events);
    log_line(q->env->events, EVENT_ALARM,
             "%s: a report that cannot be delivered to the postmaster either; it is held",
             envelope_id(env).text);
}

bool report_wants_hold(struct qmgr *q, uint64_t seq)
{
    LIST_EACH(n, &q->holds) {
        struct hold_note *h = CONTAINER(n, struct hold_note, node);
        if (h->seq != seq)
            continue;
        list_remove(n);
        free(h);
        return true;
    }
    return false;
}

/* --- composing --- */

static struct span read_front(struct qmgr *q, struct arena *a, uint64_t seq, size_t max)
{
    char *to = arena_alloc(a, max);
    ssize_t got = to ? spool_read(q->spool, seq, 0, to, max) : -1;
    return got > 0 ? span_of(to, (size_t)got) : SPAN_NONE;
}

static struct span header_of(struct span content)
{
    const char *end = content.n ? memmem(content.p, content.n, "\r\n\r\n", 4) : NULL;
    return end ? span_to(content, (size_t)(end - content.p) + 2) : content;
}

static void fill_rcpt(struct dsn_rcpt *d, const struct fact *f, const struct envelope *env,
                      struct arena *a, int64_t now, int64_t expire_ms)
{
    struct buf ip;
    buf_init(&ip, NETADDR_TEXT_MAX);
    if (f->relay.family != NETADDR_NONE)
        netaddr_put_ip(&ip, &f->relay);
    *d = (struct dsn_rcpt){ .rcpt = &env->rcpts[f->rcpt],
                            .status = f->enhanced,
                            .reply = f->reply.n ? f->reply : f->text,
                            .local = f->reply.n == 0,
                            .host = f->host,
                            .ip = arena_dup(a, buf_span(&ip)),
                            .stage = f->stage,
                            .expired = f->kind == SPOOL_EXPIRED,
                            .duplicate = f->kind == SPOOL_UNKNOWN,
                            .attempts = f->attempts,
                            .last_attempt_ms = now,
                            .will_retry_until_ms = env->received_ms + expire_ms };
    buf_free(&ip);
}

static bool compose(struct qmgr *q, struct report *r, const struct envelope *env, uint64_t size,
                    struct queueid id, struct buf *out, uint32_t *flags_r)
{
    struct arena *a = r->arena;
    struct dsn_rcpt *rcpts = arena_alloc(a, r->n * sizeof *rcpts);
    if (!rcpts)
        return false;
    int64_t now = loop_wall_ms(q->env->loop);
    for (size_t i = 0; i < r->n; i++)
        fill_rcpt(&rcpts[i], &r->facts[i], env, a, now, q->config->retry.expire_after_ms);
    bool full = dsn_wants_full(env, r->kind, size, FULL_MAX_BYTES);
    struct span front = read_front(q, a, r->seq, full ? (size_t)size : DSN_HEADER_MAX);
    struct dsn_report d = { .kind = r->kind,
                            .double_bounce = r->to_postmaster,
                            .env = env,
                            .to = r->to_postmaster ? q->config->postmaster : env->sender,
                            .id = id,
                            .hostname = q->config->hostname,
                            .postmaster = q->config->postmaster,
                            .rcpts = rcpts,
                            .rcpt_count = r->n,
                            .header = header_of(front),
                            .content = full ? front : SPAN_NONE,
                            .now_ms = now,
                            .random = loop_random_u64(q->env->loop) };
    return dsn_compose(&d, out, flags_r);
}

static void say_sent(struct qmgr *q, struct report *r, const struct envelope *env,
                     struct queueid id)
{
    static const char *const words[] = { [DSN_FAILURE] = "DSN",
                                         [DSN_DELAY] = "sender notify",
                                         [DSN_SUCCESS] = "return receipt" };
    struct fact *f = &r->facts[0];
    struct events *e = q->env->events;
    event_begin(e, r->to_postmaster ? EVENT_double_bounce : EVENT_dsn_sent);
    event_str(e, FIELD_id, span_str(envelope_id(env).text));
    event_str(e, FIELD_to, r->to_postmaster ? q->config->postmaster : env->sender);
    event_str(e, FIELD_text, span_str(id.text));
    event_end(e);
    struct buf *b = log_begin(e, EVENT_INFO);
    buf_printf(b, "%s: %s: %s: ", envelope_id(env).text, id.text,
               r->to_postmaster ? "return to postmaster" : words[r->kind]);
    log_text(b, f->text.n ? f->text : f->reply, 200);
    log_end(e);
}

static bool store(struct qmgr *q, struct report *r, const struct envelope *env, struct span text,
                  uint32_t flags, uint64_t seq)
{
    struct spool_outcome *bound = arena_alloc(r->arena, r->n * sizeof *bound);
    char(*remotes)[SPOOL_REMOTE_MAX + 1] = arena_alloc(r->arena, r->n * sizeof *remotes);
    struct batch_item *item = batch_add(q);
    struct envelope_rcpt *to = arena_alloc(r->arena, sizeof *to);
    if (!bound || !remotes || !to) {
        q->batch_count--;
        return false;
    }
    for (size_t i = 0; i < r->n; i++)
        bound[i] = outcome_of(q, r->seq, &r->facts[i], remotes[i]);
    to->addr = r->to_postmaster ? q->config->postmaster : arena_dup(r->arena, env->sender);
    to->notify = NOTIFY_NEVER;
    r->txn = item->txn = OWN_TXN | ++q->next_own_txn;
    item->env = (struct envelope){ .seq = seq,
                                   .received_ms = loop_wall_ms(q->env->loop),
                                   .flags = flags,
                                   .proto = SPAN("local"),
                                   .rcpts = to,
                                   .rcpt_count = 1 };
    item->size_bytes = text.n;
    struct spool_commit c = { .txn = item->txn,
                              .env = &item->env,
                              .content = arena_alloc(r->arena, sizeof text),
                              .content_count = 1,
                              .bound = bound,
                              .bound_count = r->n };
    if (c.content)
        *(struct span *)c.content = text;
    if (!c.content || spool_commit(q->spool, &c) != 0) {
        q->batch_count--;
        r->txn = 0;
        return false;
    }
    return true;
}

static void report_free(struct report *r)
{
    list_remove(&r->node);
    arena_free(&r->arena);
    free(r);
}

/* False: not now; the report stays on the list. */
static bool report_try(struct qmgr *q, struct report *r)
{
    struct envelope env;
    uint64_t size = 0;
    uint32_t flags = 0;
    struct buf out;
    buf_init(&out, DSN_OUT_MAX + FULL_MAX_BYTES);
    uint64_t seq = spool_lease_ids(q->spool, 1, loop_wall_ms(q->env->loop));
    bool ok = seq && spool_envelope(q->spool, r->seq, r->arena, &env, &size) == 0;
    struct queueid id = queueid_make(seq, loop_wall_ms(q->env->loop));
    ok = ok && compose(q, r, &env, size, id, &out, &flags);
    struct span text = ok ? arena_dup(r->arena, buf_span(&out)) : SPAN_NONE;
    buf_free(&out);
    ok = text.p && store(q, r, &env, text, flags, seq);
    if (ok)
        say_sent(q, r, &env, id);
    else if (!loop_timer_set(&q->again))
        loop_timer_in(q->env->loop, &q->again, AGAIN_MS);
    return ok;
}

static struct span keep(struct arena *a, struct span s)
{
    struct span copy = arena_dup(a, s);
    return copy.p ? copy : SPAN_NONE;
}

static void report_begin(struct qmgr *q, uint64_t seq, enum dsn_kind kind, bool to_postmaster,
                         const struct fact *const *facts, size_t n)
{
    struct report *r = NEW(struct report);
    r->arena = arena_new(REPORT_ARENA_MAX);
    r->seq = seq;
    r->kind = kind;
    r->to_postmaster = to_postmaster;
    r->n = n;
    r->facts = arena_alloc(r->arena, n * sizeof *r->facts);
    MUST(r->facts);
    for (size_t i = 0; i < n; i++) {
        struct fact *f = &r->facts[i];
        *f = *facts[i];
        struct span *texts[] = { &f->enhanced, &f->reply, &f->text, &f->host, &f->mailer,
                                 &f->stage };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            *texts[k] = keep(r->arena, *texts[k]);
    }
    list_append(&q->reports, &r->node);
    report_try(q, r);
}

static struct report *report_of(struct qmgr *q, uint64_t txn)
{
    LIST_EACH(n, &q->reports) {
        struct report *r = CONTAINER(n, struct report, node);
        if (r->txn == txn)
            return r;
    }
    return NULL;
}

void report_stored(struct qmgr *q, uint64_t txn)
{
    struct report *r = report_of(q, txn);
    if (r)
        r->n = 0; /* freed when the flush has returned: the batch still points into it */
    loop_timer_in(q->env->loop, &q->again, 0);
}

void report_refused(struct qmgr *q, uint64_t txn, int error)
{
    struct report *r = report_of(q, txn);
    (void)error;
    if (r)
        r->txn = 0;
    loop_timer_in(q->env->loop, &q->again, AGAIN_MS);
}

void reports_again(void *ctx)
{
    struct qmgr *q = ctx;
    LIST_EACH(n, &q->reports) {
        struct report *r = CONTAINER(n, struct report, node);
        if (r->n == 0 || !spool_has(q->spool, r->seq))
            report_free(r);
        else if (r->txn == 0 && !report_try(q, r))
            return;
    }
}

void reports_free(struct qmgr *q)
{
    LIST_EACH(n, &q->reports)
        report_free(CONTAINER(n, struct report, node));
    LIST_EACH(n, &q->holds) {
        list_remove(n);
        free(CONTAINER(n, struct hold_note, node));
    }
}

/* --- settling --- */

struct pile {
    const struct fact *facts[DSN_AT_ONCE];
    size_t n;
};

static void pile_add(struct qmgr *q, struct pile *p, uint64_t seq, bool to_postmaster,
                     const struct fact *f)
{
    if (f)
        p->facts[p->n++] = f;
    if (p->n && (!f || p->n == DSN_AT_ONCE)) {
        report_begin(q, seq, dsn_kind_of(p->facts[0]), to_postmaster, p->facts, p->n);
        p->n = 0;
    }
}

static void settle_with_envelope(struct qmgr *q, const struct envelope *env, const struct fact *f,
                                 size_t n)
{
    struct pile *piles = must_calloc(2, sizeof *piles); /* to the sender, to the postmaster */
    for (size_t i = 0; i < n; i++) {
        enum dsn_due due = DSN_NONE;
        if (may_be_due(&f[i]) && f[i].rcpt < env->rcpt_count)
            due = dsn_due(env, &env->rcpts[f[i].rcpt], dsn_outcome_of(&f[i]),
                          q->config->postmaster);
        if (due == DSN_TO_SENDER)
            pile_add(q, &piles[0], env->seq, false, &f[i]);
        else if (due == DSN_TO_POSTMASTER)
            pile_add(q, &piles[1], env->seq, true, &f[i]);
        else if (due == DSN_ALARM)
            hold_for_admin(q, env, &f[i]);
        else
            record(q, env->seq, &f[i], f[i].final);
    }
    pile_add(q, &piles[0], env->seq, false, NULL);
    pile_add(q, &piles[1], env->seq, true, NULL);
    free(piles);
}

/* Facts of one kind: one report of all of them (or as many as DSN_AT_ONCE asks for). */
static void settle_kind(struct qmgr *q, uint64_t seq, const struct fact *f, size_t n)
{
    struct envelope env;
    struct arena *a = arena_new(REPORT_ARENA_MAX);
    if (spool_envelope(q->spool, seq, a, &env, NULL) == 0)
        settle_with_envelope(q, &env, f, n);
    else
        for (size_t i = 0; i < n; i++)
            record(q, seq, &f[i], false);
    arena_free(&a);
}

/* A job's failures and its "relayed" reports may stand in any order, with others between. */
void facts_settle(struct qmgr *q, uint64_t seq, const struct fact *f, size_t n)
{
    static const enum dsn_kind kinds[] = { DSN_FAILURE, DSN_DELAY, DSN_SUCCESS };
    struct fact *due = must_calloc(n ? n : 1, sizeof *due);
    for (size_t i = 0; i < n; i++)
        if (!may_be_due(&f[i]))
            record(q, seq, &f[i], f[i].final);
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
