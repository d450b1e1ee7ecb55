/* Collects the answer: qmgr's rows, then what router and resolver say now. */
#include "cli/why_words.h"

#include "base/domain.h"
#include "base/must.h"
#include "base/netaddr.h"
#include "cli/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

/* --- qmgr's rows --- */

static json_t **slot_of(struct why *w, const json_t *row)
{
    const struct {
        const char *kind;
        json_t **slot;
    } slots[] = {
        { "now", &w->now },           { "message", &w->message },   { "group", &w->group },
        { "frozen", &w->frozen },     { "recipient", &w->rcpts },   { "reason", &w->reasons },
        { "place", &w->places },      { "attempt", &w->attempts },  { "host", &w->hosts },
        { "domain", &w->domains },    { "rule", &w->rule },
        { "delivery", &w->deliveries },
    };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if (why_is(row, "kind", slots[i].kind))
            return slots[i].slot;
    return NULL;
}

static void on_row(struct why *w, struct span text)
{
    json_t *row = ctl_json(text, 16 << 20), **slot = slot_of(w, row);
    if (slot && json_is_array(*slot)) {
        json_array_append(*slot, row);
    } else if (slot) {
        json_decref(*slot);
        *slot = json_incref(row);
    }
    json_decref(row);
}

/* asked: of the message's recipients, an address or a domain; NULL: all of them.
 * EX_OK, EX_NOINPUT (nothing there: not said), or a status with everything said. */
static int ask_queue(const struct cli_args *a, const char *target, const char *asked,
                     struct why *w)
{
    struct ctl c;
    char arg[1100], more[1100];
    const char *args[] = { arg, more };
    struct span line;
    int rc = ctl_open(&c, a);
    snprintf(arg, sizeof arg, "target=%s", target);
    snprintf(more, sizeof more, "asked=%s", asked ? asked : "");
    if (rc == EX_OK) {
        enum ctl_got got = ctl_ask(&c, "why", args, asked ? 2 : 1) ? CTL_ROW : CTL_ERROR;
        while (got == CTL_ROW && (got = ctl_next(&c, &line)) == CTL_ROW)
            if (line.n)
                on_row(w, line);
        rc = got == CTL_OK ? EX_OK : c.exit;
        if (got != CTL_OK && rc != EX_NOINPUT)
            cli_fail(a, rc, "%s", buf_cstr(&c.text));
    }
    ctl_close(&c);
    return rc;
}

/* --- what would happen now --- */

/* What stands behind a destination keeps apart what has limits or a sender of its own. */
static struct span plain_dest(struct span dest)
{
    static const char *const shares[] = { " by:", " from:<" };
    for (size_t i = 0; i < dest.n; i++)
        for (size_t k = 0; dest.p[i] == ' ' && k < sizeof shares / sizeof *shares; k++)
            if (span_starts(span_from(dest, i), span_str(shares[k])))
                return span_to(dest, i);
    return dest;
}

static bool is_known(const struct why *w, const json_t *rcpt)
{
    for (size_t i = 0; i < w->route_count; i++) {
        const json_t *r = w->routes[i].rcpt;
        if (span_eq(row_text(r, "destination"), row_text(rcpt, "destination")) &&
            span_eq(row_text(r, "rerouted"), row_text(rcpt, "rerouted")))
            return true;
    }
    return false;
}

enum { SLOW_MS = 1000, NOW_MS = 5000 }; /* for all that is asked of router and resolver */

/* A process that is away will be so for the next question, too. */
static void not_asked(struct ask *k, struct why *w, struct why_route *r)
{
    r->late = ask_late(k);
    snprintf(r->error, sizeof r->error, "%s", ask_text(k));
    w->gateway_silent = ask_exit(k) == EX_TEMPFAIL && !r->late;
    w->resolver_away |= w->gateway_silent && strncmp(r->error, "resolver", 8) == 0;
}

