/* hash: an intrusive hash table keyed by bytes or by a 64-bit number. The function is keyed
 * (SipHash-1-3) with a seed given at birth, so that names chosen by strangers cannot pile up in
 * one bucket. The caller owns the nodes and the key bytes, which must live as long as the node
 * is in the table. */
#ifndef POSTERN_BASE_HASH_H
#define POSTERN_BASE_HASH_H

#include "base/span.h"

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
    struct span key;
};

struct hash {
    struct hash_node **buckets;
    size_t n, size; /* size is a power of two, or 0 */
    uint64_t seed;
    size_t max; /* nodes at most; 0 = no limit */
};

void hash_init(struct hash *h, uint64_t seed, size_t max_nodes);
void hash_free(struct hash *h); /* the nodes are the caller's */
struct hash_node *hash_get(const struct hash *h, struct span key);
/* key is not in the table yet; false when the table is full. */
bool hash_add(struct hash *h, struct hash_node *node, struct span key);
/* The same where the owner has a hash of its own, of keys that no stranger chooses. One table uses
 * either these or those. */
struct hash_node *hash_get_by(const struct hash *h, uint64_t hash, struct span key);
bool hash_add_by(struct hash *h, struct hash_node *node, uint64_t hash, struct span key);
void hash_remove(struct hash *h, struct hash_node *node); /* MUST be in it */

/* Any order; NULL starts. The node returned last may be removed before the next call only if
 * the caller fetched its successor first. */
struct hash_node *hash_next(const struct hash *h, const struct hash_node *node);

uint64_t hash_bytes(uint64_t seed, struct span s);

#endif
