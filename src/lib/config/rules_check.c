/* What is wrong with the rules as a whole, and what of them can never hold. */
#include "config/rules.h"

#include "base/must.h"
#include "base/num.h"
#include "config/table.h"
#include "config/value.h"

#include <string.h>

struct check {
    const struct config *cfg;
    config_rules_say_fn *say;
    void *arg;
};

static void say(const struct check *c, enum config_level level, size_t rule, const char *option,
                const char *text)
{
    c->say(c->arg, level, rule, option, text);
}

/* --- which one hides which --- */

static bool domain_covers(struct span a, struct span b)
{
    if (span_ieq(a, b))
        return true;
    return a.n && a.p[0] == '.' && b.n > a.n && span_ieq(span_from(b, b.n - a.n), a);
}

static bool sender_covers(struct span a, struct span b)
{
    size_t at = span_rfind(b, '@');
    if (span_ieq(a, b))
        return true;
    return a.n && a.p[0] == '@' && at < b.n &&
           domain_covers(span_from(a, 1), span_from(b, at + 1));
}

static bool covers(const struct config_texts *a, const struct config_texts *b,
                   bool (*item)(struct span, struct span))
{
    for (size_t k = 0; k < b->n && a->n; k++) {
        bool any = false;
        for (size_t i = 0; i < a->n && !any; i++)
            any = item(a->v[i], b->v[k]);
        if (!any)
            return false;
    }
    return a->n == 0 || b->n > 0;
}

static bool names_any(const struct config_rule *r)
{
    return r->site.n || r->mx.n || r->domain.n || r->sender.n || r->listener.n;
}

static bool hides(const struct config_rule *a, const struct config_rule *b)
{
    return names_any(a) && names_any(b) && covers(&a->site, &b->site, config_glob) &&
           covers(&a->mx, &b->mx, config_glob) && covers(&a->domain, &b->domain, domain_covers) &&
           covers(&a->sender, &b->sender, sender_covers) &&
           covers(&a->listener, &b->listener, span_eq);
}

static const struct config_texts *names_of(const struct config_rule *r, size_t which,
                                           const char **option_r)
{
    const struct config_texts *all[] = { &r->site, &r->mx, &r->domain, &r->sender, &r->listener };
    static const char *const options[] = { "site", "mx", "domain", "sender", "listener" };
    *option_r = options[which];
    return all[which];
}

/* One name of many is hidden: as a rule with this name alone would be. */
static void check_names(const struct check *c, size_t i, size_t j)
{
    const struct config_rule *a = &c->cfg->rules[i];
    struct buf b;
    for (size_t which = 0; which < 5; which++) {
        struct config_rule one = c->cfg->rules[j];
        const char *option;
        struct config_texts *list = (struct config_texts *)names_of(&one, which, &option);
        struct config_texts many = *list;
        for (size_t k = 0; k < many.n && many.n > 1; k++) {
            *list = (struct config_texts){ many.v + k, 1 };
            if (!hides(a, &one))
                continue;
            buf_init(&b, 1024);
            buf_printf(&b, "names %s \"%.*s\" in vain: delivery_rule \"%.*s\" comes first", option,
                       SHOWN(many.v[k]), SPAN_ARG(a->name));
            say(c, CONFIG_NOTICE, j, option, buf_cstr(&b));
            buf_free(&b);
        }
    }
}

static void check_hidden(const struct check *c, size_t j)
{
    for (size_t i = 0; i < j; i++) {
        const struct config_rule *a = &c->cfg->rules[i];
        if (!hides(a, &c->cfg->rules[j])) {
            check_names(c, i, j);
            continue;
        }
        struct buf b;
        buf_init(&b, 1024);
        buf_printf(&b, "never holds: delivery_rule \"%.*s\" comes first and takes all of its mail",
                   SPAN_ARG(a->name));
        say(c, CONFIG_NOTICE, j, "name", buf_cstr(&b));
        buf_free(&b);
        return;
    }
}

/* --- each by itself --- */

static void check_listeners(const struct check *c, size_t i)
{
    const struct config_texts *l = &c->cfg->rules[i].listener;
    for (size_t k = 0; k < l->n; k++) {
        bool known = span_eq(l->v[k], SPAN("submit"));
        for (size_t n = 0; n < c->cfg->n_listens && !known; n++)
            known = span_eq(l->v[k], c->cfg->listens[n].name);
        if (known)
            continue;
        struct buf b;
        const char *meant = config_suggest_listener(c->cfg, l->v[k]);
        buf_init(&b, 512);
        buf_printf(&b, "names the listener \"%.*s\", which does not exist", SHOWN(l->v[k]));
        if (meant)
            buf_printf(&b, "; did you mean \"%s\"?", meant);
        say(c, CONFIG_ERROR, i, "listener", buf_cstr(&b));
        buf_free(&b);
    }
}

