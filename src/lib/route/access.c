#include "route/access.h"

#include "base/num.h"
#include "route/impl.h"
#include "route/value.h"

#include <stdio.h>

enum { KEY_MAX = MAP_KEY_MAX };

static const char *const tags[ROUTE_TAGS] = { "Connect:", "From:", "To:" };

/* --- entries --- */

static bool is_reply(struct span s)
{
    uint64_t v;
    return s.n >= 3 && (s.n == 3 || s.p[3] == ' ' || s.p[3] == '\t') &&
           num_upto(span_to(s, 3), 599, &v) && v >= 400;
}

/* "550 text" and "550 5.7.1 text"; without a code of its own it is a matter of policy. */
static bool plain_reply(struct span s, struct route_access *r, struct err *e)
{
    struct route_dest d = { 0 };
    struct span rest = span_trim(span_from(s, 3)), first = rest, code = span_word(&first);
    r->kind = ROUTE_ACCESS_ERROR;
    if (!route_value_error(s, &d, e))
        return false;
    r->reply = d.reply;
    r->code = d.reply < 500 ? SPAN("4.7.1") : SPAN("5.7.1");
    r->text = d.text;
    if (route_is_enhanced(code) && code.p[0] == s.p[0]) {
        r->code = code;
        r->text = first.n ? span_trim(first) : d.text;
    }
    return true;
}

static bool error_value(struct span s, struct route_access *r, struct err *e)
{
    struct route_dest d = { 0 };
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        s = span_from(span_to(s, s.n - 1), 1);
    if (is_reply(s))
        return plain_reply(s, r, e);
    r->kind = ROUTE_ACCESS_ERROR;
    if (!route_value_error(s, &d, e))
        return false;
    r->reply = d.reply;
    r->code = d.code;
    r->text = d.text;
    return true;
}

static bool word_value(struct span s, struct route_access *r)
{
    static const struct {
        const char *word;
        enum route_access_kind kind;
    } words[] = {
        { "OK", ROUTE_ACCESS_OK },         { "RELAY", ROUTE_ACCESS_RELAY },
        { "REJECT", ROUTE_ACCESS_REJECT }, { "DISCARD", ROUTE_ACCESS_DISCARD },
        { "SKIP", ROUTE_ACCESS_SKIP },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_ieq(s, span_str(words[i].word))) {
            r->kind = words[i].kind;
            return true;
        }
    return false;
}

bool route_access_value(struct span value, struct route_access *r, struct err *e)
{
    struct span s = span_trim(value);
    *r = (struct route_access){ 0 };
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f) {
            err_set(e, "a control character in the value"); /* it would stand in a reply */
            return false;
        }
    if (s.n > ROUTE_TEXT_MAX) {
        err_set(e, "the value is longer than %d bytes", ROUTE_TEXT_MAX);
        return false;
    }
    if (word_value(s, r))
        return true;
    if (span_istarts(s, SPAN("QUARANTINE:"))) {
        r->kind = ROUTE_ACCESS_QUARANTINE;
        r->text = span_trim(span_from(s, 11));
        if (!r->text.n)
            r->text = SPAN("quarantined by the access table");
        return true;
    }
    if (span_istarts(s, SPAN("ERROR:")))
        return error_value(span_trim(span_from(s, 6)), r, e);
    if (is_reply(s))
        return plain_reply(s, r, e);
    err_set(e, "\"%.*s\" is no access rule; there are OK RELAY REJECT DISCARD SKIP "
            "QUARANTINE:reason ERROR:D.S.N:code text, and a reply like \"550 text\"", SPAN_ARG(s));
    return false;
}

enum route_access_tag route_access_tag(struct span *key)
{
    for (int i = 0; i < ROUTE_TAGS; i++)
        if (span_istarts(*key, span_str(tags[i]))) {
            *key = span_from(*key, strlen(tags[i]));
            return (enum route_access_tag)i;
        }
    size_t colon = span_find(*key, ':');
    if (colon == key->n || span_istarts(*key, SPAN("ipv6:")) || key->p[0] == '[')
        return ROUTE_TAG_NONE;
    *key = span_from(*key, colon + 1);
    return ROUTE_TAG_OTHER;
}

bool route_access_entry(void *unused, struct span key, struct span value, struct err *e)
{
    struct route_access r;
    (void)unused;
    /* GreetPause: ClientRate: TLS_Clt: ... : what they say is not ours to judge */
    if (route_access_tag(&key) == ROUTE_TAG_OTHER)
        return true;
    if (!key.n) {
        err_set(e, "nothing stands behind the tag");
        return false;
    }
    return route_access_value(value, &r, e);
}

/* --- the search --- */

