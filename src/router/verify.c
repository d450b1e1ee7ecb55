/* Does the next hop know a recipient? Asked through deliver, remembered, and never waited for
 * without end: what gets no answer is taken, since keeping mail for hosts that are away is what
 * a gateway is for. A next hop that gave none is left alone for a while. */
#include "router/inside.h"

#include "base/hash.h"
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROBES_MAX = 50,        /* under way at a time; further ones wait in line */
    SITE_PROBES_MAX = 10,   /* of them to one next hop */
    WAITING_MAX = 2000,     /* in line; beyond, there is no answer */
    AWAY_MS = 60 * 1000,    /* a next hop that gave no answer is not asked for so long */
    LATER_MS = 60 * 1000,   /* a 4yz is remembered so long */
    SITES_MAX = 5000,
    REPLY_MAX = 300,
    TRIES_MAX = 2,          /* a deliver that dies with it takes it along twice at most */
};

/* A next hop: route_dest.queue. */
struct site {
    struct hash_node node;
    struct list age; /* in v->sites_age, the one used last behind */
    unsigned out, refs; /* probes under way; all probes: it stays as long */
    int64_t away_until_ms;
    char why[REPLY_MAX];
    char key[];
};

/* What is known of a recipient. */
struct known {
    struct hash_node node;
    struct list age; /* in v->known, the one used last behind */
    int64_t until_ms;
    enum probe_verdict verdict;
    char enhanced[16], host[256], reply[REPLY_MAX];
    char key[];
};

struct waiter {
    struct list node;
    void (*fn)(void *ctx, const struct verify_answer *a);
    void *ctx;
};

/* What is being found out. */
struct probe {
    struct hash_node by_key, by_q;
    struct list node; /* in v->line, or in v->out with a q */
    struct verify *v;
    struct site *site;
    uint64_t q;
    int deliver; /* who was asked */
    unsigned tries;
    int64_t begun_ms, until_ms;
    struct loop_timer deadline;
    struct list waiters;
    struct buf dest; /* its codec */
    char *rcpt, *key;
};

struct deliverer {
    struct verify *v;
    struct channel *channel;
};

struct verify {
    struct router *r;
    struct deliverer delivers[DELIVERS_MAX];
    int last;
    struct hash answers, sites, by_key, by_q;
    struct list known, sites_age, line, out;
    size_t in_line, out_count;
    uint64_t next_q;
};

static int64_t now_of(const struct verify *v) { return loop_mono_ms(v->r->env->loop); }

/* The queue and the recipient; its domain in lower case. */
static char *make_key(struct span queue, struct span rcpt)
{
    char *key = must_alloc(queue.n + rcpt.n + 2);
    size_t at = span_rfind(rcpt, '@');
    memcpy(key, queue.p, queue.n);
    key[queue.n] = ' ';
    for (size_t i = 0; i < rcpt.n; i++)
        key[queue.n + 1 + i] =
            i > at && rcpt.p[i] >= 'A' && rcpt.p[i] <= 'Z' ? (char)(rcpt.p[i] | 32) : rcpt.p[i];
    return key;
}

/* --- what is known --- */

static void known_free(struct verify *v, struct known *k)
{
    hash_remove(&v->answers, &k->node);
    list_remove(&k->age);
    free(k);
}

static struct known *known_get(struct verify *v, const char *key)
{
    struct hash_node *n = hash_get(&v->answers, span_str(key));
    struct known *k = n ? CONTAINER(n, struct known, node) : NULL;
    if (k && k->until_ms <= now_of(v)) {
        known_free(v, k);
        return NULL;
    }
    return k;
}

static int64_t keep_of(const struct verify *v, enum probe_verdict verdict)
{
    const struct config_relay *c = &v->r->config->relay;
    return verdict == PROBE_KNOWN     ? c->verify_keep_ms
           : verdict == PROBE_UNKNOWN ? c->verify_keep_bad_ms
                                      : LATER_MS;
}

static void copy(char *to, size_t size, struct span s)
{
    snprintf(to, size, "%.*s", SPAN_ARG(span_to(s, size - 1)));
}

static void know(struct verify *v, const char *key, const struct verify_answer *a)
{
    while (v->answers.n >= v->r->config->relay.verify_cache)
        known_free(v, CONTAINER(list_first(&v->known), struct known, age));
    struct known *k = must_alloc(sizeof *k + strlen(key) + 1);
    memcpy(k->key, key, strlen(key) + 1);
    k->verdict = a->verdict;
    k->until_ms = now_of(v) + keep_of(v, a->verdict);
    copy(k->enhanced, sizeof k->enhanced, a->enhanced);
    copy(k->host, sizeof k->host, a->host);
    copy(k->reply, sizeof k->reply, a->reply);
    hash_add(&v->answers, &k->node, span_str(k->key));
    list_append(&v->known, &k->age);
}

