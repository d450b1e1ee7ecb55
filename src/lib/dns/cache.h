/* cache: our own answers to questions, each with its expiry, its DNSSEC state and where it came
 * from; bounded by entries and bytes, the least recently used leave first. Nothing is ever given
 * out beyond its TTL. It stands above libunbound because that can neither list nor forget.
 *
 * Times are monotonic milliseconds, given by the caller. */
#ifndef POSTERN_DNS_CACHE_H
#define POSTERN_DNS_CACHE_H

#include "dns/answer.h"

struct dns_cache_params {
    size_t max_entries;         /* 0 = 20000 */
    size_t max_bytes;           /* 0 = 32 MiB */
    uint32_t max_ttl_s;         /* longer TTLs are cut to it; 0 = one day, or DNS_NOT_KEPT */
    uint32_t max_negative_ttl_s; /* of NODATA and NXDOMAIN; 0 = 15 minutes, or DNS_NOT_KEPT */
    uint32_t fail_ttl_s;        /* SERVFAIL and timeouts are remembered so long; 0 = not at all */
    uint64_t seed;              /* of the hash */
};

#define DNS_NOT_KEPT UINT32_MAX

/* What a server, or nobody, said. The spans are the caller's. */
struct dns_raw {
    enum dns_status status;     /* used when there is no packet */
    enum dns_security security;
    struct span packet;         /* the answer as it came; empty = none */
    struct span server;         /* who was asked */
    struct span why;            /* of a failure */
    int64_t asked_ms;           /* wall time */
    int64_t took_ms;            /* until the answer, or the end of waiting for one */
};

struct dns_cache_stats {
    size_t entries, bytes;
    uint64_t hits, misses, added, evicted, expired, flushed;
};

struct dns_cache;

struct dns_cache *dns_cache_new(const struct dns_cache_params *p);
void dns_cache_free(struct dns_cache **c);
/* Other bounds, but for the number of entries and the seed. What is there stays until it expires,
 * as far as there is room for it. */
void dns_cache_configure(struct dns_cache *c, const struct dns_cache_params *p);

/* Reads raw as the answer to q; a packet that cannot be read is DNS_SERVFAIL. Never fails.
 * Spans live in `a` (which must have room for a packet's records: DNS_ARENA_BYTES). */
enum { DNS_ARENA_BYTES = 1 << 20 };
void dns_raw_read(const struct dns_raw *raw, const struct dns_question *q, struct arena *a,
                  struct dns_answer *answer_r);

/* Keeps a copy for as long as the answer allows (an answer with TTL 0 is not kept) and replaces
 * what was there. `answer` is what dns_raw_read made of raw. */
void dns_cache_put(struct dns_cache *c, const struct dns_question *q, const struct dns_raw *raw,
                   const struct dns_answer *answer, int64_t now_ms);

/* True: answer_r is set, with the TTLs that are left. Spans live in `a`. */
bool dns_cache_get(struct dns_cache *c, const struct dns_question *q, int64_t now_ms,
                   struct arena *a, struct dns_answer *answer_r);

/* Forgets every answer to questions about `name`, and those about names below it too when
 * `under`; NULL: all. Answers that merely mention the name stay. Returns how many went. */
size_t dns_cache_flush(struct dns_cache *c, const struct dns_name *name, bool under);

/* Forgets that questions got no usable answer. */
size_t dns_cache_forget_failed(struct dns_cache *c);

struct dns_cache_stats dns_cache_stats(const struct dns_cache *c);

#endif
