#include "config/cross.h"

#include "base/must.h"
#include "config/bind.h"
#include "config/rules.h"

struct cross {
    const struct config *cfg;
    struct config_report *report;
    const struct bind *bind;
};

static const struct config_setting *setting_of(const struct cross *x, const char *name,
                                               size_t listen)
{
    const struct config_option *o = config_option_named(span_str(name));
    MUST(o);
    return setting_find(x->cfg->settings, x->cfg->n_settings, o, listen);
}

static bool refused(const struct config_setting *s) { return s && s->bad; }

/* A rule about the options a and b: said where a is set, else where b is; not when one of them
 * was refused for itself. */
static void rule(const struct cross *x, bool kept, enum config_level level, const char *a,
                 const char *b, const char *text)
{
    const struct config_setting *sa = setting_of(x, a, 0), *sb = setting_of(x, b, 0);
    const struct config_setting *s = sa ? sa : sb;
    struct config_pos pos = { 0 };
    if (kept || refused(sa) || refused(sb))
        return;
    if (s)
        pos = (struct config_pos){ s->line, s->col };
    config_report_add(x->report, level, pos, NULL, "%s", text);
}

static void check_values(const struct cross *x)
{
    const struct config *c = x->cfg;
    const enum config_level error = CONFIG_ERROR;
    rule(x, c->tls.certificate.n == c->tls.key.n, error, "tls.certificate", "tls.key",
         "tls.certificate and tls.key must name the same number of files, in the same order");
    rule(x, c->retry.first_ms <= c->retry.max_ms, error, "retry.first", "retry.max",
         "retry.first must not be longer than retry.max");
    rule(x, c->retry.warn_after_ms < c->retry.expire_after_ms, error, "retry.warn_after",
         "retry.expire_after", "retry.warn_after must be shorter than retry.expire_after");
    rule(x, c->limits.connections_per_client <= c->limits.connections, error,
         "limits.connections_per_client", "limits.connections",
         "limits.connections_per_client must not be more than limits.connections");
    rule(x, c->deliver.concurrency_initial <= c->deliver.concurrency_max, error,
         "deliver.concurrency_initial", "deliver.concurrency_max",
         "deliver.concurrency_initial must not be more than deliver.concurrency_max");
    rule(x, c->processes.restart_first_ms <= c->processes.restart_max_ms, error,
         "processes.restart_first", "processes.restart_max",
         "processes.restart_first must not be longer than processes.restart_max");
    rule(x, c->log.file.n == 0 || !span_eq(c->log.file, c->log.events), error, "log.events",
         "log.file", "log.file and log.events must not be the same file");
    rule(x, c->dns.negative_ttl_max_ms <= c->dns.cache_ttl_max_ms, error, "dns.negative_ttl_max",
         "dns.cache_ttl_max", "dns.negative_ttl_max must not be longer than dns.cache_ttl_max");
}

static void check_relay(const struct cross *x)
{
    const struct config_cidrs *from = &x->cfg->relay.from;
    for (size_t i = 0; i < from->n; i++)
        if (from->v[i].bits == 0) {
            rule(x, false, CONFIG_NOTICE, "relay.from", "relay.from",
                 "relay.from has a network of all addresses: this is an open relay");
            return;
        }
}

static bool is_address(struct span hop)
{
    struct netaddr ignored;
    struct span bracketed = span_to(hop, span_find(hop, ']') + 1);
    if (!span_starts(hop, SPAN("[")))
        return netaddr_parse_ip(span_to(hop, span_find(hop, ':')), &ignored);
    return bracketed.n > 2 && (netaddr_parse_literal(bracketed, &ignored) ||
                               netaddr_parse_ip(span_of(hop.p + 1, bracketed.n - 2), &ignored));
}

static void check_alarm_relay(const struct cross *x)
{
    struct span relay = x->cfg->alarm.relay;
    rule(x, !relay.n || is_address(relay), CONFIG_NOTICE, "alarm.relay", "alarm.relay",
         "alarm.relay is a name: while the DNS is dead, mail about that goes through the queue");
}

static void check_source(const struct cross *x)
{
    const struct config_addrs *a = &x->cfg->deliver.source_address;
    rule(x, a->n < 2 || (a->n == 2 && a->v[0].family != a->v[1].family), CONFIG_ERROR,
         "deliver.source_address", "deliver.source_address",
         "deliver.source_address takes one address for IPv4 and one for IPv6");
}

