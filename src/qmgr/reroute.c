#include "qmgr/reroute.h"

#include "base/must.h"
#include "qmgr/keep.h"
#include "route/value.h"
#include "smtp/client.h"

#include <stdlib.h>
#include <string.h>

#define NOTE_KEY "rerouted "
#define RULE_KIND "reroute"

/* As many next hops as leave room for all else in the notes. */
enum { NOTE_ENTRY_BYTES = 12, HOPS_MAX = 1000, CHECK_ARENA_MAX = 64 << 10 };

struct hop { /* shared by all who go there */
    struct list node;
    uint32_t refs;
    struct buf chunk; /* while notes are made */
    size_t n;
    char text[];
};

struct way {
    uint32_t rcpt;
    struct hop *hop;
};

struct reroute {
    struct hash_node node; /* by seq */
    uint64_t seq;
    uint32_t n, cap;
    struct way *ways; /* in the order of recipients */
};

struct reroutes {
    struct hash by_seq;
    struct list hops;
    size_t hop_count;
    uint64_t rcpts;
    bool changed; /* not in the notes yet */
    size_t noted; /* chunks */
};

/* --- next hops --- */

static struct span text_of(const struct hop *h) { return span_of(h->text, h->n); }

static void hop_put(struct reroutes *all, struct hop *h)
{
    if (--h->refs)
        return;
    list_remove(&h->node);
    all->hop_count--;
    buf_free(&h->chunk);
    free(h);
}

/* NULL: there are too many. */
static struct hop *hop_get(struct reroutes *r, struct span text)
{
    LIST_EACH(n, &r->hops) {
        struct hop *h = CONTAINER(n, struct hop, node);
        if (!span_eq(text_of(h), text))
            continue;
        h->refs++;
        return h;
    }
    if (r->hop_count == HOPS_MAX)
        return NULL;
    struct hop *h = must_alloc(must_add(sizeof *h, text.n));
    h->refs = 1;
    h->n = text.n;
    memcpy(h->text, text.p, text.n);
    buf_init(&h->chunk, NOTES_VALUE_MAX);
    list_append(&r->hops, &h->node);
    r->hop_count++;
    return h;
}

bool reroute_check(struct span hop, struct err *err)
{
    struct arena *a = arena_new(CHECK_ARENA_MAX);
    struct route_dest d;
    bool good = hop.n <= REROUTE_HOP_MAX && route_value_or_hops(hop, a, &d, err);
    if (hop.n > REROUTE_HOP_MAX)
        err_set(err, "a next hop of more than %d bytes", REROUTE_HOP_MAX);
    if (good && d.mailer != ROUTE_RELAY && d.mailer != ROUTE_LMTP && d.mailer != ROUTE_ESMTP &&
        d.mailer != ROUTE_SMTP) {
        err_set(err, "mail is rerouted to a host, as smart_host names one");
        good = false;
    }
    arena_free(&a);
    return good;
}

/* False: it cannot be read (any more). */
static bool route_by(struct span hop, const char *matched, struct span name, struct arena *a,
                     struct route_dest *d_r)
{
    struct err unused;
    struct buf b;
    *d_r = (struct route_dest){ .mailer = ROUTE_RELAY };
    if (!route_value_or_hops(hop, a, d_r, &unused))
        return false;
    buf_init(&b, REROUTE_NAME_MAX + 100);
    buf_printf(&b, "%s%.*s", matched, SPAN_ARG(name));
    d_r->matched = arena_dup(a, buf_span(&b));
    buf_free(&b);
    return route_dest_make_queue(d_r, a);
}

/* --- recipients --- */

static struct reroute *find(const struct qmgr *q, uint64_t seq)
{
    if (!q->reroutes)
        return NULL;
    struct hash_node *n = hash_get(&q->reroutes->by_seq, span_of(&seq, sizeof seq));
    return n ? CONTAINER(n, struct reroute, node) : NULL;
}

