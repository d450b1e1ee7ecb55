/* delivery_rule: what it says of a connection, as soon as it is known where that goes. */
#include "deliver/inside.h"

#include "config/rules.h"

void rule_none(struct job *j)
{
    const struct config_deliver *c = &j->d->config->deliver;
    j->tls_mode = c->tls;
    j->messages_max = c->messages_per_connection;
    j->source[0] = j->source[1] = (struct netaddr){ .family = NETADDR_NONE };
    for (size_t i = 0; i < c->source_address.n && i < 2; i++)
        j->source[i] = c->source_address.v[i];
}

static void take_source(struct job *j, const struct config_addrs *a)
{
    for (size_t i = 0; i < a->n; i++) {
        size_t at = 0;
        while (at < 2 && j->source[at].family != NETADDR_NONE &&
               j->source[at].family != a->v[i].family)
            at++;
        if (at < 2)
            j->source[at] = a->v[i];
    }
}

/* The plan has come: its site, by which qmgr counts too, tells the rule's mail from other mail. */
bool rule_take(struct job *j)
{
    const struct config *cfg = j->d->config;
    rule_none(j);
    uint32_t n = config_rules_at(cfg, j->classes, config_rules_domain(j->dest.queue), j->plan.site);
    if (!n)
        return true;
    const struct config_rule *r = &cfg->rules[n - 1];
    if (r->tls != CONFIG_RULE_TLS_SAME)
        j->tls_mode = (enum config_tls)(r->tls - CONFIG_RULE_TLS_OFF);
    if (r->messages_per_connection)
        j->messages_max = r->messages_per_connection;
    take_source(j, &r->source_address);
    struct buf key;
    buf_init(&key, 4096);
    config_rules_put_site(cfg, n, j->plan.site, &key);
    j->plan.site = arena_dup(j->arena, buf_span(&key));
    buf_free(&key);
    return j->plan.site.p != NULL;
}
