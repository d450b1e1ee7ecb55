/* Rules of rerouting: all mail for a domain, a destination or a site goes to another next hop
 * until the rule is withdrawn. Arguments:
 *
 *   (none)                    the rules, a row each
 *   domain=NAME dest=KEY      the one that mail for the domain, or else to the destination, meets,
 *                             with where it leads to as the router would say it; {"rule":false}
 *                             when there is none
 *   set=NAME... nexthop=HOP   makes or changes
 *   remove=NAME...            withdraws */
#include "qmgr/admin.h"
#include "qmgr/keep.h"
#include "qmgr/reroute.h"

#include "base/must.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

enum { NAMES_MAX = 256, ROW_MAX = 64 << 10, ARENA_MAX = 256 << 10 };

struct asked {
    struct arena *names; /* as they are compared */
    struct span set[NAMES_MAX], remove[NAMES_MAX], domain, dest, hop;
    size_t set_count, remove_count;
};

static void put_rule(struct json *j, const struct reroute_rule *r)
{
    json_str(j, "name", r->name);
    json_str(j, "nexthop", r->hop);
    json_str(j, "who", r->who);
    json_int(j, "since_ms", r->since_ms);
}

static void put_row(struct admin_ask *a, const struct reroute_rule *r, const char *action)
{
    struct buf b;
    buf_init(&b, ROW_MAX);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    put_rule(&j, r);
    if (action)
        json_str(&j, "action", span_str(action));
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
}

static void on_rule(void *ctx, const struct reroute_rule *r) { put_row(ctx, r, NULL); }

static void say(struct admin_ask *a, enum event_name event, const struct reroute_rule *r,
                const char *past)
{
    struct events *e = a->q->env->events;
    event_begin(e, event);
    event_str(e, FIELD_host, r->name);
    event_str(e, FIELD_relay, r->hop);
    event_str(e, FIELD_text, buf_span(&a->who));
    event_end(e);
    log_line(e, EVENT_NOTICE, "%.*s: rerouting to %.*s %s by %.*s", SPAN_ARG(r->name),
             SPAN_ARG(r->hop), past, SPAN_ARG(buf_span(&a->who)));
}

static bool set_one(struct admin_ask *a, struct span name, struct span hop)
{
    struct reroute_rule r;
    if (!reroute_rule_set(a->q, name, hop, buf_span(&a->who)) ||
        !reroute_rule_get(a->q, name, &r))
        return false;
    say(a, EVENT_admin_reroute_ruled, &r, "ruled");
    put_row(a, &r, "set");
    return true;
}

static bool remove_one(struct admin_ask *a, struct span name)
{
    struct reroute_rule r;
    if (!reroute_rule_get(a->q, name, &r))
        return false;
    say(a, EVENT_admin_reroute_withdrawn, &r, "withdrawn");
    put_row(a, &r, "removed");
    return reroute_rule_remove(a->q, name);
}

/* The name as it is compared. False: it can be the name of nothing. */
static bool compared(struct admin_ask *a, struct asked *k, struct span *name)
{
    struct buf b;
    buf_init(&b, NOTES_KEY_MAX);
    bool good = admin_put_name(a->q, *name, &b);
    struct span kept = good ? arena_dup(k->names, buf_span(&b)) : SPAN_NONE;
    if (kept.p)
        *name = kept;
    buf_free(&b);
    return good;
}

/* All or none: a slip of the finger is said before anything is changed. Withdrawn may be also what
 * could not be set any more. */
static bool are_names(struct admin_ask *a, struct asked *k)
{
    bool good = true;
    for (size_t i = 0; i < k->set_count && good; i++)
        good = compared(a, k, &k->set[i]);
    for (size_t i = 0; i < k->remove_count && good; i++)
        compared(a, k, &k->remove[i]);
    return good;
}

static void change(struct admin_ask *a, struct asked *k)
{
    size_t not_set = 0, not_there = 0;
    if (!are_names(a, k)) {
        admin_end(a, EX_USAGE, ADMIN_NO_NAME);
        return;
    }
    for (size_t i = 0; i < k->set_count; i++)
        not_set += !set_one(a, k->set[i], k->hop);
    for (size_t i = 0; i < k->remove_count; i++)
        not_there += !remove_one(a, k->remove[i]);
    int error = keep_flush(a->q);
    loop_hook_ask(a->q->env->loop, &a->q->work);
    if (error)
        admin_end(a, EX_IOERR, KEEP_NOT_WRITTEN);
    else if (not_set)
        admin_end(a, EX_DATAERR, "a name is too long, or there are too many rules");
    else if (not_there)
        admin_end(a, EX_NOINPUT, "there is no such rule");
    else
        admin_end(a, ADMIN_OK, "");
}

static void show_for(struct admin_ask *a, const struct asked *k)
{
    struct arena *arena = arena_new(ARENA_MAX);
    struct reroute_rule r;
    struct route_dest d;
    struct buf b;
    buf_init(&b, ROW_MAX);
    struct json j = json_writer(&b);
    bool found = reroute_rule_for(a->q, k->domain, k->dest, arena, &r, &d);
    json_open(&j, NULL);
    json_bool(&j, "rule", found);
    if (found) {
        put_rule(&j, &r);
        route_dest_show_json(&j, &d);
    }
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    arena_free(&arena);
}

static void show(struct admin_ask *a, const struct asked *k)
{
    if (k->domain.n || k->dest.n)
        show_for(a, k);
    else
        reroute_rules(a->q, on_rule, a);
    admin_end(a, ADMIN_OK, "");
}

static bool take(struct asked *k, struct span arg)
{
    struct span *to = NULL;
    size_t eq = span_find(arg, '=');
    struct span word = span_to(arg, eq), value = span_from(arg, eq + 1);
    if (span_eq(word, SPAN("set")) && k->set_count < NAMES_MAX)
        to = &k->set[k->set_count++];
    else if (span_eq(word, SPAN("remove")) && k->remove_count < NAMES_MAX)
        to = &k->remove[k->remove_count++];
    else if (span_eq(word, SPAN("domain")))
        to = &k->domain;
    else if (span_eq(word, SPAN("dest")))
        to = &k->dest;
    else if (span_eq(word, SPAN("nexthop")))
        to = &k->hop;
    if (!to || !value.n)
        return false;
    *to = value;
    return true;
}

void admin_reroute(struct admin_ask *a, struct wire *args)
{
    struct asked *k = NEW(struct asked);
    k->names = arena_new(ARENA_MAX);
    struct span arg;
    struct err err = { "" };
    bool good = true;
    while (list_next_text(args, &arg))
        good &= take(k, arg);
    if (!good || (k->set_count > 0) != (k->hop.n > 0))
        admin_end(a, EX_USAGE, "a rule is a name and a next hop");
    else if (k->hop.n && !reroute_check(k->hop, &err))
        admin_end(a, EX_USAGE, err.text);
    else if (k->set_count || k->remove_count)
        change(a, k);
    else
        show(a, k);
    arena_free(&k->names);
    free(k);
}
