/* A map from bytes as if they were its file: they lie in memory behind a name in /proc. */
#ifndef POSTERN_TESTS_FUZZ_MAP_FILE_H
#define POSTERN_TESTS_FUZZ_MAP_FILE_H

#include "base/must.h"
#include "maps/impl.h" /* a cdb is opened by a name with a suffix, which there is none of here */

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* type with its colon. NULL when the bytes are refused, and then it was said why. */
static inline struct map *map_of_bytes(const char *type, const void *data, size_t n,
                                       struct map_params *p)
{
    char spec[64];
    struct map_report r;
    int fd = memfd_create("map.cdb", 0);
    MUST(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    snprintf(spec, sizeof spec, "%s/proc/self/fd/%d", type, fd);
    map_report_init(&r);
    struct map *m = strcmp(type, "cdb:") == 0 ? map_cdb_open(span_str(spec + 4), p, &r)
                                              : map_open(span_str(spec), p, &r);
    MUST((m != NULL) == (r.errors == 0));
    MUST(m || r.lines.len > 0);
    map_report_free(&r);
    close(fd);
    return m;
}

#endif
