/* What is due goes out: to the router for its route, to resolver for its site, to a deliver as a
 * job. Nothing of it waits for anything else: a router or a deliver that is away leaves its part
 * where it is, and without resolver nothing is known of sites. */
#include "qmgr/keep.h"
#include "qmgr/reroute.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

enum {
    STUCK_LOOK_MS = 1000,
    TOLD_MAX = 512,
    TOLD_BYTES_MAX = 16 << 10,
    AHEAD_NS = 500000,
};

struct sched_now qmgr_now(const struct qmgr *q)
{
    return (struct sched_now){ loop_mono_ms(q->env->loop), loop_wall_ms(q->env->loop) };
}

/* --- destinations: what a key stood for when the router last said it --- */

const struct dest *dest_find(const struct qmgr *q, struct span key)
{
    struct hash_node *n = hash_get(&q->dests, key);
    return n ? CONTAINER(n, struct dest, node) : NULL;
}

static void forget_story(struct qmgr *q, struct dest *d)
{
    if (!d->story)
        return;
    list_remove(&d->told);
    q->told_count--;
    free(d->story);
    d->story = NULL;
}

static void dest_free(struct qmgr *q, struct dest *d)
{
    forget_story(q, d);
    list_remove(&d->order);
    free(d);
}

void dest_failed(struct qmgr *q, struct span key, uint64_t seq, struct span story)
{
    struct hash_node *n = hash_get(&q->dests, key);
    struct sched_msg_info m;
    if (!n || !sched_msg(q->sched, seq, &m))
        return;
    struct dest *d = CONTAINER(n, struct dest, node);
    d->failed_seq = seq;
    d->failed_id = queueid_make(seq, m.received_ms);
    forget_story(q, d);
    if (!story.n || story.n > TOLD_BYTES_MAX)
        return;
    if (q->told_count == TOLD_MAX)
        forget_story(q, CONTAINER(list_first(&q->told), struct dest, told));
    d->story = must_alloc(story.n);
    d->story_len = story.n;
    memcpy(d->story, story.p, story.n);
    list_append(&q->told, &d->told);
    q->told_count++;
}

static void take_story(struct dest *to, struct dest *from)
{
    to->failed_seq = from->failed_seq;
    to->failed_id = from->failed_id;
    if (!from->story)
        return;
    to->story = from->story;
    to->story_len = from->story_len;
    list_append(&from->told, &to->told); /* in its place */
    list_remove(&from->told);
    from->story = NULL;
}

static bool is_dest_idle(const struct qmgr *q, const struct dest *d)
{
    struct sched_place_info info;
    return !sched_dest(q->sched, span_of(d->bytes, d->key_len), &info);
}

/* Those the schedule has forgotten are dropped when there are many: some of the oldest are looked
 * at for each that comes, so that a queue of more destinations than that costs no more. */
static void dests_trim(struct qmgr *q)
{
    enum { LOOKED_AT = 8 };
    for (int i = 0; i < LOOKED_AT && q->dests.n >= q->dests_max; i++) {
        struct dest *d = CONTAINER(list_first(&q->dest_order), struct dest, order);
        list_remove(&d->order);
        list_append(&q->dest_order, &d->order);
        if (is_dest_idle(q, d)) {
            hash_remove(&q->dests, &d->node);
            dest_free(q, d);
        }
    }
}

