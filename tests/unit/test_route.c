#include "test.h"

#include "base/must.h"
#include "route/address.h"
#include "route/route.h"
#include "route/value.h"

static struct arena *arena;

#define N(list) (sizeof list / sizeof *(list))

static void values(void)
{
    static const struct {
        const char *in, *out; /* out NULL: an error that contains `says` */
        const char *says;
    } cases[] = {
        { "relay:barracuda.example.com", "relay:barracuda.example.com", NULL },
        { "RELAY:[127.0.0.1]:2600", "relay:[127.0.0.1]:2600", NULL },
        { "esmtp:[A.example]:[b.example]:26", "esmtp:[a.example]:[b.example]:26", NULL },
        { "smtp: old.example", "smtp:old.example", NULL },
        { "local:root", "local:root", NULL },
        { "local:", "local:", NULL },
        { "error:5.7.1:550 no way", "error:5.7.1:550 no way", NULL },
        { "error:4.3.0:451 Try again later", "error:4.3.0:451 Try again later", NULL },
        { "error:5.7.1:no way", "error:5.7.1:550 no way", NULL },
        { "error:4.2.1:busy", "error:4.2.1:451 busy", NULL },
        { "error:550 gone", "error:5.0.0:550 gone", NULL },
        { "error:450 later", "error:4.0.0:450 later", NULL },
        { "error:nohost no such host", "error:5.1.2:550 no such host", NULL },
        { "error:nouser:550 who?", "error:5.1.1:550 who?", NULL },
        { "error:gone for good", "error:5.0.0:550 gone for good", NULL },
        { "error:5.1.1:", "error:5.1.1:550 Mail to this address is not accepted", NULL },
        { "discard:", "discard:", NULL },
        { "hold:until monday", "hold:until monday", NULL },
        { "hostonly.example", NULL, "write \"relay:hostonly.example\"" },
        { "nosuch:host", NULL, "unknown mailer \"nosuch\"" },
        { "relay:", NULL, "the host is missing" },
        { "relay:[]", NULL, "nothing between" },
        { "relay:1.2.3.400", NULL, "ends in a number" },
        { "relay:[a]:70000", NULL, "bad port" },
        { "esmtp:postmaster@[h]", NULL, "cannot change the recipient" },
        { "error:5.7.1:450 mixed", NULL, "different things" },
        { "error:250 ok", NULL, "not 4yz" },
        { "local:a@b", NULL, "a user of this host" },
        { "error:5.7.1:550 a\rb", NULL, "control character" },
        { ":", NULL, "unknown mailer" },
        { "", NULL, "no mailer" },
    };
    for (size_t i = 0; i < N(cases); i++) {
        struct route_dest d;
        struct err e = { "" };
        struct buf b;
        buf_init(&b, 4096);
        if (route_value(span_str(cases[i].in), SPAN_NONE, arena, &d, &e)) {
            route_dest_put_value(&b, &d);
            if (!cases[i].out || !span_eq(buf_span(&b), span_str(cases[i].out)))
                TEST_FAIL("\"%s\" gives \"%s\"", cases[i].in, buf_cstr(&b));
            /* what is written reads back as the same */
            struct route_dest again;
            CHECK(route_value(buf_span(&b), SPAN_NONE, arena, &again, &e));
            CHECK_INT(again.mailer, d.mailer);
            CHECK_INT(again.reply, d.reply);
        } else if (cases[i].out || !strstr(e.text, cases[i].says)) {
            TEST_FAIL("\"%s\" is refused: %s", cases[i].in, e.text);
        }
        buf_free(&b);
    }
}

static void entries(void)
{
    struct map_report r;
    map_report_init(&r);
    struct map *m = route_open_table(
        ROUTE_MAILERTABLE,
        SPAN("inline:a.example relay:[b];user@x relay:[b];[1.2.3.4] relay:b;*.x relay:b;"
             "c.example hostonly;d.example relay:;. nosuch:x;.ok.example relay:%1.in.example"),
        1, &r);
    CHECK(!m);
    CHECK_INT(r.errors, 6);
    static const char *const says[] = {
        "inline:2: error: the key \"user@x\" is an address",
        "inline:3: error: the key \"[1.2.3.4]\"",
        "inline:4: error: the key \"*.x\" is no domain",
        "inline:5: error: no mailer in \"hostonly\"",
        "inline:6: error: the host is missing",
        "inline:7: error: unknown mailer \"nosuch\"",
    };
    for (size_t i = 0; i < N(says); i++)
        if (!strstr(buf_cstr(&r.lines), says[i]))
            TEST_FAIL("no \"%s\" in %s", says[i], buf_cstr(&r.lines));
    map_report_free(&r);
}

