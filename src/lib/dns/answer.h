/* Questions to the DNS and their answers, with where they come from. */
#ifndef POSTERN_DNS_ANSWER_H
#define POSTERN_DNS_ANSWER_H

#include "base/arena.h"
#include "base/netaddr.h"
#include "dns/name.h"
#include "trail/trail.h"

enum dns_type {
    DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16,
    DNS_AAAA = 28, DNS_DNSKEY = 48, DNS_TLSA = 52,
};

struct dns_question {
    struct dns_name name;
    uint16_t type; /* enum dns_type */
};

enum dns_status {
    DNS_RECORDS,  /* at least one record of the asked type */
    DNS_NODATA,   /* the name exists, without such records */
    DNS_NXDOMAIN, /* the name does not exist */
    DNS_SERVFAIL, /* no usable answer: the server failed or refused, a broken packet, bogus
                   * signatures; from libunbound also servers that were silent: it does not tell */
    DNS_TIMEOUT,  /* nobody answered within the deadline */
    DNS_STATUSES
};

enum dns_security { DNS_INSECURE, DNS_SECURE, DNS_BOGUS, DNS_SECURITIES };

struct dns_record {
    uint16_t type;
    uint16_t pref;       /* MX */
    uint32_t ttl_s;
    struct span name;    /* target of MX, CNAME, NS, PTR; "" = the root */
    struct netaddr addr; /* A, AAAA; port 0 */
    struct span text;    /* TXT: its strings joined; other types: the bytes as they came */
};

enum { DNS_RECORDS_MAX = 1024, DNS_CHAIN_MAX = 11, DNS_PACKET_MAX = 65535 };

struct dns_answer {
    enum dns_status status;
    enum dns_security security;
    uint32_t ttl_s;      /* how long all of this stays true; 0 = now only */
    bool cached;         /* from our own cache */
    int64_t asked_ms;    /* wall time when the server was asked */
    int64_t took_ms;     /* that question, then */
    struct span canon;   /* the name at the end of the CNAME chain; the asked name without one */
    struct span server;  /* who was asked: "127.0.0.1:5353" or a list; "" = unknown */
    struct span why;     /* of a failure, in words; may be empty */
    struct dns_record *records; /* of the asked type, owned by the end of the chain */
    size_t count;
    size_t odd;          /* records with names that no host has: left out */
    size_t cut;          /* records beyond DNS_RECORDS_MAX: left out */
};

/* Reads an answer packet: status, ttl_s, canon and records; the rest of answer_r is zeroed.
 * Spans live in `a`. False: malformed, an answer to another question, or `a` is full. */
bool dns_answer_read(struct span packet, const struct dns_question *q, struct arena *a,
                     struct dns_answer *answer_r);

const char *dns_type_name(uint16_t type); /* "MX"; "type" for those we do not name */
/* By name, upper or lower case; 0 = unknown. */
uint16_t dns_type_from(struct span name);
const char *dns_status_name(enum dns_status s);     /* "records", "nodata", "nxdomain" ... */
const char *dns_security_name(enum dns_security s); /* "insecure", "secure", "bogus" */

/* "10 mx1.example, 20 mx2.example", "192.0.2.1", "no such name", "no answer". */
void dns_answer_text(struct buf *out, const struct dns_answer *answer);
/* The step "asked this, of that server, it said". */
void dns_answer_trail(struct trail *t, const struct dns_question *q,
                      const struct dns_answer *answer);

#endif
