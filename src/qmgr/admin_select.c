/* What a person does to messages: "act" to all that a filter means (queue/filter.h); "hold",
 * "release" and "delete" to those with the ids that are named, each of which has a row of its own.
 * What is done to each is admin_deeds.c's; here they are walked through, counted and answered for.
 * It is recorded in the spool before it is answered, so that a restart does not undo it. Each
 * message is done and logged by itself; when the one who asked goes away it stops between two
 * messages, and can be begun again: what is done is not meant any more, or is no change. */
#include "qmgr/admin_deeds.h"
#include "qmgr/admin_query.h"
#include "qmgr/keep.h"
#include "qmgr/reroute.h"

#include "base/must.h"
#include "base/num.h"
#include "proto/lists.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum {
    PROGRESS_MS = 200,
    FLUSH_BYTES = 64 << 10, /* of records, which one flush makes good */
    REPORTS_MS = 10000, /* longer than the router is waited for */
    REPORTS_LOOK_MS = 5,
};

struct acting {
    struct query y;
    const struct deed *deed;
    struct doing with;
    size_t cap;         /* for its recipients */
    bool flushed;       /* or about to be, when all is done */
    uint64_t reports_from, reports_upto; /* serials of those it begins */
    int64_t reports_ms;                  /* they are waited for until then; 0: not yet */
    struct loop_timer again;             /* meanwhile */
    struct buf ids;     /* list_next_text; when messages are named: */
    struct wire ids_left;
    bool by_ids;
    uint64_t seq;       /* the one at hand */
    uint64_t later;     /* of after_attempt, those before it */
    bool refused;       /* it could not be done */
    struct queueid id;  /* of the message at hand */
    uint32_t changed;   /* of the message at hand, so far */
    uint64_t looked_to; /* messages that have come since do not belong to it */
    bool since;         /* there are some */
    bool stopped;       /* in the middle */
    bool by_state;      /* it changes the states it asks for: see query_note */
    uint64_t of, looked, messages, recipients, in_session, frozen;
    struct buf frozen_as; /* the first name */
    int64_t told_ms;
};

/* --- one message --- */

/* Whether it is left alone, and counted. */
static bool left_alone(struct acting *d, const struct sched_rcpt_info *r)
{
    struct span name;
    if (d->deed->own_session && r->state == SCHED_ACTIVE) {
        d->in_session++;
        return true;
    }
    if (!d->deed->thawed || !r->frozen)
        return false;
    if (!d->frozen++ && sched_frozen_as(d->y.a->q->sched, r, &name))
        buf_puts(&d->frozen_as, name);
    return true;
}

/* Those of a message that are meant, or as many as fit in here and in this slice. */
static void collect(struct acting *d, const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    uint32_t i = d->y.rest;
    bool over = false;
    d->with.n = 0;
    for (; d->with.n < DEED_RCPTS_MAX && !over && sched_msg_rcpt(m->here, i, &r); i++) {
        over = admin_spent(d->y.a, 1);
        if (!query_rcpt(&d->y, m, &r) || !d->deed->concerns(&r) || left_alone(d, &r))
            continue;
        if (d->with.n == d->cap) {
            d->cap = d->cap ? d->cap * 2 : 16;
            d->with.rcpts =
                must_realloc(d->with.rcpts, must_mul(d->cap, sizeof *d->with.rcpts));
        }
        d->with.rcpts[d->with.n++] = i;
    }
    query_rest(&d->y, i < m->rcpt_count ? i : 0);
}

static void say_message(struct acting *d, struct span id, int n)
{
    struct events *e = d->y.a->q->env->events;
    event_begin(e, d->deed->event);
    event_str(e, FIELD_id, id);
    if (d->with.hop.len)
        event_str(e, FIELD_relay, buf_span(&d->with.hop));
    event_int(e, FIELD_count, n);
    event_str(e, FIELD_text, buf_span(&d->y.a->who));
    event_end(e);
    log_line(e, EVENT_INFO, "%.*s: %s%s%.*s by %.*s, nrcpts=%d", SPAN_ARG(id), d->deed->past,
             d->with.hop.len ? " to " : "", SPAN_ARG(buf_span(&d->with.hop)),
             SPAN_ARG(buf_span(&d->y.a->who)), n);
}

