#include "route/address.h"

#include "dns/hop.h"

static struct route_address bad(const char *code, const char *text)
{
    return (struct route_address){ .kind = ROUTE_ADDR_BAD, .code = code, .text = text };
}

/* Where the domain begins: behind the last @ outside quotes; 0 = there is none. */
static size_t domain_at(struct span s)
{
    bool quoted = false;
    size_t at = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && quoted)
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == '@' && !quoted)
            at = i + 1;
    }
    return at;
}

/* "@a,@b:user@c" -> "user@c"; *good is false when there is no end to the route. */
static struct span skip_source_route(struct span s, bool *good)
{
    if (!s.n || s.p[0] != '@')
        return s;
    size_t colon = span_find(s, ':');
    *good = colon < s.n;
    return span_from(s, colon + 1);
}

struct route_address route_address(struct span addr)
{
    struct route_address a = { .kind = ROUTE_ADDR_DOMAIN };
    bool good = true;
    addr = skip_source_route(addr, &good);
    size_t at = domain_at(addr);
    a.local = at ? span_to(addr, at - 1) : addr;
    a.domain = at ? span_from(addr, at) : SPAN_NONE;
    if (!good || !a.local.n)
        return bad("5.1.3", "User address required");
    if (at && !a.domain.n)
        return bad("5.1.3", "Hostname required");
    if (domain_at(a.local))
        return bad("5.1.3", "Invalid route address");
    if (!at) {
        a.kind = ROUTE_ADDR_LOCAL_PART;
        return a;
    }
    if (a.domain.p[0] == '[') {
        a.kind = ROUTE_ADDR_LITERAL;
        return netaddr_parse_literal(a.domain, &a.literal) ? a
                                                          : bad("5.1.2", "Invalid address literal");
    }
    if (dns_name_from(a.domain, &a.name) != DNS_NAME_OK ||
        (dns_name_numeric(&a.name) && !dns_name_is_ipv4(dns_name_span(&a.name), &a.literal)))
        return bad("5.1.2", "Invalid host name");
    if (a.domain.p[a.domain.n - 1] == '.')
        a.domain.n--;
    return a;
}

bool route_address_routed(const struct route_address *a)
{
    for (size_t i = 0; i < a->local.n; i++)
        if (a->local.p[i] == '%' || a->local.p[i] == '!' || a->local.p[i] == '@')
            return true;
    return false;
}

bool route_address_moved(const struct route_address *a, struct span *domain_r)
{
    static const char suffix[] = ".redirect";
    if (a->kind != ROUTE_ADDR_DOMAIN || !span_iends(a->domain, SPAN(".redirect")))
        return false;
    *domain_r = span_to(a->domain, a->domain.n - (sizeof suffix - 1));
    return true;
}

struct span route_address_unquoted(struct span local, struct arena *a)
{
    if (local.n < 2 || local.p[0] != '"')
        return local;
    char *copy = arena_alloc(a, local.n);
    size_t n = 0;
    for (size_t i = 1; copy && i + 1 < local.n; i++) {
        if (local.p[i] == '\\' && i + 2 < local.n)
            i++;
        copy[n++] = local.p[i];
    }
    return copy ? span_of(copy, n) : local;
}