static const struct span local[] = { SPAN("localhost"), SPAN("Home.Example"), SPAN(".lan") };
static const struct span from[] = { SPAN("10.0.0.0/8"), SPAN("[::1]/128"), SPAN("192.0.2.7") };
static const struct span domains[] = { SPAN("example.net"), SPAN(".sub.example"),
                                       SPAN("[192.0.2.99]"), SPAN("b\xc3\xbc" "cher.example") };

static struct route_params params(void)
{
    return (struct route_params){
        .local = local, .local_count = N(local), .relay_from = from, .relay_from_count = N(from),
        .relay_domains = domains, .relay_domains_count = N(domains),
    };
}

static struct route_tables *make(const char *table, const char *smart_host, struct map **m_r)
{
    struct map_report r;
    struct route_params p = params();
    char spec[2048];
    map_report_init(&r);
    snprintf(spec, sizeof spec, "inline:%s", table);
    *m_r = table ? route_open_table(ROUTE_MAILERTABLE, span_str(spec), 5, &r) : NULL;
    p.mailertable = *m_r;
    p.postmaster = SPAN("postmaster@far.example");
    p.smart_host = span_str(smart_host);
    struct route_tables *t = r.errors ? NULL : route_tables_new(&p, &r);
    if (!t)
        printf("not ok tables: %s\n", buf_cstr(&r.lines));
    MUST(t);
    map_report_free(&r);
    return t;
}

struct want {
    const char *rcpt, *value, *queue, *matched;
};

static void find(const struct route_tables *t, const char *sender, const char *rcpt,
                 struct trail *trail, struct route_dest *d)
{
    struct route_ask ask = { .sender = span_str(sender), .rcpt = span_str(rcpt),
                             .canon_known = true };
    CHECK(route_find(t, &ask, arena, trail, d));
}

static void check_routes(const struct route_tables *t, const struct want *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct route_dest d, back;
        struct trail *trail = trail_new(64);
        struct buf b;
        buf_init(&b, 8192);
        find(t, "s@x", cases[i].rcpt, trail, &d);
        route_dest_put_value(&b, &d);
        if (!span_eq(buf_span(&b), span_str(cases[i].value)))
            TEST_FAIL("%s goes %s", cases[i].rcpt, buf_cstr(&b));
        CHECK_SPAN(d.queue, span_str(cases[i].queue));
        CHECK_SPAN(d.matched, span_str(cases[i].matched));
        CHECK(trail_step(trail, trail_count(trail) - 1)->verdict == TRAIL_DECIDED);
        buf_reset(&b);
        route_dest_put(&b, &d);
        struct wire w = wire_reader(buf_span(&b));
        CHECK(route_dest_get(&w, arena, &back) && wire_done(&w));
        CHECK_SPAN(back.queue, d.queue);
        CHECK_INT(back.hop_count, d.hop_count);
        for (size_t cut = 0; cut < b.len; cut++) {
            struct wire part = wire_reader(span_of(b.mem, cut));
            CHECK(!route_dest_get(&part, arena, &back));
        }
        buf_free(&b);
        trail_free(&trail);
    }
}

