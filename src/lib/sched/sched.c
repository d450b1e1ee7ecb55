#include "sched/inside.h"

#include <stdlib.h>

enum {
    LINES_MAX = 65536, /* of senders that wait at places where others wait too */
    REASONS_MAX = 20000, /* different ones; peers put ids of their own into replies */
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    HOUR_MS = 60 * MINUTE_MS,
};

void sched_config_defaults(struct sched_config *c)
{
    *c = (struct sched_config){
        .retry_first_ms = 5 * MINUTE_MS,
        .retry_max_ms = 4 * HOUR_MS,
        .site_first_ms = MINUTE_MS,
        .site_max_ms = 30 * MINUTE_MS,
        .warn_after_ms = 4 * HOUR_MS,
        .expire_after_ms = (int64_t)5 * 24 * HOUR_MS,
        .grace_ms = 15 * MINUTE_MS,
        .lost_ms = 5 * SECOND_MS,
        .route_ttl_ms = MINUTE_MS,
        .site_initial = 5,
        .site_max = 20,
        .job_rcpts_max = 100,
        .jobs_max = 1000,
        .idle_dests_max = 20000,
        .seed = 1,
    };
}

void sched_rule_defaults(struct sched_rule *r, const struct sched_config *c)
{
    *r = (struct sched_rule){
        .site_initial = c->site_initial,
        .site_max = c->site_max,
        .retry_first_ms = c->retry_first_ms,
        .retry_max_ms = c->retry_max_ms,
        .warn_after_ms = c->warn_after_ms,
        .expire_after_ms = c->expire_after_ms,
    };
}

static void check_rule(const struct sched_rule *r)
{
    MUST(r->site_initial > 0 && r->site_max >= r->site_initial);
    MUST(!r->rate || r->rate_ms > 0);
    MUST(r->retry_first_ms > 0 && r->retry_max_ms >= r->retry_first_ms);
    MUST(r->retry_count <= SCHED_CURVE_MAX);
    MUST(r->expire_after_ms > 0 && r->warn_after_ms >= 0);
}

static void be_patient(struct sched_rule *p, const struct sched_rule *r)
{
    if (r->expire_after_ms > p->expire_after_ms)
        p->expire_after_ms = r->expire_after_ms;
    if (!r->warn_after_ms || (p->warn_after_ms && r->warn_after_ms > p->warn_after_ms))
        p->warn_after_ms = r->warn_after_ms;
}

static void take_rules(struct sched *s, const struct sched_config *c)
{
    s->rules = must_realloc(s->rules, must_mul(c->rule_count + 1, sizeof *s->rules));
    sched_rule_defaults(&s->rules[0], c);
    s->patient = s->rules[0];
    for (uint32_t i = 0; i < c->rule_count; i++) {
        check_rule(&c->rules[i]);
        s->rules[i + 1] = c->rules[i];
        be_patient(&s->patient, &c->rules[i]);
    }
}

/* They have other numbers: which one holds is asked for each place. */
static void forget_rules(struct sched *s, bool any)
{
    for (struct list *l = s->all_sites.next; l != &s->all_sites; l = l->next) {
        struct sched_site *t = CONTAINER(l, struct sched_site, all);
        t->rule = 0;
        t->unplaced = any;
        sched_site_update(s, t);
    }
    for (struct hash_node *n = NULL; any && (n = hash_next(&s->dests, n)) != NULL;) {
        struct sched_dest *d = CONTAINER(n, struct sched_dest, node);
        if (!list_linked(&d->rule))
            list_append(&s->to_rule, &d->rule);
    }
}

void sched_configure(struct sched *s, const struct sched_config *c)
{
    MUST(c->retry_first_ms > 0 && c->retry_max_ms >= c->retry_first_ms);
    MUST(c->site_first_ms > 0 && c->site_max_ms >= c->site_first_ms);
    MUST(c->expire_after_ms > 0 && c->warn_after_ms >= 0 && c->grace_ms >= 0);
    MUST(c->site_initial > 0 && c->site_max >= c->site_initial);
    MUST(c->job_rcpts_max > 0 && c->job_rcpts_max <= SCHED_JOB_RCPTS_MAX && c->jobs_max > 0);
    MUST(c->rule_count <= SCHED_RULES_MAX);
    uint64_t seed = s->cfg.seed;
    bool any_rules = s->cfg.rule_count || c->rule_count;
    s->looking = s->order.count > 0; /* these too may expire earlier now */
    s->look_from = 0;
    s->cfg = *c;
    s->cfg.seed = seed;
    s->cfg.rules = NULL;
    take_rules(s, c);
    forget_rules(s, any_rules || !list_empty(&s->to_rule));
    sched_shares_configure(s);
    if (s->cfg.idle_dests_max < 16)
        s->cfg.idle_dests_max = 16;
    for (struct list *l = s->all_sites.next; l != &s->all_sites; l = l->next) {
        struct sched_site *t = CONTAINER(l, struct sched_site, all);
        if (!c->rule_count && t->gate.limit > c->site_max) {
            t->gate.limit = c->site_max;
            sched_site_update(s, t);
        }
    }
}

