#include "qmgr/reroute.h"

#include "base/must.h"
#include "route/value.h"

#include <stdlib.h>
#include <string.h>

struct hop { /* shared by all messages of one action */
    uint32_t refs;
    size_t n;
    char text[];
};

struct reroute {
    struct hash_node node; /* by seq */
    uint64_t seq;
    struct hop *hop;
    uint32_t n, cap;
    uint32_t *rcpts;
};

struct reroutes {
    struct hash by_seq;
    struct hop *last; /* the hop of the action at hand */
};

static void hop_put(struct hop *h)
{
    if (h && --h->refs == 0)
        free(h);
}

bool reroute_check(struct span hop, struct err *err)
{
    enum { ROOM = 64 << 10 };
    struct arena *a = arena_new(ROOM);
    struct route_dest d;
    bool good = route_value_or_hops(hop, a, &d, err);
    if (good && d.mailer != ROUTE_RELAY && d.mailer != ROUTE_LMTP) {
        err_set(err, "mail is rerouted to a host, as smart_host names one");
        good = false;
    }
    arena_free(&a);
    return good;
}

static struct hop *hop_get(struct reroutes *r, struct span text)
{
    if (!r->last || !span_eq(span_of(r->last->text, r->last->n), text)) {
        hop_put(r->last);
        r->last = must_alloc(must_add(sizeof *r->last, text.n));
        r->last->refs = 1;
        r->last->n = text.n;
        memcpy(r->last->text, text.p, text.n);
    }
    r->last->refs++;
    return r->last;
}

static struct reroute *find(const struct qmgr *q, uint64_t seq)
{
    if (!q->reroutes)
        return NULL;
    struct hash_node *n = hash_get(&q->reroutes->by_seq, span_of(&seq, sizeof seq));
    return n ? CONTAINER(n, struct reroute, node) : NULL;
}

static bool has(const struct reroute *r, uint32_t rcpt)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->rcpts[i] == rcpt)
            return true;
    return false;
}

bool reroute_set(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct span hop)
{
    if (!q->reroutes) {
        q->reroutes = NEW(struct reroutes);
        hash_init(&q->reroutes->by_seq, loop_random_u64(q->env->loop), REROUTES_MAX);
    }
    struct reroute *r = find(q, seq);
    if (!r && q->reroutes->by_seq.n >= REROUTES_MAX)
        return false;
    if (!r) {
        r = NEW(struct reroute);
        r->seq = seq;
        hash_add(&q->reroutes->by_seq, &r->node, span_of(&r->seq, sizeof r->seq));
    }
    struct hop *old = r->hop;
    r->hop = hop_get(q->reroutes, hop);
    hop_put(old);
    if (has(r, rcpt))
        return true;
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 1;
        r->rcpts = must_realloc(r->rcpts, must_mul(r->cap, sizeof *r->rcpts));
    }
    r->rcpts[r->n++] = rcpt;
    return true;
}

bool reroute_find(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct arena *a,
                  struct route_dest *d_r)
{
    const struct reroute *r = find(q, seq);
    struct err unused;
    *d_r = (struct route_dest){ .mailer = ROUTE_RELAY };
    if (!r || !has(r, rcpt) ||
        !route_value_or_hops(span_of(r->hop->text, r->hop->n), a, d_r, &unused))
        return false;
    d_r->matched = SPAN("rerouted by an administrator");
    return route_dest_make_queue(d_r, a);
}

static void drop(struct reroutes *all, struct reroute *r)
{
    hash_remove(&all->by_seq, &r->node);
    hop_put(r->hop);
    free(r->rcpts);
    free(r);
}

void reroute_gone(struct qmgr *q, uint64_t seq)
{
    struct reroute *r = find(q, seq);
    if (r)
        drop(q->reroutes, r);
}

void reroutes_free(struct qmgr *q)
{
    if (!q->reroutes)
        return;
    for (struct hash_node *n = hash_next(&q->reroutes->by_seq, NULL), *next; n; n = next) {
        next = hash_next(&q->reroutes->by_seq, n);
        drop(q->reroutes, CONTAINER(n, struct reroute, node));
    }
    hash_free(&q->reroutes->by_seq);
    hop_put(q->reroutes->last);
    free(q->reroutes);
    q->reroutes = NULL;
}
