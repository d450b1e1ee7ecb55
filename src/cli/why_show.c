/* The answer for people: plain words first, facts after. */
#include "cli/log_parts.h"
#include "cli/why_words.h"

#include "cli/term.h"
#include "queue/reason.h"

#include <string.h>
#include <sysexits.h>

/* --- recipients that are in the same situation --- */

static const json_t *place_of(const struct why *w, struct span name)
{
    for (size_t i = 0; i < json_array_size(w->places); i++)
        if (span_eq(row_text(json_array_get(w->places, i), "name"), name))
            return json_array_get(w->places, i);
    return NULL;
}

/* One class of reasons, at places that have the same trouble, each for itself. */
static bool same_trouble(const struct why *w, const json_t *a, const json_t *b)
{
    char room[QUEUE_CLASS_MAX], other[QUEUE_CLASS_MAX];
    size_t n = queue_reason_class(row_text(a, "reason"), room);
    size_t m = queue_reason_class(row_text(b, "reason"), other);
    return n == m && memcmp(room, other, n) == 0 &&
           why_same_trouble(place_of(w, row_text(a, "destination")),
                            place_of(w, row_text(b, "destination")));
}

static bool same(const struct why *w, const json_t *a, const json_t *b)
{
    static const char *const keys[] = { "state", "before", "rerouted" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!span_eq(row_text(a, keys[i]), row_text(b, keys[i])))
            return false;
    return (span_eq(row_text(a, "reason"), row_text(b, "reason")) &&
            span_eq(row_text(a, "destination"), row_text(b, "destination"))) ||
           same_trouble(w, a, b);
}

static bool is_first(const struct why *w, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (same(w, json_array_get(w->rcpts, k), json_array_get(w->rcpts, i)))
            return false;
    return true;
}

/* More than there are rows for: the first row of each situation says how many are in it. */
static bool is_cut(const struct why *w)
{
    return row_int(json_array_get(w->rcpts, 0), "alike") > 0;
}

/* elsewhere_r: one of them that goes to another destination; NULL: none does. */
static size_t count_same(const struct why *w, size_t from, const json_t **elsewhere_r)
{
    const json_t *first = json_array_get(w->rcpts, from);
    size_t n = 0;
    *elsewhere_r = NULL;
    for (size_t i = from; i < json_array_size(w->rcpts); i++) {
        const json_t *r = json_array_get(w->rcpts, i);
        if (!same(w, first, r))
            continue;
        int64_t alike = row_int(r, "alike"); /* itself, and others that are not all rows */
        n += alike > 0 ? (size_t)alike : !is_cut(w);
        if (!span_eq(row_text(first, "destination"), row_text(r, "destination")))
            *elsewhere_r = r;
    }
    return n ? n : 1;
}

/* --- where it is --- */

static void put_tried(struct why_show *s, const json_t *r, const char *before)
{
    int64_t attempts = row_int(r, "attempts");
    if (attempts) {
        buf_printf(s->out, "%stried ", before);
        why_put_number(s, attempts, "time", "times");
    }
}

