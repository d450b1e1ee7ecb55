/* The attempts that are kept, and what of them would be otherwise now. */
#include "cli/why_words.h"

#include "cli/term.h"
#include "queue/reason.h"

#include <string.h>

/* --- one attempt --- */

static void put_ms(struct why_show *s, int64_t ms)
{
    buf_printf(s->out, "%lld.%03ds", (long long)(ms / 1000), (int)(ms % 1000));
}

static void put_hosts(struct why_show *s, const json_t *list, bool prefs)
{
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        const json_t *at = json_array_get(list, i);
        buf_putz(s->out, i ? ", " : "");
        why_put(s, row_text(at, "host"));
        buf_putc(s->out, ' ');
        why_put(s, row_text(at, "address"));
        if (prefs)
            buf_printf(s->out, " (preference %d)", (int)row_int(at, "pref"));
    }
    if (!n)
        buf_putz(s->out, "no address");
}

void why_put_alias(struct why_show *s, const json_t *dns, const char *tried)
{
    struct span host = row_text(json_array_get(json_object_get(dns, "try"), 0), "host");
    buf_putz(s->out, "no MX; ");
    why_put(s, host);
    buf_putz(s->out, " is an alias of ");
    why_put(s, row_text(dns, "alias"));
    buf_printf(s->out, ": the address itself %s", tried);
}

/* Nothing was asked: why not, as the dialogue shows. */
static const char *unasked(const json_t *attempt)
{
    const json_t *first = json_array_get(json_object_get(attempt, "dialogue"), 0);
    struct span host = row_text(first, "host");
    if (json_object_get(first, "kept"))
        return "the connection was open already";
    return host.n && host.p[0] == '[' ? "the next hop is an address" : "the next hop has no need "
                                                                        "of it";
}

static void put_dns(struct why_show *s, const json_t *attempt)
{
    const json_t *dns = json_object_get(attempt, "dns");
    if (why_is(dns, "verdict", "none")) {
        buf_printf(s->out, "      the DNS was not asked: %s\n", unasked(attempt));
        return;
    }
    buf_putz(s->out, "      the DNS said: " WHY_HANG);
    if (row_text(dns, "text").n)
        why_put(s, row_text(dns, "text"));
    else
        put_hosts(s, json_object_get(dns, "try"), false);
    if (row_true(dns, "cut"))
        buf_putz(s->out, ", and more");
    if (row_text(dns, "alias").n) {
        buf_putz(s->out, " (");
        why_put_alias(s, dns, "was tried)");
    }
    buf_putz(s->out, "  [");
    put_ms(s, row_int(dns, "ms"));
    buf_putz(s->out, "]\n");
}

static const char *const kinds[] = { "host", "kept", "ours", "peer", "note", "open" };
static const char *const signs[] = { "==", "==", "->", "<-", "--", "==" };
enum { KINDS = sizeof kinds / sizeof *kinds };

/* What was said or done; "" in *sign_r: none of these. */
static struct span line_of(const json_t *line, const char **sign_r)
{
    *sign_r = "";
    for (size_t i = 0; i < KINDS; i++) {
        if (!json_object_get(line, kinds[i]))
            continue;
        *sign_r = signs[i];
        return row_text(line, kinds[i]);
    }
    return SPAN_NONE;
}

static void put_line(struct why_show *s, const json_t *line)
{
    const char *sign;
    struct span text = line_of(line, &sign);
    int64_t ms = row_int(line, "ms");
    buf_printf(s->out, "      %5lld.%03d  %s " WHY_HANG, (long long)(ms / 1000), (int)(ms % 1000),
               sign);
    if (json_object_get(line, "host"))
        buf_putz(s->out, "connecting to ");
    else if (json_object_get(line, "kept"))
        buf_putz(s->out, "over the open connection to ");
    why_put(s, text);
    buf_putc(s->out, '\n');
}

static const json_t *longest_of(const json_t *stages)
{
    const json_t *longest = json_array_get(stages, 0);
    for (size_t i = 1; i < json_array_size(stages); i++)
        if (row_int(json_array_get(stages, i), "ms") > row_int(longest, "ms"))
            longest = json_array_get(stages, i);
    return longest;
}

