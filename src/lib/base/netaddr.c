#include "base/netaddr.h"

#include "base/num.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static size_t ip_bytes(const struct netaddr *a)
{
    return a->family == NETADDR_V4 ? 4 : a->family == NETADDR_V6 ? 16 : 0;
}

static struct netaddr from_v4(const void *ip)
{
    struct netaddr a = { .family = NETADDR_V4 };
    memcpy(a.ip, ip, 4);
    return a;
}

static struct netaddr from_v6(const void *ip)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (memcmp(ip, mapped, 12) == 0)
        return from_v4((const char *)ip + 12);
    struct netaddr a = { .family = NETADDR_V6 };
    memcpy(a.ip, ip, 16);
    return a;
}

/* mapped_r: whether the text was an IPv4-mapped IPv6 address. */
static bool parse_bare(struct span s, struct netaddr *a_r, bool *mapped_r)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    if (s.n == 0 || s.n >= sizeof text || span_find(s, '\0') != s.n)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *mapped_r = false;
    if (inet_pton(AF_INET, text, ip) == 1) {
        *a_r = from_v4(ip);
        return true;
    }
    if (inet_pton(AF_INET6, text, ip) != 1)
        return false;
    *a_r = from_v6(ip);
    *mapped_r = a_r->family == NETADDR_V4;
    return true;
}

static bool parse_ip(struct span s, struct netaddr *a_r, bool *mapped_r)
{
    if (s.n < 2 || s.p[0] != '[')
        return parse_bare(s, a_r, mapped_r);
    if (s.p[s.n - 1] != ']')
        return false;
    /* Brackets are IPv6's: "[1.2.3.4]" is SMTP's literal, read by netaddr_parse_literal. */
    s = span_from(span_to(s, s.n - 1), 1);
    return span_find(s, ':') != s.n && parse_bare(s, a_r, mapped_r);
}

bool netaddr_parse_ip(struct span s, struct netaddr *a_r)
{
    bool mapped;
    return parse_ip(s, a_r, &mapped);
}

static bool fail(struct err *e, struct span s, const char *why)
{
    if (e)
        err_set(e, "\"%.*s\" %s", s.n < 100 ? (int)s.n : 100, s.p ? s.p : "", why);
    return false;
}

bool netaddr_parse(struct span s, uint16_t default_port, struct netaddr *a_r, struct err *e)
{
    struct span host = s, port = SPAN_NONE;
    size_t colon = span_rfind(s, ':');
    bool bracket_ends = colon > 0 && colon < s.n && s.p[colon - 1] == ']';
    if (colon < s.n && (bracket_ends || span_find(s, ':') == colon)) {
        host = span_to(s, colon);
        port = span_from(s, colon + 1);
    }
    uint64_t number = default_port;
    if (!netaddr_parse_ip(host, a_r))
        return fail(e, s, "is not an IP address (1.2.3.4 or [::1], with or without :PORT)");
    if (host.n != s.n &&
        (!num_upto(port, 65535, &number) || (number == 0 && default_port != 0)))
        return fail(e, s, "has no good port: 1 to 65535 is allowed");
    a_r->port = (uint16_t)number;
    return true;
}

bool netaddr_parse_literal(struct span s, struct netaddr *a_r)
{
    bool mapped;
    if (s.n < 2 || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    s = span_from(span_to(s, s.n - 1), 1);
    bool v6 = span_istarts(s, SPAN("IPv6:"));
    if (v6)
        s = span_from(s, 5);
    return parse_bare(s, a_r, &mapped) && v6 == (span_find(s, ':') != s.n);
}

bool netaddr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct netaddr *a_r)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (len >= sizeof in && sa->sa_family == AF_INET) {
        memcpy(&in, sa, sizeof in);
        *a_r = from_v4(&in.sin_addr);
        a_r->port = ntohs(in.sin_port);
        return true;
    }
    if (len >= sizeof in6 && sa->sa_family == AF_INET6) {
        memcpy(&in6, sa, sizeof in6);
        *a_r = from_v6(&in6.sin6_addr);
        a_r->port = ntohs(in6.sin6_port);
        return true;
    }
    return false;
}

socklen_t netaddr_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *ss_r)
{
    memset(ss_r, 0, sizeof *ss_r);
    if (a->family == NETADDR_V4) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
        memcpy(&in.sin_addr, a->ip, 4);
        memcpy(ss_r, &in, sizeof in);
        return sizeof in;
    }
    if (a->family == NETADDR_V6) {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };
        memcpy(&in6.sin6_addr, a->ip, 16);
        memcpy(ss_r, &in6, sizeof in6);
        return sizeof in6;
    }
    return 0;
}

static void put_v4(struct buf *b, const unsigned char *ip)
{
    for (int i = 0; i < 4; i++) {
        if (i)
            buf_putc(b, '.');
        buf_putu(b, ip[i]);
    }
}

