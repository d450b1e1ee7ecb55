/* cdb, regex and cidr; each kind beside a naive model; files that change. */
#include "maps_bed.h"

#include <cdb.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

static const struct map_params params = { .seed = 7 };

/* --- cdb --- */

static void cdb_write(struct bed *b, const char *name, const char *const (*pairs)[2], size_t n)
{
    struct cdb_make make;
    bed_write(b, name, SPAN(""));
    int fd = open(b->path, O_RDWR | O_TRUNC);
    MUST(fd >= 0 && cdb_make_start(&make, fd) == 0);
    for (size_t i = 0; i < n; i++)
        MUST(cdb_make_add(&make, pairs[i][0], (unsigned)strlen(pairs[i][0]), pairs[i][1],
                          (unsigned)strlen(pairs[i][1])) == 0);
    MUST(cdb_make_finish(&make) == 0 && close(fd) == 0);
}

static void cdb_reads(void)
{
    static const char *const pairs[][2] = {
        { "gmail.com", "relay:[127.0.0.1] \r" }, { "dup", "first" }, { "dup", "second" },
        { "Upper", "x" },
    };
    struct bed b;
    bed_open(&b);
    cdb_write(&b, "m.cdb", pairs, 4);
    struct map *m = bed_map(&b, "cdb:", "m", &params);
    CHECK(m);
    BED_SAYS(&b, "1 keys are not in lower case");
    BED_HIT(m, "GMAIL.com", "relay:[127.0.0.1]", 0);
    BED_HIT(m, "dup", "first", 0);
    BED_MISS(m, "upper");
    BED_MISS(m, "gmail");
    CHECK_INT(map_stats(m).entries, 4);
    CHECK(strcmp(map_type(m), "cdb") == 0);
    map_free(&m);
    m = bed_map(&b, "cdb:", "m.cdb", &params);
    CHECK(m);
    map_free(&m);
    /* hash: means the text where there is one, else what makemap made */
    m = bed_map(&b, "hash -o ", "m.db", &params);
    CHECK(m && strcmp(map_type(m), "cdb") == 0);
    map_free(&m);
    bed_write(&b, "m", SPAN("dup text\n"));
    m = bed_map(&b, "hash -T<TMPF> -o ", "m", &params);
    CHECK(m && strcmp(map_type(m), "text") == 0);
    BED_HIT(m, "dup", "text", 1);
    map_free(&m);
    CHECK(!bed_map(&b, "cdb:", "none", &params));
    m = bed_map(&b, "cdb -o ", "none", &params);
    CHECK(m && b.r.warnings == 1);
    BED_MISS(m, "a");
    map_free(&m);
    bed_close(&b);
}

/* Cut anywhere, or with any byte changed, it is refused or answers; never read outside of it. */
static void cdb_damaged(void)
{
    static const char *const pairs[][2] = { { "a", "1" }, { "bb", "22" }, { "ccc", "333" } };
    char whole[4096], bad[4096];
    size_t refused = 0;
    struct bed b;
    bed_open(&b);
    cdb_write(&b, "m.cdb", pairs, 3);
    FILE *f = fopen(b.path, "r");
    size_t n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    for (size_t cut = 0; cut < n; cut++) {
        bed_write(&b, "m.cdb", span_of(whole, cut));
        CHECK(!bed_map(&b, "cdb:", "m", &params));
        CHECK(b.r.errors > 0);
    }
    for (size_t at = 0; at < n; at++) {
        memcpy(bad, whole, n);
        bad[at] = (char)(bad[at] ^ 0x55);
        bed_write(&b, "m.cdb", span_of(bad, n));
        struct map *m = bed_map(&b, "cdb:", "m", &params);
        CHECK((m != NULL) == (b.r.errors == 0));
        refused += !m;
        if (m) {
            map_lookup(m, SPAN("a"), NULL);
            map_lookup(m, SPAN("ccc"), NULL);
        }
        map_free(&m);
    }
    CHECK(refused > 30); /* all but bytes of values and of free slots */
    bed_close(&b);
}

