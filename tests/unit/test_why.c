/* `postern why` without a gateway: how its lines are laid out, and what of the log is read. */
#include "test.h"

#include "base/must.h"
#include "cli/why_words.h"
#include "envelope/queueid.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>
#include <zlib.h>

/* --- layout --- */

static void lines_are_broken(void)
{
    static const struct {
        const char *text, *want;
        unsigned width;
        bool colour;
    } cases[] = {
        { "one two three\n", "one two three\n", 13, false },
        { "one two three\n", "one two\n  three\n", 12, false },
        { "    one two three four\n", "    one two\n      three\n      four\n", 11, false },
        /* a word is never broken; what stands in columns stays there */
        { "  a averyverylongword b\n", "  a averyverylongword\n    b\n", 10, false },
        { "  id      " WHY_HANG "does this and that\n",
          "  id      does this\n          and that\n", 20, false },
        { "\xc3\xa4\xc3\xa4 \xc3\xa4\xc3\xa4\n", "\xc3\xa4\xc3\xa4 \xc3\xa4\xc3\xa4\n", 5, false },
        { "  " WHY_HEAD "Head\n" WHY_WARN "look out\n", "  Head\nlook out\n", 80, false },
        { "  " WHY_HEAD "Head\n" WHY_WARN "look out\n",
          "  \033[1mHead\033[0m\n\033[33;1mlook out\033[0m\n", 80, true },
        { "", "", 80, true },
        { "\n\n", "\n\n", 80, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 4096);
        why_layout(&b, span_str(cases[i].text), cases[i].width, cases[i].colour);
        CHECK_SPAN(buf_span(&b), span_str(cases[i].want));
        buf_free(&b);
    }
}

/* --- logs --- */

static char folder[] = "/tmp/test_why.XXXXXX";

static void put_file(const char *name, const char *text, int age_s)
{
    char path[200];
    struct utimbuf when = { time(NULL) - age_s, time(NULL) - age_s };
    snprintf(path, sizeof path, "%s/%s", folder, name);
    bool packed = span_ends(span_str(name), SPAN(".gz"));
    gzFile f = gzopen(path, packed ? "w" : "wT");
    CHECK(f && gzputs(f, text) == (int)strlen(text) && gzclose(f) == Z_OK);
    CHECK(utime(path, &when) == 0);
}

static void look(const char *log, bool events, const char *word, struct why_log *l)
{
    char path[200];
    struct config cfg;
    memset(&cfg, 0, sizeof cfg);
    snprintf(path, sizeof path, "%s/%s", folder, log);
    *(events ? &cfg.log.events : &cfg.log.file) = span_str(path);
    why_log_read(&cfg, word, l);
}

static size_t unread(const struct why_log *l)
{
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(l->files); i++)
        n += !row_true(json_array_get(l->files, i), "read");
    return n;
}

static bool says(const struct why_log *l, const char *events)
{
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < json_array_size(l->events); i++)
        buf_printf(&b, "%s%s", i ? " " : "",
                   json_string_value(json_object_get(json_array_get(l->events, i), "event")));
    bool good = span_eq(buf_span(&b), span_str(events));
    if (!good)
        printf("# said \"%s\"\n", buf_cstr(&b));
    buf_free(&b);
    return good;
}

static void events_of_rotated_logs(void)
{
    enum { DAY_S = 86400 };
    struct queueid id = queueid_make(77, (time(NULL) - 3 * DAY_S / 2) * (int64_t)1000);
    struct queueid other = queueid_make(78, time(NULL) * (int64_t)1000);
    struct why_log l;
    char text[600];
    snprintf(text, sizeof text, "{\"time\":\"2\",\"event\":\"deferred\",\"id\":\"%s\","
                                "\"to\":\"C@d.example\"}\n"
                                "{\"time\":\"1\",\"event\":\"received\",\"id\":\"%s\","
                                "\"from\":\"a@b.example\"}\n",
             id.text, id.text);
    put_file("ev.2.gz", text, DAY_S);
    put_file("ev.3", "{\"event\":\"connected\",\"id\":\"cannot be read\"\n", 2 * DAY_S);
    put_file("ev.4.xz", "?", 3 * DAY_S);
    put_file("evening.1", text, 10);
    snprintf(text, sizeof text, "{\"time\":\"3\",\"event\":\"delivered\",\"id\":\"%s\","
                                "\"to\":\"c@D.example\","
                                "\"relay\":\"mx1.d.example 192.0.2.1:25\"}\n",
             id.text);
    put_file("ev-20261119", text, 3600);
    snprintf(text, sizeof text, "{\"event\":\"received\",\"id\":\"%s\"}\n", other.text);
    put_file("ev", text, 0);
    look("ev", true, id.text, &l);
    CHECK(says(&l, "received deferred delivered"));
    CHECK_INT(json_array_size(l.files), 3); /* where it came in was found: nothing older is read */
    why_log_free(&l);
    look("ev", true, "c@d.EXAMPLE", &l);
    CHECK(says(&l, "deferred delivered"));
    CHECK_INT(unread(&l), 1);
    why_log_free(&l);
    look("ev", true, "b.example", &l);
    CHECK(says(&l, "received"));
    why_log_free(&l);
    look("ev", true, "mx1.d.example", &l);
    CHECK(says(&l, "delivered"));
    why_log_free(&l);
    look("ev", true, "192.0.2.1", &l);
    CHECK(says(&l, "delivered"));
    why_log_free(&l);
    look("ev", true, "example", &l);
    CHECK(says(&l, ""));
    why_log_free(&l);
}

