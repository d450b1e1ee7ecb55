/* advance: what comes due by itself, and who goes to the router next. */
#include "sched/inside.h"

enum {
    DUE_PER_CALL = 256, /* bounds the work of one call; sched_next_wake asks for the next */
    LOOK_AGAIN_MS = 2,
};

static void open_gate(struct sched *s, struct sched_gate *g)
{
    heap_remove(&s->gates, &g->wake);
    if (g->is_site) {
        sched_site_update(s, CONTAINER(g, struct sched_site, gate));
        return;
    }
    sched_dest_update(s, CONTAINER(g, struct sched_dest, gate));
}

static void next_may_begin(struct sched *s, struct sched_site *t)
{
    heap_remove(&s->paces, &t->pace.wake);
    sched_site_update(s, t);
}

void sched_advance(struct sched *s, struct sched_now now)
{
    struct heap_node *node;
    sched_time_seen(s, now);
    sched_share_listen(s, now.mono_ms);
    if (s->looking)
        sched_timers_look(s, now);
    while ((node = heap_min(&s->paces)) != NULL && node->key <= now.mono_ms)
        next_may_begin(s, CONTAINER(node, struct sched_site, pace.wake));
    while ((node = heap_min(&s->gates)) != NULL && node->key <= now.mono_ms)
        open_gate(s, CONTAINER(node, struct sched_gate, wake));
    for (int i = 0; i < DUE_PER_CALL; i++) {
        node = heap_min(&s->deferred);
        if (!node || node->key > now.mono_ms)
            break;
        sched_rcpt_due(s, CONTAINER(node, struct sched_rcpt, at.due));
    }
}

static void ask(struct sched *s, struct sched_rcpt *r, struct sched_ask *ask_r)
{
    list_remove(&r->at.link);
    /* Not leave and enter: the promise of a slot goes along. */
    s->n[SCHED_PENDING]--;
    s->n[SCHED_ROUTING]++;
    if (r->dest) {
        r->dest->n[SCHED_PENDING]--;
        r->dest->n[SCHED_ROUTING]++;
        r->dest->site->n[SCHED_PENDING]--;
        r->dest->site->n[SCHED_ROUTING]++;
    }
    r->state = SCHED_ROUTING;
    r->epoch = s->epoch;
    r->routed_s = ++s->next_ask;
    list_append(&s->routing, &r->at.link);
    *ask_r = (struct sched_ask){ .seq = sched_msg_of(r)->seq,
                                 .rcpt = r->index,
                                 .number = r->routed_s };
}

static size_t ask_some(struct sched *s, struct list *queue, struct sched_ask *asks_r, size_t max)
{
    size_t n = 0;
    for (struct list *l; n < max && (l = list_first(queue)) != NULL; n++)
        ask(s, sched_rcpt_at(l), &asks_r[n]);
    return n;
}

/* Of each line the first: an outdated line is soon empty, and so passes out of the way. */
static struct sched_rcpt *outdated_in(const struct sched *s, const struct sched_queue *q)
{
    for (struct list *t = q->lines.next; t != &q->lines; t = t->next) {
        struct list *l = list_first(&CONTAINER(t, struct sched_line, link)->rcpts);
        if (sched_rcpt_at(l)->epoch != s->epoch)
            return sched_rcpt_at(l);
    }
    return NULL;
}

static struct sched_rcpt *first_outdated(const struct sched *s, const struct sched_dest *d)
{
    struct list *l = list_first(&d->granted.rcpts);
    if (l && sched_rcpt_at(l)->epoch != s->epoch)
        return sched_rcpt_at(l);
    struct sched_rcpt *r = outdated_in(s, &d->ready);
    return r ? r : outdated_in(s, &d->backlog);
}

/* Moves up to max recipients whose route is outdated from the destinations in s->drain to bulk:
 * those behind a back-off, which would otherwise not be looked at until it ends. */
static void drain_some(struct sched *s, size_t max)
{
    struct list *l;
    while (max > 0 && (l = list_first(&s->drain)) != NULL) {
        struct sched_dest *d = CONTAINER(l, struct sched_dest, drain);
        struct sched_rcpt *r = first_outdated(s, d);
        if (!r) {
            list_remove(&d->drain);
            continue;
        }
        sched_rcpt_pending(s, r, &s->bulk);
        max--;
    }
}

/* What a queue run released becomes pending only now: the run itself is O(1). */
static void release_some(struct sched *s, struct sched_now now, size_t max)
{
    for (struct list *l; max > 0 && (l = list_first(&s->released)) != NULL; max--) {
        struct sched_rcpt *r = sched_rcpt_at(l);
        r->marks |= MARK_RELEASED;
        sched_rcpt_pending(s, r, &s->bulk);
        if (!heap_linked(&sched_msg_of(r)->at.timer))
            sched_timer_arm(s, sched_msg_of(r), now);
    }
}

size_t sched_next_to_route(struct sched *s, struct sched_now now, struct sched_ask *asks_r,
                           size_t max)
{
    sched_advance(s, now);
    size_t share = max < 4 ? 1 : max / 4;
    if (list_empty(&s->bulk)) {
        drain_some(s, max);
        release_some(s, now, max);
    }
    size_t n = ask_some(s, &s->urgent, asks_r, list_empty(&s->bulk) ? max : max - share);
    n += ask_some(s, &s->bulk, asks_r + n, max - n);
    return n + ask_some(s, &s->urgent, asks_r + n, max - n);
}

