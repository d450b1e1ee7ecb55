/* names: a set of domains as route.local and relay.domains write them: "example.net" is that name
 * alone, ".example.net" every name below it, "[192.0.2.1]" that address as a literal. */
#ifndef POSTERN_ROUTE_NAMES_H
#define POSTERN_ROUTE_NAMES_H

#include "base/err.h"
#include "route/address.h"

struct route_names;

struct route_names *route_names_new(uint64_t seed);
void route_names_free(struct route_names **n);
/* False: e says what is wrong with it. The same name twice is fine. */
bool route_names_add(struct route_names *n, struct span name, struct err *e);
/* Whether a's domain is in the set; *entry_r is the entry that says so, as long as the set. */
bool route_names_has(const struct route_names *n, const struct route_address *a,
                     struct span *entry_r);

#endif
