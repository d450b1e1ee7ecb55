#include "smtp/dotstuff.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK = 64 };

/* A bit for each byte of the block that equals c. */
static inline uint64_t block_eq(const char *p, char c)
{
    uint64_t m = 0;
#ifdef __SSE2__
    __m128i want = _mm_set1_epi8(c);
    for (unsigned i = 0; i < BLOCK / 16; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        m |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, want)) << (16 * i);
    }
#else
    for (unsigned i = 0; i < BLOCK; i++)
        m |= (uint64_t)(p[i] == c) << i;
#endif
    return m;
}

/* The byte-wise form, for the tail and for the block in which something was found. */
static size_t scan_bytes(struct dotstuff *d, struct span s, bool *bad_r)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((c == '\n') != d->cr) { /* a LF without CR, or a CR without LF */
            *bad_r = true;
            return i;
        }
        if (c == '.' && !d->midline && !d->plain)
            return i;
        d->midline = c != '\n';
        d->cr = c == '\r';
    }
    return s.n;
}

size_t dotstuff_scan(struct dotstuff *d, struct span s, bool *bad_r)
{
    size_t i = 0;
    *bad_r = false;
    for (; s.n - i >= BLOCK; i += BLOCK) {
        const char *p = s.p + i;
        uint64_t lf = block_eq(p, '\n'), cr = block_eq(p, '\r');
        uint64_t after_cr = cr << 1 | d->cr, starts = lf << 1 | !d->midline;
        if (after_cr != lf || (!d->plain && (block_eq(p, '.') & starts)))
            break; /* something is in this block */
        d->midline = !(lf >> (BLOCK - 1));
        d->cr = cr >> (BLOCK - 1);
    }
    if (s.n - i < BLOCK)
        return i + scan_bytes(d, span_from(s, i), bad_r);
    return i + scan_bytes(d, span_of(s.p + i, BLOCK), bad_r);
}

bool dotstuff_put(struct dotstuff *d, struct buf *out, struct span content)
{
    bool bad = false;
    while (content.n) {
        size_t n = dotstuff_scan(d, content, &bad);
        if (!buf_puts(out, span_to(content, n)) || bad)
            return false;
        content = span_from(content, n);
        if (content.n) { /* a dot at the start of a line */
            if (!buf_put(out, "..", 2))
                return false;
            d->midline = true;
            content = span_from(content, 1);
        }
    }
    return true;
}

bool dotstuff_end(struct dotstuff *d, struct buf *out)
{
    if (d->cr || (d->midline && !buf_put(out, "\r\n", 2)))
        return false;
    d->midline = false;
    return d->plain || buf_put(out, ".\r\n", 3);
}
