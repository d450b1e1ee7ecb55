/* map: tables that answer "what stands beside this key?", behind one small vtable.
 *
 * A map is named by a spec, TYPE:WHERE:
 *   text:/path        sendmail's text format, read whole into memory (maps/lines.c says how)
 *   hash:/path        (also btree: dbm:) the text /path beside what was once /path.db; where there
 *                     is no such text, /path.cdb, which makemap writes
 *   cdb:/path         /path.cdb, written by makemap, read whole into memory (maps/cdb.c)
 *   regex:/path       lines `/pattern/flags value` (maps/regex.c)
 *   cidr:/path        lines `address/length value`, longest match (maps/cidr.c)
 *   inline:k v; k v   entries in the configuration itself
 *   null:             never has anything
 *   ram:              filled by a program (tests)
 * A blank may stand for the colon, and flags before the path, as in sendmail's own K lines and
 * FEATUREs: "hash -o -T<TMPF> /etc/mail/access". -o: a file that is missing is an empty table; -T
 * changes nothing (a table that cannot answer puts the mail off anyway); no other is taken.
 *
 * Keys are compared without regard to ASCII case. Values are bytes. */
#ifndef POSTERN_MAPS_MAP_H
#define POSTERN_MAPS_MAP_H

#include "base/buf.h"
#include "base/err.h"

enum { MAP_KEY_MAX = 1024, MAP_LINE_MAX = 65536, MAP_REPORT_MAX = 16384, MAP_KEPT = 64 };

/* What loading found out: lines "FILE:LINE: error: TEXT" and "... warning: ...", LF-terminated,
 * bounded; problems beyond the bound are only counted. */
struct map_report {
    struct buf lines;
    size_t errors, warnings;
    size_t entries;     /* in the table that is in force now */
    bool kept_old;      /* the load failed and the table before it stays in force */
    /* May be set: is given each problem as well (line 0: the whole file; no LF in text). */
    void (*say)(void *ctx, struct span source, uint32_t line, bool warning, struct span text);
    void *say_ctx;
};
void map_report_init(struct map_report *r);
void map_report_free(struct map_report *r);
/* line 0: about the whole file. */
void map_report_error(struct map_report *r, struct span source, uint32_t line, const char *fmt,
                      ...) __attribute__((format(printf, 4, 5)));
void map_report_warning(struct map_report *r, struct span source, uint32_t line, const char *fmt,
                        ...) __attribute__((format(printf, 4, 5)));

enum map_format {
    MAP_FORMAT_LINES = 0, /* sendmail's makemap: maps/lines.c says how */
    MAP_FORMAT_ALIASES,   /* an aliases file: maps/aliases.c says how */
};

struct map_params {
    enum map_format format; /* of text: (hash: btree: dbm:) and inline: */
    size_t max_bytes;    /* of one file; 0 = 1 GiB */
    size_t max_entries;  /* 0 = 16 million */
    uint64_t seed;       /* of the hash; random, so that keys cannot be made to collide */
    bool optional;       /* a file that is missing is an empty table, with a warning */
    bool empty_values;   /* a key alone is an entry, not an error */
    /* Called once per entry while loading, key in lower case; false refuses the entry (and so
     * the file) with the text in e. May be NULL. Of regex: it sees the value with its $1 in it. */
    bool (*check)(void *ctx, struct span key, struct span value, struct err *e);
    void *check_ctx;     /* lives as long as the map */
    /* Aliases: is mail for this domain ours? `name@domain` as an alias is then `name`; otherwise
     * (and when this is NULL) it is an error. Called with check_ctx. */
    bool (*is_local)(void *ctx, struct span domain);
};

struct map_hit {
    /* Valid until the map is reloaded or freed; from regex: also no longer than for the next
     * MAP_KEPT look-ups in it. */
    struct span value;
    uint32_t line;     /* where the entry stands in its source, from 1; 0 = nowhere */
};

struct map_stats {
    size_t entries, bytes; /* memory held */
    uint64_t lookups, hits;
    uint64_t loads, bad_loads;
};

struct map;

/* NULL when the spec or the file is bad; r says why (errors > 0). r is the caller's. */
struct map *map_open(struct span spec, const struct map_params *p, struct map_report *r);
void map_free(struct map **m);

/* 1: hit_r is set (may be NULL); 0: not there; -1: the table cannot answer now: the caller must
 * put the mail off rather than take it for "not there". */
int map_lookup(struct map *m, struct span key, struct map_hit *hit_r);

/* Reads the source again. False: it is bad, r says why, and the table in force stays. */
bool map_reload(struct map *m, struct map_report *r);

/* Is the file another one, or changed, since it was read last (whatever came of that)? Always
 * false for kinds without a file. Costs one stat. A change in place that leaves the size as it is
 * and falls into the same tick of the file system's clock (some ms) is not seen. */
bool map_changed(const struct map *m);
/* For a timer: 1 changed and taken; 0 unchanged; -1 changed and bad: r says why, the table in force
 * stays, and it is not said again before the file changes again. */
int map_refresh(struct map *m, struct map_report *r);

/* All entries in their order in the source; stops when fn returns false. */
void map_each(const struct map *m, bool (*fn)(void *ctx, struct span key, const struct map_hit *),
              void *ctx);

struct map_stats map_stats(const struct map *m);
const char *map_type(const struct map *m);    /* "text" */
struct span map_source(const struct map *m);  /* the path, or the spec where there is none */

/* The ram twin: a table that a test fills. */
struct map *map_ram_new(struct span source, uint64_t seed);
void map_ram_set(struct map *m, struct span key, struct span value, uint32_t line);
void map_ram_fail(struct map *m, bool fail); /* lookups answer -1 from now on */
struct map *map_null_new(void);

#endif
