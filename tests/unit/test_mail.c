#include "base/must.h"
#include "mail/address.h"
#include "mail/date.h"
#include "mail/headerwalk.h"
#include "mail/received.h"
#include "mail/untrusted.h"
#include "test.h"

static const struct {
    const char *in;
    enum address_error e;
    const char *local, *domain, *normal, *rest;
} addresses[] = {
    { "<a@B.Test>", ADDRESS_OK, "a", "B.Test", "a@b.test", "" },
    { "  <a@b> SIZE=1", ADDRESS_OK, "a", "b", "a@b", " SIZE=1" },
    { "a@b SIZE=1", ADDRESS_OK, "a", "b", "a@b", " SIZE=1" },
    { "<>", ADDRESS_OK, "", "", "", "" },
    { "<Postmaster>", ADDRESS_OK, "Postmaster", "", "Postmaster", "" },
    { "<a.b+c=d/e@b>", ADDRESS_OK, "a.b+c=d/e", "b", "a.b+c=d/e@b", "" },
    { "<a..b.@b>", ADDRESS_OK, "a..b.", "b", "a..b.@b", "" },
    { "<\"a > @ \\\" b\"@c> X", ADDRESS_OK, "\"a > @ \\\" b\"", "c", "\"a > @ \\\" b\"@c", " X" },
    { "\"a b\"@c X", ADDRESS_OK, "\"a b\"", "c", "\"a b\"@c", " X" },
    { "<@x,@y.z:a@b>", ADDRESS_OK, "a", "b", "a@b", "" },
    { "<@x:>", ADDRESS_NO_USER, "", "", NULL, "" },
    { "<a@b.>", ADDRESS_OK, "a", "b", "a@b", "" },
    { "<a@_dmarc.b-.c>", ADDRESS_OK, "a", "_dmarc.b-.c", "a@_dmarc.b-.c", "" },
    { "<a@127.0.0.1>", ADDRESS_OK, "a", "127.0.0.1", "a@127.0.0.1", "" },
    { "<a@[127.0.0.1]>", ADDRESS_OK, "a", "[127.0.0.1]", "a@[127.0.0.1]", "" },
    { "<a@[IPV6:2001:DB8::1]>", ADDRESS_OK, "a", "[IPV6:2001:DB8::1]", "a@[IPv6:2001:db8::1]", "" },
    { "<a@[2001:db8::1]>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@[127.1]>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@[tag:x]>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@[]>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@.>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@b..c>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@b..>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@.b>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@b c>", ADDRESS_BAD_HOST, "a", NULL, NULL, "" },
    { "<a@b@c>", ADDRESS_BAD_ROUTE, "a", NULL, NULL, "" },
    { "<a@@c>", ADDRESS_BAD_ROUTE, "a", NULL, NULL, "" },
    { "<@x,y:a@b>", ADDRESS_BAD_ROUTE, NULL, NULL, NULL, "" },
    { "<@a>", ADDRESS_NO_USER, NULL, NULL, NULL, "" },
    { "<a@>", ADDRESS_NO_HOST, "a", NULL, NULL, "" },
    { "<a", ADDRESS_UNBALANCED, NULL, NULL, NULL, "" },
    { "<\"a@b>", ADDRESS_UNBALANCED, NULL, NULL, NULL, "" },
    { "", ADDRESS_MISSING, NULL, NULL, NULL, "" },
    { " ", ADDRESS_MISSING, NULL, NULL, NULL, "" },
    { "<a b@c>", ADDRESS_BAD_USER, "a", NULL, NULL, "" },
    { "<a@b>c", ADDRESS_BAD_USER, "a", NULL, NULL, "c" },
    { "<(x)a@b>", ADDRESS_BAD_USER, NULL, NULL, NULL, "" },
    { "<\"a\"b@c>", ADDRESS_BAD_USER, NULL, NULL, NULL, "" },
    { "<j\xc3\xb6@b\xc3\xbc.test>", ADDRESS_OK, "j\xc3\xb6", "b\xc3\xbc.test",
      "j\xc3\xb6@b\xc3\xbc.test", "" },
    { "<j\xc3@b>", ADDRESS_BAD_USER, NULL, NULL, NULL, "" },
    { "<j@\xc0\x80>", ADDRESS_BAD_HOST, NULL, NULL, NULL, "" },
    { "<\"\xff\"@b>", ADDRESS_BAD_USER, NULL, NULL, NULL, "" },
};

static void addresses_are_read_and_never_repaired(void)
{
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        struct span s = span_str(addresses[i].in);
        struct address a;
        enum address_error e = address_take(&s, &a);
        if (e != addresses[i].e)
            TEST_FAIL("%s: error %d", addresses[i].in, (int)e);
        CHECK_SPAN(s, span_str(addresses[i].rest));
        if (e != ADDRESS_OK)
            continue;
        struct arena *arena = arena_new(4096);
        CHECK_SPAN(a.local, span_str(addresses[i].local));
        CHECK_SPAN(a.domain, span_str(addresses[i].domain));
        CHECK_SPAN(address_normal(arena, &a), span_str(addresses[i].normal));
        arena_free(&arena);
    }
}

