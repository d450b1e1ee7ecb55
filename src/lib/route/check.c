/* What no load refuses but somebody should know. A rule that never applies looks like one that
 * does: the posts that led here lost days to such rules. */
#include "route/access.h"
#include "route/expand.h"

#include <stdio.h>

struct check {
    const struct route_tables *t;
    struct map_report *r;
    enum route_table which;
    struct arena *arena;
    char catch_all[4200]; /* FILE:LINE of the mailertable's "." */
};

static void __attribute__((format(printf, 3, 4)))
remark(struct check *c, uint32_t line, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    map_report_warning(c->r, map_source(c->t->map[c->which]), line, "%s", text);
}

static void each(struct check *c, enum route_table which,
                 bool (*fn)(void *, struct span, const struct map_hit *))
{
    c->which = which;
    if (c->t->map[which])
        map_each(c->t->map[which], fn, c);
}

static bool is_pattern(struct span key) { return key.p[0] == '/'; }

/* --- mailertable and smarttable --- */

/* A rule whose next hop is a listener of ours that delivers at once. */
static void check_own(struct check *c, struct span key, const struct map_hit *hit,
                      const struct route_dest *d)
{
    const struct config_listen *own = route_own_listener(c->t, d);
    if (own && own->delivery == CONFIG_DELIVER)
        remark(c, hit->line, "\"%.*s\" has no effect: its next hop is our own listener \"%.*s\", "
             "which delivers at once", SPAN_ARG(key), SPAN_ARG(own->name));
}

static bool check_mailertable(void *ctx, struct span key, const struct map_hit *hit)
{
    struct check *c = ctx;
    struct route_address a = { .kind = ROUTE_ADDR_DOMAIN };
    struct route_dest d;
    struct err e;
    struct span entry;
    struct map_hit other;
    char at[MAP_KEY_MAX + 1] = "@";
    if (span_eq(key, SPAN("."))) {
        snprintf(c->catch_all, sizeof c->catch_all, "%.*s:%u",
                 SPAN_ARG(map_source(c->t->map[c->which])), hit->line);
        if (c->t->has_smart_host)
            remark(c, hit->line, "\".\" hides route.smart_host: no mail gets as far");
        if (c->t->map[ROUTE_SMARTTABLE])
            remark(c, hit->line, "\".\" hides the whole smarttable, which is asked after the "
                 "mailertable; write route.smart_host instead of \".\"");
    } else if (!is_pattern(key) && dns_name_from(span_from(key, key.p[0] == '.'), &a.name) == 0) {
        if (key.p[0] != '.' && route_names_has(c->t->local, &a, &entry))
            remark(c, hit->line, "\"%.*s\" is hidden by route.local (\"%.*s\"): mail for it is "
                 "delivered here", SPAN_ARG(key), SPAN_ARG(entry));
        memcpy(at + 1, a.name.s, a.name.n);
        if (key.p[0] != '.' && route_is_virtual(c->t, &a) &&
            map_lookup(c->t->map[ROUTE_VIRTUSERTABLE], span_of(at, a.name.n + 1u), &other) == 1)
            remark(c, hit->line, "\"%.*s\" is hidden by the virtusertable (line %u): every address "
                 "of it becomes another", SPAN_ARG(key), other.line);
    }
    arena_reset(c->arena);
    if (route_value(hit->value, SPAN("x"), c->arena, &d, &e))
        check_own(c, key, hit, &d);
    return true;
}

static bool check_smarttable(void *ctx, struct span key, const struct map_hit *hit)
{
    struct check *c = ctx;
    struct route_dest d;
    struct err e;
    if (c->catch_all[0])
        remark(c, hit->line, "\"%.*s\" is hidden by the mailertable's \".\" (%s)", SPAN_ARG(key),
             c->catch_all);
    arena_reset(c->arena);
    if (route_value_or_hops(hit->value, c->arena, &d, &e))
        check_own(c, key, hit, &d);
    return true;
}

