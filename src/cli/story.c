#include "cli/story.h"

#include "base/must.h"
#include "base/netaddr.h"
#include "cli/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

/* --- status --- */

int story_exit_of(struct span code)
{
    static const struct {
        const char *code;
        int exit;
    } known[] = {
        { "4.", EX_TEMPFAIL },  { "5.1.10", EX_NOHOST }, { "5.1.1", EX_NOUSER },
        { "5.1.2", EX_NOHOST }, { "5.1.3", EX_USAGE },   { "5.1.6", EX_NOUSER },
        { "5.1.7", EX_USAGE },  { "5.1.", EX_DATAERR },  { "5.3.5", EX_CONFIG },
        { "5.4.4", EX_NOHOST }, { "5.4.6", EX_USAGE },   { "5.5.", EX_PROTOCOL },
        { "5.7.", EX_DATAERR }, { "nouser", EX_NOUSER }, { "nohost", EX_NOHOST },
        { "usage", EX_USAGE },  { "tempfail", EX_TEMPFAIL }, { "protocol", EX_PROTOCOL },
        { "config", EX_CONFIG },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_istarts(code, span_str(known[i].code)))
            return known[i].exit;
    return EX_UNAVAILABLE;
}

static void ended(struct story_target *t, enum story_end end, int exit)
{
    t->end = end;
    t->exit = exit;
}

/* --- one address --- */

/* The canonical name of a domain by the question that the gateway itself asks. NULL: said in
 * ask_text. */
static json_t *story_canon(struct ask *k, struct span domain)
{
    struct ask_args args = { .n = 0 };
    ask_arg(&args, "name", domain);
    ask_arg(&args, "type", SPAN("MX"));
    return ask_row(k, "ask", &args);
}

static json_t *ask_route(struct ask *k, const struct story_question *q, struct story_target *t)
{
    struct span addr = row_text(t->given, "address"), from = span_str(q->sender);
    struct ask_args args = { .n = 0 };
    if (json_object_get(t->given, "sender"))
        from = row_text(t->given, "sender");
    ask_arg(&args, "rcpt", addr);
    ask_arg(&args, "from", from);
    if (row_true(t->given, "expanded"))
        ask_flag(&args, "expanded");
    if (row_true(t->given, "released"))
        ask_flag(&args, "released");
    json_t *row = ask_row(k, "route", &args);
    struct span domain = row_text(row, "need_canon");
    if (!row || !json_object_get(row, "need_canon"))
        return row;
    t->canon = story_canon(k, domain);
    struct span canon = row_text(t->canon, "canon");
    ask_arg(&args, "canon", span_ieq(canon, domain) ? SPAN_NONE : canon);
    json_decref(row);
    return ask_row(k, "route", &args);
}

static void judge_error(struct story_target *t, const json_t *dest)
{
    struct span code = row_text(dest, "code");
    int64_t reply = row_int(dest, "reply");
    snprintf(t->why, sizeof t->why, "%d %.*s %.*s", (int)reply, SPAN_ARG(code),
             SPAN_ARG(row_text(dest, "text")));
    if (reply / 100 == 4)
        ended(t, STORY_LATER, EX_TEMPFAIL);
    else
        ended(t, STORY_REFUSED, story_exit_of(code));
}

static void judge_plan(struct story_target *t)
{
    const json_t *plan = json_object_get(t->lookup, "plan");
    struct span verdict = row_text(plan, "verdict"), code = row_text(plan, "code");
    const json_t *first = json_array_get(json_object_get(plan, "try"), 0);
    if (span_eq(verdict, SPAN("ok"))) {
        ended(t, STORY_DELIVER, EX_OK);
        snprintf(t->why, sizeof t->why, "%.*s at %.*s", SPAN_ARG(row_text(first, "host")),
                 SPAN_ARG(row_text(first, "address")));
        return;
    }
    bool later = span_eq(verdict, SPAN("later"));
    snprintf(t->why, sizeof t->why, "%.*s %.*s", SPAN_ARG(code), SPAN_ARG(row_text(plan, "text")));
    ended(t, later ? STORY_LATER : STORY_REFUSED, later ? EX_TEMPFAIL : story_exit_of(code));
}

