/* bench/maps: what tables cost. A million lines of text (and of what makemap makes of them) are
 * loaded; then each kind of map is asked, and the time of each look-up kept: half of the keys are
 * there. Prints a line for each kind; fails above the figures that are promised.
 *
 *   bench_maps [DIRECTORY]      its files go there (/tmp) */
#include "base/must.h"
#include "maps/map.h"

#include <cdb.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 1000000, ASKS = 200000, FEW = 20, NETS = 65536 };
#define LOAD_MAX_S 2.0
#define LOOKUP_MAX_US 5.0

struct kind {
    const char *spec, *file; /* a file of LINES, or of its own kind */
    void (*make)(const char *path);
    const char *before, *after; /* of the number in a key */
    unsigned keys;           /* that are there: 0 to keys - 1 */
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_lines(const char *path, const char *fmt)
{
    FILE *f = fopen(path, "w");
    MUST(f);
    for (unsigned i = 0; i < LINES; i++)
        fprintf(f, "customer%u.example.net%s relay:[mail%u.example.org]:25\n", i, fmt, i % 977);
    MUST(fclose(f) == 0);
}

static void make_text(const char *path) { make_lines(path, ""); }
static void make_aliases(const char *path) { make_lines(path, ":"); }

static void make_cdb(const char *path)
{
    char key[64], value[64];
    struct cdb_make make;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && cdb_make_start(&make, fd) == 0);
    for (unsigned i = 0; i < LINES; i++) {
        int k = snprintf(key, sizeof key, "customer%u.example.net", i);
        int v = snprintf(value, sizeof value, "relay:[mail%u.example.org]:25", i % 977);
        MUST(cdb_make_add(&make, key, (unsigned)k, value, (unsigned)v) == 0);
    }
    MUST(cdb_make_finish(&make) == 0 && close(fd) == 0);
}

static void make_regex(const char *path)
{
    FILE *f = fopen(path, "w");
    MUST(f);
    for (unsigned i = 0; i < FEW; i++)
        fprintf(f, "/^customer%u\\.([a-z]+)\\.net$/ relay:[$1.example.org]\n", i);
    MUST(fclose(f) == 0);
}

static void make_cidr(const char *path)
{
    FILE *f = fopen(path, "w");
    MUST(f);
    for (unsigned i = 0; i < NETS; i++)
        fprintf(f, "10.%u.%u.0/24 net%u\n", i >> 8 & 255, i & 255, i);
    for (unsigned i = 8; i <= 23; i++)
        fprintf(f, "11.0.0.0/%u wide\n", i);
    MUST(fclose(f) == 0);
}

static const struct kind kinds[] = {
    { "text:", "lines", make_text, "customer", ".example.net", LINES },
    { "aliases", "aliases", make_aliases, "customer", ".example.net", LINES },
    { "cdb:", "lines.cdb", make_cdb, "customer", ".example.net", LINES },
    { "cidr:", "nets", make_cidr, "10.0.", ".7", 255 },
    { "regex:", "patterns", make_regex, "customer", ".example.net", FEW },
};

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The median and the 99th of a hundred, in microseconds. */
static void ask(struct map *m, const struct kind *k, float *median_r, float *p99_r)
{
    float *took = must_calloc(ASKS, sizeof *took);
    char key[64];
    size_t found = 0;
    for (size_t i = 0; i < ASKS; i++) {
        unsigned which = (unsigned)(i * 2654435761u % (2 * (uint64_t)k->keys));
        int n = snprintf(key, sizeof key, "%s%u%s", k->before, which, k->after);
        double began = seconds();
        found += map_lookup(m, span_of(key, (size_t)n), NULL) == 1;
        took[i] = (float)((seconds() - began) * 1e6);
    }
    MUST(found > ASKS / 4 && found < ASKS);
    qsort(took, ASKS, sizeof *took, compare);
    *median_r = took[ASKS / 2];
    *p99_r = took[ASKS / 100 * 99];
    free(took);
}

static bool measure(const struct kind *k, const char *dir)
{
    char path[512], spec[600];
    float median, p99;
    bool aliases = strcmp(k->spec, "aliases") == 0;
    struct map_params p = { .seed = 7, .format = aliases ? MAP_FORMAT_ALIASES : MAP_FORMAT_LINES };
    struct map_report r;
    snprintf(path, sizeof path, "%s/bench_maps.%d.%s", dir, (int)getpid(), k->file);
    snprintf(spec, sizeof spec, "%s%s", aliases ? "text:" : k->spec, path);
    k->make(path);
    map_report_init(&r);
    double began = seconds();
    struct map *m = map_open(span_str(spec), &p, &r);
    double load_s = seconds() - began;
    unlink(path);
    if (!m) {
        fprintf(stderr, "%s", buf_cstr(&r.lines));
        map_report_free(&r);
        return false;
    }
    ask(m, k, &median, &p99);
    bool good = load_s < LOAD_MAX_S && (double)median < LOOKUP_MAX_US;
    printf("%-8s %8zu entries  loaded in %.2f s  %5.0f MB  look-up %.2f us median, %.2f us p99%s\n",
           k->spec, map_stats(m).entries, load_s, (double)map_stats(m).bytes / 1e6,
           (double)median, (double)p99, good ? "" : "  TOO SLOW");
    map_free(&m);
    map_report_free(&r);
    return good;
}

int main(int argc, char **argv)
{
    bool good = true;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        good &= measure(&kinds[i], argc > 1 ? argv[1] : "/tmp");
    return good ? 0 : 1;
}