static const char *state_words(const json_t *r, const json_t *place)
{
    const json_t *site = json_object_get(place, "site");
    bool paced = row_int(site, "paced_until_ms") > 0;
    bool full = row_int(site, "limit") && row_int(site, "active") >= row_int(site, "limit");
    const struct {
        const char *state;
        bool holds;
        const char *words;
    } table[] = {
        { "active", true, "is being delivered at this moment" },
        { "quarantined", true, "is held by what the tables say of it, until somebody releases it" },
        { "held", true, "is held until somebody releases it" },
        { "waiting", true, "waits for a queue run" },
        { "deferred", row_true(r, "with_site"), "waits with its site" },
        { "deferred", true, "waits for its next attempt" },
        { "ready", row_true(r, "routing"), "is about to be routed" },
        { "ready", row_true(json_object_get(place, "destination"), "asking"),
          "waits until the DNS has said at which site its destination is" },
        { "ready", paced, "waits for its turn: its site is given so many in a time" },
        { "ready", full, "waits for its turn: all deliveries its site may have are under way" },
        { "ready", true, "waits for its turn at its site" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (why_is(r, "state", table[i].state) && table[i].holds)
            return table[i].words;
    return "is done: ";
}

/* "is frozen: root froze d.example, 3h ago (...); tried 3 times" */
static void put_state(struct why_show *s, const json_t *r)
{
    if (!why_is(r, "state", "frozen")) {
        buf_putz(s->out, state_words(r, place_of(s->w, row_text(r, "destination"))));
        if (row_true(r, "final"))
            why_put(s, why_is(r, "state", "expanded") ? SPAN("expanded, to those it stands for")
                                                      : row_text(r, "state"));
        else
            put_tried(s, r, ", ");
        return;
    }
    buf_putz(s->out, "is frozen: ");
    why_put(s, row_text(r, "frozen_by").n ? row_text(r, "frozen_by") : SPAN("an administrator"));
    buf_putz(s->out, " froze ");
    why_put(s, row_text(r, "frozen_as").n ? row_text(r, "frozen_as") : SPAN("where it goes"));
    if (row_int(r, "frozen_ms")) {
        buf_putz(s->out, ", ");
        why_put_when(s, row_int(r, "frozen_ms"));
    }
    put_tried(s, r, "; ");
}

static bool is_held(const json_t *r)
{
    return why_is(r, "state", "held") || why_is(r, "state", "quarantined");
}

/* elsewhere: see count_same */
static void put_reason(struct why_show *s, const json_t *r, const json_t *elsewhere)
{
    if (row_text(r, "reason").n && !why_is(r, "state", "frozen")) {
        struct buf text;
        buf_init(&text, 4096);
        queue_reason_fold(&text, row_text(r, "reason"),
                          row_text(elsewhere ? elsewhere : r, "reason"));
        buf_putz(s->out, is_held(r) ? "    why: " : "    the last word: ");
        why_put(s, buf_span(&text));
        buf_free(&text);
        if (row_int(r, "decided_ms")) {
            buf_putz(s->out, ", ");
            why_put_when(s, row_int(r, "decided_ms"));
        }
        buf_putc(s->out, '\n');
    }
    if (row_text(r, "before").n) {
        buf_putz(s->out, "    before that: ");
        why_put(s, row_text(r, "before"));
        buf_putc(s->out, '\n');
    }
    if (row_text(r, "rerouted").n) {
        buf_putz(s->out, "    an administrator has sent it another way, whatever the tables say: ");
        why_put(s, row_text(r, "rerouted"));
        if (row_text(r, "reroute_rule").n) {
            buf_putz(s->out, " (the rule for ");
            why_put(s, row_text(r, "reroute_rule"));
            why_put_who(s, row_text(r, "who"), row_int(r, "since_ms"));
            buf_putc(s->out, ')');
        } else if (s->w->rerouted) {
            why_put_who(s, row_text(s->w->rerouted, "text"),
                        log_event_ms(row_text(s->w->rerouted, "time")));
        }
        buf_putc(s->out, '\n');
    }
    if (row_true(r, "duplicate"))
        buf_putz(s->out, "    it may have arrived already: the connection was lost after the "
                         "final dot\n");
    if (row_true(r, "warned"))
        buf_putz(s->out, "    its sender has been told that it is late\n");
}

static void put_next(struct why_show *s, const json_t *r)
{
    int64_t next = row_int(r, "next_try_ms");
    if (!next || !why_is(r, "state", "deferred") || row_true(r, "with_site"))
        return;
    buf_putz(s->out, next > s->w->now_ms ? "    the next attempt is due " : "    it is due, ");
    why_put_when(s, next);
    buf_putc(s->out, '\n');
}

static void put_then(struct why_show *s, const json_t *r)
{
    const json_t *wish = why_is(r, "then", "held") ? s->w->to_hold : s->w->to_delete;
    buf_putz(s->out, "    unless this attempt has a final outcome, it is ");
    why_put(s, row_text(r, "then"));
    buf_putz(s->out, " then: ");
    why_put(s, wish ? row_text(wish, "text") : SPAN("somebody"));
    buf_putz(s->out, " asked for that");
    if (wish) {
        buf_putc(s->out, ' ');
        why_put_when(s, log_event_ms(row_text(wish, "time")));
    }
    buf_putc(s->out, '\n');
}

static void put_situation(struct why_show *s, size_t i)
{
    const json_t *r = json_array_get(s->w->rcpts, i);
    const json_t *place = place_of(s->w, row_text(r, "destination"));
    const json_t *elsewhere;
    size_t others = count_same(s->w, i, &elsewhere) - 1;
    bool final = row_true(r, "final");
    buf_putz(s->out, "  ");
    why_put_addr(s, row_text(r, "to"));
    if (others) {
        buf_putz(s->out, " and ");
        why_put_number(s, (int64_t)others, "other: each ", "others: each ");
    } else {
        buf_putc(s->out, ' ');
    }
    put_state(s, r);
    if (row_int(r, "begun_ms")) {
        buf_putz(s->out, ", begun ");
        why_put_when(s, row_int(r, "begun_ms"));
    }
    buf_putz(s->out, ".\n");
    if (final)
        return;
    if (row_text(r, "then").n)
        put_then(s, r);
    put_reason(s, r, elsewhere);
    put_next(s, r);
    bool parked = is_held(r) || why_is(r, "state", "waiting") ||
                  (row_true(r, "frozen") && !why_frozen(place).n) ||
                  why_parks_frozen(row_text(r, "destination")); /* by whom was said */
    if (place && !parked)
        why_show_place(s, place, false);
    if (elsewhere)
        buf_putz(s->out, "    the others go to other destinations, where it is the same, each by "
                         "itself\n");
}

static void put_situations(struct why_show *s)
{
    int64_t left = row_int(s->w->message, "rcpts");
    for (size_t i = 0; i < json_array_size(s->w->rcpts); i++) {
        const json_t *elsewhere;
        if (!is_first(s->w, i))
            continue;
        put_situation(s, i);
        left -= (int64_t)count_same(s->w, i, &elsewhere);
    }
    if (left > 0) {
        buf_putz(s->out, "  (");
        why_put_number(s, left, "more recipient is not shown)\n",
                       "more recipients are not shown)\n");
    }
}

static const char *end_of(const struct why *w)
{
    switch (why_tells(w)) {
    case WHY_TELLS_NOBODY: return "given up, and nobody told, as its sender asked, ";
    case WHY_TELLS_POSTMASTER: return "given up, and the postmaster told, as it has no sender, ";
    case WHY_TELLS_ALARM: return "held for a person, as nobody is left to be told, ";
    case WHY_TELLS_SOME: return "given up, and its sender told where he asked to be, ";
    default: return "given up, and its sender told, ";
    }
}

/* What is held or waits for a run does not expire; of the rest rules may give each place a time of
 * its own: the first is told. */
static void put_end(struct why_show *s)
{
    int64_t first = 0;
    bool rests = false;
    for (size_t i = 0; i < json_array_size(s->w->rcpts); i++) {
        const json_t *r = json_array_get(s->w->rcpts, i);
        int64_t at = row_int(r, "expires_ms");
        rests |= is_held(r) || why_is(r, "state", "waiting");
        if (at && (!first || at < first))
            first = at;
    }
    if (first) {
        buf_printf(s->out, "  What has not been delivered then is %s", end_of(s->w));
        why_put_when(s, first);
        buf_putz(s->out, ".\n");
    }
    if (rests)
        buf_putz(s->out, first ? "  What is held or waits for a queue run does not expire.\n"
                               : "  Nothing expires while it is held or waits for a queue run.\n");
}

/* "  When it came, From: a@x became b@y, because of masquerade_as." */
static void put_rewritten(struct why_show *s)
{
    const json_t *list = json_object_get(s->w->message, "rewritten");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *line = json_array_get(list, i);
        if (!json_is_string(line))
            continue;
        buf_putz(s->out, "  When it came, " WHY_HANG);
        why_put(s, span_str(json_string_value(line)));
        buf_putz(s->out, ".\n");
    }
}

/* --- reasons, with how many have them --- */

static const char *group_words(const json_t *reason)
{
    static const struct {
        const char *state, *words;
    } table[] = {
        { "active", "on the way" },           { "ready", "waits for its turn at its site" },
        { "deferred", "put off" },            { "waiting", "waits for a queue run" },
        { "held", "held" },                   { "quarantined", "held by the tables" },
    };
    if (row_true(reason, "with_site"))
        return "waits with its site";
    if (row_true(reason, "final"))
        return json_string_value(json_object_get(reason, "state"));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (why_is(reason, "state", table[i].state))
            return table[i].words;
    return "";
}

/* Those with the most recipients; of very many, the others as a number. others: those of which
 * there is no row. */
static void put_list(struct why_show *s, int64_t others)
{
    enum { SHOWN = 12, MANY = 16 };
    size_t n = json_array_size(s->w->reasons), shown = n < MANY || s->verbose ? n : SHOWN;
    for (size_t i = shown; i < n; i++)
        others += row_int(json_array_get(s->w->reasons, i), "recipients");
    for (size_t i = 0; i < shown; i++) {
        const json_t *r = json_array_get(s->w->reasons, i);
        buf_printf(s->out, "    %6lld  " WHY_HANG "%s", (long long)row_int(r, "recipients"),
                   group_words(r));
        buf_putz(s->out, row_text(r, "reason").n && group_words(r)[0] ? ": " : "");
        why_put(s, row_text(r, "reason"));
        why_put_frozen(s, r);
        if (row_text(r, "id").n) {
            buf_putz(s->out, "  [");
            why_put(s, row_text(r, "id"));
            buf_putz(s->out, "]");
        }
        buf_putc(s->out, '\n');
    }
    if (others)
        buf_printf(s->out, "    %6lld  for other reasons%s\n", (long long)others,
                   shown < n ? " (--verbose has more)" : "");
}

/* --- one message --- */

static void put_message(struct why_show *s)
{
    enum { FEW = 10 }; /* recipients: what is said of each says it all */
    const json_t *m = s->w->message, *first = json_array_get(s->w->rcpts, 0);
    int64_t rcpts = row_int(m, "rcpts");
    buf_putz(s->out, WHY_HEAD);
    why_put(s, row_text(m, "id"));
    buf_putz(s->out, ": mail from ");
    why_put_addr(s, row_text(m, "sender"));
    buf_putz(s->out, " to ");
    if (rcpts == 1)
        why_put_addr(s, row_text(first, "to"));
    else
        why_put_number(s, rcpts, "recipient", "recipients");
    buf_putz(s->out, ", ");
    why_put_size(s, row_int(m, "size"));
    buf_putz(s->out, ", came ");
    why_put_when(s, row_int(m, "received_ms"));
    if (row_text(m, "listener").n) {
        buf_putz(s->out, " by listener ");
        why_put(s, row_text(m, "listener"));
    }
    buf_putz(s->out, ".\n");
    if (rcpts > 1) {
        buf_putz(s->out, "  Of these ");
        why_put_number(s, row_int(m, "waiting"), "waits.\n", "wait.\n");
        if (rcpts > FEW && json_array_size(s->w->reasons) > 1) {
            buf_putz(s->out, "  All of them, by state and reason:\n");
            put_list(s, 0);
        }
    }
    put_rewritten(s);
    if (!row_true(m, "readable"))
        buf_putz(s->out, "  " WHY_WARN "Its envelope cannot be read in the spool; the log has the "
                         "alarm.\n");
    why_show_news(s);
    put_situations(s);
    why_show_way(s);
    put_end(s);
}

/* --- what many have in common --- */

static void put_reasons(struct why_show *s)
{
    size_t n = json_array_size(s->w->reasons);
    int64_t others = row_int(s->w->group, "other_reasons");
    buf_putz(s->out, n == 1 && !others ? "  All for one reason:\n"
                                      : "  The reasons, and how many recipients each has:\n");
    put_list(s, others);
}

static void put_domains(struct why_show *s)
{
    size_t n = json_array_size(s->w->domains);
    int64_t all = row_int(s->w->group, "domains");
    if (!n)
        return;
    buf_putz(s->out, "  Through it goes mail for ");
    why_put_number(s, all, "domain: " WHY_HANG, "domains: " WHY_HANG);
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(s->w->domains, i);
        buf_putz(s->out, i ? ", " : "");
        why_put(s, row_text(d, "name"));
        buf_printf(s->out, " (%lld)", (long long)row_int(d, "recipients"));
    }
    buf_putz(s->out, all > (int64_t)n ? ", and others.\n" : ".\n");
}