static void judge_here(struct story_target *t, const json_t *dest, struct span mailer)
{
    struct span path = row_text(dest, "path"), detail = row_text(dest, "detail");
    ended(t, STORY_LOCAL, EX_OK);
    if (span_eq(mailer, SPAN("local")))
        snprintf(t->why, sizeof t->why, "the user %.*s of this host%s%.*s",
                 SPAN_ARG(row_text(dest, "user")), detail.n ? ", detail " : "", SPAN_ARG(detail));
    else
        snprintf(t->why, sizeof t->why, "%s %.*s",
                 span_eq(mailer, SPAN("prog")) ? "the program" : "the file", SPAN_ARG(path));
}

static void judge(struct story_target *t)
{
    const json_t *dest = json_object_get(t->route, "dest");
    struct span mailer = row_text(dest, "mailer"), text = row_text(dest, "text");
    struct span own = row_text(dest, "own_listener");
    if (own.n) {
        ended(t, STORY_WAITS, EX_OK);
        snprintf(t->why, sizeof t->why, "as mail of our own listener %.*s", SPAN_ARG(own));
    } else if (span_eq(mailer, SPAN("error"))) {
        judge_error(t, dest);
    } else if (span_eq(mailer, SPAN("hold"))) {
        ended(t, STORY_WAITS, EX_OK);
        snprintf(t->why, sizeof t->why, "held: %.*s", SPAN_ARG(text));
    } else if (span_eq(mailer, SPAN("discard"))) {
        ended(t, STORY_DISCARD, EX_OK);
        snprintf(t->why, sizeof t->why, "thrown away");
    } else if (t->lookup) {
        judge_plan(t);
    } else if (json_object_get(dest, "next_hops")) {
        ended(t, STORY_DELIVER, EX_OK);
        snprintf(t->why, sizeof t->why, "%.*s", SPAN_ARG(row_text(t->route, "value")));
    } else if (span_eq(mailer, SPAN("lmtp"))) {
        ended(t, STORY_DELIVER, EX_OK);
        snprintf(t->why, sizeof t->why, "the socket %.*s", SPAN_ARG(row_text(dest, "path")));
    } else {
        judge_here(t, dest, mailer);
    }
}

/* Where an administrator has said where to, mail is not returned because the DNS knows no such
 * place: it is put off (qmgr/reroute.h). */
static void judge_given(struct story_target *t)
{
    char said[sizeof t->why];
    if (!t->lookup || t->end != STORY_REFUSED)
        return;
    snprintf(said, sizeof said, "%s", t->why);
    ended(t, STORY_LATER, EX_TEMPFAIL);
    snprintf(t->why, sizeof t->why,
             "4.3.5 the next hop that an administrator gave is of no use: %.400s", said);
}

/* An administrator's rule (postern queue reroute --rule) stands above what the tables say: the
 * running gateway knows of it. */
static bool overrule(struct ask *k, struct story_target *t)
{
    static const char *const taken[] = { "dest", "hops", "value" };
    struct span addr = row_text(t->given, "address");
    struct span dest = row_text(json_object_get(t->route, "dest"), "queue");
    struct ask_args args = { .n = 0 };
    if (!ask_running(k))
        return false;
    ask_arg(&args, "domain", span_from(addr, span_rfind(addr, '@') + 1));
    ask_arg(&args, "dest", dest);
    json_t *rule = dest.n && span_rfind(addr, '@') < addr.n ? ask_row(k, "reroute", &args) : NULL;
    if (!row_true(rule, "rule")) {
        json_decref(rule);
        return false;
    }
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        json_object_del(t->route, taken[i]);
        if (json_object_get(rule, taken[i]))
            json_object_set(t->route, taken[i], json_object_get(rule, taken[i]));
    }
    char said[1200];
    snprintf(said, sizeof said, "%.*s, by %.*s", SPAN_ARG(row_text(rule, "nexthop")),
             SPAN_ARG(row_text(rule, "who")));
    json_t *step = json_object(), *trail = json_object_get(t->route, "trail");
    json_object_set_new(step, "verdict", json_string("decided"));
    json_object_set_new(step, "what", json_string("reroute rule"));
    json_object_set(step, "key", json_object_get(rule, "name"));
    json_object_set_new(step, "said", json_string(said));
    json_array_append_new(trail, step);
    json_decref(rule);
    return true;
}

