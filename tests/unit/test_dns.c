#include "test.h"

#include "base/must.h"
#include "dns/cache.h"
#include "dns/mx.h"
#include "dns/zone.h"

static struct arena *arena;

static struct dns_question question(const char *name, uint16_t type)
{
    struct dns_question q = { .type = type };
    MUST(dns_name_from(span_str(name), &q.name) == DNS_NAME_OK);
    return q;
}

static struct dns_zone *zone_of(const char *text)
{
    struct dns_zone *z = dns_zone_new();
    struct err e = { "" };
    if (!dns_zone_add(z, span_str(text), &e)) {
        printf("not ok %s\n", e.text);
        exit(1);
    }
    return z;
}

static void names(void)
{
    static const struct {
        const char *in;
        enum dns_name_error e;
        const char *out;
    } cases[] = {
        { "Example.NET.", DNS_NAME_OK, "example.net" },
        { "a", DNS_NAME_OK, "a" },
        { "_spf.x-1.net", DNS_NAME_OK, "_spf.x-1.net" },
        { "", DNS_NAME_EMPTY, "" },
        { ".", DNS_NAME_EMPTY, "" },
        { "a..b", DNS_NAME_LABEL_EMPTY, "" },
        { ".a", DNS_NAME_LABEL_EMPTY, "" },
        { "a b", DNS_NAME_CHARACTER, "" },
        { "a/b", DNS_NAME_CHARACTER, "" },
        { "b\xc3\xbc" "cher.example", DNS_NAME_OK, "xn--bcher-kva.example" },
        { "fa\xc3\x9f.de", DNS_NAME_OK, "xn--fa-hia.de" },
        { "\xff\xfe.de", DNS_NAME_IDNA, "" },
        { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.x",
          DNS_NAME_LABEL_LONG, "" },
    };
    struct dns_name n;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum dns_name_error e = dns_name_from(span_str(cases[i].in), &n);
        if (e != cases[i].e)
            TEST_FAIL("\"%s\" gives %d (%s)", cases[i].in, e, dns_name_error_text(e));
        if (!e)
            CHECK_SPAN(dns_name_span(&n), span_str(cases[i].out));
    }
    char big[300];
    memset(big, 'a', sizeof big);
    for (int i = 50; i < 300; i += 50)
        big[i] = '.';
    CHECK_INT(dns_name_from(span_of(big, 253), &n), DNS_NAME_OK);
    CHECK_INT(dns_name_from(span_of(big, 254), &n), DNS_NAME_LONG);
    struct dns_name zone, sub, other;
    dns_name_from(SPAN("example.net"), &zone);
    dns_name_from(SPAN("a.example.net"), &sub);
    dns_name_from(SPAN("badexample.net"), &other);
    CHECK(dns_name_under(&sub, &zone) && dns_name_under(&zone, &zone));
    CHECK(!dns_name_under(&other, &zone) && !dns_name_under(&zone, &sub));
}

static void compressed_names(void)
{
    static const char good[] = "\3net\0\4mail\xc0\0\2mx\xc0\5X";
    size_t off = 5;
    struct dns_name n;
    struct span p = span_of(good, sizeof good - 1);
    CHECK_INT(dns_name_read(p, &off, &n), 1);
    CHECK_SPAN(dns_name_span(&n), SPAN("mail.net"));
    CHECK_INT(off, 12);
    off = 12;
    CHECK_INT(dns_name_read(p, &off, &n), 1);
    CHECK_SPAN(dns_name_span(&n), SPAN("mx.mail.net"));
    CHECK_INT(off, 17);
    static const char *const bad[] = { "\xc0\0", "\xc0\1\xc0\0", "\1a\xc0\0", "\xc0", "\5ab",
                                       "\x80" "a", "\1a\xc0\2" };
    static const size_t sizes[] = { 2, 4, 4, 1, 3, 2, 4 };
    for (size_t i = 0; i < 7; i++) {
        off = 0;
        CHECK_INT(dns_name_read(span_of(bad[i], sizes[i]), &off, &n), -1);
    }
    off = 0;
    CHECK_INT(dns_name_read(SPAN("\3a.b\0"), &off, &n), 0); /* a dot inside a label */
    CHECK_INT(off, 5);
}

