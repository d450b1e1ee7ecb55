#include "smtp/dotstuff.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { BLOCK = 64 };

/* A bit for each byte of the block that equals c. */
static inline uint64_t eq_any(const char *p, char c)
{
    uint64_t m = 0;
#ifdef __x86_64__
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

/* Over blocks in which every CR has its LF, and no line begins with a dot; how many bytes. */
static inline __attribute__((always_inline)) size_t walk(struct dotstuff *d, struct span s,
                                                         uint64_t (*eq)(const char *, char))
{
    uint64_t cr_before = d->cr, start = !d->midline;
    size_t i = 0;
    for (; s.n - i >= BLOCK; i += BLOCK) {
        const char *p = s.p + i;
        uint64_t lf = eq(p, '\n'), cr = eq(p, '\r');
        if ((cr << 1 | cr_before) != lf || (!d->plain && (eq(p, '.') & (lf << 1 | start))))
            break;
        start = lf >> (BLOCK - 1);
        cr_before = cr >> (BLOCK - 1);
    }
    d->midline = !start;
    d->cr = cr_before;
    return i;
}

static size_t walk_any(struct dotstuff *d, struct span s) { return walk(d, s, eq_any); }

#ifdef __x86_64__
__attribute__((target("avx2"))) static inline uint64_t eq_avx2(const char *p, char c)
{
    __m256i want = _mm256_set1_epi8(c);
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    uint64_t m = (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, want));
    return m << 32 | (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, want));
}

__attribute__((target("avx2"))) static size_t walk_avx2(struct dotstuff *d, struct span s)
{
    return walk(d, s, eq_avx2);
}

static size_t walk_blocks(struct dotstuff *d, struct span s)
{
    return __builtin_cpu_supports("avx2") ? walk_avx2(d, s) : walk_any(d, s);
}
#else
static size_t walk_blocks(struct dotstuff *d, struct span s) { return walk_any(d, s); }
#endif

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
    *bad_r = false;
    size_t i = walk_blocks(d, s);
    return i + scan_bytes(d, span_to(span_from(s, i), BLOCK), bad_r);
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