/* Of one message: an error, or what was done. */
static void say_id(struct acting *d, struct span id, const char *error)
{
    struct buf b;
    buf_init(&b, 8192);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "id", id);
    if (error) {
        json_str(&j, "error", span_str(error));
        d->y.a->failed++;
    } else {
        json_str(&j, "action", span_str(d->deed->past));
        json_uint(&j, "recipients", d->changed);
        if (d->with.after_attempt > d->later)
            json_bool(&j, "after_attempt", true);
    }
    json_close(&j);
    admin_row(d->y.a, &b);
    buf_free(&b);
}

static void message_done(struct acting *d)
{
    if (!d->changed)
        return;
    d->messages++;
    say_message(d, span_str(d->id.text), (int)d->changed);
    d->changed = 0;
}

static void act_gone(struct admin_ask *a)
{
    struct acting *d = a->own;
    message_done(d); /* as far as it was */
    loop_timer_stop(a->q->env->loop, &d->again);
    query_free(&d->y);
    last_free(&d->with.last);
    buf_free(&d->with.hop);
    buf_free(&d->with.why);
    buf_free(&d->frozen_as);
    buf_free(&d->ids);
    free(d->with.rcpts);
    free(d);
    a->own = NULL;
}

/* All of it, or a part: then it comes again, unless it is gone by then. */
static void act_on_message(struct acting *d, const struct sched_msg_info *m)
{
    if (!d->y.rest) {
        message_done(d);
        d->id = queueid_make(m->seq, m->received_ms);
        d->later = d->with.after_attempt;
        d->refused = false;
        d->looked++;
        last_forget(&d->with.last);
    }
    collect(d, m);
    int n = d->with.n ? d->deed->apply(&d->with, m) : 0;
    if (n < 0) {
        say_id(d, span_str(d->id.text), n == -ENOSPC ? "too many messages are rerouted already: "
                                                       "use --rule" : strerror(-n));
        query_rest(&d->y, 0);
        d->refused = true;
        n = 0;
    }
    d->changed += (uint32_t)n;
    d->recipients += (uint64_t)n;
    if (d->with.n) {
        d->y.a->changed = true;
        query_changed(&d->y);
        verdict_gone(d->y.a->q); /* forgetting them belongs to the work of the slice */
        admin_spent(d->y.a, ADMIN_CLOCK_UNITS + d->with.n * ADMIN_CHANGE_UNITS);
    }
    if (!d->y.rest && !d->by_ids)
        message_done(d);
}

/* --- by their ids --- */

/* The message an id names; the time in it must be right as well, lest a slip of the finger hits
 * a stranger's mail. */
static bool find_message(struct acting *d, struct span id, struct sched_msg_info *m)
{
    return queueid_seq(id, &d->seq) && sched_msg(d->y.q->sched, d->seq, m) && m->live_count &&
           span_eq(span_str(queueid_make(d->seq, m->received_ms).text), id);
}

static void id_done(struct acting *d)
{
    if (!d->refused)
        say_id(d, span_str(d->id.text), d->changed ? NULL : d->deed->no_change);
    message_done(d);
    query_rest(&d->y, 0);
}

/* False: it was the last. Of one that has very many recipients the rest comes in the next slices;
 * it may be gone by then. */
static bool act_on_next_id(struct acting *d)
{
    struct sched_msg_info m;
    struct span id;
    if (d->y.rest ? !sched_msg(d->y.q->sched, d->seq, &m) : false) {
        id_done(d);
        return true;
    }
    if (!d->y.rest && !list_next_text(&d->ids_left, &id))
        return false;
    admin_spent(d->y.a, ADMIN_CLOCK_UNITS);
    if (!d->y.rest && !find_message(d, id, &m)) {
        say_id(d, id, "there is no such message in the queue");
        return true;
    }
    act_on_message(d, &m);
    if (!d->y.rest)
        id_done(d);
    return true;
}

/* --- all of them --- */

static void put_frozen(struct acting *d, struct json *j)
{
    struct decision by;
    struct span name;
    json_uint(j, "frozen", d->frozen);
    json_str(j, "frozen_as", buf_span(&d->frozen_as));
    if (decision_get(d->y.a->q, KEEP_FROZEN, buf_span(&d->frozen_as), &name, &by)) {
        json_str(j, "who", by.who);
        json_int(j, "since_ms", by.at_ms);
    }
}

