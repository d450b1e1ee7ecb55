/* names: what router asks of the DNS: the verified name of an address, the canonical name of a
 * domain. */
#ifndef POSTERN_RESOLVER_NAMES_H
#define POSTERN_RESOLVER_NAMES_H

#include "dns/resolver.h"

struct resolver_names;

/* fd: the channel to router, taken over. Questions wait until resolver_names_start. */
struct resolver_names *resolver_names_new(struct loop *l, int fd);
void resolver_names_start(struct resolver_names *n, struct dns_resolver *r); /* n may be NULL */
void resolver_names_free(struct resolver_names **n); /* accepts NULL in *n */

#endif
