/* What holds mail back: the gateway itself, and the places where it waits. Each state that a
 * place can be in has its sentence here, and its hint in why_hints.c. */
#include "cli/why_words.h"

#include "cli/term.h"
#include "config/show.h"
#include "queue/reason.h"

#include <string.h>

struct span why_frozen(const json_t *place)
{
    struct span dest = row_text(json_object_get(place, "destination"), "frozen");
    return dest.n ? dest : row_text(json_object_get(place, "site"), "frozen");
}

static void put_others(struct why_show *s, const json_t *gate)
{
    why_put_number(s, why_sum(json_object_get(gate, "recipients")), "recipient waits",
                   "recipients wait");
    buf_putz(s->out, " there");
}

bool why_parks_frozen(struct span destination)
{
    return span_starts(destination, SPAN("frozen:")); /* sched/freeze.c */
}

static void put_name(struct why_show *s, const json_t *gate, const char *what)
{
    struct span name = row_text(gate, "name");
    buf_printf(s->out, "    %s %s", s->w->group ? "the" : "its", what);
    if (name.n && !why_parks_frozen(name)) {
        buf_putc(s->out, ' ');
        why_put(s, name);
    }
}

void why_put_frozen(struct why_show *s, const json_t *row)
{
    if (!row_text(row, "frozen_as").n)
        return;
    buf_putz(s->out, ", as ");
    why_put(s, row_text(row, "frozen_as"));
    why_put_who(s, row_text(row, "frozen_by"), row_int(row, "frozen_ms"));
}

/* True: a person froze it, which was said. */
static bool put_frozen(struct why_show *s, const json_t *gate, const char *what)
{
    struct span name = row_text(gate, "frozen");
    if (!name.n)
        return false;
    put_name(s, gate, what);
    buf_putz(s->out, " is frozen by an administrator");
    if (!span_eq(name, row_text(gate, "name"))) {
        buf_putz(s->out, ", as ");
        why_put(s, name);
    }
    why_put_who(s, row_text(gate, "frozen_by"), row_int(gate, "frozen_ms"));
    buf_putz(s->out, ": nothing is started for it until it is thawed; ");
    put_others(s, gate);
    buf_putc(s->out, '\n');
    return true;
}

