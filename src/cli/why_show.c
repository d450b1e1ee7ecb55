/* The answer for people: plain words first, facts after. */
#include "cli/why_words.h"

#include "base/num.h"
#include "cli/term.h"

#include <string.h>
#include <sysexits.h>

/* --- recipients that are in the same situation --- */

static bool same(const json_t *a, const json_t *b)
{
    static const char *const keys[] = { "state", "reason", "destination" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!span_eq(row_text(a, keys[i]), row_text(b, keys[i])))
            return false;
    return true;
}

static bool is_first(const json_t *rcpts, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (same(json_array_get(rcpts, k), json_array_get(rcpts, i)))
            return false;
    return true;
}

static size_t count_same(const json_t *rcpts, size_t from)
{
    size_t n = 0;
    for (size_t i = from; i < json_array_size(rcpts); i++)
        n += same(json_array_get(rcpts, from), json_array_get(rcpts, i));
    return n;
}

static const json_t *place_of(const struct why *w, struct span name)
{
    for (size_t i = 0; i < json_array_size(w->places); i++)
        if (span_eq(row_text(json_array_get(w->places, i), "name"), name))
            return json_array_get(w->places, i);
    return NULL;
}

/* Of all there is, or of the recipients of one message. */
static bool any_state(const struct why *w, const char *state)
{
    if (w->group)
        return json_object_get(json_object_get(w->group, "recipients"), state) != NULL;
    for (size_t i = 0; i < json_array_size(w->rcpts); i++)
        if (why_is(json_array_get(w->rcpts, i), "state", state))
            return true;
    return false;
}

/* --- what holds them back --- */

static void put_others(struct why_show *s, const json_t *gate)
{
    const char *state;
    json_t *n;
    int64_t waiting = 0;
    json_object_foreach(json_object_get(gate, "recipients"), state, n) {
        waiting += json_integer_value(n);
    }
    why_put_number(s, waiting, "recipient waits", "recipients wait");
    buf_putz(s->out, " there");
}

/* True: it is in back-off, which was said. */
static bool put_backed_off(struct why_show *s, const json_t *gate, const char *what)
{
    int64_t until = row_int(gate, "down_until_ms"), failures = row_int(gate, "failures");
    if (!until)
        return false;
    buf_printf(s->out, "    %s %s ", s->w->group ? "the" : "its", what);
    why_put(s, row_text(gate, "name"));
    buf_putz(s->out, " is left alone as a whole");
    if (failures) {
        buf_putz(s->out, " after ");
        why_put_number(s, failures, "failure", "failures in a row");
    }
    if (row_text(gate, "why").n) {
        buf_putz(s->out, ": ");
        why_put(s, row_text(gate, "why"));
    }
    buf_putz(s->out, "\n    one delivery tries it ");
    why_put_when(s, until);
    buf_putz(s->out, "; until then ");
    put_others(s, gate);
    buf_putz(s->out, ", and no attempt of theirs is used up\n");
    return true;
}

/* How fast, and why not faster. */
static void put_pace(struct why_show *s, const json_t *gate)
{
    int64_t rate = row_int(gate, "rate"), interval = row_int(gate, "interval_us");
    if (rate) {
        buf_printf(s->out, "    it may be given %lld in ", (long long)rate);
        term_put_age(s->out, row_int(gate, "rate_ms"));
        buf_printf(s->out, " (rule %lld)\n", (long long)row_int(gate, "rule"));
    }
    if (row_int(gate, "slowed")) {
        buf_printf(s->out, "    at present one begins every %lld.%03lld s: slowed down after ",
                   (long long)(interval / 1000000), (long long)(interval / 1000 % 1000));
        why_put_number(s, row_int(gate, "slowed"), "reply that asked for less",
                       "replies that asked for less");
        buf_putc(s->out, '\n');
    }
    if (row_int(gate, "paced_until_ms") > s->w->now_ms) {
        buf_putz(s->out, "    the next one may begin ");
        why_put_when(s, row_int(gate, "paced_until_ms"));
        buf_putc(s->out, '\n');
    }
    if (row_text(gate, "why").n && !row_int(gate, "down_until_ms")) {
        buf_putz(s->out, "    it is given less than it might be: ");
        why_put(s, row_text(gate, "why"));
        buf_putc(s->out, '\n');
    }
}

