/* From a configuration to its tables: a gateway's files as an admin keeps them, maps that change,
 * and what a check says about rules that never apply. */
#include "test.h"

#include "base/must.h"
#include "config/files.h"
#include "route/route.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct arena *arena;

static const char *const maps[] = { "access", "aliases", "mailertable", "smarttable",
                                    "virtusertable" };

#define N(list) (sizeof list / sizeof *(list))

/* --- files --- */

static void read_text(const char *path, struct buf *b)
{
    struct err e;
    buf_init(b, 1 << 20);
    MUST(config_read_file(path, b, &e));
}

static void write_text(const char *dir, const char *name, const char *text, const char *mode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, mode);
    MUST(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* The example files in a directory of their own; dir is set. */
static struct config *examples(char dir[64], struct config_report *report)
{
    struct buf text, conf;
    struct config *cfg = NULL;
    char path[512];
    snprintf(dir, 64, "/tmp/route.XXXXXX");
    MUST(mkdtemp(dir));
    for (size_t i = 0; i < N(maps); i++) {
        snprintf(path, sizeof path, TEST_TOP "/tests/cases/route/%s", maps[i]);
        read_text(path, &text);
        write_text(dir, maps[i], buf_cstr(&text), "w");
        buf_free(&text);
    }
    read_text(TEST_TOP "/tests/cases/route/postern.conf", &text);
    buf_init(&conf, 1 << 20);
    for (struct span rest = buf_span(&text); rest.n;) { /* text:/etc/postern/ -> text:DIR/ */
        static const char was[] = "text:/etc/postern/";
        const char *at = memmem(rest.p, rest.n, was, sizeof was - 1);
        size_t n = at ? (size_t)(at - rest.p) : rest.n;
        buf_puts(&conf, span_to(rest, n));
        if (at)
            buf_printf(&conf, "text:%s/", dir);
        rest = span_from(rest, at ? n + sizeof was - 1 : n);
    }
    config_parse(buf_span(&conf), SPAN("postern.conf"), &cfg, report);
    buf_free(&text);
    buf_free(&conf);
    return cfg;
}

static void remove_all(const char *dir)
{
    char path[512];
    for (size_t i = 0; i < N(maps); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, maps[i]);
        unlink(path);
    }
    rmdir(dir);
}

static bool lists(void *ctx, struct span path, struct buf *text, struct err *e)
{
    (void)ctx;
    (void)e;
    return span_eq(path, SPAN("/etc/postern/lists/sales")) && buf_putz(text, "carl@example.net\n");
}

static const struct route_world world = { .read_file = lists };

static const char *accept_rcpt(const struct route_tables *t, const char *ip, const char *rcpt)
{
    static char text[1024];
    struct route_client c = { .auth = SPAN("") };
    struct route_accept out;
    MUST(netaddr_parse_ip(span_str(ip), &c.ip));
    if (!route_accept_rcpt(t, &c, SPAN("s@far.example"), span_str(rcpt), arena, NULL, &out)) {
        snprintf(text, sizeof text, "%u %.*s %.*s", out.reply.reply, SPAN_ARG(out.reply.code),
                 SPAN_ARG(out.reply.text));
        return text;
    }
    text[0] = 0;
    for (size_t i = 0; i < out.target_count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s", i ? " " : "",
                 SPAN_ARG(out.targets[i].addr));
    return text;
}

static const char *attempt(const struct route_tables *t, const char *sender, const char *rcpt,
                           bool released)
{
    static char text[1024];
    struct route_dest d;
    struct route_ask ask = { .sender = span_str(sender), .rcpt = span_str(rcpt),
                             .released = released, .canon_known = true };
    MUST(route_find(t, &ask, arena, NULL, &d));
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(d.queue));
    return text;
}

#define IS(got, want)                                                                              \
    do {                                                                                           \
        const char *got_ = got;                                                                    \
        if (strcmp(got_, want) != 0)                                                               \
            TEST_FAIL("\"%s\", want \"%s\"", got_, want);                                          \
    } while (0)