/* --- regex --- */

static void regex_reads(void)
{
    struct bed b;
    struct map_hit hit;
    bed_open(&b);
    bed_write(&b, "r", SPAN("# comment\n\n"
                            "/^(.+)-request@(lists\\.[a-z]+)$/  owner-$1@${2} for $$5\n"
                            "!^/var/(\\w+)!i\t[$1][$0]\r\n"
                            "/^ a b # c\n/x never: the line ended\n"));
    CHECK(!bed_map(&b, "regex:", "r", &params));
    BED_SAYS(&b, "r:5: error: the pattern has no end");
    bed_write(&b, "r", SPAN("# comment\n\n"
                            "/^(.+)-request@(lists\\.[A-Z]+)$/  owner-$1@${2} for $$5\n"
                            "!^/var/(\\w+)!i\t[$1][$0]\r\n"
                            "/^ x (y)? z $/x one$1\n"
                            "|or\\|pipe| pipe\n/./ rest\n"));
    struct map *m = bed_map(&b, "regex:", "r", &params);
    if (!m)
        TEST_FAIL("%s", buf_cstr(&b.r.lines));
    BED_HIT(m, "Dev-Request@LISTS.org", "owner-dev@lists.org for $5", 3);
    BED_HIT(m, "/var/log", "[log][/var/log]", 4);
    BED_HIT(m, "xz", "one", 5);
    BED_HIT(m, "xyz", "oney", 5);
    BED_HIT(m, "or|pipe", "pipe", 6);
    BED_HIT(m, "a\nb", "rest", 7);
    /* values that a look-up made stay for some look-ups more */
    CHECK_INT(map_lookup(m, SPAN("/var/a"), &hit), 1);
    for (int i = 0; i < MAP_KEPT - 1; i++)
        map_lookup(m, SPAN("/var/b"), NULL);
    CHECK_SPAN(hit.value, SPAN("[a][/var/a]"));
    map_free(&m);
    bed_close(&b);
}

static void regex_refuses(void)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        { "/a(/ x\n", "r:1: error: the pattern, at its character 3: missing closing parenthesis" },
        { "/a/ x\n/[z-a]/ y\n", "r:2: error: the pattern, at its character" },
        { "/a/q x\n", "the flag \"q\" is not known" },
        { "/a/\n", "no value for the pattern /a/" },
        { "/a/ $1\n", "$1: the pattern has 0 groups" },
        { "/(a)/ $x\n", "behind $ stands a number" },
        { "/(a)/ ${1\n", "behind $ stands a number" },
        { "/(a)/ $\n", "behind $ stands a number" },
        { "abc x\n", "a line is /pattern/flags value" },
        { " /a/ x\n", "begins with white space" },
        { "/(*UTF)a/ x\n", "the pattern, at its character" },
    };
    struct bed b;
    bed_open(&b);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bed_write(&b, "r", span_str(bad[i].text));
        CHECK(!bed_map(&b, "regex:", "r", &params));
        BED_SAYS(&b, bad[i].says);
        CHECK_INT(b.r.errors, 1);
    }
    bed_write(&b, "r", SPAN("/a(/ x\n/a/ y\n/b(/ z\n"));
    CHECK(!bed_map(&b, "regex:", "r", &params));
    CHECK_INT(b.r.errors, 2);
    bed_close(&b);
}

/* A pattern that runs away is "no answer", soon; what it does not catch goes on. */
static void regex_limits(void)
{
    char key[64];
    struct bed b;
    bed_open(&b);
    bed_write(&b, "r", SPAN("/^(a+)+$/ evil\n/z/ after\n"));
    struct map *m = bed_map(&b, "regex:", "r", &params);
    CHECK(m);
    memset(key, 'a', sizeof key);
    key[sizeof key - 1] = 'z';
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    CHECK_INT(map_lookup(m, span_of(key, sizeof key), NULL), -1);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    CHECK(t1.tv_sec - t0.tv_sec < 10); /* unlimited, it would take years */
    BED_HIT(m, "z", "after", 2);
    BED_HIT(m, "aaaaaaaa", "evil", 1);
    map_free(&m);
    bed_close(&b);
}