static void put_number(struct why_show *s, const json_t *g)
{
    bool at_most = row_true(g, "messages_at_most");
    buf_putz(s->out, at_most ? "at most " : "");
    why_put_number(s, row_int(g, "messages"), "message", "messages");
    buf_putz(s->out, " (");
    why_put_number(s, why_sum(json_object_get(g, "recipients")), "recipient", "recipients");
    buf_putz(s->out, ", ");
    why_put_size(s, row_int(g, "bytes"));
    buf_printf(s->out, ") %s%s.\n", row_int(g, "messages") == 1 ? "waits" : "wait",
               why_is(g, "is", "host") ? " for what is sent there" : "");
}

/* What a person has sent another way: all of it by a rule, or the oldest. */
static void put_ways(struct why_show *s)
{
    const json_t *first = json_array_get(s->w->rcpts, 0);
    if (s->w->rule) {
        buf_putz(s->out, "  " WHY_WARN "Its mail is sent another way, to ");
        why_put(s, row_text(s->w->rule, "nexthop"));
        why_put_who(s, row_text(s->w->rule, "who"), row_int(s->w->rule, "since_ms"));
        buf_putz(s->out, ".\n");
    } else if (row_text(first, "rerouted").n) {
        buf_putz(s->out, "  " WHY_WARN "The oldest is sent another way, to ");
        why_put(s, row_text(first, "rerouted"));
        if (row_text(first, "reroute_rule").n)
            why_put_who(s, row_text(first, "who"), row_int(first, "since_ms"));
        else if (s->w->rerouted)
            why_put_who(s, row_text(s->w->rerouted, "text"),
                        log_event_ms(row_text(s->w->rerouted, "time")));
        buf_putz(s->out, ".\n");
    }
}

