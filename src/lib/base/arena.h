/* arena: memory for one session or transaction, freed all at once. The limit is on all bytes
 * ever taken from it; beyond it arena_alloc returns NULL. */
#ifndef POSTERN_BASE_ARENA_H
#define POSTERN_BASE_ARENA_H

#include "base/span.h"

struct arena;

struct arena *arena_new(size_t max_bytes);
void arena_free(struct arena **a); /* accepts NULL in *a; sets it to NULL */
void arena_reset(struct arena *a); /* frees everything but the first chunk */

/* Zeroed, aligned for any type; NULL at the limit. */
void *arena_alloc(struct arena *a, size_t size);
/* Copies; .p is NULL at the limit (also for an empty span it is non-NULL otherwise). A NUL
 * follows the copy, outside its length. */
struct span arena_dup(struct arena *a, struct span s);

#endif