static void addresses_have_limits(void)
{
    char text[2000];
    struct address a;
    memset(text, 'a', sizeof text);
    CHECK_INT(address_read(span_of(text, ADDRESS_MAX), &a), ADDRESS_OK);
    CHECK_INT(address_read(span_of(text, ADDRESS_MAX + 1), &a), ADDRESS_TOO_LONG);
    text[1] = '@';
    CHECK_INT(address_read(span_of(text, 2 + 63), &a), ADDRESS_OK);
    CHECK_INT(address_read(span_of(text, 2 + 64), &a), ADDRESS_BAD_HOST);
    for (int i = 2; i < 2000; i += 2)
        text[i] = '.';
    text[2] = 'a';
    text[3] = '.';
    for (int i = 4; i < 2000; i++)
        text[i] = i % 2 ? '.' : 'a';
    CHECK_INT(address_read(span_of(text, 2 + 255), &a), ADDRESS_OK);
    CHECK_INT(address_read(span_of(text, 2 + 257), &a), ADDRESS_BAD_HOST);
    CHECK_INT(address_read(span_of("a\0b@c", 5), &a), ADDRESS_BAD_USER);
    CHECK_INT(address_read(span_of("\"\0\"@c", 5), &a), ADDRESS_BAD_USER);
}

static void helo_names(void)
{
    CHECK(address_helo_ok(SPAN("_bad_")) && address_helo_ok(SPAN("[IPv6:::1]")));
    CHECK(!address_helo_ok(SPAN("a b")) && !address_helo_ok(SPAN("(a)")) &&
          !address_helo_ok(SPAN("")) && !address_helo_ok(span_of("a\0", 2)) &&
          !address_helo_ok(SPAN("a\r\nX: y")));
}

