/* result: what a job's end means for its recipients, its destination and its site. */
#include "sched/inside.h"

static void set_why(struct sched *s, struct sched_name **why, struct span text)
{
    struct sched_name *name = NULL;
    text = span_to(text, SCHED_REASON_MAX);
    if (text.n && !(name = sched_name_get(&s->reasons, text)))
        name = sched_name_ref(s->many_reasons);
    sched_name_put(&s->reasons, *why);
    *why = name;
}

/* A try that somebody asked for makes no back-off longer: he may ask again and again. */
static void shut(struct sched *s, struct sched_gate *g, bool asked, struct sched_now now)
{
    if (sched_gate_closed(g))
        return; /* by another job */
    if (asked && g->level)
        g->level--;
    int64_t delay_ms = sched_gate_backoff_ms(g, s->cfg.site_first_ms, s->cfg.site_max_ms);
    heap_add(&s->gates, &g->wake, now.mono_ms + sched_jitter(s, delay_ms));
}

/* More of it from here on when it has taken something, up to what is allowed: one that only says
 * "later" (greylisting) or refuses says nothing about how much it takes. The cause of what was less
 * is forgotten when nothing is less any more. */
static void works(struct sched *s, struct sched_dest *d, bool took)
{
    struct sched_site *t = d->site;
    const struct sched_rule *rule = sched_site_rule(s, t);
    if (took)
        sched_pace_success(&t->pace, sched_site_rule_us(s, t));
    bool one = t->pace.slow_us && !rule->rate; /* at a time, until that is not too fast any more */
    sched_gate_answers(&t->gate, one ? 1 : rule->site_initial);
    if (took)
        sched_gate_success(&t->gate, one ? 1 : rule->site_initial, one ? 1 : rule->site_max);
    sched_gate_success(&d->gate, UINT32_MAX, UINT32_MAX);
    heap_remove(&s->gates, &t->gate.wake);
    heap_remove(&s->gates, &d->gate.wake);
    if (!t->pace.slow_us && t->gate.limit >= rule->site_initial)
        set_why(s, &t->why, SPAN_NONE);
    set_why(s, &d->why, SPAN_NONE);
}

/* How much less than its rule has a site is given; 0: no less. One that backs off is told of as
 * such. */
static uint32_t lack(const struct sched *s, const struct sched_site *t)
{
    uint32_t initial = sched_site_rule(s, t)->site_initial, limit = t->gate.limit;
    if (sched_gate_closed(&t->gate) || t->gate.half_open)
        return t->told;
    uint32_t doubled = sched_pace_doubled(&t->pace, sched_site_rule_us(s, t));
    if (doubled)
        return initial + doubled;
    return t->why && limit < initial ? initial - limit : 0;
}

static enum sched_change changed(const struct sched *s, struct sched_site *t, int64_t now_ms)
{
    enum { TELL_MS = 60000 };
    uint32_t less = lack(s, t), told = t->told;
    if (less ? less <= told || now_ms < t->tell_ms : !told)
        return SCHED_SAME;
    t->told = less;
    if (less)
        t->tell_ms = now_ms + TELL_MS;
    return less ? SCHED_SLOWED : SCHED_RESTORED;
}

enum sched_change sched_change(const struct sched *s) { return s->change; }

/* Half of what there was: jobs at once; and where that is no more than one, or a rate is set,
 * how fast they begin. A site that cannot be reached needs no rate: it backs off. */
static void narrow(struct sched *s, struct sched_site *t, enum sched_news news, int64_t begun_ms,
                   struct sched_now now)
{
    bool rated = sched_site_rule(s, t)->rate || t->gate.limit == 1;
    sched_gate_halve(&t->gate);
    if (news != SCHED_NEWS_DOWN && rated && begun_ms >= t->pace.slowed_ms)
        sched_pace_trouble(&t->pace, sched_site_rule_us(s, t), now.mono_ms);
    sched_site_update(s, t);
}

/* Has it other connections of ours, or had it lately? Then a new one is refused for those. */
static bool is_there(const struct sched_site *t, struct sched_now now)
{
    enum { LATELY_MS = 60000 };
    const struct sched_trust *k = &t->trust;
    bool kept = false; /* what is being closed may have been refused, too */
    for (uint32_t i = 0; i < t->kept_count; i++)
        kept = kept || t->kept[i].under != SCHED_ENDING;
    return kept || t->gate.active || (k->works && now.mono_ms - k->ok_ms < LATELY_MS);
}

static void one_less(struct sched *s, struct sched_site *t, int64_t begun_ms, struct sched_now now)
{
    if (t->gate.limit == 1 && begun_ms >= t->pace.slowed_ms)
        sched_pace_trouble(&t->pace, sched_site_rule_us(s, t), now.mono_ms);
    sched_gate_less(&t->gate);
    sched_site_update(s, t);
}

static bool has(const struct sched_result *res, uint32_t rcpts, enum sched_outcome_kind kind)
{
    for (uint32_t k = 0; k < rcpts; k++)
        if (res->outcomes[k].kind == kind)
            return true;
    return false;
}