static void routes(void)
{
    struct map *m;
    struct route_tables *t = make(
        "paladinny.com relay:barracuda.example;.branch.example.net relay:[10.20.0.25];"
        "partner.example relay:[mx1.partner.example]:[mx2.partner.example];"
        "lab.example relay:[127.0.0.1]:2600;closed.example error:5.7.1:550 prohibited;"
        "old.example smtp:old2.example;parked.example hold:until monday;"
        "trash.example discard:x;me.example local:;them.example local:root;"
        ".cust.example relay:%1.in.example;xn--bcher-kva.example relay:[u]", "", &m);
    static const struct want cases[] = {
        { "u@Paladinny.COM", "relay:barracuda.example", "mx:barracuda.example",
          "mailertable paladinny.com" },
        { "u@paladinny.com.", "relay:barracuda.example", "mx:barracuda.example",
          "mailertable paladinny.com" },
        { "u@a.b.branch.example.net", "relay:[10.20.0.25]", "host:[10.20.0.25]",
          "mailertable .branch.example.net" },
        { "u@branch.example.net", "esmtp:branch.example.net", "mx:branch.example.net", "mx" },
        { "u@partner.example", "relay:[mx1.partner.example]:[mx2.partner.example]",
          "list:[mx1.partner.example]:[mx2.partner.example]", "mailertable partner.example" },
        { "u@lab.example", "relay:[127.0.0.1]:2600", "host:[127.0.0.1]:2600",
          "mailertable lab.example" },
        { "u@closed.example", "error:5.7.1:550 prohibited", "error",
          "mailertable closed.example" },
        { "u@old.example", "smtp:old2.example", "smtp+mx:old2.example",
          "mailertable old.example" },
        { "u@parked.example", "hold:until monday", "hold", "mailertable parked.example" },
        { "u@trash.example", "discard:", "discard", "mailertable trash.example" },
        { "u@me.example", "local:u", "local:u", "mailertable me.example" },
        { "u@them.example", "local:root", "local:root", "mailertable them.example" },
        { "u@x.y.cust.example", "relay:x.y.in.example", "mx:x.y.in.example",
          "mailertable .cust.example" },
        { "u@b\xc3\xbc" "cher.example", "relay:[u]", "host:[u]",
          "mailertable xn--bcher-kva.example" },
        { "u@gmail.com", "esmtp:gmail.com", "mx:gmail.com", "mx" },
        { "u@HOME.example", "local:u", "local:u", "local" },
        { "u@pc.lan", "local:u", "local:u", "local" },
        { "postmaster", "local:postmaster", "local:postmaster", "local" },
        { "u@[127.0.0.1]", "local:u", "local:u", "local" },
        { "u@[IPv6:::1]", "local:u", "local:u", "local" },
        { "u@[192.0.2.1]", "esmtp:[192.0.2.1]", "host:[192.0.2.1]", "literal" },
        { "u@[IPv6:2001:db8::1]", "esmtp:[2001:db8::1]", "host:[2001:db8::1]", "literal" },
        { "u@192.0.2.1", "esmtp:[192.0.2.1]", "host:[192.0.2.1]", "mx" },
        { "@a.x,@b.x:u@gmail.com", "esmtp:gmail.com", "mx:gmail.com", "mx" },
        { "\"a@b\"@gmail.com", "esmtp:gmail.com", "mx:gmail.com", "mx" },
        { "u@", "error:5.1.3:553 Hostname required", "error", "syntax" },
        { "@gmail.com", "error:5.1.3:553 User address required", "error", "syntax" },
        { "", "error:5.1.3:553 User address required", "error", "syntax" },
        { "u@a@gmail.com", "error:5.1.3:553 Invalid route address", "error", "syntax" },
        { "u@gmail..com", "error:5.1.2:553 Invalid host name", "error", "syntax" },
        { "u@1.2.3.400", "error:5.1.2:553 Invalid host name", "error", "syntax" },
        { "u@[1.2.3]", "error:5.1.2:553 Invalid address literal", "error", "syntax" },
    };
    check_routes(t, cases, N(cases));
    route_tables_free(&t);
    map_free(&m);
}

static void order(void)
{
    struct map *m;
    /* the catch-all is asked after every name, and before the smart host */
    struct route_tables *t = make(". relay:[all];a.example relay:[a];.b.example relay:[b]",
                                  "[smart.example]:2525", &m);
    static const struct want all[] = {
        { "u@a.example", "relay:[a]", "host:[a]", "mailertable a.example" },
        { "u@x.b.example", "relay:[b]", "host:[b]", "mailertable .b.example" },
        { "u@c.example", "relay:[all]", "host:[all]", "mailertable ." },
        { "u@home.example", "local:u", "local:u", "local" },
        { "u@[192.0.2.1]", "esmtp:[192.0.2.1]", "host:[192.0.2.1]", "literal" },
    };
    check_routes(t, all, N(all));
    route_tables_free(&t);
    map_free(&m);
    t = make("a.example relay:[a]", "[smart.example]:2525", &m);
    static const struct want smart[] = {
        { "u@a.example", "relay:[a]", "host:[a]", "mailertable a.example" },
        { "u@nx.invalid", "relay:[smart.example]:2525", "host:[smart.example]:2525",
          "smart_host" },
        { "u@localhost", "local:u", "local:u", "local" },
    };
    check_routes(t, smart, N(smart));
    route_tables_free(&t);
    map_free(&m);
    t = make(NULL, "smtp:hub.example", &m);
    static const struct want mailer[] = {
        { "u@x.example", "smtp:hub.example", "smtp+mx:hub.example", "smart_host" },
    };
    check_routes(t, mailer, N(mailer));
    route_tables_free(&t);
}