static void gateway(void)
{
    char dir[64];
    struct config_report *report = config_report_new();
    struct config *cfg = examples(dir, report);
    struct map_report r;
    map_report_init(&r);
    CHECK(cfg && cfg->n_notices == 0);
    struct route_tables *t = route_load(cfg, 5, &world, &r);
    if (!t)
        TEST_FAIL("%s", buf_cstr(&r.lines));
    CHECK(route_entries(t) >= 20); /* and the users of the system */
    config_free(&cfg); /* the tables have their own */
    IS(accept_rcpt(t, "203.0.113.5", "info@virt.example"), "ann@example.net");
    IS(accept_rcpt(t, "203.0.113.5", "carl@virt.example"), "carl@example.net");
    IS(accept_rcpt(t, "203.0.113.5", "nobody@virt.example"), "550 5.1.1 No such person");
    IS(accept_rcpt(t, "203.0.113.5", "gone@example.net"), "550 5.1.1 has left the company");
    IS(accept_rcpt(t, "203.0.113.5", "u@friends.example"), "u@friends.example");
    IS(accept_rcpt(t, "203.0.113.5", "postmaster@localhost"), "admin@example.net");
    IS(accept_rcpt(t, "203.0.113.5", "sales@localhost"),
       "ann@example.net bob@example.net carl@example.net");
    IS(accept_rcpt(t, "10.1.1.1", "u@closed.example"),
       "550 5.7.1 Mail to this domain is prohibited");
    IS(accept_rcpt(t, "10.1.1.1", "u@later.example"), "451 4.3.0 Try again later");
    IS(attempt(t, "x@aicpa.org", "u@gmail.com", false), "listener:capture");
    IS(attempt(t, "x@aicpa.org", "u@gmail.com", true), "mx:gmail.com");
    IS(attempt(t, "x@aicpa.org", "u@paladinny.com", false), "mx:barracuda.cblconsulting.com");
    IS(attempt(t, "ceo@example.net", "u@gmail.com", false), "host:[10.20.0.99]");
    route_tables_free(&t);
    map_report_free(&r);
    config_report_free(&report);
    remove_all(dir);
}

static void changes(void)
{
    char dir[64];
    struct config_report *report = config_report_new();
    struct config *cfg = examples(dir, report);
    struct map_report r;
    map_report_init(&r);
    struct route_tables *t = route_load(cfg, 5, &world, &r);
    MUST(t);
    CHECK(!route_refresh(t, &r));
    IS(accept_rcpt(t, "203.0.113.5", "u@new.virt"), "550 5.7.1 <u@new.virt>... Relaying denied");
    write_text(dir, "virtusertable", "@new.virt ann@example.net\n", "a");
    CHECK(route_refresh(t, &r));
    IS(accept_rcpt(t, "203.0.113.5", "u@new.virt"), "ann@example.net"); /* a new domain of ours */
    CHECK_INT(r.errors, 0);
    write_text(dir, "virtusertable", "nonsense here\n", "a");
    CHECK(!route_refresh(t, &r));
    CHECK_INT(r.errors, 1);
    IS(accept_rcpt(t, "203.0.113.5", "u@new.virt"), "ann@example.net"); /* the old one stays */
    CHECK(!route_refresh(t, &r));
    CHECK_INT(r.errors, 1); /* and it is said once */
    route_tables_free(&t);
    write_text(dir, "smarttable", "@x.example relay:\n", "a");
    CHECK(!route_load(cfg, 5, &world, &r));
    CHECK(strstr(buf_cstr(&r.lines), "smarttable:4: error: the host is missing"));
    config_free(&cfg);
    map_report_free(&r);
    config_report_free(&report);
    remove_all(dir);
}

