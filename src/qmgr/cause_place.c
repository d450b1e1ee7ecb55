/* The gateway itself, the places where mail waits and what they allow now, and what the hosts
 * said last. */
#include "qmgr/cause.h"

#include "base/must.h"
#include "config/rules.h"
#include "qmgr/hosts.h"
#include "qmgr/keep.h"

#include <stdlib.h>

/* --- tallies --- */

void cause_tallies_init(struct hash *h, uint64_t seed) { hash_init(h, seed, CAUSE_TALLIES_MAX); }

void cause_tallies_free(struct hash *h)
{
    for (struct hash_node *n = hash_next(h, NULL), *next; n; n = next) {
        next = hash_next(h, n);
        hash_remove(h, n);
        free(CONTAINER(n, struct cause_tally, node));
    }
    hash_free(h);
}

struct cause_tally *cause_tally_add(struct hash *h, struct span key, uint64_t recipients,
                                   uint64_t age)
{
    struct hash_node *n = hash_get(h, key);
    struct cause_tally *t = n ? CONTAINER(n, struct cause_tally, node) : NULL;
    if (!t && h->n >= h->max)
        return NULL;
    if (!t) {
        t = must_alloc(must_add(sizeof *t, key.n));
        t->oldest = age;
        if (key.n)
            memcpy(t->key, key.p, key.n);
        hash_add(h, &t->node, span_of(t->key, key.n));
    }
    t->recipients += recipients;
    t->oldest = age < t->oldest ? age : t->oldest;
    return t;
}

static bool is_before(const struct cause_tally *a, const struct cause_tally *b)
{
    if (a->recipients != b->recipients)
        return a->recipients > b->recipients;
    return a->oldest != b->oldest ? a->oldest < b->oldest
                                  : span_cmp(a->node.key, b->node.key) < 0;
}

size_t cause_tally_best(const struct hash *h, struct cause_tally **best, size_t max)
{
    size_t n = 0;
    for (struct hash_node *node = hash_next(h, NULL); node; node = hash_next(h, node)) {
        struct cause_tally *t = CONTAINER(node, struct cause_tally, node);
        if (n == max && !is_before(t, best[n - 1]))
            continue;
        size_t at = n < max ? n++ : n - 1;
        for (; at > 0 && is_before(t, best[at - 1]); at--)
            best[at] = best[at - 1];
        best[at] = t;
    }
    return n;
}

/* --- rows --- */

int64_t cause_wall(struct sched_now now, int64_t mono_ms)
{
    return now.wall_ms + (mono_ms - now.mono_ms);
}

struct json cause_row(struct buf *b, const char *kind)
{
    buf_init(b, ADMIN_ROW_MAX);
    struct json j = json_writer(b);
    json_open(&j, NULL);
    json_str(&j, "kind", span_str(kind));
    return j;
}

void cause_row_end(struct admin_ask *a, struct json *j, struct buf *b)
{
    json_close(j);
    admin_row(a, b);
    buf_free(b);
}

void cause_put_who(struct json *j, struct span who, int64_t at_ms)
{
    json_str(j, "who", who);
    json_int(j, "since_ms", at_ms);
}

void cause_put_then(struct json *j, const struct sched_rcpt_info *r)
{
    if (r->to_be_held || r->to_be_deleted)
        json_str(j, "then", r->to_be_deleted ? SPAN("deleted") : SPAN("held"));
}

struct span cause_state(const struct sched_rcpt_info *r)
{
    bool done = r->state == SCHED_DISCARDED || r->state == SCHED_DELIVERED;
    if (done && r->marks & QMGR_TOLD) /* who it stands for has the mail */
        return SPAN("expanded");
    return span_str(r->state < SCHED_LIVE ? queue_state_name(sched_queue_state(r))
                                          : sched_state_name(r->state));
}

void cause_send_now(struct admin_ask *a)
{
    struct qmgr *q = a->q;
    struct buf b;
    int delivers = 0;
    for (int i = 0; i < PEERS_MAX; i++)
        delivers += q->delivers[i].channel != NULL;
    struct json j = cause_row(&b, "now");
    json_int(&j, "now_ms", loop_wall_ms(q->env->loop));
    json_bool(&j, "router", q->router != NULL);
    json_int(&j, "delivers", delivers);
    json_bool(&j, "spool_stuck", store_stuck(q));
    json_bool(&j, "spool_full", q->full);
    json_uint(&j, "jobs", sched_share(q->sched, SCHED_ANSWERS).jobs);
    json_uint(&j, "jobs_silent", sched_totals(q->sched).silent_jobs);
    json_uint(&j, "jobs_max", q->config->deliver.connections);
    json_bool(&j, "finishing", q->finishing);
    if (sched_totals(q->sched).unsited)
        json_uint(&j, "site_unknown", sched_totals(q->sched).unsited);
    struct buf doubt;
    buf_init(&doubt, 400);
    if (clock_doubt(q, &doubt))
        json_str(&j, "clock", buf_span(&doubt));
    buf_free(&doubt);
    cause_row_end(a, &j, &b);
}