static void put_group(struct why_show *s)
{
    const json_t *g = s->w->group;
    buf_putz(s->out, WHY_HEAD);
    why_put(s, row_text(g, "target"));
    buf_putz(s->out, ": ");
    put_number(s, g);
    if (why_is(g, "is", "host") && row_int(s->w->now, "site_unknown")) {
        buf_putz(s->out, "  " WHY_WARN "But ");
        term_put_unsited(s->out, row_int(s->w->now, "site_unknown"));
    }
    if (row_int(g, "of_others")) {
        buf_putz(s->out, "  Of these ");
        why_put_number(s, row_int(g, "of_others"), "recipient is", "recipients are");
        buf_putz(s->out, " of other domains, whose mail goes to a host of that name.\n");
    }
    if (row_text(g, "oldest").n) {
        buf_putz(s->out, "  The oldest, ");
        why_put(s, row_text(g, "oldest"));
        buf_putz(s->out, ", came ");
    } else {
        buf_putz(s->out, "  The oldest came ");
    }
    why_put_when(s, row_int(g, "oldest_ms"));
    buf_putz(s->out, ", the newest ");
    why_put_when(s, row_int(g, "newest_ms"));
    buf_putz(s->out, ".\n");
    if (row_true(g, "at_its_turn")) {
        buf_putz(s->out, "  The next try begins as soon as it is its turn.\n");
    } else if (row_int(g, "next_try_ms")) {
        buf_putz(s->out, "  The next try is due ");
        why_put_when(s, row_int(g, "next_try_ms"));
        buf_putz(s->out, ".\n");
    }
    put_ways(s);
    why_show_news(s);
    put_reasons(s);
    why_show_way(s);
    put_domains(s);
    why_show_places(s);
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
    const json_t *plan = json_object_get(lookup, "plan"), *list = json_object_get(plan, "try");
    if (row_text(plan, "alias").n) {
        buf_putz(s->out, "      ");
        why_put_alias(s, plan, "is tried\n");
    }
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
    why_put(s, r->target.why[0] ? span_str(r->target.why) : row_text(r->rcpt, "rerouted"));
    if (r->forced) {
        buf_putz(s->out, "  (rerouted by an administrator)");
    } else if (row_text(dest, "matched").n) {
        buf_putz(s->out, "  (");
        why_put(s, row_text(dest, "matched"));
        buf_putc(s->out, ')');
    }
    buf_putc(s->out, '\n');
    put_plan(s, r->target.lookup);
    why_show_dns(s, r);
}

