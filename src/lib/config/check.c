#include "config/check.h"

#include "config/config.h"

#include "base/netaddr.h"
#include "base/num.h"
#include "mail/delivery.h"
#include "maps/spec.h"

static bool bad(struct err *e, const char *why)
{
    err_set(e, "%s", why);
    return false;
}

static bool good_label(struct span s)
{
    if (s.n == 0 || s.n > 63 || s.p[0] == '-' || s.p[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_isalnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
            return false;
    return true;
}

/* Letters, digits and hyphens in labels (RFC 1123 2.1); underscores are met in practice. */
bool check_host(struct span s, struct err *e)
{
    struct netaddr a;
    if (s.n == 0 || s.n > 253)
        return bad(e, "is not a domain name: its length is not 1 to 253");
    if (netaddr_parse_ip(s, &a))
        return bad(e, "is an address: a domain name is needed");
    if (!span_is_ascii(s))
        return bad(e, "is not ASCII: write the domain in its xn-- form");
    while (s.n) {
        size_t dot = span_find(s, '.');
        if (!good_label(span_to(s, dot)) || dot + 1 == s.n)
            return bad(e, "is not a domain name like mx1.example.net");
        s = span_from(s, dot + 1);
    }
    return true;
}

/* Also ".example.net" for all below it, and an address literal (RFC 5321 4.1.3). */
bool check_domain(struct span s, struct err *e)
{
    struct netaddr a;
    if (s.n && s.p[0] == '[')
        return netaddr_parse_literal(s, &a) ||
               bad(e, "is not an address literal like [192.0.2.1] or [IPv6:2001:db8::1]");
    return check_host(s.n > 1 && s.p[0] == '.' ? span_from(s, 1) : s, e);
}

bool check_printable(struct span s, struct err *e)
{
    if (s.n > 200)
        return bad(e, "is longer than 200 characters");
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return bad(e, "may only have printable ASCII characters");
    return true;
}

bool check_mailbox(struct span s, struct err *e)
{
    size_t at = span_rfind(s, '@');
    struct span local = span_to(s, at);
    if (local.n == 0 || local.n > 64 || local.p[0] == '<')
        return bad(e, "is not a mail address like postmaster@example.net");
    for (size_t i = 0; i < local.n; i++)
        if (!ascii_isalnum(local.p[i]) &&
            (!local.p[i] || !strchr("!#$%&'*+-/=?^_`{|}~.", local.p[i])))
            return bad(e, "is not a mail address: its local part needs quoting");
    return at == s.n || check_host(span_from(s, at + 1), e);
}

bool check_path(struct span s, struct err *e)
{
    if (s.n == 0 || s.p[0] != '/')
        return bad(e, "must be an absolute path (begin with /)");
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return bad(e, "has control characters in it");
    return true;
}

bool check_map(struct span s, struct err *e)
{
    struct map_spec spec;
    if (!map_spec_parse(s, &spec, e))
        return false;
    if (spec.file && !check_path(spec.where, e))
        return bad(e, "must have an absolute path behind its type, like \"text:/etc/mail/access\"");
    return true;
}

bool check_users(struct span s, struct err *e)
{
    return span_eq(s, SPAN("passwd")) || span_eq(s, SPAN("any")) || check_map(s, e);
}

/* "[host]" is asked for its address, "host" for its MX: which of them it is matters to routing,
 * here both are good. */
static bool good_hop_host(struct span s)
{
    struct netaddr a;
    struct err ignored;
    bool bracketed = s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']';
    if (!bracketed)
        return netaddr_parse_ip(s, &a) || check_host(s, &ignored);
    struct span in = span_from(span_to(s, s.n - 1), 1);
    return netaddr_parse_literal(s, &a) || netaddr_parse_ip(in, &a) || check_host(in, &ignored);
}

bool check_next_hop(struct span s, struct err *e)
{
    size_t colon = span_rfind(s, ':');
    size_t bracket = span_rfind(s, ']');
    bool ported = colon < s.n && (bracket == s.n ? span_find(s, ':') == colon : bracket < colon);
    uint64_t port;
    if (ported && (!num_upto(span_from(s, colon + 1), 65535, &port) || port == 0))
        return bad(e, "has no good port behind its colon: 1 to 65535 is allowed");
    if (!good_hop_host(ported ? span_to(s, colon) : s))
        return bad(e, "is not a next hop: host, [host], [1.2.3.4], each with or without :PORT");
    return true;
}

bool check_connect(struct span s, struct err *e)
{
    size_t colon = span_rfind(s, ':'), bracket = span_rfind(s, ']');
    if (colon == s.n || (bracket < s.n && bracket > colon))
        return bad(e, "has no port: host:port or [address]:port is needed");
    return check_next_hop(s, e);
}

bool check_webhook(struct span s, struct err *e)
{
    struct span rest = span_starts(s, SPAN("https://"))  ? span_from(s, 8)
                       : span_starts(s, SPAN("http://")) ? span_from(s, 7)
                                                         : SPAN_NONE;
    bool good = rest.n && s.n <= 2000 && rest.p[0] != '/';
    for (size_t i = 0; i < s.n; i++)
        good = good && s.p[i] > ' ' && s.p[i] < 0x7f;
    return good || bad(e, "is not a URL like https://chat.example.net/hook");
}

bool check_user(struct span s, struct err *e)
{
    bool good = s.n > 0 && s.n <= 32 && s.p[0] != '-' && !ascii_isdigit(s.p[0]);
    for (size_t i = 0; good && i < s.n; i++)
        good = ascii_isalnum(s.p[i]) || s.p[i] == '_' || s.p[i] == '-' || s.p[i] == '.';
    return good || bad(e, "is not a user name");
}

bool check_delivery(struct span s, struct err *e)
{
    struct delivery d;
    return delivery_parse(s, &d, e) &&
           (d.kind != DELIVERY_LMTP || d.rest.p[0] == '/' || check_next_hop(d.rest, e));
}

bool check_label(struct span s, struct err *e)
{
    bool good = s.n > 0 && s.n <= 64;
    for (size_t i = 0; good && i < s.n; i++)
        good = ascii_isalnum(s.p[i]) || (s.p[i] && strchr("-_.", s.p[i]));
    return good || bad(e, "may only have letters, digits and - _ . (64 at most)");
}

bool check_instance(struct span s, struct err *e)
{
    bool good = s.n > 0 && s.n <= 64;
    for (size_t i = 0; good && i < s.n; i++)
        good = ascii_isalnum(s.p[i]) || s.p[i] == '-' || s.p[i] == '.';
    return good || bad(e, "may only have letters, digits and - . (64 at most)");
}
