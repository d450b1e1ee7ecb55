#include "mail/untrusted.h"

#include "base/json.h"

/* Length of the character at the front of s that may stay; 0 = it is to be replaced. C1 controls
 * (U+0080..U+009F) are two bytes of valid UTF-8 that terminals obey: they go as well. */
static size_t keep(struct span s, enum untrusted_kind kind)
{
    unsigned char c = (unsigned char)s.p[0];
    if (c < 128) {
        bool special = c == '(' || c == ')' || c == '\\' || c == '"';
        return c >= 32 && c != 127 && !(special && kind == UNTRUSTED_COMMENT);
    }
    size_t n = kind == UNTRUSTED_ASCII ? 0 : utf8_length(s);
    return n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0 ? 0 : n;
}

bool untrusted_clean(struct span s, enum untrusted_kind kind)
{
    for (size_t n; s.n > 0; s = span_from(s, n))
        if ((n = keep(s, kind)) == 0)
            return false;
    return true;
}

/* Bytes at the front of s that may stay, whole characters, at most max_bytes. */
static size_t keep_run(struct span s, enum untrusted_kind kind, size_t max_bytes)
{
    size_t i = 0, n, end = s.n < max_bytes ? s.n : max_bytes;
    while (i < end) {
        bool plain = ascii_isalnum(s.p[i]) || s.p[i] == ' '; /* nearly all of them */
        n = plain ? 1 : keep(span_from(s, i), kind);
        if (n == 0 || n > max_bytes - i)
            break;
        i += n;
    }
    return i;
}

bool untrusted_put(struct buf *b, struct span s, enum untrusted_kind kind, size_t max_bytes)
{
    bool ok = true;
    while (s.n > 0 && max_bytes > 0 && ok) {
        size_t n = keep_run(s, kind, max_bytes);
        if (n == 0 && keep(s, kind) > 0)
            break; /* half a character would be left */
        ok = n ? buf_put(b, s.p, n) : buf_putc(b, '?');
        n += !n;
        max_bytes -= n;
        s = span_from(s, n);
    }
    return ok;
}
