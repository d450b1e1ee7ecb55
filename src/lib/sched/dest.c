#include "sched/inside.h"

#include <stdlib.h>

int64_t sched_site_interval_us(const struct sched *s, const struct sched_site *t)
{
    return sched_pace_interval_us(&t->pace, sched_site_rule_us(s, t), t->gate.limit <= 1);
}

void sched_site_begin(struct sched *s, struct sched_site *t, int64_t now_ms)
{
    int64_t interval_us = sched_site_interval_us(s, t);
    if (!interval_us)
        return;
    int64_t at_ms = sched_pace_begin(&t->pace, interval_us, now_ms);
    if (at_ms > now_ms)
        heap_change(&s->paces, &t->pace.wake, at_ms);
}

void sched_site_set_rule(struct sched *s, struct sched_site *t, uint32_t rule)
{
    const struct sched_rule *old = sched_site_rule(s, t);
    if (rule > s->cfg.rule_count)
        rule = 0;
    const struct sched_rule *now = &s->rules[rule];
    if (rule == t->rule && !t->unplaced)
        return;
    t->unplaced = false;
    bool fresh = t->gate.slow_start && t->gate.limit == old->site_initial;
    t->rule = rule;
    if (fresh)
        t->gate.limit = now->site_initial;
    if (t->gate.limit > now->site_max)
        t->gate.limit = now->site_max;
    /* At the new pace from here on: not an hour later when it was one in an hour. */
    int64_t most_us = s->seen_ms * 1000 + sched_site_interval_us(s, t);
    if (t->pace.next_us > most_us)
        t->pace.next_us = most_us;
    if (heap_linked(&t->pace.wake) && t->pace.wake.key > (most_us + 999) / 1000)
        heap_change(&s->paces, &t->pace.wake, (most_us + 999) / 1000);
    sched_site_update(s, t);
}

static struct sched_site *site_new(struct sched *s, struct span key)
{
    struct sched_site *t = must_alloc(must_add(sizeof *t, key.n));
    sched_gate_init(&t->gate, s->cfg.site_initial, true);
    list_init(&t->ring);
    sched_turns_init(&t->ready);
    sched_turns_init(&t->backlog);
    list_init(&t->runnable);
    list_append(&s->all_sites, &t->all);
    t->key_len = key.n;
    if (key.n) {
        memcpy(t->key, key.p, key.n);
        hash_add(&s->sites, &t->node, span_of(t->key, key.n));
        t->gate.frozen = sched_frozen_key(s, key);
    }
    return t;
}

static bool site_waits(const struct sched_site *t)
{
    return !list_empty(&t->ring) || !list_empty(&t->ready.seats) ||
           !list_empty(&t->backlog.seats);
}

static void site_free(struct sched *s, struct sched_site *t)
{
    MUST(t->dests == 0 && !site_waits(t));
    MUST(t->gate.active == 0 && t->gate.tokens == 0);
    heap_remove(&s->gates, &t->gate.wake);
    heap_remove(&s->paces, &t->pace.wake);
    list_remove(&t->runnable);
    list_remove(&t->all);
    if (t->key_len)
        hash_remove(&s->sites, &t->node);
    sched_name_put(&s->reasons, t->why);
    free(t->kept);
    free(t);
}

struct sched_dest *sched_dest_get(struct sched *s, struct span key)
{
    struct hash_node *node = hash_get(&s->dests, key);
    if (node)
        return CONTAINER(node, struct sched_dest, node);
    struct sched_dest *d = must_alloc(must_add(sizeof *d, key.n));
    sched_gate_init(&d->gate, UINT32_MAX, false);
    sched_granted_init(&d->granted, d);
    sched_queue_init(&d->ready, d);
    sched_queue_init(&d->backlog, d);
    struct list *lists[] = { &d->ring, &d->drain, &d->idle, &d->place, &d->rule };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    if (key.n)
        memcpy(d->key, key.p, key.n);
    hash_add(&s->dests, &d->node, span_of(d->key, key.n));
    d->gate.frozen = sched_frozen_key(s, key);
    d->apart = sched_frozen_apart(key);
    d->unsited = s->cfg.places && !d->apart;
    d->site = site_new(s, SPAN_NONE);
    d->site->dests = 1;
    return d;
}