/* Where the time went: of each host that was asked, and the stage that took the most of it. */
static void put_stages(struct why_show *s, const json_t *stages)
{
    enum { WORTH_MS = 1000 };
    const json_t *longest = longest_of(stages);
    struct span host = SPAN_NONE;
    if (!json_array_size(stages))
        return;
    buf_putz(s->out, "      it took: " WHY_HANG);
    for (size_t i = 0; i < json_array_size(stages); i++) {
        const json_t *at = json_array_get(stages, i);
        buf_putz(s->out, i ? ", " : "");
        if (row_text(at, "host").n && !span_eq(row_text(at, "host"), host)) {
            host = row_text(at, "host");
            why_put(s, span_to(host, span_find(host, ' ')));
            buf_putz(s->out, ": ");
        }
        why_put(s, row_text(at, "stage"));
        buf_putc(s->out, ' ');
        put_ms(s, row_int(at, "ms"));
    }
    buf_putc(s->out, '\n');
    if (row_int(longest, "ms") < WORTH_MS)
        return;
    buf_putz(s->out, "      the longest wait was ");
    put_ms(s, row_int(longest, "ms"));
    buf_putz(s->out, ", for: ");
    why_put(s, row_text(longest, "stage"));
    buf_putc(s->out, '\n');
}

static void put_dialogue(struct why_show *s, const json_t *a, bool all)
{
    const json_t *dialogue = json_object_get(a, "dialogue");
    int64_t left_out = row_int(a, "left_out");
    for (size_t i = 0; i < json_array_size(dialogue); i++) {
        const json_t *line = json_array_get(dialogue, i);
        bool said = json_object_get(line, "ours") || json_object_get(line, "peer");
        if (all || !said)
            put_line(s, line);
    }
    if (all && left_out) {
        buf_putz(s->out, "      (");
        why_put_number(s, left_out, "line is", "lines are");
        buf_putz(s->out, " left out of the middle: attempts.size)\n");
    }
}

static void put_whom(struct why_show *s, const json_t *a)
{
    const json_t *one = NULL;
    int64_t n = 0;
    if (row_text(a, "of").n) {
        buf_putz(s->out, " of another message there, ");
        why_put(s, row_text(a, "of"));
        return;
    }
    if (json_array_size(s->w->rcpts) < 2 && !s->w->group)
        return;
    for (size_t i = 0; i < json_array_size(s->w->rcpts); i++) {
        const json_t *r = json_array_get(s->w->rcpts, i);
        if (!why_is_about(a, row_int(r, "rcpt")))
            continue;
        one = r;
        n++;
    }
    if ((!s->w->group || !n) && row_int(a, "recipient_count"))
        n = row_int(a, "recipient_count"); /* not all of them have a row */
    buf_putz(s->out, " for ");
    if (n == 1 && one)
        why_put_addr(s, row_text(one, "to"));
    else
        why_put_number(s, n, "recipient", "recipients");
}

static void put_attempt(struct why_show *s, const json_t *a, bool all)
{
    buf_putz(s->out, "    The attempt");
    put_whom(s, a);
    buf_putc(s->out, ' ');
    why_put_when(s, row_int(a, "at_ms"));
    buf_putz(s->out, " went to ");
    why_put(s, row_text(a, "destination"));
    buf_putz(s->out, " and ended after ");
    put_ms(s, row_int(a, "ms"));
    buf_putz(s->out, " at ");
    why_put(s, row_text(a, "stage"));
    buf_putz(s->out, ": ");
    why_put(s, row_text(a, "said"));
    buf_putc(s->out, '\n');
    put_dns(s, a);
    put_dialogue(s, a, all);
    put_stages(s, json_object_get(a, "stages"));
    if (row_text(a, "tls").n) {
        buf_putz(s->out, "      TLS: ");
        why_put(s, row_text(a, "tls"));
        buf_putc(s->out, '\n');
    }
}

/* The same words at the same host: of several deliveries of one message. */
static bool same_dialogue(const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(a, "dialogue"), *y = json_object_get(b, "dialogue");
    if (!span_eq(row_text(a, "destination"), row_text(b, "destination")) ||
        json_array_size(x) != json_array_size(y))
        return false;
    for (size_t i = 0; i < json_array_size(x); i++) {
        const char *sign, *other;
        struct span text = line_of(json_array_get(x, i), &sign);
        if (!span_eq(text, line_of(json_array_get(y, i), &other)) || strcmp(sign, other) != 0)
            return false;
    }
    return true;
}

