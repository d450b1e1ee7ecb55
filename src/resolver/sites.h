/* sites: what qmgr asks of the DNS: at which site a destination is. */
#ifndef POSTERN_RESOLVER_SITES_H
#define POSTERN_RESOLVER_SITES_H

#include "dns/resolver.h"

struct resolver_sites;

/* fd: the channel to qmgr, taken over. params is called for every question, to set the port and
 * what is our own. Questions wait until resolver_sites_start. */
struct resolver_sites *resolver_sites_new(struct loop *l, int fd,
                                          void (*params)(void *ctx, struct dns_mx_params *p),
                                          void *ctx);
void resolver_sites_start(struct resolver_sites *n, struct dns_resolver *r); /* n may be NULL */
void resolver_sites_free(struct resolver_sites **n); /* accepts NULL in *n */

#endif
