/* event: expiry and delay warnings, by one timer for each message. */
#include "sched/inside.h"

static bool resting(const struct sched_rcpt *r)
{
    return r->state >= SCHED_LIVE || r->state == SCHED_HELD || r->state == SCHED_WAITING;
}

static bool warnable(const struct sched *s, const struct sched_msg *m)
{
    if (!s->cfg.warn_after_ms || s->cfg.warn_after_ms >= s->cfg.expire_after_ms)
        return false;
    for (uint32_t i = 0; i < m->rcpt_count; i++)
        if (!resting(&m->rcpts[i]) && !(m->rcpts[i].flags & RCPT_WARNED))
            return true;
    return false;
}

static bool all_rest(const struct sched_msg *m)
{
    for (uint32_t i = 0; i < m->rcpt_count; i++)
        if (!resting(&m->rcpts[i]))
            return false;
    return true;
}

/* Called when the message is added or (some of it) released: from here grace_ms pass before
 * anything fires. No timer while every recipient rests. */
void sched_timer_arm(struct sched *s, struct sched_msg *m, struct sched_now now)
{
    if (all_rest(m)) {
        heap_remove(&s->timers, &m->at.timer);
        return;
    }
    int64_t expire_ms = s->cfg.expire_after_ms;
    int64_t first_ms = warnable(s, m) ? s->cfg.warn_after_ms : expire_ms;
    int64_t grace_ms = s->cfg.grace_ms < first_ms ? s->cfg.grace_ms : first_ms;
    int64_t key = m->born_ms + first_ms;
    if (key < now.mono_ms + grace_ms)
        key = now.mono_ms + grace_ms;
    heap_change(&s->timers, &m->at.timer, key);
}

static bool concerns(const struct sched *s, const struct sched_rcpt *r)
{
    if (resting(r))
        return false;
    if (s->event_kind == SCHED_EVENT_WARN)
        return !(r->flags & RCPT_WARNED);
    return r->state != SCHED_ACTIVE; /* it is told by its job's verdict */
}

static uint32_t next_concerned(const struct sched *s, const struct sched_msg *m, uint32_t from)
{
    while (from < m->rcpt_count && !concerns(s, &m->rcpts[from]))
        from++;
    return from;
}

/* The message's timer fired: which event is it, and for whom first? */
static void begin(struct sched *s, struct sched_msg *m, struct sched_now now)
{
    heap_remove(&s->timers, &m->at.timer);
    int64_t expire_ms = m->born_ms + s->cfg.expire_after_ms;
    s->event_kind = now.mono_ms >= expire_ms ? SCHED_EVENT_EXPIRED : SCHED_EVENT_WARN;
    if (s->event_kind == SCHED_EVENT_WARN) {
        heap_add(&s->timers, &m->at.timer, expire_ms);
        if (!warnable(s, m))
            return; /* configured otherwise, or warned already */
    } else {
        for (uint32_t i = 0; i < m->rcpt_count; i++)
            if (m->rcpts[i].state == SCHED_ACTIVE)
                m->rcpts[i].flags |= RCPT_EXPIRE;
    }
    s->event_msg = m;
    s->event_rcpt = 0;
}

static void tell(struct sched *s, struct sched_msg *m, uint32_t rcpt, struct sched_event *ev_r)
{
    struct sched_rcpt *r = &m->rcpts[rcpt];
    if (s->event_kind == SCHED_EVENT_WARN)
        r->flags |= RCPT_WARNED;
    else
        sched_rcpt_finish(s, r, SCHED_EXPIRED);
    uint32_t next = next_concerned(s, m, rcpt + 1);
    *ev_r = (struct sched_event){
        .kind = s->event_kind,
        .seq = m->seq,
        .rcpt = rcpt,
        .last = next == m->rcpt_count,
    };
    s->event_rcpt = next;
    if (ev_r->last)
        s->event_msg = NULL;
}

bool sched_next_event(struct sched *s, struct sched_now now, struct sched_event *ev_r)
{
    for (;;) {
        struct sched_msg *m = s->event_msg;
        if (m) {
            uint32_t rcpt = next_concerned(s, m, s->event_rcpt);
            if (rcpt < m->rcpt_count) {
                tell(s, m, rcpt, ev_r);
                return true;
            }
            s->event_msg = NULL;
        }
        struct heap_node *node = heap_min(&s->timers);
        if (!node || node->key > now.mono_ms)
            return false;
        begin(s, CONTAINER(node, struct sched_msg, at.timer), now);
    }
}
