/* When mail is taken in: the three questions. */
#include "route/access.h"
#include "route/impl.h"
#include "route/relay.h"

bool route_refuse(struct route_accept *out, struct arena *a, uint16_t reply, struct span code,
                  struct span who, struct span text)
{
    struct buf b;
    out->refused = true;
    out->reply = (struct route_reply){ reply, code, text };
    out->target_count = 0;
    /* The recipient's text may be a stranger's: it goes back to him alone, cut to a length that
     * leaves the reply within a line of 512 (RFC 5321 4.5.3.1.5). */
    buf_init(&b, ROUTE_TEXT_MAX + 512);
    if (who.p)
        buf_printf(&b, "<%.*s>... ", SPAN_ARG(span_to(who, 300)));
    buf_puts(&b, text);
    struct span whole = arena_dup(a, buf_span(&b));
    if (whole.p && !b.failed)
        out->reply.text = whole;
    out->reply.code = arena_dup(a, code);
    if (!out->reply.code.p)
        out->reply.code = reply < 500 ? SPAN("4.3.0") : SPAN("5.3.0");
    buf_free(&b);
    return false;
}

static bool cannot_say(struct route_accept *out, struct arena *a)
{
    return route_refuse(out, a, 451, SPAN("4.3.0"), SPAN_NONE,
                        SPAN("Temporary failure: the access table cannot be asked"));
}

/* What an access rule does to who is named; who.p NULL: the client. */
static bool obey(const struct route_access *r, struct span who, bool is_rcpt, struct arena *a,
                 struct route_accept *out)
{
    switch (r->kind) {
    case ROUTE_ACCESS_REJECT:
        return is_rcpt ? route_refuse(out, a, 550, SPAN("5.2.1"), who,
                                      SPAN("Mailbox disabled for this recipient"))
                       : route_refuse(out, a, 550, SPAN("5.7.1"), who, SPAN("Access denied"));
    case ROUTE_ACCESS_ERROR:
        return route_refuse(out, a, r->reply, r->code, SPAN_NONE, r->text);
    case ROUTE_ACCESS_DISCARD:
        out->discard = true;
        return true;
    case ROUTE_ACCESS_QUARANTINE:
        if (!out->quarantine.n)
            out->quarantine = arena_dup(a, r->text);
        return true;
    default:
        return true;
    }
}

static bool check_client(const struct route_tables *t, const struct route_client *client,
                         struct arena *a, struct trail *trail, struct route_accept *out)
{
    struct route_access rule;
    struct route_search s = { t, trail, ROUTE_TAG_CONNECT, true, true };
    if (client->ip.family == NETADDR_NONE)
        return true;
    int found = route_access_client(&s, client, &rule);
    return found < 0 ? cannot_say(out, a) : found == 0 || obey(&rule, SPAN_NONE, false, a, out);
}

static bool check_sender(const struct route_tables *t, const struct route_client *client,
                         struct span sender, struct arena *a, struct trail *trail,
                         struct route_accept *out)
{
    struct route_access rule;
    struct route_search s = { t, trail, ROUTE_TAG_FROM, true, true };
    struct span who = sender.p ? sender : SPAN("");
    if (client->ip.family == NETADDR_NONE)
        return true;
    int found = route_access_address(&s, sender, &rule);
    return found < 0 ? cannot_say(out, a) : found == 0 || obey(&rule, who, false, a, out);
}

bool route_accept_client(const struct route_tables *t, const struct route_client *client,
                         struct arena *a, struct trail *trail, struct route_accept *out)
{
    *out = (struct route_accept){ 0 };
    return t->delay_checks || check_client(t, client, a, trail, out);
}

bool route_accept_sender(const struct route_tables *t, const struct route_client *client,
                         struct span sender, struct arena *a, struct trail *trail,
                         struct route_accept *out)
{
    *out = (struct route_accept){ 0 };
    return t->delay_checks || check_sender(t, client, sender, a, trail, out);
}