/* Where it stands, or would. */
static uint32_t place_of(const struct reroute *r, uint32_t rcpt)
{
    uint32_t from = 0, to = r->n;
    if (r->n && r->ways[r->n - 1].rcpt < rcpt)
        return r->n;
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (r->ways[mid].rcpt < rcpt)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static struct way *way_of(const struct reroute *r, uint32_t rcpt)
{
    uint32_t at = r ? place_of(r, rcpt) : 0;
    return r && at < r->n && r->ways[at].rcpt == rcpt ? &r->ways[at] : NULL;
}

static void add_way(struct reroute *r, uint32_t rcpt, struct hop *hop)
{
    uint32_t at = place_of(r, rcpt);
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 1;
        r->ways = must_realloc(r->ways, must_mul(r->cap, sizeof *r->ways));
    }
    memmove(&r->ways[at + 1], &r->ways[at], (r->n - at) * sizeof *r->ways);
    r->ways[at] = (struct way){ rcpt, hop };
    r->n++;
}

static struct reroute *make(struct reroutes *all, uint64_t seq)
{
    struct reroute *r = NEW(struct reroute);
    r->seq = seq;
    MUST(hash_add(&all->by_seq, &r->node, span_of(&r->seq, sizeof r->seq)));
    return r;
}

bool reroute_set(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct span hop)
{
    if (!q->reroutes) {
        q->reroutes = NEW(struct reroutes);
        hash_init(&q->reroutes->by_seq, loop_random_u64(q->env->loop), 0);
        list_init(&q->reroutes->hops);
    }
    struct reroutes *all = q->reroutes;
    struct reroute *r = find(q, seq);
    struct way *w = way_of(r, rcpt);
    struct hop *to = w || all->rcpts < REROUTES_MAX ? hop_get(all, hop) : NULL;
    if (!to)
        return false;
    if (w) {
        hop_put(all, w->hop);
        w->hop = to;
    } else {
        add_way(r ? r : make(all, seq), rcpt, to);
        all->rcpts++;
    }
    all->changed = true;
    return true;
}

static void drop(struct reroutes *all, struct reroute *r);

bool reroute_unset(struct qmgr *q, uint64_t seq, uint32_t rcpt)
{
    struct reroute *r = find(q, seq);
    struct way *w = way_of(r, rcpt);
    if (!w)
        return false;
    q->reroutes->changed = true;
    if (r->n == 1) {
        drop(q->reroutes, r);
        return true;
    }
    hop_put(q->reroutes, w->hop);
    r->n--;
    memmove(w, w + 1, (size_t)(&r->ways[r->n] - w) * sizeof *w);
    q->reroutes->rcpts--;
    return true;
}

#define BY_RULE "rerouted by an administrator's rule for "

static bool by_rule(const struct reroute_rule *r, struct arena *a, struct route_dest *d_r)
{
    return route_by(r->hop, BY_RULE, r->name, a, d_r);
}

/* A destination's, or its site's. */
static bool rule_of_dest(struct qmgr *q, struct span dest, struct reroute_rule *r_r)
{
    struct sched_place_info p;
    return dest.n && (reroute_rule_get(q, dest, r_r) ||
                      (sched_dest(q->sched, dest, &p) && p.site.n &&
                       reroute_rule_get(q, p.site, r_r)));
}

bool reroute_find(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct arena *a,
                  struct route_dest *d_r)
{
    const struct way *w = way_of(find(q, seq), rcpt);
    if (w && route_by(text_of(w->hop), "rerouted by an administrator", SPAN_NONE, a, d_r))
        return true;
    struct sched_rcpt_info r;
    struct reroute_rule rule;
    return sched_rcpt(q->sched, seq, rcpt, &r) &&
           reroute_rule_get(q, sched_addr_domain(r.addr), &rule) && by_rule(&rule, a, d_r);
}

bool reroute_place(struct qmgr *q, struct arena *a, struct route_dest *d)
{
    struct reroute_rule rule;
    struct route_dest own;
    if (!route_dest_has_hops(d) || d->own_listener.n || !rule_of_dest(q, d->queue, &rule) ||
        !by_rule(&rule, a, &own))
        return false;
    *d = own;
    return true;
}

/* --- a next hop that does not exist --- */

/* The rule that leads to this destination, for another destination or a site. */
struct leads {
    struct arena *arena;
    struct span dest, hop;
};

static void on_leads(void *ctx, const struct reroute_rule *r)
{
    struct leads *l = ctx;
    struct route_dest d;
    arena_reset(l->arena);
    if (l->hop.n || !by_rule(r, l->arena, &d) || !span_starts(l->dest, d.queue))
        return;
    if (l->dest.n == d.queue.n || l->dest.p[d.queue.n] == ' ') /* a share of it */
        l->hop = r->hop;
}

