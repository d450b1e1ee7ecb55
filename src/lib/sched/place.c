/* place: at which site a destination is. Its owner is asked (sched_next_to_place) as soon as
 * somebody waits there and it is not known, or has not been for too long; nothing begins before
 * the answer, since what has begun at no site or the wrong one counts at none. Where something is
 * under way the answer is only a newer one, and nothing waits for it. */
#include "sched/inside.h"

enum { HURRIED_AT_ONCE = 256 }; /* in a queue longer than that they are looked at in slices */

bool sched_place_due(const struct sched *s, const struct sched_dest *d)
{
    return s->cfg.places && !d->placing && d->placed_until_ms <= s->seen_ms;
}

/* In its turn a destination holds one of the site's slots meanwhile: when a back-off ends, one
 * destination is asked about, and not all that wait behind it. */
void sched_place_ask(struct sched *s, struct sched_dest *d, bool its_turn)
{
    d->placing = d->gate.active ? PLACE_RENEWED : its_turn ? PLACE_TURN : PLACE_SHUT;
    if (d->placing == PLACE_TURN) {
        d->gate.tokens++;
        d->site->gate.tokens++;
    }
    list_remove(&d->place); /* it may have been asked about ahead */
    list_append(&s->to_place, &d->place);
}

void sched_place_end(struct sched_dest *d)
{
    if (d->placing == PLACE_TURN) {
        MUST(d->gate.tokens > 0 && d->site->gate.tokens > 0);
        d->gate.tokens--;
        d->site->gate.tokens--;
    }
    d->placing = PLACE_NOT;
    list_remove(&d->place);
}

bool sched_next_to_place(struct sched *s, struct span *dest_r)
{
    for (struct list *l; (l = list_first(&s->to_place)) != NULL;) {
        struct sched_dest *d = CONTAINER(l, struct sched_dest, place);
        list_remove(l);
        if (sched_dest_waits(d)) {
            *dest_r = d->node.key;
            return true;
        }
        sched_place_end(d); /* they have gone elsewhere */
        sched_dest_update(s, d);
    }
    return false;
}

static void hurry_line(struct sched *s, const struct sched_line *line)
{
    struct sched_now now = { .mono_ms = s->seen_ms };
    for (struct list *l = line->rcpts.next; l != &line->rcpts; l = l->next)
        sched_timer_hurry(s, sched_rcpt_at(l), now);
}

static void hurry_queue(struct sched *s, const struct sched_queue *q)
{
    for (struct list *t = q->lines.next; t != &q->lines; t = t->next)
        hurry_line(s, CONTAINER(t, struct sched_line, link));
}

/* Their time may be over earlier by the rule of the place. */
static void hurry(struct sched *s, struct sched_dest *d)
{
    if (d->n[SCHED_READY] > HURRIED_AT_ONCE || d->n[SCHED_DEFERRED]) { /* those are in no line */
        s->looking = true;
        s->look_from = 0;
        return;
    }
    hurry_line(s, &d->granted);
    hurry_queue(s, &d->ready);
    hurry_queue(s, &d->backlog);
}

static bool ends_earlier(const struct sched_rule *now, const struct sched_rule *old)
{
    bool warns = now->warn_after_ms &&
                 (!old->warn_after_ms || now->warn_after_ms < old->warn_after_ms);
    return warns || now->expire_after_ms < old->expire_after_ms;
}

bool sched_place(struct sched *s, struct span dest_key, struct span site_key, uint32_t rule)
{
    struct sched_dest *d = sched_dest_get(s, dest_key);
    const struct sched_rule *old = sched_dest_rule(s, d);
    bool moved = sched_dest_bind(s, d, site_key);
    sched_site_set_rule(s, d->site, rule);
    if (ends_earlier(sched_dest_rule(s, d), old))
        hurry(s, d);
    sched_dest_update(s, d); /* it may be new, and idle */
    return moved;
}

void sched_set_mx(struct sched *s, struct span dest_key, struct sched_mx mx)
{
    struct hash_node *node = hash_get(&s->dests, dest_key);
    if (node)
        CONTAINER(node, struct sched_dest, node)->mx = mx;
}

bool sched_next_to_rule(struct sched *s, struct span *dest_r)
{
    struct list *l = list_first(&s->to_rule);
    if (!l)
        return false;
    list_remove(l);
    *dest_r = CONTAINER(l, struct sched_dest, rule)->node.key;
    if (list_empty(&s->to_rule)) { /* what was looked at before its rule was told */
        s->looking = s->order.count > 0;
        s->look_from = 0;
    }
    return true;
}

bool sched_bind(struct sched *s, uint64_t job_id, struct span site_key)
{
    struct sched_job_slot *j = sched_job_find(s, job_id);
    return j && sched_dest_bind(s, j->dest, site_key);
}

void sched_placed(struct sched *s, struct span dest_key, int64_t until_ms, bool found)
{
    struct hash_node *node = hash_get(&s->dests, dest_key);
    if (!node)
        return;
    struct sched_dest *d = CONTAINER(node, struct sched_dest, node);
    bool its_turn = d->placing == PLACE_TURN;
    sched_place_end(d);
    d->placed_until_ms = until_ms;
    if (until_ms == INT64_MAX)
        sched_dest_sited(s, d); /* at none, for good */
    if (found)
        heap_remove(&s->gates, &d->gate.wake); /* its back-off was for its DNS */
    sched_dest_update(s, d);
    if (its_turn) /* else all others of its site would be asked about in their turns before it */
        sched_dest_front(d);
}
