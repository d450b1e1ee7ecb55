/* The ladder of an attempt: each rung decides or passes on. */
#include "route/impl.h"
#include "route/value.h"

struct walk {
    const struct route_tables *tables;
    const struct route_ask *ask;
    struct route_address addr;
    struct arena *arena;
    struct trail *trail;
    struct route_dest *dest;
    bool needs_canon;
};

static bool refuse(struct walk *w, uint16_t reply, const char *code, const char *text,
                   const char *matched)
{
    *w->dest = (struct route_dest){
        .mailer = ROUTE_ERROR, .reply = reply, .code = span_str(code),
        .text = span_str(text), .matched = span_str(matched),
    };
    return true;
}

static struct span text_of(struct walk *w, struct buf *b)
{
    struct span s = b->failed ? SPAN_NONE : arena_dup(w->arena, buf_span(b));
    buf_free(b);
    return s;
}

/* --- what needs no table --- */

/* What only our own aliases may write. A program's text may have any characters. */
static bool rung_expanded(struct walk *w)
{
    struct span s = w->ask->rcpt;
    bool program = span_starts(s, SPAN("|")), file = span_starts(s, SPAN("/"));
    if (!(w->ask->rcpt_flags & ROUTE_EXPANDED) || !(program || file))
        return false;
    *w->dest = (struct route_dest){ .mailer = program ? ROUTE_PROGRAM : ROUTE_FILE,
                                    .path = span_trim(span_from(s, program)),
                                    .matched = SPAN("aliases") };
    trail_say(w->trail, TRAIL_NOTE, "aliases", s, "%s of an alias", program ? "a program"
                                                                            : "a file");
    return true;
}

/* A local user by such a name is what somebody else has written. */
static bool runs(struct walk *w, struct span user)
{
    const char *text = NULL;
    if (span_starts(user, SPAN("|")))
        text = "Cannot mail directly to programs";
    else if (span_starts(user, SPAN("/")))
        text = "Cannot mail directly to files";
    else if (span_istarts(user, SPAN(":include:")))
        text = "Cannot mail directly to :include:s";
    return text && refuse(w, 550, "5.7.1", text, "local");
}

static bool rung_syntax(struct walk *w)
{
    if (w->addr.kind != ROUTE_ADDR_BAD)
        return false;
    return refuse(w, 553, w->addr.code, w->addr.text, "syntax");
}

/* user@new.example.REDIRECT, on the right-hand side of an alias, says where somebody went. */
static bool rung_redirect(struct walk *w)
{
    struct span moved;
    struct buf b;
    if (!route_address_moved(&w->addr, &moved))
        return false;
    buf_init(&b, ROUTE_TEXT_MAX);
    buf_printf(&b, "User has moved; please try <%.*s@%.*s>", SPAN_ARG(w->addr.local),
               SPAN_ARG(moved));
    refuse(w, 551, "5.1.1", "User has moved", "redirect");
    struct span text = text_of(w, &b);
    if (text.p)
        w->dest->text = text;
    return true;
}

static bool to_user(struct walk *w, struct span local, const char *matched)
{
    struct span plain = route_address_unquoted(local, w->arena);
    size_t plus = span_find(plain, '+');
    if (plus == 0) /* "+x": a user of that name, if anybody */
        plus = plain.n;
    *w->dest = (struct route_dest){ .mailer = ROUTE_LOCAL, .user = span_to(plain, plus),
                                    .detail = span_from(plain, plus + 1),
                                    .matched = span_str(matched) };
    return true;
}

/* Hosted domains that no other table knows: who is not in the virtusertable does not exist. */
static bool rung_virtual(struct walk *w)
{
    struct span value = SPAN_NONE;
    struct err e;
    if (!route_is_virtual(w->tables, &w->addr))
        return false;
    int found = route_virtual(w->tables, &w->addr, w->arena, w->trail, &value);
    if (found < 0)
        return refuse(w, 451, "4.3.0", "Temporary failure: the virtusertable cannot be asked",
                      "virtusertable");
    if (!found || !span_istarts(value, SPAN("error:")))
        return false;
    struct route_dest d = { .mailer = ROUTE_ERROR, .matched = SPAN("virtusertable") };
    if (!route_value_error(span_trim(span_from(value, 6)), &d, &e))
        return false;
    *w->dest = d;
    return true;
}

static bool rung_unknown(struct walk *w)
{
    struct span entry;
    if (!route_is_virtual(w->tables, &w->addr) ||
        route_names_has(w->tables->relay_domains, &w->addr, &entry))
        return false;
    trail_say(w->trail, TRAIL_NOTE, "virtusertable", w->addr.domain,
              "a hosted domain, and nothing says where this address goes");
    return refuse(w, 550, "5.1.1", "User unknown", "virtual");
}

