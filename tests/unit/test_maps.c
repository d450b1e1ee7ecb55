#include "test.h"

#include "base/must.h"
#include "maps/map.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static struct map_params params = { .seed = 7 };

static char *temp_path(void)
{
    static char path[] = "/tmp/test_maps.XXXXXX";
    memcpy(path, "/tmp/test_maps.XXXXXX", sizeof path);
    int fd = mkstemp(path);
    MUST(fd >= 0);
    close(fd);
    return path;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    MUST(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static struct map *open_file(const char *type, const char *path, struct map_report *r)
{
    char spec[256];
    snprintf(spec, sizeof spec, "%s:%s", type, path);
    return map_open(span_str(spec), &params, r);
}

#define HIT(m, key, want, at) \
    do { \
        struct map_hit hit_; \
        CHECK_INT(map_lookup(m, SPAN(key), &hit_), 1); \
        CHECK_SPAN(hit_.value, SPAN(want)); \
        CHECK_INT(hit_.line, at); \
    } while (0)

static void text_format(void)
{
    char *path = temp_path();
    struct map_report r;
    map_report_init(&r);
    write_file(path, "# a comment\n\n   \t\nGmail.COM\trelay:[127.0.0.1]:2600  \r\n"
                     ".sub.net   error:5.7.1:550 no # not a comment\n"
                     "  # an indented comment\n\"q k\" v\nlast x");
    struct map *m = open_file("text", path, &r);
    CHECK(m);
    CHECK_INT(r.errors + r.warnings, 0);
    HIT(m, "gmail.com", "relay:[127.0.0.1]:2600", 4);
    HIT(m, "GMAIL.com", "relay:[127.0.0.1]:2600", 4);
    HIT(m, ".sub.net", "error:5.7.1:550 no # not a comment", 5);
    HIT(m, "\"q", "k\" v", 7);
    HIT(m, "last", "x", 8);
    CHECK_INT(map_lookup(m, SPAN("sub.net"), NULL), 0);
    CHECK_INT(map_lookup(m, SPAN(""), NULL), 0);
    CHECK_INT(map_stats(m).entries, 4);
    CHECK_INT(map_stats(m).lookups, 7);
    CHECK_INT(map_stats(m).hits, 5);
    CHECK_SPAN(map_source(m), span_str(path));
    map_free(&m);
    map_report_free(&r);
    unlink(path);
}

static void bad_lines(void)
{
    char *path = temp_path(), want[1024];
    struct map_report r;
    map_report_init(&r);
    write_file(path, "a x\nnovalue\n lead x\na y\n");
    struct map *m = open_file("text", path, &r);
    CHECK(!m);
    CHECK_INT(r.errors, 2);
    snprintf(want, sizeof want,
             "%s:2: error: no value for the key \"novalue\"\n"
             "%s:3: error: the line begins with white space\n", path, path);
    CHECK_SPAN(buf_span(&r.lines), span_str(want));
    map_report_free(&r);
    map_report_init(&r);
    write_file(path, "a x\nb z\nA y\n");
    m = open_file("text", path, &r);
    CHECK(m);
    CHECK_INT(r.warnings, 1);
    snprintf(want, sizeof want,
             "%s:3: warning: the key \"a\" stands in line 1 already; that one counts\n", path);
    CHECK_SPAN(buf_span(&r.lines), span_str(want));
    HIT(m, "a", "x", 1);
    CHECK_INT(map_stats(m).entries, 2);
    map_free(&m);
    map_report_free(&r);
    unlink(path);
}

/* A bad file keeps the old table and says so; a good one replaces it. */
static void reload(void)
{
    char *path = temp_path();
    struct map_report r;
    map_report_init(&r);
    write_file(path, "a old\nb gone\n");
    struct map *m = open_file("text", path, &r);
    CHECK(m);
    write_file(path, "a new\nbroken\n");
    CHECK(!map_reload(m, &r));
    CHECK(r.kept_old && r.errors == 1 && r.entries == 2);
    HIT(m, "a", "old", 1);
    unlink(path);
    CHECK(!map_reload(m, &r));
    HIT(m, "b", "gone", 2);
    write_file(path, "# moved\na new\n");
    CHECK(map_reload(m, &r));
    CHECK(!r.kept_old && r.entries == 1);
    HIT(m, "a", "new", 2);
    CHECK_INT(map_lookup(m, SPAN("b"), NULL), 0);
    CHECK_INT(map_stats(m).loads, 4);
    CHECK_INT(map_stats(m).bad_loads, 2);
    map_free(&m);
    map_report_free(&r);
    unlink(path);
}

static bool no_x(void *ctx, struct span key, struct span value, struct err *e)
{
    (void)ctx;
    if (span_find(value, 'x') == value.n)
        return true;
    err_set(e, "%.*s: an x", SPAN_ARG(key));
    return false;
}

static void checked(void)
{
    struct map_params p = { .seed = 7, .check = no_x };
    struct map_report r;
    map_report_init(&r);
    CHECK(!map_open(SPAN("inline:a y; b x; c x"), &p, &r));
    CHECK_SPAN(buf_span(&r.lines), SPAN("inline:2: error: b: an x\ninline:3: error: c: an x\n"));
    map_report_free(&r);
}

static void specs(void)
{
    static const struct {
        const char *spec, *says;
    } bad[] = {
        { "cdb:/x", "/x.cdb: error: cannot open" }, { "regex:/x", "cannot open" },
        { "hash -k2 /x", "the flag -k2 of" }, { "hash -o", "no file" },
        { "/etc/x", "\"text:/etc/x\"" }, { "ldap:/x", "no such type" },
        { "text:", "no file" },          { "text", "no such type" },
        { "text:/nonexistent/x", "cannot open: No such file" },
        { "text:/tmp", "not a regular file" }, { "null:x", "which a null map has not" },
        { "", "no such type" },
    };
    struct map_report r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        map_report_init(&r);
        CHECK(!map_open(span_str(bad[i].spec), &params, &r));
        CHECK_INT(r.errors, 1);
        if (!strstr(buf_cstr(&r.lines), bad[i].says))
            TEST_FAIL("%s: %s", bad[i].spec, buf_cstr(&r.lines));
        map_report_free(&r);
    }
    map_report_init(&r);
    struct map *m = map_open(SPAN("inline:A relay:[b]:25;  c d ;"), &params, &r);
    CHECK(m && !r.errors);
    HIT(m, "a", "relay:[b]:25", 1);
    HIT(m, "c", "d", 2);
    map_free(&m);
    m = map_open(SPAN("null:"), &params, &r);
    CHECK(m && map_lookup(m, SPAN("a"), NULL) == 0);
    map_free(&m);
    map_report_free(&r);
}

/* hash:FILE.db is the text FILE beside it; where there is only FILE.db, the cure is told. */
static void beside(void)
{
    char *path = temp_path(), db[64];
    struct map_report r;
    map_report_init(&r);
    snprintf(db, sizeof db, "%s.db", path);
    write_file(path, "a b\n");
    write_file(db, "binary");
    struct map *m = open_file("hash", db, &r);
    CHECK(m);
    HIT(m, "a", "b", 1);
    map_free(&m);
    char spec[128];
    snprintf(spec, sizeof spec, "hash -o %s", path);
    m = map_open(span_str(spec), &params, &r);
    CHECK(m);
    map_free(&m);
    unlink(path);
    CHECK(!open_file("btree", path, &r));
    CHECK(strstr(buf_cstr(&r.lines), "makemap -u hash"));
    unlink(db);
    m = map_open(span_str(spec), &params, &r);
    CHECK(m && r.warnings == 1 && map_stats(m).entries == 0);
    map_free(&m);
    map_report_free(&r);
}

static void ram(void)
{
    struct map *m = map_ram_new(SPAN("test"), 3);
    map_ram_set(m, SPAN("Key"), SPAN("one"), 1);
    HIT(m, "KEY", "one", 1);
    map_ram_set(m, SPAN("key"), SPAN("two"), 5);
    HIT(m, "key", "two", 5);
    CHECK_INT(map_stats(m).entries, 1);
    map_ram_fail(m, true);
    CHECK_INT(map_lookup(m, SPAN("key"), NULL), -1);
    map_free(&m);
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts); /* whatever else the machine does */
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A million lines in < 2 s, a look-up in < 5 us, of processor time; more for sanitizers. */
static void million(void)
{
    enum { LINES = 1000000, ASKS = 1000000 };
    char *path = temp_path(), key[64];
    FILE *f = fopen(path, "w");
    for (int i = 0; i < LINES; i++)
        fprintf(f, "customer%d.example.net\trelay:[mail%d.example.org]:25\n", i, i % 977);
    CHECK(fclose(f) == 0);
    struct map_report r;
    map_report_init(&r);
    double t0 = now_s();
    struct map *m = open_file("text", path, &r);
    double load_s = now_s() - t0;
    CHECK(m);
    CHECK_INT(map_stats(m).entries, LINES);
    t0 = now_s();
    int found = 0;
    for (int i = 0; i < ASKS; i++) {
        int n = snprintf(key, sizeof key, "Customer%lld.example.net",
                         (long long)i * 7919 % (LINES * 2));
        found += map_lookup(m, span_of(key, (size_t)n), NULL);
    }
    double lookup_us = (now_s() - t0) * 1e6 / ASKS;
    printf("# a million lines: loaded in %.2f s, %.0f MB; look-up %.2f us\n", load_s,
           (double)map_stats(m).bytes / 1e6, lookup_us);
    CHECK(found > ASKS / 3 && found < ASKS);
#ifdef __SANITIZE_ADDRESS__
    CHECK(load_s < 20 && lookup_us < 50);
#else
    CHECK(load_s < 2 && lookup_us < 5);
#endif
    map_free(&m);
    map_report_free(&r);
    unlink(path);
}

static const struct test tests[] = {
    TEST(text_format), TEST(bad_lines), TEST(reload), TEST(checked), TEST(specs),
    TEST(beside),      TEST(ram),       TEST(million),
};
TEST_MAIN(tests)
