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

struct found {
    size_t at; /* offset of the first finding; or of what is left, less than a block */
    bool any, bad;
};

static inline __attribute__((always_inline)) struct found walk(struct dotstuff *d, struct span s,
                                                               uint64_t (*eq)(const char *, char))
{
    uint64_t cr_before = d->cr, start = !d->midline, dots = 0;
    struct found f = { .at = 0 };
    for (; s.n - f.at >= BLOCK; f.at += BLOCK) {
        const char *p = s.p + f.at;
        uint64_t lf = eq(p, '\n'), cr = eq(p, '\r');
        uint64_t starts = lf << 1 | start, after_cr = cr << 1 | cr_before;
        uint64_t bad = lf ^ after_cr; /* a LF without CR, or a CR without LF */
        if (!d->plain)
            dots = eq(p, '.') & starts;
        if (bad | dots) {
            unsigned first = (unsigned)__builtin_ctzll(bad | dots);
            f.any = true;
            f.bad = bad >> first & 1;
            f.at += first;
            start = starts >> first & 1;
            cr_before = after_cr >> first & 1;
            break;
        }
        start = lf >> (BLOCK - 1);
        cr_before = cr >> (BLOCK - 1);
    }
    d->midline = !start;
    d->cr = cr_before;
    return f;
}

static struct found walk_any(struct dotstuff *d, struct span s) { return walk(d, s, eq_any); }

#ifdef __x86_64__
__attribute__((target("avx2"))) static inline uint64_t eq_avx2(const char *p, char c)
{
    __m256i want = _mm256_set1_epi8(c);
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    uint64_t m = (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, want));
    return m << 32 | (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, want));
}

__attribute__((target("avx2"))) static struct found walk_avx2(struct dotstuff *d, struct span s)
{
    return walk(d, s, eq_avx2);
}

static struct found walk_blocks(struct dotstuff *d, struct span s)
{
    return __builtin_cpu_supports("avx2") ? walk_avx2(d, s) : walk_any(d, s);
}
#else
static struct found walk_blocks(struct dotstuff *d, struct span s) { return walk_any(d, s); }
#endif

/* The byte-wise form, for what is left. */
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
    struct found f = walk_blocks(d, s);
    *bad_r = f.bad;
    return f.any ? f.at : f.at + scan_bytes(d, span_from(s, f.at), bad_r);
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