static void ask_tables(struct ask *k, struct why *w, struct why_route *r)
{
    const char *sender = json_string_value(json_object_get(w->message, "sender"));
    const char *to = json_string_value(json_object_get(r->rcpt, "to"));
    struct story_queued q = { .sender = sender ? sender : "", .rcpt = to ? to : "",
                              .expanded = row_true(r->rcpt, "expanded"),
                              .released = row_true(r->rcpt, "released") };
    r->asked = story_target_ask(k, &q, &r->target);
    struct span was = plain_dest(row_text(r->rcpt, "destination"));
    struct span is = row_text(json_object_get(r->target.route, "dest"), "queue");
    r->moved = r->asked && was.n && is.n && !why_parks_frozen(was) &&
               !span_eq(was, is);
}

static void ask_now(struct ask *k, struct why *w, json_t *rcpt)
{
    struct why_route *r = &w->routes[w->route_count++];
    r->rcpt = rcpt;
    r->forced = row_text(rcpt, "rerouted").n > 0;
    if (w->gateway_silent) {
        snprintf(r->error, sizeof r->error, "the gateway did not answer the question before");
        return;
    }
    if (r->forced)
        r->asked = story_hops_ask(k, row_text(rcpt, "hops"), &r->target);
    else
        ask_tables(k, w, r);
    if (!r->asked)
        not_asked(k, w, r);
}

/* In time: of what the DNS says in half a minute the rest of the story does not wait. */
static void ask_routes(struct ask *k, struct why *w, void (*slow)(void *ctx), void *ctx)
{
    struct ask_patience patience = { ctl_now_ms(), SLOW_MS, NOW_MS, slow, ctx };
    ask_patience(k, &patience);
    for (size_t i = 0; i < json_array_size(w->rcpts) && w->route_count < WHY_ROUTES_MAX; i++) {
        json_t *rcpt = json_array_get(w->rcpts, i);
        if (!row_true(rcpt, "final") && !is_known(w, rcpt))
            ask_now(k, w, rcpt);
    }
    ask_patience(k, NULL);
}

/* --- the whole --- */

static bool is_place(const struct why *w, struct span name)
{
    for (size_t i = 0; i < json_array_size(w->places); i++)
        if (span_eq(row_text(json_array_get(w->places, i), "name"), name))
            return true;
    return false;
}

/* A recipient of the oldest message that the question was about. */
static bool is_asked(const struct why *w, const json_t *rcpt)
{
    struct span target = row_text(w->group, "target"), to = row_text(rcpt, "to");
    struct span domain = span_from(to, span_rfind(to, '@') + 1);
    if (why_is(w->group, "is", "address")) {
        size_t at = span_rfind(target, '@');
        return span_ieq(span_to(to, span_rfind(to, '@')), span_to(target, at)) &&
               domain_same(domain, span_from(target, at + 1));
    }
    if (why_is(w->group, "is", "domain"))
        return domain_same(domain, target);
    return is_place(w, row_text(rcpt, "destination"));
}

static bool is_of_one(const struct why *w, const json_t *attempt)
{
    for (size_t i = 0; i < json_array_size(w->rcpts); i++)
        if (why_is_about(attempt, row_int(json_array_get(w->rcpts, i), "rcpt")))
            return true;
    return false;
}

/* What has other recipients elsewhere is told for those that were asked about. */
void why_keep_asked(struct why *w)
{
    for (size_t i = json_array_size(w->rcpts); i > 0; i--)
        if (!is_asked(w, json_array_get(w->rcpts, i - 1)))
            json_array_remove(w->rcpts, i - 1);
    for (size_t i = json_array_size(w->attempts); i > 0; i--)
        if (!is_of_one(w, json_array_get(w->attempts, i - 1)))
            json_array_remove(w->attempts, i - 1);
}

/* Mail from an address that nothing waits for. */
static void ask_sent(struct ask *k, const char *target, struct why *w)
{
    struct ask_args args = { .n = 0 };
    if (why_log_kind(span_str(target)) != WHY_LOG_ADDRESS && strcmp(target, "<>") != 0)
        return;
    ask_arg(&args, "from", span_str(target));
    json_t *row = ask_row(k, "count", &args);
    w->sent = row_int(row, "messages");
    json_decref(row);
}