/* A job that began before the site's last answer says nothing of it now: one bad host behind a
 * balancer, or a connection that has hung for minutes. Who begins next will see. */
static bool answered_since(const struct sched_site *t, int64_t begun_ms)
{
    return t->trust.ok_ms > begun_ms;
}

static bool was_asked(const struct sched_job_slot *j)
{
    for (uint32_t k = 0; k < j->rcpt_count; k++)
        if (j->msg->rcpts[j->rcpts[k]].flags & RCPT_FRONT)
            return true;
    return false;
}

/* After the job left its gates. Trouble at a site that still works for others only narrows it:
 * each failure halves the limit, so that those who wait with the site try again a few times and
 * then wait for the others to end. */
static void learn(struct sched *s, const struct sched_job_slot *j, const struct sched_result *res,
                  struct sched_now now)
{
    struct sched_dest *d = j->dest;
    uint32_t rcpts = j->rcpt_count;
    int64_t begun_ms = j->begun_ms;
    struct sched_site *t = d->site;
    switch (res->news) {
    case SCHED_NEWS_NONE:
        return;
    case SCHED_NEWS_OK:
        works(s, d, has(res, rcpts, SCHED_OUT_DELIVERED));
        return;
    case SCHED_NEWS_CROWDED:
        set_why(s, &t->why, res->why);
        one_less(s, t, begun_ms, now);
        return;
    case SCHED_NEWS_BUSY:
    case SCHED_NEWS_DOWN:
    case SCHED_NEWS_SLOW:
        set_why(s, &t->why, res->why);
        if (!sched_gate_closed(&d->gate))
            set_why(s, &d->why, SPAN_NONE); /* its hosts were found: that trouble is over */
        narrow(s, t, res->news, begun_ms, now);
        if (res->news == SCHED_NEWS_SLOW)
            return;
        if (t->gate.active == 0 && !answered_since(t, begun_ms) &&
            (res->news == SCHED_NEWS_DOWN || has(res, rcpts, SCHED_OUT_SITE)))
            shut(s, &t->gate, was_asked(j), now);
        return;
    case SCHED_NEWS_DEST_DOWN:
        set_why(s, &d->why, res->why);
        shut(s, &d->gate, was_asked(j), now);
        return;
    }
    MUST(!"a job's news");
}

static void defer(struct sched *s, struct sched_rcpt *r, int64_t due_ms)
{
    if (r->flags & RCPT_DELETE) {
        sched_rcpt_finish(s, r, SCHED_DELETED);
    } else if (r->flags & RCPT_HOLD) {
        r->flags &= (uint8_t)~(RCPT_HOLD | RCPT_EXPIRE); /* as any other that is held */
        sched_rcpt_leave(s, r);
        sched_rcpt_enter(s, r, SCHED_HELD);
        sched_dest_update(s, r->dest);
    } else if (r->flags & RCPT_EXPIRE) {
        sched_rcpt_finish(s, r, SCHED_EXPIRED);
    } else {
        sched_rcpt_defer(s, r, due_ms);
    }
}

/* One delay for all of a job that have been deferred equally often, so that they come due, and
 * go, together. */
static int64_t delay_of(struct sched *s, const struct sched_rcpt *r)
{
    if (s->delay_for != r->strikes || !r->strikes) {
        s->delay_for = r->strikes;
        s->delay_ms = sched_retry_delay(s, r);
    }
    return s->delay_ms;
}

static void requeue(struct sched *s, struct sched_rcpt *r)
{
    if (r->flags & (RCPT_DELETE | RCPT_HOLD | RCPT_EXPIRE))
        defer(s, r, 0);
    else
        sched_rcpt_backlog(s, r, true);
}

/* What was said of its attempt; of one that a person holds, that stays the reason. */
static void said(struct sched *s, struct sched_rcpt *r, struct span reason)
{
    if (r->flags & RCPT_HOLD)
        sched_rcpt_decided(s, r, sched_name_span(r->reason), reason);
    else
        sched_rcpt_reason(s, r, reason);
}

static void settle(struct sched *s, struct sched_rcpt *r, const struct sched_outcome *o,
                   bool site_trouble, struct sched_now now)
{
    MUST(r->state == SCHED_ACTIVE);
    enum sched_outcome_kind kind = o->kind;
    if (kind == SCHED_OUT_SITE && !site_trouble)
        kind = SCHED_OUT_DEFERRED; /* nothing would slow it down */
    if (kind == SCHED_OUT_STALE && r->stale < SCHED_STALE_MAX) {
        r->stale = (uint8_t)(r->stale + 1) & 0xf;
        requeue(s, r);
        return;
    }
    r->stale = 0;
    r->lost = 0;
    r->attempts += r->attempts < UINT16_MAX;
    bool asked = sched_rcpt_asked(r);
    r->strikes += kind != SCHED_OUT_SITE && !asked && r->strikes < UINT8_MAX;
    said(s, r, o->reason);
    int64_t due_ms = now.mono_ms + delay_of(s, r);
    switch (kind) {
    case SCHED_OUT_DELIVERED:
        sched_rcpt_finish(s, r, SCHED_DELIVERED);
        return;
    case SCHED_OUT_FAILED:
        sched_rcpt_finish(s, r, SCHED_FAILED);
        return;
    case SCHED_OUT_SITE:
        requeue(s, r);
        return;
    case SCHED_OUT_UNKNOWN:
        r->flags |= RCPT_DUPLICATE;
        defer(s, r, due_ms);
        return;
    case SCHED_OUT_STALE:
    case SCHED_OUT_DEFERRED:
        defer(s, r, due_ms);
        return;
    }
    MUST(!"an outcome");
}