static struct span ruled_hop(struct qmgr *q, struct span dest)
{
    struct leads l = { arena_new(CHECK_ARENA_MAX), dest, SPAN_NONE };
    reroute_rules(q, on_leads, &l);
    arena_free(&l.arena);
    return l.hop;
}

/* Empty: it has no way of its own, nor its domain. */
static struct span given_hop(struct qmgr *q, const struct job *j, uint32_t rcpt)
{
    const struct way *w = way_of(find(q, j->seq), rcpt);
    struct reroute_rule rule;
    struct sched_rcpt_info r;
    if (w)
        return text_of(w->hop);
    if (sched_rcpt(q->sched, j->seq, rcpt, &r) &&
        reroute_rule_get(q, sched_addr_domain(r.addr), &rule))
        return rule.hop;
    return SPAN_NONE;
}

/* No host was ever asked. */
static bool failed_in_dns(const struct job_rcpt *g)
{
    return g->told && g->kind == SCHED_OUT_FAILED && g->stage == SMTP_STAGE_CONNECT &&
           g->cause == SMTP_CAUSE_LOCAL && !g->code && g->relay.family == NETADDR_NONE;
}

bool reroute_spare(struct qmgr *q, struct job *j, struct span *why_r)
{
    bool any = false, looked = false;
    struct span ruled = SPAN_NONE; /* one for all of a job: looked for once */
    for (uint32_t i = 0; i < j->rcpt_count; i++) {
        struct job_rcpt *g = &j->got[i];
        struct buf b;
        if (!failed_in_dns(g))
            continue;
        struct span hop = given_hop(q, j, j->rcpts[i]);
        if (!hop.n && !looked)
            ruled = ruled_hop(q, j->dest);
        looked |= !hop.n;
        hop = hop.n ? hop : ruled;
        if (!hop.n)
            continue;
        buf_init(&b, REROUTE_HOP_MAX + ROUTE_TEXT_MAX);
        buf_printf(&b, "the next hop that an administrator gave, %.*s, is of no use: %.*s",
                   SPAN_ARG(span_to(hop, 80)), SPAN_ARG(g->text));
        *why_r = g->text = arena_dup(j->arena, buf_span(&b));
        g->reply = SPAN_NONE;
        buf_free(&b);
        g->kind = SCHED_OUT_DEFERRED;
        g->enhanced = SPAN("4.3.5"); /* RFC 3463 3.4: it is our system that is set up wrongly */
        any = true;
    }
    return any;
}

static void drop(struct reroutes *all, struct reroute *r)
{
    hash_remove(&all->by_seq, &r->node);
    all->rcpts -= r->n;
    for (uint32_t i = 0; i < r->n; i++)
        hop_put(all, r->ways[i].hop);
    free(r->ways);
    free(r);
}

/* That of one which is gone stays in the notes until they are written for another reason, or
 * until none is left: ids are not given twice. */
void reroute_gone(struct qmgr *q, uint64_t seq)
{
    struct reroute *r = find(q, seq);
    if (!r)
        return;
    drop(q->reroutes, r);
    q->reroutes->changed |= !q->reroutes->rcpts;
}

void reroutes_free(struct qmgr *q)
{
    if (!q->reroutes)
        return;
    for (struct hash_node *n; (n = hash_next(&q->reroutes->by_seq, NULL)) != NULL;)
        drop(q->reroutes, CONTAINER(n, struct reroute, node));
    hash_free(&q->reroutes->by_seq);
    free(q->reroutes);
    q->reroutes = NULL;
}

/* --- rules: the notes are the table --- */

static void rule_of(struct span name, const struct decision *d, struct reroute_rule *r_r)
{
    *r_r = (struct reroute_rule){ .name = name, .hop = d->what, .who = d->who,
                                  .since_ms = d->at_ms };
}

bool reroute_rule_get(struct qmgr *q, struct span name, struct reroute_rule *r_r)
{
    struct decision d;
    struct span kept;
    if (!decision_get(q, RULE_KIND, name, &kept, &d))
        return false;
    rule_of(kept, &d, r_r);
    return true;
}

