/* Reading configurations: the typed structure, all mistakes of a file in the words of
 * tests/cases/config/NAME.out, the flattened form, differences, and the manual page.
 * TEST_REWRITE=1 writes NAME.out and the list of options in man/postern.conf.5 anew. */
#include "test.h"

#include "config/files.h"
#include "config/show.h"
#include "config/value.h"

#include <dirent.h>
#include <syslog.h>

#define CASES TEST_TOP "/tests/cases/config"
#define MANUAL TEST_TOP "/man/postern.conf.5"

static bool rewriting(void) { return getenv("TEST_REWRITE") != NULL; }

static bool read_whole(const char *path, struct buf *b)
{
    struct err e;
    buf_init(b, CONFIG_FILE_MAX + 65536);
    if (config_read_file(path, b, &e))
        return true;
    printf("# %s\n", e.text);
    return false;
}

static bool write_whole(const char *path, struct span s)
{
    FILE *f = fopen(path, "w");
    bool good = f && fwrite(s.p, 1, s.n, f) == s.n;
    return f && fclose(f) == 0 && good;
}

/* NULL when there are mistakes, which then stand in `said`. */
static struct config *parse_span(struct span text, struct buf *said)
{
    struct config *cfg;
    struct config_report *report = config_report_new();
    config_parse(text, SPAN("t.conf"), &cfg, report);
    if (said)
        config_report_put_text(said, report);
    config_report_free(&report);
    return cfg;
}

static struct config *parse_text(const char *text) { return parse_span(span_str(text), NULL); }

static struct config *parse_file(const char *path)
{
    struct buf text;
    struct config *cfg = read_whole(path, &text) ? parse_span(buf_span(&text), NULL) : NULL;
    buf_free(&text);
    return cfg;
}

/* What the report says about `text` contains `want`. */
static bool says(const char *text, const char *want)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    struct config *cfg = parse_span(span_str(text), &b);
    bool found = strstr(buf_cstr(&b), want) != NULL;
    if (!found)
        printf("# said: %.2000s\n", buf_cstr(&b));
    config_free(&cfg);
    buf_free(&b);
    return found;
}

static bool same_text(const char *name, struct span got, const char *path)
{
    struct buf want;
    if (rewriting())
        return write_whole(path, got);
    bool same = read_whole(path, &want) && span_eq(got, buf_span(&want));
    if (!same)
        printf("# %s says:\n%.*s", name, SPAN_ARG(got));
    buf_free(&want);
    return same;
}

/* One file of tests/cases/config: what its report says, and whether it is taken. */
static bool golden(const char *name)
{
    struct buf path, text, said;
    struct config *cfg;
    struct config_report *report = config_report_new();
    buf_init(&path, 4096);
    buf_init(&said, 1 << 20);
    buf_printf(&path, CASES "/%s", name);
    bool good = read_whole(buf_cstr(&path), &text);
    bool taken = config_parse(buf_span(&text), span_str(name), &cfg, report);
    config_report_put_text(&said, report);
    buf_printf(&said, "%s: %zu errors, %zu notices\n", taken ? "taken" : "refused",
               config_report_errors(report), config_report_notices(report));
    buf_cut(&path, path.len - strlen("conf"));
    buf_putz(&path, "out");
    good = good && same_text(name, buf_span(&said), buf_cstr(&path));
    config_free(&cfg);
    config_report_free(&report);
    buf_free(&text);
    buf_free(&path);
    buf_free(&said);
    return good;
}

static void all_mistakes_in_one_run(void)
{
    DIR *d = opendir(CASES);
    size_t n = 0, bad = 0;
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (!span_ends(span_str(e->d_name), SPAN(".conf")))
            continue;
        n++;
        bad += !golden(e->d_name);
    }
    closedir(d);
    CHECK_INT(bad, 0);
    CHECK(n > 20);
}