static void dates(void)
{
    static const struct {
        int64_t ms;
        int zone;
        const char *want;
    } cases[] = {
        { 0, 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
        { 1795164390999, 0, "Fri, 20 Nov 2026 08:46:30 +0000" },
        { 1795164390000, -300, "Fri, 20 Nov 2026 03:46:30 -0500" },
        { 1795164390000, 345, "Fri, 20 Nov 2026 14:31:30 +0545" },
        { -1, 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
        { 951825600000, 0, "Tue, 29 Feb 2000 12:00:00 +0000" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 64);
        CHECK(mail_date_put(&b, cases[i].ms, cases[i].zone));
        CHECK_SPAN(buf_span(&b), span_str(cases[i].want));
        buf_free(&b);
    }
}

static void untrusted_text_loses_its_teeth(void)
{
    static const struct {
        struct span in;
        enum untrusted_kind kind;
        const char *want;
    } cases[] = {
        { { "a\r\nX: y\0z\x1b[0m\x7f", 14 }, UNTRUSTED_ASCII, "a??X: y?z?[0m?" },
        { { "j\xc3\xb6", 3 }, UNTRUSTED_ASCII, "j??" },
        { { "j\xc3\xb6\xc3", 4 }, UNTRUSTED_UTF8, "j\xc3\xb6?" },
        { { "\xc2\x9b" "2J", 4 }, UNTRUSTED_UTF8, "??2J" }, /* C1 CSI */
        { { "a) (b\\\"", 7 }, UNTRUSTED_COMMENT, "a? ?b??" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 64);
        CHECK(!untrusted_clean(cases[i].in, cases[i].kind));
        CHECK(untrusted_put(&b, cases[i].in, cases[i].kind, 64));
        CHECK_SPAN(buf_span(&b), span_str(cases[i].want));
        CHECK(untrusted_clean(buf_span(&b), cases[i].kind));
        buf_free(&b);
    }
    struct buf b;
    buf_init(&b, 64);
    CHECK(untrusted_put(&b, SPAN("ab\xc3\xb6"), UNTRUSTED_UTF8, 3));
    CHECK_SPAN(buf_span(&b), SPAN("ab")); /* never half a character */
    buf_free(&b);
}

static void received_cannot_be_injected_into(void)
{
    struct buf b;
    struct span evil = SPAN("x) \r\nEvil: yes\r\n\r\n(\xff");
    struct received r = { .helo = evil, .name = evil, .ip = evil, .host = evil, .instance = evil,
                          .proto = evil, .queue_id = evil, .tls_version = evil, .tls_cipher = evil,
                          .rcpt = evil };
    buf_init(&b, RECEIVED_MAX);
    CHECK(received_put(&b, &r));
    struct headerwalk w;
    headerwalk_init(&w, SPAN("i"));
    headerwalk_input(&w, buf_span(&b));
    CHECK_INT(w.received, 1);
    CHECK(!w.done);
    CHECK(!memmem(b.mem, b.len, "\nEvil", 5));
    buf_free(&b);
}

static void received_in_every_shape(void)
{
    struct buf b;
    buf_init(&b, RECEIVED_MAX);
    struct received r = { .helo = SPAN("h"), .name = SPAN("n"), .ip = SPAN("::1"),
                          .host = SPAN("mx"), .instance = SPAN("i1"), .proto = SPAN("ESMTPS"),
                          .queue_id = SPAN("Q"), .tls_version = SPAN("TLSv1.3"),
                          .tls_cipher = SPAN("C"), .tls_bits = 256, .rcpt = SPAN("a@b") };
    CHECK(received_put(&b, &r));
    CHECK_SPAN(buf_span(&b),
               SPAN("Received: from h (n [IPv6:::1])\r\n\tby mx (postern i1) with ESMTPS id Q\r\n"
                    "\t(version=TLSv1.3 cipher=C bits=256 verify=NO)\r\n"
                    "\tfor <a@b>; Thu, 1 Jan 1970 00:00:00 +0000\r\n"));
    struct headerwalk w; /* what we write we know again */
    headerwalk_init(&w, SPAN("i1"));
    headerwalk_input(&w, buf_span(&b));
    CHECK_INT(w.ours, 1);
    buf_reset(&b);
    r.helo = r.tls_version = r.rcpt = r.name = SPAN("");
    r.ip = SPAN("192.0.2.1");
    CHECK(received_put(&b, &r));
    CHECK_SPAN(buf_span(&b),
               SPAN("Received: from [192.0.2.1] ([192.0.2.1])\r\n\tby mx (postern i1) with ESMTPS "
                    "id Q; Thu, 1 Jan 1970 00:00:00 +0000\r\n"));
    buf_reset(&b);
    r.ip = SPAN("");
    CHECK(received_put(&b, &r));
    CHECK(span_starts(buf_span(&b), SPAN("Received: by mx (postern")));
    char longest[4096];
    memset(longest, 'x', sizeof longest);
    struct span l = span_of(longest, sizeof longest);
    struct received huge = { .helo = l, .name = l, .ip = l, .host = l, .instance = l, .proto = l,
                             .queue_id = l, .tls_version = l, .tls_cipher = l, .rcpt = l };
    buf_reset(&b);
    CHECK(received_put(&b, &huge)); /* RECEIVED_MAX is enough, and no line is near 998 */
    for (struct span s = buf_span(&b); s.n;) {
        size_t n = span_find(s, '\n');
        CHECK(n < 998);
        s = span_from(s, n + 1);
    }
    buf_free(&b);
}

static const char header[] =
    "Received: from a by b (postern i1) id x\r\n"
    "X-Received: no (postern i1)\r\n"
    "received :\r\n from c\r\n\tby d (postern\r\n  i1)\r\n"
    "Received: by e (postern i2) (postern i1x) (postern  (postern i1) (postern i1)\r\n"
    "Message-ID:\r\n <abc@\r\n def>  \r\n"
    "Message-Id: <second@x>\r\n"
    "Subject: (postern i1)\r\n"
    "\r\n"
    "Received: body\r\n";

static void header_walk_cut_anywhere(void)
{
    size_t n = sizeof header - 1;
    for (size_t cut = 0; cut <= n; cut++) {
        struct headerwalk w;
        headerwalk_init(&w, SPAN("i1"));
        size_t used = headerwalk_input(&w, span_of(header, cut));
        used += headerwalk_input(&w, span_of(header + cut, n - cut));
        CHECK(w.done);
        CHECK_INT(w.received, 3);
        CHECK_INT(w.ours, 3);
        CHECK_INT(used, n - strlen("Received: body\r\n"));
        CHECK_INT(w.header_bytes, used);
        CHECK_SPAN(headerwalk_msgid(&w), SPAN("<abc@ def>"));
    }
}

static void header_walk_is_bounded(void)
{
    struct headerwalk w;
    headerwalk_init(&w, SPAN("i1"));
    headerwalk_input(&w, SPAN("Message-Id: "));
    for (int i = 0; i < 100000; i++)
        headerwalk_input(&w, SPAN("x y"));
    CHECK_INT(w.msgid_len, HEADERWALK_MSGID_MAX);
    for (int i = 0; i < 100000; i++)
        headerwalk_input(&w, SPAN("abcdef"));
    CHECK(!w.done);
    headerwalk_input(&w, SPAN("\r\nReceivedReceivedReceived: x\r\nno field\r\nReceived: x\r\n"));
    CHECK(w.done);
    CHECK_INT(w.received, 0);
    CHECK(!headerwalk_instance_ok(SPAN("a b")) && !headerwalk_instance_ok(SPAN("")) &&
          !headerwalk_instance_ok(SPAN("a(b")) && headerwalk_instance_ok(SPAN("mx1.a-b")));
}

static const struct test tests[] = {
    TEST(addresses_are_read_and_never_repaired), TEST(addresses_have_limits), TEST(helo_names),
    TEST(dates), TEST(untrusted_text_loses_its_teeth), TEST(received_cannot_be_injected_into),
    TEST(received_in_every_shape), TEST(header_walk_cut_anywhere), TEST(header_walk_is_bounded),
};

TEST_MAIN(tests)