static const char zone_text[] =
    "multi.test 120 MX 20 mx2.multi.test\n"
    "multi.test 90 MX 10 mx1.multi.test\n"
    "mx1.multi.test A 192.0.2.1\nmx1.multi.test AAAA 2001:db8::1\n"
    "mx2.multi.test A 192.0.2.2\n"
    "alias.test 7 CNAME multi.test\n"
    "loop.test CNAME loop.test\n"
    "txt.test TXT v=spf1 -all\n"
    "broken.test SERVFAIL\nslow.test TIMEOUT\n";

static void packets(void)
{
    struct dns_zone *z = zone_of(zone_text);
    struct buf b;
    struct dns_answer ans;
    buf_init(&b, DNS_PACKET_MAX);
    struct dns_question q = question("alias.test", DNS_MX);
    CHECK_INT(dns_zone_answer(z, &q, &b), DNS_RECORDS);
    CHECK(dns_answer_read(buf_span(&b), &q, arena, &ans));
    CHECK_INT(ans.status, DNS_RECORDS);
    CHECK_INT(ans.count, 2);
    CHECK_INT(ans.ttl_s, 7);
    CHECK_SPAN(ans.canon, SPAN("multi.test"));
    CHECK_INT(ans.records[0].pref, 20);
    CHECK_SPAN(ans.records[1].name, SPAN("mx1.multi.test"));
    /* Every cut is refused, and nothing beyond the end is read (the sanitizer looks on). */
    for (size_t n = 0; n < b.len; n++) {
        char *cut = malloc(n ? n : 1);
        memcpy(cut, b.mem, n);
        CHECK(!dns_answer_read(span_of(cut, n), &q, arena, &ans));
        free(cut);
    }
    struct dns_question other = question("multi.test", DNS_MX);
    CHECK(!dns_answer_read(buf_span(&b), &other, arena, &ans)); /* not what was asked */
    other = question("alias.test", DNS_A);
    CHECK(!dns_answer_read(buf_span(&b), &other, arena, &ans));

    static const struct {
        const char *name;
        uint16_t type;
        enum dns_status status;
        uint32_t ttl_s;
    } cases[] = {
        { "mx1.multi.test", DNS_AAAA, DNS_RECORDS, 60 },
        { "mx2.multi.test", DNS_AAAA, DNS_NODATA, 30 },
        { "nx.multi.test", DNS_A, DNS_NXDOMAIN, 30 },
        { "alias.test", DNS_A, DNS_NODATA, 7 },
        { "broken.test", DNS_A, DNS_SERVFAIL, 0 },
        { "txt.test", DNS_TXT, DNS_RECORDS, 60 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q = question(cases[i].name, cases[i].type);
        buf_reset(&b);
        dns_zone_answer(z, &q, &b);
        CHECK(dns_answer_read(buf_span(&b), &q, arena, &ans));
        CHECK_INT(ans.status, cases[i].status);
        CHECK_INT(ans.ttl_s, cases[i].ttl_s);
    }
    CHECK_SPAN(ans.records[0].text, SPAN("v=spf1 -all"));
    q = question("loop.test", DNS_A);
    buf_reset(&b);
    dns_zone_answer(z, &q, &b);
    CHECK(!dns_answer_read(buf_span(&b), &q, arena, &ans)); /* a chain without end */
    buf_free(&b);
    dns_zone_free(&z);
}

/* Asks the zone and the cache as a resolver would. */
static struct dns_answer ask(struct dns_zone *z, struct dns_cache *c, const char *name,
                             uint16_t type, int64_t now_ms)
{
    struct dns_question q = question(name, type);
    struct dns_answer ans;
    struct buf b;
    if (dns_cache_get(c, &q, now_ms, arena, &ans))
        return ans;
    buf_init(&b, DNS_PACKET_MAX);
    struct dns_raw raw = { .status = dns_zone_answer(z, &q, &b), .server = SPAN("127.0.0.1:53"),
                           .asked_ms = 1000000 + now_ms };
    raw.packet = buf_span(&b);
    dns_raw_read(&raw, &q, arena, &ans);
    dns_cache_put(c, &q, &raw, &ans, now_ms);
    buf_free(&b);
    return ans;
}

static void cache_ttl(void)
{
    struct dns_zone *z = zone_of(zone_text);
    struct dns_cache *c = dns_cache_new(&(struct dns_cache_params){ .max_ttl_s = 100,
                                        .max_negative_ttl_s = 20, .fail_ttl_s = 5 });
    struct dns_answer ans = ask(z, c, "multi.test", DNS_MX, 0);
    CHECK(!ans.cached && ans.ttl_s == 90);
    ans = ask(z, c, "MULTI.test", DNS_MX, 10500);
    CHECK(ans.cached);
    CHECK_INT(ans.ttl_s, 79);                 /* never rounded up */
    CHECK_INT(ans.records[0].ttl_s, 109);
    CHECK_INT(ans.asked_ms, 1000000);
    CHECK_SPAN(ans.server, SPAN("127.0.0.1:53"));
    CHECK(ask(z, c, "multi.test", DNS_MX, 89999).cached);
    CHECK(!ask(z, c, "multi.test", DNS_MX, 90000).cached);
    CHECK(!ask(z, c, "nx.test", DNS_A, 0).cached);
    CHECK(ask(z, c, "nx.test", DNS_A, 19999).cached);
    CHECK(!ask(z, c, "nx.test", DNS_A, 20000).cached); /* the cap, below the SOA's 30 */
    CHECK(!ask(z, c, "slow.test", DNS_A, 0).cached);
    ans = ask(z, c, "slow.test", DNS_A, 4999);
    CHECK(ans.cached && ans.status == DNS_TIMEOUT);
    CHECK(!ask(z, c, "slow.test", DNS_A, 5000).cached);
    dns_cache_free(&c);
    dns_zone_free(&z);
}

static void cache_flush(void)
{
    struct dns_zone *z = zone_of(zone_text);
    struct dns_cache *c = dns_cache_new(&(struct dns_cache_params){ .seed = 9 });
    ask(z, c, "multi.test", DNS_MX, 0);
    ask(z, c, "mx1.multi.test", DNS_A, 0);
    ask(z, c, "mx1.multi.test", DNS_AAAA, 0);
    ask(z, c, "txt.test", DNS_TXT, 0);
    ask(z, c, "broken.test", DNS_A, 0); /* fail_ttl_s 0: not kept */
    CHECK_INT(dns_cache_stats(c).entries, 4);
    struct dns_question q = question("mx1.multi.test", DNS_A);
    CHECK_INT(dns_cache_flush(c, &q.name, false), 2);
    CHECK(!ask(z, c, "mx1.multi.test", DNS_A, 10).cached);
    q = question("multi.test", DNS_A);
    CHECK_INT(dns_cache_flush(c, &q.name, true), 2);
    CHECK(ask(z, c, "txt.test", DNS_TXT, 10).cached);
    CHECK_INT(dns_cache_flush(c, NULL, false), 1);
    CHECK_INT(dns_cache_stats(c).entries, 0);
    CHECK_INT(dns_cache_stats(c).bytes, 0);
    dns_cache_free(&c);
    dns_zone_free(&z);
}

static void cache_bounds(void)
{
    struct dns_cache *c = dns_cache_new(&(struct dns_cache_params){ .max_entries = 10 });
    struct dns_zone *z = dns_zone_new();
    struct err e;
    for (int i = 0; i < 30; i++) {
        char line[64], name[32];
        snprintf(name, sizeof name, "h%d.test", i);
        snprintf(line, sizeof line, "%s A 192.0.2.%d\n", name, i);
        dns_zone_add(z, span_str(line), &e);
        ask(z, c, name, DNS_A, 0);
        CHECK(ask(z, c, "h0.test", DNS_A, 0).cached || i == 0); /* used again: stays */
    }
    CHECK_INT(dns_cache_stats(c).entries, 10);
    CHECK_INT(dns_cache_stats(c).evicted, 20);
    CHECK(!ask(z, c, "h5.test", DNS_A, 0).cached && ask(z, c, "h29.test", DNS_A, 0).cached);
    dns_cache_free(&c);
    c = dns_cache_new(&(struct dns_cache_params){ .max_bytes = 3000 });
    for (int i = 0; i < 30; i++) {
        char name[32];
        snprintf(name, sizeof name, "h%d.test", i);
        ask(z, c, name, DNS_A, 0);
        CHECK(dns_cache_stats(c).bytes <= 3000);
    }
    CHECK(dns_cache_stats(c).entries > 2);
    dns_cache_free(&c);
    dns_zone_free(&z);
}

/* A reload: less memory, other times; and 0 seconds are none at all. */
static void cache_configured(void)
{
    struct dns_zone *z = zone_of(zone_text);
    struct dns_cache *c = dns_cache_new(&(struct dns_cache_params){ .seed = 9 });
    CHECK(!ask(z, c, "multi.test", DNS_MX, 0).cached);
    CHECK(!ask(z, c, "mx1.multi.test", DNS_A, 0).cached);
    CHECK(!ask(z, c, "nx.test", DNS_A, 0).cached);
    size_t bytes = dns_cache_stats(c).bytes;
    dns_cache_configure(c, &(struct dns_cache_params){ .max_bytes = bytes - 1, .max_ttl_s = 20,
                                                       .max_negative_ttl_s = DNS_NOT_KEPT });
    CHECK_INT(dns_cache_stats(c).entries, 2); /* the oldest one has left */
    CHECK(!ask(z, c, "multi.test", DNS_MX, 1000).cached);
    CHECK(dns_cache_stats(c).bytes < bytes);
    CHECK(ask(z, c, "multi.test", DNS_MX, 20999).cached);
    CHECK(!ask(z, c, "multi.test", DNS_MX, 21000).cached);
    CHECK(!ask(z, c, "nx.test", DNS_AAAA, 21000).cached);
    CHECK(!ask(z, c, "nx.test", DNS_AAAA, 21000).cached);
    dns_cache_configure(c, &(struct dns_cache_params){ .max_ttl_s = DNS_NOT_KEPT });
    CHECK(!ask(z, c, "txt.test", DNS_TXT, 22000).cached);
    CHECK(!ask(z, c, "txt.test", DNS_TXT, 22000).cached);
    dns_cache_free(&c);
    dns_zone_free(&z);
}

/* --- next hops --- */

static void hops(void)
{
    static const struct {
        const char *in, *out; /* out NULL: refused */
    } cases[] = {
        { "Example.NET", "example.net" },
        { "example.net:2525", "example.net:2525" },
        { "[MX.example.net]", "[mx.example.net]" },
        { "[127.0.0.1]:2600", "[127.0.0.1]:2600" },
        { "127.0.0.1", "[127.0.0.1]" },
        { "[::1]", "[::1]" },
        { "[IPv6:2001:DB8::1]:26", "[2001:db8::1]:26" },
        { "[a.example]:[b.example]", "[a.example]:[b.example]" },
        { "[a]:25:b:26:[::1]", "[a]:25:b:26:[::1]" },
        { "", NULL }, { "[]", NULL }, { "[a", NULL }, { "[a]b", NULL }, { "a:", NULL },
        { "[a]:0", NULL }, { "[a]:65536", NULL }, { "[1.2.3:4]", NULL }, { "a..b", NULL },
        { "user@[a]", NULL }, { "a b", NULL }, { "[fe80::1%eth0]", NULL }, { ":25", NULL },
    };
    struct dns_hop h[DNS_HOPS_MAX];
    struct buf b;
    buf_init(&b, 1024);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = { "" };
        size_t n;
        bool good = dns_hops_parse(span_str(cases[i].in), h, &n, &e);
        if (good != (cases[i].out != NULL) || good != !e.text[0])
            TEST_FAIL("\"%s\": %s", cases[i].in, e.text);
        if (!good)
            continue;
        buf_reset(&b);
        dns_hops_put(&b, h, n);
        CHECK_SPAN(buf_span(&b), span_str(cases[i].out));
    }
    buf_free(&b);
}