static bool rung_local(struct walk *w)
{
    struct span why;
    if (!route_is_local(w->tables, &w->addr, &why)) {
        route_step(w->trail, TRAIL_MISS, "local", w->addr.domain, SPAN_NONE, NULL);
        return false;
    }
    trail_say(w->trail, TRAIL_MATCH, "local", w->addr.domain, "%.*s", SPAN_ARG(why));
    return runs(w, route_address_unquoted(w->addr.local, w->arena)) ||
           to_user(w, w->addr.local, "local");
}

static bool to_hop(struct walk *w, const struct dns_hop *hop, const char *matched)
{
    struct dns_hop *copy = arena_alloc(w->arena, sizeof *copy);
    if (!copy)
        return refuse(w, 451, "4.3.0", "Out of room while routing", "limit");
    *copy = *hop;
    *w->dest = (struct route_dest){ .mailer = ROUTE_ESMTP, .hops = copy, .hop_count = 1,
                                    .matched = span_str(matched) };
    return true;
}

/* user@[192.0.2.1] goes to that address; no table is asked (as sendmail has it). */
static bool rung_literal(struct walk *w)
{
    if (w->addr.kind != ROUTE_ADDR_LITERAL)
        return false;
    struct dns_hop hop = { .host = w->addr.domain, .bracketed = true, .literal = true,
                           .addr = w->addr.literal };
    return to_hop(w, &hop, "literal");
}

/* --- rules that would park the mail --- */

static bool own_ip(void *ctx, const struct netaddr *ip) { return route_is_own_ip(ctx, ip); }

/* The listener of ours that the first next hop is. A host that is only known by name is found
 * out when it is connected to. */
const struct config_listen *route_own_listener(const struct route_tables *t,
                                               const struct route_dest *d)
{
    if (!t->config || d->mailer >= ROUTE_LMTP || !d->hop_count || !d->hops[0].literal)
        return NULL;
    struct netaddr at = d->hops[0].addr;
    at.port = d->hops[0].port ? d->hops[0].port : (uint16_t)t->config->deliver.port;
    if (!config_listens_at(t->config, &at, own_ip, (void *)(uintptr_t)t))
        return NULL;
    return config_listen_at(t->config, &at);
}

/* True: the rule is not for this mail now, since it was released, or since it leads back to us
 * with nothing to wait for. */
static bool passed_over(struct walk *w, const char *table, struct span key)
{
    struct route_dest *d = w->dest;
    const struct config_listen *own = route_own_listener(w->tables, d);
    if (own && own->delivery == CONFIG_DELIVER) {
        trail_say(w->trail, TRAIL_NOTE, table, key, "passed over: the next hop is our own "
                  "listener \"%.*s\", which delivers at once", SPAN_ARG(own->name));
        return true;
    }
    if (w->ask->released && (own || d->mailer == ROUTE_HOLD)) {
        trail_say(w->trail, TRAIL_NOTE, table, key, "passed over: the mail was released");
        return true;
    }
    if (own) {
        d->own_listener = own->name;
        d->own_delivery = (uint8_t)own->delivery;
        trail_say(w->trail, TRAIL_NOTE, table, key, "the next hop is our own listener \"%.*s\": "
                  "the mail waits here", SPAN_ARG(own->name));
    }
    return false;
}

/* --- the tables --- */

/* One key of the mailertable or smarttable. 1: decided; 0: go on; -1: the table cannot say. */
static int try_key(struct walk *w, enum route_table which, struct span key, struct span part)
{
    const char *table = route_table_name(which);
    struct map_hit hit;
    struct err e = { "" };
    struct buf b;
    int found = route_look(w->tables, which, key, w->trail, &hit);
    if (found < 0) {
        refuse(w, 451, "4.3.0", which == ROUTE_MAILERTABLE
                                    ? "Temporary failure: the mailertable cannot be asked"
                                    : "Temporary failure: the smarttable cannot be asked", table);
        return -1;
    }
    if (!found)
        return 0;
    bool good = which == ROUTE_MAILERTABLE
                    ? route_value(hit.value, part, w->arena, w->dest, &e)
                    : route_value_or_hops(hit.value, w->arena, w->dest, &e);
    if (!good) { /* checked at load: only %1 */
        trail_say(w->trail, TRAIL_FAIL, table, key, "%s", e.text);
        refuse(w, 451, "4.3.5", "Local configuration error in the routing tables", table);
        return -1;
    }
    if (passed_over(w, table, key))
        return 0;
    if (w->dest->mailer == ROUTE_LOCAL)
        to_user(w, w->dest->user.n ? w->dest->user : w->addr.local, table);
    buf_init(&b, ROUTE_TEXT_MAX);
    buf_printf(&b, "%s %.*s", table, SPAN_ARG(key));
    w->dest->matched = text_of(w, &b);
    return 1;
}

/* a.b.c: "a.b.c", ".b.c", ".c"; without ".": that comes after all spellings of the name. */
static int try_name(struct walk *w, struct span name)
{
    int found = try_key(w, ROUTE_MAILERTABLE, name, SPAN_NONE);
    for (size_t dot = span_find(name, '.'); found == 0 && dot < name.n;) {
        found = try_key(w, ROUTE_MAILERTABLE, span_from(name, dot), span_to(name, dot));
        size_t next = span_find(span_from(name, dot + 1), '.');
        dot = dot + 1 + next;
    }
    return found;
}