static bool ask_target(struct ask *k, const struct story_question *q, struct story_target *t)
{
    t->route = ask_route(k, q, t);
    if (!t->route)
        return false;
    bool given = overrule(k, t);
    const json_t *dest = json_object_get(t->route, "dest");
    struct span hops = row_text(t->route, "hops");
    if (hops.n && !json_object_get(dest, "own_listener") && !q->no_lookup) {
        struct ask_args args = { .n = 0 };
        ask_arg(&args, "hops", hops);
        t->lookup = ask_row(k, "lookup", &args);
        if (!t->lookup)
            return false;
    }
    judge(t);
    if (given)
        judge_given(t);
    return true;
}

/* --- the client's name, as router would have it looked up --- */

static void reverse_name(char *out, size_t max, const struct netaddr *ip)
{
    size_t n = 0;
    if (ip->family == NETADDR_V4) {
        snprintf(out, max, "%d.%d.%d.%d.in-addr.arpa", ip->ip[3], ip->ip[2], ip->ip[1], ip->ip[0]);
        return;
    }
    for (int i = 15; i >= 0; i--)
        n += (size_t)snprintf(out + n, max - n, "%x.%x.", ip->ip[i] & 15, ip->ip[i] >> 4);
    snprintf(out + n, max - n, "ip6.arpa");
}

static json_t *ask_dns(struct ask *k, struct span name, const char *type)
{
    struct ask_args args = { .n = 0 };
    ask_arg(&args, "name", name);
    ask_arg(&args, "type", span_str(type));
    return ask_row(k, "ask", &args);
}

static bool leads_back(struct ask *k, struct span name, const struct netaddr *ip)
{
    json_t *row = ask_dns(k, name, ip->family == NETADDR_V4 ? "A" : "AAAA");
    const json_t *records = json_object_get(row, "records");
    bool found = false;
    for (size_t i = 0; i < json_array_size(records) && !found; i++) {
        struct netaddr a;
        struct span text = row_text(json_array_get(records, i), "address");
        found = netaddr_parse_ip(text, &a) && netaddr_same_ip(&a, ip);
    }
    json_decref(row);
    return found;
}

static json_t *client_name(struct ask *k, const char *client)
{
    enum { NAMES_MAX = 5 };
    struct netaddr ip;
    char name[128];
    if (!client || !netaddr_parse_ip(span_str(client), &ip))
        return NULL;
    reverse_name(name, sizeof name, &ip);
    json_t *ptr = ask_dns(k, span_str(name), "PTR"), *out = json_object();
    const json_t *records = json_object_get(ptr, "records");
    struct span status = row_text(ptr, "status");
    const char *state = span_eq(status, SPAN("servfail")) || span_eq(status, SPAN("timeout"))
                            ? "failed"
                            : "";
    for (size_t i = 0; i < json_array_size(records) && i < NAMES_MAX; i++) {
        struct span host = row_text(json_array_get(records, i), "name");
        state = leads_back(k, host, &ip) ? "good" : "forged";
        if (strcmp(state, "good") == 0) {
            json_object_set_new(out, "name", json_stringn(host.p, host.n));
            break;
        }
    }
    json_object_set_new(out, "state", json_string(state));
    json_decref(ptr);
    return out;
}

/* --- the whole --- */