static void put_room(struct why_show *s, const json_t *gate, const char *what)
{
    int64_t active = row_int(gate, "active"), limit = row_int(gate, "limit");
    int64_t max = row_int(gate, "limit_max");
    if (!limit && !active)
        return;
    buf_printf(s->out, "    %s %s ", s->w->group ? "the" : "its", what);
    why_put(s, row_text(gate, "name"));
    buf_putz(s->out, " has ");
    why_put_number(s, active, "delivery under way", "deliveries under way");
    if (limit)
        buf_printf(s->out, " of %lld at once", (long long)limit);
    if (limit && active >= limit)
        buf_putz(s->out, ": all are in use");
    if (max > limit)
        buf_printf(s->out, " (%lld at most, more with each success)", (long long)max);
    buf_putz(s->out, "; ");
    put_others(s, gate);
    buf_putc(s->out, '\n');
    put_pace(s, gate);
}

static void put_place(struct why_show *s, const json_t *place)
{
    const json_t *dest = json_object_get(place, "destination");
    const json_t *site = json_object_get(place, "site");
    bool down = put_backed_off(s, dest, "destination");
    down |= put_backed_off(s, site, row_text(site, "name").n ? "site" : "next hop");
    if (!down)
        put_room(s, site, row_text(site, "name").n ? "site" : "next hop");
}

/* What is wrong with the gateway itself. */
static void put_gateway(struct why_show *s)
{
    const json_t *now = s->w->now;
    if (!row_true(now, "router"))
        buf_putz(s->out, "  The router is away: nothing is routed until it is back.\n");
    if (!row_int(now, "delivers"))
        buf_putz(s->out, "  No delivering process is there: nothing is sent until one is back.\n");
    if (row_int(now, "jobs_max") && row_int(now, "jobs") >= row_int(now, "jobs_max"))
        buf_printf(s->out, "  All %lld outgoing connections are in use (deliver.connections): what "
                           "is due waits for one.\n", (long long)row_int(now, "jobs_max"));
    if (row_true(now, "spool_stuck"))
        buf_putz(s->out, "  What becomes of mail cannot be written to the spool: nothing new is "
                         "begun (postern queue count; the log has the alarm).\n");
    if (row_true(now, "finishing"))
        buf_putz(s->out, "  The gateway is ending: nothing new is begun.\n");
}

/* --- where it is --- */

static void put_tried(struct why_show *s, const json_t *r)
{
    int64_t attempts = row_int(r, "attempts");
    if (attempts) {
        buf_putz(s->out, ", tried ");
        why_put_number(s, attempts, "time", "times");
    }
}

static void put_state(struct why_show *s, const json_t *r, bool closed)
{
    if (why_is(r, "state", "active"))
        buf_putz(s->out, "is being delivered at this moment");
    else if (why_is(r, "state", "held"))
        buf_putz(s->out, "is held until somebody releases it");
    else if (why_is(r, "state", "waiting"))
        buf_putz(s->out, "waits for a queue run");
    else if (why_is(r, "state", "deferred"))
        buf_putz(s->out, "waits for its next attempt");
    else if (why_is(r, "state", "ready"))
        buf_putz(s->out, closed ? "waits with its site" : "waits for its turn at its site");
    else if (row_true(r, "final"))
        buf_putz(s->out, "is done: ");
    else
        buf_putz(s->out, "is about to be routed");
    if (row_true(r, "final"))
        why_put(s, row_text(r, "state"));
}

static bool is_closed(const json_t *place)
{
    return row_int(json_object_get(place, "destination"), "down_until_ms") ||
           row_int(json_object_get(place, "site"), "down_until_ms");
}

