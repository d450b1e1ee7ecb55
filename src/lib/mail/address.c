#include "mail/address.h"

#include "base/json.h"
#include "base/must.h"

#include <arpa/inet.h>

static const struct span v6_tag = { "IPv6:", 5 };

/* atext of RFC 5322 3.2.3, and the dot. */
static bool is_local_char(unsigned char c)
{
    return ascii_isalnum((char)c) || (c && c < 128 && strchr("!#$%&'*+-/=?^_`{|}~.", c));
}

/* Steps over one character above 127; false when it is not valid UTF-8. */
static bool skip_utf8(struct span s, size_t *i, struct address *a)
{
    size_t n = utf8_length(span_from(s, *i));
    if (n < 2)
        return false;
    a->utf8 = true;
    *i += n;
    return true;
}

/* The quoted string at the front of s: its length with both quotes; 0 = malformed. */
static size_t quoted_length(struct span s, struct address *a)
{
    size_t i = 1;
    while (i < s.n && s.p[i] != '"') {
        if (s.p[i] == '\\' && ++i == s.n)
            return 0;
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 128) {
            if (!skip_utf8(s, &i, a))
                return 0;
        } else if (c < 32 || c == 127) {
            return 0;
        } else {
            i++;
        }
    }
    return i < s.n ? i + 1 : 0;
}

static size_t dotted_length(struct span s, struct address *a)
{
    size_t i = 0;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 128 ? !skip_utf8(s, &i, a) : !is_local_char(c))
            break;
        if (c < 128)
            i++;
    }
    return i;
}

/* "[1.2.3.4]" or "[IPv6:...]" */
static bool address_literal_ok(struct span s)
{
    char text[64];
    if (s.n < 3 || s.n >= sizeof text || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    s = span_of(s.p + 1, s.n - 2);
    int family = AF_INET;
    if (span_istarts(s, v6_tag)) {
        family = AF_INET6;
        s = span_from(s, v6_tag.n);
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    unsigned char bytes[16];
    return !memchr(s.p, '\0', s.n) && inet_pton(family, text, bytes) == 1;
}

/* A host name: 1..255 octets of labels up to 63, letters, digits, - and _; UTF-8 only if `utf8`.
 * The trailing dot must have been taken off. */
static bool address_host_ok(struct span host, bool utf8)
{
    struct address ignored = { 0 };
    size_t label = 0;
    if (host.n == 0 || host.n > ADDRESS_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < host.n;) {
        unsigned char c = (unsigned char)host.p[i];
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            i++;
            continue;
        }
        if (c >= 128 ? !utf8 || !skip_utf8(host, &i, &ignored)
                     : !ascii_isalnum((char)c) && c != '-' && c != '_')
            return false;
        if (c < 128)
            i++;
        if (++label > ADDRESS_LABEL_MAX)
            return false;
    }
    return label > 0;
}

bool address_helo_ok(struct span s)
{
    if (s.n == 0 || s.n > ADDRESS_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_isalnum(s.p[i]) && !(s.p[i] && strchr(".-_:[]", s.p[i])))
            return false;
    return true;
}

static enum address_error read_domain(struct span s, struct address *a)
{
    if (s.n == 0)
        return ADDRESS_NO_HOST;
    if (span_find(s, '@') < s.n)
        return ADDRESS_BAD_ROUTE;
    if (s.p[0] == '[') {
        a->literal = true;
        a->domain = s;
        return address_literal_ok(s) ? ADDRESS_OK : ADDRESS_BAD_HOST;
    }
    if (s.p[s.n - 1] == '.')
        s.n--;
    a->domain = s;
    for (size_t i = 0; i < s.n; i++)
        a->utf8 |= (unsigned char)s.p[i] >= 128;
    return address_host_ok(s, true) ? ADDRESS_OK : ADDRESS_BAD_HOST;
}

/* "@a,@b:user@c" -> "user@c". The route is checked for shape only: it is not used. */
static enum address_error drop_route(struct span *s)
{
    size_t colon = span_find(*s, ':');
    if (colon == s->n)
        return ADDRESS_NO_USER;
    struct address ignored = { 0 };
    struct span route = span_to(*s, colon);
    while (route.n > 0) {
        size_t comma = span_find(route, ',');
        struct span hop = span_to(route, comma);
        if (hop.n < 2 || hop.p[0] != '@' || read_domain(span_from(hop, 1), &ignored) != ADDRESS_OK)
            return ADDRESS_BAD_ROUTE;
        route = span_from(route, comma + 1);
    }
    *s = span_from(*s, colon + 1);
    return ADDRESS_OK;
}

enum address_error address_read(struct span s, struct address *a_r)
{
    *a_r = (struct address){ .typed = s };
    if (s.n == 0) {
        a_r->null = true;
        return ADDRESS_OK;
    }
    if (s.n > ADDRESS_MAX)
        return ADDRESS_TOO_LONG;
    if (s.p[0] == '@') {
        enum address_error e = drop_route(&s);
        if (e != ADDRESS_OK)
            return e;
    }
    bool quoted = s.n > 0 && s.p[0] == '"';
    size_t n = quoted ? quoted_length(s, a_r) : dotted_length(s, a_r);
    if (n == 0)
        return s.n == 0 || s.p[0] == '@' ? ADDRESS_NO_USER : ADDRESS_BAD_USER;
    a_r->local = span_to(s, n);
    if (n == s.n)
        return ADDRESS_OK;
    return s.p[n] == '@' ? read_domain(span_from(s, n + 1), a_r) : ADDRESS_BAD_USER;
}

/* Length of the path at the front of s up to its end: `end` is '>' or a blank, outside quotes.
 * s.n when it does not come. */
static size_t path_length(struct span s, char end)
{
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == end || (end == ' ' && c == '\t')))
            return i;
    }
    return s.n;
}

enum address_error address_take(struct span *s, struct address *a_r)
{
    while (s->n > 0 && ascii_isblank(s->p[0]))
        *s = span_from(*s, 1);
    struct span whole = *s, inner;
    size_t n;
    if (whole.n > 0 && whole.p[0] == '<') {
        n = path_length(whole, '>');
        inner = span_of(whole.p + 1, n - 1);
        if (n == whole.n) {
            *a_r = (struct address){ .typed = span_trim(whole) };
            *s = span_from(*s, whole.n);
            return ADDRESS_UNBALANCED;
        }
        n++;
    } else {
        n = path_length(whole, ' ');
        inner = span_to(whole, n);
    }
    *s = span_from(whole, n);
    enum address_error e = address_read(inner, a_r);
    a_r->typed = span_to(whole, n);
    if (n == 0)
        return ADDRESS_MISSING;
    if (e == ADDRESS_OK && s->n > 0 && !ascii_isblank(s->p[0]))
        return ADDRESS_BAD_USER;
    return e;
}

struct span address_normal(struct arena *a, const struct address *addr)
{
    if (addr->null)
        return arena_dup(a, SPAN(""));
    size_t at = addr->local.n, n = at + (addr->domain.n ? 1 + addr->domain.n : 0);
    char *p = arena_alloc(a, n + 1);
    if (!p)
        return SPAN_NONE;
    memcpy(p, addr->local.p, at);
    if (addr->domain.n) {
        p[at++] = '@';
        for (size_t i = 0; i < addr->domain.n; i++)
            p[at + i] = ascii_lower(addr->domain.p[i]);
        if (addr->literal && span_istarts(span_from(addr->domain, 1), v6_tag))
            memcpy(p + at + 1, v6_tag.p, v6_tag.n); /* one spelling of the tag */
    }
    return span_of(p, n);
}