static void open_or_shut(struct sched *s, struct sched_dest *d, bool open)
{
    if (open != d->open) {
        void (*set)(struct sched *, struct sched_queue *) = open ? sched_queue_open
                                                                 : sched_queue_shut;
        d->open = open;
        set(s, &d->ready);
        set(s, &d->backlog);
    }
    if (!open || list_empty(&d->granted.rcpts))
        list_remove(&d->ring);
    else if (!list_linked(&d->ring))
        list_append(&d->site->ring, &d->ring);
}

void sched_dest_free(struct sched *s, struct sched_dest *d)
{
    sched_place_end(d);
    MUST(d->refs == 0 && d->gate.active == 0 && d->gate.tokens == 0);
    MUST(!sched_dest_waits(d) && !list_linked(&d->ring));
    heap_remove(&s->gates, &d->gate.wake);
    list_remove(&d->drain);
    list_remove(&d->rule);
    if (list_linked(&d->idle))
        s->idle_count--;
    list_remove(&d->idle);
    hash_remove(&s->dests, &d->node);
    sched_name_put(&s->reasons, d->why);
    if (--d->site->dests == 0)
        site_free(s, d->site);
    else
        sched_site_update(s, d->site);
    free(d);
}

void sched_site_update(struct sched *s, struct sched_site *t)
{
    bool want = site_waits(t) && sched_gate_open(&t->gate) &&
                !heap_linked(&t->pace.wake) && !t->unplaced;
    sched_share_update(s, t, want);
}

/* An unused destination is remembered for its site, up to a number. The oldest goes first: never
 * one that was in use a moment ago, since at least 16 are kept. */
static void update_idle(struct sched *s, struct sched_dest *d)
{
    bool idle = d->refs == 0;
    if (idle == list_linked(&d->idle))
        return;
    if (!idle) {
        list_remove(&d->idle);
        s->idle_count--;
        return;
    }
    list_append(&s->idle, &d->idle);
    if (++s->idle_count > s->cfg.idle_dests_max)
        sched_dest_free(s, CONTAINER(list_first(&s->idle), struct sched_dest, idle));
}

void sched_dest_update(struct sched *s, struct sched_dest *d)
{
    bool waits = sched_dest_waits(d);
    if (waits && sched_place_due(s, d))
        sched_place_ask(s, d, false);
    open_or_shut(s, d, waits && sched_gate_open(&d->gate) && d->placing < PLACE_SHUT);
    sched_site_update(s, d->site);
    update_idle(s, d);
}

void sched_dest_front(struct sched_dest *d)
{
    if (list_linked(&d->ring)) {
        list_remove(&d->ring);
        list_prepend(&d->site->ring, &d->ring);
    } else if (d->open) {
        sched_queue_first(list_empty(&d->ready.lines) ? &d->backlog : &d->ready);
    }
}

void sched_dest_sited(struct sched *s, struct sched_dest *d)
{
    for (int i = 0; i < SCHED_LIVE && d->unsited; i++)
        s->unsited -= d->n[i];
    d->unsited = false;
}

bool sched_dest_bind(struct sched *s, struct sched_dest *d, struct span site_key)
{
    struct sched_site *old = d->site;
    if (site_key.n == 0 || (old->key_len && span_eq(span_of(old->key, old->key_len), site_key)))
        return false;
    struct hash_node *node = hash_get(&s->sites, site_key);
    struct sched_site *t =
        node ? CONTAINER(node, struct sched_site, node) : site_new(s, site_key);
    open_or_shut(s, d, false);
    if (t->unplaced && !list_linked(&d->rule))
        list_append(&s->to_rule, &d->rule); /* those that are there may all leave it */
    for (int i = 0; i < SCHED_LIVE; i++) {
        old->n[i] -= d->n[i];
        t->n[i] += d->n[i];
    }
    old->gate.active -= d->gate.active;
    t->gate.active += d->gate.active;
    old->gate.tokens -= d->gate.tokens;
    t->gate.tokens += d->gate.tokens;
    for (uint32_t i = 0; i < d->gate.active; i++)
        sched_site_begin(s, t, s->seen_ms); /* it came to be one of its messages just now */
    t->dests++;
    d->site = t;
    sched_dest_sited(s, d);
    if (--old->dests == 0)
        site_free(s, old);
    else
        sched_site_update(s, old);
    sched_dest_update(s, d);
    return true;
}
