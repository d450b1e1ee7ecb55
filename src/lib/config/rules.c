#include "config/rules.h"

#include "base/must.h"
#include "base/num.h"
#include "config/check.h"

static const char lane[] = " by:";

/* --- one name against one of a rule's --- */

/* "*" is any number of characters; no other sign is special. */
bool config_glob(struct span pattern, struct span text)
{
    size_t p = 0, t = 0, star = pattern.n, back = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            back = t;
        } else if (p < pattern.n && ascii_lower(pattern.p[p]) == ascii_lower(text.p[t])) {
            p++;
            t++;
        } else if (star < pattern.n) {
            p = star + 1;
            t = ++back;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* "example.net", or ".example.net" for all below it. */
static bool domain_matches(struct span wanted, struct span domain)
{
    if (wanted.n && wanted.p[0] == '.')
        return domain.n > wanted.n && span_ieq(span_from(domain, domain.n - wanted.n), wanted);
    return span_ieq(wanted, domain);
}

/* "ann@example.net", "@example.net", "@.example.net", "<>" for reports. */
static bool sender_matches(struct span wanted, struct span sender)
{
    if (span_eq(wanted, SPAN("<>")))
        return sender.n == 0;
    size_t at = span_rfind(sender, '@');
    if (at == sender.n)
        return false;
    if (wanted.p[0] == '@')
        return domain_matches(span_from(wanted, 1), span_from(sender, at + 1));
    return span_ieq(wanted, sender);
}

/* The host names in a site's key, one after the other. */
static bool next_name(struct span *rest, struct span *name_r)
{
    while (rest->n && strchr(",:[]", rest->p[0]))
        *rest = span_from(*rest, 1);
    size_t n = 0;
    while (n < rest->n && !strchr(",:[]", rest->p[n]))
        n++;
    *name_r = span_to(*rest, n);
    *rest = span_from(*rest, n);
    return n > 0;
}

static bool mx_matches(struct span pattern, struct span site)
{
    struct span rest = span_from(site, span_find(site, ':')), name;
    while (next_name(&rest, &name))
        if (config_glob(pattern, name))
            return true;
    return false;
}

static bool any(const struct config_texts *l, bool (*matches)(struct span, struct span),
                struct span text)
{
    for (size_t i = 0; i < l->n; i++)
        if (matches(l->v[i], text))
            return true;
    return l->n == 0;
}

/* --- rules --- */

static bool by_message(const struct config_rule *r) { return r->sender.n || r->listener.n; }
static bool by_site(const struct config_rule *r) { return r->site.n || r->mx.n; }

void config_rules_classes(const struct config *cfg, struct span sender, struct span listener,
                          struct span domain, struct span hop, struct buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < cfg->n_rules; i++) {
        const struct config_rule *r = &cfg->rules[i];
        bool by_hop = any(&r->domain, domain_matches, hop);
        if (!by_hop && !any(&r->domain, domain_matches, domain))
            continue;
        if (by_message(r) || !by_hop) {
            if (!any(&r->sender, sender_matches, sender) || !any(&r->listener, span_eq, listener))
                continue;
            buf_printf(out, "%s%.*s", out->len > before ? "," : "", SPAN_ARG(r->name));
        }
        if (!by_site(r))
            return; /* it holds wherever this goes */
    }
}

static bool listed(struct span classes, struct span name)
{
    while (classes.n) {
        size_t comma = span_find(classes, ',');
        if (span_eq(span_to(classes, comma), name))
            return true;
        classes = span_from(classes, comma < classes.n ? comma + 1 : comma);
    }
    return false;
}

uint32_t config_rules_at(const struct config *cfg, struct span classes, struct span hop,
                         struct span site)
{
    for (size_t i = 0; i < cfg->n_rules; i++) {
        const struct config_rule *r = &cfg->rules[i];
        bool holds = listed(classes, r->name) ||
                     (!by_message(r) && any(&r->domain, domain_matches, hop));
        if (holds && any(&r->site, config_glob, site) && any(&r->mx, mx_matches, site))
            return (uint32_t)i + 1;
    }
    return 0;
}

