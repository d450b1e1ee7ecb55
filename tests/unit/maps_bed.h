/* What the tests of maps share: a directory of their own, files in it, and the words of reports. */
#ifndef POSTERN_TESTS_UNIT_MAPS_BED_H
#define POSTERN_TESTS_UNIT_MAPS_BED_H

#include "test.h"

#include "base/must.h"
#include "maps/map.h"

#include <dirent.h>
#include <unistd.h>

struct bed {
    char dir[64], path[128]; /* path: of the file made last */
    struct map_report r;
};

static inline void bed_open(struct bed *b)
{
    memcpy(b->dir, "/tmp/test_maps.XXXXXX", 22);
    MUST(mkdtemp(b->dir));
    map_report_init(&b->r);
}

static inline void bed_close(struct bed *b)
{
    char path[512];
    DIR *d = opendir(b->dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%.200s", b->dir, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    closedir(d);
    rmdir(b->dir);
    map_report_free(&b->r);
}

static inline void bed_write(struct bed *b, const char *name, struct span text)
{
    snprintf(b->path, sizeof b->path, "%s/%s", b->dir, name);
    FILE *f = fopen(b->path, "w");
    MUST(f && fwrite(text.p, 1, text.n, f) == text.n && fclose(f) == 0);
}

/* TYPE (with its colon, or flags) and the file NAME of the directory. The report begins anew. */
static inline struct map *bed_map(struct bed *b, const char *type, const char *name,
                                  const struct map_params *p)
{
    char spec[256];
    snprintf(spec, sizeof spec, "%s%s/%s", type, b->dir, name);
    map_report_free(&b->r);
    map_report_init(&b->r);
    return map_open(span_str(spec), p, &b->r);
}

/* Does the report say so? */
static inline bool bed_says(struct bed *b, const char *text)
{
    return strstr(buf_cstr(&b->r.lines), text) != NULL;
}

#define BED_HIT(m, key, want, at) \
    do { \
        struct map_hit hit_; \
        CHECK_INT(map_lookup(m, SPAN(key), &hit_), 1); \
        CHECK_SPAN(hit_.value, SPAN(want)); \
        CHECK_INT(hit_.line, at); \
    } while (0)
#define BED_MISS(m, key) CHECK_INT(map_lookup(m, SPAN(key), NULL), 0)
/* The word of the report about one line of the file made last. */
#define BED_SAYS(b, text) \
    do { \
        if (!bed_says(b, text)) \
            TEST_FAIL("not said: %s; said: %s", text, buf_cstr(&(b)->r.lines)); \
    } while (0)

#endif