/* --- cidr --- */

static void cidr_reads(void)
{
    struct bed b;
    bed_open(&b);
    bed_write(&b, "c", SPAN("# nets\n10.0.0.0/8 wide\n10.1.0.0/16\tmiddle one\n"
                            "10.1.2.3 host \r\n[2001:db8::]/32 six\n::/0 any six\n"
                            "10.0.0.0/8 again\n"));
    struct map *m = bed_map(&b, "cidr:", "c", &params);
    if (!m)
        TEST_FAIL("%s", buf_cstr(&b.r.lines));
    BED_SAYS(&b, "c:7: warning: the network 10.0.0.0/8 stands in line 2 already");
    CHECK_INT(b.r.warnings, 1);
    BED_HIT(m, "10.9.9.9", "wide", 2);
    BED_HIT(m, "10.1.9.9", "middle one", 3);
    BED_HIT(m, "10.1.2.3", "host", 4);
    BED_HIT(m, "[10.1.2.3]", "host", 4);
    BED_HIT(m, "2001:DB8::1", "six", 5);
    BED_HIT(m, "[IPv6:2001:db8::1]", "six", 5);
    BED_HIT(m, "IPv6:::1", "any six", 6);
    BED_HIT(m, "::ffff:10.1.2.3", "host", 4);
    BED_MISS(m, "11.0.0.1");
    BED_MISS(m, "10.1.2");
    BED_MISS(m, "example.net");
    CHECK_INT(map_stats(m).entries, 5);
    map_free(&m);
    bed_write(&b, "c", SPAN("10.0.0.1/8 bits\n10.0.0.0/33 x\n10.0.0.0/8\nname x\n"));
    CHECK(!bed_map(&b, "cidr:", "c", &params));
    CHECK_INT(b.r.errors, 4);
    BED_SAYS(&b, "c:3: error: no value for the network");
    bed_close(&b);
}

/* --- each kind against a naive model: the list of its lines, asked one after the other --- */

enum { MODEL_MAX = 400 };

struct model {
    char key[MODEL_MAX][40], value[MODEL_MAX][40];
    size_t n;
};

static uint64_t random_next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static int model_find(const struct model *mo, const char *key)
{
    for (size_t i = 0; i < mo->n; i++)
        if (strcasecmp(mo->key[i], key) == 0)
            return (int)i;
    return -1;
}

static void model_key(uint64_t *s, char *key, size_t size)
{
    static const char *const parts[] = { "a", "B", "example", "net", "user@x", "+d", "-", "_" };
    key[0] = 0;
    for (uint64_t n = random_next(s) % 3 + 1; n--;) {
        const char *part = parts[random_next(s) % 8];
        size_t at = strlen(key);
        snprintf(key + at, size - at, "%s", part);
    }
}

static void model_text(const struct model *mo, const char *form, struct buf *text)
{
    for (size_t i = 0; i < mo->n; i++) {
        if (form[0] == 'r')
            buf_printf(text, "/^\\Q%s\\E$/ %s\n", mo->key[i], mo->value[i]);
        else
            buf_printf(text, "%s%s%s\n", mo->key[i], form[0] == 'a' ? ": " : "\t", mo->value[i]);
    }
}

static int answers_as_model(struct map *m, const struct model *mo, uint64_t *s, bool last)
{
    char key[40];
    for (int i = 0; i < 300; i++) {
        struct map_hit hit;
        model_key(s, key, sizeof key);
        int want = model_find(mo, key), got = map_lookup(m, span_str(key), &hit);
        for (size_t k = 0; last && want >= 0 && k < mo->n; k++)
            if (strcasecmp(mo->key[k], key) == 0)
                want = (int)k;
        if (got != (want >= 0))
            return i;
        if (got && !span_eq(hit.value, span_str(mo->value[want])))
            return i;
        if (got && hit.line && hit.line != (uint32_t)want + 1)
            return i;
    }
    return -1;
}

