/* What can be done: a command or a setting for each state that mail can be in. */
#include "cli/why_words.h"

#include "cli/term.h"

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

/* What is to be when the attempt of one of them has ended. */
static bool any_then(const struct why *w, const char *what)
{
    for (size_t i = 0; i < json_array_size(w->rcpts); i++)
        if (why_is(json_array_get(w->rcpts, i), "then", what))
            return true;
    return false;
}

struct hints {
    const struct why *w;
    const struct ask *k;
    json_t *list;
};

static void add(struct hints *h, const char *verb, struct span word, const char *what)
{
    json_t *row = json_object();
    struct buf b;
    buf_init(&b, 4096);
    buf_putz(&b, verb);
    if (word.n) {
        buf_putc(&b, ' ');
        term_put_shell(&b, word);
    }
    json_object_set_new(row, "do", json_stringn(buf_cstr(&b), b.len));
    json_object_set_new(row, "what", json_string(what));
    json_array_append_new(h->list, row);
    buf_free(&b);
}

/* What names all of it in a filter. */
static const char *filter_of(const struct why *w)
{
    return why_is(w->group, "is", "address")  ? "--to"
           : why_is(w->group, "is", "domain") ? "--domain"
                                              : NULL;
}

static struct span held_one(const struct why *w)
{
    for (size_t i = 0; i < json_array_size(w->reasons); i++) {
        const json_t *r = json_array_get(w->reasons, i);
        if (why_is(r, "state", "held") || why_is(r, "state", "quarantined"))
            return row_text(r, "id");
    }
    return SPAN_NONE;
}

static void add_filter(struct hints *h, const char *verb, const char *what)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, "%s %s", verb, filter_of(h->w));
    add(h, buf_cstr(&b), row_text(h->w->group, "target"), what);
    buf_free(&b);
}

static void hint_waiting(struct hints *h, struct span id, struct span whom)
{
    const struct why *w = h->w;
    if (any_state(w, "deferred") || any_state(w, "ready"))
        add(h, "postern retry --verbose", whom, "now, past any back-off, and look on");
    else if (any_state(w, "active"))
        add(h, "postern retry --verbose", whom, "looks on at its delivery");
    bool held = any_state(w, "held") || any_state(w, "quarantined");
    if (held && filter_of(w))
        add_filter(h, "postern queue release", "lets all that is held go");
    else if (held)
        add(h, "postern queue release", w->group ? held_one(w) : id, "lets it go");
    else if (!w->group && !any_then(w, "held"))
        add(h, "postern queue hold", id, "keeps it from being sent");
    if (!w->group && !held && (any_then(w, "held") || any_then(w, "deleted")))
        add(h, "postern queue release", id, "takes back what is to be when this attempt ends");
    if (any_state(w, "waiting"))
        add(h, "postern queue run", SPAN_NONE, "sends what waits for a queue run");
}

/* Once for a name. */
static void add_thaw(struct hints *h, struct span name)
{
    size_t n = json_array_size(h->list);
    if (name.n)
        add(h, "postern queue thaw", name, "lets it be sent again");
    for (size_t i = 0; i < n && json_array_size(h->list) > n; i++)
        if (span_eq(row_text(json_array_get(h->list, i), "do"),
                    row_text(json_array_get(h->list, n), "do")))
            json_array_remove(h->list, n);
}

static void hint_frozen(struct hints *h)
{
    const json_t *lists[] = { h->w->reasons, h->w->rcpts };
    for (size_t i = 0; i < json_array_size(h->w->places); i++)
        add_thaw(h, why_frozen(json_array_get(h->w->places, i)));
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < json_array_size(lists[k]); i++)
            add_thaw(h, row_text(json_array_get(lists[k], i), "frozen_as"));
}

static void add_rule(struct hints *h, const json_t *site, const char *what)
{
    struct span rule = row_text(site, "rule");
    struct buf b;
    if (!rule.n) {
        add(h, "deliver { } or a delivery_rule", SPAN_NONE, what);
        return;
    }
    buf_init(&b, 4096);
    buf_printf(&b, "delivery_rule \"%.*s\"", SPAN_ARG(rule));
    add(h, buf_cstr(&b), SPAN_NONE, what);
    buf_free(&b);
}

static void hint_limits(struct hints *h)
{
    for (size_t i = 0; i < json_array_size(h->w->places); i++) {
        const json_t *site = json_object_get(json_array_get(h->w->places, i), "site");
        bool full = row_int(site, "limit") && row_int(site, "active") >= row_int(site, "limit");
        bool paced = row_int(site, "paced_until_ms") > h->w->now_ms;
        if (row_int(site, "down_until_ms") || (!full && !paced))
            continue;
        add_rule(h, site, paced ? "in the configuration: its rate"
                                : "in the configuration: how many at once");
        add(h, "postern reload", SPAN_NONE, "after that");
        return;
    }
}