/* At the same time, to the same end, and what was said is the same, or no host was there to say
 * anything of its own. */
static bool tells_same(const json_t *a, const json_t *b)
{
    enum { AT_ONCE_MS = 2000 };
    char room[QUEUE_CLASS_MAX], other[QUEUE_CLASS_MAX];
    int64_t apart = row_int(a, "at_ms") - row_int(b, "at_ms");
    size_t n = queue_reason_class(row_text(a, "said"), room);
    bool none = !json_array_size(json_object_get(a, "dialogue")) &&
                !json_array_size(json_object_get(b, "dialogue"));
    return span_eq(row_text(a, "stage"), row_text(b, "stage")) && apart <= AT_ONCE_MS &&
           apart >= -AT_ONCE_MS && (none || same_dialogue(a, b)) &&
           n == queue_reason_class(row_text(b, "said"), other) && memcmp(room, other, n) == 0;
}

static bool is_told(const json_t *attempts, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (tells_same(json_array_get(attempts, k), json_array_get(attempts, i)))
            return true;
    return false;
}

static void put_others(struct why_show *s, size_t i)
{
    const json_t *attempts = s->w->attempts;
    const json_t *last = NULL;
    int64_t n = 0, rcpts = 0;
    for (size_t k = i + 1; k < json_array_size(attempts); k++) {
        const json_t *a = json_array_get(attempts, k);
        if (!tells_same(json_array_get(attempts, i), a))
            continue;
        last = a;
        n++;
        rcpts += row_int(a, "recipient_count");
    }
    if (!n)
        return;
    buf_putz(s->out, "      the same then");
    if (n == 1) {
        put_whom(s, last);
    } else {
        buf_printf(s->out, " in %lld others", (long long)n);
        if (rcpts) {
            buf_putz(s->out, ", for ");
            why_put_number(s, rcpts, "recipient", "recipients");
        }
    }
    buf_putc(s->out, '\n');
}

static void put_head(struct why_show *s)
{
    buf_putz(s->out, s->w->group ? "\n  " WHY_HEAD "What happened to the oldest\n"
                                 : "\n  " WHY_HEAD "What happened\n");
}

/* The part of a delivery that is under way: of what has not ended yet it is the newest. */
static void put_so_far(struct why_show *s, const json_t *d, bool all)
{
    const json_t *so_far = json_object_get(d, "so_far");
    buf_putz(s->out, "    The attempt");
    put_whom(s, d);
    buf_putz(s->out, " that is under way, begun ");
    why_put_when(s, row_int(d, "begun_ms"));
    buf_putz(s->out, ", goes to ");
    why_put(s, row_text(d, "destination"));
    buf_putc(s->out, '\n');
    if (!why_is(d, "doing", "asking"))
        put_dns(s, so_far);
    put_dialogue(s, so_far, all);
}

/* Whether any was; of a group those of the oldest message only. */
static bool put_under_way(struct why_show *s)
{
    bool any = false;
    for (size_t i = 0; i < json_array_size(s->w->deliveries); i++) {
        const json_t *d = json_array_get(s->w->deliveries, i);
        bool meant = !s->w->group || span_eq(row_text(d, "id"), row_text(s->w->group, "oldest"));
        if (!meant || !json_object_get(d, "so_far") || (any && !s->verbose))
            continue;
        if (!any)
            put_head(s);
        put_so_far(s, d, !any || s->verbose);
        any = true;
    }
    return any;
}

void why_show_attempts(struct why_show *s)
{
    size_t n = json_array_size(s->w->attempts);
    bool any = put_under_way(s);
    if (!n)
        return;
    if (s->w->group && !s->verbose)
        n = 1;
    if (!any)
        put_head(s);
    for (size_t i = 0; i < n; i++) {
        if (!s->verbose && is_told(s->w->attempts, i))
            continue;
        put_attempt(s, json_array_get(s->w->attempts, i), (i == 0 && !any) || s->verbose);
        if (!s->verbose && !s->w->group)
            put_others(s, i);
    }
    if (n > 1 && !s->verbose)
        buf_putz(s->out, "    (--verbose has what was said in all of them)\n");
}

