/* The inside of struct dns_mx, shared by the half that asks (mx.c) and the half that makes the
 * plan (mx_plan.c). */
#ifndef POSTERN_DNS_MX_IMPL_H
#define POSTERN_DNS_MX_IMPL_H

#include "dns/mx.h"

enum { HOST_ADDRS_MAX = 32, MX_ARENA_BYTES = 1 << 20 };

/* One question of a host or hop. */
enum ask { ASK_NONE, ASK_WANTED, ASK_ASKED, ASK_TOLD };

struct mx_host {
    struct dns_name name; /* empty for a literal */
    struct netaddr literal;
    uint32_t hop;         /* index */
    uint16_t pref;
    uint16_t port;        /* to connect to */
    uint64_t lot;         /* drawn: the order among equals */
    enum ask ask[2];      /* A, AAAA */
    enum dns_status status[2];
    struct span failed;   /* of a question without a usable answer: which, who was asked */
    uint32_t took_ms;     /* of those, the longest */
    uint32_t ttl_s;       /* of what was told, answers without records included */
    bool secure, own, cut;
    struct netaddr addrs[2][HOST_ADDRS_MAX]; /* A, AAAA; with port */
    size_t n[2];
};

struct mx_hop {
    struct dns_hop hop;
    struct dns_name name; /* empty for a literal */
    enum ask ask;         /* for its MX */
    bool mx;              /* it has an MX set */
    uint32_t ttl_s;
    bool secure;
    enum dns_plan_verdict verdict; /* DNS_PLAN_OK: its hosts decide */
    struct span code, text;
    uint32_t took_ms;     /* of its MX question, when that failed */
    struct span alias;    /* no MX: the end of its CNAME chain */
};

struct dns_mx {
    struct dns_mx_params p;
    struct arena *arena;
    struct mx_hop hops[DNS_HOPS_MAX];
    size_t hop_count;
    struct mx_host **hosts;
    size_t host_count;
    uint64_t lots; /* state of the random order */
    bool planned;
    struct dns_plan plan;
};

uint64_t mx_draw(struct dns_mx *m);
struct span mx_text(struct dns_mx *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline size_t mx_addrs(const struct mx_host *h) { return h->n[0] + h->n[1]; }
/* Smaller is tried first. */
static inline uint32_t mx_rank(const struct mx_host *h) { return h->hop << 16 | h->pref; }

#endif
