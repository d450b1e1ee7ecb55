#include "sched/inside.h"

const char *sched_state_name(enum sched_state state)
{
    static const char *const names[SCHED_STATES] = {
        [SCHED_PENDING] = "pending",     [SCHED_ROUTING] = "routing",
        [SCHED_READY] = "ready",         [SCHED_ACTIVE] = "active",
        [SCHED_DEFERRED] = "deferred",   [SCHED_WAITING] = "waiting",
        [SCHED_HELD] = "held",           [SCHED_DELIVERED] = "delivered",
        [SCHED_FAILED] = "failed",       [SCHED_EXPIRED] = "expired",
        [SCHED_DISCARDED] = "discarded", [SCHED_DELETED] = "deleted",
    };
    MUST(state < SCHED_STATES);
    return names[state];
}

static void leave_line(struct sched *s, struct list *link)
{
    struct list *prev = link->prev;
    list_remove(link);
    if (list_empty(prev)) /* it is the line's head, and the line's end */
        sched_line_left(s, prev);
}

static void unlink_state(struct sched *s, struct sched_rcpt *r)
{
    switch ((enum sched_state)r->state) {
    case SCHED_PENDING:
    case SCHED_ROUTING:
    case SCHED_WAITING:
        list_remove(&r->at.link);
        break;
    case SCHED_READY:
        leave_line(s, &r->at.link);
        break;
    case SCHED_DEFERRED:
        heap_remove(&s->deferred, &r->at.due);
        break;
    default:
        break;
    }
    memset(&r->at, 0, sizeof r->at);
}

static void count(struct sched *s, const struct sched_rcpt *r, int by)
{
    s->n[r->state] += (uint64_t)(int64_t)by;
    if (!r->dest || r->dest->unsited)
        s->unsited += (uint64_t)(int64_t)by;
    if (!r->dest)
        return;
    r->dest->n[r->state] += (uint32_t)by;
    r->dest->site->n[r->state] += (uint32_t)by;
}

void sched_rcpt_leave(struct sched *s, struct sched_rcpt *r)
{
    MUST(r->state < SCHED_LIVE);
    sched_index_leave(s, r);
    unlink_state(s, r);
    count(s, r, -1);
    if (r->flags & RCPT_TOKEN) {
        MUST(r->dest && r->dest->gate.tokens > 0 && r->dest->site->gate.tokens > 0);
        r->flags &= (uint8_t)~RCPT_TOKEN;
        r->dest->gate.tokens--;
        r->dest->site->gate.tokens--;
    }
}

bool sched_rcpt_asked(struct sched_rcpt *r)
{
    bool asked = (r->flags & RCPT_FRONT) != 0;
    r->flags &= (uint8_t)~RCPT_FRONT;
    return asked;
}

void sched_rcpt_enter(struct sched *s, struct sched_rcpt *r, enum sched_state state)
{
    r->state = (uint8_t)state;
    if (state >= SCHED_LIVE)
        return;
    count(s, r, 1);
    sched_index_enter(s, r);
}

/* Between leave and enter. The old destination may be freed. */
void sched_rcpt_to_dest(struct sched *s, struct sched_rcpt *r, struct sched_dest *d)
{
    struct sched_dest *old = r->dest;
    if (d && d->refs++ == 0)
        sched_dest_update(s, d); /* out of the idle ones before one of those is freed */
    r->dest = d;
    if (old) {
        MUST(old->refs > 0);
        old->refs--;
        if (old != d)
            sched_dest_update(s, old);
    }
}

void sched_rcpt_pending(struct sched *s, struct sched_rcpt *r, struct list *queue)
{
    sched_rcpt_leave(s, r);
    sched_rcpt_enter(s, r, SCHED_PENDING);
    list_append(queue, &r->at.link);
    if (r->dest)
        sched_dest_update(s, r->dest);
}

void sched_rcpt_defer(struct sched *s, struct sched_rcpt *r, int64_t due_ms)
{
    sched_rcpt_leave(s, r);
    sched_rcpt_enter(s, r, SCHED_DEFERRED);
    heap_add(&s->deferred, &r->at.due, due_ms);
    sched_index_due(r);
    if (r->dest)
        sched_dest_update(s, r->dest);
}