struct sched *sched_new(const struct sched_config *c)
{
    struct sched *s = NEW(struct sched);
    s->random = s->cfg.seed = c->seed;
    struct list *lists[] = { &s->urgent, &s->bulk, &s->routing, &s->waiting, &s->released,
                             &s->gone, &s->drain, &s->idle, &s->all_sites, &s->to_place,
                             &s->to_place_ahead, &s->to_rule };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    struct heap *heaps[] = { &s->deferred, &s->timers, &s->gates, &s->paces };
    for (size_t i = 0; i < sizeof heaps / sizeof *heaps; i++)
        heap_init(heaps[i]);
    sched_shares_init(s);
    hash_init(&s->domains, c->seed, 0);
    hash_init(&s->reasons, c->seed, REASONS_MAX);
    hash_init(&s->dests, c->seed, 0);
    hash_init(&s->sites, c->seed, 0);
    hash_init(&s->frozen, c->seed, 0);
    hash_init(&s->lines, c->seed, LINES_MAX);
    hash_init(&s->seats, c->seed, LINES_MAX);
    hash_init(&s->pins, c->seed, 0);
    s->many_reasons = sched_name_get(&s->reasons, SPAN("(one of very many; see the log)"));
    s->by_age.key_at = offsetof(struct sched_msg, age);
    sched_index_init(s);
    s->epoch = 1;
    sched_configure(s, c);
    return s;
}

static void free_messages(struct sched *s)
{
    for (struct sched_msg *m; (m = sched_order_from(&s->order, 0)) != NULL;) {
        for (uint32_t i = 0; i < m->rcpt_count; i++) {
            struct sched_rcpt *r = &m->rcpts[i];
            if (r->state >= SCHED_LIVE)
                continue;
            sched_rcpt_leave(s, r);
            sched_rcpt_to_dest(s, r, NULL);
        }
        if (m->live == 0)
            list_remove(&m->at.gone);
        else
            heap_remove(&s->timers, &m->at.timer);
        sched_order_remove(&s->order, m);
        sched_order_remove(&s->by_age, m);
        sched_index_message_gone(s, m);
        sched_msg_free(s, m);
    }
}

void sched_free(struct sched **sp)
{
    struct sched *s = *sp;
    if (!s)
        return;
    for (uint32_t i = 0; i < s->job_slots; i++) {
        struct sched_job_slot *j = s->jobs[i];
        if (j->id) {
            j->dest->refs--;
            j->dest->gate.active--;
            j->dest->site->gate.active--;
            free(j->rcpts);
        }
        free(j);
    }
    free(s->jobs);
    free_messages(s);
    for (struct hash_node *n = hash_next(&s->dests, NULL), *next; n; n = next) {
        next = hash_next(&s->dests, n);
        sched_dest_free(s, CONTAINER(n, struct sched_dest, node));
    }
    sched_name_put(&s->reasons, s->many_reasons);
    sched_index_free(s);
    sched_frozen_free(s);
    sched_pins_free(s);
    MUST(s->domains.n == 0 && s->reasons.n == 0 && s->sites.n == 0);
    MUST(s->lines.n == 0 && s->seats.n == 0);
    struct hash *hashes[] = { &s->domains, &s->reasons, &s->dests,
                              &s->sites,   &s->lines,   &s->seats };
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        hash_free(hashes[i]);
    heap_free(&s->deferred);
    heap_free(&s->timers);
    heap_free(&s->gates);
    heap_free(&s->paces);
    sched_shares_free(s);
    free(s->rules);
    sched_order_free(&s->order);
    sched_order_free(&s->by_age);
    free(s);
    *sp = NULL;
}

/* xorshift64* (Vigna 2014): jitter needs no more. */
static uint64_t next_random(struct sched *s)
{
    uint64_t x = s->random ? s->random : 0x9e3779b97f4a7c15u;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    s->random = x;
    return x * 0x2545f4914f6cdd1du;
}

/* The delay, an eighth more or less. */
int64_t sched_jitter(struct sched *s, int64_t delay_ms)
{
    int64_t span_ms = delay_ms / 4;
    if (span_ms <= 0)
        return delay_ms;
    return delay_ms - span_ms / 2 + (int64_t)(next_random(s) % (uint64_t)(span_ms + 1));
}

int64_t sched_retry_delay(struct sched *s, const struct sched_rcpt *r)
{
    const struct sched_rule *rule = sched_rcpt_rule(s, r);
    if (rule->retry_count) {
        uint32_t i = r->strikes < rule->retry_count ? r->strikes : rule->retry_count;
        return sched_jitter(s, rule->retry_ms[i ? i - 1 : 0]);
    }
    int64_t delay_ms = rule->retry_first_ms;
    for (uint32_t i = 1; i < r->strikes && delay_ms < rule->retry_max_ms; i++)
        delay_ms *= 2;
    return sched_jitter(s, delay_ms < rule->retry_max_ms ? delay_ms : rule->retry_max_ms);
}