void config_rules_put_site(const struct config *cfg, uint32_t rule, struct span site,
                           struct buf *out)
{
    buf_puts(out, site);
    if (!rule || rule > cfg->n_rules || !site.n)
        return;
    const struct config_rule *r = &cfg->rules[rule - 1];
    if (r->domain.n || by_message(r))
        buf_printf(out, "%s%.*s", lane, SPAN_ARG(r->name));
}

struct span config_rules_plain_site(struct span key)
{
    for (size_t i = 0; i + sizeof lane - 1 <= key.n; i++)
        if (span_starts(span_from(key, i), span_str(lane)))
            return span_to(key, i);
    return key;
}

struct span config_rules_classes_in(struct span dest)
{
    struct span rest = span_from(dest, config_rules_plain_site(dest).n);
    if (!rest.n)
        return rest;
    rest = span_from(rest, sizeof lane - 1);
    return span_to(rest, span_find(rest, ' '));
}

/* "host:[a.example]:25" and "mx:a.example" name a host, "host:[192.0.2.1]" an address. */
struct span config_rules_domain(struct span dest)
{
    size_t colon = span_find(dest, ':');
    struct span rest = span_from(dest, colon < dest.n ? colon + 1 : colon);
    if (rest.n && rest.p[0] == '[') {
        size_t end = span_find(rest, ']');
        struct span inside = span_to(span_from(rest, 1), end - 1);
        struct netaddr a;
        struct span literal = span_to(rest, end < rest.n ? end + 1 : end);
        return netaddr_parse_literal(literal, &a) || span_find(inside, ':') < inside.n ? literal
                                                                                       : inside;
    }
    size_t n = 0;
    while (n < rest.n && rest.p[n] != ':' && rest.p[n] != ' ')
        n++;
    return span_to(rest, n);
}

/* --- values --- */

bool config_rate_parse(struct span text, uint32_t *count_r, int64_t *per_ms_r)
{
    size_t slash = span_find(text, '/');
    uint64_t count;
    if (slash + 2 != text.n || !num_u64(span_to(text, slash), &count) || !count ||
        count > 1000000)
        return false;
    char unit = text.p[slash + 1];
    *count_r = (uint32_t)count;
    *per_ms_r = unit == 's' ? 1000 : unit == 'm' ? 60000 : 3600000;
    return unit == 's' || unit == 'm' || unit == 'h';
}

static bool bad(struct err *e, const char *text)
{
    err_set(e, "%s", text);
    return false;
}

bool check_rate(struct span s, struct err *e)
{
    uint32_t count;
    int64_t per_ms;
    size_t digits = 0;
    while (digits < s.n && ascii_isdigit(s.p[digits]))
        digits++;
    if (s.n == 0 || config_rate_parse(s, &count, &per_ms))
        return true;
    if (digits > 6)
        return bad(e, "must not be more than 1000000 in a second, minute or hour");
    return bad(e, "must be a rate like \"10/s\", \"100/m\" or \"500/h\"");
}

bool check_delay(struct span s, struct err *e)
{
    int64_t ms;
    return (num_duration_ms(s, &ms) && ms >= 1000 && ms <= (int64_t)86400000 * 7) ||
           bad(e, "must be durations from \"1s\" to \"7d\"");
}

bool check_pattern(struct span s, struct err *e)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 127)
            return bad(e, "must be host names in which * may stand for anything");
    if (s.n && s.p[s.n - 1] == '.')
        return bad(e, "must be host names without a dot at the end: none would match");
    return s.n > 0 || bad(e, "must not be empty");
}

bool check_rule_sender(struct span s, struct err *e)
{
    if (span_eq(s, SPAN("<>")))
        return true;
    if (span_find(s, '*') < s.n) /* one that is meant as itself is not worth a rule */
        return bad(e, "must be addresses, of which * is no part: \"@example.net\" is all of a "
                      "domain, \"@.example.net\" all below it");
    if (s.n > 1 && s.p[0] == '@')
        return check_domain(span_from(s, 1), e);
    size_t at = span_rfind(s, '@');
    return (at > 0 && at + 1 < s.n && s.n <= 320) ||
           bad(e, "must be addresses: \"ann@example.net\", \"@example.net\", \"@.example.net\", "
                  "\"<>\"");
}
