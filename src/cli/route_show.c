/* A story told: one block of lines for a recipient, or one JSON object. */
#include "cli/route.h"
#include "cli/term.h"

#include <stdio.h>
#include <sysexits.h>

struct show {
    struct buf *out;
    const char *indent;
    const struct config *cfg;
    const struct story *s;
    const struct story_question *q;
};

static void put(struct buf *out, struct span s) { term_put_text(out, s); }

/* --- steps --- */

static bool is(const json_t *step, const char *key, const char *word)
{
    return span_eq(row_text(step, key), span_str(word));
}

static void put_place(struct buf *out, const json_t *step)
{
    struct span source = row_text(step, "source");
    int64_t line = row_int(step, "line");
    if (!source.n)
        return;
    buf_putz(out, "  [");
    put(out, source);
    if (line)
        buf_printf(out, ":%d", (int)line);
    buf_putz(out, "]");
}

/* Keys that were not there, one behind another, are one line. Returns the next step's index. */
static size_t put_misses(struct show *s, const json_t *trail, size_t i)
{
    const json_t *first = json_array_get(trail, i), *step = first;
    struct span what = row_text(first, "what"), said = row_text(first, "said");
    buf_printf(s->out, "%s%.*s: ", s->indent, SPAN_ARG(what));
    for (size_t n = 0; step && is(step, "verdict", "miss"); n++) {
        if (!span_eq(row_text(step, "what"), what) ||
            !span_eq(row_text(step, "source"), row_text(first, "source")))
            break;
        buf_putz(s->out, n ? ", " : "");
        put(s->out, row_text(step, "key").n ? row_text(step, "key") : SPAN("<>"));
        step = json_array_get(trail, ++i);
    }
    buf_putz(s->out, ": no entry");
    if (said.n) {
        buf_putz(s->out, ", ");
        put(s->out, said);
    }
    put_place(s->out, first);
    buf_putc(s->out, '\n');
    return i;
}

static void put_dns(struct show *s, const json_t *step)
{
    struct span dnssec = row_text(step, "dnssec"), server = row_text(step, "source");
    put(s->out, row_text(step, "said"));
    buf_printf(s->out, "  [%s", row_true(step, "cached") ? "from the cache" : "asked now");
    if (server.n && !row_true(step, "cached")) {
        buf_putz(s->out, " of ");
        put(s->out, server);
    }
    if (json_object_get(step, "ttl_s"))
        buf_printf(s->out, ", TTL %d", (int)row_int(step, "ttl_s"));
    if (dnssec.n)
        buf_printf(s->out, ", DNSSEC %.*s", SPAN_ARG(dnssec));
    buf_putc(s->out, ']');
}

static void put_step(struct show *s, const json_t *step)
{
    bool dns = is(step, "verdict", "answer") || is(step, "verdict", "empty") ||
               (is(step, "verdict", "fail") && json_object_get(step, "ttl_s"));
    struct span key = row_text(step, "key");
    buf_putz(s->out, s->indent);
    buf_putz(s->out, is(step, "verdict", "decided") ? "=> " : "");
    put(s->out, row_text(step, "what"));
    if (key.n) {
        buf_putc(s->out, ' ');
        put(s->out, key);
    }
    buf_putz(s->out, ": ");
    if (dns) {
        put_dns(s, step);
    } else {
        put(s->out, row_text(step, "said"));
        if (!row_text(step, "said").n)
            buf_putz(s->out, is(step, "verdict", "fail") ? "cannot say now" : "it is there");
        put_place(s->out, step);
    }
    buf_putc(s->out, '\n');
}

static void put_trail(struct show *s, const json_t *trail)
{
    for (size_t i = 0; i < json_array_size(trail);) {
        const json_t *step = json_array_get(trail, i);
        if (is(step, "verdict", "missing")) {
            buf_printf(s->out, "%s(%d more steps are not shown)\n", s->indent,
                       (int)row_int(step, "steps"));
            i++;
        } else if (is(step, "verdict", "miss")) {
            i = put_misses(s, trail, i);
        } else {
            put_step(s, step);
            i++;
        }
    }
}

/* --- the next hops --- */

