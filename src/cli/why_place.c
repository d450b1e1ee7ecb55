/* What holds mail back: the gateway itself, and the places where it waits. Each state that a
 * place can be in has its sentence here, and its hint in why_hints.c. */
#include "cli/why_words.h"

#include "cli/term.h"

bool why_is_closed(const json_t *place)
{
    return row_int(json_object_get(place, "destination"), "down_until_ms") ||
           row_int(json_object_get(place, "site"), "down_until_ms") || why_frozen(place).n;
}

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

static void put_name(struct why_show *s, const json_t *gate, const char *what)
{
    buf_printf(s->out, "    %s %s ", s->w->group ? "the" : "its", what);
    why_put(s, row_text(gate, "name"));
}

/* True: a person froze it, which was said. */
static bool put_frozen(struct why_show *s, const json_t *gate, const char *what)
{
    struct span name = row_text(gate, "frozen");
    if (!name.n)
        return false;
    put_name(s, gate, what);
    buf_putz(s->out, " is frozen by an administrator, as ");
    why_put(s, name);
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
    buf_putz(s->out, " (delivery_rule ");
    why_put(s, row_text(gate, "rule"));
    buf_putz(s->out, ")\n");
}

/* How fast, and why not faster. */
static void put_pace(struct why_show *s, const json_t *gate)
{
    int64_t interval = row_int(gate, "interval_us");
    put_rate(s, gate);
    if (row_int(gate, "slowed")) {
        buf_printf(s->out, "    at present one begins every %lld.%03lld s: slowed down after ",
                   (long long)(interval / 1000000), (long long)(interval / 1000 % 1000));
        why_put_number(s, row_int(gate, "slowed"), "reply that asked for less",
                       "replies that asked for less");
        buf_putz(s->out, "; successes bring it back\n");
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
    put_pace(s, gate);
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
    if (closed)
        put_share(s, site);
    else
        put_room(s, site, what);
    if (!closed && row_int(dest, "senders") > 1) {
        buf_printf(s->out, "    mail of %lld senders waits there; they take turns, a message of "
                           "each\n", (long long)row_int(dest, "senders"));
    }
}

/* --- the gateway --- */

static void put_notice(struct why_show *s, const char *text)
{
    buf_printf(s->out, "  " WHY_WARN "%s\n", text);
}

void why_show_gateway(struct why_show *s)
{
    const json_t *now = s->w->now;
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
    if (row_true(now, "finishing"))
        put_notice(s, "The gateway is ending: nothing new is begun.");
    if (row_int(now, "jobs_max") && row_int(now, "jobs") >= row_int(now, "jobs_max"))
        buf_printf(s->out, "  All %lld outgoing connections are in use (deliver.connections): what "
                           "is due waits for one.\n", (long long)row_int(now, "jobs_max"));
}

/* --- hosts --- */

void why_show_hosts(struct why_show *s)
{
    size_t n = json_array_size(s->w->hosts);
    if (!n)
        return;
    buf_putz(s->out, "\n  " WHY_HEAD "What its hosts said last\n");
    for (size_t i = 0; i < n; i++) {
        const json_t *h = json_array_get(s->w->hosts, i);
        buf_putz(s->out, "    ");
        why_put(s, row_text(h, "host"));
        if (row_text(h, "address").n) {
            buf_putc(s->out, ' ');
            why_put(s, row_text(h, "address"));
        }
        buf_putz(s->out, ", ");
        why_put_when(s, row_int(h, "at_ms"));
        buf_putz(s->out, ": ");
        why_put(s, row_text(h, "said"));
        buf_putc(s->out, '\n');
    }
}
