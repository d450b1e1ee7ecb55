/* admin: facts of the DNS for who asks over the admin socket: through the gateway's own cache,
 * so that the answer is what a delivery would be told now. */
#ifndef POSTERN_RESOLVER_ADMIN_H
#define POSTERN_RESOLVER_ADMIN_H

#include "dns/resolver.h"

struct resolver_admin;

/* fd: the channel to control, taken over. params is called for every question, to set the port
 * and what is our own. Questions wait until resolver_admin_start. */
struct resolver_admin *resolver_admin_new(struct loop *l, int fd,
                                          void (*params)(void *ctx, struct dns_mx_params *p),
                                          void *ctx);
void resolver_admin_start(struct resolver_admin *a, struct dns_resolver *r); /* a may be NULL */
void resolver_admin_free(struct resolver_admin **a);

#endif
