/* May this client send to this recipient? */
#include "route/impl.h"

static bool trusted(const struct route_tables *t, const struct route_client *c,
                    struct trail *trail)
{
    struct buf ip;
    bool found = false;
    if (c->ip.family == NETADDR_NONE)
        return true;
    if (c->auth.n) {
        trail_say(trail, TRAIL_MATCH, "auth", c->auth, "authenticated");
        return true;
    }
    buf_init(&ip, NETADDR_TEXT_MAX * 2);
    netaddr_put_ip(&ip, &c->ip);
    for (size_t i = 0; i < t->relay_from_count && !found; i++) {
        struct buf net;
        if (!cidr_match(&t->relay_from[i], &c->ip))
            continue;
        found = true;
        buf_init(&net, NETADDR_TEXT_MAX * 2);
        cidr_put(&net, &t->relay_from[i]);
        trail_say(trail, TRAIL_MATCH, "relay.from", buf_span(&ip), "%.*s",
                  SPAN_ARG(buf_span(&net)));
        buf_free(&net);
    }
    if (!found)
        trail_add(trail, &(struct trail_step){ .verdict = TRAIL_MISS, .ttl_s = -1,
                                               .what = SPAN("relay.from"), .key = buf_span(&ip) });
    buf_free(&ip);
    return found;
}

/* The recipient's text may be a stranger's: it goes back to him alone, cut to a length that
 * leaves the reply within a line of 512 (RFC 5321 4.5.3.1.5). */
static void deny(struct route_reply *reply, struct arena *a, uint16_t code, const char *enhanced,
                 struct span rcpt, const char *text, const struct route_client *c)
{
    struct buf b;
    buf_init(&b, 600);
    buf_printf(&b, "<%.*s>... %s", SPAN_ARG(span_to(rcpt, 300)), text);
    if (c && c->name >= ROUTE_NAME_FAILED) {
        buf_putz(&b, c->name == ROUTE_NAME_FAILED ? ". IP name lookup failed ["
                                                  : ". IP name possibly forged [");
        netaddr_put_ip(&b, &c->ip);
        buf_putc(&b, ']');
    }
    *reply = (struct route_reply){ code, span_str(enhanced), arena_dup(a, buf_span(&b)) };
    if (!reply->text.p)
        reply->text = SPAN("Relaying denied");
    buf_free(&b);
}

bool route_relay_allowed(const struct route_tables *tables, const struct route_client *client,
                         struct span rcpt, struct arena *a, struct trail *t,
                         struct route_reply *reply)
{
    struct route_address addr = route_address(rcpt);
    struct span entry;
    *reply = (struct route_reply){ 0 };
    if (addr.kind == ROUTE_ADDR_BAD) {
        deny(reply, a, 553, addr.code, rcpt, addr.text, NULL);
        return false;
    }
    if (trusted(tables, client, t))
        return true;
    if (tables->postmaster.n && span_ieq(rcpt, tables->postmaster)) {
        trail_say(t, TRAIL_MATCH, "postmaster", rcpt, "everybody may write to it");
        return true;
    }
    if (route_is_local(tables, &addr, &entry)) {
        trail_say(t, TRAIL_MATCH, "local", addr.domain, "%.*s", SPAN_ARG(entry));
        return true;
    }
    if (route_names_has(tables->relay_domains, &addr, &entry)) {
        trail_say(t, TRAIL_MATCH, "relay.domains", addr.domain, "%.*s", SPAN_ARG(entry));
        if (!route_address_routed(&addr))
            return true;
        trail_say(t, TRAIL_NOTE, "relay.domains", addr.local,
                  "the local part asks to be sent on: not for strangers");
    } else {
        trail_add(t, &(struct trail_step){ .verdict = TRAIL_MISS, .ttl_s = -1,
                                           .what = SPAN("relay.domains"), .key = addr.domain });
    }
    deny(reply, a, 550, "5.7.1", rcpt, "Relaying denied", client);
    return false;
}