static void hint_gateway(struct hints *h)
{
    const json_t *now = h->w->now;
    bool away = !row_true(now, "router") || h->w->resolver_away || !row_int(now, "delivers");
    if (away)
        add(h, "postern alarms", SPAN_NONE, "what is wrong; the log has why it ended, and it "
                                                 "is started again by itself");
    if (row_true(now, "spool_full") || row_true(now, "spool_stuck")) {
        const struct config_spool *spool = &ask_config(h->k)->spool;
        add(h, "df", spool->directories.n ? spool->directories.v[0] : SPAN_NONE,
                 "make room there; it goes on by itself");
    }
}

static void hint_rerouted(struct hints *h, struct span id)
{
    struct span rule = row_text(h->w->rule, "name");
    if (rule.n)
        add(h, "postern queue reroute --remove", rule, "withdraws the rule");
    for (size_t i = 0; i < json_array_size(h->w->rcpts); i++) {
        const json_t *r = json_array_get(h->w->rcpts, i);
        if (!row_text(r, "rerouted").n)
            continue;
        if (row_text(r, "reroute_rule").n && !span_eq(row_text(r, "reroute_rule"), rule))
            add(h, "postern queue reroute --remove", row_text(r, "reroute_rule"),
                "withdraws the rule");
        if (row_text(r, "reroute_rule").n || rule.n)
            return;
        if (filter_of(h->w)) {
            add_filter(h, "postern queue reroute --back", "where the tables say, again");
            add_filter(h, "postern queue reroute --to NEXTHOP", "another way once more");
        } else {
            add(h, "postern queue reroute --back", id, "where the tables say, again");
            add(h, "postern queue reroute --to NEXTHOP", id, "another way once more");
        }
        return;
    }
}

/* What retry takes for all mail at a host: the site, or a destination that has none yet. */
static struct span site_of(const struct why *w)
{
    const json_t *place = json_array_get(w->places, 0);
    struct span site = row_text(json_object_get(place, "site"), "name");
    return site.n && span_find(site, ' ') == site.n ? site : row_text(place, "name");
}

/* One that would be held for it gains nothing. */
static void hint_bounce(struct hints *h, struct span id)
{
    static const char *const what[] = {
        [WHY_TELLS_SENDER] = "returns it to its sender now",
        [WHY_TELLS_NOBODY] = "ends it now; nobody is told, as its sender asked",
        [WHY_TELLS_POSTMASTER] = "ends it now; the postmaster is told, as it has no sender",
        [WHY_TELLS_ALARM] = NULL,
        [WHY_TELLS_SOME] = "ends it now; its sender is told where he asked to be",
    };
    if (what[why_tells(h->w)])
        add(h, "postern queue bounce", id, what[why_tells(h->w)]);
}

json_t *why_hints(const struct why *w, const struct ask *k)
{
    struct hints hints = { w, k, json_array() }, *h = &hints;
    struct span id = row_text(w->message, "id"), target = span_str(w->target);
    struct span whom = !w->group                      ? id
                       : why_is(w->group, "is", "host") ? site_of(w)
                                                        : target;
    hint_gateway(h);
    hint_frozen(h);
    hint_waiting(h, id, whom);
    hint_limits(h);
    hint_rerouted(h, id);
    if (!w->group) {
        add(h, "postern queue delete", id, "removes it; its sender is not told");
        hint_bounce(h, id);
    } else if (row_text(w->group, "oldest").n) {
        add(h, "postern why", row_text(w->group, "oldest"), "the story of the oldest");
    }
    if (w->route_count)
        add(h, "postern route", row_text(w->routes[0].rcpt, "to"),
            "how the next hop comes about, step by step");
    return h->list;
}

void why_show_hints(struct why_show *s)
{
    enum { WIDEST = 42 };
    json_t *list = why_hints(s->w, s->k);
    unsigned width = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        unsigned n = term_columns(row_text(json_array_get(list, i), "do"));
        width = n > width && n <= WIDEST ? n : width;
    }
    buf_putz(s->out, "\n  " WHY_HEAD "What you can do\n");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        buf_putz(s->out, "    ");
        why_put(s, row_text(row, "do"));
        for (unsigned n = term_columns(row_text(row, "do")); n < width; n++)
            buf_putc(s->out, ' ');
        buf_putz(s->out, "  " WHY_HANG);
        why_put(s, row_text(row, "what"));
        buf_putc(s->out, '\n');
    }
    json_decref(list);
}