/* --- places --- */

static const struct config_rule *rule_of(const struct qmgr *q, uint32_t rule)
{
    return rule && rule <= q->config->n_rules ? &q->config->rules[rule - 1] : NULL;
}

int64_t cause_next_ms(const struct qmgr *q, enum queue_state state, struct span dest,
                      int64_t next_ms)
{
    struct sched_place_info site;
    if (next_ms || state != QUEUE_READY || !dest.n || !sched_site_of(q->sched, dest, &site))
        return next_ms;
    return site.paced_until_ms;
}

int64_t cause_latest_ms(const struct sched_place_info *site)
{
    return site->paced_until_ms +
           ((int64_t)site->rcpts[SCHED_READY] - 1) * site->interval_us / 1000;
}

void cause_put_turn(struct json *j, const struct qmgr *q, const struct sched_rcpt_info *r,
                    struct sched_now now)
{
    struct sched_place_info site;
    if (r->next_try_ms || sched_queue_state(r) != QUEUE_READY || r->state != SCHED_READY ||
        !sched_site_of(q->sched, r->dest, &site) || !site.paced_until_ms ||
        site.rcpts[SCHED_READY] < 2)
        return;
    json_uint(j, "ready_there", site.rcpts[SCHED_READY]);
    json_int(j, "latest_try_ms", cause_wall(now, cause_latest_ms(&site)));
}

/* As sched_queue_state has it for each of them; of those that a person holds or the tables do the
 * place does not know which. */
static void put_states(struct json *j, const struct sched_place_info *p)
{
    uint64_t n[QUEUE_STATES] = { 0 };
    for (int s = 0; s < SCHED_LIVE; s++) {
        bool down = p->down_until_ms || p->site_down_until_ms;
        struct sched_rcpt_info r = { .state = (enum sched_state)s, .next_try_ms = down };
        r.frozen = p->frozen && (s <= SCHED_READY || s == SCHED_DEFERRED);
        n[sched_queue_state(&r)] += p->rcpts[s];
    }
    json_open(j, "recipients");
    for (int s = 0; s < QUEUE_STATES; s++)
        if (n[s])
            json_uint(j, queue_state_name((enum queue_state)s), n[s]);
    json_close(j);
}

static void put_pace(struct json *j, const struct sched_place_info *p, struct sched_now now)
{
    if (p->rate) {
        json_uint(j, "rate", p->rate);
        json_int(j, "rate_ms", p->rate_ms);
    }
    if (p->interval_us)
        json_int(j, "interval_us", p->interval_us);
    if (p->slow)
        json_uint(j, "slowed", p->slow);
    if (p->paced_until_ms)
        json_int(j, "paced_until_ms", cause_wall(now, p->paced_until_ms));
    if (p->paced_until_ms && p->rcpts[SCHED_READY] > 1) {
        json_uint(j, "ready_there", p->rcpts[SCHED_READY]);
        json_int(j, "latest_try_ms", cause_wall(now, cause_latest_ms(p)));
    }
}

/* The name that a person froze: the whole key, or that of the place without its share. */
struct frozen_look {
    struct qmgr *q;
    struct span key;
    struct json *j;
    bool found;
};

static void on_frozen(void *ctx, struct span name)
{
    struct frozen_look *l = ctx;
    struct span key = l->key;
    if (span_starts(key, SPAN("frozen:")))
        key = span_from(key, 7);
    struct span rest = span_from(key, name.n);
    bool share = span_starts(rest, SPAN(" by:")) || span_starts(rest, SPAN(" from:<"));
    struct decision d;
    if (l->found || !span_istarts(key, name) || (rest.n && !share))
        return;
    l->found = true;
    json_str(l->j, "frozen", name);
    if (decision_get(l->q, KEEP_FROZEN, name, &name, &d)) {
        json_str(l->j, "frozen_by", d.who);
        json_int(l->j, "frozen_ms", d.at_ms);
    }
}

void cause_put_frozen(struct json *j, struct qmgr *q, const struct sched_rcpt_info *r)
{
    struct decision d;
    struct span name;
    if (!sched_frozen_as(q->sched, r, &name))
        return;
    json_str(j, "frozen_as", name);
    if (decision_get(q, KEEP_FROZEN, name, &name, &d)) {
        json_str(j, "frozen_by", d.who);
        json_int(j, "frozen_ms", d.at_ms);
    }
}

