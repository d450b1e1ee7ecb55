/* From what the schedule says of a recipient, and what deliver or the router said, to facts. */
#include "qmgr/reroute.h"

#include "attempt/attempt.h"
#include "base/must.h"
#include "base/num.h"
#include "smtp/client.h"

#include <stdlib.h>

enum { TURN_WORDS_MAX = 2048 };

static bool is_relayed(const struct job_rcpt *g)
{
    return g && (g->bits & (RESULT_DSN_DUE | RESULT_MAILBOX)) == RESULT_DSN_DUE;
}

static uint8_t spool_kind(const struct sched_verdict *v, const struct job_rcpt *g)
{
    switch (v->state) {
    case SCHED_DELIVERED: return is_relayed(g) ? SPOOL_RELAYED : SPOOL_DELIVERED;
    case SCHED_FAILED: return SPOOL_FAILED;
    case SCHED_EXPIRED: return SPOOL_EXPIRED;
    case SCHED_DISCARDED:
    case SCHED_DELETED: return SPOOL_REMOVED;
    case SCHED_WAITING:
    case SCHED_HELD: return SPOOL_HELD;
    default: return v->duplicate ? SPOOL_UNKNOWN : SPOOL_DEFERRED;
    }
}

static struct span status_of(const struct sched_verdict *v, struct span given)
{
    if (given.n && v->state != SCHED_EXPIRED)
        return given;
    switch (v->state) {
    case SCHED_DELIVERED:
    case SCHED_DISCARDED: return SPAN("2.0.0");
    case SCHED_FAILED: return SPAN("5.0.0");
    case SCHED_EXPIRED: return SPAN("4.4.7");
    default: return SPAN("4.0.0");
    }
}

/* For `postern why`: what happened to those that still wait. */
static void keep_story(struct qmgr *q, const struct job *j, const struct sched_verdict *v)
{
    uint32_t *rcpts = j->story.n ? must_calloc(j->rcpt_count, sizeof *rcpts) : NULL;
    size_t n = 0;
    for (uint32_t i = 0; rcpts && i < j->rcpt_count; i++)
        if (v[i].state < SCHED_LIVE && j->got[i].kind != SCHED_OUT_STALE)
            rcpts[n++] = v[i].rcpt;
    if (n) {
        spool_story(q->spool, j->seq, &(struct spool_story){ rcpts, n, j->story });
        dest_failed(q, j->dest, j->seq, j->story);
    }
    free(rcpts);
}

/* Which limit has ended it: "expire_after = 2h of delivery_rule "lists"". */
static void take_limit(struct qmgr *q, struct span dest, struct arena *a, struct fact *f)
{
    const struct config *cfg = q->config;
    struct sched_place_info site;
    struct buf b;
    uint32_t rule = dest.n && sched_site_of(q->sched, dest, &site) ? site.rule : 0;
    bool own = rule && rule <= cfg->n_rules && cfg->rules[rule - 1].expire_after_ms;
    buf_init(&b, TURN_WORDS_MAX);
    buf_putz(&b, own ? "expire_after = " : "retry.expire_after = ");
    num_put_duration(&b, f->after_ms);
    if (own)
        buf_printf(&b, " of delivery_rule \"%.*s\"", SPAN_ARG(cfg->rules[rule - 1].name));
    f->over = arena_dup(a, buf_span(&b));
    buf_free(&b);
}

