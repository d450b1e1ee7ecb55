/* The verbs of the command line: what they take, what they refuse with which words and status,
 * and how the gateway's answers look. The gateway is played by a socket with a canned answer. */
#include "test.h"
#include "verb.h"

#include "cli/ctl.h"
#include "cli/queue.h"
#include "cli/queue_show.h"
#include "cli/reload.h"
#include "cli/retry.h"
#include "cli/spool.h"
#include "cli/table.h"
#include "cli/term.h"

#include <jansson.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include <time.h>

#define CHECK_TEXT(got, want) CHECK_SPAN(span_str(got), span_str(want))

/* --- texts for a terminal --- */

static void harmless_text(void)
{
    struct buf b;
    buf_init(&b, 1024);
    term_put_text(&b, SPAN("a\x1b[2J\r\n\x7f\xff\xc2\x9b\xc3\xa4\\"));
    CHECK_TEXT(buf_cstr(&b), "a\\x1b[2J\\x0d\\x0a\\x7f\\xff\\xc2\\x9b\xc3\xa4\\");
    buf_reset(&b);
    term_put_text(&b, SPAN("\xe2\x80\xaetxt\xe2\x81\xa6 \xe2\x80\xa6\xe2\x81\xaa"));
    CHECK_TEXT(buf_cstr(&b), "\\xe2\\x80\\xaetxt\\xe2\\x81\\xa6 \xe2\x80\xa6\xe2\x81\xaa");
    buf_free(&b);
}

static void columns_and_cuts(void)
{
    CHECK_INT(term_columns(SPAN("a\xc3\xa4z")), 3);
    CHECK_SPAN(term_cut(SPAN("a\xc3\xa4z"), 2), SPAN("a\xc3\xa4"));
    CHECK_SPAN(term_cut(SPAN("a\xc3\xa4z"), 1), SPAN("a"));
    CHECK_SPAN(term_cut(SPAN("abc"), 5), SPAN("abc"));
}

static void put_row_of_two(struct cli_table *t, const char *a, const char *b)
{
    cli_table_cell(t, span_str(a));
    cli_table_cell(t, span_str(b));
    cli_table_end_row(t);
}

