/* sites: at which site a destination is. resolver is asked before anything is begun there, so
 * that the limits and rules of a site hold from the first message on, also where many domains
 * have one MX set; and again when what it said has grown old. An address, a host without MX, and
 * what is delivered on this host need no question.
 *
 * Nothing waits for long: a question has SITE_WAIT_MS (and not longer than timeout.attempt), and
 * those that are not out yet wait only while resolver answers others. Then, and when resolver is
 * away, things go on without a site: deliver asks too, and says what is wrong with the DNS. */
#include "qmgr/inside.h"

#include "base/must.h"
#include "dns/mx.h"
#include "proto/qmgr_resolver.h"

#include <stdlib.h>
#include <string.h>

enum {
    SITES_AT_ONCE = 1024,
    AHEAD_AT_ONCE = 256, /* of them, where nothing is due: many may get no answer */
    SITE_WAIT_MS = 10000,
    LOOK_MS = 1000,
    KNOWN_MIN_MS = 10000, /* not a question for each message of a domain with a TTL of 0 */
    KNOWN_MAX_MS = 600000,
};

static const struct sched_mx no_mx;

struct sites {
    struct hash out;        /* struct site_ask by number: at resolver */
    struct list asked, line; /* in their order: at resolver, and not yet */
    struct loop_timer look;
    struct arena *arena;
    uint64_t next;
    int64_t heard_ms; /* when resolver answered last, or was asked while idle */
    size_t ahead; /* of those in both lists */
};

struct site_ask {
    struct hash_node node;
    struct list order;
    uint64_t number; /* 0: in the line */
    bool ahead;
    int64_t asked_ms;
    struct span hops, dest; /* in text */
    char text[];
};

static void ask_free(struct sites *t, struct site_ask *a)
{
    t->ahead -= a->ahead;
    if (a->number)
        hash_remove(&t->out, &a->node);
    list_remove(&a->order);
    free(a);
}

/* site empty: there is none, or nobody knows. */
static void known(struct qmgr *q, struct span dest, struct span site, struct sched_mx mx,
                  int64_t until_ms)
{
    if (q->config->n_rules)
        rules_place(q, dest, site);
    else if (site.n)
        sched_place(q->sched, dest, site, 0);
    if (site.n)
        sched_set_mx(q->sched, dest, mx);
    sched_placed(q->sched, dest, until_ms, site.n > 0);
    loop_hook_ask(q->env->loop, &q->work);
}

/* A domain with other MX hosts in each answer would be tried in a circle: each time at a site of
 * which nothing bad is known. */
void sites_elsewhere(struct qmgr *q, struct span dest)
{
    sched_placed(q->sched, dest, loop_mono_ms(q->env->loop) + KNOWN_MIN_MS, false);
}

static void unknown(struct qmgr *q, struct site_ask *a)
{
    known(q, a->dest, SPAN_NONE, no_mx, loop_mono_ms(q->env->loop) + KNOWN_MIN_MS);
    ask_free(q->sites, a);
}

static void all_unknown(struct qmgr *q, struct list *asks)
{
    for (struct list *n; (n = list_first(asks)) != NULL;)
        unknown(q, CONTAINER(n, struct site_ask, order));
}

static void on_look(void *ctx)
{
    struct qmgr *q = ctx;
    struct sites *t = q->sites;
    int64_t attempt_ms = q->config->timeout.attempt_ms;
    int64_t wait_ms = attempt_ms < SITE_WAIT_MS ? attempt_ms : SITE_WAIT_MS;
    int64_t late_ms = loop_mono_ms(q->env->loop) - wait_ms;
    for (struct list *n; (n = list_first(&t->asked)) != NULL;) {
        struct site_ask *a = CONTAINER(n, struct site_ask, order);
        if (a->asked_ms > late_ms)
            break;
        unknown(q, a);
    }
    if (t->heard_ms <= late_ms)
        all_unknown(q, &t->line);
    if (list_first(&t->asked) || list_first(&t->line))
        loop_timer_in(q->env->loop, &t->look, LOOK_MS);
}

static void line_up(struct qmgr *q, struct span dest, const struct route_dest *d, bool ahead)
{
    struct sites *t = q->sites;
    struct buf hops;
    buf_init(&hops, DNS_HOPS_TEXT_MAX);
    dns_hops_put(&hops, d->hops, d->hop_count);
    struct site_ask *a = must_alloc(must_add(sizeof *a, must_add(hops.len, dest.n)));
    *a = (struct site_ask){ .hops = span_of(a->text, hops.len),
                            .dest = span_of(a->text + hops.len, dest.n),
                            .ahead = ahead };
    t->ahead += ahead;
    memcpy(a->text, buf_span(&hops).p, hops.len);
    memcpy(a->text + hops.len, dest.p, dest.n);
    buf_free(&hops);
    if (!t->out.n && !list_first(&t->line))
        t->heard_ms = loop_mono_ms(q->env->loop);
    list_append(&t->line, &a->order);
    if (!loop_timer_set(&t->look))
        loop_timer_in(q->env->loop, &t->look, LOOK_MS);
}

