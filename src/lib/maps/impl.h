/* What the kinds of maps share; only for files of this room. */
#ifndef POSTERN_MAPS_IMPL_H
#define POSTERN_MAPS_IMPL_H

#include "maps/map.h"

struct map_class {
    const char *type;
    void (*free)(struct map *m);
    /* key is in lower case and <= MAP_KEY_MAX. */
    int (*lookup)(struct map *m, struct span key, struct map_hit *hit_r);
    bool (*reload)(struct map *m, struct map_report *r);
    void (*each)(const struct map *m,
                 bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx);
    void (*size)(const struct map *m, struct map_stats *s);
};

struct map {
    const struct map_class *class;
    struct span source; /* owned, NUL behind it */
    uint64_t lookups, hits, loads, bad_loads;
};

void map_init(struct map *m, const struct map_class *class, struct span source);

/* table: an immutable hash of key -> value over one block of text that it owns. */
struct map_table;
/* Takes over text (malloc'ed, may be NULL when n is 0), whatever comes of it. */
struct map_table *map_table_new(char *text, size_t n, uint64_t seed);
/* key (not empty) and value lie within the text. */
void map_table_add(struct map_table *t, struct span key, struct span value, uint32_t line);
enum map_twice { MAP_FIRST_COUNTS, MAP_LAST_COUNTS };
/* No more entries: ready for look-ups. NULL, and t is gone, when there are too many entries, or r
 * has more errors than errors_before. */
struct map_table *map_table_seal(struct map_table *t, enum map_twice twice, size_t errors_before,
                                 struct span source, const struct map_params *p,
                                 struct map_report *r);
void map_table_free(struct map_table **t);
int map_table_lookup(const struct map_table *t, struct span key, struct map_hit *hit_r);
void map_table_each(const struct map_table *t,
                    bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx);
size_t map_table_entries(const struct map_table *t);
size_t map_table_bytes(const struct map_table *t);

/* The readers: text as for map_table_new; NULL: r says why. */
/* Records are separated by LF, and by `also` when that is not 0. */
struct map_table *map_lines_parse(char *text, size_t n, char also, struct span source,
                                  const struct map_params *p, struct map_report *r);
struct map_table *map_aliases_parse(char *text, size_t n, struct span source,
                                    const struct map_params *p, struct map_report *r);

struct map *map_text_open(struct span path, const struct map_params *p, struct map_report *r);
struct map *map_inline_open(struct span text, const struct map_params *p, struct map_report *r);

#endif
