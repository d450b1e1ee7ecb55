/* Reports: composed, and stored together with the facts that cause them in one commit. A report
 * whose commit is refused stays in memory and is tried again; its recipients are live in the
 * spool until then, so a crash meanwhile only means that they are tried once more. In the schedule
 * the message is kept until then as well (pinned): should its report turn out to be impossible,
 * who failed is held there. */
#include "qmgr/inside.h"

#include "base/must.h"
#include "proto/lists.h"

#include <errno.h>
#include <stdlib.h>

enum {
    REPORT_ARENA_MAX = 16 << 20, /* the facts: DSN_AT_ONCE of them */
    WORK_ARENA_MAX = 256 << 20,  /* an envelope of any size, and a header */
    AGAIN_MS = 5000,
    EXPAND_MS = 5000,
    AGAIN_AT_ONCE = 64,
    UNREAD_MAX = 60, /* five minutes of it */
    ENCODED = 3,     /* times as long is a byte in quoted-printable */
};

#define OWN_TXN (UINT64_C(1) << 63)

struct report {
    struct list node;    /* in q->reports_asking, q->reports, or in q->reports_out while in the
                            batch */
    struct arena *arena; /* the facts */
    struct arena *work;  /* of one try; the batch points into it and into text */
    struct buf text;
    uint64_t serial;
    uint64_t seq; /* of the message it is about */
    struct queueid about, id;
    enum dsn_kind kind;
    bool to_postmaster, stored, pinned;
    unsigned unread; /* tries at which the message could not be read */
    struct span to;
    uint64_t expand;      /* while it is in q->reports_asking: the question's number */
    int64_t asked_ms;
    struct envelope_rcpt *targets; /* who gets it, when that is not just `to` */
    size_t target_count;
    struct fact *facts;
    size_t n;
};

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
                      struct arena *a)
{
    struct buf ip;
    buf_init(&ip, NETADDR_TEXT_MAX);
    if (f->relay.family != NETADDR_NONE)
        netaddr_put_ip(&ip, &f->relay);
    *d = (struct dsn_rcpt){ .rcpt = &env->rcpts[f->rcpt],
                            .status = f->enhanced,
                            .last_status = f->last_status,
                            .reply = f->reply.n ? f->reply : f->text,
                            .local = f->reply.n == 0,
                            .host = f->host,
                            .ip = arena_dup(a, buf_span(&ip)),
                            .stage = f->stage,
                            .tls = f->tls,
                            .mailbox = f->mailbox,
                            .expanded = f->expanded,
                            .expired = f->kind == SPOOL_EXPIRED,
                            .untried = f->untried,
                            .returned = f->returned,
                            .ended = f->ended,
                            .duplicate = f->kind == SPOOL_UNKNOWN,
                            .attempts = f->attempts,
                            .waited_ms = f->waited_ms,
                            .limit_ms = f->after_ms,
                            .last_attempt_ms = f->at_ms,
                            .will_retry_until_ms = f->until_wall_ms };
    buf_free(&ip);
}

static bool compose(struct qmgr *q, struct report *r, const struct envelope *env, uint64_t size,
                    uint32_t *flags_r)
{
    struct arena *a = r->work;
    struct dsn_rcpt *rcpts = arena_alloc(a, r->n * sizeof *rcpts);
    if (!rcpts)
        return false;
    const struct config_returned *cfg = &q->config->report;
    for (size_t i = 0; i < r->n; i++)
        fill_rcpt(&rcpts[i], &r->facts[i], env, a);
    bool wanted = dsn_wants_full(env, r->kind, cfg->returns == CONFIG_RETURN_FULL);
    bool full = wanted && size <= cfg->full_max_bytes;
    uint64_t front_max = full || size < DSN_HEADER_MAX ? size : DSN_HEADER_MAX;
    struct span front = read_front(q, a, r->seq, (size_t)front_max);
    struct dsn_report d = { .kind = r->kind,
                            .double_bounce = r->to_postmaster,
                            .env = env,
                            .to = r->to,
                            .id = r->id,
                            .hostname = q->config->hostname,
                            .postmaster = q->config->postmaster,
                            .rcpts = rcpts,
                            .rcpt_count = r->n,
                            .header = header_of(front),
                            .content = full ? front : SPAN_NONE,
                            .too_long_bytes = wanted && !full ? cfg->full_max_bytes : 0,
                            .now_ms = loop_wall_ms(q->env->loop),
                            .random = loop_random_u64(q->env->loop) };
    buf_init(&r->text, DSN_OUT_MAX + ENCODED * (full ? (size_t)size : 0));
    return dsn_compose(&d, &r->text, flags_r);
}

