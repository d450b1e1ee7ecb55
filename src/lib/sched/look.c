/* look: what the queue holds, for lists and counts. Nothing here changes anything. */
#include "sched/inside.h"
#include "sched/walk.h"

void sched_addr_put(struct buf *b, struct sched_addr a)
{
    buf_puts(b, a.local);
    if (a.whole || a.domain.n == 0)
        return;
    buf_putc(b, '@');
    buf_puts(b, a.domain);
}

struct span sched_addr_domain(struct sched_addr a)
{
    return a.whole ? span_from(a.local, span_rfind(a.local, '@') + 1) : a.domain;
}

bool sched_msg(const struct sched *s, uint64_t seq, struct sched_msg_info *m_r)
{
    struct sched_msg *m = sched_order_get(&s->order, seq);
    if (m)
        sched_msg_show(m, m_r);
    return m != NULL;
}

uint64_t sched_age_at(int64_t received_ms)
{
    return received_ms <= 0 ? 0 : (uint64_t)received_ms << AGE_TIE_BITS;
}

int64_t sched_age_ms(uint64_t age) { return (int64_t)(age >> AGE_TIE_BITS); }

bool sched_age_get(const struct sched *s, uint64_t age, struct sched_msg_info *m_r)
{
    struct sched_msg *m = sched_order_get(&s->by_age, age);
    if (m)
        sched_msg_show(m, m_r);
    return m != NULL;
}

struct span sched_msg_listener(const struct sched_msg *m)
{
    return sched_name_span(m->cell->key.b);
}

int64_t sched_msg_born_ms(const struct sched *s, const struct sched_msg *m)
{
    return sched_born_ms(s, m);
}

struct span sched_msg_client(const struct sched_msg *m)
{
    size_t at = m->sender_len;
    if (m->rcpt_count) {
        const struct sched_rcpt *last = &m->rcpts[m->rcpt_count - 1];
        at = last->text + last->text_len;
    }
    return span_of(sched_msg_text(m) + at, m->client_len);
}

static struct span site_key(const struct sched_site *t)
{
    return t->node.key; /* empty: not bound yet */
}

const struct sched_name *sched_place_why(const struct sched_dest *d)
{
    const struct sched_site *t = d->site;
    bool by_site = sched_gate_closed(&t->gate) && !sched_gate_closed(&d->gate);
    const struct sched_name *first = by_site ? t->why : d->why;
    return first ? first : by_site ? d->why : t->why;
}

static const struct sched_name *said_of(const struct sched_rcpt *r)
{
    const struct sched_name *why = r->state == SCHED_READY ? sched_place_why(r->dest) : NULL;
    return why ? why : r->reason;
}

struct span sched_rcpt_earlier(const struct sched_rcpt *r)
{
    struct span before = sched_name_before(r->reason);
    bool decided = (r->state == SCHED_HELD && !sched_rcpt_quarantined(r)) || (r->flags & RCPT_HOLD);
    return before.n || decided ? before : sched_name_span(said_of(r));
}

struct span sched_msg_earlier(const struct sched_msg *m, uint32_t rcpt)
{
    return rcpt < m->rcpt_count ? sched_rcpt_earlier(&m->rcpts[rcpt]) : SPAN_NONE;
}

static uint64_t place_hash(const struct sched_dest *d)
{
    return d ? d->node.hash ^ d->site->node.hash << 1 : 0;
}

static void show_rcpt(const struct sched_rcpt *r, struct sched_rcpt_info *r_r)
{
    bool frozen = sched_rcpt_frozen(r);
    const struct sched_name *said = frozen ? NULL : said_of(r);
    struct span before = frozen ? sched_rcpt_earlier(r) : sched_name_before(r->reason);
    if (!frozen && span_eq(before, sched_name_span(said)))
        before = SPAN_NONE; /* let go again where it is as it was */
    bool own = said == r->reason || !before.n; /* else its hash does not stand for both texts */
    *r_r = (struct sched_rcpt_info){
        .state = r->state,
        .addr = { .local = span_of(sched_msg_text(sched_msg_of(r)) + r->text, r->text_len),
                  .domain = sched_name_span(r->domain),
                  .whole = (r->flags & RCPT_WHOLE) != 0 },
        .notify = r->notify,
        .attempts = r->attempts,
        .warned = (r->flags & RCPT_WARNED) != 0,
        .duplicate = (r->flags & RCPT_DUPLICATE) != 0,
        .released = (r->marks & MARK_RELEASED) != 0,
        .quarantined = sched_rcpt_quarantined(r),
        .to_be_held = (r->flags & RCPT_HOLD) && !(r->flags & RCPT_DELETE),
        .to_be_deleted = (r->flags & RCPT_DELETE) != 0,
        .marks = r->marks & (uint8_t)~MARKS_OWN,
        .reason = frozen ? SPAN(SCHED_FROZEN_REASON) : sched_name_span(said),
        .before = before,
        .frozen = frozen,
        .dest = r->dest ? r->dest->node.key : SPAN_NONE,
        .site = r->dest ? site_key(r->dest->site) : SPAN_NONE,
        .domain_hash = sched_name_hash(r->domain),
        .place_hash = place_hash(r->dest),
        .reason_hash = said && own ? said->node.hash : 0,
        .next_try_ms = frozen ? 0 : sched_rcpt_next_try(r),
    };
}

bool sched_rcpt(const struct sched *s, uint64_t seq, uint32_t rcpt, struct sched_rcpt_info *r_r)
{
    const struct sched_rcpt *r = sched_find_rcpt(s, seq, rcpt);
    if (r)
        show_rcpt(r, r_r);
    return r != NULL;
}