bool reroute_rule_set(struct qmgr *q, struct span name, struct span hop, struct span who)
{
    struct reroute_rule old;
    if (!name.n || name.n > REROUTE_NAME_MAX || hop.n > REROUTE_HOP_MAX)
        return false;
    if (!reroute_rule_get(q, name, &old) && decisions_count(q, RULE_KIND) >= REROUTE_RULES_MAX)
        return false;
    if (!decision_set(q, RULE_KIND, name, who, hop))
        return false;
    sched_routes_changed(q->sched);
    return true;
}

bool reroute_rule_remove(struct qmgr *q, struct span name)
{
    if (!decision_drop(q, RULE_KIND, name))
        return false;
    sched_routes_changed(q->sched);
    return true;
}

bool reroute_rule_for(struct qmgr *q, struct span domain, struct span dest, struct arena *a,
                      struct reroute_rule *r_r, struct route_dest *d_r)
{
    return (reroute_rule_get(q, domain, r_r) || rule_of_dest(q, dest, r_r)) &&
           by_rule(r_r, a, d_r);
}

struct each {
    void (*fn)(void *ctx, const struct reroute_rule *r);
    void *ctx;
};

static void each_rule(void *ctx, struct span name, const struct decision *d)
{
    struct each *e = ctx;
    struct reroute_rule r;
    rule_of(name, d, &r);
    e->fn(e->ctx, &r);
}

void reroute_rules(struct qmgr *q, void (*fn)(void *ctx, const struct reroute_rule *r), void *ctx)
{
    struct each e = { fn, ctx };
    decisions_each(q, RULE_KIND, each_rule, &e);
}

/* --- what is kept of recipients: "rerouted N" is a next hop, and seq u64 and recipient u32 of
 * those who go there --- */

static void restore_chunk(void *ctx, struct span key, struct span value)
{
    struct qmgr *q = ctx;
    struct wire w = wire_reader(value);
    struct span hop = wire_get_bytes(&w, REROUTE_HOP_MAX);
    (void)key;
    while (!w.bad && w.rest.n) {
        uint64_t seq = wire_get_u64(&w);
        uint32_t rcpt = wire_get_u32(&w);
        struct sched_rcpt_info r;
        if (!w.bad && hop.n && sched_rcpt(q->sched, seq, rcpt, &r) && r.state < SCHED_LIVE)
            reroute_set(q, seq, rcpt, hop);
    }
}

void reroutes_restore(struct qmgr *q)
{
    size_t noted = notes_count(keep_notes(q), SPAN(NOTE_KEY));
    notes_each(keep_notes(q), SPAN(NOTE_KEY), restore_chunk, q);
    if (q->reroutes) {
        q->reroutes->noted = noted;
        q->reroutes->changed = false;
    } else if (noted) {
        notes_drop_all(keep_notes(q), SPAN(NOTE_KEY));
    }
}

static void note_chunk(struct qmgr *q, struct hop *h)
{
    struct buf key;
    if (!h->chunk.len)
        return;
    buf_init(&key, 64);
    buf_printf(&key, NOTE_KEY "%zu", q->reroutes->noted++);
    MUST(notes_set(keep_notes(q), buf_span(&key), buf_span(&h->chunk)));
    buf_reset(&h->chunk);
    buf_free(&key);
}

static void note_way(struct qmgr *q, uint64_t seq, const struct way *w)
{
    struct buf *b = &w->hop->chunk;
    if (b->len && buf_room(b) < NOTE_ENTRY_BYTES)
        note_chunk(q, w->hop);
    if (!b->len)
        wire_put_bytes(b, text_of(w->hop));
    wire_put_u64(b, seq);
    wire_put_u32(b, w->rcpt);
}

void reroutes_note(struct qmgr *q)
{
    struct reroutes *all = q->reroutes;
    if (!all || !all->changed)
        return;
    notes_drop_all(keep_notes(q), SPAN(NOTE_KEY));
    all->changed = false;
    all->noted = 0;
    for (struct hash_node *n = hash_next(&all->by_seq, NULL); n; n = hash_next(&all->by_seq, n)) {
        const struct reroute *r = CONTAINER(n, struct reroute, node);
        for (uint32_t i = 0; i < r->n; i++)
            note_way(q, r->seq, &r->ways[i]);
    }
    LIST_EACH(n, &all->hops)
        note_chunk(q, CONTAINER(n, struct hop, node));
}