/* Mail of a client. */
static void ask_client(struct ask *k, const char *target, struct why *w)
{
    struct ask_args args = { .n = 0 };
    struct netaddr ip;
    if (!netaddr_parse_ip(span_str(target), &ip))
        return;
    ask_arg(&args, "client", span_str(target));
    json_t *row = ask_row(k, "count", &args);
    w->from_client = row_int(row, "messages");
    json_decref(row);
}

/* The address that people complain about is the one they wrote to: what it stands for has mail. */
static json_t *ask_stands_for(struct ask *k, const char *target)
{
    enum { SHOWN = 20 };
    struct ask_args args = { .n = 0 };
    if (why_log_kind(span_str(target)) != WHY_LOG_ADDRESS)
        return NULL;
    ask_arg(&args, "rcpt", span_str(target));
    ask_arg(&args, "from", SPAN_NONE);
    json_t *accept = ask_row(k, "accept", &args), *all = json_array();
    const json_t *targets = json_object_get(accept, "targets");
    for (size_t i = 0; i < json_array_size(targets) && json_array_size(all) < SHOWN; i++) {
        struct span address = row_text(json_array_get(targets, i), "address");
        args.n = 0;
        if (span_find(address, '@') == address.n || span_ieq(address, span_str(target)))
            continue;
        ask_arg(&args, "to", address);
        json_t *row = ask_row(k, "count", &args);
        json_array_append_new(all, json_pack("{s:s%, s:I}", "address", address.p, address.n,
                                             "messages", (json_int_t)row_int(row, "messages")));
        json_decref(row);
    }
    json_decref(accept);
    return all;
}

/* Of many messages the oldest stands for all where one has to be asked about. */
static int ask_oldest(const struct cli_args *a, struct why *w)
{
    const char *id = json_string_value(json_object_get(w->group, "oldest"));
    const char *target = json_string_value(json_object_get(w->group, "target"));
    /* not of the oldest alone */
    json_t **of_all[] = { &w->reasons, &w->places, &w->hosts, &w->deliveries };
    json_t *rows[] = { w->reasons, w->places, w->hosts, w->deliveries };
    for (size_t i = 0; i < 4; i++)
        *of_all[i] = json_array();
    bool host = why_is(w->group, "is", "host");
    int rc = id ? ask_queue(a, id, host ? NULL : target, w) : EX_OK;
    for (size_t i = 0; i < 4; i++) {
        json_decref(*of_all[i]);
        *of_all[i] = rows[i];
    }
    why_keep_asked(w);
    return rc == EX_NOINPUT ? EX_OK : rc; /* gone meanwhile */
}

static json_t *last_event(const struct why_log *log, const char *name)
{
    for (size_t i = json_array_size(log->events); i > 0; i--)
        if (why_is(json_array_get(log->events, i - 1), "event", name))
            return json_incref(json_array_get(log->events, i - 1));
    return NULL;
}

/* Who sent the message another way, or wants it held or deleted when its attempt ends: qmgr keeps
 * what is to be, the log who it was. */
static void ask_who(struct ask *k, struct why *w)
{
    const char *id = json_string_value(json_object_get(w->message, "id"));
    struct why_log log;
    bool rerouted = false, held = false, deleted = false;
    for (size_t i = 0; i < json_array_size(w->rcpts); i++) {
        const json_t *r = json_array_get(w->rcpts, i);
        rerouted |= row_text(r, "rerouted").n && !row_text(r, "reroute_rule").n;
        held |= why_is(r, "then", "held");
        deleted |= why_is(r, "then", "deleted");
    }
    if ((!rerouted && !held && !deleted) || !id)
        return;
    why_log_read(ask_config(k), id, &log);
    w->rerouted = rerouted ? last_event(&log, "admin_rerouted") : NULL;
    w->to_hold = held ? last_event(&log, "admin_held") : NULL;
    w->to_delete = deleted ? last_event(&log, "admin_deleted") : NULL;
    why_log_free(&log);
}