static void dest_remember(struct qmgr *q, const struct route_dest *rd, struct span codec)
{
    const struct dest *known = dest_find(q, rd->queue);
    if (known && span_eq(span_of(known->bytes + known->key_len + known->mailer_len,
                                 known->codec_len),
                         codec))
        return;
    struct dest *old = (struct dest *)known;
    if (old)
        hash_remove(&q->dests, &old->node);
    else
        dests_trim(q);
    struct span mailer = span_str(route_mailer_name(rd->mailer));
    struct dest *d = must_alloc(sizeof *d + rd->queue.n + mailer.n + codec.n);
    *d = (struct dest){ .failed_seq = 0 };
    d->key_len = rd->queue.n;
    d->mailer_len = mailer.n;
    d->codec_len = codec.n;
    memcpy(d->bytes, rd->queue.p, rd->queue.n);
    memcpy(d->bytes + d->key_len, mailer.p, mailer.n);
    memcpy(d->bytes + d->key_len + d->mailer_len, codec.p, codec.n);
    d->mailer = span_of(d->bytes + d->key_len, d->mailer_len);
    hash_add(&q->dests, &d->node, span_of(d->bytes, d->key_len));
    list_append(&q->dest_order, &d->order);
    if (!old)
        return;
    take_story(d, old);
    dest_free(q, old);
}

void dests_free(struct qmgr *q)
{
    for (struct hash_node *n = hash_next(&q->dests, NULL), *next; n; n = next) {
        next = hash_next(&q->dests, n);
        hash_remove(&q->dests, n);
        dest_free(q, CONTAINER(n, struct dest, node));
    }
    hash_free(&q->dests);
}

/* --- the router --- */

/* False: its own sender cannot be read. */
static bool put_sender(struct qmgr *q, struct buf *b, const struct sched_ask *ask,
                       const struct sched_msg_info *m, const struct sched_rcpt_info *r)
{
    if (!(r->marks & QMGR_OWN_SENDER)) {
        sched_addr_put(b, m->sender);
        return true;
    }
    const struct envelope *env = store_envelope(q, ask->seq);
    if (!env || ask->rcpt >= env->rcpt_count)
        return false;
    buf_puts(b, env->rcpts[ask->rcpt].sender);
    return true;
}

static void unreadable(struct qmgr *q, const struct sched_ask *ask)
{
    struct sched_verdict v;
    struct span why = SPAN("our spool could not be read");
    if (sched_routed(q->sched, ask->seq, ask->rcpt, SCHED_NOT_NOW, why, qmgr_now(q), &v))
        verdict_route(q, ask->seq, &v, NULL, why);
}

static void take_route(struct qmgr *q, const struct sched_ask *ask, struct route_dest *d,
                       struct span codec);

/* An administrator has said where to: the router is not asked. */
static void answer_own(struct qmgr *q, const struct sched_ask *ask, struct route_dest *d)
{
    enum { CODEC_MAX = 64 << 10 };
    struct buf codec;
    buf_init(&codec, CODEC_MAX);
    route_dest_put(&codec, d);
    take_route(q, ask, codec.failed ? NULL : d, buf_span(&codec));
    buf_free(&codec);
}

/* Recipients of one message that were asked about in one go: what router says of the first is kept
 * until the last has its answer, so that those of one site go in one transaction (one copy of the
 * message) however the answers come in. A canonical name that the DNS does not tell keeps all of
 * them, by route.canonical_timeout at most. */
struct asked {
    struct list answers; /* struct answer, as they came */
    size_t left;         /* those that are not answered */
};

struct answer {
    struct list link;
    struct sched_ask ask;
    size_t len;
    char codec[];
};

static void asked_free(struct asked *a)
{
    for (struct list *l; (l = list_first(&a->answers)) != NULL;) {
        list_remove(l);
        free(CONTAINER(l, struct answer, link));
    }
    free(a);
}

