#include "bt/tokens.h"

static bool is_operator(char c)
{
    return c && strchr(".:%@!^/[]+<>(),;", c) != NULL;
}

static bool is_space(char c)
{
    return ascii_isblank(c) || c == '\r' || c == '\n';
}

/* Length of the word at the start of s, which is not blank. */
static size_t word_length(struct span s)
{
    size_t i = 0;
    bool quoted = false;
    if (is_operator(s.p[0]))
        return 1;
    for (; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n)
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (!quoted && (is_space(s.p[i]) || is_operator(s.p[i])))
            break;
    }
    return i;
}

struct toks toks_of(struct arena *a, struct span s)
{
    size_t max = s.n < BT_TOKENS_MAX ? s.n : BT_TOKENS_MAX;
    /* "$#" and its like are one word each */
    struct span *v = arena_alloc(a, (max + 1) * sizeof *v);
    size_t n = 0;
    for (size_t i = 0; v && i < s.n && n < max;) {
        if (is_space(s.p[i])) {
            i++;
            continue;
        }
        struct span rest = span_from(s, i);
        size_t len = span_starts(rest, SPAN("$@")) || span_starts(rest, SPAN("$:"))
                         ? 2
                         : word_length(rest);
        v[n++] = span_to(rest, len);
        i += len;
    }
    return (struct toks){ v, v ? n : 0 };
}

struct toks toks_cat(struct arena *a, struct toks x, struct toks y)
{
    size_t n = x.n + y.n;
    if (!x.n || !y.n)
        return x.n ? x : y;
    if (n > BT_TOKENS_MAX)
        n = BT_TOKENS_MAX;
    struct span *v = arena_alloc(a, n * sizeof *v);
    for (size_t i = 0; v && i < n; i++)
        v[i] = i < x.n ? x.v[i] : y.v[i - x.n];
    return (struct toks){ v, v ? n : 0 };
}

size_t toks_find(struct toks t, const char *word)
{
    size_t i = 0;
    while (i < t.n && !toks_is(t, i, word))
        i++;
    return i;
}

size_t toks_rfind(struct toks t, const char *word)
{
    for (size_t i = t.n; i > 0; i--)
        if (toks_is(t, i - 1, word))
            return i - 1;
    return t.n;
}

void toks_put(struct buf *out, struct toks t)
{
    for (size_t i = 0; i < t.n; i++) {
        buf_putc(out, ' ');
        buf_puts(out, t.v[i]);
    }
}

static struct span join(struct arena *a, struct toks t, bool lower)
{
    size_t n = 0, max = 1;
    for (size_t i = 0; i < t.n; i++)
        max += t.v[i].n + 1;
    char *p = arena_alloc(a, max);
    for (size_t i = 0; p && i < t.n; i++) {
        if (i && !is_operator(t.v[i].p[0]) && !is_operator(t.v[i - 1].p[0]))
            p[n++] = ' ';
        for (size_t k = 0; k < t.v[i].n; k++)
            p[n++] = lower ? ascii_lower(t.v[i].p[k]) : t.v[i].p[k];
    }
    return p ? span_of(p, n) : SPAN_NONE;
}

struct span toks_join(struct arena *a, struct toks t) { return join(a, t, false); }
struct span toks_lower(struct arena *a, struct toks t) { return join(a, t, true); }