static bool own_9(void *ctx, const struct netaddr *a)
{
    (void)ctx;
    return a->family == NETADDR_V4 && a->ip[3] == 9 && a->port == 25;
}

static const char mx_zone[] =
    "pref.test 50 MX 20 b.test\npref.test 50 MX 10 a.test\npref.test 50 MX 30 c.test\n"
    "a.test 40 A 192.0.2.1\nb.test A 192.0.2.2\nc.test A 192.0.2.3\n"
    "implicit.test A 192.0.2.4\nimplicit.test AAAA 2001:db8::4\nother.test CNAME implicit.test\n"
    "null.test MX 0 .\n"
    "nullish.test MX 0 .\nnullish.test MX 10 a.test\n"
    "alias.test CNAME pref.test\n"
    "calias.test MX 5 amx.test\namx.test CNAME a.test\n"
    "own.test A 192.0.2.9\n"
    "loop.test MX 10 own.test\nloop.test MX 20 a.test\n"
    "backup.test MX 10 a.test\nbackup.test MX 20 own.test\nbackup.test MX 30 b.test\n"
    "equalown.test MX 10 a.test\nequalown.test MX 10 own.test\n"
    "ownbetterslow.test MX 5 slow.test\nownbetterslow.test MX 20 own.test\n"
    "servfail.test SERVFAIL\nslow.test TIMEOUT\n"
    "mxfail.test MX SERVFAIL\nmxfail.test A 192.0.2.1\n"
    "half.test MX 10 servfail.test\nhalf.test MX 20 b.test\n"
    "allfail.test MX 10 servfail.test\nallfail.test MX 20 nx.test\n"
    "nodata.test TXT x\n"
    "gone.test MX 10 nx.test\ngone.test MX 20 nx2.test\n"
    "noaddr.test MX 10 nodata.test\n"
    "literal.test MX 10 192.0.2.7\n"
    "zero.test A 0.0.0.0\n"
    "v6.test MX 10 v6host.test\nv6host.test AAAA 2001:db8::6\n"
    "aaaafail.test A 192.0.2.1\naaaafail.test AAAA SERVFAIL\n"
    "dup.test MX 10 a.test\ndup.test MX 20 A.test\n";