/* The order of keys asked, for every name: property of the search. */
static void search_order(void)
{
    struct map *m;
    struct route_tables *t = make("never.example relay:[n]", "", &m);
    struct trail *trail = trail_new(64);
    struct route_dest d;
    struct buf b;
    buf_init(&b, 4096);
    find(t, "", "u@A.b.Wild.test", trail, &d);
    for (size_t i = 0; i < trail_count(trail); i++)
        if (span_eq(trail_step(trail, i)->what, SPAN("mailertable")))
            buf_printf(&b, "%.*s ", SPAN_ARG(trail_step(trail, i)->key));
    CHECK_SPAN(buf_span(&b), SPAN("a.b.wild.test .b.wild.test .wild.test .test . "));
    buf_free(&b);
    trail_free(&trail);
    route_tables_free(&t);
    map_free(&m);
}

static void broken_table(void)
{
    struct map *m = map_ram_new(SPAN("ram"), 1);
    struct map_report r;
    struct route_params p = params();
    struct route_dest d;
    map_report_init(&r);
    p.mailertable = m;
    struct route_tables *t = route_tables_new(&p, &r);
    map_ram_fail(m, true);
    find(t, "", "u@gmail.com", NULL, &d);
    CHECK(d.mailer == ROUTE_ERROR && d.reply == 451); /* put off, never "no entry" */
    map_ram_fail(m, false);
    map_ram_set(m, SPAN("gmail.com"), SPAN("relay:[g]"), 1);
    find(t, "", "u@gmail.com", NULL, &d);
    CHECK_SPAN(d.queue, SPAN("host:[g]"));
    route_tables_free(&t);
    map_free(&m);
    map_report_free(&r);
}

static void bad_parameters(void)
{
    static const struct span bad_from[] = { SPAN("10.0.0.1/8"), SPAN("x") };
    static const struct span bad_domains[] = { SPAN("*.example"), SPAN("[1.2]") };
    struct map_report r;
    struct route_params p = {
        .relay_from = bad_from, .relay_from_count = 2, .relay_domains = bad_domains,
        .relay_domains_count = 2, .smart_host = SPAN("local:"),
    };
    map_report_init(&r);
    CHECK(!route_tables_new(&p, &r));
    CHECK_INT(r.errors, 5);
    CHECK(strstr(buf_cstr(&r.lines), "relay.from: error: "));
    CHECK(strstr(buf_cstr(&r.lines), "route.smart_host: error: \"local:\" is no place"));
    CHECK(strstr(buf_cstr(&r.lines), "(\".example.net\" is all below example.net)"));
    map_report_free(&r);
}

