#include "dsn/dsn.h"

static int hex(char c)
{
    if (ascii_isdigit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool dsn_xtext_decode(struct buf *out, struct span xtext, size_t max_bytes)
{
    for (size_t i = 0; i < xtext.n && max_bytes > 0; max_bytes--) {
        int high = -1, low = -1;
        if (xtext.p[i] == '+' && xtext.n - i > 2) {
            high = hex(xtext.p[i + 1]);
            low = hex(xtext.p[i + 2]);
        }
        bool coded = high >= 0 && low >= 0;
        if (!buf_putc(out, coded ? (char)(high << 4 | low) : xtext.p[i]))
            return false;
        i += coded ? 3 : 1;
    }
    return true;
}