static void without_events(void)
{
    struct queueid id = queueid_make(79, time(NULL) * (int64_t)1000);
    struct why_log l;
    char text[300];
    snprintf(text, sizeof text, "Nov 20 17:00:00 h postern[1]: %s: to=<a@b>, stat=Sent\n",
             id.text);
    put_file("mail.log", "Nov 20 17:00:01 h postern[1]: nothing\n", 0);
    put_file("mail.log.1", text, 0);
    look("mail.log", false, id.text, &l);
    CHECK_INT(json_array_size(l.events), 1);
    CHECK_SPAN(row_text(json_array_get(l.events, 0), "line"),
               span_to(span_str(text), strlen(text) - 1));
    why_log_free(&l);
    look("nowhere/mail.log", false, id.text, &l);
    CHECK_INT(unread(&l), 1);
    why_log_free(&l);
}

/* A torn or damaged file: said, and what was before it counts. */
static void damaged(void)
{
    struct why_log l;
    char path[200];
    put_file("torn", "", 0);
    put_file("torn.1.gz", "{\"event\":\"received\",\"id\":\"x\",\"to\":\"a@b.example\"}\n", 0);
    snprintf(path, sizeof path, "%s/torn.1.gz", folder);
    struct stat st;
    CHECK(stat(path, &st) == 0 && truncate(path, st.st_size - 3) == 0);
    look("torn", true, "a@b.example", &l);
    CHECK(says(&l, "received"));
    why_log_free(&l);
}

/* A log that goes into a pipe is for who reads that, and would be waited for. */
static void no_file(void)
{
    struct why_log l;
    char path[200];
    snprintf(path, sizeof path, "%s/pipe", folder);
    CHECK(mkfifo(path, 0600) == 0);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    static const char line[] = "{\"event\":\"received\",\"to\":\"a@b.example\"}\n";
    char back[sizeof line];
    CHECK(fd >= 0 && write(fd, line, sizeof line - 1) == sizeof line - 1);
    alarm(100);
    look("pipe", true, "a@b.example", &l);
    alarm(0);
    CHECK(says(&l, ""));
    CHECK_SPAN(row_text(json_array_get(l.files, 0), "why"), SPAN("it is no file"));
    CHECK(read(fd, back, sizeof back) == sizeof line - 1);
    close(fd);
    why_log_free(&l);
}

/* What a crash leaves of a file, packed: little to keep, much to read. */
static void zeros(void)
{
    static char zeros[1 << 20];
    struct why_log l;
    char path[200];
    put_file("zeros", "", 0);
    snprintf(path, sizeof path, "%s/zeros.1.gz", folder);
    gzFile f = gzopen(path, "w1");
    for (int i = 0; f && i < 70; i++)
        CHECK(gzwrite(f, zeros, sizeof zeros) == sizeof zeros);
    CHECK(f && gzclose(f) == Z_OK);
    look("zeros", true, "b.example", &l);
    CHECK_SPAN(row_text(json_array_get(l.files, 1), "why"), SPAN("not to its end, it is long"));
    why_log_free(&l);
}