static void put_done(struct acting *d, struct json *j)
{
    json_str(j, "action", span_str(d->deed->past));
    json_uint(j, "messages", d->messages);
    json_uint(j, "recipients", d->recipients);
    if (d->with.untold)
        json_uint(j, "untold", d->with.untold);
    if (d->with.to_postmaster)
        json_uint(j, "to_postmaster", d->with.to_postmaster);
    if (d->in_session)
        json_uint(j, "in_session", d->in_session);
    if (d->frozen)
        put_frozen(d, j);
    if (d->with.after_attempt)
        json_uint(j, "after_attempt", d->with.after_attempt);
    if (d->since)
        json_bool(j, "since", true);
    if (d->stopped)
        json_bool(j, "stopped", true);
    if (d->deed->note && d->messages)
        json_str(j, "note", span_str(d->deed->note));
}

static void say_row(struct acting *d, bool done)
{
    struct buf b;
    buf_init(&b, 1024);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    if (done) {
        put_done(d, &j);
    } else {
        json_uint(&j, "progress", d->messages);
        json_uint(&j, "looked", d->looked);
        json_uint(&j, "of", d->of);
    }
    json_close(&j);
    admin_row(d->y.a, &b);
    buf_free(&b);
}

/* Those that are begun meanwhile for other mail are no concern of a hold. */
static bool reports_due(const struct acting *d)
{
    return d->deed->reports && reports_wait(d->y.a->q, d->reports_from, d->reports_upto);
}

/* A final failure is one commit with its report, for which the router is asked who gets it: until
 * then a crash undoes what was done. False: they are there, or have been waited for long enough. */
static bool await_reports(struct admin_ask *a, struct acting *d)
{
    int64_t now_ms = loop_mono_ms(a->q->env->loop);
    if (!d->reports_ms) {
        d->reports_ms = now_ms + REPORTS_MS;
        d->reports_upto = a->q->report_serial;
    }
    if (now_ms >= d->reports_ms || !reports_due(d))
        return false;
    loop_timer_in(a->q->env->loop, &d->again, REPORTS_LOOK_MS);
    return true;
}

static void on_again(void *ctx) { admin_again(ctx); }

static void act_end(struct admin_ask *a, struct acting *d, bool kept)
{
    if (!kept)
        admin_end(a, EX_IOERR, "done, but not on disk: it cannot be written at the moment");
    else if (reports_due(d))
        admin_end(a, EX_IOERR, "done, but not all reports are on disk, nor what they are about: a "
                               "restart may undo it");
    else if (a->failed && d->by_ids)
        admin_end(a, EX_NOINPUT, "not all of them could be found and changed");
    else if (a->failed)
        admin_end(a, EX_TEMPFAIL, "not all of them could be changed");
    else
        admin_end(a, ADMIN_OK, "");
}

/* All is done; it is answered in a slice after the flush. */
static void act_done(struct admin_ask *a, struct acting *d)
{
    struct qmgr *q = a->q;
    message_done(d);
    if (!d->flushed) {
        d->flushed = true;
        loop_hook_ask(q->env->loop, &q->flush); /* and the work that has come of it */
        admin_next(a);
        return;
    }
    if (await_reports(a, d))
        return;
    int error = keep_flush(q); /* of reroute */
    if (spool_dirty_since(q->spool) >= 0)
        store_flush(q); /* by other mail since then, or it is the flush that failed */
    if (!d->by_ids)
        say_row(d, true);
    act_end(a, d, !error && spool_dirty_since(q->spool) < 0);
}

static void tell_progress(struct admin_ask *a, struct acting *d)
{
    int64_t now_ms = loop_mono_ms(a->q->env->loop);
    if (now_ms - d->told_ms < PROGRESS_MS)
        return;
    d->told_ms = now_ms;
    d->of = d->y.by_cells ? d->y.sum.messages : sched_totals(a->q->sched).messages;
    say_row(d, false);
}

/* As many as fit in the slice. False: that was all. */
static bool act_on_meant(struct acting *d)
{
    struct sched_msg_info m;
    enum query_got got;
    do {
        got = query_next(&d->y, 0, &m);
        d->since = got == QUERY_ONE && m.age > d->looked_to;
        if (got == QUERY_END || d->since)
            return false;
        if (got == QUERY_ONE)
            act_on_message(d, &m);
    } while (got == QUERY_ONE && !d->y.a->now.over);
    return true;
}

static bool act_on_ids(struct acting *d)
{
    bool more;
    do
        more = act_on_next_id(d);
    while (more && !d->y.a->now.over);
    return more;
}

/* What is recorded goes to the disk with the mail that comes in, or when it is enough for a flush
 * of its own: all of a large action in one would hold up the mail behind it. */
