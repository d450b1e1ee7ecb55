/* dns: facts of the DNS as an admin asks for them, from a resolver with its cache (the gateway's
 * or one of the command line's own): one JSON object each.
 *
 * "lookup": {"plan":{...},"trail":[...]} as dns/plan.h and trail/trail.h write them.
 * "ask": {"name","type","status","canon","ttl_s","cached","dnssec","server","why","records":[
 *        {"pref","name","address","text","ttl_s"}]}, members only where they mean something. */
#ifndef POSTERN_EXPLAIN_DNS_H
#define POSTERN_EXPLAIN_DNS_H

#include "dns/resolver.h"
#include "explain/args.h"

#define EXPLAIN_DNS_VERBS(V) V(lookup) V(ask)

struct explain_dns;

/* p: as for dns_lookup_start; its trail is not used. fn is called once, never before this
 * returns, and the question is gone after it; the text lives only during the call. NULL: e says
 * what is wrong with the arguments. */
struct explain_dns *explain_dns_start(struct dns_resolver *r, const struct dns_mx_params *p,
                                      struct span verb, const struct explain_args *args,
                                      void (*fn)(void *ctx, struct span json), void *ctx,
                                      struct err *e);
void explain_dns_cancel(struct explain_dns **x); /* fn is not called any more */

#endif