/* Of a log too long to be read, what is younger than a message is found by its time. */
static void long_log(void)
{
    enum { LINES = 3000, PAD = 50000, IDS = 3 };
    /* lines about each; the second one of the first stands in what is not read */
    static const int at[IDS][3] = { { 10, 1500, 2990 }, { 1510, 1520, 1530 }, { -1, -1, -1 } };
    static const char *const events[] = { "received", "deferred", "delivered" };
    static char pad[PAD + 1];
    int64_t first_s = time(NULL) - 2 * LINES;
    struct queueid ids[IDS];
    struct why_log l;
    char path[200], when[40];
    memset(pad, 'x', PAD);
    for (int i = 0; i < IDS; i++)
        ids[i] = queueid_make((uint64_t)i + 1, (first_s + (at[i][0] < 0 ? 100 : at[i][0])) * 1000);
    snprintf(path, sizeof path, "%s/long", folder);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    for (int n = 0; f && n < LINES; n++) {
        time_t now = (time_t)first_s + n;
        const char *id = "none", *event = "nothing";
        for (int i = 0; i < IDS; i++)
            for (int k = 0; k < 3; k++)
                if (at[i][k] == n) {
                    id = ids[i].text;
                    event = events[k];
                }
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S.000Z", gmtime(&now));
        fprintf(f,
                "{\"time\":\"%s\",\"event\":\"%s\",\"id\":\"%s\",\"to\":\"a@b.example\","
                "\"text\":\"%s\"}\n",
                when, event, id, pad);
    }
    CHECK(f && fclose(f) == 0);
    look("long", true, ids[0].text, &l);
    CHECK(says(&l, "received delivered"));
    struct span why = row_text(json_array_get(l.files, 0), "why");
    CHECK(span_starts(why, SPAN("it is long: not what it says between 20")));
    why_log_free(&l);
    look("long", true, ids[1].text, &l);
    CHECK(says(&l, "received deferred delivered"));
    CHECK_INT(unread(&l), 0);
    why_log_free(&l);
    look("long", true, ids[2].text, &l);
    CHECK(says(&l, ""));
    why_log_free(&l);
    look("long", true, "b.example", &l);
    CHECK_INT(json_array_size(l.events), 20);
    why = row_text(json_array_get(l.files, 0), "why");
    CHECK(span_starts(why, SPAN("it is long: only what it says since 20")));
    why_log_free(&l);
}

/* What was done to mail for an address, in events that do not name it. */
static void who_deleted_it(void)
{
    struct why_log l;
    put_file("acts", "{\"time\":\"1\",\"event\":\"routed\",\"id\":\"a\",\"to\":\"a@b.example\"}\n"
                     "{\"time\":\"2\",\"event\":\"routed\",\"id\":\"b\",\"to\":\"a@c.example\"}\n"
                     "{\"time\":\"3\",\"event\":\"admin_deleted\",\"id\":\"b\",\"text\":\"x\"}\n"
                     "{\"time\":\"4\",\"event\":\"admin_deleted\",\"id\":\"a\",\"text\":\"y\"}\n",
             0);
    look("acts", true, "a@b.example", &l);
    CHECK(says(&l, "routed admin_deleted"));
    CHECK_SPAN(row_text(json_array_get(l.events, 1), "text"), SPAN("y"));
    why_log_free(&l);
}

/* --- what is shown of what was said --- */

static json_t *rows(const char *text)
{
    json_error_t e;
    json_t *list = json_loads(text, 0, &e);
    MUST(list);
    return list;
}

static unsigned times(struct span s, const char *what)
{
    struct span want = span_str(what);
    unsigned n = 0;
    for (; s.n >= want.n; s = span_from(s, 1))
        n += span_starts(s, want);
    return n;
}

