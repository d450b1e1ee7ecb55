/* Maps of the tables, each with the check of its entries. */
#include "route/impl.h"
#include "route/value.h"

struct map *route_open_table(enum route_table which, struct span spec, uint64_t seed,
                             struct map_report *r)
{
    struct map_params p = { .seed = seed };
    if (which == ROUTE_MAILERTABLE)
        p.check = route_check_entry;
    p.empty_values = which == ROUTE_RECIPIENTS || which == ROUTE_USERS;
    return map_open(spec, &p, r);
}
