/* last: what happened last to mail that waits, as its records have it. Reports of delay and of
 * expiry say that, and it is the same after a restart. */
#include "qmgr/inside.h"

#include "attempt/attempt.h"
#include "base/must.h"

#include <stdlib.h>

enum { OUTCOMES_MAX_BYTES = 256 << 20 };

void last_init(struct last *l, struct qmgr *q)
{
    *l = (struct last){ .q = q };
    for (size_t i = 0; i < 2; i++)
        l->of[i].arena = arena_new(OUTCOMES_MAX_BYTES);
}

void last_forget(struct last *l)
{
    l->of[0].seq = l->of[1].seq = 0;
}

void last_free(struct last *l)
{
    for (size_t i = 0; i < 2; i++)
        arena_free(&l->of[i].arena);
}

static void read_outcomes(struct last *l, struct last_of *of, uint64_t seq)
{
    arena_reset(of->arena);
    of->seq = seq;
    of->read_ms = loop_mono_ms(l->q->env->loop);
    if (spool_outcomes(l->q->spool, seq, of->arena, &of->list, &of->n))
        of->n = 0;
    if (spool_stories(l->q->spool, seq, of->arena, &of->stories, &of->story_count))
        of->story_count = 0;
    of->sorted = true; /* but for what was damaged */
    for (size_t i = 1; i < of->n; i++)
        of->sorted &= of->list[i - 1].rcpt < of->list[i].rcpt;
}

/* An attempt that was put off, or what was reported of one: not what people did (held, released),
 * and no report of what was not tried yet. */
static bool is_attempt(const struct spool_outcome *o)
{
    return !o->final && o->status.n > 0 && (o->attempts > 0 || o->remote.n > 0) &&
           (o->kind == SPOOL_DEFERRED || o->kind == SPOOL_UNKNOWN ||
            o->kind == SPOOL_DELAY_REPORTED);
}

static int by_rcpt(const void *key, const void *outcome)
{
    uint32_t a = *(const uint32_t *)key, b = ((const struct spool_outcome *)outcome)->rcpt;
    return a < b ? -1 : a > b;
}

static const struct spool_outcome *of_rcpt(const struct last_of *of, uint32_t rcpt)
{
    if (of->sorted && of->n)
        return bsearch(&rcpt, of->list, of->n, sizeof *of->list, by_rcpt);
    for (size_t i = 0; i < of->n; i++)
        if (of->list[i].rcpt == rcpt)
            return &of->list[i];
    return NULL;
}

/* Records are read from the disk only: the newest may not be there yet, or have come there since
 * they were read, in a turn before this. Where none is to be expected nothing is flushed: of very
 * many that end together most were never tried. */
static const struct spool_outcome *own_outcome(struct last *l, uint64_t seq, uint32_t rcpt,
                                               uint32_t attempts)
{
    struct last_of *of = &l->of[0];
    if (of->seq != seq)
        read_outcomes(l, of, seq);
    const struct spool_outcome *o = of_rcpt(of, rcpt);
    bool dirty = spool_dirty_since(l->q->spool) >= 0;
    bool later = of->read_ms != loop_mono_ms(l->q->env->loop);
    if ((o ? o->attempts : 0) < attempts && (dirty || later)) {
        if (dirty)
            store_flush(l->q);
        read_outcomes(l, of, seq);
        o = of_rcpt(of, rcpt);
    }
    return o && is_attempt(o) ? o : NULL;
}

/* Of the message whose attempt at this destination failed last: the others there wait for what
 * became of it. */
static const struct spool_outcome *newest_at(struct last *l, struct span dest)
{
    const struct last_of *of = &l->of[1];
    const struct spool_outcome *newest = NULL;
    for (size_t i = 0; i < of->n; i++) {
        const struct spool_outcome *o = &of->list[i];
        struct sched_rcpt_info r;
        if (is_attempt(o) && (!newest || o->at_ms > newest->at_ms) &&
            sched_rcpt(l->q->sched, of->seq, o->rcpt, &r) && span_eq(r.dest, dest))
            newest = o;
    }
    return newest;
}