static void kinds_answer_as_the_model(void)
{
    struct bed b;
    struct buf text;
    bed_open(&b);
    buf_init(&text, 1 << 20);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct model mo = { .n = seed * 3 };
        uint64_t s = seed * 0x9e3779b97f4a7c15u;
        const char *pairs[MODEL_MAX][2];
        char low[MODEL_MAX][40];
        for (size_t i = 0; i < mo.n; i++) {
            model_key(&s, mo.key[i], sizeof mo.key[i]);
            snprintf(mo.value[i], sizeof mo.value[i], "value %zu", i);
            for (size_t k = 0; k < sizeof low[i]; k++)
                low[i][k] = ascii_lower(mo.key[i][k]);
            pairs[i][0] = low[i];
            pairs[i][1] = mo.value[i];
        }
        static const char *const types[] = { "text:", "regex:", "aliases" };
        for (int k = 0; k < 3; k++) {
            struct map_params p = { .seed = seed };
            buf_reset(&text);
            model_text(&mo, types[k], &text);
            bed_write(&b, "f", buf_span(&text));
            if (k == 2) {
                p.format = MAP_FORMAT_ALIASES;
                for (size_t i = 0; i < mo.n; i++) /* addresses are no aliases: not in this form */
                    for (char *at; (at = strchr(mo.key[i], '@'));)
                        *at = '%';
                buf_reset(&text);
                model_text(&mo, types[k], &text);
                bed_write(&b, "f", buf_span(&text));
            }
            struct map *m = bed_map(&b, k == 2 ? "text:" : types[k], "f", &p);
            if (!m)
                TEST_FAIL("seed %" PRIu64 ": %s", seed, buf_cstr(&b.r.lines));
            CHECK_INT(answers_as_model(m, &mo, &s, k == 2), -1);
            map_free(&m);
            if (k == 0) {
                cdb_write(&b, "f.cdb", pairs, mo.n);
                m = bed_map(&b, "cdb:", "f", &p);
                CHECK(m);
                CHECK_INT(answers_as_model(m, &mo, &s, false), -1);
                map_free(&m);
            }
        }
    }
    buf_free(&text);
    bed_close(&b);
}

/* The longest of the networks that hold the address, by asking each. */
static void cidr_answers_as_the_model(void)
{
    struct bed b;
    struct buf text;
    bed_open(&b);
    buf_init(&text, 1 << 20);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t s = seed * 0x9e3779b97f4a7c15u;
        uint32_t net[64], bits[64];
        buf_reset(&text);
        for (int i = 0; i < 64; i++) {
            bits[i] = (uint32_t)(random_next(&s) % 33);
            uint32_t mask = bits[i] ? ~0u << (32 - bits[i]) : 0;
            net[i] = ((uint32_t)random_next(&s) & 0x03070f1f) & mask;
            buf_printf(&text, "%u.%u.%u.%u/%u v%d\n", net[i] >> 24, net[i] >> 16 & 255,
                       net[i] >> 8 & 255, net[i] & 255, bits[i], i);
        }
        bed_write(&b, "c", buf_span(&text));
        struct map *m = bed_map(&b, "cidr:", "c", &params);
        CHECK(m);
        for (int k = 0; k < 300; k++) {
            uint32_t ip = (uint32_t)random_next(&s) & 0x03070f1f;
            int want = -1;
            for (int i = 0; i < 64; i++)
                if ((bits[i] ? (ip ^ net[i]) >> (32 - bits[i]) : 0) == 0 &&
                    (want < 0 || bits[i] > bits[want]))
                    want = i;
            char key[32], value[16];
            struct map_hit hit;
            snprintf(key, sizeof key, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
                     ip & 255);
            snprintf(value, sizeof value, "v%d", want);
            CHECK_INT(map_lookup(m, span_str(key), &hit), want >= 0);
            if (want >= 0)
                CHECK_SPAN(hit.value, span_str(value));
        }
        map_free(&m);
    }
    buf_free(&text);
    bed_close(&b);
}

