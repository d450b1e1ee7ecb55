#include "base/span.h"

bool span_ieq(struct span a, struct span b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

bool span_starts(struct span s, struct span prefix)
{
    return s.n >= prefix.n && span_eq(span_of(s.p, prefix.n), prefix);
}

bool span_istarts(struct span s, struct span prefix)
{
    return s.n >= prefix.n && span_ieq(span_of(s.p, prefix.n), prefix);
}

bool span_ends(struct span s, struct span suffix)
{
    return s.n >= suffix.n && span_eq(span_of(s.p + s.n - suffix.n, suffix.n), suffix);
}

bool span_iends(struct span s, struct span suffix)
{
    return s.n >= suffix.n && span_ieq(span_of(s.p + s.n - suffix.n, suffix.n), suffix);
}

bool span_is_ascii(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

size_t span_find(struct span s, char c)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

size_t span_rfind(struct span s, char c)
{
    for (size_t i = s.n; i > 0; i--)
        if (s.p[i - 1] == c)
            return i - 1;
    return s.n;
}

struct span span_from(struct span s, size_t from)
{
    if (from >= s.n)
        return span_of(s.p ? s.p + s.n : NULL, 0);
    return span_of(s.p + from, s.n - from);
}

struct span span_to(struct span s, size_t to)
{
    return span_of(s.p, to < s.n ? to : s.n);
}

static bool is_line_blank(char c) { return ascii_isblank(c) || c == '\r' || c == '\n'; }

struct span span_trim(struct span s)
{
    while (s.n && ascii_isblank(s.p[0]))
        s = span_from(s, 1);
    while (s.n && ascii_isblank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct span span_trim_lines(struct span s)
{
    while (s.n && is_line_blank(s.p[0]))
        s = span_from(s, 1);
    while (s.n && is_line_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct span span_word(struct span *s)
{
    while (s->n && ascii_isblank(s->p[0]))
        *s = span_from(*s, 1);
    size_t n = 0;
    while (n < s->n && !ascii_isblank(s->p[n]))
        n++;
    struct span word = span_to(*s, n);
    *s = span_from(*s, n);
    return word;
}

int span_cmp(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}
