/* plan: where to connect for a next hop, in the order to try; or why not. */
#ifndef POSTERN_DNS_PLAN_H
#define POSTERN_DNS_PLAN_H

#include "dns/answer.h"
#include "dns/hop.h"

enum {
    DNS_PLAN_HOSTS_MAX = 100,
    DNS_PLAN_ADDRS_MAX = 100,
    DNS_PLAN_SITE_MAX = 255,
    DNS_PLAN_TEXT_MAX = 512,
};
#define DNS_TTL_FOREVER UINT32_MAX

enum dns_plan_verdict {
    DNS_PLAN_OK,    /* at least one address */
    DNS_PLAN_LATER, /* the DNS cannot say now: put off */
    DNS_PLAN_FAIL,  /* it never will: bounce */
    DNS_PLAN_VERDICTS
};

enum dns_plan_flag {
    DNS_PLAN_HOSTS_CUT = 1 << 0, /* more MX hosts than the limit: the worst were left out */
    DNS_PLAN_ADDRS_CUT = 1 << 1, /* more addresses than the limit */
    DNS_PLAN_OWN_CUT = 1 << 2,   /* we are in the list: only better hosts are used */
    DNS_PLAN_PARTIAL = 1 << 3,   /* some host's addresses could not be found out now */
    DNS_PLAN_IMPLICIT = 1 << 4,  /* no MX: the domain itself (RFC 5321 5.1) */
};

struct dns_plan_host {
    struct span name;  /* "mx1.example.net"; "[192.0.2.1]" for an address */
    uint16_t pref;     /* of its MX; 0 without */
};

struct dns_plan_addr {
    struct netaddr addr; /* with the port to connect to */
    uint16_t host;       /* index into hosts */
};

/* Two next hops of one site may have its hosts in another order. Those with the same `best` have
 * the same hosts in front, those with the same `all` the same order altogether. Both 0 where the
 * site's key says the order. */
struct dns_order {
    uint64_t best, all;
};

struct dns_plan {
    enum dns_plan_verdict verdict;
    uint32_t flags;      /* enum dns_plan_flag */
    struct span code;    /* "4.4.3"; empty when OK */
    struct span text;    /* the diagnosis for log and bounce; empty when OK */
    /* One key for all next hops with the same set of hosts: "mx:a.example,b.example",
     * "host:[127.0.0.1]:2600", "list:[a]:[b]". Empty unless OK. */
    struct span site;
    uint32_t ttl_s;      /* how long all of this stays true; DNS_TTL_FOREVER = nothing was asked */
    uint32_t took_ms;    /* DNS_PLAN_LATER: how long the question took that failed, for whomever it
                          * was asked: what failed is remembered for some seconds; else 0 */
    struct span alias;   /* OK without an MX: the name behind the domain's CNAME; or empty */
    enum dns_security security; /* DNS_SECURE only when every answer used was */
    struct dns_plan_host *hosts; /* those that have an address, best first */
    size_t host_count;
    size_t best_hosts;           /* of them: as good as the first */
    struct dns_order order;
    struct dns_plan_addr *addrs; /* in the order to try */
    size_t addr_count;
};

/* The binary form (without a trail). */
void dns_plan_put(struct buf *out, const struct dns_plan *plan);
/* Spans point into w's bytes, arrays into a. False: malformed, or a is full. */
bool dns_plan_get(struct wire *w, struct arena *a, struct dns_plan *plan_r);

/* Lines for people: hosts with their addresses in order, or the failure. */
void dns_plan_text(struct buf *out, const struct dns_plan *plan);
void dns_plan_json(struct json *j, const char *key, const struct dns_plan *plan);

#endif
