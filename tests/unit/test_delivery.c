#include "mail/delivery.h"

#include "test.h"

static void methods(void)
{
    static const struct {
        const char *text;
        bool good;
        enum delivery_kind kind;
        const char *rest;
    } t[] = {
        { "mbox:/var/mail/%u", true, DELIVERY_MBOX, "/var/mail/%u" },
        { "maildir:%h/Maildir", true, DELIVERY_MAILDIR, "%h/Maildir" },
        { "Maildir:%h/.m/%d/", true, DELIVERY_MAILDIR, "%h/.m/%d/" },
        { "lmtp:[127.0.0.1]:24", true, DELIVERY_LMTP, "[127.0.0.1]:24" },
        { "lmtp:unix:/run/lmtp", true, DELIVERY_LMTP, "/run/lmtp" },
        { "program:/usr/bin/procmail -a %d -d %u", true, DELIVERY_PROGRAM,
          "/usr/bin/procmail -a %d -d %u" },
        { "mbox:mail/%u", false, 0, "" },
        { "mbox:%u", false, 0, "" },
        { "mbox:", false, 0, "" },
        { "mbox:/var/mail/%x", false, 0, "" },
        { "mbox:/var/mail/%", false, 0, "" },
        { "mbox:/var/mail\n/%u", false, 0, "" },
        { "program:procmail", false, 0, "" },
        { "program:/bin/a | /bin/b", false, 0, "" },
        { "mh:/x", false, 0, "" },
        { "", false, 0, "" },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct delivery d;
        struct err e;
        bool good = delivery_parse(span_str(t[i].text), &d, &e);
        if (good != t[i].good)
            TEST_FAIL("\"%s\" is %s", t[i].text, good ? "taken" : e.text);
        if (good)
            CHECK_SPAN(d.rest, span_str(t[i].rest));
        if (good)
            CHECK_INT(d.kind, t[i].kind);
    }
}

static const struct delivery_names ann = { { "ann", 3 }, { "list", 4 }, { "/home/ann", 9 },
                                           { "b@c.example", 11 } };

static void paths(void)
{
    struct buf b;
    struct err e;
    buf_init(&b, DELIVERY_PATH_MAX);
    CHECK(delivery_path(&b, SPAN("%h/M/%d%%/%u"), &ann, &e));
    CHECK_SPAN(buf_span(&b), SPAN("/home/ann/M/list%/ann"));
    static const char *const details[] = { "../bob", "..", ".", "a/b" };
    for (size_t i = 0; i < sizeof details / sizeof *details; i++) {
        struct delivery_names n = ann;
        n.detail = span_str(details[i]);
        buf_reset(&b);
        CHECK(!delivery_path(&b, SPAN("%h/M/%d"), &n, &e));
    }
    struct delivery_names homeless = ann;
    homeless.home = SPAN_NONE;
    buf_reset(&b);
    CHECK(!delivery_path(&b, SPAN("%h/M"), &homeless, &e));
    homeless.home = SPAN("rel");
    buf_reset(&b);
    CHECK(!delivery_path(&b, SPAN("%h/M"), &homeless, &e));
    buf_free(&b);
}

/* The words of a command, with "|" between them; NULL: refused. */
static void words_are(const char *command, const struct delivery_names *n, const char *want)
{
    const char *words[DELIVERY_WORDS_MAX + 1];
    struct arena *a = arena_new(1 << 20);
    struct err e = { "" };
    struct buf b;
    buf_init(&b, 1 << 16);
    bool ok = delivery_command(span_str(command), n, a, words, &e);
    for (size_t i = 0; ok && words[i]; i++)
        buf_printf(&b, "%s%s", i ? "|" : "", words[i]);
    if (ok != (want != NULL) || (ok && strcmp(buf_cstr(&b), want) != 0))
        printf("# %s: %s %s\n", command, ok ? buf_cstr(&b) : "refused:", e.text);
    CHECK(ok == (want != NULL));
    CHECK(!ok || strcmp(buf_cstr(&b), want) == 0);
    buf_free(&b);
    arena_free(&a);
}

static void commands(void)
{
    words_are("/bin/a b  c", NULL, "/bin/a|b|c");
    words_are("  /bin/a 'b c' \"d 'e'\" ", NULL, "/bin/a|b c|d 'e'");
    words_are("/bin/a b\\ c \"d\\\"e\" '' \"\"", NULL, "/bin/a|b c|d\"e||");
    words_are("/bin/a x'y'\"z\"", NULL, "/bin/a|xyz");
    words_are("/bin/a '$HOME;*|&'", NULL, "/bin/a|$HOME;*|&");
    words_are("/bin/a \"a;b\"", NULL, "/bin/a|a;b");
    words_are("/bin/a %u", NULL, "/bin/a|%u");
    static const char *const refused[] = {
        "", "   ", "a b", "exec /bin/a", "/bin/a; b", "/bin/a | b", "/bin/a > f", "/bin/a $X",
        "/bin/a \"$X\"", "/bin/a `b`", "/bin/a && b", "/bin/a 'b", "/bin/a \"b", "/bin/a *",
        "/bin/a ~/x", "/bin/a (b)", "/bin/a # b", "IFS=' ' /bin/a", "/bin/a\nb",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        words_are(refused[i], NULL, NULL);
}

static void filled(void)
{
    struct delivery_names n = ann;
    words_are("/bin/a %u x%d 100%% -f %s", &n, "/bin/a|ann|xlist|100%|-f|b@c.example");
    n.detail = SPAN("a b'\";|$(x)"); /* stays one word, and means nothing */
    words_are("/bin/a %d end", &n, "/bin/a|a b'\";|$(x)|end");
    n.detail = SPAN_NONE;
    words_are("/bin/a %d end", &n, "/bin/a||end");
    n.detail = SPAN("--help");
    words_are("/bin/a %d", &n, NULL);
    words_are("/bin/a x%d", &n, "/bin/a|x--help");
}

static void many(void)
{
    struct buf b;
    const char *words[DELIVERY_WORDS_MAX + 1];
    struct err e;
    buf_init(&b, 1 << 16);
    buf_putz(&b, "/bin/a");
    for (int i = 1; i < DELIVERY_WORDS_MAX; i++)
        buf_putz(&b, " b");
    struct arena *a = arena_new(1 << 20);
    CHECK(delivery_command(buf_span(&b), NULL, a, words, &e));
    CHECK(words[DELIVERY_WORDS_MAX] == NULL);
    buf_putz(&b, " c");
    CHECK(!delivery_command(buf_span(&b), NULL, a, words, &e));
    arena_free(&a);
    buf_reset(&b);
    buf_putz(&b, "/bin/");
    for (int i = 0; i < DELIVERY_PATH_MAX; i++)
        buf_putc(&b, 'x');
    a = arena_new(1 << 20);
    CHECK(!delivery_command(buf_span(&b), NULL, a, words, &e));
    arena_free(&a);
    buf_free(&b);
}

static void users(void)
{
    CHECK(delivery_user_ok(SPAN("ann")) && delivery_user_ok(SPAN("www-data")) &&
          delivery_user_ok(SPAN("a.b_c")));
    CHECK(!delivery_user_ok(SPAN("")) && !delivery_user_ok(SPAN("-a")) &&
          !delivery_user_ok(SPAN("..")) && !delivery_user_ok(SPAN("a/b")) &&
          !delivery_user_ok(SPAN("a b")) && !delivery_user_ok(span_of("a\0b", 3)));
}

static const struct test tests[] = { TEST(methods),  TEST(paths), TEST(commands),
                                     TEST(filled),   TEST(many),  TEST(users) };
TEST_MAIN(tests)
