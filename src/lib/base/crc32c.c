#include "base/crc32c.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

/* Bit by bit over a nibble table: small, and only for processors without the instruction. */
uint32_t crc32c_soft(uint32_t crc, const void *p, size_t n)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const unsigned char *s = p;
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= s[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, const void *p, size_t n)
{
    const char *s = p;
    uint64_t c = crc;
    for (; n >= 8; n -= 8, s += 8) {
        uint64_t v;
        memcpy(&v, s, 8);
        c = _mm_crc32_u64(c, v);
    }
    for (; n; n--, s++)
        c = _mm_crc32_u8((uint32_t)c, (unsigned char)*s);
    return (uint32_t)c;
}

/* The instruction takes three cycles and one can begin in each: three lanes side by side take the
 * time of one. Each lane but the last is then moved on over the bytes behind it: times x to the
 * power of their bits. A product of two reflected 32-bit values stands one bit low, and the
 * instruction itself multiplies by x^32, so the constants are x^(bits - 33) mod P, reflected. */
enum { LANE_BYTES = 1024, LANES_BYTES = 3 * LANE_BYTES };
static const uint64_t over_one_lane = 0x170076fa, over_two_lanes = 0xa51b6135;

__attribute__((target("sse4.2,pclmul"))) static uint32_t moved_on(uint32_t crc, uint64_t over)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc),
                                           _mm_cvtsi64_si128((long long)over), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t three_lanes(uint32_t crc, const char *s)
{
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < LANE_BYTES; i += 8) {
        uint64_t v[3];
        memcpy(&v[0], s + i, 8);
        memcpy(&v[1], s + LANE_BYTES + i, 8);
        memcpy(&v[2], s + 2 * LANE_BYTES + i, 8);
        a = _mm_crc32_u64(a, v[0]);
        b = _mm_crc32_u64(b, v[1]);
        c = _mm_crc32_u64(c, v[2]);
    }
    return moved_on((uint32_t)a, over_two_lanes) ^ moved_on((uint32_t)b, over_one_lane) ^
           (uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        const char *s = p;
        crc = ~crc;
        if (n >= LANES_BYTES && __builtin_cpu_supports("pclmul"))
            for (; n >= LANES_BYTES; n -= LANES_BYTES, s += LANES_BYTES)
                crc = three_lanes(crc, s);
        return ~crc32c_sse(crc, s, n);
    }
#endif
    return crc32c_soft(crc, p, n);
}