/* --- next hops --- */

static void forget_sites(struct verify *v, size_t keep)
{
    LIST_EACH(n, &v->sites_age) {
        struct site *s = CONTAINER(n, struct site, age);
        if (v->sites.n <= keep)
            return;
        if (s->refs)
            continue;
        hash_remove(&v->sites, &s->node);
        list_remove(&s->age);
        free(s);
    }
}

static struct site *site_get(struct verify *v, struct span queue)
{
    struct hash_node *n = hash_get(&v->sites, queue);
    struct site *s = n ? CONTAINER(n, struct site, node) : NULL;
    if (s) {
        list_remove(&s->age);
    } else {
        forget_sites(v, SITES_MAX - 1);
        s = must_alloc(sizeof *s + queue.n + 1);
        memcpy(s->key, queue.p, queue.n);
        hash_add(&v->sites, &s->node, span_str(s->key));
    }
    list_append(&v->sites_age, &s->age);
    return s;
}

static bool is_away(const struct verify *v, const struct site *s)
{
    return now_of(v) < s->away_until_ms;
}

static void gave_no_answer(struct verify *v, struct site *s, struct span why)
{
    if (!is_away(v, s))
        log_line(v->r->env->events, EVENT_NOTICE,
                 "verify: %s does not say which recipients it knows, they are taken: %.*s", s->key,
                 SPAN_ARG(span_to(why, 200)));
    s->away_until_ms = now_of(v) + AWAY_MS;
    copy(s->why, sizeof s->why, why);
}

/* --- probes --- */

static void ask_more(struct verify *v);
static void on_late(void *ctx);

static void say(const struct probe *p, const struct verify_answer *a)
{
    struct events *e = p->v->r->env->events;
    bool none = a->verdict == PROBE_NO_ANSWER || a->verdict == PROBE_LATER;
    event_begin(e, none                            ? EVENT_recipient_unverified
                   : a->verdict == PROBE_KNOWN     ? EVENT_recipient_verified
                                                   : EVENT_recipient_unknown);
    event_str(e, FIELD_to, span_str(p->rcpt));
    event_str(e, FIELD_host, a->host.n ? a->host : span_str(p->site->key));
    event_str(e, none ? FIELD_text : FIELD_reply, a->reply);
    event_int(e, FIELD_ms, now_of(p->v) - p->begun_ms);
    event_end(e);
}

static void unlink_probe(struct probe *p)
{
    struct verify *v = p->v;
    if (p->q) {
        hash_remove(&v->by_q, &p->by_q);
        v->out_count--;
        p->site->out--;
    } else {
        v->in_line--;
    }
    p->q = 0;
    list_remove(&p->node);
}

static void probe_free(struct probe *p)
{
    struct verify *v = p->v;
    unlink_probe(p);
    hash_remove(&v->by_key, &p->by_key);
    loop_timer_stop(v->r->env->loop, &p->deadline);
    LIST_EACH(n, &p->waiters)
        free(CONTAINER(n, struct waiter, node));
    p->site->refs--;
    buf_free(&p->dest);
    free(p->rcpt);
    free(p->key);
    free(p);
}

static void probe_end(struct probe *p, const struct verify_answer *a)
{
    struct list waiting;
    list_init(&waiting);
    LIST_EACH(n, &p->waiters) {
        list_remove(n);
        list_append(&waiting, n);
    }
    say(p, a);
    if (a->verdict == PROBE_NO_ANSWER && p->q)
        gave_no_answer(p->v, p->site, a->reply);
    else if (a->verdict != PROBE_NO_ANSWER)
        know(p->v, p->key, a);
    probe_free(p);
    LIST_EACH(n, &waiting) {
        struct waiter *w = CONTAINER(n, struct waiter, node);
        list_remove(n);
        w->fn(w->ctx, a);
        free(w);
    }
}

static void probe_fail(struct probe *p, struct span why)
{
    struct verify_answer a = { .verdict = PROBE_NO_ANSWER, .reply = why };
    probe_end(p, &a);
}

static struct deliverer *next_deliver(struct verify *v)
{
    for (int i = 1; i <= DELIVERS_MAX; i++) {
        struct deliverer *d = &v->delivers[(v->last + i) % DELIVERS_MAX];
        if (!d->channel)
            continue;
        v->last = (int)(d - v->delivers);
        return d;
    }
    return NULL;
}