struct lookup {
    struct dns_mx *m;
    const struct dns_plan *plan;
    struct trail *trail;
    struct buf text;
};

static struct lookup look_p(const char *hop_text, struct dns_mx_params p, struct dns_zone *z)
{
    struct lookup l = { .trail = trail_new(64) };
    struct dns_hop h[DNS_HOPS_MAX];
    size_t n;
    struct err e = { "" };
    p.trail = l.trail;
    p.port = p.port ? p.port : 25;
    p.is_own = own_9;
    if (!dns_hops_parse(span_str(hop_text), h, &n, &e)) {
        h[0] = (struct dns_hop){ .host = span_str(hop_text) };
        n = 1;
    }
    l.m = dns_mx_new(&p, h, n);
    struct dns_question q;
    while (dns_mx_next(l.m, &q)) {
        struct buf b;
        struct dns_answer ans;
        buf_init(&b, DNS_PACKET_MAX);
        struct dns_raw raw = { .status = dns_zone_answer(z, &q, &b) };
        raw.packet = buf_span(&b);
        raw.took_ms = q.type; /* MX 15, A 1, AAAA 28 */
        dns_raw_read(&raw, &q, arena, &ans);
        dns_mx_told(l.m, &q, &ans);
        buf_free(&b);
    }
    l.plan = dns_mx_plan(l.m);
    buf_init(&l.text, 4096);
    dns_plan_text(&l.text, l.plan);
    return l;
}

