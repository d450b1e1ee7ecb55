#include "base/domain.h"
#include "sched/inside.h"

#include <stdlib.h>

enum {
    STRIKES_ADDED_MAX = 4,
    FRESH_MS = 60000, /* what waits for longer (before a restart) does not go before new mail */
};

/* Cuts an address into what is stored: a domain to intern, as it is compared, and the rest. */
struct cut {
    struct span text;
    bool whole;
    size_t domain_len;
    char domain[ENVELOPE_ADDR_MAX];
};

static void cut_address(struct span addr, struct cut *c)
{
    c->text = addr;
    c->whole = false;
    c->domain_len = 0; /* and not all of c cleared: a million messages pass here */
    size_t at = span_rfind(addr, '@');
    if (at == addr.n)
        return;
    struct span domain = span_from(addr, at + 1);
    if (domain.n == 0 || domain.n > sizeof c->domain) {
        c->whole = true;
        return;
    }
    c->domain_len = domain_fold(domain, c->domain, sizeof c->domain);
    c->whole = !span_eq(domain, span_of(c->domain, c->domain_len));
    if (!c->whole)
        c->text = span_to(addr, at);
}

static size_t text_size(const struct sched_entry *e)
{
    struct cut c;
    cut_address(e->sender, &c);
    size_t n = c.text.n;
    for (uint32_t i = 0; i < e->rcpt_count; i++) {
        cut_address(e->rcpts[i].addr, &c);
        n = must_add(n, c.text.n);
    }
    return must_add(n, e->client_len);
}

#define TIE_MASK ((UINT64_C(1) << AGE_TIE_BITS) - 1)

/* By time of receipt; within a millisecond mostly by seq. */
static uint64_t age_of(const struct sched_entry *e)
{
    const int64_t max_ms = (INT64_C(1) << 42) - 1;
    int64_t ms = e->received_ms < 0 ? 0 : e->received_ms > max_ms ? max_ms : e->received_ms;
    return (uint64_t)ms << AGE_TIE_BITS | (e->seq & TIE_MASK);
}

static void add_rcpt(struct sched *s, struct sched_msg *m, uint32_t i,
                     const struct sched_entry_rcpt *e, uint32_t *text)
{
    struct cut c;
    cut_address(e->addr, &c);
    struct sched_rcpt *r = &m->rcpts[i];
    r->index = i;
    r->text = *text;
    r->text_len = (uint16_t)c.text.n;
    if (c.text.n)
        memcpy((char *)&m->rcpts[m->rcpt_count] + *text, c.text.p, c.text.n);
    *text += (uint32_t)c.text.n;
    r->domain = sched_name_get(&s->domains, span_of(c.domain, c.domain_len));
    r->domain->frozen = sched_frozen_domain(s, sched_name_span(r->domain));
    r->notify = e->notify;
    r->attempts = e->attempts;
    r->marks = (uint8_t)((e->marks & ~MARKS_OWN) | (e->released ? MARK_RELEASED : 0) |
                         (e->quarantined ? MARK_QUARANTINED : 0));
    /* How many of them were its site's trouble is not kept over a restart. */
    r->strikes = e->attempts < STRIKES_ADDED_MAX ? (uint8_t)e->attempts : STRIKES_ADDED_MAX;
    r->flags = (uint8_t)((e->warned ? RCPT_WARNED : 0) | (c.whole ? RCPT_WHOLE : 0));
    if (e->reason.n)
        sched_rcpt_reason(s, r, e->reason);
}

/* The first state of a live recipient; it counts in none yet. Whether it is held is e's to say:
 * a message that came to be held may have been released since. */