static json_t *ask_accept(struct ask *k, const struct story_question *q, struct story *s)
{
    struct ask_args args = { .n = 0 };
    ask_arg(&args, "rcpt", span_str(q->rcpt));
    ask_arg(&args, "from", span_str(q->sender));
    if (q->client) {
        s->client = client_name(k, q->client);
        ask_arg(&args, "client", span_str(q->client));
        if (row_text(s->client, "name").n)
            ask_arg(&args, "host", row_text(s->client, "name"));
        if (row_text(s->client, "state").n)
            ask_arg(&args, "name", row_text(s->client, "state"));
    }
    return ask_row(k, "accept", &args);
}

static void judge_all(struct story *s)
{
    struct span code = row_text(s->accept, "code"), quarantine = row_text(s->accept, "quarantine");
    if (!row_true(s->accept, "accepted")) {
        bool later = row_int(s->accept, "reply") / 100 == 4;
        s->end = later ? STORY_LATER : STORY_REFUSED;
        s->exit = later ? EX_TEMPFAIL : story_exit_of(code);
        snprintf(s->why, sizeof s->why, "%d %.*s %.*s", (int)row_int(s->accept, "reply"),
                 SPAN_ARG(code), SPAN_ARG(row_text(s->accept, "text")));
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (i && s->targets[i].exit <= s->exit)
            continue;
        s->end = s->targets[i].end;
        s->exit = s->targets[i].exit;
        snprintf(s->why, sizeof s->why, "%s", s->targets[i].why);
    }
    if (row_true(s->accept, "discard")) {
        s->end = STORY_DISCARD;
        s->exit = EX_OK;
        snprintf(s->why, sizeof s->why, "accepted, and the message is thrown away");
    } else if (quarantine.n) {
        s->end = STORY_WAITS;
        s->exit = EX_OK;
        snprintf(s->why, sizeof s->why, "held: %.*s", SPAN_ARG(quarantine));
    }
}

bool story_ask(struct ask *k, const struct cli_args *a, const struct story_question *q,
               struct story *s)
{
    *s = (struct story){ .sender = q->sender, .rcpt = q->rcpt };
    s->accept = ask_accept(k, q, s);
    bool good = s->accept != NULL;
    const json_t *targets = json_object_get(s->accept, "targets");
    s->n = row_true(s->accept, "accepted") ? json_array_size(targets) : 0;
    s->targets = must_calloc(s->n ? s->n : 1, sizeof *s->targets);
    for (size_t i = 0; i < s->n && good; i++) {
        s->targets[i].given = json_array_get(targets, i);
        good = ask_target(k, q, &s->targets[i]);
    }
    if (good)
        judge_all(s);
    else
        cli_fail(a, ask_exit(k), "%s", ask_text(k));
    return good;
}

static void target_clear(struct story_target *t)
{
    json_decref(t->canon);
    json_decref(t->route);
    json_decref(t->lookup);
}

bool story_target_ask(struct ask *k, const struct story_queued *q, struct story_target *t)
{
    struct story_question from = { .sender = q->sender, .rcpt = q->rcpt };
    *t = (struct story_target){ .given = json_object() };
    json_object_set_new(t->given, "address", json_string(q->rcpt));
    json_object_set_new(t->given, "expanded", json_boolean(q->expanded));
    json_object_set_new(t->given, "released", json_boolean(q->released));
    return ask_target(k, &from, t);
}

bool story_hops_ask(struct ask *k, struct span hops, struct story_target *t)
{
    struct ask_args args = { .n = 0 };
    *t = (struct story_target){ .given = json_object(), .end = STORY_DELIVER };
    if (!hops.n)
        return true;
    ask_arg(&args, "hops", hops);
    t->lookup = ask_row(k, "lookup", &args);
    if (t->lookup)
        judge_plan(t);
    judge_given(t);
    return t->lookup != NULL;
}

void story_target_free(struct story_target *t)
{
    target_clear(t);
    json_decref(t->given);
    *t = (struct story_target){ 0 };
}

void story_free(struct story *s)
{
    for (size_t i = 0; i < s->n; i++)
        target_clear(&s->targets[i]);
    free(s->targets);
    json_decref(s->client);
    json_decref(s->accept);
    *s = (struct story){ .n = 0 };
}
