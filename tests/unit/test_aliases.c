/* An aliases file: what sendmail's manual and its own texts say of it. */
#include "maps_bed.h"

static bool local_only(void *ctx, struct span domain)
{
    (void)ctx;
    return span_ieq(domain, SPAN("here.example"));
}

static const struct map_params params = {
    .seed = 7, .format = MAP_FORMAT_ALIASES, .is_local = local_only,
};

static void entries(void)
{
    struct bed b;
    bed_open(&b);
    bed_write(&b, "a", SPAN("\xef\xbb\xbf# head\n"
                            "Postmaster: root\n"
                            "list:  joe, \"Jane Doe\" <jane@example.net>,\n"
                            "\tjim ,\r\n"
                            "   :include:/etc/mail/list\n"
                            "\n"
                            "prog: \"|/usr/bin/vacation -a x joe\"\n"
                            "First  Last : first.last\n"
                            "\"Quoted: Name\": quoted\n"
                            "a\\:b: escaped\n"
                            "web@HERE.example: www\n"
                            "joined: one,\\\ntwo,\n three\n"
                            "owner-list:owner\n"
                            "last: /dev/null"));
    struct map *m = bed_map(&b, "text:", "a", &params);
    if (!m)
        TEST_FAIL("%s", buf_cstr(&b.r.lines));
    CHECK_INT(b.r.warnings, 0);
    CHECK_INT(map_stats(m).entries, 10);
    BED_HIT(m, "postMASTER", "root", 2);
    BED_HIT(m, "list", "joe, \"Jane Doe\" <jane@example.net>,\tjim ,   :include:/etc/mail/list", 3);
    BED_HIT(m, "prog", "\"|/usr/bin/vacation -a x joe\"", 7);
    BED_HIT(m, "first..last", "first.last", 8);
    BED_HIT(m, "quoted:.name", "quoted", 9);
    BED_HIT(m, "a:b", "escaped", 10);
    BED_HIT(m, "web", "www", 11);
    BED_HIT(m, "joined", "one,two, three", 12);
    BED_HIT(m, "owner-list", "owner", 15);
    BED_HIT(m, "last", "/dev/null", 16);
    map_free(&m);
    bed_close(&b);
}

/* Each with the text that sendmail has for it. */
static void bad_lines(void)
{
    static const char text[] =
        "dup: one\n"
        "DUP: two\n"
        "no colon here\n"
        "noval:\n"
        ": x\n"
        "good: x\n"
        "# a comment ends the entry\n"
        " stray: y\n"
        "\tstray again\n"
        "quote\"d: y\n"
        " a continuation\n"
        "a@b: c\n"
        "paren(s): c\n"
        "empty:   \n"
        "\t  \n";
    static const char *const says[] = {
        "a:2: warning: dup... Warning: duplicate alias name dup\n",
        "a:3: error: missing colon\n",
        "a:4: error: noval:... missing value for alias\n",
        "a:5: error: : x... illegal alias name\n",
        "a:8: error: Non-continuation line starts with space\n",
        "a:10: error: quote\"d: y a continuation... Unbalanced '\"'\n",
        "a:12: error: a@b... cannot alias non-local names\n",
        "a:13: error: paren(s): c... illegal alias name\n",
        "a:14: error: empty:   \t  ... missing value for alias\n",
    };
    struct bed b;
    bed_open(&b);
    bed_write(&b, "a", span_str(text));
    CHECK(!bed_map(&b, "hash:", "a", &params));
    for (size_t i = 1; i < sizeof says / sizeof *says; i++)
        BED_SAYS(&b, says[i]);
    CHECK_INT(b.r.errors, 8);
    bed_write(&b, "a", SPAN("dup: one\nDUP: two\nlist: a,\n # b\n"));
    struct map *m = bed_map(&b, "hash:", "a", &params);
    CHECK(m);
    BED_SAYS(&b, says[0]);
    BED_SAYS(&b, "a:4: warning: an indented # begins no comment");
    BED_HIT(m, "dup", "two", 2);
    CHECK_INT(map_stats(m).entries, 2);
    map_free(&m);
    bed_close(&b);
}

static void bounds(void)
{
    struct bed b;
    struct buf text;
    bed_open(&b);
    buf_init(&text, 4 << 20);
    bed_write(&b, "a", SPAN("a: b\0c\n"));
    CHECK(!bed_map(&b, "text:", "a", &params));
    BED_SAYS(&b, "a:1: error: a NUL byte");
    buf_putz(&text, "big: x");
    while (text.len < (5 << 18))
        buf_putz(&text, ",\n user@example.net");
    buf_putz(&text, "\nnext: y\n");
    bed_write(&b, "a", buf_span(&text));
    CHECK(!bed_map(&b, "text:", "a", &params));
    BED_SAYS(&b, "a:1: error: alias too long");
    CHECK_INT(b.r.errors, 1);
    buf_reset(&text);
    for (int i = 0; i < MAP_KEY_MAX + 1; i++)
        buf_putc(&text, 'k');
    buf_putz(&text, ": x\n");
    bed_write(&b, "a", buf_span(&text));
    CHECK(!bed_map(&b, "text:", "a", &params));
    BED_SAYS(&b, "illegal alias name");
    bed_write(&b, "a", SPAN(""));
    struct map *m = bed_map(&b, "text:", "a", &params);
    CHECK(m && map_stats(m).entries == 0);
    map_free(&m);
    m = map_open(SPAN("inline:root: joe; postmaster:  root, jim"), &params, &b.r);
    CHECK(m);
    BED_HIT(m, "postmaster", "root, jim", 2);
    map_free(&m);
    buf_free(&text);
    bed_close(&b);
}

static const struct test tests[] = { TEST(entries), TEST(bad_lines), TEST(bounds) };
TEST_MAIN(tests)