static void look_end(struct lookup *l)
{
    dns_mx_free(&l->m);
    trail_free(&l->trail);
    buf_free(&l->text);
}

static void mx_cases(void)
{
    static const struct {
        const char *hop, *want, *site;
    } cases[] = {
        { "pref.test", "10 a.test 192.0.2.1:25\n20 b.test 192.0.2.2:25\n30 c.test 192.0.2.3:25\n",
          "mx:a.test,b.test,c.test" },
        { "Alias.Test", "10 a.test 192.0.2.1:25\n20 b.test 192.0.2.2:25\n"
          "30 c.test 192.0.2.3:25\n", "mx:a.test,b.test,c.test" },
        { "implicit.test", "0 implicit.test [2001:db8::4]:25\n0 implicit.test 192.0.2.4:25\n",
          "mx:implicit.test" },
        { "null.test", "5.1.10 null.test does not accept mail (null MX)\n", "" },
        { "nullish.test", "10 a.test 192.0.2.1:25\n", "mx:a.test" },
        { "calias.test", "5 amx.test 192.0.2.1:25\n", "mx:amx.test" },
        { "loop.test", "5.3.5 mail loops back to me (own.test is one of our own listeners)\n", "" },
        { "backup.test", "10 a.test 192.0.2.1:25\n", "mx:a.test" },
        { "equalown.test",
          "5.3.5 mail loops back to me (own.test is one of our own listeners)\n", "" },
        { "ownbetterslow.test", "4.4.3 Name server: slow.test: host name lookup failure "
          "(A: no answer in time)\n", "" },
        { "own.test:26", "0 own.test 192.0.2.9:26\n", "mx:own.test:26" }, /* not our port */
        { "[192.0.2.9]",
          "5.3.5 mail loops back to me ([192.0.2.9] is one of our own listeners)\n", "" },
        { "servfail.test", "4.4.3 Name server: servfail.test: host name lookup failure "
          "(MX: no usable answer)\n", "" },
        { "slow.test", "4.4.3 Name server: slow.test: host name lookup failure "
          "(MX: no answer in time)\n", "" },
        { "mxfail.test", "4.4.3 Name server: mxfail.test: host name lookup failure "
          "(MX: no usable answer)\n", "" },
        { "half.test", "20 b.test 192.0.2.2:25\n", "mx:b.test,servfail.test" },
        { "allfail.test", "4.4.3 Name server: servfail.test: host name lookup failure "
          "(A: no usable answer)\n", "" },
        { "nx.test", "5.1.2 Host unknown (Name server: nx.test: host not found)\n", "" },
        { "nodata.test", "5.4.4 nodata.test has neither MX nor address\n", "" },
        { "gone.test", "5.4.4 No mail server of gone.test exists (Name server: nx.test: host not "
          "found)\n", "" },
        { "noaddr.test", "5.4.4 No MX host of noaddr.test has an address\n", "" },
        { "literal.test", "10 [192.0.2.7] 192.0.2.7:25\n", "mx:[192.0.2.7]" },
        { "zero.test", "5.4.4 zero.test has neither MX nor address\n", "" },
        { "v6.test", "10 v6host.test [2001:db8::6]:25\n", "mx:v6host.test" },
        { "aaaafail.test", "0 aaaafail.test 192.0.2.1:25\n", "mx:aaaafail.test" },
        { "dup.test", "10 a.test 192.0.2.1:25\n", "mx:a.test" },
        { "[pref.test]", "5.4.4 pref.test has no address\n", "" },
        { "[a.test]:2600", "0 a.test 192.0.2.1:2600\n", "host:[a.test]:2600" },
        { "[127.0.0.1]:2600", "0 [127.0.0.1] 127.0.0.1:2600\n", "host:[127.0.0.1]:2600" },
        { "[IPv6:::1]", "0 [::1] [::1]:25\n", "host:[::1]" },
        { "[b.test]:[a.test]:26", "0 b.test 192.0.2.2:25\n0 a.test 192.0.2.1:26\n",
          "list:[b.test]:[a.test]:26" },
        { "[nx.test]:[a.test]", "0 a.test 192.0.2.1:25\n", "list:[nx.test]:[a.test]" },
        { "servfail.test:[a.test]", "0 a.test 192.0.2.1:25\n", "list:servfail.test:[a.test]" },
        { "nx.test:[nx2.test]", "5.4.4 No mail server of nx.test exists (Name server: nx2.test: "
          "host not found)\n", "" },
        { "slow.test:own.test", "4.4.3 Name server: slow.test: host name lookup failure "
          "(MX: no answer in time)\n", "" },
        { "a..b", "5.1.2 Invalid host name \"a..b\": a label is empty\n", "" },
    };
    struct dns_zone *z = zone_of(mx_zone);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lookup l = look_p(cases[i].hop, (struct dns_mx_params){ .seed = i }, z);
        if (!span_eq(buf_span(&l.text), span_str(cases[i].want)))
            TEST_FAIL("%s gives %s", cases[i].hop, buf_cstr(&l.text));
        CHECK_SPAN(l.plan->site, span_str(cases[i].site));
        CHECK(trail_count(l.trail) > 0);
        look_end(&l);
    }
    dns_zone_free(&z);
}