static void typed_fields(void)
{
    struct config *c = parse_file(CASES "/gateway.conf");
    CHECK(c);
    CHECK_SPAN(c->hostname, SPAN("mx1.example.net"));
    CHECK_SPAN(c->postmaster, SPAN("postmaster@example.net"));
    CHECK_INT(c->spool.directories.n, 1);
    CHECK_SPAN(c->spool.directories.v[0], SPAN("/var/spool/postern/q*"));
    CHECK_INT(c->spool.free_min_bytes, 512 << 20);
    CHECK_INT(c->spool.inline_max_bytes, 128 << 10);
    CHECK_INT(c->n_listens, 2);
    CHECK_SPAN(c->listens[1].name, SPAN("capture"));
    CHECK_INT(c->listens[0].address.n, 2);
    CHECK_INT(c->listens[0].address.v[1].family, NETADDR_V6);
    CHECK_INT(c->listens[0].address.v[1].port, 25);
    CHECK_INT(c->listens[0].delivery, CONFIG_DELIVER);
    CHECK_INT(c->listens[1].delivery, CONFIG_HOLD);
    CHECK_INT(c->listens[0].bare_newline, CONFIG_NEWLINE_REJECT);
    CHECK_INT(c->queue.run_ms, 30 * 60 * 1000);
    CHECK_SPAN(c->tls.key.v[0], SPAN("/etc/postern/tls/mx1.key"));
    CHECK_INT(c->relay.from.n, 3);
    CHECK_INT(c->relay.from.v[2].bits, 8);
    CHECK_SPAN(c->relay.domains.v[1], SPAN(".example.net"));
    CHECK_SPAN(c->route.mailertable, SPAN("text:/etc/postern/mailertable"));
    CHECK_INT(c->route.smart_host.n, 0);
    CHECK_INT(c->dns.dnssec, CONFIG_DNSSEC_AUTO);
    CHECK_INT(c->timeout.data_init_ms, 300000);
    CHECK_INT(c->timeout.quit_ms, 60000);
    CHECK_INT(c->timeout.attempt_ms, 900000);
    CHECK_INT(c->retry.expire_after_ms, 5 * 86400000LL);
    CHECK_INT(c->limits.connections_per_client, 100);
    CHECK_SPAN(c->log.tag, SPAN("sm-mta"));
    CHECK_SPAN(c->control.socket, SPAN("/run/postern/control"));
    CHECK(c->sandbox.seccomp && c->deliver.chunking);
    config_free(&c);
    CHECK(c == NULL);
}

static void defaults(void)
{
    struct config *c = config_defaults();
    CHECK_SPAN(c->postmaster, SPAN("postmaster@localhost"));
    CHECK_INT(c->relay.from.n, 2);
    CHECK_INT(c->relay.domains.n, 0); /* no open relay */
    CHECK_INT(c->timeout.data_final_ms, 600000); /* RFC 5321 4.5.3.2.6 */
    CHECK_INT(c->timeout.data_block_ms, 180000);
    CHECK_INT(c->timeout.data_init_ms, 120000);
    CHECK_INT(c->timeout.initial_ms, 300000);
    CHECK_INT(c->server.command_ms, 300000);
    CHECK_INT(c->deliver.port, 25);
    CHECK_INT(c->log.syslog, CONFIG_SYSLOG_OFF);
    CHECK_INT(config_syslog_facility(CONFIG_SYSLOG_LOCAL0 + 7), LOG_LOCAL7);
    CHECK_INT(config_syslog_facility(CONFIG_SYSLOG_OFF), -1);
    config_free(&c);
    c = parse_file(TEST_TOP "/conf/postern.conf");
    CHECK(c);
    config_free(&c);
}

static bool sane_row(const struct config_option *o)
{
    size_t n = strlen(o->help);
    return n > 5 && o->help[n - 1] != '.' && strlen(o->name) < 40 && strlen(o->fallback) > 0 &&
           (o->max == 0 || o->min <= o->max) && (o->type == CONFIG_WORD) == (o->words != NULL) &&
           (!o->section[0] || config_section_find(span_str(o->section))) &&
           config_option_find(span_str(o->section), span_str(o->name)) == o;
}

static void table_is_sane(void)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++) {
        if (!sane_row(&o[i]))
            TEST_FAIL("%s.%s", o[i].section, o[i].name);
        for (size_t j = 0; j < i; j++)
            if (config_section_of(o[i].section) == config_section_of(o[j].section) &&
                o[i].offset == o[j].offset)
                TEST_FAIL("%s and %s are the same field", o[i].name, o[j].name);
    }
    CHECK(!(config_option_named(SPAN("spool.directories"))->flags & CONFIG_LIVE));
    CHECK(!(config_option_named(SPAN("control.socket"))->flags & CONFIG_LIVE));
    CHECK(!(config_option_named(SPAN("privilege.user"))->flags & CONFIG_LIVE));
    CHECK(config_option_named(SPAN("tls")) == NULL); /* more than one */
}

