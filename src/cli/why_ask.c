/* Collects the answer: qmgr's rows, then what router and resolver say now. */
#include "cli/why_words.h"

#include "base/must.h"
#include "cli/ctl.h"
#include "envelope/queueid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

/* --- qmgr's rows --- */

struct rows {
    struct why *w;
    struct buf readable;
};

static void take(json_t **slot, json_t *row)
{
    json_decref(*slot);
    *slot = json_incref(row);
}

static void on_row(void *ctx, struct span text)
{
    struct rows *r = ctx;
    struct why *w = r->w;
    json_error_t e;
    buf_reset(&r->readable);
    ctl_readable(&r->readable, text);
    json_t *row = json_loadb(buf_cstr(&r->readable), r->readable.len, 0, &e);
    struct span kind = row_text(row, "kind");
    if (span_eq(kind, SPAN("now")))
        take(&w->now, row);
    else if (span_eq(kind, SPAN("message")))
        take(&w->message, row);
    else if (span_eq(kind, SPAN("group")))
        take(&w->group, row);
    else if (span_eq(kind, SPAN("recipient")))
        json_array_append(w->rcpts, row);
    else if (span_eq(kind, SPAN("reason")))
        json_array_append(w->reasons, row);
    else if (span_eq(kind, SPAN("place")))
        json_array_append(w->places, row);
    else if (span_eq(kind, SPAN("attempt")))
        json_array_append(w->attempts, row);
    json_decref(row);
}

/* EX_OK, EX_NOINPUT (nothing there: not said), or a status with everything said. */
static int ask_queue(const struct cli_args *a, const char *target, struct why *w)
{
    struct ctl c;
    struct rows r = { .w = w };
    char arg[1100];
    const char *args[] = { arg };
    struct span line;
    int rc = ctl_open(&c, a);
    snprintf(arg, sizeof arg, "target=%s", target);
    buf_init(&r.readable, 16 << 20);
    if (rc == EX_OK) {
        enum ctl_got got = ctl_ask(&c, "why", args, 1) ? CTL_ROW : CTL_ERROR;
        while (got == CTL_ROW && (got = ctl_next(&c, &line)) == CTL_ROW)
            on_row(&r, line);
        rc = got == CTL_OK ? EX_OK : c.exit;
        if (got != CTL_OK && rc != EX_NOINPUT)
            cli_fail(a, rc, "%s", buf_cstr(&c.text));
    }
    buf_free(&r.readable);
    ctl_close(&c);
    return rc;
}

/* --- what would happen now --- */

/* " from:<...>" behind a destination keeps recipients with senders of their own apart. */
static struct span plain_dest(struct span dest)
{
    for (size_t i = 0; i + 7 <= dest.n; i++)
        if (memcmp(dest.p + i, " from:<", 7) == 0)
            return span_to(dest, i);
    return dest;
}

static bool is_known(const struct why *w, const json_t *rcpt)
{
    for (size_t i = 0; i < w->route_count; i++)
        if (span_eq(row_text(w->routes[i].rcpt, "destination"), row_text(rcpt, "destination")))
            return true;
    return false;
}

static void ask_now(struct ask *k, struct why *w, json_t *rcpt)
{
    struct why_route *r = &w->routes[w->route_count++];
    const char *sender = json_string_value(json_object_get(w->message, "sender"));
    const char *to = json_string_value(json_object_get(rcpt, "to"));
    struct story_queued q = { .sender = sender ? sender : "", .rcpt = to ? to : "",
                              .expanded = row_true(rcpt, "expanded"),
                              .released = row_true(rcpt, "released") };
    r->rcpt = rcpt;
    r->asked = story_target_ask(k, &q, &r->target);
    if (!r->asked) {
        snprintf(r->error, sizeof r->error, "%s", ask_text(k));
        return;
    }
    struct span was = plain_dest(row_text(rcpt, "destination"));
    struct span is = row_text(json_object_get(r->target.route, "dest"), "queue");
    r->moved = was.n && is.n && !span_eq(was, is);
}

