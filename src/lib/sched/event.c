/* event: expiry and delay warnings, by one timer for each message. */
#include "sched/inside.h"

enum {
    LEAP_MS = 10 * 60 * 1000, /* longer than the owner is ever away while something is due */
    LOOKED_AT_ONCE = 256,
};

static bool resting(const struct sched_rcpt *r)
{
    return r->state >= SCHED_LIVE || r->state == SCHED_HELD || r->state == SCHED_WAITING;
}

static int64_t expire_at(const struct sched *s, const struct sched_rcpt *r)
{
    return sched_born_ms(s, sched_msg_of(r)) + sched_rcpt_rule(s, r)->expire_after_ms;
}

/* Nothing is looked at before the message's timer fires. */
int64_t sched_msg_ends_ms(const struct sched *s, const struct sched_msg *m, uint32_t rcpt)
{
    const struct sched_rcpt *r = rcpt < m->rcpt_count ? &m->rcpts[rcpt] : NULL;
    if (!r || resting(r) || (r->flags & (RCPT_DELETE | RCPT_HOLD)))
        return INT64_MAX;
    int64_t age_ms = expire_at(s, r);
    bool later = heap_linked(&m->at.timer) && m->at.timer.key > age_ms;
    return later ? m->at.timer.key : age_ms;
}

/* INT64_MAX: no more, or never. Of what is being delivered for the last time nobody is told that it
 * is tried on. */
static int64_t warn_at(const struct sched *s, const struct sched_rcpt *r)
{
    const struct sched_rule *rule = sched_rcpt_rule(s, r);
    if (!rule->warn_after_ms || rule->warn_after_ms >= rule->expire_after_ms ||
        (r->flags & (RCPT_WARNED | RCPT_DELETE | RCPT_HOLD)))
        return INT64_MAX;
    return sched_born_ms(s, sched_msg_of(r)) + rule->warn_after_ms;
}

/* What comes next for it. One in a job that outlived its time is told by the job's verdict. */
static int64_t due_at(const struct sched *s, const struct sched_rcpt *r)
{
    if (resting(r) || (r->flags & RCPT_EXPIRE))
        return INT64_MAX;
    int64_t warn_ms = warn_at(s, r), expire_ms = expire_at(s, r);
    return warn_ms < expire_ms ? warn_ms : expire_ms;
}

static int64_t first_due(const struct sched *s, const struct sched_msg *m)
{
    int64_t first_ms = INT64_MAX;
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        int64_t ms = due_at(s, &m->rcpts[i]);
        first_ms = ms < first_ms ? ms : first_ms;
    }
    return first_ms;
}

static int64_t with_grace(const struct sched *s, const struct sched_msg *m, int64_t first_ms,
                          struct sched_now now)
{
    int64_t life_ms = first_ms - sched_born_ms(s, m);
    int64_t grace_ms = s->cfg.grace_ms < life_ms ? s->cfg.grace_ms : life_ms;
    return first_ms > now.mono_ms + grace_ms ? first_ms : now.mono_ms + grace_ms;
}

/* Called when the message is added or (some of it) released: from here grace_ms pass before
 * anything fires. No timer while every recipient rests. */
void sched_timer_arm(struct sched *s, struct sched_msg *m, struct sched_now now)
{
    int64_t first_ms = first_due(s, m);
    if (first_ms == INT64_MAX)
        heap_remove(&s->timers, &m->at.timer);
    else
        heap_change(&s->timers, &m->at.timer, with_grace(s, m, first_ms, now));
}

/* Its rule is another one now. Only ever earlier: a timer that fires too early is set anew then,
 * and one that is put off each time a route is asked would never fire. */
void sched_timer_hurry(struct sched *s, struct sched_rcpt *r, struct sched_now now)
{
    struct sched_msg *m = sched_msg_of(r);
    int64_t first_ms = due_at(s, r);
    if (first_ms == INT64_MAX || !heap_linked(&m->at.timer) || first_ms >= m->at.timer.key)
        return;
    int64_t key = with_grace(s, m, first_ms, now);
    if (key < m->at.timer.key)
        heap_change(&s->timers, &m->at.timer, key);
}

void sched_clock_doubt(struct sched *s, uint64_t upto_seq, int64_t ms, struct sched_now from)
{
    s->doubt_from_ms = from.mono_ms;
    s->doubt_upto = upto_seq;
    s->doubt_ms = ms;
    s->looking = true;
    s->look_from = 0;
}

/* Their timers, which fire too early now, are set anew when they do. */
void sched_clock_was(struct sched *s, int64_t from_ms, int64_t to_ms, int64_t behind_ms,
                     struct sched_now now)
{
    struct sched_msg *m = sched_order_from(&s->by_age, sched_age_at(from_ms));
    for (; m && sched_age_ms(m->age) <= to_ms; m = sched_order_from(&s->by_age, m->age + 1)) {
        int64_t born_ms = m->born_ms + behind_ms;
        m->born_ms = born_ms < now.mono_ms ? born_ms : now.mono_ms;
    }
}

/* Looks at some messages more after rules have changed. */
void sched_timers_look(struct sched *s, struct sched_now now)
{
    for (int i = 0; i < LOOKED_AT_ONCE && s->looking; i++) {
        struct sched_msg *m = sched_order_from(&s->order, s->look_from);
        s->looking = m && m->seq < UINT64_MAX;
        if (!m)
            return;
        s->look_from = m->seq + 1;
        for (uint32_t k = 0; k < m->rcpt_count; k++)
            sched_timer_hurry(s, &m->rcpts[k], now);
    }
}