static void hidden_rules(void)
{
    static const char *const says[] = {
        "mailertable:8: \".\" hides the whole smarttable",
        "mailertable:9: \"localhost\" is hidden by route.local",
        "mailertable:10: \"virt.example\" is hidden by the virtusertable (line 2)",
        "mailertable:11: \"own.example\" has no effect: its next hop is our own listener \"mx\"",
        "smarttable:2: \"@aicpa.org\" is hidden by the mailertable's \".\"",
        "access:8: \"conect:1.2.3.4\" never matches: no such tag",
        "access:9: \".spam.example\" never matches: leave out the dot",
        "access:10: \"connect:10.0.0.0/8\" never matches",
        "access:11: \"greetpause:1.2.3.4\" is not obeyed",
        "aliases:6: \"x\": mail for it is refused: 554",
        "aliases:8: \"lost\" leads to \"nosuchuser\", who has no mailbox here",
        "mailertable:12: ",  /* the same key twice: who reads maps says so */
    };
    char dir[64];
    struct config_report *report = config_report_new();
    struct config *cfg = examples(dir, report);
    struct buf text;
    MUST(cfg);
    write_text(dir, "mailertable", ". relay:[10.0.0.1]\nlocalhost relay:[x]\n"
               "virt.example relay:[y]\nown.example relay:[127.0.0.1]\nlab.example relay:[z]\n",
               "a");
    write_text(dir, "access", "Conect:1.2.3.4 REJECT\n.spam.example REJECT\n"
               "Connect:10.0.0.0/8 OK\nGreetPause:1.2.3.4 0\n", "a");
    write_text(dir, "aliases", "x: y\ny: x\nlost: nosuchuser, root\n", "a");
    route_check_files(cfg, report);
    buf_init(&text, 1 << 20);
    config_report_put_text(&text, report);
    CHECK_INT(config_report_errors(report), 0);
    for (size_t i = 0; i < N(says); i++)
        if (!strstr(buf_cstr(&text), says[i]))
            TEST_FAIL("no \"%s\" in %s", says[i], buf_cstr(&text));
    /* the sales list's file is not there: a notice, with the alias's line */
    CHECK(strstr(buf_cstr(&text), "aliases:3: \"sales\": mail for it is refused: 451"));
    CHECK(!strstr(buf_cstr(&text), "root has no alias"));
    write_text(dir, "aliases", "postmaster: admin@example.net\n", "w");
    route_check_files(cfg, report);
    buf_reset(&text);
    config_report_put_text(&text, report);
    CHECK(strstr(buf_cstr(&text), "root has no alias and local.root_user is empty"));
    buf_free(&text);
    config_free(&cfg);
    config_report_free(&report);
    remove_all(dir);
}

/* Not a test of time: a line to look at. */
static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void speed(void)
{
    enum { ROUNDS = 20000 };
    char dir[64];
    struct config_report *report = config_report_new();
    struct config *cfg = examples(dir, report);
    struct map_report r;
    struct route_client c = { .host = SPAN("mail.out.far.example") };
    struct route_accept out;
    map_report_init(&r);
    MUST(netaddr_parse_ip(SPAN("203.0.113.5"), &c.ip));
    struct route_tables *t = route_load(cfg, 5, &world, &r);
    MUST(t);
    double start = now_us();
    for (int i = 0; i < ROUNDS; i++) {
        arena_reset(arena);
        attempt(t, "someone@a.far.example", "user@mx.gmail.com", false);
    }
    printf("# where to: %.2f us\n", (now_us() - start) / ROUNDS);
    start = now_us();
    for (int i = 0; i < ROUNDS; i++) {
        arena_reset(arena);
        MUST(route_accept_rcpt(t, &c, SPAN("someone@a.far.example"), SPAN("user@example.net"),
                               arena, NULL, &out));
    }
    printf("# may it: %.2f us\n", (now_us() - start) / ROUNDS);
    route_tables_free(&t);
    config_free(&cfg);
    map_report_free(&r);
    config_report_free(&report);
    remove_all(dir);
}

static const struct test tests[] = { TEST(gateway), TEST(changes), TEST(hidden_rules),
                                     TEST(speed) };

int main(int argc, char **argv)
{
    arena = arena_new((size_t)1 << 24);
    int rc = test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    arena_free(&arena);
    return rc;
}