/* Routed to r->dest just now. */
void sched_rcpt_ready(struct sched *s, struct sched_rcpt *r, bool front, struct sched_now now)
{
    r->routed_s = (uint32_t)(now.mono_ms / 1000) + 1;
    sched_timer_hurry(s, r, now);
    sched_rcpt_enter(s, r, SCHED_READY);
    if (front)
        list_append(&r->dest->granted.rcpts, &r->at.link);
    else
        sched_queue_add(s, &r->dest->ready, r, false);
    sched_dest_update(s, r->dest);
}

/* READY, and to be routed when its destination has a slot. */
void sched_rcpt_backlog(struct sched *s, struct sched_rcpt *r, bool front)
{
    sched_rcpt_leave(s, r);
    r->routed_s = 0;
    sched_rcpt_enter(s, r, SCHED_READY);
    sched_queue_add(s, &r->dest->backlog, r, front);
    sched_dest_update(s, r->dest);
}

/* Where it does not go any more it does not wait for a slot, nor for the end of a back-off. */
void sched_rcpt_due(struct sched *s, struct sched_rcpt *r)
{
    if (r->dest && r->epoch == s->epoch)
        sched_rcpt_backlog(s, r, false);
    else
        sched_rcpt_pending(s, r, &s->bulk);
}

void sched_rcpt_finish(struct sched *s, struct sched_rcpt *r, enum sched_state state)
{
    MUST(state >= SCHED_LIVE && state < SCHED_STATES);
    struct sched_msg *m = sched_msg_of(r);
    sched_rcpt_leave(s, r);
    sched_rcpt_to_dest(s, r, NULL);
    sched_rcpt_enter(s, r, state);
    MUST(m->live > 0);
    if (--m->live)
        return;
    heap_remove(&s->timers, &m->at.timer);
    sched_msg_over(s, m);
}

static size_t put_clean(char *to, struct span text)
{
    size_t n = text.n < SCHED_REASON_MAX ? text.n : SCHED_REASON_MAX;
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)text.p[i] < ' ' || text.p[i] == 127 ? '?' : text.p[i];
    return n;
}

/* Where there are too many different ones, that of the decision goes without the one before. */
static struct sched_name *reason_name(struct sched *s, struct span reason, struct span before)
{
    char text[2 * SCHED_REASON_MAX + 1];
    struct sched_name *name = NULL;
    size_t shown = put_clean(text, reason), n = shown;
    if (!shown)
        return NULL;
    if (before.n) {
        text[n++] = '\n';
        n += put_clean(text + n, before);
        name = sched_name_get(&s->reasons, span_of(text, n));
    }
    if (!name)
        name = sched_name_get(&s->reasons, span_of(text, shown));
    if (!name)
        return sched_name_ref(s->many_reasons);
    name->shown = (uint16_t)shown;
    return name;
}

void sched_rcpt_decided(struct sched *s, struct sched_rcpt *r, struct span reason,
                        struct span before)
{
    struct sched_name *name = reason_name(s, reason, before);
    bool indexed = r->cell != NULL;
    if (indexed)
        sched_index_leave(s, r);
    sched_name_put(&s->reasons, r->reason);
    r->reason = name;
    if (indexed)
        sched_index_enter(s, r);
}

void sched_rcpt_reason(struct sched *s, struct sched_rcpt *r, struct span reason)
{
    sched_rcpt_decided(s, r, reason, SPAN_NONE);
}

int64_t sched_rcpt_next_try(const struct sched_rcpt *r)
{
    if (r->state == SCHED_DEFERRED)
        return r->at.due.key;
    if (r->state != SCHED_READY)
        return 0;
    int64_t until_ms = 0;
    if (sched_gate_closed(&r->dest->gate))
        until_ms = r->dest->gate.wake.key;
    const struct sched_gate *site = &r->dest->site->gate;
    if (sched_gate_closed(site) && site->wake.key > until_ms)
        until_ms = site->wake.key;
    return until_ms;
}

void sched_verdict_of(const struct sched_rcpt *r, struct sched_now now, struct sched_verdict *v_r)
{
    int64_t next_ms = sched_rcpt_next_try(r);
    *v_r = (struct sched_verdict){
        .rcpt = r->index,
        .state = r->state,
        .attempts = r->attempts,
        .duplicate = (r->flags & RCPT_DUPLICATE) != 0,
        .warned = (r->flags & RCPT_WARNED) != 0,
        .site_wait = r->state == SCHED_READY && next_ms != 0,
        .next_try_ms = next_ms,
        .next_try_wall_ms = next_ms ? now.wall_ms + (next_ms - now.mono_ms) : 0,
    };
}