static void relay(void)
{
    static const struct {
        const char *ip, *auth, *rcpt;
        const char *denied; /* NULL: allowed */
    } cases[] = {
        { "10.1.2.3", "", "u@gmail.com", NULL },
        { "::1", "", "u@gmail.com", NULL },
        { "192.0.2.7", "", "u@[203.0.113.1]", NULL },
        { "10.1.2.3", "", "u%x@gmail.com", NULL },
        { "203.0.113.5", "joe", "u@gmail.com", NULL },
        { "203.0.113.5", "", "u@example.net", NULL },
        { "203.0.113.5", "", "u@EXAMPLE.NET.", NULL },
        { "203.0.113.5", "", "u@a.b.sub.example", NULL },
        { "203.0.113.5", "", "u@home.example", NULL },
        { "203.0.113.5", "", "postmaster", NULL },
        { "203.0.113.5", "", "Postmaster@Far.example", NULL }, /* configured as such */
        { "203.0.113.5", "", "x@far.example", "550 5.7.1 <x@far.example>... Relaying denied" },
        { "203.0.113.5", "", "u%gmail.com@home.example", NULL }, /* a user of that name */
        { "203.0.113.5", "", "u@[127.0.0.1]", NULL },
        { "203.0.113.5", "", "u@[192.0.2.99]", NULL },
        { "203.0.113.5", "", "u@xn--bcher-kva.example", NULL },
        { "203.0.113.5", "", "u@B\xc3\xbc" "cher.example", NULL },
        { "203.0.113.5", "", "@gmail.com:u@example.net", NULL }, /* the route is dropped */
        { "203.0.113.5", "", "u@gmail.com", "550 5.7.1 <u@gmail.com>... Relaying denied" },
        { "203.0.113.5", "", "u@sub.example", "550 5.7.1 <u@sub.example>... Relaying denied" },
        { "203.0.113.5", "", "u@a.example.net",
          "550 5.7.1 <u@a.example.net>... Relaying denied" },
        { "203.0.113.5", "", "u@badexample.net",
          "550 5.7.1 <u@badexample.net>... Relaying denied" },
        { "203.0.113.5", "", "@example.net:u@gmail.com",
          "550 5.7.1 <@example.net:u@gmail.com>... Relaying denied" },
        { "203.0.113.5", "", "u%gmail.com@example.net",
          "550 5.7.1 <u%gmail.com@example.net>... Relaying denied" },
        { "203.0.113.5", "", "gmail.com!u@example.net",
          "550 5.7.1 <gmail.com!u@example.net>... Relaying denied" },
        { "203.0.113.5", "", "\"u@gmail.com\"@example.net",
          "550 5.7.1 <\"u@gmail.com\"@example.net>... Relaying denied" },
        { "203.0.113.5", "", "u@[203.0.113.1]",
          "550 5.7.1 <u@[203.0.113.1]>... Relaying denied" },
        { "203.0.113.5", "", "u@[IPv6:2001:db8::1]",
          "550 5.7.1 <u@[IPv6:2001:db8::1]>... Relaying denied" },
        { "203.0.113.5", "", "u@a@example.net",
          "553 5.1.3 <u@a@example.net>... Invalid route address" },
        { "2001:db8::5", "", "u@lab.example", "550 5.7.1 <u@lab.example>... Relaying denied" },
    };
    struct map *m;
    struct route_tables *t = make("lab.example relay:[127.0.0.1]:2600", "[smart]", &m);
    for (size_t i = 0; i < N(cases); i++) {
        struct route_client c = { .auth = span_str(cases[i].auth) };
        struct route_reply reply;
        char got[1024];
        CHECK(netaddr_parse_ip(span_str(cases[i].ip), &c.ip));
        bool yes = route_relay_allowed(t, &c, span_str(cases[i].rcpt), arena, NULL, &reply);
        snprintf(got, sizeof got, "%u %.*s %.*s", reply.reply, SPAN_ARG(reply.code),
                 SPAN_ARG(reply.text));
        if (yes != !cases[i].denied || (!yes && strcmp(got, cases[i].denied) != 0))
            TEST_FAIL("%s from %s: %s", cases[i].rcpt, cases[i].ip, yes ? "allowed" : got);
    }
    route_tables_free(&t);
    map_free(&m);
}

static void relay_words(void)
{
    struct map *m;
    struct route_tables *t = make(NULL, "[smart]", &m);
    struct route_client c = { .name = ROUTE_NAME_FAILED };
    struct route_reply reply;
    struct trail *trail = trail_new(16);
    netaddr_parse_ip(SPAN("127.0.0.9"), &c.ip);
    CHECK(!route_relay_allowed(t, &c, SPAN("user@gmail.com"), arena, trail, &reply));
    CHECK_SPAN(reply.text,
               SPAN("<user@gmail.com>... Relaying denied. IP name lookup failed [127.0.0.9]"));
    struct buf b;
    buf_init(&b, 4096);
    trail_text(&b, trail, "");
    CHECK_SPAN(buf_span(&b), SPAN("relay.from 127.0.0.9: no match\n"
                                  "relay.domains gmail.com: no match\n"));
    buf_free(&b);
    trail_free(&trail);
    c = (struct route_client){ .ip = { .family = NETADDR_NONE } };
    CHECK(route_relay_allowed(t, &c, SPAN("user@gmail.com"), arena, NULL, &reply));
    route_tables_free(&t);
}

static const struct test tests[] = {
    TEST(values),       TEST(entries),        TEST(routes), TEST(order), TEST(search_order),
    TEST(broken_table), TEST(bad_parameters), TEST(relay), TEST(relay_words),
};

int main(int argc, char **argv)
{
    arena = arena_new((size_t)1 << 30);
    int rc = test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    arena_free(&arena);
    return rc;
}