/* A recipient is the one that was asked for in whichever spelling its domain came. */
static void spellings_of_a_domain(void)
{
    static const struct {
        const char *is, *target, *left;
    } cases[] = {
        { "address", "zz@xn--bcher-kva.test", "13" }, { "address", "zz@xn--bcher-kva.TEST", "13" },
        { "address", "zz@bcher.test", "" },           { "domain", "xn--bcher-kva.test", "123" },
        { "domain", "b.test", "4" },                  { "address", "root", "5" },
        { "address", "\"a@b\"@c.test", "6" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why w = {
            .rcpts = rows("[{\"rcpt\":1,\"to\":\"zz@b\u00fccher.test\"},"
                          "{\"rcpt\":2,\"to\":\"yy@B\u00dcCHER.test\"},"
                          "{\"rcpt\":3,\"to\":\"ZZ@xn--bcher-kva.test\"},"
                          "{\"rcpt\":4,\"to\":\"zz@b.test\"},{\"rcpt\":5,\"to\":\"root\"},"
                          "{\"rcpt\":6,\"to\":\"\\\"a@b\\\"@c.test\"}]"),
            .attempts = rows("[{\"recipients\":[1]},{\"recipients\":[9]}]"),
            .group = json_pack("{s:s,s:s}", "is", cases[i].is, "target", cases[i].target),
        };
        char left[8] = "";
        why_keep_asked(&w);
        for (size_t k = 0; k < json_array_size(w.rcpts) && k < sizeof left - 1; k++)
            left[k] = (char)('0' + row_int(json_array_get(w.rcpts, k), "rcpt"));
        CHECK_SPAN(span_str(left), span_str(cases[i].left));
        CHECK_INT(json_array_size(w.attempts), strchr(cases[i].left, '1') != NULL);
        json_decref(w.rcpts);
        json_decref(w.attempts);
        json_decref(w.group);
    }
}

/* One failure of a long message, which several deliveries met, is told once, with whom it was
 * about; recipients that are no rows count, too. */
static void one_failure(void)
{
    static const char attempt[] =
        "{\"recipient_count\":100,\"recipients\":[%d],\"at_ms\":%d,\"ms\":1,\"stage\":\"%s\","
        "\"said\":\"Connection refused by a.\",\"destination\":\"mx:x.test\",\"dialogue\":["
        "{\"ms\":0,\"host\":\"a 192.0.2.1:25\"},"
        "{\"ms\":%d,\"note\":\"Connection refused by a.\"}]}";
    struct buf b, out;
    buf_init(&b, 8192);
    buf_init(&out, 8192);
    buf_putc(&b, '[');
    for (int i = 0; i < 3; i++) {
        buf_printf(&b, attempt, 500 + i, 1000 + i, "connect", i);
        buf_putc(&b, ',');
    }
    buf_printf(&b, attempt, 1, 1000, "greeting", 0);
    buf_putc(&b, ']');
    struct why w = { .rcpts = rows("[{\"rcpt\":0},{\"rcpt\":1,\"to\":\"u@x.test\"}]"),
                     .attempts = rows(buf_cstr(&b)), .now_ms = 2000 };
    struct why_show s = { .out = &out, .w = &w };
    why_show_attempts(&s);
    CHECK_INT(times(buf_span(&out), "The attempt for 100 recipients "), 2);
    CHECK_INT(times(buf_span(&out), "      the same then in 2 others, for 200 recipients\n"), 1);
    CHECK_INT(times(buf_span(&out), " ended after "), 2);
    json_decref(w.rcpts);
    json_decref(w.attempts);
    buf_free(&b);
    buf_free(&out);
}

/* What a name is called elsewhere in the log: the other spelling of its domain, the hosts of a
 * site, quotes as JSON has them, the brackets of an address. */
static void names_of_a_log(void)
{
    static const struct {
        const char *word, *events;
    } cases[] = {
        { "zz@xn--bcher-kva.test", "one" },  { "zz@b\xc3\xbc" "cher.test", "one" },
        { "b\xc3\xbc" "cher.test", "one" },   { "xn--bcher-kva.test", "one" },
        { "\"a b\"@c.test", "two" },         { "mx:mx1.c.test,mx2.c.test", "two three" },
        { "mx:mx2.c.test by:big", "three" }, { "host:[192.0.2.1]:25", "two" },
        { "192.0.2.1", "two" },              { "[192.0.2.1]", "two four" },
        { "[IPv6:2001:db8::1]", "three" },   { "2001:db8::1", "three" },
        { "mx:c.test", "two three" },        { "mx", "" },
        { "mx:", "" },                       { "host:", "" },
    };
    put_file("names", "{\"time\":\"1\",\"event\":\"one\",\"to\":\"zz@b\xc3\xbc" "cher.test\"}\n"
                      "{\"time\":\"2\",\"event\":\"two\",\"to\":\"\\\"a b\\\"@c.test\","
                      "\"relay\":\"mx1.c.test [192.0.2.1]:25\"}\n"
                      "{\"time\":\"3\",\"event\":\"three\",\"to\":\"x@c.test\","
                      "\"relay\":\"mx2.c.test [2001:db8::1]:25\"}\n"
                      "{\"time\":\"4\",\"event\":\"four\",\"to\":\"x@[192.0.2.1]\"}\n",
             0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why_log l;
        look("names", true, cases[i].word, &l);
        if (!says(&l, cases[i].events))
            TEST_FAIL("of %s", cases[i].word);
        why_log_free(&l);
    }
}

/* Reports in any number leave what became of the mail, and their own for it. */
static void many_reports(void)
{
    enum { MANY = 57, SHOWN = 20 };
    struct buf b;
    struct why_log l;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < MANY; i++)
        buf_printf(&b, "{\"time\":\"1%02d\",\"event\":\"failed\",\"id\":\"i%d\","
                       "\"to\":\"u%d@gone.test\",\"reason\":\"Host unknown\"}\n", i, i, i);
    for (int i = 0; i < MANY; i++)
        buf_printf(&b, "{\"time\":\"2%02d\",\"event\":\"dsn_sent\",\"id\":\"i%d\","
                       "\"to\":\"s@from.test\",\"text\":\"r%d\"}\n", i, i, i);
    put_file("reports", buf_cstr(&b), 0);
    look("reports", true, "gone.test", &l);
    CHECK_INT(json_array_size(l.events), 2 * SHOWN);
    CHECK_SPAN(row_text(json_array_get(l.events, 0), "id"), SPAN("i37"));
    CHECK_SPAN(row_text(json_array_get(l.events, SHOWN), "text"), SPAN("r37"));
    struct why w = { .target = "gone.test", .log = l, .log_read = true, .exit = 66 };
    struct why_page page = { .width = 100 };
    buf_reset(&b);
    why_show(&b, &w, NULL, &page);
    CHECK(strstr(buf_cstr(&b), "i56: <u56@gone.test> was given up") != NULL);
    CHECK(strstr(buf_cstr(&b), "its sender <s@from.test> was told, by r56") != NULL);
    buf_free(&b);
    why_log_free(&l);
}

