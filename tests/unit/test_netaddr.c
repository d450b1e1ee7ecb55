#include "test.h"

#include "base/netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct span text_of(struct buf *b, const struct netaddr *a)
{
    buf_reset(b);
    netaddr_put(b, a);
    return buf_span(b);
}

static void parses_and_prints(void)
{
    static const struct {
        const char *in, *out; /* out NULL: refused */
    } cases[] = {
        { "1.2.3.4", "1.2.3.4" },
        { "127.0.0.1:2525", "127.0.0.1:2525" },
        { "0.0.0.0:25", "0.0.0.0:25" },
        { "[::1]:25", "[::1]:25" },
        { "[::]:25", "[::]:25" },
        { "[::1]", "[::1]" },
        { "::1", "[::1]" },
        { "2001:db8::1", "[2001:db8::1]" },
        { "::ffff:10.1.2.3", "10.1.2.3" },
        { "[::ffff:10.1.2.3]:99", "10.1.2.3:99" },
        { "1.2.3.4:65535", "1.2.3.4:65535" },
        { "1.2.3.4:65536", NULL },
        { "1.2.3.4:", NULL },
        { "1.2.3.4:0x19", NULL },
        { "1.2.3.4:-1", NULL },
        { "1.2.3", NULL },
        { "1.2.3.4.5", NULL },
        { "1.2.3.256", NULL },
        { "01.2.3.4", NULL },
        { "[1.2.3.4]:25", NULL },
        { "[::1", NULL },
        { "::1]", NULL },
        { "[::1]25", NULL },
        { "[]", NULL },
        { "", NULL },
        { "[", NULL },
        { ":25", NULL },
        { "localhost:25", NULL },
        { " 1.2.3.4", NULL },
    };
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct netaddr a, again;
        struct err e = { 0 };
        bool good = netaddr_parse(span_str(cases[i].in), 0, &a, &e);
        if (good != (cases[i].out != NULL))
            TEST_FAIL("\"%s\" is %s", cases[i].in, good ? "taken" : "refused");
        if (!good) {
            CHECK(e.text[0]);
            continue;
        }
        CHECK_SPAN(text_of(&b, &a), span_str(cases[i].out));
        CHECK(netaddr_parse(buf_span(&b), 0, &again, NULL) && netaddr_eq(&a, &again));
    }
    buf_free(&b);
}

static void nul_inside(void)
{
    struct netaddr a;
    CHECK(!netaddr_parse(span_of("1.2.3.4\0x", 9), 0, &a, NULL));
    CHECK(!netaddr_parse_ip(span_of("::1\0", 4), &a));
}

static void default_port(void)
{
    struct netaddr a;
    CHECK(netaddr_parse(SPAN("1.2.3.4"), 25, &a, NULL));
    CHECK_INT(a.port, 25);
    CHECK(netaddr_parse(SPAN("[::1]"), 25, &a, NULL));
    CHECK_INT(a.port, 25);
    CHECK(netaddr_parse(SPAN("[::1]:26"), 25, &a, NULL));
    CHECK_INT(a.port, 26);
    CHECK(!netaddr_parse(SPAN("[::1]:0"), 25, &a, NULL));
    CHECK(netaddr_parse(SPAN("[::1]:0"), 0, &a, NULL));
}

static void literals(void)
{
    struct netaddr a;
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    CHECK(netaddr_parse_literal(SPAN("[192.0.2.1]"), &a) && a.family == NETADDR_V4);
    netaddr_put_literal(&b, &a);
    CHECK_SPAN(buf_span(&b), SPAN("[192.0.2.1]"));
    CHECK(netaddr_parse_literal(SPAN("[ipv6:2001:DB8::1]"), &a) && a.family == NETADDR_V6);
    buf_reset(&b);
    netaddr_put_literal(&b, &a);
    CHECK_SPAN(buf_span(&b), SPAN("[IPv6:2001:db8::1]"));
    CHECK(!netaddr_parse_literal(SPAN("[2001:db8::1]"), &a));
    CHECK(!netaddr_parse_literal(SPAN("[IPv6:192.0.2.1]"), &a));
    CHECK(!netaddr_parse_literal(SPAN("192.0.2.1"), &a));
    CHECK(!netaddr_parse_literal(SPAN("[]"), &a));
    buf_free(&b);
}

static void sockaddrs(void)
{
    static const char *const texts[] = { "192.0.2.1:25", "[2001:db8::5]:2525", "0.0.0.0" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct netaddr a, again;
        struct sockaddr_storage ss;
        CHECK(netaddr_parse(span_str(texts[i]), 0, &a, NULL));
        socklen_t len = netaddr_to_sockaddr(&a, &ss);
        CHECK(len > 0 && netaddr_from_sockaddr((struct sockaddr *)&ss, len, &again));
        CHECK(netaddr_eq(&a, &again));
        CHECK(!netaddr_from_sockaddr((struct sockaddr *)&ss, len - 1, &again));
    }
    struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(7) };
    inet_pton(AF_INET6, "::ffff:192.0.2.9", &mapped.sin6_addr);
    struct netaddr a;
    CHECK(netaddr_from_sockaddr((struct sockaddr *)&mapped, sizeof mapped, &a));
    CHECK_INT(a.family, NETADDR_V4);
    CHECK_INT(a.ip[3], 9);
    CHECK_INT(a.port, 7);
    struct sockaddr_storage ss;
    CHECK_INT(netaddr_to_sockaddr(&(struct netaddr){ 0 }, &ss), 0);
}

