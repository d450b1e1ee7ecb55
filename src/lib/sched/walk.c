#include "sched/walk.h"

#include "sched/inside.h"

size_t sched_walk(const struct sched *s, uint64_t after_age, const struct sched_msg **m_r,
                  size_t n)
{
    return after_age == UINT64_MAX ? 0 : sched_order_some(&s->by_age, after_age + 1, m_r, n);
}

uint64_t sched_walk_end(const struct sched *s)
{
    const struct sched_msg *last = sched_order_last(&s->by_age);
    return last ? last->age : 0;
}

/* Of a message with one recipient, which most are, all of it. */
void sched_walk_soon(const struct sched_msg *m, unsigned what)
{
    enum { LINE = 64, ALONE = 2, WITH_RCPTS = 3, WITH_TEXT = 4 };
    int lines = what & SCHED_WALK_TEXT ? WITH_TEXT : what & SCHED_WALK_RCPTS ? WITH_RCPTS : ALONE;
    for (int i = 0; i < lines; i++)
        __builtin_prefetch((const char *)m + i * LINE);
}

/* The place of a recipient makes its state only while it is under way. */
static unsigned needed(const struct sched_msg *m, unsigned what)
{
    bool placed = what & SCHED_WALK_STATE && m->rcpt_count && m->rcpts[0].state <= SCHED_DEFERRED;
    return placed ? what | SCHED_WALK_PLACE : what;
}

void sched_walk_next(const struct sched_msg *m, unsigned what)
{
    const struct sched_name *domain = m->rcpt_count ? m->rcpts[0].domain : NULL;
    const struct sched_dest *d = m->rcpt_count ? m->rcpts[0].dest : NULL;
    what = needed(m, what);
    if (what & SCHED_WALK_SENDER)
        __builtin_prefetch(&m->cell->key);
    if (what & (SCHED_WALK_DOMAIN | SCHED_WALK_PLACE | SCHED_WALK_NUMBER) && domain)
        __builtin_prefetch(domain);
    if (what & SCHED_WALK_DOMAIN && domain)
        __builtin_prefetch(domain->text);
    if (what & SCHED_WALK_PLACE && d) {
        __builtin_prefetch(d);
        __builtin_prefetch(&d->site);
    }
}

void sched_walk_now(const struct sched_msg *m, unsigned what)
{
    const struct sched_dest *d = m->rcpt_count ? m->rcpts[0].dest : NULL;
    const struct sched_name *sender = NULL;
    what = needed(m, what);
    if (what & SCHED_WALK_SENDER)
        sender = m->cell->key.c;
    if (sender)
        __builtin_prefetch(sender);
    if (what & SCHED_WALK_PLACE && d) {
        __builtin_prefetch(d->site);
        __builtin_prefetch(&d->site->gate.frozen);
    }
}

void sched_msg_show(const struct sched_msg *m, struct sched_msg_info *m_r)
{
    *m_r = (struct sched_msg_info){
        .seq = m->seq,
        .received_ms = sched_age_ms(m->age),
        .size_bytes = m->size_bytes,
        .flags = m->flags,
        .rcpt_count = m->rcpt_count,
        .live_count = m->live,
        .sender = { .local = span_of(sched_msg_text(m), m->sender_len),
                    .domain = sched_name_span(m->sender_domain),
                    .whole = m->sender_whole },
        .age = m->age,
        .here = m,
    };
}

bool sched_msg_rcpt_addr(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r)
{
    if (rcpt >= m->rcpt_count)
        return false;
    const struct sched_rcpt *r = &m->rcpts[rcpt];
    r_r->state = r->state;
    r_r->addr = (struct sched_addr){ .local = span_of(sched_msg_text(m) + r->text, r->text_len),
                                     .domain = sched_name_span(r->domain),
                                     .whole = (r->flags & RCPT_WHOLE) != 0 };
    return true;
}

bool sched_msg_rcpt_state(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r)
{
    if (rcpt >= m->rcpt_count)
        return false;
    const struct sched_rcpt *r = &m->rcpts[rcpt];
    r_r->state = r->state;
    r_r->frozen = sched_rcpt_frozen(r);
    r_r->quarantined = sched_rcpt_quarantined(r);
    r_r->next_try_ms = r_r->frozen ? 0 : sched_rcpt_next_try(r);
    return true;
}

void sched_msg_rcpt_domain(const struct sched_msg *m, uint32_t rcpt, struct sched_rcpt_info *r_r)
{
    const struct sched_name *domain = m->rcpts[rcpt].domain;
    r_r->addr.domain = domain ? domain->node.key : SPAN_NONE; /* nothing more follows */
    r_r->domain_hash = sched_name_hash(domain);
}

struct span sched_msg_rcpt_class(const struct sched_msg *m, uint32_t rcpt)
{
    const struct sched_rcpt *r = &m->rcpts[rcpt];
    bool places = sched_rcpt_frozen(r) || (r->state == SCHED_READY && sched_place_why(r->dest));
    struct span class = r->reason && !places ? sched_name_span(r->reason->class) : SPAN_NONE;
    return span_eq(class, SPAN(SCHED_OTHER_REASONS)) ? SPAN_NONE : class;
}

int64_t sched_msg_rcpt_paced_ms(const struct sched_msg *m, uint32_t rcpt)
{
    const struct sched_dest *d = m->rcpts[rcpt].dest;
    return d && heap_linked(&d->site->pace.wake) ? d->site->pace.wake.key : 0;
}

uint64_t sched_msg_domain_hash(const struct sched_msg *m)
{
    return m->rcpt_count ? sched_name_hash(m->rcpts[0].domain) : 0;
}

bool sched_msg_sender(const struct sched_msg *m, struct span *sender_r)
{
    const struct sched_name *sender = m->cell->key.c;
    *sender_r = sender->node.key; /* all of it: of an address nothing more follows */
    return !span_eq(*sender_r, SPAN(SCHED_OTHER_SENDERS));
}

uint64_t sched_msg_sender_hash(const struct sched_msg *m)
{
    struct span text;
    return sched_msg_sender(m, &text) ? sched_name_hash(m->cell->key.c) : 0;
}

int sched_walk_reasons(const struct sched *s, struct sched_reason_walk *w,
                       void (*fn)(void *arg, struct span class, struct span reason,
                                  struct span before),
                       void *arg)
{
    const struct hash *h = &s->reasons;
    if (w->at > 0 && w->size != h->size) {
        *w = (struct sched_reason_walk){ 0 };
        return -1;
    }
    w->size = h->size;
    if (w->at == w->size)
        return 0;
    for (const struct hash_node *n = h->buckets[w->at++]; n; n = n->next) {
        const struct sched_name *reason = CONTAINER(n, struct sched_name, node);
        if (reason->class) /* else it is of a back-off, or of nobody yet */
            fn(arg, sched_name_span(reason->class), sched_name_span(reason),
               sched_name_before(reason));
    }
    return 1;
}

bool sched_walk_listener(const struct sched *s, struct span name)
{
    return hash_get(&s->listeners, name) != NULL;
}