static void put_routes(struct why_show *s)
{
    if (!s->w->route_count)
        return;
    buf_putz(s->out, s->w->group ? "\n  " WHY_HEAD "If the oldest were tried now\n"
                                 : "\n  " WHY_HEAD "If it were tried now\n");
    for (size_t i = 0; i < s->w->route_count; i++)
        put_route(s, &s->w->routes[i]);
    why_show_servers(s);
}

/* --- the whole --- */

static void put_all(struct why_show *s)
{
    if (s->w->exit != EX_OK) {
        why_show_gone(s);
        return;
    }
    if (s->part == WHY_REST) {
        s->part = WHY_WHOLE; /* what could not be said at the beginning */
        why_show_news(s);
        s->part = WHY_REST;
    } else if (s->w->group) {
        put_group(s);
    } else {
        put_message(s);
    }
    if (s->part != WHY_REST) {
        why_show_gateway(s);
        why_show_attempts(s);
        why_show_hosts(s);
    }
    if (s->part != WHY_FACTS) {
        put_routes(s);
        why_show_hints(s);
    }
}

void why_show(struct buf *out, const struct why *w, const struct ask *k,
              const struct why_page *page)
{
    enum { OUT_MAX_BYTES = 64 << 20 };
    struct buf text;
    struct why_show s = { &text, w, k, page->verbose, page->part };
    buf_init(&text, OUT_MAX_BYTES);
    put_all(&s);
    why_layout(out, buf_span(&text), page->width, page->colour);
    buf_free(&text);
}