/* Time that nobody saw pass: the machine slept, or the process was stopped. */
void sched_time_seen(struct sched *s, struct sched_now now)
{
    if (now.mono_ms - s->seen_ms > LEAP_MS && s->seen_ms)
        s->leapt_ms = now.mono_ms;
    s->seen_ms = now.mono_ms;
}

static bool concerns(const struct sched *s, const struct sched_rcpt *r)
{
    if (resting(r))
        return false;
    if (s->event_kind == SCHED_EVENT_WARN)
        return warn_at(s, r) <= s->event_ms;
    return r->state != SCHED_ACTIVE && expire_at(s, r) <= s->event_ms;
}

static uint32_t next_concerned(const struct sched *s, const struct sched_msg *m, uint32_t from)
{
    while (from < m->rcpt_count && !concerns(s, &m->rcpts[from]))
        from++;
    return from;
}

/* What fell due while the machine slept is not over before it was tried once more: later by
 * grace_ms, each a little later than the other, and once in a message's life. */
static bool spare(struct sched *s, struct sched_msg *m, struct sched_now now)
{
    if (m->spared || !s->leapt_ms || m->at.timer.key > s->leapt_ms - LEAP_MS / 2 ||
        now.mono_ms >= s->leapt_ms + s->cfg.grace_ms)
        return false;
    m->spared = true;
    heap_change(&s->timers, &m->at.timer,
                s->leapt_ms + s->cfg.grace_ms + sched_jitter(s, s->cfg.grace_ms));
    return true;
}

/* In a job, and over its time: it ends with that. */
static void expire_active(const struct sched *s, struct sched_msg *m, int64_t now_ms)
{
    for (uint32_t i = 0; i < m->rcpt_count; i++)
        if (m->rcpts[i].state == SCHED_ACTIVE && expire_at(s, &m->rcpts[i]) <= now_ms)
            m->rcpts[i].flags |= RCPT_EXPIRE;
}

/* The message's timer fired: which event is it, and for whom first? The timer goes on to what
 * comes after that. */
static void begin(struct sched *s, struct sched_msg *m, struct sched_now now)
{
    bool expired = false, warned = false;
    int64_t next_ms = INT64_MAX;
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        struct sched_rcpt *r = &m->rcpts[i];
        expired = expired || (due_at(s, r) != INT64_MAX && expire_at(s, r) <= now.mono_ms);
        warned = warned || (!resting(r) && warn_at(s, r) <= now.mono_ms);
    }
    if (expired && spare(s, m, now))
        return;
    heap_remove(&s->timers, &m->at.timer);
    if (expired)
        expire_active(s, m, now.mono_ms);
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        struct sched_rcpt *r = &m->rcpts[i];
        int64_t ms = due_at(s, r);
        if (expired && expire_at(s, r) <= now.mono_ms)
            continue;
        if (!expired && warned && ms <= now.mono_ms)
            ms = expire_at(s, r);
        next_ms = ms < next_ms ? ms : next_ms;
    }
    if (next_ms != INT64_MAX)
        heap_add(&s->timers, &m->at.timer, next_ms);
    if (!expired && !warned)
        return; /* configured otherwise, or warned already */
    s->event_kind = expired ? SCHED_EVENT_EXPIRED : SCHED_EVENT_WARN;
    s->event_ms = now.mono_ms;
    s->event_msg = m;
    s->event_rcpt = 0;
}

/* Its owner may have done something between two of a message's events: begun a delivery, or told
 * other rules. What was passed over for that has its end yet. */
static void end_event(struct sched *s)
{
    struct sched_msg *m = s->event_msg;
    s->event_msg = NULL;
    if (s->event_kind == SCHED_EVENT_EXPIRED)
        expire_active(s, m, s->event_ms);
    int64_t first_ms = first_due(s, m);
    if (first_ms != INT64_MAX && !heap_linked(&m->at.timer))
        heap_add(&s->timers, &m->at.timer, first_ms);
}

static void tell(struct sched *s, struct sched_msg *m, uint32_t rcpt, struct sched_event *ev_r)
{
    struct sched_rcpt *r = &m->rcpts[rcpt];
    const struct sched_rule *rule = sched_rcpt_rule(s, r);
    bool warns = s->event_kind == SCHED_EVENT_WARN;
    struct sched_rcpt_info info;
    sched_msg_rcpt(m, rcpt, &info);
    *ev_r = (struct sched_event){
        .kind = s->event_kind,
        .seq = m->seq,
        .rcpt = rcpt,
        .behind = info.state == SCHED_READY && info.next_try_ms,
        .reason = info.reason,
        .dest = info.dest, /* remembered for a while yet, as all that were in use just now */
        .after_ms = warns ? rule->warn_after_ms : rule->expire_after_ms,
        .expires_ms = expire_at(s, r),
    };
    if (warns)
        r->flags |= RCPT_WARNED;
    else
        sched_rcpt_finish(s, r, SCHED_EXPIRED);
    uint32_t next = next_concerned(s, m, rcpt + 1);
    ev_r->last = next == m->rcpt_count;
    s->event_rcpt = next;
    if (ev_r->last)
        end_event(s);
}

bool sched_next_event(struct sched *s, struct sched_now now, struct sched_event *ev_r)
{
    sched_time_seen(s, now);
    for (;;) {
        struct sched_msg *m = s->event_msg;
        if (m) {
            uint32_t rcpt = next_concerned(s, m, s->event_rcpt);
            if (rcpt < m->rcpt_count) {
                tell(s, m, rcpt, ev_r);
                return true;
            }
            end_event(s);
        }
        struct heap_node *node = heap_min(&s->timers);
        if (!node || node->key > now.mono_ms)
            return false;
        begin(s, CONTAINER(node, struct sched_msg, at.timer), now);
    }
}