/* Whether somebody who was tried there still waits for it. */
static bool was_tried(const struct last *l, uint64_t seq, struct span dest)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    bool found = false;
    if (!sched_msg(l->q->sched, seq, &m))
        return false;
    for (uint32_t i = 0; !found && sched_msg_rcpt(m.here, i, &r); i++)
        found = r.attempts > 0 && span_eq(r.dest, dest);
    return found;
}

static const struct spool_outcome *outcome_at(struct last *l, struct span dest)
{
    const struct dest *d = dest_find(l->q, dest);
    if (!d || !d->failed_seq)
        return NULL;
    uint64_t seq = d->failed_seq;
    if (l->of[1].seq != seq)
        read_outcomes(l, &l->of[1], seq);
    const struct spool_outcome *o = newest_at(l, dest);
    if (!o && spool_dirty_since(l->q->spool) >= 0 && was_tried(l, seq, dest)) {
        store_flush(l->q);
        read_outcomes(l, &l->of[1], seq);
        o = newest_at(l, dest);
    }
    return o;
}

/* "450 ...": a peer's own words begin like that, and none of ours. */
static bool is_reply(const struct spool_outcome *o)
{
    const char *p = o->diag.p;
    return o->diag.n >= 3 && (p[0] == '4' || p[0] == '5') && ascii_isdigit(p[1]) &&
           ascii_isdigit(p[2]) && (o->diag.n == 3 || p[3] == ' ' || p[3] == '-');
}

/* "mx.example.net 192.0.2.1:25", as fact_outcome writes it; either part may be missing. */
static void take_remote(struct span remote, struct fact *f)
{
    size_t space = span_rfind(remote, ' ');
    struct span address = space < remote.n ? span_from(remote, space + 1) : SPAN_NONE;
    f->host = remote;
    if (address.n && netaddr_parse(address, 0, &f->relay, NULL))
        f->host = span_to(remote, space);
}

static bool is_about(const struct spool_story *t, uint32_t rcpt)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->rcpts[i] == rcpt)
            return true;
    return false;
}

/* A story has the words of the last refusal in it, whoever of its recipients that met: only where
 * they are this outcome's is it known to be about it. Long ones are cut, in both. */
static bool same_words(struct span said, struct span diag)
{
    size_t n = said.n < diag.n ? said.n : diag.n;
    return n && (said.n == diag.n || n >= ATTEMPT_TEXT_MAX / 4) &&
           span_eq(span_to(said, n), span_to(diag, n));
}

static void take_story(const struct last_of *of, const struct spool_outcome *o, struct arena *a,
                       struct fact *f)
{
    for (size_t i = 0; i < of->story_count; i++) {
        struct attempt t;
        if (!is_about(&of->stories[i], o->rcpt))
            continue;
        if (attempt_get(of->stories[i].text, &t) && same_words(t.said, o->diag)) {
            f->stage = arena_dup(a, t.stage);
            f->tls = arena_dup(a, t.tls);
        }
        return; /* the newest only: older ones are about other attempts */
    }
}

void last_fill(struct last *l, struct arena *a, uint64_t seq, struct span behind, struct fact *f)
{
    const struct spool_outcome *o = own_outcome(l, seq, f->rcpt, f->attempts);
    const struct spool_outcome *other = behind.n ? outcome_at(l, behind) : NULL;
    bool own = !other || (o && other->at_ms <= o->at_ms);
    o = own ? o : other;
    f->untried = !o && !behind.n;
    f->last_status = o ? arena_dup(a, o->status) : SPAN("4.4.1");
    if (!o) /* behind: nobody there can be reached, which was another's attempt */
        return;
    struct span diag = arena_dup(a, o->diag);
    f->at_ms = o->at_ms;
    if (is_reply(o))
        f->reply = diag;
    if (diag.n)
        f->text = diag;
    take_remote(arena_dup(a, o->remote), f);
    take_story(&l->of[own ? 0 : 1], o, a, f);
}