/* together: NULL, or with whom. */
static void ask_route(struct qmgr *q, const struct sched_ask *ask, struct asked *together)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    MUST(sched_msg(q->sched, ask->seq, &m) && sched_rcpt(q->sched, ask->seq, ask->rcpt, &r));
    struct route_dest own;
    if (r.marks & QMGR_TOLD) {
        if (!ask->ahead)
            verdict_told(q, ask->seq, ask->rcpt);
        return;
    }
    if (reroute_find(q, ask->seq, ask->rcpt, q->routed, &own)) {
        answer_own(q, ask, &own);
        return;
    }
    uint16_t slot = q->free_asks[q->free_ask_count - 1];
    /* The fields of struct msg_route, in their order. */
    struct buf *b = channel_begin(q->router, MSG_route);
    wire_put_u64(b, slot);
    wire_put_u8(b, r.marks & QMGR_EXPANDED ? ENVELOPE_RCPT_EXPANDED : 0);
    wire_put_u8(b, r.released);
    size_t at = wire_begin_bytes(b);
    if (!put_sender(q, b, ask, &m, &r)) {
        channel_cancel(q->router);
        unreadable(q, ask);
        return;
    }
    wire_end_bytes(b, at);
    at = wire_begin_bytes(b);
    sched_addr_put(b, r.addr);
    wire_end_bytes(b, at);
    channel_end(q->router);
    q->asks[slot] = *ask;
    q->asked[slot] = together;
    if (together)
        together->left++;
    q->free_ask_count--;
    q->ahead_asks += ask->ahead;
}

/* asks[0..n): recipients of one message. */
static void ask_together(struct qmgr *q, const struct sched_ask *asks, size_t n)
{
    struct asked *a = n > 1 ? NEW(struct asked) : NULL;
    if (a)
        list_init(&a->answers);
    for (size_t i = 0; i < n; i++)
        ask_route(q, &asks[i], a);
    if (a && !a->left)
        asked_free(a);
}

static bool pump_routes(struct qmgr *q)
{
    struct sched_ask asks[ROUTES_AT_ONCE];
    if (!q->router || channel_full(q->router) || q->free_ask_count == 0)
        return false;
    size_t max = q->free_ask_count < ROUTES_AT_ONCE ? q->free_ask_count : ROUTES_AT_ONCE;
    size_t n = sched_next_to_route(q->sched, qmgr_now(q), asks, max);
    for (size_t i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && asks[next].seq == asks[i].seq; next++)
            ;
        ask_together(q, &asks[i], next - i);
    }
    return n > 0;
}

size_t dispatch_ahead(struct qmgr *q, struct sched_ahead *pass, size_t max)
{
    struct sched_ask ask;
    size_t n = 0;
    int64_t end_ns = loop_fresh_ns(q->env->loop) + AHEAD_NS; /* some have envelopes to be read */
    while (q->router && !channel_full(q->router) && q->free_ask_count > ASKS_MAX / 2 &&
           q->ahead_asks < AHEAD_ROUTES && n < max &&
           sched_next_ahead(q->sched, qmgr_now(q), pass, &ask, 1)) {
        ask_route(q, &ask, NULL);
        n++;
        if (loop_fresh_ns(q->env->loop) >= end_ns)
            break;
    }
    return n;
}

/* The next hop is a listener of ours: what came by that one waits as it says. */
static enum sched_decision own_listener(struct qmgr *q, const struct route_dest *d,
                                        struct span *text_r)
{
    bool hold = d->own_delivery == CONFIG_HOLD;
    struct buf b;
    buf_init(&b, ROUTE_TEXT_MAX * 2);
    buf_printf(&b, "%.*s: the next hop is our listener \"%.*s\", %s", SPAN_ARG(d->matched),
               SPAN_ARG(d->own_listener),
               hold ? "delivery = hold" : "which waits for a queue run");
    *text_r = arena_dup(q->routed, buf_span(&b));
    buf_free(&b);
    return hold ? SCHED_HOLD : SCHED_WAIT;
}

static enum sched_decision decision_of(struct qmgr *q, const struct route_dest *d,
                                       struct span *text_r)
{
    if (d->own_listener.n)
        return own_listener(q, d, text_r);
    switch (d->mailer) {
    case ROUTE_DISCARD: *text_r = SPAN("discarded"); return SCHED_DISCARD;
    case ROUTE_HOLD: *text_r = d->text; return SCHED_HOLD;
    case ROUTE_ERROR:
        *text_r = d->text;
        return d->reply >= 500 ? SCHED_NO : SCHED_NOT_NOW;
    default: *text_r = d->queue; return SCHED_TO;
    }
}