/* Takes the job off its gates; its destination keeps the job's reference until end_job. */
static void leave_gates(struct sched *s, struct sched_job_slot *j)
{
    sched_share_end(s, j);
    MUST(j->dest->gate.active > 0 && j->dest->site->gate.active > 0);
    j->dest->gate.active--;
    j->dest->site->gate.active--;
}

static void end_job(struct sched *s, struct sched_job_slot *j)
{
    struct sched_dest *d = j->dest;
    sched_job_free(s, j);
    d->refs--;
    sched_dest_update(s, d);
}

static void keep(struct sched_site *t, uint64_t keeper, uint64_t under)
{
    if (!keeper || t->kept_count == SCHED_KEPT_MAX)
        return;
    if (t->kept_count == t->kept_room) {
        t->kept_room = t->kept_room ? 2 * t->kept_room : 1;
        t->kept = must_realloc(t->kept, t->kept_room * sizeof *t->kept);
    }
    t->kept[t->kept_count++] = (struct sched_kept){ keeper, under };
}

bool sched_job_result(struct sched *s, uint64_t job_id, const struct sched_result *given,
                      struct sched_now now, struct sched_verdict *verdicts_r)
{
    struct sched_job_slot *j = sched_job_find(s, job_id);
    if (!j)
        return false;
    struct sched_result copy = *given, *res = &copy;
    bool site_trouble = res->news != SCHED_NEWS_NONE && res->news != SCHED_NEWS_OK;
    leave_gates(s, j);
    if (res->news == SCHED_NEWS_CROWDED && !is_there(j->dest->site, now))
        res->news = SCHED_NEWS_DOWN;
    learn(s, j, res, now);
    sched_share_learn(s, j->dest->site, res->news, j->begun_ms, now.mono_ms);
    s->change = changed(s, j->dest->site, now.mono_ms);
    keep(j->dest->site, res->keeper, res->under);
    s->delay_for = 0;
    for (uint32_t k = j->rcpt_count; k > 0; k--) { /* from the end: SITE goes to the front */
        struct sched_rcpt *r = &j->msg->rcpts[j->rcpts[k - 1]];
        settle(s, r, &res->outcomes[k - 1], site_trouble, now);
        sched_verdict_of(r, now, &verdicts_r[k - 1]);
    }
    end_job(s, j);
    return true;
}

bool sched_job_lost(struct sched *s, uint64_t job_id, struct sched_now now,
                    struct sched_verdict *verdicts_r)
{
    struct sched_job_slot *j = sched_job_find(s, job_id);
    if (!j)
        return false;
    leave_gates(s, j);
    for (uint32_t k = 0; k < j->rcpt_count; k++) {
        struct sched_rcpt *r = &j->msg->rcpts[j->rcpts[k]];
        int64_t delay_ms = s->cfg.lost_ms << r->lost;
        if (delay_ms > s->cfg.retry_max_ms)
            delay_ms = s->cfg.retry_max_ms;
        if (r->lost < 15)
            r->lost++;
        r->flags |= RCPT_DUPLICATE;
        sched_rcpt_asked(r);
        said(s, r, SPAN("the delivering process was lost"));
        defer(s, r, now.mono_ms + delay_ms);
        if (verdicts_r)
            sched_verdict_of(r, now, &verdicts_r[k]);
    }
    end_job(s, j);
    return true;
}

bool sched_may_keep(const struct sched *s, uint64_t job_id)
{
    const struct sched_job_slot *j = sched_job_find(s, job_id);
    return j && j->dest->site->key_len && j->dest->site->kept_count < SCHED_KEPT_MAX;
}

void sched_unkeep(struct sched *s, struct span site_key, uint64_t keeper)
{
    struct hash_node *node = hash_get(&s->sites, site_key);
    if (!node)
        return;
    struct sched_site *t = CONTAINER(node, struct sched_site, node);
    for (uint32_t i = 0; i < t->kept_count; i++) {
        if (t->kept[i].keeper != keeper)
            continue;
        memmove(t->kept + i, t->kept + i + 1, (t->kept_count - i - 1) * sizeof *t->kept);
        t->kept_count--;
        return;
    }
}
