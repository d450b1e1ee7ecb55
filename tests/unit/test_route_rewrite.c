/* The sender's address as others see it: sendmail's table of masquerading, row by row. */
#include "test.h"

#include "base/must.h"
#include "route/route.h"

static struct arena *arena;

#define N(list) (sizeof list / sizeof *(list))

static const struct span local[] = { SPAN("drj.com"), SPAN("localhost") };
static const struct span masqueraded[] = { SPAN("corp.test"), SPAN(".corp.test") };
static const struct span generics[] = { SPAN("far.test") };
static const struct span exposed[] = { SPAN("daemon") };
static const struct span from[] = { SPAN("10.0.0.0/8") };

enum which { PLAIN = 0, ALL = 1, LIMITED = 2 };

static struct route_tables *make(enum which which, const char *generics_text, struct map **m)
{
    bool all = which == ALL;
    struct map_report r;
    struct route_params p = {
        .local = local, .local_count = N(local), .hostname = SPAN("drjemgw2.drj.com"),
        .masquerade_as = SPAN("drj.com"), .masquerade_domains = masqueraded,
        .masquerade_domains_count = N(masqueraded), .exposed_users = exposed,
        .exposed_users_count = N(exposed), .masquerade_envelope = all, .masquerade_all = all,
        .generics_domains = generics, .generics_domains_count = N(generics),
        .masquerade_limited = which == LIMITED,
        .relay_from = from, .relay_from_count = N(from),
    };
    map_report_init(&r);
    *m = generics_text ? route_open_table(ROUTE_GENERICSTABLE, span_str(generics_text), 1, &r)
                       : NULL;
    p.genericstable = *m;
    struct route_tables *t = route_tables_new(&p, &r);
    MUST(t && !r.errors);
    map_report_free(&r);
    return t;
}

struct row {
    const char *in, *want[4]; /* in the order of the columns of the table */
};

static void check(const struct route_tables *t, const struct row *rows, size_t n)
{
    static const enum route_place places[4] = { ROUTE_HEADER_SENDER, ROUTE_ENVELOPE_SENDER,
                                                ROUTE_HEADER_RCPT, ROUTE_ENVELOPE_RCPT };
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 4; k++) {
            struct span got = route_rewrite_sender(t, places[k], span_str(rows[i].in), arena,
                                                   NULL);
            if (!span_eq(got, span_str(rows[i].want[k])))
                TEST_FAIL("%s in place %d becomes %.*s", rows[i].in, k, SPAN_ARG(got));
        }
}

#define SAME(text) { text, { text, text, text, text } }

static void masquerading(void)
{
    static const struct row plain[] = {
        { "root", { "root@drj.com", "root@drjemgw2.drj.com", "root@drjemgw2.drj.com",
                    "root@drjemgw2.drj.com" } },
        { "root@drjemgw2.drj.com", { "root@drj.com", "root@drjemgw2.drj.com",
                                     "root@drjemgw2.drj.com", "root@drjemgw2.drj.com" } },
        { "user@host.corp.test", { "user@drj.com", "user@host.corp.test", "user@host.corp.test",
                                   "user@host.corp.test" } },
        { "daemon", { "daemon@drjemgw2.drj.com", "daemon@drjemgw2.drj.com",
                      "daemon@drjemgw2.drj.com", "daemon@drjemgw2.drj.com" } },
        SAME("user@gmail.com"), SAME(""), SAME("user@"), SAME("daemon@corp.test"),
    };
    static const struct row all[] = {
        { "root", { "root@drj.com", "root@drj.com", "root@drj.com", "root@drjemgw2.drj.com" } },
        { "user@host.corp.test", { "user@drj.com", "user@drj.com", "user@drj.com",
                                   "user@host.corp.test" } },
        { "Daemon", { "Daemon@drjemgw2.drj.com", "Daemon@drjemgw2.drj.com",
                      "Daemon@drjemgw2.drj.com", "Daemon@drjemgw2.drj.com" } },
        SAME("user@gmail.com"), SAME("user@notcorp.test"),
    };
    struct map *m;
    struct route_tables *t = make(PLAIN, NULL, &m);
    check(t, plain, N(plain));
    route_tables_free(&t);
    t = make(ALL, NULL, &m);
    check(t, all, N(all));
    route_tables_free(&t);
}

/* limited_masquerade: names of our own stay, unless they are listed. */
static void limited(void)
{
    static const struct row rows[] = {
        { "root", { "root@drj.com", "root@drjemgw2.drj.com", "root@drjemgw2.drj.com",
                    "root@drjemgw2.drj.com" } },
        { "user@host.corp.test", { "user@drj.com", "user@host.corp.test", "user@host.corp.test",
                                   "user@host.corp.test" } },
        SAME("root@drjemgw2.drj.com"), SAME("root@localhost"), SAME("user@gmail.com"),
    };
    struct map *m;
    struct route_tables *t = make(LIMITED, NULL, &m);
    check(t, rows, N(rows));
    route_tables_free(&t);
}

static void generic_senders(void)
{
    static const struct row plain[] = {
        { "root", { "Root.Full@drj.com", "root@drjemgw2.drj.com", "root@drjemgw2.drj.com",
                    "root@drjemgw2.drj.com" } },
        { "ann@drj.com", { "Ann@example.net", "ann@drj.com", "ann@drj.com", "ann@drj.com" } },
        { "ann@localhost", { "other@drj.com", "ann@localhost", "ann@localhost",
                             "ann@localhost" } },
        { "bob+x@far.test", { "bobby@drj.com", "bob+x@far.test", "bob+x@far.test",
                              "bob+x@far.test" } },
        SAME("root@gmail.com"),
    };
    static const struct row all[] = {
        { "root", { "Root.Full@drj.com", "Root.Full@drj.com", "Root.Full@drj.com",
                    "root@drjemgw2.drj.com" } },
    };
    static const char text[] = "inline:root Root.Full@drj.com;ann@drj.com Ann@example.net;"
                               "ann other;bob bobby@drj.com";
    struct map *m;
    struct route_tables *t = make(PLAIN, text, &m);
    check(t, plain, N(plain));
    route_tables_free(&t);
    map_free(&m);
    t = make(ALL, text, &m);
    check(t, all, N(all));
    route_tables_free(&t);
    map_free(&m);
}

static void whose(void)
{
    struct map *m;
    struct route_tables *t = make(PLAIN, NULL, &m);
    struct route_client c = { .ip = { 0 } };
    CHECK(route_rewrites(t, &c)); /* submitted here */
    CHECK(netaddr_parse_ip(SPAN("10.1.1.1"), &c.ip) && route_rewrites(t, &c));
    CHECK(netaddr_parse_ip(SPAN("203.0.113.5"), &c.ip) && !route_rewrites(t, &c));
    c.auth = SPAN("joe");
    CHECK(route_rewrites(t, &c));
    route_tables_free(&t);
    struct route_params p = { 0 };
    struct map_report r;
    map_report_init(&r);
    t = route_tables_new(&p, &r);
    CHECK(!route_rewrites(t, &c)); /* nothing is configured */
    route_tables_free(&t);
    map_report_free(&r);
}

static const struct test tests[] = { TEST(masquerading), TEST(limited), TEST(generic_senders),
                                    TEST(whose) };

int main(int argc, char **argv)
{
    arena = arena_new((size_t)1 << 24);
    int rc = test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    arena_free(&arena);
    return rc;
}
