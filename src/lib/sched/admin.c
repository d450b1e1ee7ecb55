/* admin: what a person may do to messages and destinations. */
#include "sched/inside.h"

/* Calls act for the chosen recipients of a message and counts those it changed. */
static uint32_t each(struct sched *s, uint64_t seq, uint32_t rcpt,
                     bool (*act)(struct sched *, struct sched_rcpt *, void *), void *arg)
{
    struct sched_msg *m = sched_order_get(&s->order, seq);
    if (!m || (rcpt != SCHED_ALL && rcpt >= m->rcpt_count))
        return 0;
    uint32_t first = rcpt == SCHED_ALL ? 0 : rcpt;
    uint32_t end = rcpt == SCHED_ALL ? m->rcpt_count : rcpt + 1;
    uint32_t n = 0;
    for (uint32_t i = first; i < end; i++)
        if (m->rcpts[i].state < SCHED_LIVE && act(s, &m->rcpts[i], arg))
            n++;
    return n;
}

static bool hold(struct sched *s, struct sched_rcpt *r, void *arg)
{
    const struct span *reason = arg;
    if (r->state == SCHED_HELD || ((r->flags & RCPT_HOLD) && !(r->flags & RCPT_DELETE)))
        return false;
    if (r->state == SCHED_ACTIVE) {
        sched_rcpt_decided(s, r, *reason, sched_rcpt_earlier(r));
        r->flags &= (uint8_t)~RCPT_DELETE; /* of two wishes the later one, too */
        r->flags |= RCPT_HOLD;
        return true;
    }
    sched_rcpt_decided(s, r, *reason, sched_rcpt_earlier(r));
    sched_rcpt_leave(s, r);
    sched_rcpt_enter(s, r, SCHED_HELD);
    if (r->dest)
        sched_dest_update(s, r->dest);
    return true;
}

uint32_t sched_hold(struct sched *s, uint64_t seq, uint32_t rcpt, struct span reason)
{
    return each(s, seq, rcpt, hold, &reason);
}

bool sched_hold_again(struct sched *s, uint64_t seq, uint32_t rcpt, struct span reason,
                      bool released)
{
    struct sched_rcpt *r = sched_find_rcpt(s, seq, rcpt);
    if (!r || r->state >= SCHED_HELD)
        return false;
    if (!released)
        r->marks &= (uint8_t)~MARK_RELEASED;
    return hold(s, r, &reason);
}

static bool release(struct sched *s, struct sched_rcpt *r, void *arg)
{
    const struct span *reason = arg;
    if (r->flags & (RCPT_HOLD | RCPT_DELETE)) {
        r->flags &= (uint8_t)~(RCPT_HOLD | RCPT_DELETE);
        r->marks |= MARK_RELEASED;
        if (reason->n)
            sched_rcpt_decided(s, r, *reason, sched_rcpt_earlier(r));
        return true;
    }
    if (r->state != SCHED_HELD)
        return false;
    r->marks |= MARK_RELEASED;
    if (reason->n)
        sched_rcpt_decided(s, r, *reason, sched_rcpt_earlier(r));
    sched_rcpt_pending(s, r, &s->urgent);
    return true;
}

uint32_t sched_release(struct sched *s, uint64_t seq, uint32_t rcpt, struct span reason,
                       struct sched_now now)
{
    uint32_t n = each(s, seq, rcpt, release, &reason);
    if (n)
        sched_timer_arm(s, sched_order_get(&s->order, seq), now);
    return n;
}

static bool delete(struct sched *s, struct sched_rcpt *r, void *arg)
{
    (void)arg;
    if (r->flags & RCPT_DELETE)
        return false;
    if (r->state == SCHED_ACTIVE)
        r->flags |= RCPT_DELETE;
    else
        sched_rcpt_finish(s, r, SCHED_DELETED);
    return true;
}

uint32_t sched_delete(struct sched *s, uint64_t seq, uint32_t rcpt)
{
    return each(s, seq, rcpt, delete, NULL);
}