/* --- access --- */

static bool all_of(struct span s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(set, s.p[i], strlen(set)))
            return false;
    return s.n > 0;
}

static const char *never(struct span key, enum route_access_tag tag)
{
    if (span_find(key, '*') < key.n)
        return "there are no wildcards: a domain means those below it too";
    if (key.p[0] == '.')
        return "leave out the dot in front: a domain means those below it too";
    if (key.p[0] == '[')
        return "write an address without brackets";
    if (key.n > 1 && key.p[key.n - 1] == '.')
        return "leave out the dot at the end";
    if (all_of(key, "0123456789./") && span_find(key, '/') < key.n)
        return "write a network as its first numbers (192.0.2), or use a cidr: map";
    if (tag == ROUTE_TAG_CONNECT && span_find(key, '@') < key.n)
        return "Connect: is asked for host names and IP addresses";
    return NULL;
}

static bool check_access(void *ctx, struct span whole, const struct map_hit *hit)
{
    static const char *const others[] = {
        "greetpause:", "clientrate:", "clientconn:", "qgrp:", "spam:", "tls_", "srv_features:",
        "clt_features:", "try_tls:", "authinfo:", "cert",
    };
    struct check *c = ctx;
    struct span key = whole;
    const char *kind = map_type(c->t->map[ROUTE_ACCESS]);
    enum route_access_tag tag = route_access_tag(&key);
    if (strcmp(kind, "cidr") == 0 || strcmp(kind, "regex") == 0)
        return true;
    if (tag == ROUTE_TAG_OTHER) {
        bool known = false;
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            known = known || span_istarts(whole, span_str(others[i]));
        remark(c, hit->line, known ? "\"%.*s\" is not obeyed: there are Connect: From: and To:"
                                 : "\"%.*s\" never matches: no such tag; there are Connect: From: "
                                   "and To:", SPAN_ARG(whole));
        return true;
    }
    const char *why = never(key, tag);
    if (why)
        remark(c, hit->line, "\"%.*s\" never matches: %s", SPAN_ARG(whole), why);
    return true;
}

/* --- aliases and lists of recipients --- */

static bool check_alias(void *ctx, struct span key, const struct map_hit *hit)
{
    struct check *c = ctx;
    struct route_accept out = { 0 };
    arena_reset(c->arena);
    if (span_ends(key, SPAN("+*")))
        return true;
    if (!route_expand(c->t, SPAN("x@x"), key, c->arena, NULL, &out))
        remark(c, hit->line, "\"%.*s\": mail for it is refused: %u %.*s", SPAN_ARG(key),
             out.reply.reply, SPAN_ARG(out.reply.text));
    for (size_t i = 0; i < out.target_count; i++) {
        struct route_ask ask = { .rcpt = out.targets[i].addr, .rcpt_flags = out.targets[i].flags,
                                 .canon_known = true };
        struct route_dest d;
        route_find(c->t, &ask, c->arena, NULL, &d);
        if (d.mailer == ROUTE_LOCAL && route_user_exists(c->t, d.user, NULL) == 0)
            remark(c, hit->line, "\"%.*s\" leads to \"%.*s\", who has no mailbox here",
                 SPAN_ARG(key), SPAN_ARG(d.user));
    }
    return true;
}

static bool domain_of(struct span key, struct route_address *a)
{
    size_t at = span_rfind(key, '@');
    *a = (struct route_address){ .kind = ROUTE_ADDR_DOMAIN };
    return !is_pattern(key) && at < key.n &&
           dns_name_from(span_from(key, at + 1), &a->name) == DNS_NAME_OK;
}

static bool check_recipient(void *ctx, struct span key, const struct map_hit *hit)
{
    struct check *c = ctx;
    struct route_address a;
    struct span entry;
    if (domain_of(key, &a) && !route_names_has(c->t->relay_domains, &a, &entry))
        remark(c, hit->line, "\"%.*s\" is never asked: its domain is not in relay.domains",
             SPAN_ARG(key));
    return true;
}