void verdict_job(struct qmgr *q, struct job *j, const struct sched_verdict *v)
{
    struct fact *facts = must_calloc(j->rcpt_count, sizeof *facts);
    struct attempt story;
    struct span tls = j->story.n && attempt_get(j->story, &story) ? story.tls : SPAN_NONE;
    size_t n = 0;
    for (uint32_t i = 0; i < j->rcpt_count; i++) {
        const struct job_rcpt *g = &j->got[i];
        /* Nothing was tried for it: it goes out again at once, and there is nothing to say. */
        if (v[i].state == SCHED_READY && g->kind == SCHED_OUT_STALE)
            continue;
        facts[n++] = (struct fact){
            .rcpt = v[i].rcpt,
            .kind = spool_kind(&v[i], g),
            .final = v[i].state >= SCHED_LIVE,
            .attempts = v[i].attempts,
            .next_wall_ms = v[i].next_try_wall_ms,
            .enhanced = status_of(&v[i], g->enhanced),
            .reply = g->reply,
            .text = g->text,
            .host = g->host,
            .relay = g->relay,
            .mailer = j->mailer,
            .dest = j->dest,
            .stage = span_str(smtp_stage_name(g->stage, false)),
            .tls = v[i].state == SCHED_DELIVERED ? SPAN_NONE : tls,
            .code = g->code,
            .xdelay_ms = g->ms,
            .relayed_report = v[i].state == SCHED_DELIVERED && g->bits & RESULT_DSN_DUE,
            .mailbox = g->bits & RESULT_MAILBOX,
            .warned = v[i].warned,
            .at_ms = loop_wall_ms(q->env->loop),
            .last_status = g->enhanced,
            .deleted = v[i].state == SCHED_DELETED,
        };
        if (v[i].state != SCHED_EXPIRED)
            continue;
        facts[n - 1].after_ms = sched_expire_ms(q->sched, j->dest);
        take_limit(q, j->dest, j->arena, &facts[n - 1]);
    }
    say_facts(q, j->seq, facts, n);
    live_facts(q, j->seq, j->id, facts, n);
    for (uint32_t i = 0; i < j->rcpt_count; i++) {
        if (!(j->got[i].bits & RESULT_EIGHTBIT) || v[i].state != SCHED_DELIVERED)
            continue;
        say_eightbit(q, j->seq, j->got[i].host); /* once: it is the message, not the recipient */
        break;
    }
    facts_settle(q, j->seq, facts, n);
    keep_story(q, j, v);
    free(facts);
}

void verdict_route(struct qmgr *q, uint64_t seq, const struct sched_verdict *v,
                   const struct route_dest *d, struct span reason)
{
    struct fact f = { .rcpt = v->rcpt,
                      .kind = spool_kind(v, NULL),
                      .final = v->state >= SCHED_LIVE,
                      .attempts = v->attempts,
                      .next_wall_ms = v->next_try_wall_ms,
                      .enhanced = status_of(v, d ? d->code : SPAN_NONE),
                      .text = reason,
                      .mailer = span_str(d ? route_mailer_name(d->mailer) : "error"),
                      .dest = d ? d->queue : SPAN_NONE,
                      .code = d ? d->reply : 0,
                      .warned = v->warned,
                      .last_status = d ? d->code : SPAN_NONE,
                      .waits = v->state == SCHED_WAITING };
    say_facts(q, seq, &f, 1);
    live_facts(q, seq, 0, &f, 1);
    if (!f.waits) /* after a restart it is routed again, and waits again */
        facts_settle(q, seq, &f, 1);
}

/* It is over as soon as it comes up, and the report of it is made: RFC 3461 5.2.7. */
void verdict_told(struct qmgr *q, uint64_t seq, uint32_t rcpt)
{
    const struct envelope *env = store_envelope(q, seq);
    bool list = env && rcpt < env->rcpt_count && env->rcpts[rcpt].flags & ENVELOPE_RCPT_LIST;
    struct span words = list ? SPAN("to the mailing list") : SPAN("to those it stands for");
    struct sched_verdict v;
    if (!sched_routed(q->sched, seq, rcpt, SCHED_DISCARD, words, qmgr_now(q), &v))
        return;
    struct fact f = { .rcpt = rcpt,
                      .kind = SPOOL_EXPANDED,
                      .final = true,
                      .enhanced = SPAN("2.0.0"),
                      .text = words,
                      .mailer = SPAN("expanded"),
                      .relayed_report = true,
                      .expanded = true,
                      .mailbox = list };
    say_facts(q, seq, &f, 1);
    live_facts(q, seq, 0, &f, 1);
    facts_settle(q, seq, &f, 1);
}

/* --- expiry and warnings: one report for all of a message --- */

/* Its turn did not come: for whose sake? The schedule gives no reason to what merely waits. */
static struct span turn_words(struct qmgr *q, const struct sched_event *ev,
                              const struct sched_rcpt_info *r, struct arena *a)
{
    struct sched_place_info site;
    struct buf b;
    if (r->state == SCHED_ACTIVE)
        return SPAN("its first attempt is still under way");
    if (!ev->dest.n || !sched_site_of(q->sched, ev->dest, &site))
        return SPAN("nobody has found out where it goes");
    buf_init(&b, TURN_WORDS_MAX);
    if (site.interval_us) {
        buf_putz(&b, "only one message in ");
        num_put_duration(&b, (site.interval_us + 999) / 1000);
        buf_putz(&b, " may be sent there");
    } else if (site.crowded) {
        buf_putz(&b, "all connections that such a place may have are in use");
    } else if (site.limit && site.active >= site.limit) {
        buf_printf(&b, "not more than %u deliveries at once may go there", site.limit);
    } else {
        buf_putz(&b, "other mail to there came first");
    }
    if (site.why.n)
        buf_printf(&b, ", since it said: %.*s", SPAN_ARG(site.why));
    struct span words = arena_dup(a, buf_span(&b));
    buf_free(&b);
    return words;
}