static void mx_details(void)
{
    struct dns_zone *z = zone_of(mx_zone);
    struct lookup l = look_p("pref.test", (struct dns_mx_params){ .seed = 1 }, z);
    CHECK_INT(l.plan->ttl_s, 30); /* the NODATA of AAAA counts too */
    look_end(&l);
    l = look_p("pref.test", (struct dns_mx_params){ .no_ipv6 = true }, z);
    CHECK_INT(l.plan->ttl_s, 40);
    CHECK_INT(l.plan->flags, 0);
    struct buf b;
    buf_init(&b, 8192);
    trail_text(&b, l.trail, "");
    CHECK_SPAN(buf_span(&b),
               SPAN("MX pref.test: 20 b.test, 10 a.test, 30 c.test (TTL 50, insecure)\n"
                    "A a.test: 192.0.2.1 (TTL 40, insecure)\n"
                    "A b.test: 192.0.2.2 (TTL 60, insecure)\n"
                    "A c.test: 192.0.2.3 (TTL 60, insecure)\n"
                    "=> site mx:a.test,b.test,c.test: 3 hosts, 3 addresses\n"));
    look_end(&l);
    l = look_p("[127.0.0.1]:26", (struct dns_mx_params){ .seed = 1 }, z);
    CHECK(l.plan->ttl_s == DNS_TTL_FOREVER);
    look_end(&l);
    l = look_p("half.test", (struct dns_mx_params){ .seed = 1 }, z);
    CHECK_INT(l.plan->flags, DNS_PLAN_PARTIAL);
    look_end(&l);
    l = look_p("backup.test", (struct dns_mx_params){ .seed = 1 }, z);
    CHECK_INT(l.plan->flags, DNS_PLAN_OWN_CUT);
    look_end(&l);
    l = look_p("implicit.test", (struct dns_mx_params){ .no_ipv4 = true }, z);
    CHECK_INT(l.plan->flags, DNS_PLAN_IMPLICIT);
    CHECK_SPAN(buf_span(&l.text), SPAN("0 implicit.test [2001:db8::4]:25\n"));
    CHECK_INT(l.plan->alias.n, 0);
    look_end(&l);
    l = look_p("Other.test", (struct dns_mx_params){ .no_ipv4 = true }, z);
    CHECK_SPAN(buf_span(&l.text), SPAN("0 other.test [2001:db8::4]:25\n"));
    CHECK_SPAN(l.plan->alias, SPAN("implicit.test"));
    look_end(&l);
    buf_free(&b);
    dns_zone_free(&z);
}

