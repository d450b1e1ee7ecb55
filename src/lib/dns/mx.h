/* mx: the addresses of a next hop, as a machine without sockets: it says what to ask of the DNS,
 * is told the answers in any order, and makes a plan of them (RFC 5321 5.1, RFC 7505).
 *
 *   m = dns_mx_new(&params, hops, n);
 *   while (!dns_mx_done(m)) {
 *       while (dns_mx_next(m, &q)) ask(q);
 *       ... dns_mx_told(m, &q, &answer) for each answer, also for failures ...
 *   }
 *   plan = dns_mx_plan(m);
 *
 * What it decides:
 * - MX hosts by preference, equals in random order; all their addresses, IPv6 and IPv4 in turn.
 * - No MX: the domain itself. A null MX: 5.1.10. NXDOMAIN: 5.1.2. Neither MX nor address, or no
 *   MX host that exists or has one: 5.4.4. SERVFAIL or no answer where it matters: 4.4.3, put off.
 * - A host whose address cannot be found out now is passed over when another has one.
 * - An address of our own (params.is_own, by address and port, never by name) takes out its host
 *   and all that are not better; when none is better: 5.3.5, mail would loop.
 * - CNAMEs are followed, of the domain and of MX hosts; nothing is renamed by that. */
#ifndef POSTERN_DNS_MX_H
#define POSTERN_DNS_MX_H

#include "dns/plan.h"

struct dns_mx_params {
    uint16_t port;         /* the usual port: 25, 24 for LMTP */
    bool no_ipv4, no_ipv6; /* families not to ask for; literals are used all the same */
    uint16_t max_hosts;    /* 0 = DNS_PLAN_HOSTS_MAX */
    uint16_t max_addrs;    /* 0 = 40 */
    uint16_t max_host_addrs; /* of one host; 0 = 20 */
    /* Whether one of our listeners would take a connection to a (its port is set). NULL: none. */
    bool (*is_own)(void *ctx, const struct netaddr *a);
    void *is_own_ctx;
    uint64_t seed;         /* random: the order of equals comes from it */
    struct trail *trail;   /* steps are added here; may be NULL; outlives the machine */
};

struct dns_mx;

/* The site (plan.h) of next hops whose site no DNS has a say in: addresses, hosts without MX,
 * lists. False: it is the MX set of a domain. */
bool dns_site_of(struct buf *out, const struct dns_hop *hops, size_t n);

/* hops (n <= DNS_HOPS_MAX, their spans copied) are tried from left to right. */
struct dns_mx *dns_mx_new(const struct dns_mx_params *p, const struct dns_hop *hops, size_t n);
void dns_mx_free(struct dns_mx **m);

/* True: *q_r is one more question to ask now. Never the same question twice. */
bool dns_mx_next(struct dns_mx *m, struct dns_question *q_r);
/* The answer to a question that dns_mx_next gave. */
void dns_mx_told(struct dns_mx *m, const struct dns_question *q, const struct dns_answer *answer);
/* Nothing is left to ask nor to be told. */
bool dns_mx_done(const struct dns_mx *m);
/* Once done; valid until dns_mx_free. */
const struct dns_plan *dns_mx_plan(struct dns_mx *m);

#endif