void netaddr_put_ip(struct buf *b, const struct netaddr *a)
{
    char text[INET6_ADDRSTRLEN];
    if (a->family == NETADDR_V4)
        put_v4(b, a->ip);
    else if (a->family == NETADDR_V6 && inet_ntop(AF_INET6, a->ip, text, sizeof text))
        buf_putz(b, text);
    else
        buf_putc(b, '?');
}

static void put_bracketed(struct buf *b, const char *open, const struct netaddr *a)
{
    buf_putz(b, open);
    netaddr_put_ip(b, a);
    buf_putc(b, ']');
}

void netaddr_put(struct buf *b, const struct netaddr *a)
{
    if (a->family == NETADDR_V6)
        put_bracketed(b, "[", a);
    else
        netaddr_put_ip(b, a);
    if (a->port) {
        buf_putc(b, ':');
        buf_putu(b, a->port);
    }
}

void netaddr_put_literal(struct buf *b, const struct netaddr *a)
{
    put_bracketed(b, a->family == NETADDR_V6 ? "[IPv6:" : "[", a);
}

bool netaddr_same_ip(const struct netaddr *a, const struct netaddr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, ip_bytes(a)) == 0;
}

bool netaddr_eq(const struct netaddr *a, const struct netaddr *b)
{
    return a->port == b->port && netaddr_same_ip(a, b);
}

bool netaddr_is_any(const struct netaddr *a)
{
    static const uint8_t zero[16];
    return a->family != NETADDR_NONE && memcmp(a->ip, zero, ip_bytes(a)) == 0;
}

bool netaddr_is_loopback(const struct netaddr *a)
{
    static const uint8_t one[16] = { [15] = 1 };
    if (a->family == NETADDR_V4)
        return a->ip[0] == 127;
    return a->family == NETADDR_V6 && memcmp(a->ip, one, 16) == 0;
}

void netaddr_put_wire(struct buf *b, const struct netaddr *a)
{
    wire_put_u8(b, a->family);
    for (size_t i = 0; i < ip_bytes(a); i++)
        wire_put_u8(b, a->ip[i]);
    wire_put_u16(b, a->port);
}

struct netaddr netaddr_get_wire(struct wire *w)
{
    struct netaddr a = { .family = wire_get_u8(w) };
    if (a.family != NETADDR_NONE && ip_bytes(&a) == 0)
        w->bad = true;
    for (size_t i = 0; i < ip_bytes(&a); i++)
        a.ip[i] = wire_get_u8(w);
    a.port = wire_get_u16(w);
    return w->bad ? (struct netaddr){ 0 } : a;
}

/* Whether the first `bits` bits of both are the same. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool zero_behind(const struct cidr *c)
{
    unsigned all = (unsigned)ip_bytes(&c->net) * 8;
    for (unsigned i = c->bits; i < all; i++)
        if (c->net.ip[i / 8] & (0x80u >> i % 8))
            return false;
    return true;
}

bool cidr_parse(struct span s, struct cidr *c_r, struct err *e)
{
    size_t slash = span_find(s, '/');
    bool mapped;
    if (!parse_ip(span_to(s, slash), &c_r->net, &mapped))
        return fail(e, s, "is not an IP network (10.0.0.0/8 or [2001:db8::]/32)");
    uint64_t all = c_r->net.family == NETADDR_V4 && !mapped ? 32 : 128, bits = all;
    if (slash < s.n && !num_upto(span_from(s, slash + 1), all, &bits))
        return fail(e, s, all == 32 ? "has no good prefix length: 0 to 32 is allowed"
                                    : "has no good prefix length: 0 to 128 is allowed");
    if (mapped && bits < 96)
        return fail(e, s, "mixes IPv4 and IPv6: write the IPv4 network");
    c_r->bits = (uint8_t)(mapped ? bits - 96 : bits);
    if (!zero_behind(c_r))
        return fail(e, s, "has bits set behind its prefix length");
    return true;
}

bool cidr_match(const struct cidr *c, const struct netaddr *a)
{
    return a->family != NETADDR_NONE && c->net.family == a->family &&
           same_prefix(c->net.ip, a->ip, c->bits);
}

void cidr_put(struct buf *b, const struct cidr *c)
{
    netaddr_put_ip(b, &c->net);
    buf_putc(b, '/');
    buf_putu(b, c->bits);
}

bool cidr_eq(const struct cidr *a, const struct cidr *b)
{
    return a->bits == b->bits && netaddr_same_ip(&a->net, &b->net);
}

void cidr_put_wire(struct buf *b, const struct cidr *c)
{
    netaddr_put_wire(b, &c->net);
    wire_put_u8(b, c->bits);
}

struct cidr cidr_get_wire(struct wire *w)
{
    struct cidr c = { .net = netaddr_get_wire(w) };
    c.bits = wire_get_u8(w);
    if (c.net.family == NETADDR_NONE || c.net.port || c.bits > ip_bytes(&c.net) * 8 ||
        !zero_behind(&c))
        w->bad = true;
    return w->bad ? (struct cidr){ 0 } : c;
}