/* --- then and now --- */

bool why_is_about(const json_t *a, int64_t rcpt)
{
    const json_t *list = json_object_get(a, "recipients");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(json_array_get(list, i)) == rcpt)
            return true;
    return row_text(a, "of").n > 0 && !json_array_size(list);
}

static bool has(const json_t *list, const json_t *one, bool pref)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *at = json_array_get(list, i);
        if (span_ieq(row_text(at, "host"), row_text(one, "host")) &&
            span_eq(row_text(at, "address"), row_text(one, "address")) &&
            (!pref || row_int(at, "pref") == row_int(one, "pref")))
            return true;
    }
    return false;
}

static bool all_in(const json_t *some, const json_t *list, bool pref)
{
    for (size_t i = 0; i < json_array_size(some); i++)
        if (!has(list, json_array_get(some, i), pref))
            return false;
    return true;
}

const char *why_dns_name(enum why_dns what)
{
    static const char *const names[] = { NULL, "same", "other", "back", "gone", "silent" };
    return names[what];
}

/* Of an attempt over a connection that was open: its host and address, as in a plan's list. */
static json_t *kept_host(const json_t *attempt)
{
    const json_t *first = json_array_get(json_object_get(attempt, "dialogue"), 0);
    struct span text = row_text(first, "kept"), host = span_to(text, span_find(text, ' '));
    struct span address = span_from(text, host.n + 1);
    if (!address.n || host.p[0] == '[')
        return NULL;
    return json_pack("{s:s%,s:s%}", "host", host.p, host.n, "address", address.p, address.n);
}

static const json_t *last_attempt(const struct why *w, const struct why_route *r)
{
    for (size_t i = 0; i < json_array_size(w->attempts); i++) {
        const json_t *a = json_array_get(w->attempts, i);
        if (why_is_about(a, row_int(r->rcpt, "rcpt")))
            return a;
    }
    return NULL;
}

static enum why_dns compare(const json_t *then, const json_t *plan)
{
    bool was = why_is(then, "verdict", "ok"), is = why_is(plan, "verdict", "ok");
    if (!is && span_eq(row_text(then, "verdict"), row_text(plan, "verdict")))
        return WHY_DNS_SAME;
    if (!is)
        return why_is(plan, "verdict", "later") ? WHY_DNS_SILENT : WHY_DNS_GONE;
    if (!was)
        return WHY_DNS_BACK;
    const json_t *before = json_object_get(then, "try"), *now = json_object_get(plan, "try");
    bool more = row_true(then, "cut");
    return all_in(before, now, true) && (more || all_in(now, before, true)) ? WHY_DNS_SAME
                                                                            : WHY_DNS_OTHER;
}

enum why_dns why_dns_now(const struct why *w, const struct why_route *r, const json_t **then_r)
{
    const json_t *plan = json_object_get(r->target.lookup, "plan");
    const json_t *attempt = last_attempt(w, r);
    const json_t *then = *then_r = json_object_get(attempt, "dns");
    if (!then || !plan || r->moved || r->forced)
        return WHY_DNS_UNKNOWN;
    if (!why_is(then, "verdict", "none"))
        return compare(then, plan);
    json_t *host = kept_host(attempt);
    if (!host)
        return WHY_DNS_UNKNOWN;
    enum why_dns what = why_is(plan, "verdict", "later") ? WHY_DNS_SILENT
                        : !why_is(plan, "verdict", "ok") ? WHY_DNS_GONE
                        : has(json_object_get(plan, "try"), host, false) ? WHY_DNS_UNKNOWN
                                                                         : WHY_DNS_OTHER;
    json_decref(host);
    return what;
}

static void put_then(struct why_show *s, const struct why_route *r, const json_t *then,
                     bool prefs)
{
    const json_t *first =
        json_array_get(json_object_get(last_attempt(s->w, r), "dialogue"), 0);
    if (why_is(then, "verdict", "none")) {
        buf_putz(s->out, "an open connection to ");
        why_put(s, row_text(first, "kept"));
    } else if (row_text(then, "text").n) {
        why_put(s, row_text(then, "text"));
    } else {
        put_hosts(s, json_object_get(then, "try"), prefs);
    }
}

