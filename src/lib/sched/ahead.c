/* ahead: where mail goes that is not due yet. A pass goes by seq, so that anything may happen
 * between two slices of it. What is asked about stays in its state, and in its place of the heap:
 * only its destination changes. */
#include "sched/inside.h"

enum {
    LOOKED_AT_ONCE = 1000,
    DESTS_MAX = 100000, /* some 100 MB: what is known of a place takes about a kilobyte */
};

static bool waits_for_later(const struct sched_rcpt *r)
{
    return r->state == SCHED_DEFERRED || r->state == SCHED_HELD || r->state == SCHED_WAITING;
}

static void wish(struct sched *s, struct sched_dest *d)
{
    if (d->unsited && sched_place_due(s, d) && !list_linked(&d->place))
        list_append(&s->to_place_ahead, &d->place);
}

/* True: it is to be asked about. */
static bool look(struct sched *s, struct sched_ahead *pass, struct sched_rcpt *r)
{
    if (!waits_for_later(r) || (r->dest && !r->dest->unsited))
        return false;
    pass->unknown++;
    if (r->dest)
        wish(s, r->dest);
    return !r->dest && s->dests.n < DESTS_MAX;
}

size_t sched_next_ahead(struct sched *s, struct sched_now now, struct sched_ahead *pass,
                        struct sched_ask *asks_r, size_t max)
{
    size_t n = 0;
    sched_time_seen(s, now);
    if (!list_empty(&s->urgent) || !list_empty(&s->bulk))
        return 0;
    for (int i = 0; i < LOOKED_AT_ONCE && n < max && !pass->over; i++) {
        struct sched_msg *m = sched_order_from(&s->order, pass->seq);
        if (m && m->seq == pass->seq && pass->rcpt < m->rcpt_count) {
            struct sched_rcpt *r = &m->rcpts[pass->rcpt++];
            if (!look(s, pass, r))
                continue;
            r->epoch = s->epoch;
            asks_r[n++] = (struct sched_ask){ .seq = m->seq, .rcpt = r->index, .ahead = true };
            continue;
        }
        if (m && m->seq == pass->seq)
            m = m->seq < UINT64_MAX ? sched_order_from(&s->order, m->seq + 1) : NULL;
        pass->over = !m;
        pass->seq = m ? m->seq : 0;
        pass->rcpt = 0;
    }
    return n;
}

bool sched_routed_ahead(struct sched *s, const struct sched_ask *ask, struct span key,
                        struct sched_now now)
{
    struct sched_rcpt *r = sched_find_rcpt(s, ask->seq, ask->rcpt);
    if (!r || r->dest || !waits_for_later(r))
        return false;
    enum sched_state state = r->state;
    int64_t due_ms = sched_rcpt_next_try(r);
    struct list *behind = state == SCHED_WAITING ? r->at.link.next : NULL;
    sched_rcpt_leave(s, r);
    sched_rcpt_to_key(s, r, key);
    sched_rcpt_enter(s, r, state);
    if (state == SCHED_DEFERRED) {
        heap_add(&s->deferred, &r->at.due, due_ms);
        sched_index_due(r);
    }
    if (behind) /* a run lets them go in this order */
        list_append(behind, &r->at.link);
    sched_timer_hurry(s, r, now);
    wish(s, r->dest);
    return true;
}

bool sched_next_to_place_ahead(struct sched *s, struct span *dest_r)
{
    for (struct list *l; (l = list_first(&s->to_place_ahead)) != NULL;) {
        struct sched_dest *d = CONTAINER(l, struct sched_dest, place);
        list_remove(l);
        if (!d->refs || !d->unsited || !sched_place_due(s, d))
            continue;
        d->placing = d->gate.active ? PLACE_RENEWED : PLACE_SHUT;
        sched_dest_update(s, d);
        *dest_r = d->node.key;
        return true;
    }
    return false;
}
