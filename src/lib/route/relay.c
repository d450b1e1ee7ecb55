/* May this client send to this recipient? */
#include "route/relay.h"

#include "route/access.h"

static bool listed(const struct route_tables *t, const struct route_client *c,
                   struct trail *trail)
{
    struct buf ip, net;
    size_t i = 0;
    while (i < t->relay_from_count && !cidr_match(&t->relay_from[i], &c->ip))
        i++;
    bool found = i < t->relay_from_count;
    if (!trail)
        return found;
    buf_init(&ip, NETADDR_TEXT_MAX * 2);
    buf_init(&net, NETADDR_TEXT_MAX * 2);
    netaddr_put_ip(&ip, &c->ip);
    if (found) {
        cidr_put(&net, &t->relay_from[i]);
        trail_say(trail, TRAIL_MATCH, "relay.from", buf_span(&ip), "%.*s",
                  SPAN_ARG(buf_span(&net)));
    } else {
        route_step(trail, TRAIL_MISS, "relay.from", buf_span(&ip), SPAN_NONE, NULL);
    }
    buf_free(&net);
    buf_free(&ip);
    return found;
}

int route_trusted(const struct route_tables *t, const struct route_client *c,
                  struct trail *trail)
{
    struct route_access rule;
    struct route_search s = { t, trail, ROUTE_TAG_CONNECT, true, true };
    if (c->ip.family == NETADDR_NONE)
        return 1;
    if (c->auth.n) {
        trail_say(trail, TRAIL_MATCH, "auth", c->auth, "authenticated");
        return 1;
    }
    if (listed(t, c, trail))
        return 1;
    int found = route_access_client(&s, c, &rule);
    return found == 1 ? rule.kind == ROUTE_ACCESS_RELAY : found;
}

static bool deny(struct route_accept *out, struct arena *a, struct span rcpt,
                 const struct route_client *c)
{
    struct buf b;
    buf_init(&b, 256);
    buf_putz(&b, "Relaying denied");
    if (c->name >= ROUTE_NAME_FAILED) {
        buf_putz(&b, c->name == ROUTE_NAME_FAILED ? ". IP name lookup failed ["
                                                  : ". IP name possibly forged [");
        netaddr_put_ip(&b, &c->ip);
        buf_putc(&b, ']');
    }
    route_refuse(out, a, 550, SPAN("5.7.1"), rcpt, buf_span(&b));
    if (out->reply.text.p == buf_span(&b).p) /* no room for a copy */
        out->reply.text = SPAN("Relaying denied");
    buf_free(&b);
    return false;
}

/* Ours for everybody: local, virtual, in relay.domains. *entry_r, *what_r say why. */
static bool ours(const struct route_tables *t, const struct route_address *addr,
                 struct span *entry, const char **what)
{
    *what = "local";
    if (route_is_local(t, addr, entry))
        return true;
    *what = "virtusertable";
    *entry = SPAN("a domain of it");
    if (route_is_virtual(t, addr))
        return true;
    *what = "relay.domains";
    return route_names_has(t->relay_domains, addr, entry);
}

/* An `error:` entry of the mailertable answers everybody. */
static bool table_refuses(const struct route_tables *t, struct span sender, struct span rcpt,
                          struct arena *a, struct trail *trail, struct route_accept *out)
{
    struct route_dest d;
    struct route_ask ask = { .sender = sender, .rcpt = rcpt };
    if (!t->map[ROUTE_MAILERTABLE] || !route_find(t, &ask, a, trail, &d) ||
        d.mailer != ROUTE_ERROR || !span_starts(d.matched, SPAN("mailertable ")))
        return false;
    route_refuse(out, a, d.reply, d.code, SPAN_NONE, d.text);
    return true;
}

bool route_may_relay(const struct route_tables *t, const struct route_client *client,
                     struct span sender, struct span rcpt, bool to_relay, struct arena *a,
                     struct trail *trail, struct route_accept *out)
{
    struct route_address addr = route_address(rcpt);
    struct span entry = SPAN_NONE;
    const char *what;
    int trusted = route_trusted(t, client, trail);
    if (trusted < 0)
        return route_refuse(out, a, 451, SPAN("4.3.0"), SPAN_NONE,
                            SPAN("Temporary failure: the access table cannot be asked"));
    if (trusted)
        return true;
    if (t->postmaster.n && span_ieq(rcpt, t->postmaster)) {
        trail_say(trail, TRAIL_MATCH, "postmaster", rcpt, "everybody may write to it");
        return true;
    }
    bool mine = ours(t, &addr, &entry, &what);
    if (mine)
        trail_say(trail, TRAIL_MATCH, what, addr.domain, "%.*s", SPAN_ARG(entry));
    else
        route_step(trail, TRAIL_MISS, "relay.domains", addr.domain, SPAN_NONE, NULL);
    if (mine && strcmp(what, "relay.domains") != 0)
        return true;
    if (mine || to_relay) {
        if (!route_address_routed(&addr)) {
            out->verify = mine && t->verify && !span_ieq(addr.local, SPAN("postmaster"));
            return true;
        }
        trail_say(trail, TRAIL_NOTE, what, addr.local,
                  "the local part asks to be sent on: not for strangers");
    } else if (table_refuses(t, sender, rcpt, a, trail, out)) {
        return false;
    }
    return deny(out, a, rcpt, client);
}

bool route_relay_allowed(const struct route_tables *t, const struct route_client *client,
                         struct span rcpt, struct arena *a, struct trail *trail,
                         struct route_reply *reply)
{
    struct route_address addr = route_address(rcpt);
    struct route_accept out = { 0 };
    if (addr.kind == ROUTE_ADDR_BAD)
        route_refuse(&out, a, 553, span_str(addr.code), rcpt, span_str(addr.text));
    else
        route_may_relay(t, client, SPAN_NONE, rcpt, false, a, trail, &out);
    *reply = out.reply;
    return !out.refused;
}