bool sched_end(struct sched *s, uint64_t seq, uint32_t rcpt, enum sched_state state)
{
    struct sched_rcpt *r = sched_find_rcpt(s, seq, rcpt);
    MUST(state >= SCHED_LIVE && state < SCHED_STATES);
    if (!r || r->state >= SCHED_LIVE || r->state == SCHED_ACTIVE)
        return false;
    sched_rcpt_finish(s, r, state);
    return true;
}

bool sched_hold_failed(struct sched *s, uint64_t seq, uint32_t rcpt, struct span reason,
                       struct span before)
{
    struct sched_rcpt *r = sched_find_rcpt(s, seq, rcpt);
    if (!r || (r->state != SCHED_FAILED && r->state != SCHED_EXPIRED))
        return false;
    struct sched_msg *m = sched_msg_of(r);
    if (m->live++ == 0) {
        list_remove(&m->at.gone);
        memset(&m->at, 0, sizeof m->at);
    }
    r->flags &= (uint8_t)~(RCPT_EXPIRE | RCPT_DELETE | RCPT_HOLD);
    sched_rcpt_decided(s, r, reason, before);
    sched_rcpt_enter(s, r, SCHED_HELD);
    return true;
}

/* Ends a back-off: one job goes through at once. */
static void open_now(struct sched *s, struct sched_dest *d)
{
    heap_remove(&s->gates, &d->gate.wake);
    heap_remove(&s->gates, &d->site->gate.wake);
    sched_dest_update(s, d);
}

static bool retry(struct sched *s, struct sched_rcpt *r, void *arg)
{
    const struct sched_now *now = arg;
    bool waits_for_site = r->state == SCHED_READY && sched_rcpt_next_try(r) > now->mono_ms;
    if (r->state != SCHED_DEFERRED && r->state != SCHED_WAITING && !waits_for_site)
        return false;
    if (r->dest)
        open_now(s, r->dest);
    if (r->state == SCHED_WAITING)
        r->marks |= MARK_RELEASED;
    r->flags |= RCPT_FRONT;
    sched_rcpt_pending(s, r, &s->urgent);
    return true;
}

static bool due(struct sched *s, struct sched_rcpt *r, void *arg)
{
    (void)arg;
    if (r->state != SCHED_DEFERRED && r->state != SCHED_WAITING)
        return false;
    if (r->state == SCHED_DEFERRED) {
        sched_rcpt_due(s, r);
        return true;
    }
    r->marks |= MARK_RELEASED;
    sched_rcpt_pending(s, r, &s->bulk);
    return true;
}

static uint32_t each_armed(struct sched *s, uint64_t seq, uint32_t rcpt,
                           bool (*act)(struct sched *, struct sched_rcpt *, void *),
                           struct sched_now now)
{
    uint32_t n = each(s, seq, rcpt, act, &now);
    struct sched_msg *m = n ? sched_order_get(&s->order, seq) : NULL;
    if (m && !heap_linked(&m->at.timer))
        sched_timer_arm(s, m, now);
    return n;
}

uint32_t sched_retry(struct sched *s, uint64_t seq, uint32_t rcpt, struct sched_now now)
{
    return each_armed(s, seq, rcpt, retry, now);
}

uint32_t sched_due(struct sched *s, uint64_t seq, uint32_t rcpt, struct sched_now now)
{
    return each_armed(s, seq, rcpt, due, now);
}

static bool reroute(struct sched *s, struct sched_rcpt *r, void *arg)
{
    (void)arg;
    if (r->state == SCHED_ACTIVE || r->state == SCHED_HELD)
        return false;
    if (r->state == SCHED_WAITING)
        r->marks |= MARK_RELEASED;
    sched_rcpt_pending(s, r, &s->urgent);
    return true;
}

uint32_t sched_reroute(struct sched *s, uint64_t seq, uint32_t rcpt, struct sched_now now)
{
    return each_armed(s, seq, rcpt, reroute, now);
}