/* "for 5 days", in the largest unit that is exact. */
static void put_age(struct buf *b, const char *words, int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = { { 86400000, "day" }, { 3600000, "hour" }, { 60000, "minute" },
                  { 1000, "second" } };
    size_t i = 0;
    while (i + 1 < sizeof units / sizeof *units && ms % units[i].ms)
        i++;
    long long n = ms / units[i].ms;
    buf_printf(b, "%s %lld %s%s", words, n, units[i].name, n == 1 ? "" : "s");
}

/* The age at which its rule has this happen; what a person ended before: its own. */
static int64_t age_of(struct qmgr *q, const struct report *r, const struct fact *f)
{
    struct sched_msg_info m;
    int64_t age_ms = f->after_ms;
    if (!age_ms && sched_msg(q->sched, r->seq, &m))
        age_ms = loop_wall_ms(q->env->loop) - m.received_ms;
    return age_ms > 0 ? age_ms - age_ms % 1000 : 0;
}

static void say_sent(struct qmgr *q, const struct report *r)
{
    static const char *const words[] = { [DSN_FAILURE] = "DSN",
                                         [DSN_DELAY] = "sender notify",
                                         [DSN_SUCCESS] = "return receipt" };
    const struct fact *f = &r->facts[0];
    struct events *e = q->env->events;
    event_begin(e, r->to_postmaster ? EVENT_double_bounce : EVENT_dsn_sent);
    event_str(e, FIELD_id, span_str(r->about.text));
    event_str(e, FIELD_to, r->to);
    event_str(e, FIELD_text, span_str(r->id.text));
    event_end(e);
    struct buf *b = log_begin(e, EVENT_INFO);
    buf_printf(b, "%s: %s: %s: ", r->about.text, r->id.text,
               r->to_postmaster ? "return to postmaster" : words[r->kind]);
    if (f->kind == SPOOL_DELAY_REPORTED)
        put_age(b, "Warning: could not send message for past", age_of(q, r, f));
    else if (f->kind == SPOOL_EXPIRED)
        put_age(b, "Cannot send message for", age_of(q, r, f));
    else
        log_text(b, f->kind == SPOOL_FAILED ? say_failure(f) : f->text, 200);
    log_end(e);
}

/* --- storing --- */

/* The commit, in the work arena; NULL: full. */
static struct spool_commit *make_commit(struct qmgr *q, struct report *r,
                                        struct batch_item *item)
{
    struct arena *a = r->work;
    struct spool_commit *c = arena_alloc(a, sizeof *c);
    struct spool_outcome *bound = arena_alloc(a, r->n * sizeof *bound);
    struct fact_remote *remotes = arena_alloc(a, r->n * sizeof *remotes);
    struct span *content = arena_alloc(a, sizeof *content);
    if (!c || !bound || !remotes || !content)
        return NULL;
    for (size_t i = 0; i < r->n; i++)
        bound[i] = fact_outcome(q, r->seq, &r->facts[i], &remotes[i]);
    *content = buf_span(&r->text);
    *c = (struct spool_commit){ .txn = item->txn,
                                .env = &item->env,
                                .content = content,
                                .content_count = 1,
                                .bound = bound,
                                .bound_count = r->n };
    return c;
}

/* Puts it into the batch: 0 or -errno. */
static int store(struct qmgr *q, struct report *r, uint64_t seq, uint32_t flags)
{
    size_t n = r->target_count ? r->target_count : 1;
    struct envelope_rcpt *to = arena_alloc(r->work, n * sizeof *to);
    if (!to)
        return -ENOMEM;
    struct batch_item *item = batch_add(q);
    *to = (struct envelope_rcpt){ .addr = r->to };
    for (size_t i = 0; i < n; i++) {
        to[i] = r->target_count ? r->targets[i] : to[i];
        to[i].notify = NOTIFY_NEVER;
        to[i].own_sender = false; /* a report has the null sender, to a list as well */
        to[i].sender = SPAN_NONE;
    }
    item->txn = OWN_TXN | ++q->next_own_txn;
    item->report = r;
    item->env = (struct envelope){ .seq = seq,
                                   .received_ms = loop_wall_ms(q->env->loop),
                                   .flags = flags |
                                            (r->to_postmaster ? ENVELOPE_DOUBLE : 0),
                                   .proto = SPAN("local"),
                                   .rcpts = to,
                                   .rcpt_count = n };
    item->size_bytes = r->text.len;
    struct spool_commit *c = make_commit(q, r, item);
    int error = c ? spool_commit(q->spool, c) : -ENOMEM;
    if (error)
        q->batch_count--;
    return error;
}

/* All of a report's recipients have the same sender; what the first sender asked for its own
 * reports (ENVID, RET) is not for a list's owner. */
