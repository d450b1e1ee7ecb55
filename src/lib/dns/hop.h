/* hop: a next hop as mailertable, smart_host and the route write it.
 *   example.net          its MX hosts, else its addresses (RFC 5321 5.1)
 *   [mx.example.net]     its addresses, no MX
 *   [192.0.2.1] [::1] [IPv6:::1] 192.0.2.1   that address
 * each with ":PORT" behind it where it is not the usual port, and several joined by ":" to be
 * tried from left to right: "[a]:[b]", "[a]:2525:[b]". A number is always a port. */
#ifndef POSTERN_DNS_HOP_H
#define POSTERN_DNS_HOP_H

#include "base/err.h"
#include "base/netaddr.h"
#include "dns/name.h"

enum { DNS_HOPS_MAX = 16, DNS_HOP_TEXT_MAX = 280, DNS_HOPS_TEXT_MAX = 4096 };

struct dns_hop {
    struct span host;     /* without brackets; for an address literal its text */
    bool bracketed;
    bool literal;         /* addr is set: nothing is asked */
    struct netaddr addr;
    uint16_t port;        /* 0 = the usual one */
};

/* One or several; the spans look into s. False: e says what is wrong. */
bool dns_hops_parse(struct span s, struct dns_hop hops_r[DNS_HOPS_MAX], size_t *n_r,
                    struct err *e);

/* In one canonical form (lower case, A-labels, addresses as netaddr writes them), so that equal
 * hops give equal text. Can be parsed again. */
void dns_hop_put(struct buf *out, const struct dns_hop *hop);
void dns_hops_put(struct buf *out, const struct dns_hop *hops, size_t n);

/* Whether a name is one that means an address: four numbers with dots. */
bool dns_name_is_ipv4(struct span name, struct netaddr *a_r);

#endif
