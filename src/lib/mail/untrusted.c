#include "mail/untrusted.h"

#include "base/json.h"

/* Length of the character at the front of s that may stay; 0 = it is to be replaced. C1 controls
 * (U+0080..U+009F) are two bytes of valid UTF-8 that terminals obey: they go as well. */
static size_t keep(struct span s, enum untrusted_kind kind)
{
    unsigned char c = (unsigned char)s.p[0];
    if (c < 128) {
        if (kind == UNTRUSTED_COMMENT && c && strchr("()\\\"", c))
            return 0;
        return c >= 32 && c != 127;
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

bool untrusted_put(struct buf *b, struct span s, enum untrusted_kind kind, size_t max_bytes)
{
    bool ok = true;
    while (s.n > 0 && ok) {
        size_t n = keep(s, kind);
        if ((n ? n : 1) > max_bytes)
            break;
        max_bytes -= n ? n : 1;
        ok = n ? buf_put(b, s.p, n) : buf_putc(b, '?');
        s = span_from(s, n ? n : 1);
    }
    return ok;
}