static void take_sender(const struct report *r, struct envelope *env)
{
    const struct envelope_rcpt *first =
        r->facts[0].rcpt < env->rcpt_count ? &env->rcpts[r->facts[0].rcpt] : NULL;
    if (!first || !first->own_sender)
        return;
    env->sender = first->sender;
    env->envid = SPAN_NONE;
    env->flags &= ~(uint32_t)(ENVELOPE_RET_FULL | ENVELOPE_RET_HDRS);
}

/* One try: 0, or -errno. */
static int attempt(struct qmgr *q, struct report *r)
{
    struct envelope env;
    uint64_t size = 0;
    uint32_t flags = 0;
    int error = spool_envelope(q->spool, r->seq, r->work, &env, &size);
    if (error)
        return error == -EIO && ++r->unread >= UNREAD_MAX ? -EILSEQ : error;
    take_sender(r, &env);
    uint64_t seq = spool_lease_ids(q->spool, 1, loop_wall_ms(q->env->loop));
    if (!seq)
        return -EIO;
    r->id = queueid_make(seq, loop_wall_ms(q->env->loop));
    return compose(q, r, &env, size, &flags) ? store(q, r, seq, flags) : -EMSGSIZE;
}

static void report_free(struct qmgr *q, struct report *r)
{
    list_remove(&r->node);
    if (r->pinned) {
        sched_unpin(q->sched, r->seq);
        loop_hook_ask(q->env->loop, &q->work); /* it may be gone now */
    }
    buf_free(&r->text);
    arena_free(&r->work);
    arena_free(&r->arena);
    free(r);
}

/* One of q->reports. */
static void report_drop(struct qmgr *q, struct report *r)
{
    q->report_count--;
    report_free(q, r);
}

/* Not this disk's mood: it cannot be made at all. Nothing is lost in silence for that. */
static void give_up(struct qmgr *q, struct report *r)
{
    struct span about = span_str(r->about.text);
    for (size_t i = 0; i < r->n; i++) {
        if (r->kind == DSN_FAILURE)
            fact_hold(q, r->seq, about, &r->facts[i],
                      "it failed, and a report of that cannot be made");
        else
            fact_record(q, r->seq, &r->facts[i]);
    }
    if (r->kind != DSN_FAILURE)
        log_line(q->env->events, EVENT_WARNING, "%s: a report that was due cannot be made",
                 r->about.text);
}

/* A warning that waited may be about some who have it meanwhile. To record a delay of theirs now
 * would call them back to life: what is recorded last counts. */
static void forget_settled(struct qmgr *q, struct report *r)
{
    struct sched_rcpt_info info;
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        if (sched_rcpt(q->sched, r->seq, r->facts[i].rcpt, &info) && info.state < SCHED_LIVE)
            r->facts[n++] = r->facts[i];
    r->n = n;
}

static void wait_for_retry(struct qmgr *q, int64_t ms)
{
    if (!loop_timer_set(&q->again))
        loop_timer_in(q->env->loop, &q->again, ms);
}

/* One of q->reports, which may be gone then: into the batch, or given up; or it stays. */
static void report_try(struct qmgr *q, struct report *r)
{
    if (r->kind == DSN_DELAY)
        forget_settled(q, r);
    if (r->n == 0) {
        report_drop(q, r);
        return;
    }
    r->work = arena_new(WORK_ARENA_MAX);
    int error = attempt(q, r);
    if (!error) {
        list_remove(&r->node);
        list_append(&q->reports_out, &r->node);
        q->report_count--;
        return;
    }
    buf_free(&r->text);
    arena_free(&r->work);
    if (error == -ENOSPC || error == -EIO) {
        wait_for_retry(q, AGAIN_MS);
        return;
    }
    if (error != -ENOENT) /* else the message itself is gone: removed by a person */
        give_up(q, r);
    report_drop(q, r);
}

static struct span keep(struct arena *a, struct span s)
{
    struct span copy = arena_dup(a, s);
    return copy.p ? copy : SPAN_NONE;
}

static void keep_fact(struct arena *a, struct fact *to, const struct fact *f)
{
    *to = *f;
    struct span *texts[] = { &to->enhanced, &to->reply, &to->text, &to->host,       &to->mailer,
                             &to->stage,    &to->tls,   &to->dest, &to->last_status };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = keep(a, *texts[i]);
}

/* Whether its answer is to be waited for. */
static bool ask_router(struct qmgr *q, struct report *r)
{
    if (!q->router || channel_full(q->router))
        return false;
    struct msg_expand m = { .q = ++q->next_expand, .rcpt = r->to };
    r->expand = m.q;
    r->asked_ms = loop_mono_ms(q->env->loop);
    send_expand(q->router, &m);
    return true;
}

/* It is known who gets it, or will not be. */
static void report_ready(struct qmgr *q, struct report *r)
{
    list_remove(&r->node);
    list_append(&q->reports, &r->node);
    q->report_count++;
    report_try(q, r);
}

