/* What delivery_rules say of a route. */
#include "cli/route.h"

#include "cli/ctl.h"
#include "config/rules.h"
#include "config/show.h"

enum { TEXT_MAX = 64 << 10 };

uint32_t route_rule(const struct config *cfg, const struct story *s,
                    const struct story_question *q, const struct story_target *t)
{
    const json_t *plan = json_object_get(t->lookup, "plan");
    struct span dest = row_text(json_object_get(t->route, "dest"), "queue"), sender;
    struct span to = row_text(t->given, "address"), hop = config_rules_domain(dest);
    struct buf classes;
    if (!plan || !cfg->n_rules)
        return 0;
    sender = json_object_get(t->given, "sender") ? row_text(t->given, "sender")
                                                 : span_str(s->sender);
    buf_init(&classes, CONFIG_RULES_CLASSES_MAX);
    config_rules_classes(cfg, sender, q->listener ? span_str(q->listener) : SPAN_NONE,
                         span_from(to, span_rfind(to, '@') + 1), hop, &classes);
    uint32_t rule = config_rules_at(cfg, buf_span(&classes), hop, row_text(plan, "site"));
    buf_free(&classes);
    return rule;
}

const char *route_listener(const struct config *cfg, const struct story_question *q)
{
    if (q->listener)
        return q->listener;
    return !q->client ? "submit" : cfg->n_listens == 1 ? cfg->listens[0].name.p : NULL;
}

static bool any_of_listeners(const struct config *cfg)
{
    for (size_t i = 0; i < cfg->n_rules; i++)
        if (cfg->rules[i].listener.n)
            return true;
    return false;
}

static enum config_tls tls_of(const struct config *cfg, uint32_t rule)
{
    enum config_rule_tls own = rule ? cfg->rules[rule - 1].tls : CONFIG_RULE_TLS_SAME;
    return own == CONFIG_RULE_TLS_SAME ? cfg->deliver.tls
                                       : (enum config_tls)(own - CONFIG_RULE_TLS_OFF);
}

static const char *const tls_names[] = {
    [CONFIG_TLS_OFF] = "off",
    [CONFIG_TLS_OPTIONAL] = "optional",
    [CONFIG_TLS_REQUIRED] = "required",
};

void route_rule_show(struct buf *out, const char *indent, const struct config *cfg, uint32_t rule,
                     const struct story_question *q)
{
    static const char *const texts[] = {
        [CONFIG_TLS_OFF] = "none",
        [CONFIG_TLS_OPTIONAL] = "opportunistic: where the host offers STARTTLS",
        [CONFIG_TLS_REQUIRED] = "required",
    };
    enum config_tls tls = tls_of(cfg, rule);
    bool of_rule = rule && cfg->rules[rule - 1].tls != CONFIG_RULE_TLS_SAME;
    if (rule) {
        buf_putz(out, indent);
        config_show_rule(out, cfg, rule);
        buf_putc(out, '\n');
    }
    if (!q->listener && any_of_listeners(cfg))
        buf_printf(out, "%sdelivery_rules that name a listener are left out: --listener NAME\n",
                   indent);
    buf_printf(out, "%sTLS: %s (%s.tls = %s)\n", indent, texts[tls],
               of_rule ? "delivery_rule" : "deliver", tls_names[tls]);
}

void route_rule_json(json_t *row, const struct config *cfg, uint32_t rule)
{
    json_object_set_new(row, "tls", json_string(tls_names[tls_of(cfg, rule)]));
    if (!rule)
        return;
    struct buf b;
    buf_init(&b, TEXT_MAX);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    config_show_rule_json(&j, "rule", cfg, rule);
    json_close(&j);
    json_t *doc = json_loadb(buf_cstr(&b), b.len, 0, NULL);
    json_object_set(row, "rule", json_object_get(doc, "rule"));
    json_decref(doc);
    buf_free(&b);
}