static void put_canon(struct show *s, const json_t *canon)
{
    if (!canon)
        return;
    buf_printf(s->out, "%scanonical name of %.*s: ", s->indent, SPAN_ARG(row_text(canon, "name")));
    if (span_eq(row_text(canon, "status"), SPAN("nxdomain")))
        buf_putz(s->out, "no such name");
    else if (span_ieq(row_text(canon, "canon"), row_text(canon, "name")))
        buf_putz(s->out, "its own");
    else if (row_text(canon, "canon").n)
        put(s->out, row_text(canon, "canon"));
    else
        buf_printf(s->out, "unknown (%.*s)", SPAN_ARG(row_text(canon, "status")));
    const char *from = row_true(canon, "cached") ? "from the cache" : "asked now";
    buf_printf(s->out, "  [%s, TTL %d]\n", from, (int)row_int(canon, "ttl_s"));
}

static const char *flag_text(const json_t *flag)
{
    static const char *const texts[][2] = {
        { "dns_hosts_cut", "more MX hosts than the limit: the worst are left out" },
        { "dns_addrs_cut", "more addresses than the limit: the last are left out" },
        { "dns_own_cut", "this host is in the list: only better ones are tried" },
        { "dns_partial", "the addresses of some hosts cannot be found out now" },
        { "dns_implicit_mx", "no MX: the domain itself" },
    };
    const char *name = json_is_string(flag) ? json_string_value(flag) : "";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(name, texts[i][0]) == 0)
            return texts[i][1];
    return name;
}

static void put_hops(struct show *s, const struct story_target *t)
{
    const json_t *plan = json_object_get(t->lookup, "plan"), *list = json_object_get(plan, "try");
    const json_t *flags = json_object_get(plan, "flags");
    if (!t->lookup)
        return;
    put_trail(s, json_object_get(t->lookup, "trail"));
    for (size_t i = 0; i < json_array_size(flags); i++)
        buf_printf(s->out, "%snotice: %s\n", s->indent, flag_text(json_array_get(flags, i)));
    if (!json_array_size(list))
        return;
    buf_printf(s->out, "%stried in this order:\n", s->indent);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *at = json_array_get(list, i);
        buf_printf(s->out, "%s  %zu. ", s->indent, i + 1);
        put(s->out, row_text(at, "host"));
        buf_putc(s->out, ' ');
        put(s->out, row_text(at, "address"));
        if (row_int(at, "pref"))
            buf_printf(s->out, " (preference %d)", (int)row_int(at, "pref"));
        buf_putc(s->out, '\n');
    }
    route_rule_show(s->out, s->indent, s->cfg, route_rule(s->cfg, s->s, s->q, t), s->q);
}

static const char *end_text(enum story_end end)
{
    static const char *const texts[] = {
        [STORY_DELIVER] = "will be delivered to", [STORY_LOCAL] = "will be delivered here, to",
        [STORY_WAITS] = "will wait,",             [STORY_DISCARD] = "disappears:",
        [STORY_REFUSED] = "is refused:",          [STORY_LATER] = "is put off:",
    };
    return texts[end];
}

static const char *end_name(enum story_end end)
{
    static const char *const names[] = {
        [STORY_DELIVER] = "deliver", [STORY_LOCAL] = "local",     [STORY_WAITS] = "waits",
        [STORY_DISCARD] = "discard", [STORY_REFUSED] = "refused", [STORY_LATER] = "later",
    };
    return names[end];
}

/* --- the whole --- */

static void put_closing(struct buf *out, struct span addr, enum story_end end, const char *why)
{
    buf_putz(out, "  Mail to ");
    put(out, addr);
    buf_printf(out, " %s ", end_text(end));
    put(out, span_str(why));
    buf_putz(out, end == STORY_WAITS && !strncmp(why, "held", 4) ? ", until somebody releases it.\n"
                                                                 : ".\n");
}

static void put_target(struct show *in, const struct story_target *t)
{
    struct buf *out = in->out;
    struct span addr = row_text(t->given, "address");
    bool itself = in->s->n == 1 && span_eq(addr, span_str(in->s->rcpt));
    if (!itself) {
        buf_putz(out, "  it becomes ");
        put(out, addr);
        if (json_object_get(t->given, "sender")) {
            buf_putz(out, ", from <");
            put(out, row_text(t->given, "sender"));
            buf_putc(out, '>');
        }
        buf_putz(out, "\n");
    }
    buf_putz(out, "  where to?\n");
    put_canon(in, t->canon);
    put_trail(in, json_object_get(t->route, "trail"));
    put_hops(in, t);
    if (!itself)
        put_closing(out, addr, t->end, t->why);
}

