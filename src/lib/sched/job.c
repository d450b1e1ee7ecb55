#include "sched/inside.h"

#include <stdlib.h>

enum { SLOT_BITS = 20 }; /* of a job's id; the rest is a serial number */

struct sched_job_slot *sched_job_find(const struct sched *s, uint64_t id)
{
    uint64_t slot = id & ((1u << SLOT_BITS) - 1);
    if (id == 0 || slot >= s->job_slots || s->jobs[slot]->id != id)
        return NULL;
    return s->jobs[slot];
}

static struct sched_job_slot *take_slot(struct sched *s)
{
    if (!s->job_free) {
        MUST(s->job_slots < 1u << SLOT_BITS);
        s->jobs = must_realloc(s->jobs, must_mul(s->job_slots + 1, sizeof *s->jobs));
        s->jobs[s->job_slots] = NEW(struct sched_job_slot);
        s->job_free = ++s->job_slots;
    }
    uint32_t slot = s->job_free - 1;
    struct sched_job_slot *j = s->jobs[slot];
    s->job_free = j->next_free;
    j->id = ++s->job_serial << SLOT_BITS | slot;
    s->job_count++;
    return j;
}

void sched_job_free(struct sched *s, struct sched_job_slot *j)
{
    uint32_t slot = (uint32_t)(j->id & ((1u << SLOT_BITS) - 1));
    free(j->rcpts);
    *j = (struct sched_job_slot){ .next_free = s->job_free };
    s->job_free = slot + 1;
    s->job_count--;
}

static bool route_is_old(const struct sched *s, const struct sched_rcpt *r, struct sched_now now)
{
    int64_t age_s = now.mono_ms / 1000 + 1 - r->routed_s;
    return r->epoch != s->epoch || age_s * 1000 > s->cfg.route_ttl_ms;
}

/* Recipients of one message that stand together at the head of a list. */
static uint32_t group(const struct list *head, uint32_t max)
{
    uint32_t n = 0;
    const struct sched_msg *m = NULL;
    for (struct list *l = head->next; l != head && n < max; l = l->next, n++) {
        struct sched_msg *next = sched_msg_of(sched_rcpt_at(l));
        if (m && next != m)
            break;
        m = next;
    }
    return n;
}

/* Sends the first group of a list to the router, with the promise of a slot. */
static void route_again(struct sched *s, struct sched_dest *d, struct list *from)
{
    for (uint32_t n = group(from, s->cfg.job_rcpts_max); n > 0; n--) {
        struct sched_rcpt *r = sched_rcpt_at(list_first(from));
        sched_rcpt_leave(s, r);
        r->flags |= RCPT_TOKEN;
        d->gate.tokens++;
        d->site->gate.tokens++;
        sched_rcpt_enter(s, r, SCHED_PENDING);
        list_append(&s->urgent, &r->at.link);
    }
}

static struct sched_job_slot *start_job(struct sched *s, struct sched_dest *d, struct list *from,
                                        struct sched_now now)
{
    struct sched_job_slot *j = take_slot(s);
    uint32_t n = group(from, s->cfg.job_rcpts_max);
    j->msg = sched_msg_of(sched_rcpt_at(list_first(from)));
    j->dest = d;
    j->rcpt_count = n;
    j->rcpts = must_calloc(n, sizeof *j->rcpts);
    for (uint32_t i = 0; i < n; i++) {
        struct sched_rcpt *r = sched_rcpt_at(list_first(from));
        sched_rcpt_leave(s, r);
        sched_rcpt_enter(s, r, SCHED_ACTIVE);
        r->at.job = j;
        j->rcpts[i] = r->index;
    }
    j->begun_ms = now.mono_ms;
    sched_share_begin(s, d->site, j);
    d->refs++;
    d->gate.active++;
    d->site->gate.active++;
    sched_site_begin(s, d->site, now.mono_ms);
    return j;
}

static uint64_t take_kept(struct sched_site *t, uint32_t at)
{
    uint64_t keeper = t->kept[at].keeper;
    t->kept_count--;
    memmove(t->kept + at, t->kept + at + 1, (t->kept_count - at) * sizeof *t->kept);
    return keeper;
}

static uint32_t kept_under(const struct sched_site *t, uint64_t under)
{
    for (uint32_t i = t->kept_count; i > 0; i--)
        if (t->kept[i - 1].under == under)
            return i - 1;
    return t->kept_count;
}