static struct fact event_fact(struct qmgr *q, const struct sched_event *ev, struct last *last,
                              struct arena *a)
{
    struct sched_rcpt_info r = { 0 };
    sched_rcpt(q->sched, ev->seq, ev->rcpt, &r);
    bool expired = ev->kind == SCHED_EVENT_EXPIRED;
    struct span reason = arena_dup(a, ev->reason), dest = arena_dup(a, ev->dest);
    struct sched_now now = qmgr_now(q);
    struct fact f = { .rcpt = ev->rcpt,
                      .next_wall_ms = r.next_try_ms && !expired
                                          ? now.wall_ms + (r.next_try_ms - now.mono_ms)
                                          : 0,
                      .warned = !expired,
                      .kind = expired ? SPOOL_EXPIRED : SPOOL_DELAY_REPORTED,
                      .final = expired,
                      .attempts = r.attempts,
                      .text = reason.n ? reason : turn_words(q, ev, &r, a),
                      .mailer = SPAN("esmtp"),
                      .after_ms = ev->after_ms,
                      .until_wall_ms = now.wall_ms + (ev->expires_ms - now.mono_ms) };
    struct sched_msg_info m;
    if (sched_msg(q->sched, ev->seq, &m))
        f.waited_ms = now.mono_ms - sched_msg_born_ms(q->sched, m.here);
    if (expired)
        take_limit(q, dest, a, &f);
    last_fill(last, a, ev->seq, ev->behind ? dest : SPAN_NONE, &f);
    /* RFC 3463 3.5: what is over is the time; what went wrong is told in words. */
    f.enhanced = expired ? SPAN("4.4.7") : f.untried ? SPAN("4.0.0") : f.last_status;
    return f;
}

void verdict_ended(struct fact *f, bool expired, struct span who, struct arena *a)
{
    struct buf b;
    buf_init(&b, TURN_WORDS_MAX);
    buf_printf(&b, "wanted by %.*s", SPAN_ARG(who));
    f->over = arena_dup(a, buf_span(&b));
    buf_free(&b);
    f->final = true;
    f->kind = expired ? SPOOL_EXPIRED : SPOOL_FAILED;
    f->enhanced = expired ? SPAN("4.4.7") : SPAN("5.7.1");
    f->returned = !expired;
    f->ended = expired;
    if (expired && !f->untried)
        return;
    /* These are our words, not those of whoever was asked last. */
    f->text = expired ? SPAN("ended by an administrator of this host")
                      : SPAN("returned by an administrator of this host");
    f->reply = f->host = f->stage = f->tls = SPAN_NONE;
    f->relay = (struct netaddr){ 0 };
}

static void settle_events(struct qmgr *q, const struct sched_event *ev, struct fact *facts,
                          size_t n)
{
    if (ev->kind == SCHED_EVENT_EXPIRED)
        say_facts(q, ev->seq, facts, n);
    if (ev->kind == SCHED_EVENT_EXPIRED)
        live_facts(q, ev->seq, 0, facts, n);
    facts_settle(q, ev->seq, facts, n);
}

void verdict_events(struct qmgr *q)
{
    enum { AT_ONCE = 256, TEXTS_MAX = 1 << 20 };
    struct sched_event ev;
    struct sched_now now = qmgr_now(q);
    if (!sched_next_event(q->sched, now, &ev))
        return;
    struct fact facts[DSN_AT_ONCE];
    struct arena *a = arena_new(TEXTS_MAX);
    struct last last;
    last_init(&last, q);
    size_t n = 0;
    int i = 0;
    do {
        facts[n++] = event_fact(q, &ev, &last, a);
        if (!ev.last && n < DSN_AT_ONCE)
            continue;
        settle_events(q, &ev, facts, n);
        n = 0;
        arena_reset(a);
    } while ((++i < AT_ONCE || n) && sched_next_event(q->sched, now, &ev));
    if (n)
        settle_events(q, &ev, facts, n);
    last_free(&last);
    arena_free(&a);
}

void verdict_gone(struct qmgr *q)
{
    uint64_t seq;
    while (sched_next_gone(q->sched, &seq))
        reroute_gone(q, seq);
}