bool sched_msg_rcpt(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r)
{
    if (rcpt < m->rcpt_count)
        show_rcpt(&m->rcpts[rcpt], r_r);
    return rcpt < m->rcpt_count;
}

struct sched_totals sched_totals(const struct sched *s)
{
    struct sched_totals t = {
        .messages = s->order.count,
        .bytes = s->bytes,
        .jobs = s->job_count,
        .silent_jobs = s->shares.silent_jobs,
        .dests = (uint32_t)s->dests.n,
        .sites = (uint32_t)s->sites.n,
        .unsited = s->unsited,
    };
    memcpy(t.rcpts, s->n, sizeof t.rcpts);
    return t;
}

static void show_gate(const struct sched_gate *g, struct sched_place_info *p_r)
{
    p_r->active = g->active;
    p_r->limit = g->limit == UINT32_MAX ? 0 : g->limit;
    p_r->down_until_ms = sched_gate_closed(g) ? g->wake.key : 0;
    p_r->down_level = g->level;
    p_r->frozen = g->frozen;
}

static void show_dest(const struct sched_dest *d, struct sched_place_info *p_r)
{
    *p_r = (struct sched_place_info){ .key = d->node.key, .site = site_key(d->site),
                                      .why = sched_name_span(d->why) };
    memcpy(p_r->rcpts, d->n, sizeof d->n);
    show_gate(&d->gate, p_r);
    uint32_t ready = d->site->ready.n, backlog = d->site->backlog.n;
    p_r->senders = ready > backlog ? ready : backlog;
    p_r->asking = d->placing >= PLACE_SHUT;
    if (sched_gate_closed(&d->site->gate))
        p_r->site_down_until_ms = d->site->gate.wake.key;
}

bool sched_dest(const struct sched *s, struct span key, struct sched_place_info *p_r)
{
    struct hash_node *node = hash_get(&s->dests, key);
    if (node)
        show_dest(CONTAINER(node, struct sched_dest, node), p_r);
    return node != NULL;
}

int64_t sched_expire_ms(const struct sched *s, struct span dest_key)
{
    struct hash_node *node = hash_get(&s->dests, dest_key);
    return sched_dest_rule(s, node ? CONTAINER(node, struct sched_dest, node) : NULL)
        ->expire_after_ms;
}

static void show_site(const struct sched *s, const struct sched_site *t,
                      struct sched_place_info *p_r)
{
    const struct sched_rule *rule = sched_site_rule(s, t);
    *p_r = (struct sched_place_info){ .key = site_key(t), .why = sched_name_span(t->why) };
    memcpy(p_r->rcpts, t->n, sizeof t->n);
    show_gate(&t->gate, p_r);
    p_r->rule = t->rule;
    p_r->limit_max = rule->site_max;
    p_r->rate = rule->rate;
    p_r->rate_ms = rule->rate_ms;
    p_r->interval_us = sched_site_interval_us(s, t);
    p_r->slow = sched_pace_doubled(&t->pace, sched_site_rule_us(s, t));
    p_r->share = sched_share_of(s, t);
    p_r->crowded = sched_share_crowded(s, t, &p_r->full);
    p_r->paced_until_ms = heap_linked(&t->pace.wake) ? t->pace.wake.key : 0;
}

bool sched_site_of(const struct sched *s, struct span dest_key, struct sched_place_info *p_r)
{
    struct hash_node *node = hash_get(&s->dests, dest_key);
    if (node)
        show_site(s, CONTAINER(node, struct sched_dest, node)->site, p_r);
    return node != NULL;
}

static void walk_bucket(const struct sched *s, const struct hash *h, size_t bucket, bool sites,
                        void (*fn)(void *, enum sched_place_kind, struct span,
                                   const struct sched_place_info *),
                        void *arg)
{
    for (const struct hash_node *n = h->buckets[bucket]; n; n = n->next) {
        struct sched_place_info p;
        if (sites) {
            show_site(s, CONTAINER(n, struct sched_site, node), &p);
            fn(arg, SCHED_PLACE_SITE, n->key, &p);
            continue;
        }
        const struct sched_dest *d = CONTAINER(n, struct sched_dest, node);
        show_dest(d, &p);
        fn(arg, SCHED_PLACE_DEST, n->key, &p);
        if (d->site->key_len)
            continue;
        show_site(s, d->site, &p);
        fn(arg, SCHED_PLACE_NAMELESS, n->key, &p);
    }
}

int sched_walk_places(const struct sched *s, struct sched_place_walk *w,
                      void (*fn)(void *arg, enum sched_place_kind kind, struct span key,
                                 const struct sched_place_info *p),
                      void *arg)
{
    const struct hash *h = w->sites ? &s->sites : &s->dests;
    if (w->at > 0 && w->size != h->size) {
        *w = (struct sched_place_walk){ 0 };
        return -1;
    }
    w->size = h->size;
    if (w->at < w->size) {
        walk_bucket(s, h, w->at++, w->sites, fn, arg);
        return 1;
    }
    bool more = !w->sites;
    *w = (struct sched_place_walk){ .sites = true };
    return more;
}

bool sched_place_find(const struct sched *s, enum sched_place_kind kind, struct span key,
                      struct sched_place_info *p_r)
{
    if (kind == SCHED_PLACE_DEST)
        return sched_dest(s, key, p_r);
    if (kind == SCHED_PLACE_NAMELESS)
        return sched_site_of(s, key, p_r);
    struct hash_node *node = hash_get(&s->sites, key);
    if (node)
        show_site(s, CONTAINER(node, struct sched_site, node), p_r);
    return node != NULL;
}
