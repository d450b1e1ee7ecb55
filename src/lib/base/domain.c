#include "base/domain.h"

#include "base/must.h"
#include "base/netaddr.h"

#include <idn2.h>

enum { UTF8_MAX = 1024 };

size_t domain_to_ascii(struct span utf8, char *out, size_t cap)
{
    char text[UTF8_MAX], *ascii = NULL;
    if (span_is_ascii(utf8) || utf8.n >= sizeof text || memchr(utf8.p, 0, utf8.n))
        return 0;
    memcpy(text, utf8.p, utf8.n);
    text[utf8.n] = '\0';
    if (idn2_lookup_u8((const uint8_t *)text, (uint8_t **)&ascii,
                       IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return 0;
    struct span s = span_str(ascii);
    size_t n = s.n <= cap ? s.n : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = ascii_lower(s.p[i]);
    idn2_free(ascii);
    return n;
}

size_t domain_to_utf8(struct span name, char *out, size_t cap)
{
    char text[UTF8_MAX], *utf8 = NULL;
    if (!span_is_ascii(name) || name.n >= sizeof text || memchr(name.p, 0, name.n))
        return 0;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    if (idn2_to_unicode_8z8z(text, &utf8, 0) != IDN2_OK)
        return 0;
    struct span s = span_str(utf8);
    size_t n = s.n <= cap && !span_is_ascii(s) ? s.n : 0;
    memcpy(out, s.p, n);
    idn2_free(utf8);
    return n;
}

/* Of an address literal: one address may be written in many ways (RFC 4291 2.2, RFC 5952). */
static size_t fold_literal(struct span name, char *out, size_t cap)
{
    struct netaddr a;
    struct buf b;
    if (!name.n || name.p[0] != '[' || !netaddr_parse_literal(name, &a))
        return 0;
    buf_init(&b, NETADDR_TEXT_MAX);
    netaddr_put_literal(&b, &a);
    struct span s = buf_span(&b);
    size_t n = s.n <= cap ? s.n : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = ascii_lower(s.p[i]);
    buf_free(&b);
    return n;
}

size_t domain_rewritten(struct span name, char *out, size_t cap)
{
    size_t n = domain_to_ascii(name, out, cap);
    return n ? n : fold_literal(name, out, cap);
}

size_t domain_fold(struct span name, char *out, size_t cap)
{
    MUST(name.n <= cap);
    size_t n = domain_rewritten(name, out, cap);
    for (size_t i = 0; i < name.n && !n; i++)
        out[i] = ascii_lower(name.p[i]);
    return n ? n : name.n;
}

struct span domain_bare(struct span name)
{
    struct span s = span_trim(name);
    if (s.n > 1 && strchr(":,;", s.p[s.n - 1]))
        s = span_to(s, s.n - 1);
    if (s.n > 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
        s = span_of(s.p + 1, s.n - 2);
    if (s.n > 1 && s.p[s.n - 1] == '.')
        s = span_to(s, s.n - 1);
    return s;
}

bool domain_same(struct span a, struct span b)
{
    char x[UTF8_MAX], y[UTF8_MAX];
    if (span_ieq(a, b))
        return true;
    bool literals = span_starts(a, SPAN("[")) && span_starts(b, SPAN("["));
    if ((span_is_ascii(a) && span_is_ascii(b) && !literals) || a.n > sizeof x || b.n > sizeof y)
        return false;
    return span_eq(span_of(x, domain_fold(a, x, sizeof x)),
                   span_of(y, domain_fold(b, y, sizeof y)));
}
