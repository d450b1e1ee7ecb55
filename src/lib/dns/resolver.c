#include "dns/resolver.h"

#include "base/hash.h"
#include "base/must.h"

#include <stdlib.h>

/* One question on its way, for all who asked it. It is in exactly one list. */
struct flight {
    struct list node;
    struct hash_node by_question;
    struct dns_resolver *r;
    struct dns_question q;
    struct list asks;
    struct loop_timer deadline;
    uint64_t id;          /* the backend's */
    int64_t asked_ms;     /* by the wall's clock, */
    int64_t begun_ms;     /* and by the monotonic one: the first time */
    enum { FRESH, WAITING, OUT, READY } state; /* which list it is in */
    struct dns_raw raw;   /* once ready; spans into mem */
    char *mem;
    char key[DNS_NAME_MAX + 2];
};

struct dns_resolver {
    struct loop *loop;
    struct dns_resolver_params p;
    struct dns_backend backend;
    struct dns_cache *cache;
    struct hash flights;
    struct list fresh, waiting, out, ready;
    size_t waiting_count, out_count;
    struct loop_hook deliver;
    struct arena *arena; /* of the answer being delivered */
    struct dns_resolver_stats stats;
};

static void deliver(void *ctx);

static int64_t deadline_of(const struct dns_resolver_params *p)
{
    return p->deadline_ms ? p->deadline_ms : 30000;
}

struct dns_resolver *dns_resolver_new(struct loop *l, const struct dns_resolver_params *p,
                                      struct dns_backend backend)
{
    struct dns_resolver *r = NEW(struct dns_resolver);
    r->loop = l;
    r->p = *p;
    r->p.deadline_ms = deadline_of(p);
    r->p.max_out = p->max_out ? p->max_out : 400;
    r->p.max_waiting = p->max_waiting ? p->max_waiting : 20000;
    r->backend = backend;
    r->cache = dns_cache_new(&p->cache);
    r->arena = arena_new(DNS_ARENA_BYTES);
    hash_init(&r->flights, p->cache.seed, 0);
    list_init(&r->fresh);
    list_init(&r->waiting);
    list_init(&r->out);
    list_init(&r->ready);
    loop_hook_init(&r->deliver, LOOP_STAGE_WORK, deliver, r);
    return r;
}

void dns_resolver_configure(struct dns_resolver *r, const struct dns_resolver_params *p)
{
    r->p.deadline_ms = deadline_of(p);
    dns_cache_configure(r->cache, &p->cache);
}

static size_t key_of(const struct dns_question *q, char key[DNS_NAME_MAX + 2])
{
    key[0] = (char)(q->type >> 8);
    key[1] = (char)q->type;
    memcpy(key + 2, q->name.s, q->name.n);
    return 2u + q->name.n;
}

static void move(struct flight *f, int state)
{
    struct dns_resolver *r = f->r;
    struct list *const lists[] = { &r->fresh, &r->waiting, &r->out, &r->ready };
    r->waiting_count -= f->state == WAITING;
    r->out_count -= f->state == OUT;
    f->state = state;
    r->waiting_count += state == WAITING;
    r->out_count += state == OUT;
    list_remove(&f->node);
    list_append(lists[state], &f->node);
}

/* libunbound calls back in the middle of a turn, whose time may be from before a long sleep. */
static int64_t fresh_ms(const struct dns_resolver *r)
{
    enum { NS_PER_MS = 1000000 };
    return loop_fresh_ns(r->loop) / NS_PER_MS;
}

/* To ready, with a copy of what was said. */
static void land(struct flight *f, const struct dns_raw *raw)
{
    struct dns_resolver *r = f->r;
    size_t n = raw->packet.n + raw->server.n + raw->why.n;
    f->raw = *raw;
    f->raw.asked_ms = f->asked_ms;
    f->raw.took_ms = f->begun_ms ? fresh_ms(r) - f->begun_ms : 0;
    f->mem = must_alloc(n + 1);
    char *at = f->mem;
    struct span *const spans[] = { &f->raw.packet, &f->raw.server, &f->raw.why };
    for (size_t i = 0; i < 3; i++) {
        memcpy(at, spans[i]->n ? spans[i]->p : "", spans[i]->n);
        *spans[i] = span_of(at, spans[i]->n);
        at += spans[i]->n;
    }
    loop_timer_stop(r->loop, &f->deadline);
    move(f, READY);
    loop_hook_ask(r->loop, &r->deliver);
}

