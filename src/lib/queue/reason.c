#include "queue/reason.h"

static size_t digits_of(struct span w)
{
    size_t n = 0;
    for (size_t i = 0; i < w.n; i++)
        n += ascii_isdigit(w.p[i]);
    return n;
}

/* "4.7.1" (RFC 3463) */
static bool is_status(struct span w)
{
    size_t dots = 0;
    for (size_t i = 0; i < w.n; i++) {
        dots += w.p[i] == '.';
        if (w.p[i] != '.' && !ascii_isdigit(w.p[i]))
            return false;
    }
    return dots == 2 && w.n <= 9 && (w.p[0] == '2' || w.p[0] == '4' || w.p[0] == '5');
}

/* "mx1.example.net." is a host's or a domain's; "deferred.", "e.g." and "450-4.7.1" are not. */
static bool is_host(struct span w)
{
    size_t labels = 0, len = 0, longest = 0;
    bool letter = false;
    for (size_t i = 0; i < w.n; i++) {
        bool dot = w.p[i] == '.';
        if ((!dot && !ascii_isalnum(w.p[i]) && w.p[i] != '-' && w.p[i] != '_') || (dot && !len))
            return false;
        letter |= ascii_isalpha(w.p[i]);
        labels += !dot && !len;
        len = dot ? 0 : len + 1;
        longest = len > longest ? len : longest;
    }
    return labels >= 2 && longest >= 2 && letter;
}

/* "u1", "host12"; codes have capitals ("TSS04"), and "5m" begins with its digit. */
static bool is_numbered(struct span w)
{
    size_t n = 0;
    while (n < w.n && w.p[n] >= 'a' && w.p[n] <= 'z')
        n++;
    return n && n < w.n && digits_of(w) == w.n - n && !span_eq(w, SPAN("ipv4")) &&
           !span_eq(w, SPAN("ipv6"));
}

static bool is_own(struct span w, bool first)
{
    if (span_find(w, '@') < w.n)
        return true;
    size_t digits = digits_of(w);
    if (is_status(w) || (first && w.n == 3))
        return false;
    if (is_host(w) || is_numbered(w))
        return true;
    if (digits == 0)
        return false;
    size_t letters = 0;
    for (size_t i = 0; i < w.n; i++)
        letters += ascii_isalpha(w.p[i]);
    /* "450-4.7.1", "5m", "TSS04" stay apart from "9BC0A1xyz", "1732104000" and "300" */
    return digits >= 3 || (digits == w.n && !first) || (digits >= 2 && letters >= 4) ||
           (digits >= 2 && w.n >= 12);
}

static bool is_edge(char c) { return strchr("<>()[]{}\"'`,;:=", c) != NULL && c; }

/* Up to a blank or an edge. */
static struct span first_word(struct span text)
{
    size_t n = 0;
    while (n < text.n && !ascii_isblank(text.p[n]) && !is_edge(text.p[n]))
        n++;
    return span_to(text, n);
}

size_t queue_reason_class(struct span reason, char *out)
{
    size_t n = 0;
    bool first = true;
    for (size_t i = 0; i < reason.n && n < QUEUE_CLASS_MAX;) {
        char c = reason.p[i];
        if (ascii_isblank(c) || is_edge(c)) {
            bool twice = ascii_isblank(c) && n && ascii_isblank(out[n - 1]);
            if (!twice)
                out[n++] = ascii_isblank(c) ? ' ' : c;
            i++;
            continue;
        }
        struct span w = first_word(span_from(reason, i));
        size_t own = w.n;
        if (is_own(w, first) || span_ends(span_of(out, n), SPAN("Name server: ")))
            w = SPAN("*");
        w = span_to(w, QUEUE_CLASS_MAX - n);
        memcpy(out + n, w.p, w.n);
        n += w.n;
        i += own;
        first = false;
    }
    while (n && ascii_isblank(out[n - 1]))
        n--;
    return n;
}

void queue_reason_fold(struct buf *out, struct span a, struct span b)
{
    while (a.n && b.n) {
        struct span word = first_word(a), other = first_word(b);
        if (word.n && other.n) {
            buf_puts(out, span_eq(word, other) ? word : SPAN("(various)"));
            a = span_from(a, word.n);
            b = span_from(b, other.n);
        } else if (word.n || other.n || a.p[0] != b.p[0]) {
            break; /* they are of two classes */
        } else {
            buf_putc(out, a.p[0]);
            a = span_from(a, 1);
            b = span_from(b, 1);
        }
    }
    buf_puts(out, a);
}