static void act_slice(struct admin_ask *a)
{
    struct acting *d = a->own;
    struct qmgr *q = a->q;
    if (d->flushed) {
        act_done(a, d);
        return;
    }
    if (a->stop) {
        d->stopped = true;
        act_done(a, d);
        return;
    }
    if (d->by_state && !d->y.noted) {
        struct query_sum unused = { 0 };
        query_note(&d->y, 0, &unused);
        admin_next(a);
        return;
    }
    if (!(d->by_ids ? act_on_ids(d) : act_on_meant(d))) {
        act_done(a, d);
        return;
    }
    if (spool_batch_bytes(q->spool) >= FLUSH_BYTES)
        loop_hook_ask(q->env->loop, &q->flush);
    loop_hook_ask(q->env->loop, &q->work);
    if (!d->by_ids)
        tell_progress(a, d);
    admin_next(a);
}

static int take_option(struct admin_ask *a, struct span arg, struct err *err)
{
    struct acting *d = a->own;
    if (span_starts(arg, SPAN("nexthop="))) {
        buf_puts(&d->with.hop, span_from(arg, 8));
        return reroute_check(buf_span(&d->with.hop), err) ? 1 : -1;
    }
    if (span_starts(arg, SPAN("upto="))) {
        if (num_u64(span_from(arg, 5), &d->looked_to))
            return 1;
        err_set(err, "upto=AGE, as count said it");
        return -1;
    }
    if (!span_starts(arg, SPAN("action=")))
        return 0;
    d->deed = deed_named(span_from(arg, 7));
    if (!d->deed)
        err_set(err, "qmgr does not know this action");
    return d->deed ? 1 : -1;
}

static struct acting *acting_new(struct admin_ask *a)
{
    struct acting *d = NEW(struct acting);
    a->own = d;
    a->own_gone = act_gone;
    d->with.a = a;
    last_init(&d->with.last, a->q);
    buf_init(&d->with.hop, ENVELOPE_TEXT_MAX);
    buf_init(&d->with.why, 512);
    buf_init(&d->frozen_as, NOTES_KEY_MAX);
    d->looked_to = sched_walk_end(a->q->sched);
    d->told_ms = loop_mono_ms(a->q->env->loop);
    d->reports_from = a->q->report_serial;
    loop_timer_init(&d->again, on_again, a);
    return d;
}

void admin_act(struct admin_ask *a, struct wire *args)
{
    struct acting *d = acting_new(a);
    if (!query_init(&d->y, a, args, take_option))
        return;
    if (!d->deed || d->deed->hop != (d->with.hop.len > 0)) {
        admin_end(a, EX_USAGE, d->deed ? "a next hop is for reroute, and reroute needs one"
                                       : "which action?");
        return;
    }
    buf_printf(&d->with.why, "%s by %.*s", d->deed->past, SPAN_ARG(buf_span(&a->who)));
    d->by_state = d->deed->opens && d->y.fields & QUERY_FIELD(QUEUE_STATE);
    if (d->deed->opens)
        sites_ask_anew(a->q);
    a->slice = act_slice;
}

/* Of a hold the first word may be its reason. */
static void admin_ids(struct admin_ask *a, const char *name, struct wire *args)
{
    struct acting *d = acting_new(a);
    struct wire none = { .rest = SPAN_NONE }, first = *args;
    struct span word;
    query_init(&d->y, a, &none, NULL);
    d->deed = deed_named(span_str(name));
    if (d->deed->reason && list_next_text(&first, &word) &&
        span_starts(word, SPAN("reason="))) {
        buf_puts(&d->with.why, span_to(span_from(word, 7), SCHED_REASON_MAX));
        *args = first;
    }
    if (!d->with.why.len)
        buf_printf(&d->with.why, "%s by %.*s", d->deed->past, SPAN_ARG(buf_span(&a->who)));
    if (!args->rest.n) {
        admin_end(a, EX_USAGE, "which message? its id is missing");
        return;
    }
    buf_init(&d->ids, args->rest.n + 1);
    buf_puts(&d->ids, args->rest);
    d->ids_left = wire_reader(buf_span(&d->ids));
    d->by_ids = true;
    a->slice = act_slice;
}

void admin_hold(struct admin_ask *a, struct wire *args) { admin_ids(a, "hold", args); }
void admin_release(struct admin_ask *a, struct wire *args) { admin_ids(a, "release", args); }
void admin_delete(struct admin_ask *a, struct wire *args) { admin_ids(a, "delete", args); }