/* Equals are in random order: each of three must come first about a third of the time. */
static void mx_equals(void)
{
    struct dns_zone *z = zone_of("eq.test MX 10 a.test\neq.test MX 10 b.test\n"
                                 "eq.test MX 10 c.test\neq.test MX 20 d.test\n"
                                 "a.test A 192.0.2.1\nb.test A 192.0.2.2\nc.test A 192.0.2.3\n"
                                 "d.test A 192.0.2.4\n");
    int first[5] = { 0 };
    for (uint64_t seed = 0; seed < 600; seed++) {
        struct lookup l = look_p("eq.test", (struct dns_mx_params){ .seed = seed }, z);
        CHECK_INT(l.plan->addr_count, 4);
        first[l.plan->addrs[0].addr.ip[3]]++;
        CHECK_INT(l.plan->addrs[3].addr.ip[3], 4);
        CHECK_SPAN(l.plan->site, SPAN("mx:a.test,b.test,c.test,d.test"));
        look_end(&l);
    }
    for (int i = 1; i <= 3; i++)
        CHECK(first[i] > 150 && first[i] < 250);
    dns_zone_free(&z);
}

static struct dns_order order_of(const char *hop, uint64_t seed, size_t best, struct dns_zone *z)
{
    struct lookup l = look_p(hop, (struct dns_mx_params){ .seed = seed }, z);
    struct dns_order o = l.plan->order;
    if (l.plan->best_hosts != best) {
        printf("# %s has %zu best hosts\n", hop, l.plan->best_hosts);
        o.best = best + 1000; /* as no other */
    }
    look_end(&l);
    return o;
}

/* One site, and not the same hosts in front: RFC 5321 5.1 wants each domain's own order. */
static void mx_orders(void)
{
    struct dns_zone *z = zone_of(
        "one.test MX 10 a.test\none.test MX 20 b.test\none.test MX 30 c.test\n"
        "same.test MX 1 A.test\nsame.test MX 2 b.test\nsame.test MX 3 c.test\n"
        "turned.test MX 10 b.test\nturned.test MX 20 a.test\nturned.test MX 30 c.test\n"
        "back.test MX 10 a.test\nback.test MX 20 c.test\nback.test MX 30 b.test\n"
        "both.test MX 10 a.test\nboth.test MX 10 b.test\nboth.test MX 20 c.test\n"
        "a.test A 192.0.2.1\nb.test A 192.0.2.2\nc.test A 192.0.2.3\n");
    struct dns_order one = order_of("one.test", 1, 1, z), same = order_of("same.test", 2, 1, z),
                     turned = order_of("turned.test", 3, 1, z),
                     back = order_of("back.test", 4, 1, z);
    CHECK(one.best && one.best == same.best && one.all == same.all);
    CHECK(turned.best != one.best && turned.all != one.all);
    CHECK(back.best == one.best && back.all != one.all);
    struct dns_order both = order_of("both.test", 0, 2, z);
    CHECK(both.best != one.best && both.best != turned.best && both.all != one.all);
    for (uint64_t seed = 1; seed < 20; seed++) { /* equals stand in any order */
        struct dns_order again = order_of("both.test", seed, 2, z);
        CHECK(again.best == both.best && again.all == both.all);
    }
    struct dns_order list = order_of("[a.test]:[b.test]", 1, 1, z);
    CHECK(!list.best && !list.all); /* the site's key says it */
    dns_zone_free(&z);
}

