/* What the kinds of maps share; only for files of this room. */
#ifndef POSTERN_MAPS_IMPL_H
#define POSTERN_MAPS_IMPL_H

#include "maps/map.h"

#include <sys/stat.h>

/* What a file looked like when it was read last. */
struct map_stamp {
    bool there;
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec modified, changed;
};

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
    bool file;          /* source is the path of a file; stamp is about it */
    struct map_stamp stamp;
};

void map_init(struct map *m, const struct map_class *class, struct span source);

/* table: an immutable hash of key -> value over one block of text that it owns. */
struct map_table;
/* Takes over text (malloc'ed, may be NULL when n is 0), whatever comes of it. */
struct map_table *map_table_new(char *text, size_t n, uint64_t seed);
/* key (not empty) and value lie within the text. */
void map_table_add(struct map_table *t, struct span key, struct span value, uint32_t line);
/* What becomes of the second entry of one key. */
struct map_twice {
    bool last_counts; /* else the first */
    void (*say)(struct map_report *r, struct span source, struct span key, uint32_t line,
                uint32_t line_before);
};
/* No more entries: ready for look-ups. NULL, and t is gone, when there are too many entries, or r
 * has more errors than errors_before. */
struct map_table *map_table_seal(struct map_table *t, const struct map_twice *twice,
                                 size_t errors_before, struct span source,
                                 const struct map_params *p, struct map_report *r);
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

/* What the kinds that are read from a file begin with. */
struct map_file {
    struct map map;
    struct map_params params;
};
/* f is zeroed memory of the kind's own size, which its free gives back. Loads it for the first
 * time; NULL: r says why, and f is gone. */
struct map *map_file_open(struct map_file *f, const struct map_class *class, struct span path,
                          const struct map_params *p, struct map_report *r);
/* The whole file, with a NUL behind it. A file that grows while it is read is read as long as it
 * was; the next refresh sees the rest. An optional file that is missing is an empty one. False:
 * reported. *mem_r is the caller's (free), and NULL when there is no file. Notes the stamp. */
bool map_file_read(struct map_file *f, char **mem_r, size_t *n_r, struct map_report *r);
struct map_stamp map_stamp_of(const struct stat *st);

/* One line of a file of lines with a format of its own (regex: cidr:). */
struct map_line {
    struct span text; /* not empty, no comment, without blanks at its end */
    uint32_t line;
};
/* The next one from *text; false at the end. Lines that no such file may have are reported and
 * passed over. line counts; 0 before the first call. */
bool map_next_line(struct span *text, struct map_line *at, struct span source,
                   struct map_report *r);

struct map *map_text_open(struct span path, const struct map_params *p, struct map_report *r);
struct map *map_inline_open(struct span text, const struct map_params *p, struct map_report *r);
struct map *map_cdb_open(struct span path, const struct map_params *p, struct map_report *r);
struct map *map_regex_open(struct span path, const struct map_params *p, struct map_report *r);
struct map *map_cidr_open(struct span path, const struct map_params *p, struct map_report *r);

#endif