static const char small[] =
    "hostname = \"h\" listen \"a\" { address = \"1.2.3.4\" greeting = \"\\\"x\\\" \\\\\" }"
    "relay { from = {\"10.0.0.0/8\", \"2001:db8::/32\"} domains = {\"UPPER.example\"} }"
    "limits { message_size = 1500K } queue { run = 90m } sandbox { seccomp = off }"
    "route { smarttable = \"text:/s\" } tls { min_version = 1.3 }";

static void written_and_read_again(void)
{
    struct buf b, b2;
    struct config *c = parse_text(small), *again;
    buf_init(&b, 1 << 20);
    buf_init(&b2, 1 << 20);
    CHECK(c);
    CHECK_SPAN(c->relay.domains.v[0], SPAN("upper.example"));
    CHECK_SPAN(c->listens[0].greeting, SPAN("\"x\" \\"));
    config_show_file(&b, c);
    again = parse_span(buf_span(&b), &b2);
    if (!again)
        TEST_FAIL("%s", buf_cstr(&b2));
    buf_reset(&b2);
    config_show_file(&b2, again);
    CHECK_SPAN(buf_span(&b2), buf_span(&b));
    config_free(&c);
    config_free(&again);
    buf_free(&b);
    buf_free(&b2);
}

static bool shows_the_same(const struct config *a, const struct config *b)
{
    struct buf x, y;
    buf_init(&x, 1 << 20);
    buf_init(&y, 1 << 20);
    config_show(&x, a);
    config_show(&y, b);
    bool same = span_eq(buf_span(&x), buf_span(&y));
    buf_free(&x);
    buf_free(&y);
    return same;
}

static void flattened(void)
{
    struct buf b;
    struct config *c = parse_text(small), *again;
    uint32_t line, col;
    buf_init(&b, CONFIG_WIRE_MAX);
    config_put(&b, c);
    CHECK(!b.failed);
    for (size_t n = 0; n <= b.len; n++) { /* cut anywhere it is refused */
        struct wire w = wire_reader(span_to(buf_span(&b), n));
        again = config_get(&w);
        CHECK((again != NULL) == (n == b.len) && w.bad == (n < b.len));
        if (again)
            CHECK(shows_the_same(c, again));
        if (again) {
            CHECK_INT(again->n_notices, 0);
            CHECK(config_place(again, "route.smarttable", SPAN_NONE, &line, &col) && line == 1);
        }
        config_free(&again);
    }
    buf_putc(&b, 0);
    struct wire w = wire_reader(buf_span(&b));
    CHECK(config_get(&w) == NULL); /* and with a byte too many */
    config_free(&c);
    buf_free(&b);
}

/* Any byte changed: refused, or a configuration whose values keep the table's rules. */
static void flattened_and_damaged(void)
{
    struct buf b, text;
    struct config *c = parse_text(small);
    buf_init(&b, CONFIG_WIRE_MAX);
    buf_init(&text, 1 << 20);
    config_put(&b, c);
    config_free(&c);
    for (size_t i = 0; i < b.len * 2; i++) {
        char *at = b.mem + b.off + i / 2, before = *at;
        *at = i % 2 ? (char)(before + 1) : (char)0xff;
        struct wire w = wire_reader(buf_span(&b));
        c = config_get(&w);
        buf_reset(&text);
        if (c)
            config_show(&text, c);
        config_free(&c);
        *at = before;
    }
    buf_free(&b);
    buf_free(&text);
}

static void put_change(void *arg, const struct config_change *ch)
{
    buf_printf(arg, "%s%.*s: %.*s -> %.*s\n", ch->live ? "" : "! ", SPAN_ARG(ch->name),
               SPAN_ARG(ch->old_text), SPAN_ARG(ch->new_text));
}