static void ask_routes(struct ask *k, struct why *w)
{
    for (size_t i = 0; i < json_array_size(w->rcpts) && w->route_count < WHY_ROUTES_MAX; i++) {
        json_t *rcpt = json_array_get(w->rcpts, i);
        if (!row_true(rcpt, "final") && !is_known(w, rcpt))
            ask_now(k, w, rcpt);
    }
}

/* --- the whole --- */

/* Not in the queue: what is left of it stands in the log. */
static bool ask_log(struct ask *k, const struct cli_args *a, struct why *w)
{
    uint64_t seq;
    struct span file = ask_config(k)->log.events;
    if (!queueid_seq(span_str(w->target), &seq))
        return true;
    char *path = file.n ? strndup(file.p, file.n) : NULL;
    bool all = false;
    w->log = path ? why_log(path, w->target, &all) : NULL;
    free(path);
    (void)a;
    return true;
}

/* Of many messages the oldest stands for all where one has to be asked about. */
static int ask_oldest(const struct cli_args *a, struct why *w)
{
    const char *id = json_string_value(json_object_get(w->group, "oldest"));
    int rc = id ? ask_queue(a, id, w) : EX_OK;
    return rc == EX_NOINPUT ? EX_OK : rc; /* gone meanwhile */
}

bool why_ask(struct ask *k, const struct cli_args *a, const char *target, struct why *w)
{
    *w = (struct why){ .target = target, .rcpts = json_array(), .reasons = json_array(),
                       .places = json_array(), .attempts = json_array() };
    w->exit = ask_queue(a, target, w);
    if (w->exit == EX_OK && w->group) {
        json_t *places = w->places; /* those of all, not of the oldest alone */
        w->places = json_array();
        w->exit = ask_oldest(a, w);
        json_decref(w->places);
        w->places = places;
    }
    w->now_ms = row_int(w->now, "now_ms");
    if (!w->now_ms)
        w->now_ms = (int64_t)time(NULL) * 1000;
    if (w->exit == EX_OK)
        ask_routes(k, w);
    else if (w->exit == EX_NOINPUT)
        return ask_log(k, a, w);
    return w->exit == EX_OK;
}

void why_free(struct why *w)
{
    for (size_t i = 0; i < w->route_count; i++)
        story_target_free(&w->routes[i].target);
    json_decref(w->now);
    json_decref(w->message);
    json_decref(w->group);
    json_decref(w->rcpts);
    json_decref(w->reasons);
    json_decref(w->places);
    json_decref(w->attempts);
    json_decref(w->log);
}

static json_t *route_json(const struct why *w, const struct why_route *r)
{
    json_t *row = json_object();
    const json_t *then;
    json_object_set(row, "to", json_object_get(r->rcpt, "to"));
    if (!r->asked) {
        json_object_set_new(row, "error", json_string(r->error));
        return row;
    }
    json_object_set(row, "route", r->target.route);
    if (r->target.lookup)
        json_object_set(row, "dns", r->target.lookup);
    json_object_set_new(row, "why", json_string(r->target.why));
    json_object_set_new(row, "moved", json_boolean(r->moved));
    json_object_set_new(row, "dns_differs", json_boolean(why_dns_now(w, r, &then) > 1));
    return row;
}

json_t *why_json(const struct why *w, const struct ask *k)
{
    json_t *row = json_object(), *routes = json_array();
    json_object_set_new(row, "target", json_string(w->target));
    json_object_set_new(row, "whom", json_string(ask_whom(k)));
    json_object_set_new(row, "found", json_boolean(w->exit == EX_OK));
    if (w->now)
        json_object_set(row, "now", w->now);
    if (w->group)
        json_object_set(row, "group", w->group);
    if (w->message)
        json_object_set(row, w->group ? "oldest" : "message", w->message);
    json_object_set(row, "recipients", w->rcpts);
    json_object_set(row, "reasons", w->reasons);
    json_object_set(row, "places", w->places);
    json_object_set(row, "attempts", w->attempts);
    for (size_t i = 0; i < w->route_count; i++)
        json_array_append_new(routes, route_json(w, &w->routes[i]));
    json_object_set_new(row, "if_tried_now", routes);
    if (w->log)
        json_object_set(row, "log", w->log);
    return row;
}