static void take_targets(struct report *r, struct span targets)
{
    struct wire w = wire_reader(targets);
    struct envelope_rcpt e;
    size_t n = 0;
    while (list_next_target(&w, &e))
        n++;
    r->targets = n && !w.bad ? arena_alloc(r->arena, n * sizeof *r->targets) : NULL;
    w = wire_reader(targets);
    while (r->targets && r->target_count < n && list_next_target(&w, &e)) {
        e.addr = keep(r->arena, e.addr);
        if (!e.addr.p)
            break;
        r->targets[r->target_count++] = e;
    }
}

void report_expanded(struct qmgr *q, uint64_t number, struct span targets)
{
    LIST_EACH(node, &q->reports_asking) { /* answers come in the order of the questions */
        struct report *r = CONTAINER(node, struct report, node);
        if (r->expand != number)
            continue;
        take_targets(r, targets);
        report_ready(q, r);
        return;
    }
}

/* Without an answer it goes to whom it is for, as that stands. At the end none is waited for. */
void reports_stop_asking(struct qmgr *q)
{
    int64_t since_ms = loop_mono_ms(q->env->loop) - EXPAND_MS;
    LIST_EACH(node, &q->reports_asking) {
        struct report *r = CONTAINER(node, struct report, node);
        if (!q->router || q->finishing || r->asked_ms <= since_ms)
            report_ready(q, r);
    }
    if (!list_empty(&q->reports_asking))
        wait_for_retry(q, EXPAND_MS);
}

void report_begin(struct qmgr *q, uint64_t seq, enum dsn_kind kind, bool to_postmaster,
                  struct span to, const struct fact *const *facts, size_t n)
{
    struct report *r = NEW(struct report);
    struct sched_msg_info m = { 0 };
    sched_msg(q->sched, seq, &m);
    r->arena = arena_new(REPORT_ARENA_MAX);
    r->serial = ++q->report_serial;
    r->seq = seq;
    r->pinned = sched_pin(q->sched, seq);
    r->about = queueid_make(seq, m.received_ms);
    r->kind = kind;
    r->to_postmaster = to_postmaster;
    r->n = n;
    r->facts = arena_alloc(r->arena, n * sizeof *r->facts);
    MUST(r->facts);
    for (size_t i = 0; i < n; i++)
        keep_fact(r->arena, &r->facts[i], facts[i]);
    r->to = keep(r->arena, to);
    if (ask_router(q, r)) {
        list_append(&q->reports_asking, &r->node);
        wait_for_retry(q, EXPAND_MS);
        return;
    }
    report_ready(q, r);
}

/* --- what the flush said --- */

void report_stored(struct qmgr *q, struct report *r)
{
    r->stored = true;
    say_sent(q, r);
}

/* The flush has returned, and nothing points into them any more. */
void reports_flushed(struct qmgr *q)
{
    LIST_EACH(n, &q->reports_out) {
        struct report *r = CONTAINER(n, struct report, node);
        if (r->stored) {
            report_free(q, r);
            continue;
        }
        buf_free(&r->text);
        arena_free(&r->work);
        list_remove(n);
        list_append(&q->reports, n);
        q->report_count++;
        wait_for_retry(q, AGAIN_MS);
    }
}

/* Some at a time, and each of them in its turn: one that cannot be stored stops no other. */
void reports_again(void *ctx)
{
    struct qmgr *q = ctx;
    reports_stop_asking(q);
    size_t max = q->report_count < AGAIN_AT_ONCE ? q->report_count : AGAIN_AT_ONCE;
    for (size_t i = 0; i < max; i++) {
        struct list *n = list_first(&q->reports);
        if (!n)
            return;
        list_remove(n);
        list_append(&q->reports, n);
        report_try(q, CONTAINER(n, struct report, node));
    }
    if (q->report_count)
        wait_for_retry(q, q->report_count > max ? AGAIN_MS / 10 : AGAIN_MS);
}

bool reports_wait(struct qmgr *q, uint64_t after, uint64_t upto)
{
    struct list *lists[] = { &q->reports_asking, &q->reports, &q->reports_out };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        LIST_EACH(node, lists[i]) {
            const struct report *r = CONTAINER(node, struct report, node);
            if (r->serial > after && r->serial <= upto)
                return true;
        }
    return false;
}

void reports_free(struct qmgr *q)
{
    LIST_EACH(asking, &q->reports_asking)
        report_free(q, CONTAINER(asking, struct report, node));
    LIST_EACH(n, &q->reports)
        report_free(q, CONTAINER(n, struct report, node));
    LIST_EACH(out, &q->reports_out)
        report_free(q, CONTAINER(out, struct report, node));
}
