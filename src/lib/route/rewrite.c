/* The sender's address as others are to see it. */
#include "route/impl.h"

bool route_rewrites(const struct route_tables *t, const struct route_client *client)
{
    (void)t;
    (void)client;
    return false;
}

struct span route_rewrite_sender(const struct route_tables *t, enum route_place place,
                                 struct span addr, struct arena *a, struct trail *trail)
{
    (void)t;
    (void)place;
    (void)a;
    (void)trail;
    return addr;
}