void sched_run_queue(struct sched *s)
{
    struct list *first = s->waiting.next, *last = s->waiting.prev;
    if (list_empty(&s->waiting))
        return;
    list_init(&s->waiting);
    first->prev = s->released.prev;
    s->released.prev->next = first;
    last->next = &s->released;
    s->released.prev = last;
}

void sched_run_before(struct sched *s, int64_t received_ms)
{
    LIST_EACH(l, &s->waiting) {
        if (sched_age_ms(sched_msg_of(sched_rcpt_at(l))->age) > received_ms)
            continue;
        list_remove(l);
        list_append(&s->released, l);
    }
}

void sched_route_lost(struct sched *s)
{
    for (struct list *l; (l = list_first(&s->routing)) != NULL;) {
        struct sched_rcpt *r = sched_rcpt_at(l);
        sched_rcpt_pending(s, r, r->attempts ? &s->bulk : &s->urgent);
    }
}

void sched_routes_changed(struct sched *s)
{
    s->epoch++;
    for (struct hash_node *n = NULL; (n = hash_next(&s->dests, n)) != NULL;) {
        struct sched_dest *d = CONTAINER(n, struct sched_dest, node);
        bool shut = sched_gate_closed(&d->gate) || sched_gate_closed(&d->site->gate);
        if (sched_dest_waits(d) && shut && !list_linked(&d->drain))
            list_append(&s->drain, &d->drain);
    }
}

void sched_rcpt_to_key(struct sched *s, struct sched_rcpt *r, struct span key)
{
    struct buf room;
    buf_init(&room, ENVELOPE_ADDR_MAX + 16);
    sched_rcpt_to_dest(s, r, sched_dest_get(s, sched_frozen_dest(s, r, key, &room)));
    buf_free(&room);
}

static void decide(struct sched *s, struct sched_rcpt *r, enum sched_decision decision,
                   struct span text, struct sched_now now)
{
    bool front = (r->flags & (RCPT_TOKEN | RCPT_FRONT)) != 0;
    bool asked = decision != SCHED_TO && sched_rcpt_asked(r);
    if (decision == SCHED_NO || decision == SCHED_NOT_NOW || decision == SCHED_WAIT)
        sched_rcpt_reason(s, r, text);
    switch (decision) {
    case SCHED_TO:
        sched_rcpt_leave(s, r);
        sched_rcpt_to_key(s, r, text);
        sched_rcpt_ready(s, r, front, now);
        if (front)
            sched_dest_front(r->dest);
        return;
    case SCHED_NO:
        sched_rcpt_finish(s, r, SCHED_FAILED);
        return;
    case SCHED_DISCARD:
        sched_rcpt_finish(s, r, SCHED_DISCARDED);
        return;
    case SCHED_NOT_NOW:
        r->attempts += r->attempts < UINT16_MAX;
        r->strikes += !asked && r->strikes < UINT8_MAX;
        sched_rcpt_defer(s, r, now.mono_ms + sched_retry_delay(s, r));
        return;
    case SCHED_HOLD:
        sched_hold(s, sched_msg_of(r)->seq, r->index, text);
        return;
    case SCHED_WAIT:
        sched_rcpt_leave(s, r);
        sched_rcpt_enter(s, r, SCHED_WAITING);
        list_append(&s->waiting, &r->at.link);
        if (r->dest)
            sched_dest_update(s, r->dest);
        return;
    }
    MUST(!"a decision of the router");
}

bool sched_awaits(const struct sched *s, const struct sched_ask *ask)
{
    const struct sched_rcpt *r = sched_find_rcpt(s, ask->seq, ask->rcpt);
    return r && r->state == SCHED_ROUTING && r->routed_s == ask->number;
}

bool sched_routed(struct sched *s, uint64_t seq, uint32_t rcpt, enum sched_decision decision,
                  struct span text, struct sched_now now, struct sched_verdict *v_r)
{
    struct sched_rcpt *r = sched_find_rcpt(s, seq, rcpt);
    if (!r || r->state != SCHED_ROUTING)
        return false;
    decide(s, r, decision, text, now);
    sched_verdict_of(r, now, v_r);
    return true;
}

int64_t sched_next_wake(const struct sched *s, struct sched_now now, uint32_t can)
{
    bool to_route = !list_empty(&s->urgent) || !list_empty(&s->bulk) ||
                    !list_empty(&s->released) || !list_empty(&s->drain);
    bool to_start = sched_share_any(s);
    if (s->event_msg || (to_route && (can & SCHED_CAN_ROUTE)) ||
        (to_start && (can & SCHED_CAN_START)) || !list_empty(&s->to_place) ||
        !list_empty(&s->to_rule))
        return now.mono_ms;
    int64_t wake_ms = s->looking ? now.mono_ms + LOOK_AGAIN_MS : INT64_MAX;
    /* What falls due while nobody can take anything waits, without waking its owner. */
    const struct heap *heaps[] = { &s->timers, &s->deferred, &s->gates, &s->paces };
    for (size_t i = 0; i < (can ? sizeof heaps / sizeof *heaps : 1); i++) {
        struct heap_node *node = heap_min(heaps[i]);
        if (node && node->key < wake_ms)
            wake_ms = node->key;
    }
    if ((can & SCHED_CAN_START) && sched_share_wake_ms(s) < wake_ms)
        wake_ms = sched_share_wake_ms(s);
    return wake_ms > now.mono_ms ? wake_ms : now.mono_ms;
}
