/* delivery_rule: which one holds for a destination, as the schedule is told. What a message is
 * stands in its destination's key ("mx:example.org by:big,late"), so that mail of different rules
 * waits in different places; at a site one rule holds for all that waits there. */
#include "qmgr/inside.h"

#include "base/must.h"
#include "base/num.h"
#include "config/rules.h"

#include <stdlib.h>

enum { RULES_AT_ONCE = 256 }; /* destinations in one turn, after a reload */

static uint32_t whole(uint64_t v, uint64_t otherwise) { return (uint32_t)(v ? v : otherwise); }
static int64_t time_of(int64_t ms, int64_t otherwise_ms) { return ms ? ms : otherwise_ms; }

static void fill(struct sched_rule *to, const struct config_rule *r, const struct sched_config *c)
{
    sched_rule_defaults(to, c);
    to->site_max = whole(r->concurrency_max, to->site_max);
    to->site_initial = whole(r->concurrency_initial, to->site_initial);
    if (to->site_initial > to->site_max)
        to->site_initial = to->site_max;
    if (r->rate.n)
        config_rate_parse(r->rate, &to->rate, &to->rate_ms);
    to->retry_first_ms = time_of(r->retry_first_ms, to->retry_first_ms);
    to->retry_max_ms = time_of(r->retry_max_ms, to->retry_max_ms);
    for (size_t i = 0; i < r->retry.n && i < SCHED_CURVE_MAX; i++)
        if (num_duration_ms(r->retry.v[i], &to->retry_ms[to->retry_count]))
            to->retry_count++;
    to->warn_after_ms = time_of(r->warn_after_ms, to->warn_after_ms);
    to->expire_after_ms = time_of(r->expire_after_ms, to->expire_after_ms);
}

struct sched_rule *rules_of(const struct config *cfg, struct sched_config *c)
{
    struct sched_rule *rules = must_calloc(cfg->n_rules + 1, sizeof *rules);
    for (size_t i = 0; i < cfg->n_rules; i++)
        fill(&rules[i], &cfg->rules[i], c);
    c->rules = rules;
    c->rule_count = (uint32_t)cfg->n_rules;
    return rules;
}

bool rules_route(struct qmgr *q, const struct sched_ask *ask, struct route_dest *d)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    if (!q->config->n_rules || !route_dest_has_hops(d) ||
        !sched_msg(q->sched, ask->seq, &m) || !sched_rcpt(q->sched, ask->seq, ask->rcpt, &r))
        return true;
    struct buf sender, key;
    buf_init(&sender, ENVELOPE_ADDR_MAX + 8);
    buf_init(&key, ROUTE_KEY_MAX + CONFIG_RULES_CLASSES_MAX);
    sched_addr_put(&sender, m.sender);
    buf_puts(&key, d->queue);
    size_t before = key.len;
    buf_putz(&key, " by:");
    size_t at = key.len;
    config_rules_classes(q->config, buf_span(&sender), sched_msg_listener(m.here),
                         r.addr.domain, config_rules_domain(d->queue), &key);
    if (key.len == at)
        buf_cut(&key, before);
    else
        d->queue = arena_dup(q->routed, buf_span(&key));
    buf_free(&sender);
    buf_free(&key);
    return d->queue.p != NULL;
}

bool rules_place(struct qmgr *q, struct span dest, struct span site)
{
    struct sched_place_info p;
    if (!site.n && sched_dest(q->sched, dest, &p))
        site = p.site;
    struct span plain = config_rules_plain_site(site);
    uint32_t rule = config_rules_at(q->config, config_rules_classes_in(dest),
                                    config_rules_domain(dest), plain);
    struct buf key;
    buf_init(&key, 4096);
    config_rules_put_site(q->config, rule, plain, &key);
    bool moved = sched_place(q->sched, dest, buf_span(&key), rule);
    buf_free(&key);
    return moved;
}

void rules_pump(struct qmgr *q)
{
    struct span dest;
    for (int i = 0; i < RULES_AT_ONCE && sched_next_to_rule(q->sched, &dest); i++)
        rules_place(q, dest, SPAN_NONE);
}