/* Recipients with a sender of their own go in jobs of their own. */
static bool add_sender(struct qmgr *q, const struct sched_ask *ask, struct route_dest *d)
{
    struct sched_rcpt_info r;
    if (!sched_rcpt(q->sched, ask->seq, ask->rcpt, &r) || !(r.marks & QMGR_OWN_SENDER))
        return true;
    const struct envelope *env = store_envelope(q, ask->seq);
    if (!env || ask->rcpt >= env->rcpt_count)
        return false;
    struct buf b;
    buf_init(&b, ROUTE_KEY_MAX + ENVELOPE_ADDR_MAX + 16);
    buf_printf(&b, "%.*s from:<%.*s>", SPAN_ARG(d->queue),
               SPAN_ARG(env->rcpts[ask->rcpt].sender));
    d->queue = arena_dup(q->routed, buf_span(&b));
    buf_free(&b);
    return d->queue.p != NULL;
}

/* It is not due, and whatever else is decided about it is decided then. The rules of its domain
 * hold at once, those of its site when that is known. */
static void route_ahead(struct qmgr *q, const struct sched_ask *ask, const struct route_dest *d,
                        struct span codec)
{
    struct sched_place_info p;
    struct span text;
    if (decision_of(q, d, &text) != SCHED_TO)
        return;
    dest_remember(q, d, codec);
    if (q->config->n_rules && !sched_dest(q->sched, d->queue, &p))
        rules_place(q, d->queue, SPAN_NONE);
    sched_routed_ahead(q->sched, ask, d->queue, qmgr_now(q));
}

/* d: what the codec says, in q->routed; NULL: that could not be read. */
static void take_route(struct qmgr *q, const struct sched_ask *ask, struct route_dest *d,
                       struct span codec)
{
    struct sched_verdict v;
    struct span text = SPAN("the router's answer could not be read");
    enum sched_decision decision = SCHED_NOT_NOW;
    bool readable = d && rules_route(q, ask, d) && add_sender(q, ask, d);
    if (ask->ahead) {
        if (readable)
            route_ahead(q, ask, d, codec);
        arena_reset(q->routed);
        return;
    }
    if (readable)
        decision = decision_of(q, d, &text);
    if (readable)
        say_routed(q, ask, d);
    if (decision == SCHED_TO)
        dest_remember(q, d, codec);
    if (sched_routed(q->sched, ask->seq, ask->rcpt, decision, text, qmgr_now(q), &v) &&
        decision != SCHED_TO)
        verdict_route(q, ask->seq, &v, readable ? d : NULL, text);
    if (decision == SCHED_WAIT && keep_ran(q, ask->seq))
        sched_retry(q->sched, ask->seq, ask->rcpt, qmgr_now(q));
    arena_reset(q->routed);
    loop_hook_ask(q->env->loop, &q->work);
}

static void answered(struct qmgr *q, const struct sched_ask *ask, struct span codec)
{
    if (!ask->ahead && !sched_awaits(q->sched, ask))
        return;
    struct wire w = wire_reader(codec);
    struct route_dest d;
    bool readable = route_dest_get(&w, q->routed, &d) && wire_done(&w);
    if (readable && reroute_place(q, q->routed, &d))
        answer_own(q, ask, &d);
    else
        take_route(q, ask, readable ? &d : NULL, codec);
}

static void answered_together(struct qmgr *q, struct asked *a, const struct sched_ask *ask,
                              struct span codec)
{
    struct answer *new = must_alloc(sizeof *new + codec.n);
    *new = (struct answer){ .ask = *ask, .len = codec.n };
    memcpy(new->codec, codec.p, codec.n);
    list_append(&a->answers, &new->link);
    if (--a->left)
        return;
    LIST_EACH(l, &a->answers) {
        const struct answer *of = CONTAINER(l, struct answer, link);
        answered(q, &of->ask, span_of(of->codec, of->len));
    }
    asked_free(a);
}

