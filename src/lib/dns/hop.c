#include "dns/hop.h"

#include "base/num.h"

bool dns_name_is_ipv4(struct span name, struct netaddr *a_r)
{
    return name.n && ascii_isdigit(name.p[0]) && netaddr_parse_ip(name, a_r) &&
           a_r->family == NETADDR_V4;
}

static bool all_digits(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_isdigit(s.p[i]))
            return false;
    return s.n > 0;
}

static bool check_name(struct span host, struct err *e)
{
    struct dns_name name;
    enum dns_name_error bad = dns_name_from(host, &name);
    if (!bad && !dns_name_numeric(&name))
        return true;
    err_set(e, "bad host \"%.*s\": %s", SPAN_ARG(host),
            bad ? dns_name_error_text(bad) : "no name ends in a number");
    return false;
}

/* "[...]" at the start of *s, taken off. */
static bool parse_bracketed(struct span *s, struct dns_hop *hop, struct err *e)
{
    size_t end = span_find(*s, ']');
    if (end == s->n) {
        err_set(e, "no ] behind \"%.*s\"", SPAN_ARG(*s));
        return false;
    }
    hop->bracketed = true;
    hop->host = span_of(s->p + 1, end - 1);
    hop->literal = netaddr_parse_ip(hop->host, &hop->addr) ||
                   netaddr_parse_literal(span_to(*s, end + 1), &hop->addr);
    if (!hop->host.n) {
        err_set(e, "nothing between [ and ]");
        return false;
    }
    *s = span_from(*s, end + 1);
    if (hop->literal)
        return true;
    if (span_find(hop->host, ':') < hop->host.n) {
        err_set(e, "bad address [%.*s]", SPAN_ARG(hop->host));
        return false;
    }
    return check_name(hop->host, e);
}

static bool parse_host(struct span *s, struct dns_hop *hop, struct err *e)
{
    *hop = (struct dns_hop){ .port = 0 };
    if (s->n && s->p[0] == '[')
        return parse_bracketed(s, hop, e);
    size_t end = span_find(*s, ':');
    hop->host = span_to(*s, end);
    *s = span_from(*s, end);
    if (!hop->host.n) {
        err_set(e, "the host is missing");
        return false;
    }
    if (span_find(hop->host, '@') < hop->host.n) {
        err_set(e, "\"%.*s\": a next hop cannot change the recipient here", SPAN_ARG(hop->host));
        return false;
    }
    hop->literal = dns_name_is_ipv4(hop->host, &hop->addr);
    return hop->literal || check_name(hop->host, e);
}

/* ":PORT" at the start of *s, when it is a number. */
static bool parse_port(struct span *s, struct dns_hop *hop, struct err *e)
{
    struct span rest = span_from(*s, 1), word = span_to(rest, span_find(rest, ':'));
    uint64_t port;
    if (!s->n || s->p[0] != ':' || !all_digits(word))
        return true;
    if (!num_upto(word, 65535, &port) || port == 0) {
        err_set(e, "bad port %.*s", SPAN_ARG(word));
        return false;
    }
    hop->port = (uint16_t)port;
    *s = span_from(rest, word.n);
    return true;
}

bool dns_hops_parse(struct span s, struct dns_hop hops_r[DNS_HOPS_MAX], size_t *n_r,
                    struct err *e)
{
    size_t n = 0;
    for (;;) {
        if (n == DNS_HOPS_MAX) {
            err_set(e, "more than %d next hops", DNS_HOPS_MAX);
            return false;
        }
        struct dns_hop *hop = &hops_r[n++];
        if (!parse_host(&s, hop, e) || !parse_port(&s, hop, e))
            return false;
        if (!s.n)
            break;
        if (s.p[0] != ':') {
            err_set(e, "unexpected \"%.*s\" behind a next hop", SPAN_ARG(s));
            return false;
        }
        s = span_from(s, 1);
    }
    *n_r = n;
    return true;
}

void dns_hop_put(struct buf *out, const struct dns_hop *hop)
{
    struct dns_name name;
    if (hop->literal) {
        buf_putc(out, '[');
        netaddr_put_ip(out, &hop->addr);
        buf_putc(out, ']');
    } else if (dns_name_from(hop->host, &name) == DNS_NAME_OK) {
        buf_printf(out, hop->bracketed ? "[%s]" : "%s", name.s);
    } else { /* an address of a stranger: the lookup will say what is wrong with it */
        buf_puts(out, hop->host);
    }
    if (hop->port)
        buf_printf(out, ":%u", hop->port);
}

void dns_hops_put(struct buf *out, const struct dns_hop *hops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(out, ':');
        dns_hop_put(out, &hops[i]);
    }
}
