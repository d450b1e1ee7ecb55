#include "base/hash.h"

#include "base/must.h"

#include <stdlib.h>

static inline uint64_t rotl(uint64_t x, int b) { return (x << b) | (x >> (64 - b)); }

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1]; v[1] = rotl(v[1], 13); v[1] ^= v[0]; v[0] = rotl(v[0], 32);
    v[2] += v[3]; v[3] = rotl(v[3], 16); v[3] ^= v[2];
    v[0] += v[3]; v[3] = rotl(v[3], 21); v[3] ^= v[0];
    v[2] += v[1]; v[1] = rotl(v[1], 17); v[1] ^= v[2]; v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein 2012) with the key (seed, ~seed). */
uint64_t hash_bytes(uint64_t seed, struct span s)
{
    uint64_t v[4] = { seed ^ 0x736f6d6570736575u, ~seed ^ 0x646f72616e646f6du,
                      seed ^ 0x6c7967656e657261u, ~seed ^ 0x7465646279746573u };
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t m;
        memcpy(&m, s.p + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)s.n << 56;
    if (s.n > i)
        memcpy(&last, s.p + i, s.n - i);
    last |= (uint64_t)s.n << 56;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void hash_init(struct hash *h, uint64_t seed, size_t max_nodes)
{
    *h = (struct hash){ .seed = seed, .max = max_nodes };
}

void hash_free(struct hash *h)
{
    free(h->buckets);
    hash_init(h, h->seed, h->max);
}

struct hash_node *hash_get_by(const struct hash *h, uint64_t hash, struct span key)
{
    if (!h->size)
        return NULL;
    struct hash_node *n = h->buckets[hash & (h->size - 1)];
    while (n && !(n->hash == hash && span_eq(n->key, key)))
        n = n->next;
    return n;
}

struct hash_node *hash_get(const struct hash *h, struct span key)
{
    return h->size ? hash_get_by(h, hash_bytes(h->seed, key), key) : NULL;
}

static void grow(struct hash *h)
{
    size_t size = h->size ? must_mul(h->size, 2) : 16;
    struct hash_node **buckets = must_calloc(size, sizeof *buckets);
    for (size_t i = 0; i < h->size; i++) {
        for (struct hash_node *n = h->buckets[i], *next; n; n = next) {
            next = n->next;
            n->next = buckets[n->hash & (size - 1)];
            buckets[n->hash & (size - 1)] = n;
        }
    }
    free(h->buckets);
    h->buckets = buckets;
    h->size = size;
}

bool hash_add(struct hash *h, struct hash_node *node, struct span key)
{
    return hash_add_by(h, node, hash_bytes(h->seed, key), key);
}

bool hash_add_by(struct hash *h, struct hash_node *node, uint64_t hash, struct span key)
{
    if (h->max && h->n >= h->max)
        return false;
    if (h->n >= h->size)
        grow(h);
    node->key = key;
    node->hash = hash;
    struct hash_node **at = &h->buckets[node->hash & (h->size - 1)];
    node->next = *at;
    *at = node;
    h->n++;
    return true;
}

void hash_remove(struct hash *h, struct hash_node *node)
{
    MUST(h->size);
    struct hash_node **at = &h->buckets[node->hash & (h->size - 1)];
    while (*at && *at != node)
        at = &(*at)->next;
    MUST(*at == node);
    *at = node->next;
    node->next = NULL;
    h->n--;
}

struct hash_node *hash_next(const struct hash *h, const struct hash_node *node)
{
    if (node && node->next)
        return node->next;
    size_t i = node ? (node->hash & (h->size - 1)) + 1 : 0;
    for (; i < h->size; i++)
        if (h->buckets[i])
            return h->buckets[i];
    return NULL;
}