/* --- files that change --- */

static void refreshed(void)
{
    char other[160];
    struct bed b;
    bed_open(&b);
    bed_write(&b, "t", SPAN("a one\n"));
    struct map *m = bed_map(&b, "text:", "t", &params);
    CHECK(m);
    CHECK(!map_changed(m));
    CHECK_INT(map_refresh(m, &b.r), 0);
    CHECK_INT(map_stats(m).loads, 1);
    bed_write(&b, "t", SPAN("a three\nb bad\nbroken\n"));
    CHECK(map_changed(m));
    CHECK_INT(map_refresh(m, &b.r), -1);
    BED_SAYS(&b, "t:3: error: no value for the key \"broken\"");
    CHECK(b.r.kept_old);
    BED_HIT(m, "a", "one", 1);
    CHECK_INT(map_refresh(m, &b.r), 0); /* said once */
    CHECK_INT(b.r.errors, 1);
    bed_write(&b, "t", SPAN("# mended\na three\n"));
    CHECK_INT(map_refresh(m, &b.r), 1);
    BED_HIT(m, "a", "three", 2);
    /* a rename into place, the same in size and time */
    snprintf(other, sizeof other, "%s.new", b.path);
    FILE *f = fopen(other, "w");
    MUST(f && fputs("# mended\na seven\n", f) >= 0 && fclose(f) == 0);
    struct stat st;
    MUST(stat(b.path, &st) == 0);
    MUST(utimensat(AT_FDCWD, other, (struct timespec[]){ st.st_atim, st.st_mtim }, 0) == 0);
    MUST(rename(other, b.path) == 0);
    CHECK_INT(map_refresh(m, &b.r), 1);
    BED_HIT(m, "a", "seven", 2);
    MUST(unlink(b.path) == 0);
    CHECK_INT(map_refresh(m, &b.r), -1);
    CHECK_INT(map_refresh(m, &b.r), 0);
    BED_HIT(m, "a", "seven", 2);
    bed_write(&b, "t", SPAN("a back\n"));
    CHECK_INT(map_refresh(m, &b.r), 1);
    BED_HIT(m, "a", "back", 1);
    map_free(&m);
    bed_close(&b);
}

/* An optional file may come and go. */
static void optional_comes_and_goes(void)
{
    static const char *const types[] = { "text -o ", "regex -o ", "cidr -o " };
    static const char *const texts[] = { "10.0.0.1 x\n", "/10.0.0.1/ x\n", "10.0.0.1 x\n" };
    struct bed b;
    bed_open(&b);
    for (int i = 0; i < 3; i++) {
        struct map *m = bed_map(&b, types[i], "o", &params);
        CHECK(m && b.r.warnings == 1);
        BED_MISS(m, "10.0.0.1");
        CHECK_INT(map_refresh(m, &b.r), 0);
        bed_write(&b, "o", span_str(texts[i]));
        CHECK_INT(map_refresh(m, &b.r), 1);
        BED_HIT(m, "10.0.0.1", "x", 1);
        MUST(unlink(b.path) == 0);
        CHECK_INT(map_refresh(m, &b.r), 1);
        BED_MISS(m, "10.0.0.1");
        map_free(&m);
    }
    struct map *null = map_null_new();
    CHECK(!map_changed(null));
    map_free(&null);
    bed_close(&b);
}

static const struct test tests[] = {
    TEST(cdb_reads),   TEST(cdb_damaged),  TEST(regex_reads),
    TEST(regex_refuses), TEST(regex_limits), TEST(cidr_reads),
    TEST(kinds_answer_as_the_model), TEST(cidr_answers_as_the_model),
    TEST(refreshed),   TEST(optional_comes_and_goes),
};
TEST_MAIN(tests)