bool why_ask(struct ask *k, const struct cli_args *a, const char *target, struct why *w,
             void (*slow)(void *ctx), void *ctx)
{
    *w = (struct why){ .target = target, .rcpts = json_array(), .reasons = json_array(),
                       .places = json_array(), .attempts = json_array(),
                       .hosts = json_array(), .domains = json_array(),
                       .deliveries = json_array() };
    w->exit = ask_queue(a, target, NULL, w);
    if (w->exit == EX_OK && w->group)
        w->exit = ask_oldest(a, w);
    w->now_ms = row_int(w->now, "now_ms");
    if (!w->now_ms) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        w->now_ms = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
    }
    if (w->exit == EX_OK) {
        ask_who(k, w);
        ask_routes(k, w, slow, ctx);
        w->servers = why_ask_servers(w, ask_config(k));
    } else if (w->exit == EX_NOINPUT) {
        ask_sent(k, target, w);
        ask_client(k, target, w);
        w->stands_for = ask_stands_for(k, target);
        why_log_read(ask_config(k), target, &w->log);
        w->log_read = true;
    }
    return w->exit == EX_OK || w->exit == EX_NOINPUT;
}

void why_free(struct why *w)
{
    json_t *rows[] = { w->now,    w->message,  w->group, w->frozen, w->rcpts, w->reasons,
                       w->places, w->attempts, w->hosts, w->domains, w->rule,
                       w->servers, w->rerouted, w->deliveries, w->stands_for,
                       w->to_hold, w->to_delete };
    for (size_t i = 0; i < w->route_count; i++)
        story_target_free(&w->routes[i].target);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_decref(rows[i]);
    if (w->log_read)
        why_log_free(&w->log);
}

/* --- for programs --- */

static json_t *route_json(const struct why *w, const struct why_route *r)
{
    json_t *row = json_object();
    const json_t *then;
    json_object_set(row, "to", json_object_get(r->rcpt, "to"));
    if (!r->asked) {
        json_object_set_new(row, "error", json_string(r->error));
        return row;
    }
    enum why_dns dns = why_dns_now(w, r, &then);
    json_object_set_new(row, "rerouted", json_boolean(r->forced));
    if (r->target.route)
        json_object_set(row, "route", r->target.route);
    if (r->target.lookup)
        json_object_set(row, "dns", r->target.lookup);
    json_object_set_new(row, "why", json_string(r->target.why));
    json_object_set_new(row, "moved", json_boolean(r->moved));
    json_object_set_new(row, "dns_differs", json_boolean(dns > WHY_DNS_SAME));
    if (why_dns_name(dns))
        json_object_set_new(row, "dns_is", json_string(why_dns_name(dns)));
    return row;
}

static void put(json_t *row, const char *key, json_t *value)
{
    if (value)
        json_object_set(row, key, value);
}

json_t *why_json(const struct why *w, const struct ask *k)
{
    json_t *row = json_object(), *routes = json_array();
    json_object_set_new(row, "target", json_string(w->target));
    json_object_set_new(row, "whom", json_string(ask_whom(k)));
    json_object_set_new(row, "found", json_boolean(w->exit == EX_OK));
    put(row, "now", w->now);
    put(row, "group", w->group);
    put(row, w->group ? "oldest" : "message", w->message);
    put(row, "frozen", w->frozen);
    put(row, "rule", w->rule);
    put(row, "rerouted", w->rerouted);
    put(row, "to_hold", w->to_hold);
    put(row, "to_delete", w->to_delete);
    put(row, "name_servers", w->servers);
    put(row, "stands_for", w->stands_for);
    put(row, "recipients", w->rcpts);
    put(row, "reasons", w->reasons);
    put(row, "domains", w->domains);
    put(row, "places", w->places);
    put(row, "hosts", w->hosts);
    put(row, "attempts", w->attempts);
    put(row, "deliveries", w->deliveries);
    for (size_t i = 0; i < w->route_count; i++)
        json_array_append_new(routes, route_json(w, &w->routes[i]));
    json_object_set_new(row, "if_tried_now", routes);
    json_object_set_new(row, "resolver_away", json_boolean(w->resolver_away));
    if (w->exit == EX_OK)
        json_object_set_new(row, "what_you_can_do", why_hints(w, k));
    if (w->log_read) {
        json_object_set(row, "log", w->log.events);
        json_object_set(row, "log_files", w->log.files);
    }
    return row;
}