static void place_rcpt(struct sched *s, struct sched_msg *m, struct sched_rcpt *r,
                       const struct sched_entry_rcpt *e, struct sched_now now)
{
    bool waits = (m->flags & (ENVELOPE_QUEUE_ONLY | ENVELOPE_DEFER)) && !e->attempts &&
                 !(r->marks & MARK_RELEASED);
    int64_t delay_ms = e->next_try_wall_ms ? e->next_try_wall_ms - now.wall_ms : 0;
    if (delay_ms > s->cfg.retry_max_ms)
        delay_ms = s->cfg.retry_max_ms;
    if (e->held) {
        sched_rcpt_enter(s, r, SCHED_HELD);
    } else if (waits) {
        sched_rcpt_enter(s, r, SCHED_WAITING);
        list_append(&s->waiting, &r->at.link);
    } else if (delay_ms > 0) {
        sched_rcpt_enter(s, r, SCHED_DEFERRED);
        heap_add(&s->deferred, &r->at.due, now.mono_ms + delay_ms);
        sched_index_due(r);
    } else {
        sched_rcpt_enter(s, r, SCHED_PENDING);
        bool fresh = !e->attempts && now.mono_ms - m->born_ms <= FRESH_MS;
        list_append(fresh ? &s->urgent : &s->bulk, &r->at.link);
    }
}

static struct sched_msg *make(struct sched *s, const struct sched_entry *e, struct sched_now now)
{
    size_t size = must_add(sizeof(struct sched_msg),
                           must_mul(e->rcpt_count, sizeof(struct sched_rcpt)));
    struct sched_msg *m = must_alloc(must_add(size, text_size(e)));
    m->seq = e->seq;
    m->age = age_of(e);
    m->size_bytes = e->size_bytes;
    m->flags = e->flags;
    m->rcpt_count = e->rcpt_count;
    int64_t age_ms = now.wall_ms - e->received_ms;
    m->born_ms = now.mono_ms - (age_ms > 0 ? age_ms : 0);
    struct cut c;
    cut_address(e->sender, &c);
    m->sender_len = (uint16_t)c.text.n;
    m->sender_whole = c.whole;
    m->sender_domain = sched_name_get(&s->domains, span_of(c.domain, c.domain_len));
    if (c.text.n)
        memcpy(&m->rcpts[m->rcpt_count], c.text.p, c.text.n);
    return m;
}

bool sched_add(struct sched *s, const struct sched_entry *e, struct sched_now now)
{
    MUST(e->sender.n <= ENVELOPE_ADDR_MAX && e->rcpt_count <= ENVELOPE_RCPTS_MAX);
    MUST(e->client_len == 0 || e->client_len == 4 || e->client_len == 16);
    if (sched_order_get(&s->order, e->seq))
        return false;
    struct sched_msg *m = make(s, e, now);
    while (!sched_order_add(&s->by_age, m)) /* no two have the same; the time stays */
        m->age = (m->age & ~TIE_MASK) | ((m->age + 1) & TIE_MASK);
    uint32_t text = m->sender_len;
    for (uint32_t i = 0; i < e->rcpt_count; i++) {
        const struct sched_entry_rcpt *er = &e->rcpts[i];
        MUST(er->addr.n <= ENVELOPE_ADDR_MAX);
        MUST(!er->done || (er->done >= SCHED_LIVE && er->done < SCHED_STATES));
        add_rcpt(s, m, i, er, &text);
        if (er->done) {
            m->rcpts[i].state = er->done;
            continue;
        }
        m->live++;
        struct sched_entry_rcpt first = *er;
        first.held |= (m->flags & ENVELOPE_HOLD) != 0;
        place_rcpt(s, m, &m->rcpts[i], &first, now);
    }
    m->client_len = e->client_len;
    if (m->client_len)
        memcpy((char *)&m->rcpts[m->rcpt_count] + text, e->client, m->client_len);
    MUST(sched_order_add(&s->order, m));
    sched_index_message(s, m, e->sender, e->listener);
    s->bytes += m->size_bytes;
    if (m->live)
        sched_timer_arm(s, m, now);
    else
        list_append(&s->gone, &m->at.gone);
    return true;
}

