/* Deliveries that are under way: at which host, what they wait for and since when. */
#include "cli/why_words.h"

#include "cli/term.h"

static bool same(const json_t *a, const json_t *b)
{
    static const char *const keys[] = { "doing", "host", "address", "text" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!span_eq(row_text(a, keys[i]), row_text(b, keys[i])))
            return false;
    return row_true(a, "answered") == row_true(b, "answered");
}

static bool is_first(const json_t *list, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (same(json_array_get(list, k), json_array_get(list, i)))
            return false;
    return true;
}

struct alike {
    int64_t deliveries, recipients, longest_ms;
};

static struct alike count(const json_t *list, size_t from)
{
    struct alike n = { 0 };
    for (size_t i = from; i < json_array_size(list); i++) {
        const json_t *d = json_array_get(list, i);
        if (!same(json_array_get(list, from), d))
            continue;
        n.deliveries++;
        n.recipients += row_int(d, "recipient_count");
        n.longest_ms = row_int(d, "for_ms") > n.longest_ms ? row_int(d, "for_ms") : n.longest_ms;
    }
    return n;
}

static void put_where(struct why_show *s, const json_t *d)
{
    if (row_text(d, "host").n) {
        buf_putz(s->out, why_is(d, "doing", "connecting") ? "connecting to " : "connected to ");
        why_put(s, row_text(d, "host"));
    }
    if (row_text(d, "address").n) {
        buf_putc(s->out, ' ');
        why_put(s, row_text(d, "address"));
    }
    if (why_is(d, "doing", "connecting"))
        return;
    buf_putz(s->out, row_text(d, "host").n ? ", " : "");
    why_put(s, row_text(d, "text"));
}

void why_show_way(struct why_show *s)
{
    const json_t *list = s->w->deliveries;
    int64_t of = row_int(json_array_get(list, 0), "deliveries");
    size_t shown = json_array_size(list);
    buf_putz(s->out, shown ? "  Under way, with how many recipients each:\n" : "");
    for (size_t i = 0; i < shown; i++) {
        const json_t *d = json_array_get(list, i);
        struct alike n = count(list, i);
        if (!is_first(list, i))
            continue;
        buf_printf(s->out, "    %6lld  " WHY_HANG, (long long)n.recipients);
        if (n.deliveries > 1)
            buf_printf(s->out, "in %lld deliveries: ", (long long)n.deliveries);
        if (row_true(d, "answered")) {
            put_where(s, d);
            buf_putz(s->out, n.deliveries > 1 ? ", the longest for " : ", for ");
            term_put_age(s->out, n.longest_ms);
        } else {
            buf_putz(s->out, "its delivering process does not say within a second where it is");
        }
        if (s->w->group && row_text(d, "id").n) {
            buf_putz(s->out, "  [");
            why_put(s, row_text(d, "id"));
            buf_putz(s->out, "]");
        }
        buf_putc(s->out, '\n');
    }
    if (of > (int64_t)shown)
        buf_printf(s->out, "    (these are %zu of %lld deliveries, those that were begun first)\n",
                   shown, (long long)of);
}