static void mx_limits(void)
{
    struct dns_zone *z = dns_zone_new();
    struct err e;
    for (int i = 0; i < 200; i++) {
        char line[160];
        snprintf(line, sizeof line, "big.test MX %d h%d.test\nh%d.test A 192.0.%d.%d\n", i, i, i,
                 i / 100 + 10, i % 100 + 20);
        dns_zone_add(z, span_str(line), &e);
        snprintf(line, sizeof line, "fat.test A 192.0.3.%d\n", i + 20);
        dns_zone_add(z, span_str(line), &e);
    }
    dns_zone_add(z, SPAN("two.test MX 10 fat.test\ntwo.test MX 20 h1.test\n"), &e);
    struct lookup l = look_p("big.test", (struct dns_mx_params){ .no_ipv6 = true }, z);
    CHECK_INT(l.plan->flags, DNS_PLAN_HOSTS_CUT | DNS_PLAN_ADDRS_CUT);
    CHECK_INT(l.plan->addr_count, 40);
    CHECK_INT(l.plan->addrs[39].addr.ip[3], 59); /* the best were kept */
    CHECK(l.plan->site.n <= DNS_PLAN_SITE_MAX && l.plan->site.n > 100);
    look_end(&l);
    l = look_p("two.test", (struct dns_mx_params){ .no_ipv6 = true }, z);
    CHECK_INT(l.plan->addr_count, 21); /* one host does not take all places */
    CHECK_INT(l.plan->host_count, 2);
    look_end(&l);
    dns_zone_free(&z);
}

/* The time of the question that failed, and of no other. */
static void mx_times(void)
{
    static const struct {
        const char *hop;
        uint32_t took_ms;
    } cases[] = { { "slow.test", DNS_MX },  { "mxfail.test", DNS_MX }, { "allfail.test", DNS_AAAA },
                  { "pref.test", 0 },       { "half.test", 0 },        { "nx.test", 0 },
                  { "aaaafail.test", 0 },   { "ownbetterslow.test", DNS_AAAA } };
    struct dns_zone *z = zone_of(mx_zone);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lookup l = look_p(cases[i].hop, (struct dns_mx_params){ .seed = i }, z);
        if (l.plan->took_ms != cases[i].took_ms)
            TEST_FAIL("%s: %u", cases[i].hop, l.plan->took_ms);
        look_end(&l);
    }
    dns_zone_free(&z);
}

static void plan_codec(void)
{
    struct dns_zone *z = zone_of(mx_zone);
    static const char *const all[] = { "pref.test", "nx.test", "other.test", "slow.test" };
    struct buf b, text;
    buf_init(&b, 1 << 16);
    buf_init(&text, 4096);
    for (size_t i = 0; i < 4; i++) {
        struct lookup l = look_p(all[i], (struct dns_mx_params){ .seed = i }, z);
        struct dns_plan back;
        buf_reset(&b);
        buf_reset(&text);
        dns_plan_put(&b, l.plan);
        struct wire w = wire_reader(buf_span(&b));
        CHECK(dns_plan_get(&w, arena, &back) && wire_done(&w));
        dns_plan_text(&text, &back);
        CHECK_SPAN(buf_span(&text), buf_span(&l.text));
        CHECK_SPAN(back.site, l.plan->site);
        CHECK_INT(back.ttl_s, l.plan->ttl_s);
        CHECK_INT(back.took_ms, l.plan->took_ms);
        CHECK_SPAN(back.alias, l.plan->alias);
        for (size_t n = 0; n < b.len; n++) {
            struct wire cut = wire_reader(span_of(b.mem, n));
            CHECK(!dns_plan_get(&cut, arena, &back));
        }
        look_end(&l);
    }
    buf_free(&b);
    buf_free(&text);
    dns_zone_free(&z);
}

static const struct test tests[] = {
    TEST(names),      TEST(compressed_names), TEST(packets),    TEST(cache_ttl),
    TEST(cache_flush), TEST(cache_bounds),    TEST(cache_configured),
    TEST(hops),       TEST(mx_cases),
    TEST(mx_details), TEST(mx_equals), TEST(mx_orders),        TEST(mx_limits),  TEST(plan_codec),
    TEST(mx_times),
};

int main(int argc, char **argv)
{
    arena = arena_new((size_t)1 << 30);
    int rc = test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    arena_free(&arena);
    return rc;
}