static void kinds(void)
{
    struct netaddr a, b;
    CHECK(netaddr_parse_ip(SPAN("127.255.0.1"), &a) && netaddr_is_loopback(&a));
    CHECK(netaddr_parse_ip(SPAN("::1"), &b) && netaddr_is_loopback(&b));
    CHECK(!netaddr_same_ip(&a, &b));
    CHECK(netaddr_parse_ip(SPAN("::"), &a) && netaddr_is_any(&a) && !netaddr_is_loopback(&a));
    CHECK(netaddr_parse_ip(SPAN("0.0.0.0"), &a) && netaddr_is_any(&a));
    CHECK(!netaddr_is_any(&(struct netaddr){ 0 }));
}

static void cidr_matches(void)
{
    static const struct {
        const char *net, *ip;
        bool match;
    } cases[] = {
        { "10.0.0.0/8", "10.255.255.255", true },  { "10.0.0.0/8", "11.0.0.0", false },
        { "127.0.0.0/8", "127.0.0.1", true },      { "192.168.4.0/22", "192.168.7.255", true },
        { "192.168.4.0/22", "192.168.8.0", false }, { "0.0.0.0/0", "1.2.3.4", true },
        { "0.0.0.0/0", "::1", false },             { "::/0", "1.2.3.4", false },
        { "::/0", "2001::", true },                { "[::1]/128", "::1", true },
        { "[::1]/128", "::2", false },             { "192.0.2.7", "192.0.2.7", true },
        { "192.0.2.7", "192.0.2.6", false },       { "2001:db8::/33", "2001:db8:7fff::1", true },
        { "2001:db8::/33", "2001:db8:8000::", false },
        { "::ffff:10.0.0.0/104", "10.9.9.9", true },
        { "10.0.0.0/8", "::ffff:10.9.9.9", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cidr c;
        struct netaddr a;
        CHECK(cidr_parse(span_str(cases[i].net), &c, NULL));
        CHECK(netaddr_parse_ip(span_str(cases[i].ip), &a));
        if (cidr_match(&c, &a) != cases[i].match)
            TEST_FAIL("%s in %s", cases[i].ip, cases[i].net);
    }
    struct cidr all;
    CHECK(cidr_parse(SPAN("0.0.0.0/0"), &all, NULL));
    CHECK(!cidr_match(&all, &(struct netaddr){ 0 }));
}

static void cidr_refused(void)
{
    static const char *const bad[] = { "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "/8", "",
                                       "::/129", "::ffff:0.0.0.0/95", "10.0.0.0/8/8", "10/8",
                                       "[10.0.0.0]/8", "10.0.0.0/-1", "2001:db8::1/32" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cidr c;
        struct err e = { 0 };
        if (cidr_parse(span_str(bad[i]), &c, &e))
            TEST_FAIL("\"%s\" is taken", bad[i]);
        CHECK(e.text[0]);
    }
}

static void over_the_wire(void)
{
    struct buf b;
    struct cidr c;
    struct netaddr a, none = { 0 };
    buf_init(&b, 1024);
    CHECK(cidr_parse(SPAN("2001:db8::/32"), &c, NULL));
    CHECK(netaddr_parse(SPAN("192.0.2.1:25"), 0, &a, NULL));
    cidr_put_wire(&b, &c);
    netaddr_put_wire(&b, &a);
    netaddr_put_wire(&b, &none);
    for (size_t n = 0; n <= b.len; n++) {
        struct wire w = wire_reader(span_to(buf_span(&b), n));
        struct cidr c2 = cidr_get_wire(&w);
        struct netaddr a2 = netaddr_get_wire(&w), none2 = netaddr_get_wire(&w);
        CHECK(wire_done(&w) == (n == b.len));
        if (n == b.len)
            CHECK(cidr_eq(&c, &c2) && netaddr_eq(&a, &a2) && netaddr_eq(&none, &none2));
    }
    buf_reset(&b);
    wire_put_u8(&b, 5);
    wire_put_u64(&b, 0);
    struct wire w = wire_reader(buf_span(&b));
    netaddr_get_wire(&w);
    CHECK(w.bad);
    buf_free(&b);
}

static const struct test tests[] = {
    TEST(parses_and_prints), TEST(nul_inside),      TEST(default_port), TEST(literals),
    TEST(sockaddrs),         TEST(kinds), TEST(cidr_matches), TEST(cidr_refused),
    TEST(over_the_wire),
};
TEST_MAIN(tests)