static void put_situation(struct why_show *s, size_t i)
{
    const json_t *r = json_array_get(s->w->rcpts, i);
    const json_t *place = place_of(s->w, row_text(r, "destination"));
    size_t others = count_same(s->w->rcpts, i) - 1;
    int64_t next = row_int(r, "next_try_ms");
    buf_putz(s->out, "  ");
    why_put_addr(s, row_text(r, "to"));
    if (others) {
        buf_putz(s->out, " and ");
        why_put_number(s, (int64_t)others, "other: each ", "others: each ");
    } else {
        buf_putc(s->out, ' ');
    }
    put_state(s, r, is_closed(place));
    if (!row_true(r, "final"))
        put_tried(s, r);
    buf_putz(s->out, ".\n");
    if (row_text(r, "reason").n && !row_true(r, "final")) {
        buf_putz(s->out, why_is(r, "state", "held") ? "    why: " : "    the last word: ");
        why_put(s, row_text(r, "reason"));
        buf_putc(s->out, '\n');
    }
    if (next && why_is(r, "state", "deferred")) {
        buf_putz(s->out, next > s->w->now_ms ? "    the next attempt is due " : "    it is due, ");
        why_put_when(s, next);
        buf_putc(s->out, '\n');
    }
    if (row_true(r, "duplicate"))
        buf_putz(s->out, "    it may have arrived already: the connection was lost after the "
                         "final dot\n");
    if (place && !row_true(r, "final") && !why_is(r, "state", "held") &&
        !why_is(r, "state", "waiting"))
        put_place(s, place);
}

static void put_situations(struct why_show *s)
{
    const json_t *message = s->w->message;
    size_t shown = json_array_size(s->w->rcpts);
    for (size_t i = 0; i < shown; i++)
        if (is_first(s->w->rcpts, i))
            put_situation(s, i);
    if (row_int(message, "rcpts") > (int64_t)shown)
        buf_printf(s->out, "  (%lld more recipients are not shown)\n",
                   (long long)row_int(message, "rcpts") - (long long)shown);
}

static void put_message(struct why_show *s)
{
    const json_t *m = s->w->message, *first = json_array_get(s->w->rcpts, 0);
    int64_t rcpts = row_int(m, "rcpts"), expires = row_int(m, "expire_after_ms");
    why_put(s, row_text(m, "id"));
    buf_putz(s->out, ": mail from ");
    why_put_addr(s, row_text(m, "sender"));
    buf_putz(s->out, " to ");
    if (rcpts == 1)
        why_put_addr(s, row_text(first, "to"));
    else
        why_put_number(s, rcpts, "recipient", "recipients");
    buf_putz(s->out, ", ");
    num_put_size(s->out, (uint64_t)row_int(m, "size"));
    buf_putz(s->out, ", came ");
    why_put_when(s, row_int(m, "received_ms"));
    buf_putz(s->out, ".\n");
    if (rcpts > 1) {
        buf_putz(s->out, "  Of these ");
        why_put_number(s, row_int(m, "waiting"), "waits.\n", "wait.\n");
    }
    put_situations(s);
    if (any_state(s->w, "held") || any_state(s->w, "waiting")) {
        buf_putz(s->out, "  Nothing expires while it is held or waits for a queue run.\n");
    } else if (expires && row_int(m, "waiting")) {
        buf_putz(s->out, "  What has not been delivered then is given up, and its sender told, ");
        why_put_when(s, row_int(m, "received_ms") + expires);
        buf_putz(s->out, ".\n");
    }
}

/* --- what many have in common --- */

static void put_reasons(struct why_show *s)
{
    size_t n = json_array_size(s->w->reasons);
    int64_t others = row_int(s->w->group, "other_reasons");
    buf_putz(s->out, n == 1 && !others ? "  All for one reason:\n" : "  The reasons:\n");
    for (size_t i = 0; i < n; i++) {
        const json_t *r = json_array_get(s->w->reasons, i);
        buf_printf(s->out, "    %6lld  ", (long long)row_int(r, "recipients"));
        why_put(s, row_text(r, "state"));
        buf_putz(s->out, row_text(r, "reason").n ? ": " : "");
        why_put(s, row_text(r, "reason"));
        buf_putz(s->out, "  [");
        why_put(s, row_text(r, "id"));
        buf_putz(s->out, "]\n");
    }
    if (others)
        buf_printf(s->out, "    %6lld  for other reasons\n", (long long)others);
}