/* A wide character takes two columns, a combining one none. */
static void wide_characters(void)
{
    static const struct table_column to[] = { { .title = "TO", .most = 40, .least = 4 },
                                              { .title = "N" } };
    CHECK_INT(term_columns(SPAN("\xe6\x97\xa5\xe6\x9c\xac@x")), 6);
    CHECK_INT(term_columns(SPAN("a\xcc\x88" "b")), 2);
    CHECK_SPAN(term_cut(SPAN("\xe6\x97\xa5\xe6\x9c\xac@x"), 3), SPAN("\xe6\x97\xa5"));
    CHECK_SPAN(term_cut(SPAN("a\xcc\x88" "b"), 1), SPAN("a\xcc\x88"));
    struct buf out;
    struct cli_table *t = cli_table_new(to, 2, 0, false);
    buf_init(&out, 4096);
    put_row_of_two(t, "\xe6\x97\xa5\xe6\x9c\xac@x", "1");
    put_row_of_two(t, "abcdef@x", "2");
    cli_table_put(t, &out);
    CHECK_TEXT(buf_cstr(&out), "TO        N\n"
                               "\xe6\x97\xa5\xe6\x9c\xac@x    1\n"
                               "abcdef@x  2\n");
    cli_table_free(&t);
    buf_reset(&out);
    t = cli_table_new(to, 2, 8, false); /* five for the address: a half is no character */
    put_row_of_two(t, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe8\xaa\x9e", "1");
    cli_table_put(t, &out);
    CHECK_TEXT(buf_cstr(&out), "TO     N\n"
                               "\xe6\x97\xa5\xe6\x9c\xac\xe2\x80\xa6  1\n");
    cli_table_free(&t);
    buf_reset(&out);
    t = cli_table_new(to, 2, 9, false);
    put_row_of_two(t, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe8\xaa\x9e", "1");
    cli_table_put(t, &out);
    CHECK_TEXT(buf_cstr(&out), "TO      N\n"
                               "\xe6\x97\xa5\xe6\x9c\xac\xe2\x80\xa6   1\n");
    cli_table_free(&t);
    buf_free(&out);
}

static void ages(void)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = { { -5, "0s" },        { 59999, "59s" },       { 60000, "1m" },
                  { 3599999, "59m" },  { 3600000, "1h00m" },   { 90061000, "1d01h" },
                  { 86399999, "23h59m" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 64);
        term_put_age(&b, cases[i].ms);
        CHECK_TEXT(buf_cstr(&b), cases[i].text);
        buf_free(&b);
    }
}

/* --- tables --- */

static const struct table_column columns[] = {
    { .title = "NAME", .most = 8 }, { .title = "N", .right = true }, { .title = "WHY" }
};

static void put_row(struct cli_table *t, const char *a, const char *b, const char *c)
{
    cli_table_cell(t, span_str(a));
    cli_table_cell(t, span_str(b));
    if (c)
        cli_table_cell_colour(t, span_str(c), TABLE_RED);
    cli_table_end_row(t);
}

static void aligned(void)
{
    struct buf out;
    struct cli_table *t = cli_table_new(columns, 3, 0, false);
    buf_init(&out, 4096);
    cli_table_put(t, &out);
    CHECK_INT(out.len, 0); /* no rows, no titles */
    put_row(t, "a", "1", "because");
    put_row(t, "\xc3\xa4\xc3\xb6", "1000", NULL);
    put_row(t, "longer than eight", "2", "x\ny");
    cli_table_put(t, &out);
    CHECK_TEXT(buf_cstr(&out), "NAME         N  WHY\n"
                               "a            1  because\n"
                               "\xc3\xa4\xc3\xb6        1000\n"
                               "longer than eight     2  x\\x0ay\n"); /* nothing is cut */
    buf_reset(&out);
    put_row(t, "b", "3", "later");
    cli_table_put(t, &out); /* the titles once, the widths as before */
    CHECK_TEXT(buf_cstr(&out), "b            3  later\n");
    buf_free(&out);
    cli_table_free(&t);
}

static void cut_to_the_terminal(void)
{
    struct buf out;
    struct cli_table *t = cli_table_new(columns, 3, 22, true);
    buf_init(&out, 4096);
    put_row(t, "a", "1", "a reason longer than the line");
    cli_table_put(t, &out);
    CHECK_TEXT(buf_cstr(&out), "\033[1mNAME  N  WHY\033[0m\n"
                               "a     1  \033[31ma reason lon\xe2\x80\xa6\033[0m\n");
    buf_free(&out);
    cli_table_free(&t);
}

/* Of an address the domain stays, as far as it can. */
static void addresses(void)
{
    static const struct table_column to[] = { { .title = "TO", .least = 4, .address = true } };
    static const struct { unsigned width; const char *want; } table[] = {
        { 0, "TO\nsomebody.long@example.com\n" },
        { 20, "TO\nsomebod\xe2\x80\xa6@example.com\n" },
        { 13, "TO\n\xe2\x80\xa6@example.com\n" },
        { 9, "TO\n\xe2\x80\xa6mple.com\n" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buf out;
        struct cli_table *t = cli_table_new(to, 1, table[i].width, false);
        buf_init(&out, 4096);
        cli_table_cell(t, SPAN("somebody.long@example.com"));
        cli_table_end_row(t);
        cli_table_put(t, &out);
        CHECK_TEXT(buf_cstr(&out), table[i].want);
        buf_free(&out);
        cli_table_free(&t);
    }
}

/* Names give way before the why does, by their weights; then columns are left out. */
static void shared_out(void)
{
    static const struct table_column shared[] = {
        { .title = "N", .right = true, .spare = 1 },
        { .title = "NAME", .least = 4, .weight = 1 },
        { .title = "WHY", .least = 6, .weight = 3 },
    };
    static const struct { unsigned width; const char *want; } table[] = {
        { 0, "N  NAME          WHY\n1  longer.names  because of that\n" },
        { 32, "N  NAME          WHY\n1  longer.names  because of that\n" },
        { 27, "N  NAME     WHY\n1  longer\xe2\x80\xa6  because of that\n" },
        { 15, "N  NAME  WHY\n1  lon\xe2\x80\xa6  becau\xe2\x80\xa6\n" },
        { 14, "NAME  WHY\nlon\xe2\x80\xa6  because\xe2\x80\xa6\n" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buf out;
        struct cli_table *t = cli_table_new(shared, 3, table[i].width, false);
        buf_init(&out, 4096);
        put_row(t, "1", "longer.names", "because of that");
        cli_table_put(t, &out);
        CHECK_TEXT(buf_cstr(&out), table[i].want);
        buf_free(&out);
        cli_table_free(&t);
    }
}

/* Of different numbers bars of different lengths, in any width. */
static void bars(void)
{
    static const struct table_column barred[] = {
        { .title = "NAME", .least = 4 }, { .title = "", .most = 24, .least = 4 }
    };
    for (unsigned width = 10; width < 40; width++) {
        struct buf out;
        struct cli_table *t = cli_table_new(barred, 2, width, false);
        size_t longest = 0, before = 0;
        buf_init(&out, 4096);
        for (uint64_t n = 0; n < 4; n++) {
            cli_table_cell(t, SPAN("abcdefgh"));
            cli_table_cell_bar(t, n * n * 1000, 9000, TABLE_PLAIN);
            cli_table_end_row(t);
        }
        cli_table_put(t, &out);
        CHECK(span_starts(buf_span(&out), SPAN("NAME\n")));
        for (const char *at = strchr(buf_cstr(&out), '\n') + 1; *at; at = strchr(at, '\n') + 1) {
            size_t n = strcspn(at, "\n"), bar = n - strcspn(at, "#\n");
            CHECK(bar >= before && (bar > before || bar < 2));
            before = bar;
            longest = term_columns(span_of(at, n));
        }
        CHECK(longest == (width > 34 ? 34 : width));
        buf_free(&out);
        cli_table_free(&t);
    }
}

/* --- rows --- */

static void readable_rows(void)
{
    struct buf b;
    buf_init(&b, 1024);
    ctl_readable(&b, SPAN("{\"a\":\"x\\udcff\\\\udc41\\n\\uDC80\"}"));
    CHECK_TEXT(buf_cstr(&b), "{\"a\":\"x\\\\xff\\\\udc41\\n\\\\x80\"}");
    buf_free(&b);
}

/* What jansson writes as it is, though a terminal obeys it. */
static void rows_for_programs(void)
{
    struct buf b;
    json_t *row = json_pack("{s:s,s:i}", "a", "x\x7f\xc2\x9b" "2J \xc3\xa9 \xc2\xa0\n", "b", 1);
    buf_init(&b, 1024);
    ctl_put_json(&b, row);
    CHECK_TEXT(buf_cstr(&b), "{\"a\":\"x\\u007f\\u009b2J \xc3\xa9 \xc2\xa0\\n\",\"b\":1}\n");
    json_decref(row);
    buf_free(&b);
}

static void words_that_are_no_text(void)
{
    const char *const args[] = { "to=a@\xc3\xa4.example", "to=\xff" };
    struct ctl c = { .fd = -1 };
    buf_init(&c.text, 1024);
    CHECK(!ctl_ask(&c, "list", args, 2));
    CHECK_INT(c.exit, EX_USAGE);
    CHECK(strstr(buf_cstr(&c.text), "not UTF-8"));
    CHECK(!ctl_ask(&c, "list", args, 1)); /* there is nobody to ask */
    CHECK_INT(c.exit, EX_TEMPFAIL);
    buf_free(&c.text);
}

static const char list_row[] =
    "{\"id\":\"6AKBuw00000001\",\"received_ms\":999999938999,\"age_ms\":61000,"
    "\"size\":156,\"sender\":\"\",\"recipients\":["
    "{\"to\":\"b@example.net\",\"state\":\"deferred\",\"next_try_ms\":1000000060000,"
    "\"reason\":\"no\\udcff\\u001b[2Jroute\"},"
    "{\"to\":\"d@example.net\",\"state\":\"delivered\"},"
    "{\"to\":\"c@example.net\",\"state\":\"held\"}]}";

static void listed(void)
{
    struct buf out, err;
    setenv("TZ", "UTC0", 1);
    tzset();
    struct queue_show *s = queue_show_new(QUEUE_LIST, 0, false, 1000000000000);
    buf_init(&out, 1 << 20);
    buf_init(&err, 4096);
    queue_show_row(s, span_str(list_row), &out, &err);
    queue_show_end(s, &out);
    CHECK_TEXT(buf_cstr(&out),
               "ID              AGE     SINCE  SIZE  STATE     SENDER  RECIPIENT      NEXT  "
               "REASON\n"
               "6AKBuw00000001   1m  01:45:38   156  deferred  <>      b@example.net    1m  "
               "no\\xff\\x1b[2Jroute\n"
               "                                     held              c@example.net\n"
               "1 message, 156, 2 recipients, 1 deferred, 1 held\n");
    CHECK_INT(err.len, 0);
    queue_show_free(&s);
    buf_free(&out);
    buf_free(&err);
}

static void broken_row(void)
{
    struct buf out, err;
    struct queue_show *s = queue_show_new(QUEUE_LIST, 0, false, 0);
    buf_init(&out, 1 << 20);
    buf_init(&err, 4096);
    queue_show_row(s, SPAN("{\"id\":"), &out, &err);
    queue_show_row(s, SPAN("[1,2]"), &out, &err);
    queue_show_end(s, &out);
    CHECK(strstr(buf_cstr(&err), "cannot be read"));
    queue_show_free(&s);
    buf_free(&out);
    buf_free(&err);
}

/* --- verbs, as they are called --- */

#define QUEUE(...) run(cli_queue, (const char *const[]){ "queue", __VA_ARGS__, NULL })
#define SPOOL(...) run(cli_spool, (const char *const[]){ "spool", __VA_ARGS__, NULL })

static void usage_errors(void)
{
    CHECK_INT(QUEUE("hold")->status, EX_USAGE);
    CHECK_INT(QUEUE("count", "--limit", "3")->status, EX_USAGE);
    CHECK_INT(QUEUE("list", "--limit", "many")->status, EX_USAGE);
    CHECK_INT(QUEUE("list", "more")->status, EX_USAGE);
    CHECK_INT(QUEUE("run", "a")->status, EX_USAGE);
    CHECK(strstr(QUEUE("reroute", "--to", "[192.0.2.1]", "--to", "a@b")->err, "say --rcpt"));
    CHECK_INT(QUEUE("list", "--domain")->status, EX_USAGE);
    CHECK_INT(QUEUE("sites", "--domain", "a")->status, EX_USAGE);
    CHECK_INT(QUEUE("bounce")->status, EX_USAGE);
    CHECK_INT(QUEUE("hold", "--by", "domain", "X1")->status, EX_USAGE);
    CHECK_INT(QUEUE("reroute", "X1")->status, EX_USAGE);
    CHECK_INT(QUEUE("thaw")->status, EX_USAGE);
    CHECK_INT(QUEUE("export")->status, EX_USAGE);
    CHECK_INT(QUEUE("--color")->status, EX_USAGE);
    CHECK_INT(QUEUE("-C")->status, EX_USAGE);
    CHECK_INT(SPOOL("cat")->status, EX_USAGE);
    CHECK_INT(SPOOL("cat", "a", "b")->status, EX_USAGE);
    CHECK_INT(SPOOL("export")->status, EX_USAGE);
    CHECK_INT(SPOOL("check", "it")->status, EX_USAGE);
    struct run *r = QUEUE("relaese", "x");
    CHECK_INT(r->status, EX_USAGE);
    CHECK(strstr(r->err, "did you mean \"release\"?"));
    CHECK(strstr(SPOOL("chekc")->err, "did you mean \"check\"?"));
}

/* What would change nothing is a mistake, too. */
static void options_without_effect(void)
{
    CHECK_INT(QUEUE("list", "--yes")->status, EX_USAGE);
    CHECK_INT(QUEUE("sites", "--all")->status, EX_USAGE);
    CHECK_INT(QUEUE("freeze", "--all", "a.example")->status, EX_USAGE);
    CHECK_INT(QUEUE("delete", "--all", "6AKKFC99999999")->status, EX_USAGE);
    CHECK_INT(QUEUE("hold", "--all", "--domain", "a.example", "--yes")->status, EX_USAGE);
    CHECK_INT(QUEUE("reroute", "--list", "--all")->status, EX_USAGE);
    CHECK_INT(run(cli_retry, (const char *const[]){ "retry", "--all", "a", NULL })->status,
              EX_USAGE);
    struct run *r = SPOOL("check", "--socket", "/x", "--dir", "/nonexistent");
    CHECK(r->status == EX_USAGE && strstr(r->err, "unknown option: --socket"));
}

static void helps(void)
{
    struct run *r = QUEUE("--help");
    CHECK_INT(r->status, 0);
    CHECK(strstr(r->out, "usage: postern queue"));
    CHECK(strstr(SPOOL("check", "--help")->out, "usage: postern spool"));
}

static void nobody_answers(void)
{
    struct run *r = QUEUE("--socket", "/nonexistent/control");
    CHECK_INT(r->status, EX_UNAVAILABLE);
    CHECK(strstr(r->err, "no gateway answers on /nonexistent/control"));
    CHECK_INT(r->out[0], 0);
    CHECK_INT(QUEUE("-C", "/nonexistent.conf")->status, EX_NOINPUT);
    CHECK_INT(SPOOL("check", "-C", "/nonexistent.conf")->status, EX_NOINPUT);
    CHECK_INT(SPOOL("check", "--dir", "/nonexistent")->status, EX_NOINPUT);
}

/* --- a gateway that says what it is told, whatever it is asked; but of its configuration no --- */

static char fake_path[64];
static char asked[4096];
static pid_t fake_pid;
static int fake_out;

static void fake(const char *answer)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int p[2], fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(fake_path, sizeof fake_path, "/tmp/postern-cli-%d", (int)getpid());
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", fake_path);
    unlink(fake_path);
    MUST(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, 4) == 0 && pipe(p) == 0);
    fflush(stdout);
    fake_pid = fork();
    if (fake_pid == 0) {
        static const char no[] = "{\"end\":\"error\",\"text\":\"no\",\"exit\":75}\n";
        char text[4096];
        alarm(90); /* whom nobody asks */
        int c = accept(fd, NULL, NULL);
        ssize_t n = read(c, text, sizeof text);
        while (n > 0 && memmem(text, (size_t)n, "\"config\"", 8)) {
            MUST(write(c, no, strlen(no)) >= 0 && close(c) == 0);
            c = accept(fd, NULL, NULL);
            n = read(c, text, sizeof text);
        }
        if (n > 0)
            MUST(write(p[1], text, (size_t)n) == n);
        MUST(write(c, answer, strlen(answer)) >= 0);
        _exit(0);
    }
    close(fd);
    close(p[1]);
    fake_out = p[0];
}

static void fake_over(void)
{
    ssize_t n = read(fake_out, asked, sizeof asked - 1);
    asked[n > 0 ? n : 0] = '\0';
    close(fake_out);
    waitpid(fake_pid, NULL, 0);
    unlink(fake_path);
}

static void asks_and_shows(void)
{
    fake("{\"id\":\"X1\",\"action\":\"held\",\"recipients\":2}\n"
         "{\"id\":\"X2\",\"error\":\"there is no such message in the queue\"}\n"
         "{\"end\":\"error\",\"text\":\"not all of them\",\"exit\":66}\n");
    struct run *r = QUEUE("hold", "X1", "X2", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"hold\",\"args\":[\"X1\",\"X2\"]}\n");
    CHECK_INT(r->status, 66);
    CHECK_TEXT(r->out, "X1: held, 2 recipients\n");
    CHECK_TEXT(r->err, "X2: there is no such message in the queue\n"
                       "postern queue: not all of them\n");
}

static void ids_of_a_log(void)
{
    fake("{\"id\":\"6AKKFC00000001\",\"action\":\"held\",\"recipients\":1}\n{\"end\":\"ok\"}\n");
    QUEUE("hold", "6AKKFC00000001:", "6AKKFC00000002", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"hold\",\"args\":[\"6AKKFC00000001\",\"6AKKFC00000002\"]}\n");
    CHECK_INT(QUEUE("hold", "mx:a", "--socket", fake_path)->status, EX_USAGE);
    CHECK_INT(QUEUE("hold", ":", "--socket", fake_path)->status, EX_USAGE);
}

static void frozen_are_shown(void)
{
    fake("{\"id\":\"a.example\",\"action\":\"frozen\",\"who\":\"ann\",\"since_ms\":86400000}\n"
         "{\"end\":\"ok\"}\n");
    struct run *r = QUEUE("freeze", "--socket", fake_path);
    fake_over();
    CHECK(strstr(r->out, "a.example: frozen since 1970-01-") && strstr(r->out, " by ann\n"));
    fake("{\"end\":\"ok\"}\n");
    r = QUEUE("freeze", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(r->out, "nothing is frozen\n");
    fake("{\"end\":\"ok\"}\n");
    r = QUEUE("freeze", "--json", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(r->out, "");
}

/* In JSON a count is one of recipients too, without what only this program is told. */
static void counted(void)
{
    static const char row[] = "{\"messages\":2,\"bytes\":5,\"recipients\":3,\"upto\":77}\n"
                              "{\"end\":\"ok\"}\n";
    fake(row);
    struct run *r = QUEUE("count", "--state", "held", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(r->out, "2 messages, 3 recipients, 5\n");
    fake(row);
    r = QUEUE("count", "--state", "held", "--json", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(r->out, "{\"messages\":2,\"bytes\":5,\"recipients\":3}\n");
}

static void meant_options(void)
{
    struct run *r = QUEUE("count", "--form", "x");
    CHECK_INT(r->status, EX_USAGE);
    CHECK_TEXT(r->err, "postern queue: unknown option: --form; did you mean \"--from\"?\n");
    r = QUEUE("count", "--domian=x");
    CHECK(strstr(r->err, "did you mean \"--domain\"?"));
    r = QUEUE("count", "--zzzzzz");
    CHECK(!strstr(r->err, "did you mean") && strstr(r->err, "postern queue --help"));
    r = SPOOL("export", "--damagd", "x");
    CHECK(strstr(r->err, "did you mean \"--damaged\"?"));
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    MUST(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static bool file_is(const char *path, const char *text)
{
    char got[100] = "";
    FILE *f = fopen(path, "r");
    bool good = f && fgets(got, sizeof got, f) && strcmp(got, text) == 0;
    if (f)
        fclose(f);
    return good;
}

/* What another export of the same messages writes is left to it. */
static void two_exports_at_once(void)
{
    char dir[] = "/tmp/postern-cli-XXXXXX", other[100], whole[100];
    MUST(mkdtemp(dir) != NULL);
    snprintf(other, sizeof other, "%s/X1.eml.part", dir);
    snprintf(whole, sizeof whole, "%s/X1.eml", dir);
    put_file(other, "theirs");
    fake("{\"id\":\"X1\",\"begin\":true}\n{\"content\":\"6869\"}\n"
         "{\"id\":\"X1\",\"whole\":true}\n{\"end\":\"ok\"}\n");
    struct run *r = QUEUE("export", dir, "X1", "--socket", fake_path);
    fake_over();
    CHECK_INT(r->status, 0);
    CHECK(file_is(whole, "hi") && file_is(other, "theirs"));
    unlink(other);
    unlink(whole);
    CHECK(rmdir(dir) == 0); /* and nothing else is there */
}

static void filters_are_words(void)
{
    fake("{\"end\":\"ok\"}\n");
    QUEUE("list", "--domain", "!a.example", "--to", "~bob", "--reason", "busy", "--age", "2h",
          "--size", "<1M", "--state", "held", "--sort", "size", "--limit", "5", "--socket",
          fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"list\",\"args\":[\"!domain=a.example\",\"to~bob\","
                      "\"reason~busy\",\"age>2h\",\"size<1M\",\"state=held\",\"sort=size\","
                      "\"limit=5\"]}\n");
    fake("{\"end\":\"ok\"}\n");
    struct run *r = QUEUE("shape", "--by", "site", "--rcpt", "@b.example", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"groups\",\"args\":[\"to=@b.example\",\"shape\",\"by=site\","
                      "\"sort=count\",\"limit=20\"]}\n");
    CHECK_TEXT(r->out, "nothing in the queue is meant by that\n");
    fake("{\"action\":\"rerouted\",\"messages\":1,\"recipients\":2,\"in_session\":3}\n"
         "{\"end\":\"ok\"}\n");
    r = QUEUE("reroute", "--to", "lmtp:/run/x", "X1", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"act\",\"args\":[\"id=X1\",\"action=reroute\","
                      "\"nexthop=lmtp:/run/x\"]}\n");
    CHECK_TEXT(r->out, "rerouted: 1 message, 2 recipients\n3 recipients are being delivered now "
                       "and were left alone: run it again\n");
}

static void rules_of_rerouting(void)
{
    fake("{\"name\":\"a.example\",\"nexthop\":\"lmtp:/run/x\",\"action\":\"set\"}\n"
         "{\"end\":\"ok\"}\n");
    struct run *r = QUEUE("reroute", "--rule", "--to", "lmtp:/run/x", "a.example", "--domain",
                          "b.example", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"reroute\",\"args\":[\"set=b.example\",\"set=a.example\","
                      "\"nexthop=lmtp:/run/x\"]}\n");
    CHECK(strstr(r->out, "a.example: all mail goes to lmtp:/run/x, from its next attempt on"));
    fake("{\"name\":\"a.example\",\"nexthop\":\"[192.0.2.1]\",\"who\":\"ann\\u001b\","
         "\"since_ms\":0}\n{\"end\":\"ok\"}\n");
    r = QUEUE("reroute", "--list", "--socket", fake_path);
    fake_over();
    CHECK(strstr(r->out, "MAIL FOR") && strstr(r->out, "ann\\x1b"));
    fake("{\"end\":\"ok\"}\n");
    r = QUEUE("reroute", "--list", "--socket", fake_path);
    fake_over();
    CHECK(strstr(r->out, "there are no rules"));
    fake("{\"end\":\"error\",\"text\":\"there is no such rule\",\"exit\":66}\n");
    r = QUEUE("reroute", "--remove", "c.example", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"reroute\",\"args\":[\"remove=c.example\"]}\n");
    CHECK_INT(r->status, 66);
    CHECK_INT(QUEUE("reroute", "--rule", "a.example")->status, EX_USAGE);
    CHECK_INT(QUEUE("reroute", "--rule", "--to", "[192.0.2.1]")->status, EX_USAGE);
    CHECK_INT(QUEUE("reroute", "--rule", "--to", "h", "--state", "held")->status, EX_USAGE);
    CHECK_INT(QUEUE("reroute", "--remove")->status, EX_USAGE);
    CHECK_INT(QUEUE("reroute", "--remove", "--to", "h", "a")->status, EX_USAGE);
    CHECK_INT(QUEUE("reroute", "--list", "a")->status, EX_USAGE);
    CHECK_INT(QUEUE("hold", "--list", "a")->status, EX_USAGE);
    CHECK_INT(QUEUE("reroute", "--to", "[1.2.3", "--dry-run", "a")->status, EX_USAGE);
    CHECK_INT(QUEUE("hold", "u@yahoo.com")->status, EX_USAGE);
    CHECK_INT(QUEUE("hold", "--state=held")->status, EX_USAGE);
    r = QUEUE("help");
    CHECK(r->status == 0 && strstr(r->out, "\nfreeze   starts nothing"));
    r = QUEUE("hold", "--help");
    CHECK(strstr(r->out, "queue hold | release") && strstr(r->out, "\nhold     not delivered"));
    CHECK(strstr(r->out, "--reason") && !strstr(r->out, "queue freeze"));
    r = QUEUE("sites", "--help");
    CHECK(strstr(r->out, "queue sites [--limit N]") && !strstr(r->out, "--reason"));
}

/* What is retried is chosen as everything else: one word for what people name, or filters. */
static void retries(void)
{
    static const char rows[] =
        "{\"total\":2,\"directory\":\"/q\"}\n"
        "{\"run\":1,\"id\":\"A\",\"of\":2,\"size\":5,\"age_ms\":1,\"sender\":\"s@x\"}\n"
        "{\"result_of\":1,\"job\":7,\"id\":\"A\",\"to\":\"b@y\",\"result\":\"deferred\"}\n"
        "{\"ran\":1}\n{\"alive\":true}\n"
        "{\"summary\":true,\"messages\":2,\"sent\":1,\"deferred\":1}\n"
        "{\"end\":\"ok\"}\n";
    fake("{\"action\":\"retried\",\"messages\":1,\"recipients\":1}\n{\"end\":\"ok\"}\n");
    struct run *r = QUEUE("retry", "b.example", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"act\",\"args\":[\"target=b.example\",\"action=retry\"]}\n");
    CHECK_INT(r->status, 0);
    fake("{\"action\":\"retried\",\"messages\":0,\"recipients\":0}\n{\"end\":\"ok\"}\n");
    CHECK_INT(QUEUE("retry", "b.example", "c.example", "--socket", fake_path)->status, EX_NOINPUT);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"act\",\"args\":[\"target=b.example\",\"target=c.example\","
                      "\"action=retry\"]}\n");
    fake("{\"action\":\"bounced\",\"messages\":0,\"recipients\":0}\n{\"end\":\"ok\"}\n");
    r = QUEUE("bounce", "6AKKFC99999999", "--socket", fake_path);
    fake_over();
    CHECK(r->status == EX_NOINPUT && strstr(r->err, "there is no such message in the queue"));
    fake(rows);
    r = run(cli_retry, (const char *const[]){ "retry", "--json", "--from", "~root", "y", "--socket",
                                              fake_path, NULL });
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"live\",\"args\":[\"from~root\",\"target=y\",\"always\","
                      "\"follow\",\"window=8\",\"silent\"]}\n");
    CHECK_INT(r->status, EX_TEMPFAIL);
    struct span out = span_str(r->out);
    size_t lines = 0;
    for (size_t i = 0; i < out.n; i++)
        lines += out.p[i] == '\n';
    CHECK_INT(lines, 4);
    CHECK(strstr(r->out, "\"summary\"") && !strstr(r->out, "alive") && !strstr(r->out, "ran"));
    CHECK(strstr(r->out, "{\"total\":2}\n"));
    CHECK(strstr(r->out, "{\"id\":\"A\",\"to\":\"b@y\",\"result\":\"deferred\"}\n"));
    fake(rows);
    r = run(cli_retry, (const char *const[]){ "retry", "--state", "held", "--socket", fake_path,
                                              NULL });
    fake_over();
    CHECK(strncmp(r->out, "2 messages wait\n", 16) == 0);
    fake("{\"total\":3}\n"
         "{\"run\":1,\"id\":\"A\",\"of\":3,\"size\":5,\"age_ms\":1,\"sender\":\"s@x\"}\n"
         "{\"run\":2,\"id\":\"B\",\"of\":3,\"size\":5,\"age_ms\":1,\"sender\":\"s@x\"}\n"
         "{\"run\":3,\"id\":\"C\",\"of\":3,\"size\":5,\"age_ms\":1,\"sender\":\"s@x\"}\n"
         "{\"result_of\":3,\"job\":0,\"to\":\"c@y\",\"result\":\"frozen\",\"untried\":true,"
         "\"text\":\"by root\"}\n{\"ran\":3}\n"
         "{\"result_of\":2,\"job\":0,\"to\":\"b@y\",\"result\":\"deferred\",\"text\":\"two\"}\n"
         "{\"result_of\":1,\"job\":0,\"to\":\"a@y\",\"result\":\"deferred\",\"text\":\"one\"}\n"
         "{\"result_of\":1,\"job\":0,\"to\":\"a2@y\",\"result\":\"deferred\",\"text\":\"one\"}\n"
         "{\"ran\":2}\n{\"ran\":1}\n"
         "{\"summary\":true,\"messages\":3,\"sent\":0,\"deferred\":3,\"frozen\":1}\n"
         "{\"end\":\"ok\"}\n");
    r = run(cli_retry, (const char *const[]){ "retry", "y", "--socket", fake_path, NULL });
    fake_over();
    CHECK_TEXT(r->out, "3 messages for y wait\n"
                       "[1/3] A  5, 0s old, from <s@x>\n"
                       "    a@y: deferred: one  (0.0 s)\n"
                       "    a2@y: deferred: one  (0.0 s)\n"
                       "[2/3] B  5, 0s old, from <s@x>\n"
                       "    b@y: deferred: two  (0.0 s)\n"
                       "[3/3] C  5, 0s old, from <s@x>\n"
                       "    c@y: frozen, not tried: by root\n"
                       "\n3 messages: 0 recipients sent, 3 deferred, 0 failed, 1 frozen\n"
                       "     2  deferred: one\n"
                       "     1  deferred: two\n"
                       "     1  frozen: by root\n");
}

static void retries_by_names(void)
{
    struct run *r = run(cli_retry, (const char *const[]){ "retry", NULL });
    CHECK_INT(r->status, EX_USAGE);
    r = run(cli_retry, (const char *const[]){ "retry", "a", "", NULL });
    CHECK_INT(r->status, EX_USAGE);
    fake("{\"total\":0}\n{\"end\":\"ok\"}\n");
    r = run(cli_retry, (const char *const[]){ "retry", "a@x", "b@x", "--socket", fake_path, NULL });
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"live\",\"args\":[\"target=a@x\",\"target=b@x\",\"always\","
                      "\"follow\",\"window=8\",\"silent\"]}\n");
    CHECK(r->status == EX_NOINPUT && strstr(r->err, "nothing waits for that\n"));
    r = run(cli_retry, (const char *const[]){ "retry", "a.x", "-C", "/nonexistent.conf", NULL });
    char *first = strstr(r->err, "/nonexistent.conf"); /* said once */
    CHECK(r->status == EX_NOINPUT && first && !strstr(first + 1, "/nonexistent.conf"));
}

static void json_is_passed_on(void)
{
    fake("{\"a\":\"\\udcff\"}\n{\"end\":\"ok\"}\n");
    struct run *r = QUEUE("--json", "list", "--limit", "5", "--socket", fake_path);
    fake_over();
    CHECK_TEXT(asked, "{\"verb\":\"list\",\"args\":[\"limit=5\"]}\n");
    CHECK_INT(r->status, 0);
    CHECK_TEXT(r->out, "{\"a\":\"\\udcff\"}\n");
}

/* As a reason in it may be a stranger's. */
static void errors_are_harmless(void)
{
    fake("{\"end\":\"error\",\"text\":\"a\\u001b]0;x\\u0007\\u009b2J\",\"exit\":69}\n");
    struct run *r = QUEUE("count", "--socket", fake_path);
    fake_over();
    CHECK_INT(r->status, EX_UNAVAILABLE);
    CHECK_TEXT(r->err, "postern queue: a\\x1b]0;x\\x07\\xc2\\x9b2J\n");
}

static void cut_off(void)
{
    fake("{\"id\":\"X1\",\"recipients\":[]}\n{\"id\":");
    struct run *r = QUEUE("list", "--socket", fake_path);
    fake_over();
    CHECK_INT(r->status, EX_TEMPFAIL);
    CHECK(strstr(r->err, "before the end of its answer"));
}

static void reload_refused(void)
{
    fake("{\"end\":\"error\",\"text\":\"f:1:1: \\\"x\\\"\\u000af:2:1: bad\\u000a\","
         "\"exit\":78}\n");
    struct run *r = run(cli_reload, (const char *const[]){ "reload", "--socket", fake_path, NULL });
    fake_over();
    CHECK_INT(r->status, EX_CONFIG);
    CHECK_TEXT(r->err, "postern reload: f:1:1: \"x\"\nf:2:1: bad\n");
    CHECK_TEXT(asked, "{\"verb\":\"reload\",\"args\":[]}\n");
}

/* --wait 0: does not wait for who listens (which is this test). */
static void stop_without_waiting(void)
{
    fake("{\"text\":\"stopping\"}\n{\"end\":\"ok\"}\n");
    struct run *r = run(cli_stop, (const char *const[]){ "stop", "--wait", "0", "--socket",
                                                         fake_path, NULL });
    fake_over();
    CHECK_INT(r->status, 0);
    CHECK_TEXT(r->out, "stopping\n");
}

static void stop_that_lasts(void)
{
    fake("{\"text\":\"stopping\"}\n{\"end\":\"ok\"}\n");
    struct run *r = run(cli_stop, (const char *const[]){ "stop", "--wait", "300ms", "--socket",
                                                         fake_path, NULL });
    fake_over();
    CHECK_INT(r->status, EX_TEMPFAIL);
    CHECK(strstr(r->err, "it still runs"));
}

static const struct test tests[] = {
    TEST(harmless_text),    TEST(columns_and_cuts), TEST(wide_characters),  TEST(ages),
    TEST(aligned),          TEST(cut_to_the_terminal), TEST(addresses),
    TEST(shared_out),       TEST(bars),
    TEST(readable_rows), TEST(rows_for_programs), TEST(words_that_are_no_text),
    TEST(listed),           TEST(broken_row),        TEST(usage_errors),
    TEST(options_without_effect), TEST(errors_are_harmless),
    TEST(helps),            TEST(nobody_answers),    TEST(asks_and_shows),
    TEST(ids_of_a_log),     TEST(frozen_are_shown), TEST(counted),
    TEST(meant_options), TEST(filters_are_words),
    TEST(two_exports_at_once),
    TEST(rules_of_rerouting), TEST(retries), TEST(retries_by_names),
    TEST(json_is_passed_on),
    TEST(cut_off),          TEST(reload_refused),
    TEST(stop_without_waiting), TEST(stop_that_lasts),
};
TEST_MAIN(tests)