/* To: rules. *relay_r: the recipient may be relayed to. Keys without a tag are for recipients
 * only when blocklist_recipients says so, but RELAY behind one of them always counts. */
static bool check_to(const struct route_tables *t, const struct route_client *client,
                     struct span rcpt, struct arena *a, struct trail *trail,
                     struct route_accept *out, bool *relay_r)
{
    struct route_access rule;
    struct route_address addr = route_address(rcpt);
    struct route_search s = { t, trail, ROUTE_TAG_TO, true, t->blocklist_recipients };
    int found = route_access_address(&s, rcpt, &rule);
    if (found < 0)
        return cannot_say(out, a);
    if (found && !obey(&rule, rcpt, true, a, out))
        return false;
    *relay_r = found && rule.kind == ROUTE_ACCESS_RELAY;
    if (*relay_r || out->discard || client->ip.family == NETADDR_NONE ||
        (!found && t->blocklist_recipients))
        return true;
    /* What stands for the address alone (QUARANTINE) does not take RELAY from its domain. */
    s.tagged = found;
    s.untagged = true;
    found = route_access_domain(&s, &addr, &rule);
    *relay_r = found == 1 && rule.kind == ROUTE_ACCESS_RELAY;
    return found >= 0 || cannot_say(out, a);
}

/* --- who has a mailbox --- */

int route_user_exists(const struct route_tables *t, struct span user, struct trail *trail)
{
    struct map_hit hit;
    return t->map[ROUTE_USERS] ? route_look(t, ROUTE_USERS, user, trail, &hit) : 1;
}

/* relay.recipients: user+detail@domain, user@domain, @domain. */
static int known_recipient(const struct route_tables *t, const struct route_address *addr,
                           struct trail *trail)
{
    char key[MAP_KEY_MAX];
    struct map_hit hit;
    struct span domain = dns_name_span(&addr->name);
    size_t plus = span_find(addr->local, '+'), lengths[3] = { addr->local.n, plus, 0 };
    int found = 0;
    if (addr->local.n + domain.n + 1 > sizeof key)
        return 0;
    for (int i = 0; i < 3 && found == 0; i++) {
        size_t n = lengths[i];
        if (i == 1 && (plus == 0 || plus == addr->local.n))
            continue;
        memcpy(key, addr->local.p, n);
        key[n] = '@';
        memcpy(key + n + 1, domain.p, domain.n);
        found = route_look(t, ROUTE_RECIPIENTS, route_fold(key, n + 1 + domain.n), trail, &hit);
    }
    return found;
}

static bool check_recipient(const struct route_tables *t, const struct route_address *addr,
                            struct span rcpt, struct arena *a, struct trail *trail,
                            struct route_accept *out)
{
    struct span entry, ignored;
    if (!t->map[ROUTE_RECIPIENTS] || !route_names_has(t->relay_domains, addr, &entry) ||
        route_is_local(t, addr, &entry) || span_ieq(addr->local, SPAN("postmaster")))
        return true;
    if (route_virtual(t, addr, a, NULL, &ignored) != 0)
        return true; /* route_expand says what becomes of it */
    int found = known_recipient(t, addr, trail);
    if (found < 0)
        return route_refuse(out, a, 451, SPAN("4.3.0"), SPAN_NONE,
                            SPAN("Temporary failure: the recipients cannot be asked"));
    return found || route_refuse(out, a, 550, SPAN("5.1.1"), rcpt, SPAN("User unknown"));
}

bool route_may_verify(const struct route_dest *d)
{
    return route_dest_has_hops(d) && d->hop_count && !d->own_listener.n;
}

static void say_verify(const struct route_tables *t, struct span rcpt, const struct route_dest *d,
                       struct trail *trail)
{
    struct buf b;
    buf_init(&b, ROUTE_TEXT_MAX);
    if (t->world.verified)
        t->world.verified(t->world.ctx, rcpt, d->queue, &b);
    if (b.len)
        trail_say(trail, TRAIL_NOTE, "relay.verify", rcpt, "%.*s", SPAN_ARG(buf_span(&b)));
    else
        trail_say(trail, TRAIL_NOTE, "relay.verify", rcpt,
                  "the next hop is asked whether it knows the recipient");
    buf_free(&b);
}