/* One key, with and without its tag. 2: SKIP. */
static int ask(const struct route_search *s, struct span key, struct route_access *r)
{
    char tagged[KEY_MAX];
    struct map_hit hit;
    struct err e = { "" };
    size_t n = s->tag < ROUTE_TAGS ? strlen(tags[s->tag]) : 0;
    int found = 0;
    if (!key.n || n + key.n > sizeof tagged)
        return 0;
    memcpy(tagged, tags[s->tag], n);
    for (size_t i = 0; i < key.n; i++)
        tagged[n + i] = ascii_lower(key.p[i]);
    struct span full = span_of(tagged, n + key.n);
    /* a form that no key of the table has is looked up only where somebody wants to see it */
    if (s->tagged && (s->trail || s->tables->access_forms & 1u << s->tag))
        found = route_look(s->tables, ROUTE_ACCESS, full, s->trail, &hit);
    if (found == 0 && s->untagged &&
        (s->trail || s->tables->access_forms & 1u << ROUTE_TAG_NONE))
        found = route_look(s->tables, ROUTE_ACCESS, span_from(full, n), s->trail, &hit);
    if (found != 1)
        return found;
    if (!route_access_value(hit.value, r, &e)) /* checked at load */
        return -1;
    return r->kind == ROUTE_ACCESS_SKIP ? 2 : 1;
}

/* a.b.c, b.c, c */
static int ask_name(const struct route_search *s, struct span name, struct route_access *r)
{
    int found = 0;
    while (name.n && found == 0) {
        found = ask(s, name, r);
        name = span_from(name, span_find(name, '.') + 1);
    }
    return found;
}

/* The whole, then what is left of `last` before its last separator, and so on; never less than
 * `least` bytes. */
static int ask_shorter(const struct route_search *s, struct span text, char separator,
                       size_t least, struct route_access *r)
{
    int found = 0;
    while (text.n > least && found == 0) {
        found = ask(s, text, r);
        size_t cut = span_rfind(text, separator);
        text = span_to(text, cut < text.n ? cut : 0);
    }
    return found;
}

static int ask_ip(const struct route_search *s, const struct netaddr *ip, struct route_access *r)
{
    char text[128] = "IPv6:";
    struct buf b;
    if (ip->family == NETADDR_NONE)
        return 0;
    buf_init(&b, NETADDR_TEXT_MAX);
    netaddr_put_ip(&b, ip);
    struct span shown = buf_span(&b);
    if (ip->family == NETADDR_V4) {
        int found = ask_shorter(s, shown, '.', 0, r);
        buf_free(&b);
        return found;
    }
    /* as people write it, then all eight groups: sendmail's two ways to hold an address */
    size_t n = 5;
    memcpy(text + n, shown.p, shown.n);
    int found = ask(s, span_of(text, n + shown.n), r);
    buf_free(&b);
    for (int i = 0; i < 16; i += 2)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%x", i ? ":" : "",
                              (unsigned)(ip->ip[i] << 8 | ip->ip[i + 1]));
    return found ? found : ask_shorter(s, span_of(text, n), ':', 5, r);
}

static int done(int found) { return found == 2 ? 0 : found; }

int route_access_client(const struct route_search *s, const struct route_client *c,
                        struct route_access *r)
{
    if (!s->tables->map[ROUTE_ACCESS])
        return 0;
    int found = ask_name(s, c->host, r);
    return done(found ? found : ask_ip(s, &c->ip, r));
}

int route_access_domain(const struct route_search *s, const struct route_address *a,
                        struct route_access *r)
{
    struct span name = dns_name_span(&a->name), written = a->domain;
    if (!s->tables->map[ROUTE_ACCESS])
        return 0;
    if (a->kind == ROUTE_ADDR_LITERAL)
        return done(ask_ip(s, &a->literal, r));
    if (a->kind != ROUTE_ADDR_DOMAIN)
        return 0;
    int found = ask_name(s, written, r);
    if (found == 0 && !span_ieq(written, name))
        found = ask_name(s, name, r); /* written in UTF-8 */
    return done(found);
}

/* user+detail@domain, user@domain, user+detail@, user@; then the domain. */
static int ask_user(const struct route_search *s, const struct route_address *a,
                    struct route_access *r)
{
    char text[KEY_MAX];
    size_t plus = span_find(a->local, '+');
    int found = 0;
    if (a->local.n + a->name.n + 1 > sizeof text)
        return 0;
    for (int with_domain = 1; with_domain >= 0 && found == 0; with_domain--)
        for (int stripped = 0; stripped <= (plus > 0 && plus < a->local.n); stripped++) {
            size_t n = stripped ? plus : a->local.n;
            if (found || (with_domain && a->kind != ROUTE_ADDR_DOMAIN))
                break;
            memcpy(text, a->local.p, n);
            text[n++] = '@';
            if (with_domain)
                memcpy(text + n, a->name.s, a->name.n);
            found = ask(s, span_of(text, n + (with_domain ? a->name.n : 0)), r);
        }
    return found;
}

int route_access_address(const struct route_search *s, struct span addr, struct route_access *r)
{
    struct route_address a = route_address(addr);
    if (!s->tables->map[ROUTE_ACCESS])
        return 0;
    if (!addr.n)
        return done(ask(s, SPAN("<>"), r));
    if (a.kind == ROUTE_ADDR_BAD)
        return 0;
    int found = ask_user(s, &a, r);
    return found ? done(found) : route_access_domain(s, &a, r);
}