static void differences(void)
{
    struct config *a = parse_text("hostname = \"h\" retry { first = 1m }"
                                  "listen \"a\" { address = \"1.2.3.4\" }"
                                  "listen \"b\" { address = \"1.2.3.5\" tls = off }");
    struct config *b = parse_text("hostname = \"h\" retry { first = 2m }"
                                  "spool { directories = \"/x\" }"
                                  "listen \"b\" { address = \"1.2.3.5\" delivery = hold }"
                                  "listen \"c\" { address = \"::1\" }");
    struct buf said;
    buf_init(&said, 65536);
    CHECK(a && b);
    CHECK_INT(config_diff(a, b, put_change, &said), 1);
    CHECK_SPAN(buf_span(&said),
               SPAN("! spool.directories: {\"/var/spool/postern/q*\"} -> {\"/x\"}\n"
                    "retry.first: 1m -> 2m\n"
                    "listen.a: {\"1.2.3.4:25\"} -> \n"
                    "listen.b.tls: off -> optional\n"
                    "listen.b.delivery: deliver -> hold\n"
                    "listen.c:  -> {\"[::1]:25\"}\n"));
    buf_reset(&said);
    CHECK_INT(config_diff(a, a, put_change, &said), 0);
    CHECK_INT(said.len, 0);
    config_free(&a);
    config_free(&b);
    buf_free(&said);
}

static void most_specific_listener(void)
{
    struct netaddr at;
    struct config *c = parse_text("hostname = \"h\""
                                  "listen \"all\" { address = {\"0.0.0.0\", \"::\"} }"
                                  "listen \"one\" { address = \"127.0.0.2\" }");
    CHECK(c);
    CHECK(netaddr_parse(SPAN("127.0.0.2:25"), 0, &at, NULL));
    CHECK_SPAN(config_listen_at(c, &at)->name, SPAN("one"));
    CHECK(netaddr_parse(SPAN("127.0.0.1:25"), 0, &at, NULL));
    CHECK_SPAN(config_listen_at(c, &at)->name, SPAN("all"));
    CHECK(netaddr_parse(SPAN("[::1]:25"), 0, &at, NULL));
    CHECK_SPAN(config_listen_at(c, &at)->name, SPAN("all"));
    CHECK(netaddr_parse(SPAN("127.0.0.1:26"), 0, &at, NULL));
    CHECK(!config_listen_at(c, &at));
    config_free(&c);
}

static bool is_ten(void *ctx, const struct netaddr *ip)
{
    (void)ctx;
    return ip->family == NETADDR_V4 && ip->ip[0] == 10;
}

/* A wildcard listener does not make every host's port 25 ours. */
static void own_addresses(void)
{
    static const struct {
        const char *at;
        bool own;
    } cases[] = {
        { "10.0.0.1:25", true },   { "203.0.113.5:25", false }, { "127.0.0.2:26", true },
        { "127.0.0.3:26", false }, { "10.0.0.1:27", false },    { "[2001:db8::1]:25", false },
    };
    struct config *c = parse_text("hostname = \"h\""
                                  "listen \"all\" { address = \"0.0.0.0\" }"
                                  "listen \"one\" { address = \"127.0.0.2:26\" }");
    CHECK(c);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct netaddr at;
        CHECK(netaddr_parse(span_str(cases[i].at), 0, &at, NULL));
        CHECK_INT(config_listens_at(c, &at, is_ten, NULL), cases[i].own);
    }
    config_free(&c);
}

static void places(void)
{
    uint32_t line, col;
    struct config *c = parse_text("hostname = \"h\"\nroute {\n  mailertable = \"text:/m\" }\n"
                                  "listen \"a\" { address = \"1.2.3.4\" }\n"
                                  "listen \"b\" { address = \"1.2.3.5\"\ntls = off }");
    CHECK(c && config_place(c, "route.mailertable", SPAN_NONE, &line, &col));
    CHECK(line == 3 && col == 17);
    CHECK(config_place(c, "listen.tls", SPAN("b"), &line, &col) && line == 6);
    CHECK(!config_place(c, "listen.tls", SPAN("a"), &line, &col));
    CHECK(!config_place(c, "route.smart_host", SPAN_NONE, &line, &col));
    config_free(&c);
}