/* What a recipient became, when it is one: what cannot be delivered is said at once, so that
 * nobody has to write a report to a forged sender. */
static bool check_target(const struct route_tables *t, struct span sender, struct span rcpt,
                         struct arena *a, struct trail *trail, struct route_accept *out)
{
    const struct route_target *target = &out->targets[0];
    struct route_dest d;
    struct route_ask ask = { .sender = target->own_sender ? target->sender : sender,
                             .rcpt = target->addr, .rcpt_flags = target->flags };
    struct route_address addr = route_address(target->addr);
    ask.canon_known = route_is_virtual(t, &addr); /* no other name makes a hosted address known */
    out->verify &= out->target_count == 1 && !target->flags && span_eq(target->addr, rcpt);
    if (out->target_count != 1 || !route_find(t, &ask, a, trail, &d))
        return true;
    out->verify &= route_may_verify(&d);
    if (trail && out->verify)
        say_verify(t, rcpt, &d, trail);
    if (d.mailer == ROUTE_ERROR) {
        bool plain = span_eq(d.matched, SPAN("local")) || span_eq(d.matched, SPAN("virtual")) ||
                     span_eq(d.matched, SPAN("syntax"));
        return route_refuse(out, a, d.reply, d.code, plain ? rcpt : SPAN_NONE, d.text);
    }
    int found = d.mailer == ROUTE_LOCAL ? route_user_exists(t, d.user, trail) : 1;
    if (found < 0)
        return route_refuse(out, a, 451, SPAN("4.3.0"), SPAN_NONE,
                            SPAN("Temporary failure: the users cannot be asked"));
    return found || route_refuse(out, a, 550, SPAN("5.1.1"), rcpt, SPAN("User unknown"));
}

/* Accepted as it is named. */
static bool itself(struct route_accept *out, struct span rcpt, struct arena *a)
{
    out->targets = arena_alloc(a, sizeof *out->targets);
    if (!out->targets)
        return cannot_say(out, a);
    out->targets[0] = (struct route_target){ .addr = rcpt };
    out->target_count = 1;
    return true;
}

bool route_accept_rcpt(const struct route_tables *t, const struct route_client *client,
                       struct span sender, struct span rcpt, struct arena *a,
                       struct trail *trail, struct route_accept *out)
{
    struct route_address addr = route_address(rcpt);
    struct span moved;
    bool relay = false;
    *out = (struct route_accept){ 0 };
    if (t->delay_checks && !client->auth.n && !check_client(t, client, a, trail, out))
        return false;
    if (t->delay_checks && !check_sender(t, client, sender, a, trail, out))
        return false;
    if (addr.kind == ROUTE_ADDR_BAD)
        return route_refuse(out, a, 553, span_str(addr.code), rcpt, span_str(addr.text));
    if (route_address_moved(&addr, &moved)) /* whoever asks is told */
        return itself(out, rcpt, a) && check_target(t, sender, rcpt, a, trail, out);
    if (!check_to(t, client, rcpt, a, trail, out, &relay))
        return false;
    if (out->discard) /* nothing is sent anywhere: no other question matters */
        return itself(out, rcpt, a);
    if (!route_may_relay(t, client, sender, rcpt, relay, a, trail, out) ||
        !check_recipient(t, &addr, rcpt, a, trail, out) ||
        !route_expand(t, sender, rcpt, a, trail, out))
        return false;
    return check_target(t, sender, rcpt, a, trail, out);
}

bool route_is_local_address(const struct route_tables *t, struct span addr)
{
    struct route_address a = route_address(addr);
    struct span why;
    return a.kind != ROUTE_ADDR_BAD && route_is_local(t, &a, &why);
}