static int64_t waiting_of(const json_t *group)
{
    const char *state;
    json_t *n;
    int64_t sum = 0;
    json_object_foreach(json_object_get(group, "recipients"), state, n) {
        sum += json_integer_value(n);
    }
    return sum;
}

static void put_group(struct why_show *s)
{
    const json_t *g = s->w->group;
    why_put(s, row_text(g, "target"));
    buf_putz(s->out, ": ");
    why_put_number(s, row_int(g, "messages"), "message", "messages");
    buf_putz(s->out, " (");
    why_put_number(s, waiting_of(g), "recipient", "recipients");
    buf_putz(s->out, ", ");
    num_put_size(s->out, (uint64_t)row_int(g, "bytes"));
    buf_printf(s->out, ") %s%s.\n", row_int(g, "messages") == 1 ? "waits" : "wait",
               why_is(g, "is", "host") ? " for what is sent there" : "");
    buf_putz(s->out, "  The oldest, ");
    why_put(s, row_text(g, "oldest"));
    buf_putz(s->out, ", came ");
    why_put_when(s, row_int(g, "oldest_ms"));
    buf_putz(s->out, ", the newest ");
    why_put_when(s, row_int(g, "newest_ms"));
    buf_putz(s->out, ".\n");
    if (row_int(g, "next_try_ms")) {
        buf_putz(s->out, "  The next try is due ");
        why_put_when(s, row_int(g, "next_try_ms"));
        buf_putz(s->out, ".\n");
    }
    put_reasons(s);
    for (size_t i = 0; i < json_array_size(s->w->places); i++)
        put_place(s, json_array_get(s->w->places, i));
}

/* --- if it were tried now --- */

static const char *end_words(const struct story_target *t)
{
    switch (t->end) {
    case STORY_DELIVER: return "would be sent to";
    case STORY_LOCAL: return "would be delivered here, to";
    case STORY_WAITS: return "would wait:";
    case STORY_DISCARD: return "would be thrown away:";
    case STORY_REFUSED: return "would be returned to its sender:";
    case STORY_LATER: return "would be put off again:";
    }
    return "";
}

static void put_plan(struct why_show *s, const json_t *lookup)
{
    const json_t *list = json_object_get(json_object_get(lookup, "plan"), "try");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *at = json_array_get(list, i);
        buf_printf(s->out, "      %zu. ", i + 1);
        why_put(s, row_text(at, "host"));
        buf_putc(s->out, ' ');
        why_put(s, row_text(at, "address"));
        if (row_int(at, "pref"))
            buf_printf(s->out, " (preference %d)", (int)row_int(at, "pref"));
        buf_putc(s->out, '\n');
    }
}

static void put_route(struct why_show *s, const struct why_route *r)
{
    const json_t *dest = json_object_get(r->target.route, "dest");
    buf_putz(s->out, "    ");
    why_put_addr(s, row_text(r->rcpt, "to"));
    if (!r->asked) {
        buf_putz(s->out, ": cannot be said: ");
        why_put(s, span_str(r->error));
        buf_putc(s->out, '\n');
        return;
    }
    buf_printf(s->out, " %s ", end_words(&r->target));
    why_put(s, span_str(r->target.why));
    if (row_text(dest, "matched").n) {
        buf_putz(s->out, "  (");
        why_put(s, row_text(dest, "matched"));
        buf_putc(s->out, ')');
    }
    buf_putc(s->out, '\n');
    if (r->moved) {
        buf_putz(s->out, "    THE ROUTE HAS CHANGED: it went to ");
        why_put(s, row_text(r->rcpt, "destination"));
        buf_putz(s->out, ", now to ");
        why_put(s, row_text(dest, "queue"));
        buf_putc(s->out, '\n');
    }
    put_plan(s, r->target.lookup);
    why_show_dns(s, r);
}