static void repeat(struct buf *b, const char *head, const char *piece, size_t n, const char *tail)
{
    buf_reset(b);
    buf_putz(b, head);
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%s", piece);
    buf_putz(b, tail);
}

static void limits(void)
{
    struct buf b;
    buf_init(&b, 4 << 20);
    repeat(&b, "hostname = \"h\" relay { domains = {", "\"a\",", 4096, "} }");
    struct config *c = parse_span(buf_span(&b), NULL);
    CHECK(c && c->relay.domains.n == 4096);
    config_free(&c);
    repeat(&b, "hostname = \"h\" relay { domains = {", "\"a\",", 4097, "} }");
    CHECK(says(buf_cstr(&b), "this list is too long: 4096 items are allowed"));
    repeat(&b, "hostname = \"", "a", 5000, "\"");
    CHECK(says(buf_cstr(&b), "hostname is longer than 4096 bytes"));
    repeat(&b, "", "#", CONFIG_FILE_MAX + 1, "");
    CHECK(says(buf_cstr(&b), "the file is too large"));
    repeat(&b, "", "a {", 300000, "");
    CHECK(says(buf_cstr(&b), "unknown section"));
    repeat(&b, "", "a = 1\n", 100000, "");
    CHECK(says(buf_cstr(&b), "t.conf: 99902 more are not shown\n"));
    repeat(&b, "hostname = {", "{", 900000, "");
    CHECK(says(buf_cstr(&b), "list"));
    buf_free(&b);
}

static void too_many_listeners(void)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_putz(&b, "hostname = \"h\"\n");
    for (unsigned i = 1; i <= 65; i++) {
        buf_printf(&b, "listen \"l%u\" { address = \"127.0.0.%u\" }\n", i, i);
        CHECK(i > 64 || says(buf_cstr(&b), ""));
    }
    CHECK(says(buf_cstr(&b), "t.conf:66:1: too many listeners: 64 are allowed"));
    buf_free(&b);
}

static void suggestions(void)
{
    struct buf b;
    buf_init(&b, 256);
    CHECK(strcmp(config_suggest_option(SPAN("spool"), SPAN("fre_min")), "free_min") == 0);
    CHECK(strcmp(config_suggest_option(SPAN("tls"), SPAN("cert")), "certificate") == 0);
    CHECK(strcmp(config_suggest_section(SPAN("limts")), "limits") == 0);
    CHECK(!config_suggest_section(SPAN("zebra")));
    CHECK(!config_suggest_section(SPAN("")));
    CHECK(!config_suggest_option(SPAN("spool"), SPAN("quick_brown_fox_jumps_over_the_lazy_dog_x")));
    config_suggest_dotted(&b, SPAN("spol.freemin"));
    CHECK_SPAN(buf_span(&b), SPAN("spool.free_min"));
    buf_free(&b);
}

/* The part of the manual page between two comments is what the table says. */
static void manual_page(void)
{
    static const char begin[] = ".\\\" BEGIN OPTIONS", end[] = ".\\\" END OPTIONS";
    struct buf page, want;
    CHECK(read_whole(MANUAL, &page));
    buf_init(&want, 1 << 20);
    const char *text = buf_cstr(&page), *from = strstr(text, begin), *to = strstr(text, end);
    CHECK(from && to);
    from = strchr(from, '\n') + 1;
    buf_put(&want, text, (size_t)(from - text));
    config_show_mdoc(&want);
    buf_putz(&want, to);
    if (rewriting())
        CHECK(write_whole(MANUAL, buf_span(&want)));
    else if (!span_eq(buf_span(&page), buf_span(&want)))
        TEST_FAIL("man/postern.conf.5 is not what the table says: run with TEST_REWRITE=1");
    buf_free(&page);
    buf_free(&want);
}

static const struct test tests[] = {
    TEST(all_mistakes_in_one_run), TEST(typed_fields),  TEST(defaults),
    TEST(table_is_sane),           TEST(written_and_read_again),
    TEST(flattened),               TEST(flattened_and_damaged),
    TEST(differences),             TEST(most_specific_listener), TEST(own_addresses),
    TEST(places),                  TEST(limits),        TEST(too_many_listeners),
    TEST(suggestions),             TEST(manual_page),
};
TEST_MAIN(tests)
