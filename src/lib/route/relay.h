/* relay: may this client send to this recipient? Only for files of this room. */
#ifndef POSTERN_ROUTE_RELAY_H
#define POSTERN_ROUTE_RELAY_H

#include "route/impl.h"

/* to_relay: an access rule lets everybody send to rcpt. False: out->refused. */
bool route_may_relay(const struct route_tables *t, const struct route_client *client,
                     struct span sender, struct span rcpt, bool to_relay, struct arena *a,
                     struct trail *trail, struct route_accept *out);
/* In relay.from, authenticated, with Connect:... RELAY, or ourselves. 1, 0, -1. */
int route_trusted(const struct route_tables *t, const struct route_client *client,
                  struct trail *trail);

#endif