static const char *shown(struct buf *b, const char *rcpts)
{
    struct why w = { .target = "x", .rcpts = rows(rcpts), .now_ms = 1000000,
                     .message = json_pack("{s:s,s:b}", "id", "x", "readable", 1) };
    struct why_page page = { .width = 1000, .part = WHY_FACTS };
    buf_reset(b);
    why_show(b, &w, NULL, &page);
    json_decref(w.rcpts);
    json_decref(w.message);
    return buf_cstr(b);
}

/* Who rests does not keep the others from their end; who is told is what NOTIFY makes of it. */
static void how_it_would_end(void)
{
#define GIVEN_UP "What has not been delivered then is given up, and "
#define LATER "\"state\":\"deferred\",\"expires_ms\":1025000,\"tells\":"
    static const char *const resting = "What is held or waits for a queue run does not expire.";
    static const char *const nothing = "Nothing expires while it is held or waits";
    static const struct {
        const char *rcpts, *says, *silent;
    } cases[] = {
        { "[{\"to\":\"a\"," LATER "\"sender\"}]", GIVEN_UP "its sender told, in 25s", NULL },
        { "[{\"to\":\"a\"," LATER "\"nobody\"}]",
          GIVEN_UP "nobody told, as its sender asked, in 25s", "its sender told" },
        { "[{\"to\":\"a\"," LATER "\"postmaster\"}]", GIVEN_UP "the postmaster told",
          "its sender" },
        { "[{\"to\":\"a\"," LATER "\"nobody\"},{\"to\":\"b\"," LATER "\"sender\"}]",
          GIVEN_UP "its sender told where he asked to be, in", NULL },
        { "[{\"to\":\"a\"," LATER "\"alarm\"}]", "then is held for a person", "given up" },
        { "[{\"to\":\"a\"," LATER "\"sender\"},{\"to\":\"b\",\"state\":\"held\"}]",
          GIVEN_UP "its sender told, in 25s", nothing },
        { "[{\"to\":\"a\"," LATER "\"sender\"},{\"to\":\"b\",\"state\":\"waiting\"}]", resting,
          nothing },
        { "[{\"to\":\"a\",\"state\":\"held\"}]", nothing, "given up" },
    };
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = shown(&b, cases[i].rcpts);
        if (!strstr(text, cases[i].says) || (cases[i].silent && strstr(text, cases[i].silent)))
            TEST_FAIL("%s: %s", cases[i].rcpts, text);
    }
    buf_free(&b);
}

static void begin(void) { CHECK(mkdtemp(folder) != NULL); }

static void end(void)
{
    char command[300];
    snprintf(command, sizeof command, "%s", folder);
    static const char *const names[] = { "ev", "ev-20261119", "ev.2.gz", "ev.3", "ev.4.xz",
                                         "evening.1", "mail.log", "mail.log.1", "torn",
                                         "torn.1.gz", "pipe", "zeros", "zeros.1.gz", "long",
                                         "acts", "names", "reports" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(command, sizeof command, "%s/%s", folder, names[i]);
        unlink(command);
    }
    CHECK(rmdir(folder) == 0);
}

static const struct test tests[] = {
    TEST(begin),          TEST(lines_are_broken), TEST(events_of_rotated_logs),
    TEST(without_events), TEST(damaged),          TEST(no_file),
    TEST(zeros),          TEST(long_log),         TEST(who_deleted_it),
    TEST(spellings_of_a_domain), TEST(one_failure), TEST(names_of_a_log), TEST(many_reports),
    TEST(how_it_would_end), TEST(end),
};
TEST_MAIN(tests)