static void find_out(struct qmgr *q, struct span dest, bool ahead)
{
    struct sites *t = q->sites;
    const struct dest *known_dest = dest_find(q, dest);
    struct route_dest d = { .hop_count = 0 };
    if (known_dest) {
        struct wire w = wire_reader(
            span_of(known_dest->bytes + known_dest->key_len + known_dest->mailer_len,
                    known_dest->codec_len));
        if (!route_dest_get(&w, t->arena, &d) || !route_dest_has_hops(&d))
            d.hop_count = 0;
    }
    struct buf site;
    buf_init(&site, DNS_PLAN_SITE_MAX);
    if (!d.hop_count || dns_site_of(&site, d.hops, d.hop_count))
        known(q, dest, buf_span(&site), no_mx, INT64_MAX);
    else if (q->resolver)
        line_up(q, dest, &d, ahead);
    else
        known(q, dest, SPAN_NONE, no_mx, loop_mono_ms(q->env->loop) + KNOWN_MIN_MS);
    buf_free(&site);
    arena_reset(t->arena);
}

static void send_line(struct qmgr *q)
{
    struct sites *t = q->sites;
    struct list *n;
    while (q->resolver && !channel_full(q->resolver) && t->out.n < SITES_AT_ONCE &&
           (n = list_first(&t->line)) != NULL) {
        struct site_ask *a = CONTAINER(n, struct site_ask, order);
        list_remove(n);
        list_append(&t->asked, n);
        a->number = ++t->next;
        a->asked_ms = loop_mono_ms(q->env->loop);
        hash_add(&t->out, &a->node, span_of(&a->number, sizeof a->number));
        struct msg_ask_site m = { .q = a->number, .hops = a->hops };
        send_ask_site(q->resolver, &m);
    }
}

bool sites_pump(struct qmgr *q)
{
    struct span dest;
    bool any = false;
    while (sched_next_to_place(q->sched, &dest)) {
        any = true;
        find_out(q, dest, false);
    }
    send_line(q);
    return any;
}

/* Behind those where mail is due, and never so many that these would have to wait for them. */
bool sites_ahead(struct qmgr *q, size_t max, size_t *asked)
{
    struct sites *t = q->sites;
    struct span dest;
    bool more = true;
    for (size_t n = 0; more && n < max && q->resolver && !list_first(&t->line) &&
                       t->ahead < AHEAD_AT_ONCE; n++) {
        more = sched_next_to_place_ahead(q->sched, &dest);
        if (more)
            find_out(q, dest, true);
        *asked += more;
    }
    send_line(q);
    return more || t->ahead;
}

void sites_ask_anew(struct qmgr *q)
{
    struct msg_dns_anew m = { 0 };
    if (q->resolver)
        send_dns_anew(q->resolver, &m);
}

/* --- resolver --- */

static void on_site(struct qmgr *q, struct channel *ch, const struct msg_site *m)
{
    struct sites *t = q->sites;
    struct hash_node *n = hash_get(&t->out, span_of(&m->q, sizeof m->q));
    int64_t now_ms = loop_mono_ms(q->env->loop), good_ms = (int64_t)m->ttl_s * 1000;
    (void)ch;
    t->heard_ms = now_ms;
    if (!n)
        return;
    struct site_ask *a = CONTAINER(n, struct site_ask, node);
    good_ms = good_ms < KNOWN_MIN_MS ? KNOWN_MIN_MS : good_ms;
    struct sched_mx mx = { m->best, m->all };
    known(q, a->dest, m->site, mx, now_ms + (good_ms < KNOWN_MAX_MS ? good_ms : KNOWN_MAX_MS));
    ask_free(t, a);
}
PROTO_HANDLER(site, struct qmgr *, on_site)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct qmgr *q = ctx;
    (void)ch;
    (void)why;
    channel_free(&q->resolver);
    all_unknown(q, &q->sites->asked);
    all_unknown(q, &q->sites->line);
}

static void on_drained(void *ctx, struct channel *ch)
{
    struct qmgr *q = ctx;
    (void)ch;
    loop_hook_ask(q->env->loop, &q->work);
}

void sites_resolver(struct qmgr *q, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(site) };
    static const struct channel_ops ops = { types, 1, on_gone, on_drained };
    if (q->resolver)
        on_gone(q, q->resolver, "replaced");
    q->resolver = channel_new(q->env->loop, fd, "resolver", &ops, q);
}

void sites_new(struct qmgr *q)
{
    enum { ARENA_MAX = 64 << 10 };
    struct sites *t = q->sites = NEW(struct sites);
    hash_init(&t->out, loop_random_u64(q->env->loop), 0);
    list_init(&t->asked);
    list_init(&t->line);
    t->arena = arena_new(ARENA_MAX);
    loop_timer_init(&t->look, on_look, q);
}

void sites_free(struct qmgr *q)
{
    struct sites *t = q->sites;
    struct list *lists[] = { &t->asked, &t->line };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (struct list *n; (n = list_first(lists[i])) != NULL;)
            ask_free(t, CONTAINER(n, struct site_ask, order));
    channel_free(&q->resolver);
    loop_timer_stop(q->env->loop, &t->look);
    hash_free(&t->out);
    arena_free(&t->arena);
    free(t);
    q->sites = NULL;
}
