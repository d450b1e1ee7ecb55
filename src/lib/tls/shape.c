#include "tls/shape.h"

#include <openssl/evp.h>

enum { SHAPE_BLOCK_MAX = 1024, SHAPE_HASH_MAX = 64 };

/* MGF1 (RFC 8017 B.2.1), taken off `data` in place. */
static bool unmask(uint8_t *data, size_t n, const uint8_t *seed, size_t seed_n, const EVP_MD *md)
{
    uint8_t in[SHAPE_HASH_MAX + 4], mask[SHAPE_HASH_MAX];
    memcpy(in, seed, seed_n);
    for (size_t at = 0, counter = 0; at < n; counter++) {
        for (int i = 0; i < 4; i++)
            in[seed_n + i] = (uint8_t)(counter >> (24 - 8 * i));
        unsigned int got;
        if (EVP_Digest(in, seed_n + 4, mask, &got, md, NULL) != 1)
            return false;
        for (unsigned int i = 0; i < got && at < n; i++, at++)
            data[at] ^= mask[i];
    }
    return true;
}

/* After the mask is off, the block reads 00 .. 00 01 salt: chance does not make that. */
static bool pss_with(struct span block, int modulus_bits, const EVP_MD *md)
{
    size_t hash = (size_t)EVP_MD_get_size(md);
    int em_bits = modulus_bits - 1;
    size_t em = (size_t)(em_bits + 7) / 8;
    const uint8_t *p = (const uint8_t *)block.p;
    if (block.n == em + 1) { /* a modulus of 8n+1 bits: the block has a zero byte in front */
        if (*p++ != 0)
            return false;
    } else if (block.n != em) {
        return false;
    }
    if (em < 2 * hash + 2 || em > SHAPE_BLOCK_MAX || p[em - 1] != 0xbc)
        return false;
    uint8_t db[SHAPE_BLOCK_MAX];
    size_t n = em - hash - 1, spare = 8 * em - (size_t)em_bits;
    if (p[0] >> (8 - spare))
        return false;
    memcpy(db, p, n);
    if (!unmask(db, n, p + n, hash, md))
        return false;
    db[0] &= (uint8_t)(0xff >> spare);
    size_t zeros = n - hash - 1;
    for (size_t i = 0; i < zeros; i++)
        if (db[i])
            return false;
    return db[zeros] == 1;
}

bool shape_is_pss(struct span block, int modulus_bits)
{
    return pss_with(block, modulus_bits, EVP_sha256()) ||
           pss_with(block, modulus_bits, EVP_sha384()) ||
           pss_with(block, modulus_bits, EVP_sha512());
}

bool shape_is_digest_info(struct span info)
{
    /* SEQUENCE { SEQUENCE { OID 2.16.840.1.101.3.4.2.X, NULL }, OCTET STRING of `hash` bytes } */
    static const struct {
        uint8_t last, hash;
    } known[] = { { 1, 32 }, { 2, 48 }, { 3, 64 } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint8_t hash = known[i].hash;
        const uint8_t want[] = { 0x30, (uint8_t)(17 + hash), 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86,
                                 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, known[i].last, 0x05, 0x00,
                                 0x04, hash };
        if (info.n == sizeof want + hash && memcmp(info.p, want, sizeof want) == 0)
            return true;
    }
    return false;
}