static void put_gate(struct json *j, const char *key, struct qmgr *q,
                     const struct sched_place_info *p, struct sched_now now)
{
    const struct config_rule *rule = rule_of(q, p->rule);
    json_open(j, key);
    if (p->key.n)
        json_str(j, "name", p->key);
    put_states(j, p);
    json_uint(j, "active", p->active);
    if (p->limit)
        json_uint(j, "limit", p->limit);
    if (p->limit_max)
        json_uint(j, "limit_max", p->limit_max);
    if (rule) {
        json_str(j, "rule", rule->name);
        json_uint(j, "rule_number", p->rule);
        json_bool(j, "share", config_rules_plain_site(p->key).n < p->key.n);
    }
    put_pace(j, p, now);
    if (p->frozen) {
        struct frozen_look l = { q, p->key, j, false };
        sched_each_frozen(q->sched, on_frozen, &l);
    }
    if (p->asking)
        json_bool(j, "asking", true);
    if (p->crowded) {
        json_bool(j, "crowded", true);
        json_uint(j, "crowded_jobs", p->full.jobs);
        json_uint(j, "crowded_max", p->full.max);
    }
    if (p->senders)
        json_uint(j, "senders", p->senders);
    if (p->down_until_ms)
        json_int(j, "down_until_ms", cause_wall(now, p->down_until_ms));
    if (p->down_level)
        json_uint(j, "failures", p->down_level);
    if (p->why.n)
        json_str(j, "why", p->why);
    json_close(j);
}

/* False: the schedule does not know it. */
static bool cause_send_place(struct admin_ask *a, struct span key)
{
    struct sched_now now = qmgr_now(a->q);
    struct sched_place_info dest, site;
    struct buf b;
    if (!sched_dest(a->q->sched, key, &dest) || !sched_site_of(a->q->sched, key, &site))
        return false;
    struct json j = cause_row(&b, "place");
    json_str(&j, "name", dest.key);
    put_gate(&j, "destination", a->q, &dest, now);
    put_gate(&j, "site", a->q, &site, now);
    cause_row_end(a, &j, &b);
    return true;
}

/* --- hosts --- */

struct host_look {
    struct admin_ask *a;
    struct cause_tally **places;
    size_t place_count;
    struct span host;
    struct netaddr ip; /* NETADDR_NONE: it is a name */
    bool asked;        /* first the one that is asked for, then the others */
    size_t sent;
};

static bool is_asked(const struct host_look *l, const struct host_info *h)
{
    return (l->host.n && span_ieq(h->name, l->host)) ||
           (l->ip.family != NETADDR_NONE && netaddr_same_ip(&h->relay, &l->ip));
}

static bool is_wanted(const struct host_look *l, const struct host_info *h)
{
    bool asked = is_asked(l, h);
    if (asked || l->asked)
        return asked && l->asked;
    for (size_t i = 0; i < l->place_count; i++)
        if (span_eq(h->dest, l->places[i]->node.key))
            return true;
    return false;
}

static void on_host(void *ctx, const struct host_info *h)
{
    struct host_look *l = ctx;
    struct buf b, addr;
    if (l->sent == CAUSE_PLACES_SHOWN || !is_wanted(l, h))
        return;
    struct json j = cause_row(&b, "host");
    buf_init(&addr, NETADDR_TEXT_MAX);
    netaddr_put(&addr, &h->relay);
    json_str(&j, "host", h->name);
    if (h->relay.family != NETADDR_NONE)
        json_str(&j, "address", buf_span(&addr));
    json_int(&j, "at_ms", h->wall_ms);
    json_str(&j, "said", h->text);
    json_str(&j, "destination", h->dest);
    buf_free(&addr);
    cause_row_end(l->a, &j, &b);
    l->sent++;
}

void cause_send_places(struct admin_ask *a, const struct hash *places, struct span host)
{
    struct cause_tally *best[CAUSE_PLACES_SHOWN];
    struct host_look l = { .a = a, .places = best, .host = host };
    l.place_count = cause_tally_best(places, best, CAUSE_PLACES_SHOWN);
    if (!host.n || !netaddr_parse_ip(host, &l.ip))
        l.ip.family = NETADDR_NONE;
    for (size_t i = 0; i < l.place_count; i++)
        cause_send_place(a, best[i]->node.key);
    l.asked = true;
    hosts_each(a->q, on_host, &l);
    l.asked = false;
    hosts_each(a->q, on_host, &l);
}