/* Patterns that no site and no MX host can match. */
static void check_patterns(const struct check *c, size_t i)
{
    static const char *const kinds[] = { "mx:", "host:", "list:" };
    const struct config_rule *r = &c->cfg->rules[i];
    for (size_t k = 0; k < r->site.n; k++) {
        struct span s = r->site.v[k];
        bool could = s.p[0] == '*';
        for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++)
            could = could || span_starts(s, span_str(kinds[n]));
        if (!could)
            say(c, CONFIG_NOTICE, i, "site",
                "has a site that is none: they are named as `postern queue sites` shows them, "
                "\"mx:mx1.example.net,mx2.example.net\", and \"*\" stands for anything");
    }
    for (size_t k = 0; k < r->mx.n; k++)
        if (memchr(r->mx.v[k].p, '[', r->mx.v[k].n))
            say(c, CONFIG_NOTICE, i, "mx",
                "has an mx in brackets: it names hosts, and addresses without brackets");
}

static void check_curve(const struct check *c, size_t i)
{
    const struct config_rule *r = &c->cfg->rules[i];
    int64_t first_ms = r->retry_first_ms ? r->retry_first_ms : c->cfg->retry.first_ms;
    if (r->retry.n)
        num_duration_ms(r->retry.v[0], &first_ms);
    if (r->expire_after_ms && first_ms >= r->expire_after_ms)
        say(c, CONFIG_NOTICE, i, "expire_after", "gives mail up before its first retry");
    if (r->expire_after_ms && r->warn_after_ms >= r->expire_after_ms)
        say(c, CONFIG_NOTICE, i, "warn_after", "warns of a delay only when mail is given up");
}

static void check_one(const struct check *c, size_t i)
{
    const struct config *cfg = c->cfg;
    const struct config_rule *r = &cfg->rules[i];
    const struct config_addrs *a = &r->source_address;
    uint64_t max = r->concurrency_max ? r->concurrency_max : cfg->deliver.concurrency_max;
    if (!names_any(r))
        say(c, CONFIG_ERROR, i, "name",
            "names neither site, mx, domain, sender nor listener: what holds for all mail belongs "
            "in the sections deliver and retry");
    if (r->concurrency_initial > max)
        say(c, CONFIG_ERROR, i, "concurrency_initial",
            "has more concurrency_initial than concurrency_max");
    if (r->retry.n && (r->retry_first_ms || r->retry_max_ms))
        say(c, CONFIG_ERROR, i, "retry", "takes retry, or retry_first and retry_max, not both");
    if (r->retry.n > CONFIG_RULE_RETRIES_MAX)
        say(c, CONFIG_ERROR, i, "retry", "has more than 16 times in retry");
    int64_t first_ms = r->retry_first_ms ? r->retry_first_ms : cfg->retry.first_ms;
    int64_t max_ms = r->retry_max_ms ? r->retry_max_ms : cfg->retry.max_ms;
    if ((r->retry_first_ms || r->retry_max_ms) && first_ms > max_ms)
        say(c, CONFIG_ERROR, i, r->retry_first_ms ? "retry_first" : "retry_max",
            "has a longer retry_first than retry_max");
    if (a->n > 2 || (a->n == 2 && a->v[0].family == a->v[1].family))
        say(c, CONFIG_ERROR, i, "source_address",
            "takes one source_address for IPv4 and one for IPv6");
    if (r->concurrency_max > cfg->deliver.connections)
        say(c, CONFIG_NOTICE, i, "concurrency_max",
            "has more concurrency_max than deliver.connections, which all sites share");
    for (size_t k = 0; k < i; k++)
        if (span_ieq(r->name, cfg->rules[k].name) && !span_eq(r->name, cfg->rules[k].name))
            say(c, CONFIG_NOTICE, i, "name", "has the name of another, but for case");
    check_listeners(c, i);
    check_patterns(c, i);
    check_curve(c, i);
}

void config_rules_check(const struct config *cfg, config_rules_say_fn *say_fn, void *arg)
{
    struct check c = { cfg, say_fn, arg };
    for (size_t i = 0; i < cfg->n_rules; i++) {
        check_one(&c, i);
        check_hidden(&c, i);
    }
}