static struct config_pos place_of(const struct cross *x, const char *option, size_t i)
{
    const struct config_setting *s = setting_of(x, option, i);
    return s ? (struct config_pos){ s->line, s->col } : (struct config_pos){ 0 };
}

static void listen_error(const struct cross *x, enum config_level level, size_t i,
                         const char *option, const char *text)
{
    config_report_add(x->report, level, place_of(x, option, i), NULL, "listener \"%.*s\" %s",
                      SHOWN(x->cfg->listens[i].name), text);
}

static bool has_address(const struct config_listen *l, const struct netaddr *a, size_t before)
{
    for (size_t i = 0; i < l->address.n && i < before; i++)
        if (netaddr_eq(&l->address.v[i], a))
            return true;
    return false;
}

/* An address that is listed before, in this listener or in an earlier one. */
static void check_address(const struct cross *x, size_t i, size_t at)
{
    const struct config_listen *all = x->cfg->listens;
    const struct netaddr *a = &all[i].address.v[at];
    struct buf b;
    for (size_t j = 0; j <= i; j++) {
        if (!has_address(&all[j], a, j == i ? at : all[j].address.n))
            continue;
        buf_init(&b, 512);
        buf_putz(&b, "has the address ");
        netaddr_put(&b, a);
        if (j == i)
            buf_putz(&b, " twice");
        else
            buf_printf(&b, ", which listener \"%.*s\" has too", SHOWN(all[j].name));
        listen_error(x, CONFIG_ERROR, i, "listen.address", buf_cstr(&b));
        buf_free(&b);
        return;
    }
}

static bool is_builtin(struct span name)
{
    static const char *const names[] = { CONFIG_CHECK_NAMES };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_eq(name, span_str(names[i])))
            return true;
    return false;
}

static void check_health_name(const struct cross *x, size_t i, struct span name)
{
    const char *names[CONFIG_ITEMS_MAX + 4] = { CONFIG_CHECK_NAMES };
    size_t n = 4;
    for (size_t k = 0; k < x->cfg->n_checks; k++, n++) {
        names[n] = x->cfg->checks[k].name.p;
        if (span_eq(x->cfg->checks[k].name, name))
            return;
    }
    if (!is_builtin(name))
        config_report_add(x->report, CONFIG_ERROR, place_of(x, "listen.refuse_when", i),
                          config_suggest_among(names, n, name),
                          "listener \"%.*s\" is to refuse when %.*s fails, but there is no such "
                          "check: there are next_hop, dns, disk, queue and sections check \"NAME\"",
                          SHOWN(x->cfg->listens[i].name), SHOWN(name));
}

/* Said at the option, or else at what it looks at, or where it begins. What was refused, or is no
 * option, may have been what is missed. */
static void check_error(const struct cross *x, size_t i, const char *option, const char *text)
{
    const char *const others[] = { option, "check.connect", "check.lookup" };
    struct config_pos pos = { 0 };
    for (size_t k = 0; k < 3 && !pos.line; k++)
        pos = place_of(x, others[k], i);
    if (!pos.line)
        pos = x->bind->item_pos[CONFIG_OF_CHECK][i];
    if (!x->bind->mistyped[CONFIG_OF_CHECK][i] && !refused(setting_of(x, "check.connect", i)) &&
        !refused(setting_of(x, "check.lookup", i)))
        config_report_add(x->report, CONFIG_ERROR, pos, NULL, "check \"%.*s\" %s",
                          SHOWN(x->cfg->checks[i].name), text);
}

static void check_checks(const struct cross *x)
{
    const struct config *c = x->cfg;
    for (size_t i = 0; i < c->n_checks; i++) {
        const struct config_check *k = &c->checks[i];
        if (is_builtin(k->name))
            check_error(x, i, "check.connect", "has the name of a check that is always there");
        if (!k->connect.n && !k->lookup.n)
            check_error(x, i, "check.every", "looks at nothing: give it connect, or lookup");
        if (k->connect.n && k->lookup.n)
            check_error(x, i, "check.lookup", "has connect and lookup: make two of it");
        if (k->expect.n && !k->connect.n)
            check_error(x, i, "check.expect", "expects a text, but connects to nothing");
        if (k->server.n && !k->lookup.n)
            check_error(x, i, "check.server", "has a name server, but looks up nothing");
    }
    rule(x, !c->n_checks || c->alarm.interval_ms, CONFIG_NOTICE, "alarm.interval",
         "alarm.interval", "with alarm.interval 0 nothing is looked at, sections check neither");
}