static bool check_generic(void *ctx, struct span key, const struct map_hit *hit)
{
    struct check *c = ctx;
    struct route_address a;
    struct span entry;
    if (domain_of(key, &a) && !route_names_has(c->t->local, &a, &entry) &&
        !route_names_has(c->t->generics_domains, &a, &entry))
        remark(c, hit->line, "\"%.*s\" is never asked: its domain is neither local nor in "
             "route.generics_domains", SPAN_ARG(key));
    return true;
}

void route_check(const struct route_tables *t, struct map_report *r)
{
    struct check c = { .t = t, .r = r, .arena = arena_new((size_t)64 << 20) };
    each(&c, ROUTE_MAILERTABLE, check_mailertable);
    each(&c, ROUTE_SMARTTABLE, check_smarttable);
    each(&c, ROUTE_ACCESS, check_access);
    each(&c, ROUTE_ALIASES, check_alias);
    each(&c, ROUTE_RECIPIENTS, check_recipient);
    each(&c, ROUTE_GENERICSTABLE, check_generic);
    arena_free(&c.arena);
}

/* --- for `config check` --- */

struct teller {
    const struct config *cfg;
    struct config_report *report;
};

/* Where the option stands that names this file. */
static struct config_pos option_of(const struct config *cfg, struct span source)
{
    const struct {
        const char *name;
        struct span spec;
    } options[] = {
        { "route.mailertable", cfg->route.mailertable }, { "route.access", cfg->route.access },
        { "route.virtusertable", cfg->route.virtusertable },
        { "route.aliases", cfg->route.aliases }, { "route.smarttable", cfg->route.smarttable },
        { "route.genericstable", cfg->route.genericstable },
        { "relay.recipients", cfg->relay.recipients },
        { "route.local_users", cfg->route.local_users },
    };
    struct config_pos pos = { 0 };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if ((options[i].spec.n && source.n && span_ends(options[i].spec, source)) ||
            span_eq(source, span_str(options[i].name)))
            config_place(cfg, options[i].name, SPAN_NONE, &pos.line, &pos.col);
    return pos;
}

static void tell(void *ctx, struct span source, uint32_t line, bool warning, struct span text)
{
    struct teller *teller = ctx;
    struct config_pos pos = option_of(teller->cfg, source);
    char place[32] = "";
    if (line)
        snprintf(place, sizeof place, ":%u", line);
    config_report_add(teller->report, warning ? CONFIG_NOTICE : CONFIG_ERROR,
                      pos, NULL, "%.*s%s: %.*s", SPAN_ARG(source), place, SPAN_ARG(text));
}

/* cron writes to root, the postmaster is often his alias, and nothing is delivered as root. */
static void check_root(const struct route_tables *t, const struct config *cfg,
                       struct config_report *report)
{
    struct map_hit hit;
    struct config_pos pos = { 0 };
    if (cfg->local.root_user.n ||
        (t->map[ROUTE_ALIASES] && route_look(t, ROUTE_ALIASES, SPAN("root"), NULL, &hit) != 0))
        return;
    config_place(cfg, "route.aliases", SPAN_NONE, &pos.line, &pos.col);
    config_report_add(report, CONFIG_NOTICE, pos, NULL,
                      "root has no alias and local.root_user is empty: mail for root waits");
}

void route_check_files(const struct config *cfg, struct config_report *report)
{
    struct teller teller = { cfg, report };
    struct map_report r;
    map_report_init(&r);
    r.say = tell;
    r.say_ctx = &teller;
    struct route_tables *t = route_load(cfg, 0, NULL, &r);
    if (t) {
        route_check(t, &r);
        check_root(t, cfg, report);
    }
    route_tables_free(&t);
    map_report_free(&r);
}