/* The sender as genericstable and masquerading write it. */
static void put_shown(struct show *in)
{
    const json_t *shown = json_object_get(in->s->accept, "shown");
    struct span from = span_str(in->s->sender), header = row_text(shown, "header");
    struct span envelope = row_text(shown, "envelope");
    if (!shown)
        return;
    buf_putz(in->out, "  the sender, as others see it?\n");
    put_trail(in, json_object_get(shown, "trail"));
    buf_printf(in->out, "%s=> in the header ", in->indent);
    put(in->out, span_eq(header, from) ? SPAN("as it is") : header);
    buf_putz(in->out, ", in the envelope ");
    put(in->out, span_eq(envelope, from) ? SPAN("as it is") : envelope);
    buf_putc(in->out, '\n');
}

void route_show(struct buf *out, const struct story *s, const struct story_question *q,
                const struct ask *k)
{
    struct show in = { out, "    ", ask_config(k), s, q };
    buf_putz(out, "<");
    put(out, span_str(s->rcpt));
    buf_putz(out, "> from <");
    put(out, span_str(s->sender));
    buf_printf(out, ">, sent by %s; asked %s\n", q->client ? q->client : "a program of this host",
               ask_whom(k));
    buf_putz(out, "  may it?\n");
    if (s->client) {
        struct span name = row_text(s->client, "name");
        buf_putz(out, "    the client's name: ");
        put(out, name.n ? name : SPAN("none that leads back to it"));
        buf_putc(out, '\n');
    }
    put_trail(&in, json_object_get(s->accept, "trail"));
    if (!row_true(s->accept, "accepted")) {
        put_closing(out, span_str(s->rcpt), s->end, s->why);
        return;
    }
    buf_putz(out, "    accepted\n");
    put_shown(&in);
    for (size_t i = 0; i < s->n; i++)
        put_target(&in, &s->targets[i]);
    bool one = s->n == 1 && span_eq(row_text(s->targets[0].given, "address"), span_str(s->rcpt));
    if (one || s->end == STORY_DISCARD || row_text(s->accept, "quarantine").n)
        put_closing(out, span_str(s->rcpt), s->end, s->why);
}

static json_t *target_json(const struct story *s, const struct story_question *q,
                           const struct story_target *t, const struct config *cfg)
{
    json_t *row = json_object();
    json_object_set(row, "address", json_object_get(t->given, "address"));
    if (json_object_get(t->given, "sender"))
        json_object_set(row, "sender", json_object_get(t->given, "sender"));
    if (t->canon)
        json_object_set(row, "canonical", t->canon);
    json_object_set(row, "route", t->route);
    if (t->lookup) {
        json_object_set(row, "dns", t->lookup);
        route_rule_json(row, cfg, route_rule(cfg, s, q, t));
    }
    json_object_set_new(row, "end", json_string(end_name(t->end)));
    json_object_set_new(row, "why", json_string(t->why));
    json_object_set_new(row, "exit", json_integer(t->exit));
    return row;
}

json_t *route_show_json(const struct story *s, const struct story_question *q,
                        const struct ask *k)
{
    json_t *row = json_object(), *targets = json_array();
    json_object_set_new(row, "recipient", json_string(s->rcpt));
    json_object_set_new(row, "sender", json_string(s->sender));
    json_object_set_new(row, "client", q->client ? json_string(q->client) : json_null());
    json_object_set_new(row, "asked", json_string(ask_running(k) ? "running" : "files"));
    json_object_set_new(row, "whom", json_string(ask_whom(k)));
    json_object_set(row, "accept", s->accept);
    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(targets, target_json(s, q, &s->targets[i], ask_config(k)));
    json_object_set_new(row, "targets", targets);
    json_object_set_new(row, "end", json_string(end_name(s->end)));
    json_object_set_new(row, "why", json_string(s->why));
    json_object_set_new(row, "exit", json_integer(s->exit));
    return row;
}