static void send_out(struct verify *v, struct deliverer *d, struct probe *p)
{
    unlink_probe(p);
    p->q = ++v->next_q;
    p->deliver = (int)(d - v->delivers);
    p->tries++;
    p->site->out++;
    v->out_count++;
    hash_add(&v->by_q, &p->by_q, span_of(&p->q, sizeof p->q));
    list_append(&v->out, &p->node);
    struct msg_probe m = { .q = p->q,
                           .within_ms = p->until_ms - now_of(v),
                           .destination = buf_span(&p->dest),
                           .rcpt = span_str(p->rcpt) };
    send_probe(d->channel, &m);
}

static void ask_more(struct verify *v)
{
    LIST_EACH(n, &v->line) {
        struct probe *p = CONTAINER(n, struct probe, node);
        struct deliverer *d = v->out_count < PROBES_MAX ? next_deliver(v) : NULL;
        if (!d)
            return;
        if (p->site->out < SITE_PROBES_MAX)
            send_out(v, d, p);
    }
}

/* Who waits in line for a next hop that gives no answer need not wait for the same. */
static void end_line_of(struct verify *v, struct site *s)
{
    for (bool again = true; again;) {
        again = false;
        LIST_EACH(n, &v->line) {
            struct probe *p = CONTAINER(n, struct probe, node);
            if (p->site != s)
                continue;
            probe_fail(p, span_str(s->why));
            again = true; /* the list may be another now */
            break;
        }
    }
}

static void finish(struct probe *p, const struct verify_answer *a)
{
    struct verify *v = p->v;
    struct site *s = p->site;
    s->refs++;
    probe_end(p, a);
    if (is_away(v, s))
        end_line_of(v, s);
    s->refs--;
    ask_more(v);
}

static void on_late(void *ctx)
{
    struct probe *p = ctx;
    struct verify_answer a = { .verdict = PROBE_NO_ANSWER,
                               .reply = p->q ? SPAN("no answer in time")
                                             : SPAN("nobody could ask in time") };
    finish(p, &a);
}

static void on_probed(struct deliverer *d, struct channel *ch, const struct msg_probed *m)
{
    struct verify *v = d->v;
    struct hash_node *n = hash_get(&v->by_q, span_of(&m->q, sizeof m->q));
    (void)ch;
    if (!n)
        return; /* too late */
    struct probe *p = CONTAINER(n, struct probe, by_q);
    struct verify_answer a = { .verdict = m->verdict <= PROBE_NO_ANSWER
                                              ? (enum probe_verdict)m->verdict
                                              : PROBE_NO_ANSWER,
                               .enhanced = m->enhanced,
                               .host = m->host,
                               .reply = span_to(m->reply, REPLY_MAX) };
    finish(p, &a);
}

PROTO_HANDLER(probed, struct deliverer *, on_probed)

/* --- asking --- */

static void wait_for(struct probe *p, void (*fn)(void *ctx, const struct verify_answer *a),
                     void *ctx)
{
    struct waiter *w = NEW(struct waiter);
    w->fn = fn;
    w->ctx = ctx;
    list_append(&p->waiters, &w->node);
}

/* smtpd waits for router no longer than server.question. */
static int64_t patience_of(const struct verify *v)
{
    const struct config *c = v->r->config;
    int64_t most_ms = c->server.question_ms * 3 / 4;
    return c->relay.verify_timeout_ms < most_ms ? c->relay.verify_timeout_ms : most_ms;
}

static struct probe *probe_new(struct verify *v, const struct route_dest *d, struct span rcpt,
                               char *key)
{
    struct probe *p = NEW(struct probe);
    p->v = v;
    p->site = site_get(v, d->queue);
    p->site->refs++;
    p->begun_ms = now_of(v);
    p->until_ms = p->begun_ms + patience_of(v);
    p->rcpt = must_strndup(rcpt.p, rcpt.n);
    p->key = key;
    list_init(&p->waiters);
    buf_init(&p->dest, CHANNEL_FRAME_MAX / 4);
    route_dest_put(&p->dest, d);
    hash_add(&v->by_key, &p->by_key, span_str(p->key));
    list_append(&v->line, &p->node);
    v->in_line++;
    loop_timer_init(&p->deadline, on_late, p);
    loop_timer_at(v->r->env->loop, &p->deadline, p->until_ms);
    return p;
}

/* True: told at once. */
static bool told_now(struct verify *v, const struct route_dest *d, const char *key,
                     void (*fn)(void *ctx, const struct verify_answer *a), void *ctx)
{
    struct known *k = known_get(v, key);
    struct hash_node *n = hash_get(&v->sites, d->queue);
    struct verify_answer a = { .verdict = PROBE_NO_ANSWER };
    if (k) {
        list_remove(&k->age);
        list_append(&v->known, &k->age);
        a = (struct verify_answer){ k->verdict, span_str(k->enhanced), span_str(k->host),
                                    span_str(k->reply) };
    } else if ((!n || !is_away(v, CONTAINER(n, struct site, node))) && v->in_line < WAITING_MAX) {
        return false;
    }
    fn(ctx, &a);
    return true;
}