static void on_routed(struct qmgr *q, struct channel *ch, const struct msg_routed *m)
{
    (void)ch;
    if (m->q >= ASKS_MAX || q->asks[m->q].seq == 0)
        return;
    struct sched_ask ask = q->asks[m->q];
    struct asked *together = q->asked[m->q];
    q->asks[m->q].seq = 0;
    q->asked[m->q] = NULL;
    q->free_asks[q->free_ask_count++] = (uint16_t)m->q;
    q->ahead_asks -= ask.ahead;
    loop_hook_ask(q->env->loop, &q->work);
    if (together)
        answered_together(q, together, &ask, m->destination);
    else
        answered(q, &ask, m->destination);
}

/* Not at our own reload: router may not have read its part of it yet. */
static void on_tables(struct qmgr *q, struct channel *ch, const struct msg_tables *m)
{
    (void)ch;
    (void)m;
    sched_routes_changed(q->sched);
    loop_hook_ask(q->env->loop, &q->work);
}

static void on_expanded(struct qmgr *q, struct channel *ch, const struct msg_expanded *m)
{
    (void)ch;
    report_expanded(q, m->q, m->targets);
}

PROTO_HANDLER(routed, struct qmgr *, on_routed)
PROTO_HANDLER(expanded, struct qmgr *, on_expanded)
PROTO_HANDLER(tables, struct qmgr *, on_tables)

void dispatch_forget_asks(struct qmgr *q)
{
    q->free_ask_count = q->ahead_asks = 0;
    for (size_t i = 0; i < ASKS_MAX; i++) {
        if (q->asked[i] && !--q->asked[i]->left)
            asked_free(q->asked[i]);
        q->asked[i] = NULL;
        q->asks[i].seq = 0;
        q->free_asks[q->free_ask_count++] = (uint16_t)i;
    }
}

static void on_router_gone(void *ctx, struct channel *ch, const char *why)
{
    struct qmgr *q = ctx;
    (void)ch;
    (void)why;
    channel_free(&q->router);
    dispatch_forget_asks(q);
    sched_route_lost(q->sched);
}

static void on_router_drained(void *ctx, struct channel *ch)
{
    struct qmgr *q = ctx;
    (void)ch;
    loop_hook_ask(q->env->loop, &q->work);
}

void dispatch_router(struct qmgr *q, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(routed), PROTO_TYPE(tables),
                                                 PROTO_TYPE(expanded) };
    static const struct channel_ops ops = { types, 3, on_router_gone, on_router_drained };
    if (q->router)
        on_router_gone(q, q->router, "replaced");
    dispatch_forget_asks(q);
    q->router = channel_new(q->env->loop, fd, "router", &ops, q);
    ahead_again(q); /* what the one before was asked is not answered */
    loop_hook_ask(q->env->loop, &q->work);
}

/* --- the pump --- */

static bool pump_jobs(struct qmgr *q)
{
    struct sched_job j;
    bool any = false;
    while (deliverers_room(q) && sched_next_job(q->sched, qmgr_now(q), &j)) {
        any = true;
        if (!deliverers_give(q, &j))
            break;
    }
    return any;
}

static void set_wake(struct qmgr *q)
{
    uint32_t can = 0;
    if (q->router && !channel_full(q->router) && q->free_ask_count)
        can |= SCHED_CAN_ROUTE;
    if (deliverers_room(q))
        can |= SCHED_CAN_START;
    int64_t at = sched_next_wake(q->sched, qmgr_now(q), can);
    if (at == INT64_MAX)
        loop_timer_stop(q->env->loop, &q->wake);
    else
        loop_timer_at(q->env->loop, &q->wake, at);
}

void dispatch_pump(struct qmgr *q)
{
    if (!q->started || q->finishing)
        return;
    if (store_stuck(q)) {
        loop_timer_in(q->env->loop, &q->wake, STUCK_LOOK_MS);
        return;
    }
    rules_pump(q);
    while (pump_jobs(q) | pump_routes(q) | sites_pump(q))
        ;
    verdict_events(q);
    verdict_gone(q);
    set_wake(q);
}
