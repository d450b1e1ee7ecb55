/* When mail is taken in: the three questions. */
#include "route/impl.h"

bool route_accept_client(const struct route_tables *t, const struct route_client *client,
                         struct arena *a, struct trail *trail, struct route_accept *out)
{
    (void)t;
    (void)client;
    (void)a;
    (void)trail;
    *out = (struct route_accept){ 0 };
    return true;
}

bool route_accept_sender(const struct route_tables *t, const struct route_client *client,
                         struct span sender, struct arena *a, struct trail *trail,
                         struct route_accept *out)
{
    (void)sender;
    return route_accept_client(t, client, a, trail, out);
}

bool route_accept_rcpt(const struct route_tables *t, const struct route_client *client,
                       struct span sender, struct span rcpt, struct arena *a,
                       struct trail *trail, struct route_accept *out)
{
    struct route_dest d;
    struct route_ask ask = { .sender = sender, .rcpt = rcpt };
    *out = (struct route_accept){ 0 };
    if (!route_relay_allowed(t, client, rcpt, a, trail, &out->reply)) {
        out->refused = true;
        return false;
    }
    if (route_find(t, &ask, a, trail, &d) && d.mailer == ROUTE_ERROR) {
        out->refused = true;
        out->reply = (struct route_reply){ d.reply, d.code, d.text };
        return false;
    }
    out->targets = arena_alloc(a, sizeof *out->targets);
    if (!out->targets) {
        out->refused = true;
        out->reply = (struct route_reply){ 451, SPAN("4.3.0"), SPAN("Out of room") };
        return false;
    }
    out->targets[0] = (struct route_target){ .addr = rcpt };
    out->target_count = 1;
    return true;
}

bool route_is_local_address(const struct route_tables *t, struct span addr)
{
    struct route_address a = route_address(addr);
    struct span why;
    return a.kind != ROUTE_ADDR_BAD && route_is_local(t, &a, &why);
}