void verify_ask(struct verify *v, const struct route_dest *d, struct span rcpt,
                void (*fn)(void *ctx, const struct verify_answer *a), void *ctx)
{
    char *key = make_key(d->queue, rcpt);
    struct hash_node *n = hash_get(&v->by_key, span_str(key));
    if (n) {
        wait_for(CONTAINER(n, struct probe, by_key), fn, ctx);
        free(key);
    } else if (told_now(v, d, key, fn, ctx)) {
        free(key);
    } else {
        wait_for(probe_new(v, d, rcpt, key), fn, ctx);
        ask_more(v);
    }
}

void verify_say(struct verify *v, struct span rcpt, struct span queue, struct buf *text)
{
    char *key = make_key(queue, rcpt);
    struct known *k = known_get(v, key);
    struct hash_node *n = hash_get(&v->sites, queue);
    struct site *s = n ? CONTAINER(n, struct site, node) : NULL;
    if (k)
        buf_printf(text, "%s said: %s; remembered for %lld s more", k->host, k->reply,
                   (long long)(k->until_ms - now_of(v)) / 1000);
    else if (s && is_away(v, s))
        buf_printf(text, "taken unasked, the next hop gave no answer: %s; it is asked again in "
                   "%lld s", s->why, (long long)(s->away_until_ms - now_of(v)) / 1000);
    free(key);
}

/* --- deliver comes and goes --- */

/* Another one is asked, or the same again when it is back; but not for ever: it may have been
 * this probe that it died of. */
static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct deliverer *d = ctx;
    struct verify *v = d->v;
    struct list again;
    (void)ch;
    (void)why;
    channel_free(&d->channel);
    list_init(&again);
    LIST_EACH(n, &v->out) {
        struct probe *p = CONTAINER(n, struct probe, node);
        if (&v->delivers[p->deliver] != d)
            continue;
        unlink_probe(p);
        v->in_line++;
        list_append(&again, &p->node);
    }
    LIST_EACH(n, &again) {
        list_remove(n);
        list_append(&v->line, n);
    }
    for (struct list *n = v->line.next; n != &v->line;) {
        struct probe *p = CONTAINER(n, struct probe, node);
        bool enough = p->tries >= TRIES_MAX;
        n = n->next;
        if (!enough)
            continue;
        probe_fail(p, SPAN("the process that asked has ended"));
        n = v->line.next; /* the list may be another now */
    }
    ask_more(v);
}

void verify_peer(struct verify *v, int index, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(probed) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    struct deliverer *d = &v->delivers[index];
    if (d->channel)
        on_gone(d, d->channel, "replaced");
    d->channel = channel_new(v->r->env->loop, fd, "deliver", &ops, d);
    ask_more(v);
}

/* --- life --- */

struct verify *verify_new(struct router *r)
{
    struct verify *v = NEW(struct verify);
    v->r = r;
    struct hash *const all[] = { &v->answers, &v->sites, &v->by_key, &v->by_q };
    for (size_t i = 0; i < 4; i++)
        hash_init(all[i], loop_random_u64(r->env->loop), 0);
    struct list *const lists[] = { &v->known, &v->sites_age, &v->line, &v->out };
    for (size_t i = 0; i < 4; i++)
        list_init(lists[i]);
    for (int i = 0; i < DELIVERS_MAX; i++)
        v->delivers[i].v = v;
    return v;
}

void verify_forget(struct verify *v)
{
    LIST_EACH(n, &v->known)
        known_free(v, CONTAINER(n, struct known, age));
    LIST_EACH(n, &v->sites_age)
        CONTAINER(n, struct site, age)->away_until_ms = 0;
}

void verify_free(struct verify **pv)
{
    struct verify *v = *pv;
    *pv = NULL;
    if (!v)
        return;
    for (int i = 0; i < DELIVERS_MAX; i++)
        channel_free(&v->delivers[i].channel);
    LIST_EACH(n, &v->line)
        probe_free(CONTAINER(n, struct probe, node));
    LIST_EACH(n, &v->out)
        probe_free(CONTAINER(n, struct probe, node));
    verify_forget(v);
    forget_sites(v, 0);
    struct hash *const all[] = { &v->answers, &v->sites, &v->by_key, &v->by_q };
    for (size_t i = 0; i < 4; i++)
        hash_free(all[i]);
    free(v);
}
