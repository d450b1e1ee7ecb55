/* spec: how a map is named, TYPE:WHERE (maps/map.h lists the types), taken apart without looking
 * at any file. */
#ifndef POSTERN_MAPS_SPEC_H
#define POSTERN_MAPS_SPEC_H

#include "base/buf.h"
#include "base/err.h"

enum map_type {
    MAP_TEXT, MAP_BESIDE, /* hash: btree: dbm: */
    MAP_CDB, MAP_REGEX, MAP_CIDR, MAP_INLINE, MAP_NULL,
};

struct map_spec {
    enum map_type type;
    struct span name;  /* "hash" */
    struct span where; /* the path without flags and suffixes, or the text of an inline map */
    bool file;         /* where is a path */
    bool optional;     /* -o */
};

/* The spans in *s_r lie within spec. False fills e: "names no ...", to stand behind the spec. */
bool map_spec_parse(struct span spec, struct map_spec *s_r, struct err *e);

/* The file that would be read now, for types with one; this looks at what is there. */
void map_spec_path(const struct map_spec *s, struct buf *path);

#endif
