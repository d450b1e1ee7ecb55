/* The attempts that are kept, and what of them would be otherwise now. */
#include "cli/why_words.h"

#include "base/num.h"
#include "cli/term.h"

#include <string.h>

/* --- one attempt --- */

static void put_ms(struct why_show *s, int64_t ms)
{
    buf_printf(s->out, "%lld.%03ds", (long long)(ms / 1000), (int)(ms % 1000));
}

static void put_hosts(struct why_show *s, const json_t *list)
{
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        const json_t *at = json_array_get(list, i);
        buf_putz(s->out, i ? ", " : "");
        why_put(s, row_text(at, "host"));
        buf_putc(s->out, ' ');
        why_put(s, row_text(at, "address"));
    }
    if (!n)
        buf_putz(s->out, "no address");
}

static void put_dns(struct why_show *s, const json_t *dns)
{
    if (why_is(dns, "verdict", "none"))
        return;
    buf_putz(s->out, "      the DNS said: ");
    if (row_text(dns, "text").n)
        why_put(s, row_text(dns, "text"));
    else
        put_hosts(s, json_object_get(dns, "try"));
    if (row_true(dns, "cut"))
        buf_putz(s->out, ", and more");
    buf_putz(s->out, "  [");
    put_ms(s, row_int(dns, "ms"));
    buf_putz(s->out, "]\n");
}

static const char *const kinds[] = { "host", "kept", "ours", "peer", "note" };
static const char *const signs[] = { "==", "==", "->", "<-", "--" };
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
    buf_printf(s->out, "      %5lld.%03d  %s ", (long long)(ms / 1000), (int)(ms % 1000), sign);
    if (json_object_get(line, "host"))
        buf_putz(s->out, "connecting to ");
    else if (json_object_get(line, "kept"))
        buf_putz(s->out, "over the open connection to ");
    why_put(s, text);
    buf_putc(s->out, '\n');
}

/* Where the time went. */
static void put_longest(struct why_show *s, const json_t *dialogue)
{
    enum { WORTH_MS = 1000 };
    int64_t longest = 0, before = 0;
    size_t at = 0;
    for (size_t i = 0; i < json_array_size(dialogue); i++) {
        int64_t ms = row_int(json_array_get(dialogue, i), "ms");
        if (i && ms - before > longest) {
            longest = ms - before;
            at = i;
        }
        before = ms;
    }
    if (longest < WORTH_MS)
        return;
    const char *sign;
    buf_putz(s->out, "      the longest wait was ");
    put_ms(s, longest);
    buf_putz(s->out, ", after: ");
    why_put(s, line_of(json_array_get(dialogue, at - 1), &sign));
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
    put_longest(s, dialogue);
}

static void put_whom(struct why_show *s, const json_t *a)
{
    const json_t *list = json_object_get(a, "recipients");
    if (row_text(a, "of").n) {
        buf_putz(s->out, " of another message there, ");
        why_put(s, row_text(a, "of"));
        return;
    }
    if (json_array_size(s->w->rcpts) < 2)
        return;
    buf_putz(s->out, " for ");
    why_put_number(s, (int64_t)json_array_size(list), "recipient", "recipients");
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
    put_dns(s, json_object_get(a, "dns"));
    put_dialogue(s, a, all);
    if (row_text(a, "tls").n && !all) {
        buf_putz(s->out, "      TLS: ");
        why_put(s, row_text(a, "tls"));
        buf_putc(s->out, '\n');
    }
}

void why_show_attempts(struct why_show *s)
{
    size_t n = json_array_size(s->w->attempts);
    if (!n)
        return;
    if (s->w->group && !s->verbose)
        n = 1;
    buf_putz(s->out, s->w->group ? "\n  What happened to the oldest\n" : "\n  What happened\n");
    for (size_t i = 0; i < n; i++)
        put_attempt(s, json_array_get(s->w->attempts, i), i == 0 || s->verbose);
    if (n > 1 && !s->verbose)
        buf_putz(s->out, "    (--verbose has what was said in all of them)\n");
}

/* --- then and now --- */

static bool is_about(const json_t *a, int64_t rcpt)
{
    const json_t *list = json_object_get(a, "recipients");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(json_array_get(list, i)) == rcpt)
            return true;
    return row_text(a, "of").n > 0;
}

static bool has(const json_t *list, const json_t *one)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *at = json_array_get(list, i);
        if (span_ieq(row_text(at, "host"), row_text(one, "host")) &&
            span_eq(row_text(at, "address"), row_text(one, "address")))
            return true;
    }
    return false;
}

static bool all_in(const json_t *some, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(some); i++)
        if (!has(list, json_array_get(some, i)))
            return false;
    return true;
}

int why_dns_now(const struct why *w, const struct why_route *r, const json_t **then_r)
{
    const json_t *plan = json_object_get(r->target.lookup, "plan"), *then = NULL;
    for (size_t i = 0; i < json_array_size(w->attempts) && !then; i++) {
        const json_t *a = json_array_get(w->attempts, i);
        if (is_about(a, row_int(r->rcpt, "rcpt")))
            then = json_object_get(a, "dns");
    }
    *then_r = then;
    if (!then || !plan || why_is(then, "verdict", "none"))
        return 0;
    bool was = why_is(then, "verdict", "ok"), is = why_is(plan, "verdict", "ok");
    if (!was || !is)
        return was ? 2 : is ? 3 : 1;
    const json_t *before = json_object_get(then, "try"), *now = json_object_get(plan, "try");
    bool more = row_true(then, "cut");
    return all_in(before, now) && (more || all_in(now, before)) ? 1 : 2;
}

void why_show_dns(struct why_show *s, const struct why_route *r)
{
    const json_t *then, *plan = json_object_get(r->target.lookup, "plan");
    int what = why_dns_now(s->w, r, &then);
    if (what == 1)
        buf_putz(s->out, "      the DNS says the same as at the last attempt\n");
    if (what < 2)
        return;
    buf_putz(s->out, what == 3 ? "    THE DNS ANSWERS NOW: then "
                               : "    THE DNS HAS CHANGED: then ");
    if (row_text(then, "text").n)
        why_put(s, row_text(then, "text"));
    else
        put_hosts(s, json_object_get(then, "try"));
    buf_putz(s->out, "; now ");
    if (row_text(plan, "text").n)
        why_put(s, row_text(plan, "text"));
    else
        put_hosts(s, json_object_get(plan, "try"));
    buf_putc(s->out, '\n');
}