/* True: it is in back-off, which was said. */
static bool put_backed_off(struct why_show *s, const json_t *gate, const char *what)
{
    int64_t until = row_int(gate, "down_until_ms"), failures = row_int(gate, "failures");
    if (!until)
        return false;
    put_name(s, gate, what);
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

static void put_rate(struct why_show *s, const json_t *gate)
{
    int64_t rate = row_int(gate, "rate");
    if (!rate)
        return;
    buf_printf(s->out, "    it may be given %lld in ", (long long)rate);
    term_put_age(s->out, row_int(gate, "rate_ms"));
    buf_putz(s->out, ", by its rule\n");
}

/* The number of the rule of a row "site" in the configuration; 0: none, or not known there. */
static uint32_t why_rule(const struct config *cfg, const json_t *site)
{
    struct span name = row_text(site, "rule");
    int64_t number = row_int(site, "rule_number");
    if (number > 0 && (size_t)number <= cfg->n_rules && span_eq(cfg->rules[number - 1].name, name))
        return (uint32_t)number;
    for (uint32_t i = 0; name.n && i < cfg->n_rules; i++) /* the file has been changed since */
        if (span_eq(cfg->rules[i].name, name))
            return i + 1;
    return 0;
}

/* delivery_rule "big" (FILE:LINE): what it says */
static void put_rule(struct why_show *s, const json_t *gate)
{
    enum { RULE_BYTES_MAX = 64 << 10 };
    uint32_t rule = why_rule(ask_config(s->k), gate);
    struct buf b;
    if (!row_text(gate, "rule").n)
        return;
    buf_init(&b, RULE_BYTES_MAX);
    if (rule)
        config_show_rule(&b, ask_config(s->k), rule);
    else
        buf_printf(&b, "delivery_rule \"%.*s\"", SPAN_ARG(row_text(gate, "rule")));
    buf_putz(s->out, "    by ");
    why_put(s, buf_span(&b));
    buf_putc(s->out, '\n');
    buf_free(&b);
}

/* When the next one may begin, and when those that wait will have begun. */
static void put_turns(struct why_show *s, const json_t *gate)
{
    if (row_int(gate, "paced_until_ms") > s->w->now_ms) {
        buf_putz(s->out, "    the next one may begin ");
        why_put_when(s, row_int(gate, "paced_until_ms"));
        buf_putc(s->out, '\n');
    }
    if (row_int(gate, "latest_try_ms") > s->w->now_ms) {
        buf_putz(s->out, "    ");
        why_put_number(s, row_int(gate, "ready_there"), "recipient waits", "recipients wait");
        buf_putz(s->out, " for their turn: at this pace the last of them begins ");
        why_put_when(s, row_int(gate, "latest_try_ms"));
        buf_putc(s->out, '\n');
    }
}

/* How fast, and why not faster. */
static void put_pace(struct why_show *s, const json_t *gate)
{
    int64_t interval = row_int(gate, "interval_us");
    put_rate(s, gate);
    if (row_int(gate, "slowed")) {
        buf_putz(s->out, "    at present one begins every ");
        term_put_pace(s->out, (interval + 999) / 1000);
        buf_putz(s->out, ": slowed down after ");
        why_put_number(s, row_int(gate, "slowed"), "reply that asked for less, or did not come",
                       "replies that asked for less, or did not come");
        buf_putz(s->out, "; successes bring it back\n");
    }
    put_turns(s, gate);
    if (row_text(gate, "why").n && !row_int(gate, "down_until_ms")) {
        buf_putz(s->out, "    it is given less than it might be: ");
        why_put(s, row_text(gate, "why"));
        buf_putc(s->out, '\n');
    }
}

static void put_share(struct why_show *s, const json_t *gate)
{
    if (!row_true(gate, "share"))
        return;
    buf_putz(s->out, "    that is the share of delivery_rule ");
    why_put(s, row_text(gate, "rule"));
    buf_putz(s->out, " at that site, with limits of its own\n");
}

static void put_room(struct why_show *s, const json_t *gate, const char *what)
{
    int64_t active = row_int(gate, "active"), limit = row_int(gate, "limit");
    int64_t max = row_int(gate, "limit_max");
    if (!limit && !active)
        return;
    put_name(s, gate, what);
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
    put_share(s, gate);
    put_rule(s, gate);
    put_pace(s, gate);
    if (row_true(gate, "crowded"))
        buf_printf(s->out, "    it waits for a connection: those for sites like it are all in use "
                           "(%lld of %lld; of deliver.connections the rest is for sites that "
                           "answer)\n",
                   (long long)row_int(gate, "crowded_jobs"),
                   (long long)row_int(gate, "crowded_max"));
}

/* True: where it is to go is not known yet, which was said. */
static bool put_asking(struct why_show *s, const json_t *dest)
{
    if (!row_true(dest, "asking"))
        return false;
    buf_putz(s->out, "    the DNS is asked for its MX hosts: nothing is begun before the answer, "
                     "or before some seconds have passed\n");
    return true;
}

void why_show_place(struct why_show *s, const json_t *place, bool others)
{
    const json_t *dest = json_object_get(place, "destination");
    const json_t *site = json_object_get(place, "site");
    const char *what = row_text(site, "name").n ? "site" : "next hop";
    bool closed = put_frozen(s, dest, "destination");
    closed |= put_backed_off(s, dest, "destination");
    closed |= put_asking(s, dest);
    if (others)
        return;
    bool twice = span_eq(row_text(dest, "frozen"), row_text(site, "frozen"));
    closed |= (!twice && put_frozen(s, site, what)) || put_backed_off(s, site, what);
    if (closed) {
        put_share(s, site);
        put_rule(s, site);
    } else {
        put_room(s, site, what);
    }
    if (!closed && row_int(dest, "senders") > 1) {
        buf_printf(s->out, "    mail of %lld senders waits at its site; they take turns, a "
                           "message of each\n", (long long)row_int(dest, "senders"));
    }
}

/* --- many places --- */

/* What keeps this destination alone, as a class of reasons; 0: nothing, or its site, too. */
static size_t trouble_of(const json_t *place, char room[QUEUE_CLASS_MAX])
{
    const json_t *dest = json_object_get(place, "destination");
    if (!row_int(dest, "down_until_ms") || why_frozen(place).n ||
        row_int(json_object_get(place, "site"), "down_until_ms"))
        return 0;
    return queue_reason_class(row_text(dest, "why"), room);
}

bool why_same_trouble(const json_t *a, const json_t *b)
{
    char room[QUEUE_CLASS_MAX], other[QUEUE_CLASS_MAX];
    size_t n = trouble_of(a, room), m = trouble_of(b, other);
    return n && n == m && memcmp(room, other, n) == 0;
}

static bool same_site(const json_t *a, const json_t *b)
{
    struct span site = row_text(json_object_get(a, "site"), "name");
    return site.n && span_eq(row_text(json_object_get(b, "site"), "name"), site);
}

struct trouble {
    size_t n, first; /* first: place that is tried first */
    int64_t until_ms, recipients;
};

static struct trouble count_trouble(const json_t *places, size_t from)
{
    struct trouble t = { .n = 0 };
    for (size_t i = from; i < json_array_size(places); i++) {
        const json_t *place = json_array_get(places, i);
        const json_t *dest = json_object_get(place, "destination");
        if (!why_same_trouble(json_array_get(places, from), place))
            continue;
        t.n++;
        t.recipients += why_sum(json_object_get(dest, "recipients"));
        if (t.until_ms && row_int(dest, "down_until_ms") >= t.until_ms)
            continue;
        t.until_ms = row_int(dest, "down_until_ms");
        t.first = i;
    }
    return t;
}

static void put_trouble(struct why_show *s, const struct trouble *t)
{
    const json_t *first = json_array_get(s->w->places, t->first);
    buf_printf(s->out, "    %zu destinations are left alone, each as a whole, after failures: ",
               t->n);
    why_put(s, row_text(json_object_get(first, "destination"), "why"));
    buf_putz(s->out, "\n    one delivery tries the first of them, ");
    why_put(s, row_text(first, "name"));
    buf_putz(s->out, ", ");
    why_put_when(s, t->until_ms);
    buf_putz(s->out, ", then the others; ");
    why_put_number(s, t->recipients, "recipient waits", "recipients wait");
    buf_putz(s->out, " there, and no attempt of theirs is used up\n");
}

/* What a person holds or has frozen does not wait for its site. */
static bool any_waits_there(const struct why *w)
{
    static const char *const states[] = { "ready", "active", "deferred" };
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (row_int(json_object_get(w->group, "recipients"), states[i]))
            return true;
    return false;
}

void why_show_places(struct why_show *s)
{
    const json_t *places = s->w->places;
    int64_t all = row_int(s->w->group, "places");
    bool any = any_waits_there(s->w);
    for (size_t i = 0; i < json_array_size(places); i++) {
        const json_t *place = json_array_get(places, i);
        bool told = false, said = false;
        for (size_t k = 0; k < i; k++) {
            told |= why_same_trouble(json_array_get(places, k), place);
            said |= same_site(json_array_get(places, k), place);
        }
        if (!any && !why_frozen(place).n)
            continue;
        struct trouble t = count_trouble(places, i);
        if (!told && t.n > 1)
            put_trouble(s, &t);
        else if (!told)
            why_show_place(s, place, said);
    }
    if (any && all > (int64_t)json_array_size(places))
        buf_printf(s->out, "    (these are %zu of %lld destinations, those with most of the "
                           "mail)\n", json_array_size(places), (long long)all);
}

/* --- the gateway --- */

static void put_notice(struct why_show *s, const char *text)
{
    buf_printf(s->out, "  " WHY_WARN "%s\n", text);
}

void why_show_gateway(struct why_show *s)
{
    const json_t *now = s->w->now;
    if (!now) /* of a message that is not there the gateway says nothing of itself */
        return;
    if (!row_true(now, "router"))
        put_notice(s, "The router is away: nothing is routed until it is back.");
    if (s->w->resolver_away)
        put_notice(s, "The resolver does not answer: what needs the DNS is put off until it is "
                      "back.");
    if (!row_int(now, "delivers"))
        put_notice(s, "No delivering process is there: nothing is sent until one is back.");
    if (row_true(now, "spool_stuck"))
        put_notice(s, "What becomes of mail cannot be written to the spool: nothing new is begun "
                      "(the log has the alarm).");
    if (row_true(now, "spool_full"))
        put_notice(s, "The spool's disk is full (spool.free_min): no new mail is taken in; what "
                      "waits here is sent as ever.");
    if (row_text(now, "clock").n) {
        struct span doubt = row_text(now, "clock");
        buf_printf(s->out, "  The clock is not believed: %.*s.\n", SPAN_ARG(doubt));
    }
    if (row_true(now, "finishing"))
        put_notice(s, "The gateway is ending: nothing new is begun.");
    if (row_int(now, "jobs_max") && row_int(now, "jobs") >= row_int(now, "jobs_max"))
        buf_printf(s->out, "  All %lld outgoing connections are in use (deliver.connections): what "
                           "is due waits for one.\n", (long long)row_int(now, "jobs_max"));
    if (row_int(now, "jobs_silent") * 2 >= row_int(now, "jobs_max") && row_int(now, "jobs_max"))
        buf_printf(s->out, "  %lld outgoing connections are at sites that do not answer (there are "
                           "%lld for all, deliver.connections; at sites that worked, those that "
                           "hang do not count).\n", (long long)row_int(now, "jobs_silent"),
                   (long long)row_int(now, "jobs_max"));
}

/* --- hosts --- */

/* The host's last word in a kept attempt, when that is later than *at_ms. Every host of an attempt
 * is in its dialogue, while qmgr hears of the last one. */
static void later_word(const struct why *w, struct span host, int64_t *at_ms, struct span *said)
{
    for (size_t i = 0; i < json_array_size(w->attempts); i++) {
        const json_t *a = json_array_get(w->attempts, i);
        const json_t *dialogue = json_object_get(a, "dialogue");
        bool here = false, spoken = false; /* what we say of a host that spoke is no word of it */
        for (size_t k = 0; k < json_array_size(dialogue); k++) {
            const json_t *line = json_array_get(dialogue, k);
            struct span name = row_text(line, "host");
            name = name.n ? name : row_text(line, "kept");
            struct span word = row_text(line, "peer");
            spoken = !name.n && (spoken || word.n);
            word = word.n || spoken ? word : row_text(line, "note");
            int64_t time_ms = row_int(a, "at_ms") + row_int(line, "ms");
            if (name.n)
                here = span_eq(span_to(name, span_find(name, ' ')), host);
            if (!here || !word.n || time_ms <= *at_ms)
                continue;
            *at_ms = time_ms;
            *said = word;
        }
    }
}

void why_show_hosts(struct why_show *s)
{
    size_t n = json_array_size(s->w->hosts);
    if (!n)
        return;
    buf_putz(s->out, "\n  " WHY_HEAD "What its hosts said last\n");
    for (size_t i = 0; i < n; i++) {
        const json_t *h = json_array_get(s->w->hosts, i);
        struct span said = row_text(h, "said");
        int64_t at_ms = row_int(h, "at_ms");
        later_word(s->w, row_text(h, "host"), &at_ms, &said);
        buf_putz(s->out, "    ");
        why_put(s, row_text(h, "host"));
        if (row_text(h, "address").n) {
            buf_putc(s->out, ' ');
            why_put(s, row_text(h, "address"));
        }
        buf_putz(s->out, ", ");
        why_put_when(s, at_ms);
        buf_putz(s->out, ": ");
        why_put(s, said);
        buf_putc(s->out, '\n');
    }
}
