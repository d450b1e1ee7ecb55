/* resolver: questions to a backend through our own cache. The same question asked twice at a
 * time goes out once; each has a deadline; how many are out at a time is bounded, further ones
 * wait in line. Everything runs on one loop. */
#ifndef POSTERN_DNS_RESOLVER_H
#define POSTERN_DNS_RESOLVER_H

#include "base/list.h"
#include "dns/backend.h"
#include "dns/mx.h"
#include "loop/loop.h"

struct dns_resolver_params {
    struct dns_cache_params cache;
    int64_t deadline_ms;  /* for each question, waiting in line included; 0 = 30 s */
    size_t max_out;       /* questions out at a time; 0 = 400 */
    size_t max_waiting;   /* in line behind them; beyond, DNS_TIMEOUT at once; 0 = 20000 */
};

struct dns_resolver_stats {
    struct dns_cache_stats cache;
    size_t out, waiting;
    uint64_t asked, answered, failed, timeouts, refused, joined;
};

struct dns_resolver;

/* The backend outlives the resolver. */
struct dns_resolver *dns_resolver_new(struct loop *l, const struct dns_resolver_params *p,
                                      struct dns_backend backend);
/* No ask may be open. */
void dns_resolver_free(struct dns_resolver **r);
/* Another deadline, for questions from now on, and other bounds of the cache. */
void dns_resolver_configure(struct dns_resolver *r, const struct dns_resolver_params *p);
/* A new backend (after a reload): what is out is asked again there. */
void dns_resolver_use(struct dns_resolver *r, struct dns_backend backend);

/* One who waits for an answer; the memory is the caller's until fn was called or it is
 * cancelled. */
struct dns_ask {
    struct list node; /* the resolver's */
    void (*fn)(void *ctx, const struct dns_question *q, const struct dns_answer *answer);
    void *ctx;
};

/* fn is called once, never before dns_ask returns; the answer lives only during the call. */
void dns_ask(struct dns_resolver *r, struct dns_ask *ask, const struct dns_question *q,
             void (*fn)(void *ctx, const struct dns_question *q, const struct dns_answer *answer),
             void *ctx);
void dns_ask_cancel(struct dns_ask *ask); /* fine when it is not open */

/* The cache alone, nothing is sent. Spans live in `a`. */
bool dns_resolver_cached(struct dns_resolver *r, const struct dns_question *q, struct arena *a,
                         struct dns_answer *answer_r);

/* For provenance and the admin: see dns/cache.h. */
struct loop *dns_resolver_loop(struct dns_resolver *r);
struct dns_cache *dns_resolver_cache(struct dns_resolver *r);
/* dns_cache_flush, and the backend forgets as well. */
/* What got no usable answer is asked for again, whatever the cache and the backend remember. */
void dns_resolver_forget_failed(struct dns_resolver *r);
size_t dns_resolver_flush(struct dns_resolver *r, const struct dns_name *name, bool under);
struct dns_resolver_stats dns_resolver_stats(const struct dns_resolver *r);

/* --- a whole next hop: dns/mx.h driven through the resolver --- */

struct dns_lookup;

/* fn is called once, never before dns_lookup_start returns; the plan lives only during the call,
 * after which the lookup is gone. params.trail must live until then. */
struct dns_lookup *dns_lookup_start(struct dns_resolver *r, const struct dns_mx_params *p,
                                    const struct dns_hop *hops, size_t n,
                                    void (*fn)(void *ctx, const struct dns_plan *plan), void *ctx);
void dns_lookup_cancel(struct dns_lookup **l); /* fn is not called any more */

#endif