/* What is in the resolver's cache is what would be used; the DNS itself may say other things. The
 * first of it that runs out is asked for anew. */
static void put_cached(struct why_show *s, const json_t *lookup)
{
    const json_t *trail = json_object_get(lookup, "trail");
    const json_t *steps = json_is_array(trail) ? trail : json_object_get(trail, "steps");
    int64_t ttl = -1;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        if (row_true(step, "cached") && (ttl < 0 || row_int(step, "ttl_s") < ttl))
            ttl = row_int(step, "ttl_s");
    }
    if (ttl < 0)
        return;
    buf_putz(s->out, "      (out of the gateway's cache, for ");
    term_put_age(s->out, ttl * 1000);
    buf_putz(s->out, " more)\n");
}

static const char *const changes[] = {
    [WHY_DNS_OTHER] = "THE DNS HAS CHANGED",
    [WHY_DNS_BACK] = "THE DNS ANSWERS NOW",
    [WHY_DNS_GONE] = "THE DNS SAYS NOW THAT THERE IS NO SUCH PLACE",
    [WHY_DNS_SILENT] = "THE DNS DOES NOT ANSWER NOW",
};

/* others: of which the same is to be said, but for the names. */
static void put_change(struct why_show *s, const struct why_route *r, enum why_dns what,
                       const json_t *then, size_t others)
{
    const json_t *plan = json_object_get(r->target.lookup, "plan");
    buf_printf(s->out, "  " WHY_WARN "%s", changes[what]);
    if (s->w->route_count > 1) {
        buf_putz(s->out, " for ");
        why_put_addr(s, row_text(r->rcpt, "to"));
    }
    if (others) {
        buf_putz(s->out, " (and ");
        why_put_number(s, (int64_t)others, "other)", "others)");
    }
    buf_putz(s->out, ": then ");
    const json_t *before = json_object_get(then, "try"), *now = json_object_get(plan, "try");
    bool prefs = all_in(before, now, false) && all_in(now, before, false);
    put_then(s, r, then, prefs);
    buf_putz(s->out, "; now ");
    if (row_text(plan, "text").n)
        why_put(s, row_text(plan, "text"));
    else
        put_hosts(s, now, prefs);
    buf_putc(s->out, '\n');
}

static size_t count_changed(const struct why *w, size_t from, size_t to, enum why_dns what)
{
    const json_t *then;
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        n += why_dns_now(w, &w->routes[i], &then) == what;
    return n;
}

void why_show_news(struct why_show *s)
{
    if (s->part == WHY_FACTS) /* nobody knows yet */
        return;
    for (size_t i = 0; i < s->w->route_count; i++) {
        const struct why_route *r = &s->w->routes[i];
        const json_t *then;
        enum why_dns what = why_dns_now(s->w, r, &then);
        size_t before = count_changed(s->w, 0, i, what);
        if (what == WHY_DNS_OTHER)
            put_change(s, r, what, then, 0);
        else if (what > WHY_DNS_SAME && !before)
            put_change(s, r, what, then, count_changed(s->w, i + 1, s->w->route_count, what));
        if (!r->moved)
            continue;
        buf_putz(s->out, "  " WHY_WARN "THE ROUTE HAS CHANGED: ");
        why_put_addr(s, row_text(r->rcpt, "to"));
        buf_putz(s->out, " went to ");
        why_put(s, row_text(r->rcpt, "destination"));
        buf_putz(s->out, ", now to ");
        why_put(s, row_text(json_object_get(r->target.route, "dest"), "queue"));
        buf_putc(s->out, '\n');
    }
}

void why_show_dns(struct why_show *s, const struct why_route *r)
{
    const json_t *then;
    enum why_dns what = why_dns_now(s->w, r, &then);
    put_cached(s, r->target.lookup);
    if (what == WHY_DNS_SAME)
        buf_putz(s->out, "      the DNS says the same as at the last attempt\n");
    else if (what > WHY_DNS_SAME)
        buf_putz(s->out, "      not what the DNS said at the last attempt\n");
}
