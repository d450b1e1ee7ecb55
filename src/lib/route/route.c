/* The ladder: each rung decides or passes on. Later tables (virtusertable, aliases, smarttable)
 * are further rungs. */
#include "route/impl.h"
#include "route/value.h"

struct walk {
    const struct route_tables *tables;
    struct span sender;
    struct route_address addr;
    struct arena *arena;
    struct trail *trail;
    struct route_dest *dest;
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

static void say_table(struct walk *w, const char *table, struct span key, struct span source,
                      const struct map_hit *hit, enum trail_verdict verdict)
{
    trail_add(w->trail, &(struct trail_step){
        .verdict = (uint8_t)verdict, .ttl_s = -1, .what = span_str(table), .key = key,
        .source = source, .line = hit ? hit->line : 0, .said = hit ? hit->value : SPAN_NONE });
}

static bool rung_syntax(struct walk *w)
{
    if (w->addr.kind != ROUTE_ADDR_BAD)
        return false;
    return refuse(w, 553, w->addr.code, w->addr.text, "syntax");
}

static bool rung_local(struct walk *w)
{
    struct span why;
    if (!route_is_local(w->tables, &w->addr, &why)) {
        say_table(w, "local", w->addr.domain, SPAN_NONE, NULL, TRAIL_MISS);
        return false;
    }
    trail_say(w->trail, TRAIL_MATCH, "local", w->addr.domain, "%.*s", SPAN_ARG(why));
    *w->dest = (struct route_dest){ .mailer = ROUTE_LOCAL, .user = w->addr.local,
                                    .matched = SPAN("local") };
    return true;
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

/* One key. 1: decided; 0: not there; -1: the table cannot say. */
static int try_key(struct walk *w, struct span key, struct span part)
{
    struct map *table = w->tables->mailertable;
    struct map_hit hit;
    struct err e = { "" };
    int found = map_lookup(table, key, &hit);
    say_table(w, "mailertable", key, map_source(table), found == 1 ? &hit : NULL,
              found == 1 ? TRAIL_MATCH : found == 0 ? TRAIL_MISS : TRAIL_FAIL);
    if (found < 0) {
        refuse(w, 451, "4.3.0", "Temporary failure: the mailertable cannot be asked",
               "mailertable");
        return -1;
    }
    if (!found)
        return 0;
    if (!route_value(hit.value, part, w->arena, w->dest, &e)) { /* checked at load: only %1 */
        trail_say(w->trail, TRAIL_FAIL, "mailertable", key, "%s", e.text);
        refuse(w, 451, "4.3.5", "Local configuration error in the mailertable", "mailertable");
        return -1;
    }
    if (w->dest->mailer == ROUTE_LOCAL && !w->dest->user.n)
        w->dest->user = w->addr.local;
    struct buf b;
    buf_init(&b, ROUTE_TEXT_MAX);
    buf_printf(&b, "mailertable %.*s", SPAN_ARG(key));
    w->dest->matched = arena_dup(w->arena, buf_span(&b));
    buf_free(&b);
    return 1;
}

/* a.b.c: "a.b.c", ".b.c", ".c"; without ".": that comes after all spellings of the name. */
static int try_name(struct walk *w, struct span name)
{
    int found = try_key(w, name, SPAN_NONE);
    for (size_t dot = span_find(name, '.'); found == 0 && dot < name.n;) {
        found = try_key(w, span_from(name, dot), span_to(name, dot));
        size_t next = span_find(span_from(name, dot + 1), '.');
        dot = dot + 1 + next;
    }
    return found;
}

static struct span lower(struct walk *w, struct span s)
{
    char *copy = arena_alloc(w->arena, s.n + 1);
    for (size_t i = 0; copy && i < s.n; i++)
        copy[i] = ascii_lower(s.p[i]);
    return copy ? span_of(copy, s.n) : s;
}

static bool rung_mailertable(struct walk *w)
{
    struct span name = dns_name_span(&w->addr.name);
    if (!w->tables->mailertable)
        return false;
    int found = try_name(w, lower(w, w->addr.domain));
    if (found == 0 && !span_ieq(name, w->addr.domain)) /* written in UTF-8: its A-labels too */
        found = try_name(w, name);
    if (found == 0)
        found = try_key(w, SPAN("."), name);
    return found != 0;
}

static bool rung_smart_host(struct walk *w)
{
    if (!w->tables->has_smart_host)
        return false;
    trail_say(w->trail, TRAIL_MATCH, "smart_host", SPAN_NONE, "%.*s",
              SPAN_ARG(w->tables->smart_host_text));
    *w->dest = w->tables->smart_host;
    return true;
}

static bool rung_mx(struct walk *w)
{
    struct dns_hop hop = { .host = arena_dup(w->arena, dns_name_span(&w->addr.name)) };
    /* user@192.0.2.1 without brackets is taken for the address, as by sendmail */
    hop.literal = dns_name_is_ipv4(hop.host, &hop.addr);
    return to_hop(w, &hop, "mx");
}

void route_find(const struct route_tables *tables, struct span sender, struct span rcpt,
                struct arena *a, struct trail *t, struct route_dest *dest)
{
    static bool (*const rungs[])(struct walk *) = {
        rung_syntax, rung_local, rung_literal, rung_mailertable, rung_smart_host, rung_mx,
    };
    struct walk w = { .tables = tables, .sender = sender, .addr = route_address(rcpt),
                      .arena = a, .trail = t, .dest = dest };
    for (size_t i = 0; i < sizeof rungs / sizeof *rungs; i++)
        if (rungs[i](&w))
            break;
    if (!route_dest_make_queue(dest, a)) {
        refuse(&w, 451, "4.3.0", "Out of room while routing", "limit");
        dest->queue = SPAN("error");
    }
    if (t) {
        struct buf b;
        buf_init(&b, ROUTE_KEY_MAX);
        route_dest_put_value(&b, dest);
        trail_say(t, TRAIL_DECIDED, "route", rcpt, "%.*s", SPAN_ARG(buf_span(&b)));
        buf_free(&b);
    }
}