static bool restore_one(struct sched *s, struct sched_msg *m, struct sched_rcpt *r,
                        const struct sched_entry_rcpt *e, struct sched_now now)
{
    if (r->state >= SCHED_LIVE)
        return false;
    if (e->reason.n)
        sched_rcpt_decided(s, r, e->reason, e->before);
    if (e->attempts > r->attempts)
        r->attempts = e->attempts;
    r->strikes = r->attempts < STRIKES_ADDED_MAX ? (uint8_t)r->attempts : STRIKES_ADDED_MAX;
    if (e->warned)
        r->flags |= RCPT_WARNED;
    if (e->duplicate)
        r->flags |= RCPT_DUPLICATE;
    r->marks = (uint8_t)((r->marks & ~MARK_RELEASED) | (e->released ? MARK_RELEASED : 0));
    if (e->done) {
        sched_rcpt_finish(s, r, e->done);
        return true;
    }
    struct sched_entry_rcpt now_e = *e;
    now_e.attempts = r->attempts;
    sched_rcpt_leave(s, r);
    place_rcpt(s, m, r, &now_e, now);
    if (!heap_linked(&m->at.timer) && r->state != SCHED_HELD && r->state != SCHED_WAITING)
        sched_timer_arm(s, m, now);
    return true;
}

bool sched_restore(struct sched *s, uint64_t seq, uint32_t rcpt, const struct sched_entry_rcpt *e,
                   struct sched_now now)
{
    struct sched_msg *m = sched_order_get(&s->order, seq);
    bool any = false;
    if (!m)
        return false;
    for (uint32_t i = 0; i < m->rcpt_count; i++)
        if (rcpt == SCHED_ALL || rcpt == i)
            any |= restore_one(s, m, &m->rcpts[i], e, now);
    return any;
}

void sched_msg_free(struct sched *s, struct sched_msg *m)
{
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        sched_name_put(&s->domains, m->rcpts[i].domain);
        sched_name_put(&s->reasons, m->rcpts[i].reason);
    }
    sched_name_put(&s->domains, m->sender_domain);
    free(m);
}

bool sched_next_gone(struct sched *s, uint64_t *seq_r)
{
    struct list *l = list_first(&s->gone);
    if (!l)
        return false;
    struct sched_msg *m = CONTAINER(l, struct sched_msg, at.gone);
    MUST(m->live == 0);
    list_remove(l);
    *seq_r = m->seq;
    if (s->event_msg == m)
        s->event_msg = NULL;
    sched_order_remove(&s->order, m);
    sched_order_remove(&s->by_age, m);
    sched_index_message_gone(s, m);
    s->bytes -= m->size_bytes;
    sched_msg_free(s, m);
    return true;
}

/* --- those that are still needed --- */

struct pin {
    struct hash_node node;
    uint64_t seq;
    uint32_t n;
};

static struct pin *pin_of(const struct sched *s, uint64_t seq)
{
    struct hash_node *n = s->pins.n ? hash_get(&s->pins, span_of(&seq, sizeof seq)) : NULL;
    return n ? CONTAINER(n, struct pin, node) : NULL;
}

void sched_msg_over(struct sched *s, struct sched_msg *m)
{
    list_init(&m->at.gone);
    if (!pin_of(s, m->seq))
        list_append(&s->gone, &m->at.gone);
}

bool sched_pin(struct sched *s, uint64_t seq)
{
    struct sched_msg *m = sched_order_get(&s->order, seq);
    struct pin *p = pin_of(s, seq);
    if (!m)
        return false;
    if (!p) {
        p = NEW(struct pin);
        p->seq = seq;
        hash_add(&s->pins, &p->node, span_of(&p->seq, sizeof p->seq));
    }
    p->n++;
    if (!m->live)
        list_remove(&m->at.gone);
    return true;
}

void sched_unpin(struct sched *s, uint64_t seq)
{
    struct sched_msg *m = sched_order_get(&s->order, seq);
    struct pin *p = pin_of(s, seq);
    MUST(m && p);
    if (--p->n)
        return;
    hash_remove(&s->pins, &p->node);
    free(p);
    if (!m->live)
        sched_msg_over(s, m);
}

void sched_pins_free(struct sched *s)
{
    for (struct hash_node *n; (n = hash_next(&s->pins, NULL)) != NULL;) {
        hash_remove(&s->pins, n);
        free(CONTAINER(n, struct pin, node));
    }
    hash_free(&s->pins);
}

struct sched_rcpt *sched_find_rcpt(const struct sched *s, uint64_t seq, uint32_t rcpt)
{
    struct sched_msg *m = sched_order_get(&s->order, seq);
    return m && rcpt < m->rcpt_count ? &m->rcpts[rcpt] : NULL;
}