/* The connection for a job that has just begun: one to its best hosts, or to another where those
 * could not be reached lately; else a new one, in the room of one that is not for it when there
 * is no other (best one that is being closed already). */
static void choose_kept(struct sched_dest *d, struct sched_job *job_r)
{
    struct sched_site *t = d->site;
    if (!t->kept_count)
        return;
    uint32_t at = kept_under(t, d->mx.best);
    if (at == t->kept_count)
        at = kept_under(t, d->mx.all);
    if (at == t->kept_count) {
        if (t->gate.active + t->kept_count <= t->gate.limit)
            return;
        job_r->instead = true;
        at = kept_under(t, SCHED_ENDING);
        if (at == t->kept_count)
            at = 0;
    }
    job_r->keeper = take_kept(t, at);
}

static void show_job(struct sched_job_slot *j, struct sched_job *job_r)
{
    const struct sched_msg *m = j->msg;
    struct sched_dest *d = j->dest;
    struct sched_site *t = d->site;
    *job_r = (struct sched_job){
        .id = j->id,
        .seq = m->seq,
        .size_bytes = m->size_bytes,
        .flags = m->flags,
        .rcpts = j->rcpts,
        .rcpt_count = j->rcpt_count,
        .dest = d->node.key,
        .site = t->key_len ? t->node.key : SPAN_NONE,
        .more = t->n[SCHED_READY],
        .probe = d->gate.half_open || t->gate.half_open,
    };
    choose_kept(d, job_r);
}

/* The turn passes on: the site behind the other sites, the destination behind its others. */
static void pass_turn(struct sched *s, struct sched_dest *d)
{
    list_remove(&d->ring);
    list_remove(&d->site->runnable);
    sched_dest_update(s, d);
}

/* False: its owner is to say first at which site it is. */
static bool placed(struct sched *s, struct sched_line *l)
{
    struct sched_dest *d = l->dest;
    if (!sched_place_due(s, d))
        return true;
    sched_place_ask(s, d, true);
    if (d->placing != PLACE_TURN)
        return true;
    if (l->queue) { /* sched_dest_front will find it there */
        list_remove(&l->link);
        list_prepend(&l->queue->lines, &l->link);
    }
    return false;
}

/* While a job runs the next in line is routed: an old head of what is ready at the site; else, in
 * turns with what is ready, one of the backlog. Nobody is next to a probe. */
static void look_ahead(struct sched *s, struct sched_site *t, bool granted, struct sched_now now)
{
    struct sched_line *l = sched_turns_next(&t->ready);
    if (!l || !route_is_old(s, sched_rcpt_at(list_first(&l->rcpts)), now)) {
        if (l && granted)
            return;
        l = sched_turns_next(&t->backlog);
    }
    if (!l || t->gate.half_open || !sched_gate_open(&l->dest->gate))
        return;
    struct sched_dest *d = l->dest;
    if (placed(s, l)) {
        sched_line_pass(s, l);
        route_again(s, d, &l->rcpts);
    }
    sched_dest_update(s, d);
}

static struct sched_line *next_line(const struct sched_site *t)
{
    if (!list_empty(&t->ring))
        return &CONTAINER(list_first(&t->ring), struct sched_dest, ring)->granted;
    struct sched_line *l = sched_turns_next(&t->ready);
    return l ? l : sched_turns_next(&t->backlog);
}

/* One step of the site whose turn it is: true with a job, false when something went to the router
 * instead, or the owner is to say first where it is. Each takes a slot or a token, so that the
 * loop around it ends. */
static bool take_turn(struct sched *s, struct sched_site *t, struct sched_now now,
                      struct sched_job *job_r)
{
    struct sched_line *l = next_line(t);
    MUST(l);
    struct sched_dest *d = l->dest;
    if (!placed(s, l)) {
        pass_turn(s, d);
        return false;
    }
    bool granted = !l->queue, backlog = l->queue == &d->backlog;
    bool old = backlog || route_is_old(s, sched_rcpt_at(list_first(&l->rcpts)), now);
    sched_line_pass(s, l);
    if (old) {
        route_again(s, d, &l->rcpts);
    } else {
        show_job(start_job(s, d, &l->rcpts, now), job_r);
        look_ahead(s, t, granted, now);
    }
    pass_turn(s, d);
    return !old;
}

bool sched_next_job(struct sched *s, struct sched_now now, struct sched_job *job_r)
{
    sched_advance(s, now);
    for (struct sched_site *t; (t = sched_share_turn(s)) != NULL;)
        if (take_turn(s, t, now, job_r))
            return true;
    return false;
}