/* A check that nobody makes never fails: the listener would go on whatever happens. */
static void check_refusal(const struct cross *x, size_t i)
{
    const struct config_alarm *a = &x->cfg->alarm;
    const struct config_texts *names = &x->cfg->listens[i].refuse_when;
    const char *option = "listen.refuse_when";
    if (names->n && !a->interval_ms)
        listen_error(x, CONFIG_ERROR, i, option,
                     "has refuse_when, but with alarm.interval 0 nothing is checked");
    for (size_t k = 0; k < names->n; k++) {
        check_health_name(x, i, names->v[k]);
        if (span_eq(names->v[k], SPAN("next_hop")) && !a->next_hop.n)
            listen_error(x, CONFIG_ERROR, i, option,
                         "is to refuse when next_hop fails, but alarm.next_hop names none");
        if (span_eq(names->v[k], SPAN("dns")) && !a->dns)
            listen_error(x, CONFIG_ERROR, i, option,
                         "is to refuse when dns fails, but alarm.dns is off");
        if (span_eq(names->v[k], SPAN("disk")) && !a->disk_free_bytes && !a->inodes_free)
            listen_error(x, CONFIG_ERROR, i, option,
                         "is to refuse when disk fails, but alarm.disk_free is 0");
    }
}

static void check_listeners(const struct cross *x)
{
    const struct config *c = x->cfg;
    for (size_t i = 0; i < c->n_listens; i++) {
        for (size_t at = 0; at < c->listens[i].address.n; at++)
            check_address(x, i, at);
        check_refusal(x, i);
        bool set = setting_of(x, "listen.tls", i) != NULL;
        if (!set || c->tls.certificate.n || refused(setting_of(x, "tls.certificate", 0)))
            continue;
        if (c->listens[i].tls == CONFIG_TLS_REQUIRED)
            listen_error(x, CONFIG_ERROR, i, "listen.tls",
                         "requires TLS, but tls.certificate is not set");
        else if (c->listens[i].tls == CONFIG_TLS_OPTIONAL)
            listen_error(x, CONFIG_NOTICE, i, "listen.tls",
                         "offers no STARTTLS, since tls.certificate is not set");
    }
    if (c->n_listens == 0)
        config_report_add(x->report, CONFIG_NOTICE, (struct config_pos){ 0 }, NULL,
                          "there is no listen section: no mail comes in by SMTP");
}

/* Anything of it was refused, or is no option: that may have been what is missed. */
static bool rule_in_doubt(const struct cross *x, size_t rule)
{
    size_t n;
    const struct config_option *all = config_options(&n);
    bool doubt = x->bind->mistyped[CONFIG_OF_RULE][rule];
    for (size_t i = 0; i < n && !doubt; i++)
        doubt = config_section_of(all[i].section) == CONFIG_OF_RULE &&
                refused(setting_find(x->cfg->settings, x->cfg->n_settings, &all[i], rule));
    return doubt;
}

/* Said where the option is set, or where the rule begins. */
static void say_rule(void *arg, enum config_level level, size_t rule, const char *option,
                     const char *text)
{
    const struct cross *x = arg;
    const struct config_option *o = config_option_find(SPAN("delivery_rule"), span_str(option));
    const struct config_setting *s =
        o ? setting_find(x->cfg->settings, x->cfg->n_settings, o, rule) : NULL;
    if (!o && rule_in_doubt(x, rule))
        return;
    struct config_pos pos = x->bind->item_pos[CONFIG_OF_RULE][rule];
    if (s)
        pos = (struct config_pos){ s->line, s->col };
    config_report_add(x->report, level, pos, NULL, "delivery_rule \"%.*s\" %s",
                      SHOWN(x->cfg->rules[rule].name), text);
}

void cross_check(const struct bind *b)
{
    struct cross x = { b->cfg, b->report, b };
    check_values(&x);
    check_relay(&x);
    check_source(&x);
    check_alarm_relay(&x);
    check_listeners(&x);
    check_checks(&x);
    config_rules_check(b->cfg, say_rule, &x);
}