/* The canonical name, after the name as written: sendmail knows the canonical one only, which
 * makes a key that somebody wrote for the name in the address useless. */
static int try_canon(struct walk *w, struct span name)
{
    struct dns_name canon;
    if (!w->ask->canon_known) {
        w->needs_canon = true;
        return 1;
    }
    if (!w->ask->canon.n && w->ask->canon_why.n)
        trail_say(w->trail, TRAIL_FAIL, "canon", name, "%.*s", SPAN_ARG(w->ask->canon_why));
    if (!w->ask->canon.n || dns_name_from(w->ask->canon, &canon) != DNS_NAME_OK ||
        span_eq(dns_name_span(&canon), name))
        return 0;
    struct span text = arena_dup(w->arena, dns_name_span(&canon));
    if (!text.p)
        return 0;
    trail_say(w->trail, TRAIL_NOTE, "canon", name, "%.*s", SPAN_ARG(text));
    return try_name(w, text);
}

static bool rung_mailertable(struct walk *w)
{
    if (!w->tables->map[ROUTE_MAILERTABLE])
        return false;
    /* the copy of a dns_name in w->addr lives as long as this call, keys in the result longer */
    struct span name = arena_dup(w->arena, dns_name_span(&w->addr.name));
    if (!name.p)
        return refuse(w, 451, "4.3.0", "Out of room while routing", "limit");
    struct span written = route_lower(w->addr.domain, w->arena);
    int found = try_name(w, written);
    if (found == 0 && !span_eq(name, written)) /* written in UTF-8: its A-labels too */
        found = try_name(w, name);
    if (found == 0 && w->tables->mailertable_has_names && !w->tables->no_canonical)
        found = try_canon(w, name);
    if (found == 0)
        found = try_key(w, ROUTE_MAILERTABLE, SPAN("."), name);
    return found != 0;
}

static bool rung_smarttable(struct walk *w)
{
    struct span sender = route_lower(w->ask->sender, w->arena);
    if (!w->tables->map[ROUTE_SMARTTABLE])
        return false;
    if (!sender.n)
        return try_key(w, ROUTE_SMARTTABLE, SPAN("@"), SPAN_NONE) != 0;
    int found = try_key(w, ROUTE_SMARTTABLE, sender, SPAN_NONE);
    size_t at = span_rfind(sender, '@');
    if (found == 0 && at < sender.n)
        found = try_key(w, ROUTE_SMARTTABLE, span_from(sender, at), SPAN_NONE);
    return found != 0;
}

static bool rung_smart_host(struct walk *w)
{
    if (!w->tables->has_smart_host)
        return false;
    trail_say(w->trail, TRAIL_MATCH, "smart_host", SPAN_NONE, "%.*s",
              SPAN_ARG(w->tables->smart_host_text));
    *w->dest = w->tables->smart_host;
    return !passed_over(w, "smart_host", SPAN_NONE);
}

static bool rung_mx(struct walk *w)
{
    struct dns_hop hop = { .host = arena_dup(w->arena, dns_name_span(&w->addr.name)) };
    /* user@192.0.2.1 without brackets is taken for the address, as by sendmail */
    hop.literal = dns_name_is_ipv4(hop.host, &hop.addr);
    return to_hop(w, &hop, "mx");
}

static bool climb(struct walk *w)
{
    static bool (*const rungs[])(struct walk *) = {
        rung_expanded, rung_syntax,      rung_redirect,   rung_virtual, rung_local,
        rung_literal,  rung_mailertable, rung_smarttable, rung_unknown, rung_smart_host,
        rung_mx,
    };
    w->needs_canon = false;
    *w->dest = (struct route_dest){ 0 };
    for (size_t i = 0; i < sizeof rungs / sizeof *rungs; i++)
        if (rungs[i](w))
            break;
    return !w->needs_canon;
}

bool route_find(const struct route_tables *tables, const struct route_ask *ask, struct arena *a,
                struct trail *t, struct route_dest *dest)
{
    struct walk w = { .tables = tables, .ask = ask, .addr = route_address(ask->rcpt), .arena = a,
                      .dest = dest };
    /* the first time without a trail: steps of a walk that is broken off are nobody's */
    if ((t == NULL || !ask->canon_known) && !climb(&w))
        return false;
    w.trail = t;
    if (t)
        climb(&w);
    if (!route_dest_make_queue(dest, a)) {
        refuse(&w, 451, "4.3.0", "Out of room while routing", "limit");
        dest->queue = SPAN("error");
    }
    if (t) {
        struct buf b;
        buf_init(&b, ROUTE_KEY_MAX);
        route_dest_put_value(&b, dest);
        trail_say(t, TRAIL_DECIDED, "route", ask->rcpt, "%.*s", SPAN_ARG(buf_span(&b)));
        buf_free(&b);
    }
    return true;
}