static void put_routes(struct why_show *s)
{
    if (!s->w->route_count)
        return;
    buf_putz(s->out, s->w->group ? "\n  If the oldest were tried now\n"
                                 : "\n  If it were tried now\n");
    for (size_t i = 0; i < s->w->route_count; i++)
        put_route(s, &s->w->routes[i]);
}

/* --- what can be done --- */

static void put_command(struct why_show *s, const char *verb, struct span word, const char *what)
{
    size_t at = s->out->len;
    buf_printf(s->out, "    postern %s", verb);
    if (word.n) {
        buf_putc(s->out, ' ');
        why_put(s, word);
    }
    do
        buf_putc(s->out, ' ');
    while (s->out->len - at < 42);
    buf_printf(s->out, "  %s\n", what);
}

static struct span held_one(const struct why *w)
{
    for (size_t i = 0; i < json_array_size(w->reasons); i++)
        if (why_is(json_array_get(w->reasons, i), "state", "held"))
            return row_text(json_array_get(w->reasons, i), "id");
    return SPAN_NONE;
}

static void put_commands(struct why_show *s)
{
    struct span id = row_text(s->w->message, "id"), target = span_str(s->w->target);
    const json_t *place = json_array_get(s->w->places, 0);
    struct span whom = !s->w->group                      ? id
                       : why_is(s->w->group, "is", "host") ? row_text(place, "name")
                                                           : target;
    bool retry = any_state(s->w, "deferred") || any_state(s->w, "ready");
    buf_putz(s->out, "\n  What you can do\n");
    if (retry)
        put_command(s, "retry --verbose", whom, "now, past any back-off, and look on");
    if (any_state(s->w, "held"))
        put_command(s, "queue release", s->w->group ? held_one(s->w) : id, "lets it go");
    else if (!s->w->group)
        put_command(s, "queue hold", id, "keeps it from being sent");
    if (any_state(s->w, "waiting"))
        put_command(s, "queue run", SPAN_NONE, "sends what waits for a queue run");
    if (!s->w->group)
        put_command(s, "queue delete", id, "removes it; its sender is not told");
    else
        put_command(s, "why", row_text(s->w->group, "oldest"), "the story of the oldest");
    if (s->w->route_count)
        put_command(s, "route", row_text(s->w->routes[0].rcpt, "to"),
                    "how the next hop comes about, step by step");
}

/* --- it is not there --- */

static void put_event(struct why_show *s, const json_t *e)
{
    static const char *const keys[] = { "from", "to", "relay", "dsn", "stat", "reply", "reason",
                                        "text", "route", "client" };
    buf_putz(s->out, "    ");
    why_put(s, row_text(e, "time"));
    buf_putz(s->out, "  ");
    why_put(s, row_text(e, "event"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct span v = row_text(e, keys[i]);
        if (!v.n)
            continue;
        buf_printf(s->out, " %s=", keys[i]);
        why_put(s, v);
    }
    buf_putc(s->out, '\n');
}

static void put_gone(struct why_show *s)
{
    const struct why *w = s->w;
    size_t n = json_array_size(w->log);
    why_put(s, span_str(w->target));
    buf_putz(s->out, ": nothing like that is in the queue");
    if (n) {
        buf_putz(s->out, " any more. The log says of it:\n");
        for (size_t i = 0; i < n; i++)
            put_event(s, json_array_get(w->log, i));
    } else if (w->log) {
        buf_putz(s->out, ", and the event log (log.events) says nothing of it in its last 64 "
                         "MiB.\n");
    } else {
        buf_putz(s->out, ". What was delivered, returned or deleted stands in the log"
                         " (log.file, log.syslog; log.events is read here when it is kept).\n");
    }
}

void why_show(struct buf *out, const struct why *w, const struct ask *k, bool verbose)
{
    struct why_show s = { out, w, k, verbose };
    if (w->exit != EX_OK) {
        put_gone(&s);
        return;
    }
    if (w->group)
        put_group(&s);
    else
        put_message(&s);
    put_gateway(&s);
    why_show_attempts(&s);
    put_routes(&s);
    put_commands(&s);
}