static void told(void *arg, const struct dns_raw *raw)
{
    struct flight *f = arg;
    f->r->stats.answered++;
    f->r->stats.failed += !raw->packet.n;
    land(f, raw);
}

static void send_out(struct flight *f)
{
    struct dns_resolver *r = f->r;
    f->id = 0;
    f->asked_ms = loop_wall_ms(r->loop);
    if (!f->begun_ms) /* else it is asked once more (call_back) */
        f->begun_ms = fresh_ms(r);
    move(f, OUT);
    r->stats.asked++;
    uint64_t id = r->backend.ask(r->backend.ctx, &f->q, told, f);
    if (f->state == OUT)
        f->id = id;
}

static void send_waiting(struct dns_resolver *r)
{
    while (r->out_count < r->p.max_out && !list_empty(&r->waiting))
        send_out(CONTAINER(list_first(&r->waiting), struct flight, node));
}

static void too_late(void *ctx)
{
    struct flight *f = ctx;
    struct dns_resolver *r = f->r;
    bool out = f->state == OUT;
    if (out && f->id)
        r->backend.cancel(r->backend.ctx, f->id);
    r->stats.timeouts++;
    land(f, &(struct dns_raw){ .status = DNS_TIMEOUT,
                               .server = out ? r->backend.servers : SPAN_NONE,
                               .why = out ? SPAN_NONE : SPAN("too many questions before it") });
}

static struct flight *take_off(struct dns_resolver *r, const struct dns_question *q)
{
    struct flight *f = NEW(struct flight);
    f->r = r;
    f->q = *q;
    list_init(&f->asks);
    list_append(&r->fresh, &f->node);
    hash_add(&r->flights, &f->by_question, span_of(f->key, key_of(q, f->key)));
    loop_timer_init(&f->deadline, too_late, f);
    loop_timer_in(r->loop, &f->deadline, r->p.deadline_ms);
    return f;
}

void dns_ask(struct dns_resolver *r, struct dns_ask *ask, const struct dns_question *q,
             void (*fn)(void *ctx, const struct dns_question *q, const struct dns_answer *answer),
             void *ctx)
{
    char key[DNS_NAME_MAX + 2];
    struct hash_node *node = hash_get(&r->flights, span_of(key, key_of(q, key)));
    struct flight *f = node ? CONTAINER(node, struct flight, by_question) : take_off(r, q);
    ask->fn = fn;
    ask->ctx = ctx;
    r->stats.joined += node != NULL;
    list_append(&f->asks, &ask->node);
    loop_hook_ask(r->loop, &r->deliver); /* questions leave together, at the end of the turn */
}

void dns_ask_cancel(struct dns_ask *ask) { list_remove(&ask->node); }

/* The end of a flight: the answer to all who wait. They may ask the same again, which is a new
 * flight, or cancel one another. */
static void answer_all(struct flight *f, const struct dns_answer *ans)
{
    struct dns_resolver *r = f->r;
    hash_remove(&r->flights, &f->by_question);
    list_remove(&f->node);
    loop_timer_stop(r->loop, &f->deadline);
    while (!list_empty(&f->asks)) {
        struct dns_ask *ask = CONTAINER(list_first(&f->asks), struct dns_ask, node);
        list_remove(&ask->node);
        ask->fn(ask->ctx, &f->q, ans);
    }
    free(f->mem);
    free(f);
}

/* A new question: from the cache, or in line. */
static void admit(struct dns_resolver *r, struct flight *f)
{
    struct dns_answer ans;
    arena_reset(r->arena);
    if (dns_cache_get(r->cache, &f->q, loop_mono_ms(r->loop), r->arena, &ans)) {
        answer_all(f, &ans);
    } else if (r->out_count + r->waiting_count >= r->p.max_out + r->p.max_waiting) {
        r->stats.refused++;
        land(f, &(struct dns_raw){ .status = DNS_TIMEOUT,
                                   .why = SPAN("too many questions wait already") });
    } else {
        move(f, WAITING);
    }
}

static void hand_out(struct dns_resolver *r, struct flight *f)
{
    struct dns_answer ans;
    arena_reset(r->arena);
    dns_raw_read(&f->raw, &f->q, r->arena, &ans);
    dns_cache_put(r->cache, &f->q, &f->raw, &ans, loop_mono_ms(r->loop));
    answer_all(f, &ans);
}

/* At the end of the turn: what is in the cache is answered from there, the rest goes out, and
 * what has come is handed out. */
static void deliver(void *ctx)
{
    struct dns_resolver *r = ctx;
    while (!list_empty(&r->fresh))
        admit(r, CONTAINER(list_first(&r->fresh), struct flight, node));
    send_waiting(r);
    while (!list_empty(&r->ready)) {
        hand_out(r, CONTAINER(list_first(&r->ready), struct flight, node));
        send_waiting(r);
    }
    if (!list_empty(&r->fresh))
        loop_hook_ask(r->loop, &r->deliver);
}

void dns_resolver_free(struct dns_resolver **rp)
{
    struct dns_resolver *r = *rp;
    if (!r)
        return;
    struct list *const lists[] = { &r->fresh, &r->waiting, &r->out, &r->ready };
    for (size_t i = 0; i < 4; i++)
        LIST_EACH(l, lists[i]) {
            struct flight *f = CONTAINER(l, struct flight, node);
            MUST(list_empty(&f->asks));
            if (f->state == OUT && f->id)
                r->backend.cancel(r->backend.ctx, f->id);
            loop_timer_stop(r->loop, &f->deadline);
            hash_remove(&r->flights, &f->by_question);
            free(f->mem);
            free(f);
        }
    loop_hook_cancel(&r->deliver);
    hash_free(&r->flights);
    dns_cache_free(&r->cache);
    arena_free(&r->arena);
    free(r);
    *rp = NULL;
}

bool dns_resolver_cached(struct dns_resolver *r, const struct dns_question *q, struct arena *a,
                         struct dns_answer *answer_r)
{
    return dns_cache_get(r->cache, q, loop_mono_ms(r->loop), a, answer_r);
}

struct loop *dns_resolver_loop(struct dns_resolver *r) { return r->loop; }
struct dns_cache *dns_resolver_cache(struct dns_resolver *r) { return r->cache; }

/* What is out is asked once more. */
static void call_back(struct dns_resolver *r)
{
    LIST_EACH(l, &r->out) {
        struct flight *f = CONTAINER(l, struct flight, node);
        if (f->id)
            r->backend.cancel(r->backend.ctx, f->id);
        move(f, WAITING);
    }
    loop_hook_ask(r->loop, &r->deliver);
}

void dns_resolver_use(struct dns_resolver *r, struct dns_backend backend)
{
    call_back(r);
    r->backend = backend;
}

static void forget(struct dns_resolver *r)
{
    if (!r->backend.forget)
        return;
    call_back(r);
    r->backend.forget(r->backend.ctx);
}

size_t dns_resolver_flush(struct dns_resolver *r, const struct dns_name *name, bool under)
{
    forget(r);
    return dns_cache_flush(r->cache, name, under);
}

void dns_resolver_forget_failed(struct dns_resolver *r)
{
    if (dns_cache_forget_failed(r->cache))
        forget(r);
}

struct dns_resolver_stats dns_resolver_stats(const struct dns_resolver *r)
{
    struct dns_resolver_stats s = r->stats;
    s.cache = dns_cache_stats(r->cache);
    s.out = r->out_count;
    s.waiting = r->waiting_count;
    return s;
}
