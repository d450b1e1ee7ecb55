#include "test.h"

#include "attempt/stages.h"

static const char content[] = "dXNlcm5hbWUAcGFzc3dvcmQ=";

static struct attempt sample(void)
{
    struct attempt a = { .at_ms = 1795186615094, .ms = 5234, .dns_ms = 12,
                         .dest = SPAN("mx:dest.example"), .matched = SPAN("mx"),
                         .dns = ATTEMPT_DNS_OK, .stage = SPAN("RCPT"), .code = 451,
                         .said = SPAN("451 4.7.1 later"), .tls = SPAN("TLSv1.3 X"),
                         .addr_count = 2 };
    for (size_t i = 0; i < 2; i++) {
        a.addrs[i].host = i ? SPAN("mx2.example") : SPAN("mx1.example");
        a.addrs[i].pref = i ? 20 : 10;
        netaddr_parse(i ? SPAN("[2001:db8::1]:25") : SPAN("192.0.2.1:25"), 0, &a.addrs[i].addr,
                      NULL);
    }
    return a;
}

static void there_and_back(void)
{
    struct attempt a = sample(), got;
    struct attempt_log l;
    struct attempt_entry e;
    struct buf b;
    a.alias = SPAN("other.example");
    attempt_log_init(&l, 4096);
    attempt_log_add(&l, ATTEMPT_HOST, 12, 0, SPAN("mx1.example 192.0.2.1:25"));
    attempt_log_add(&l, ATTEMPT_PEER, 30, 250, SPAN("mx1.example\nSIZE\nDSN"));
    attempt_log_add(&l, ATTEMPT_OURS, 31, 0, SPAN("MAIL FROM:<a@b>"));
    buf_init(&b, 8192);
    attempt_put(&b, &a, &l, 4096);
    CHECK(attempt_get(buf_span(&b), &got));
    CHECK_INT(got.at_ms, a.at_ms);
    CHECK_INT(got.ms, 5234);
    CHECK_INT(got.dns_ms, 12);
    CHECK_SPAN(got.dest, a.dest);
    CHECK_SPAN(got.said, a.said);
    CHECK_SPAN(got.tls, a.tls);
    CHECK_INT(got.addr_count, 2);
    CHECK_SPAN(got.addrs[1].host, SPAN("mx2.example"));
    CHECK(netaddr_eq(&got.addrs[1].addr, &a.addrs[1].addr));
    CHECK_INT(got.addrs[1].pref, 20);
    CHECK(!got.addrs_cut && got.left_out == 0);
    CHECK_SPAN(got.alias, SPAN("other.example"));
    CHECK(attempt_next(&got, &e) && e.kind == ATTEMPT_HOST && e.at_ms == 12);
    CHECK(attempt_next(&got, &e) && e.code == 250);
    CHECK_SPAN(e.text, SPAN("mx1.example\nSIZE\nDSN"));
    CHECK(attempt_next(&got, &e) && e.kind == ATTEMPT_OURS);
    CHECK(!attempt_next(&got, &e));
    buf_free(&b);
    attempt_log_free(&l);
}

static void no_credentials(void)
{
    static const char *const says[] = { "AUTH PLAIN ", "auth login ", "" };
    struct attempt a = sample();
    struct attempt_log l;
    struct buf b;
    char line[100];
    attempt_log_init(&l, 4096);
    for (size_t i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "%s%s", says[i], content);
        if (i == 2)
            attempt_log_add(&l, ATTEMPT_PEER, 1, 334, SPAN("VXNlcm5hbWU6"));
        attempt_log_add(&l, ATTEMPT_OURS, 1, 0, span_str(line));
    }
    attempt_log_add(&l, ATTEMPT_PEER, 1, 334, SPAN("UGFzc3dvcmQ6"));
    attempt_log_add(&l, ATTEMPT_OURS, 1, 0, span_str(content));
    attempt_log_add(&l, ATTEMPT_PEER, 1, 235, SPAN("welcome"));
    attempt_log_add(&l, ATTEMPT_OURS, 1, 0, SPAN("MAIL FROM:<open@b>"));
    buf_init(&b, 8192);
    attempt_put(&b, &a, &l, 4096);
    CHECK(!memmem(buf_cstr(&b), b.len, content, 8));
    CHECK(memmem(buf_cstr(&b), b.len, "AUTH PLAIN (a credential)", 25));
    CHECK(memmem(buf_cstr(&b), b.len, "auth login (a credential)", 25));
    CHECK(memmem(buf_cstr(&b), b.len, "open@b", 6));
    buf_free(&b);
    attempt_log_free(&l);
}

static void long_replies_say_that_they_are_cut(void)
{
    char text[ATTEMPT_TEXT_MAX + 1];
    memset(text, 'x', sizeof text);
    for (size_t n = ATTEMPT_TEXT_MAX; n <= ATTEMPT_TEXT_MAX + 1; n++) {
        struct attempt a = sample();
        struct attempt_log l;
        struct attempt_entry e;
        struct buf b;
        attempt_log_init(&l, 4096);
        attempt_log_add(&l, ATTEMPT_PEER, 1, 450, span_of(text, n));
        buf_init(&b, 8192);
        attempt_put(&b, &a, &l, 4096);
        CHECK(attempt_get(buf_span(&b), &a) && attempt_next(&a, &e));
        CHECK_INT(e.text.n, ATTEMPT_TEXT_MAX);
        CHECK(span_ends(e.text, n > ATTEMPT_TEXT_MAX ? SPAN("x...") : SPAN("xxxx")));
        buf_free(&b);
        attempt_log_free(&l);
    }
}

struct said {
    enum attempt_kind kind;
    uint32_t at_ms;
    int code;
    const char *text;
};

/* The stages of a dialogue as text: "DNS=12 mx1/greeting=300". */
static void stages_of(const struct said *says, size_t n, uint32_t dns_ms, struct buf *out)
{
    struct attempt a = { .dns = dns_ms ? ATTEMPT_DNS_OK : ATTEMPT_DNS_NONE, .dns_ms = dns_ms };
    struct attempt_stage stages[ATTEMPT_STAGES_MAX];
    struct attempt_log l;
    attempt_log_init(&l, 8192);
    for (size_t i = 0; i < n; i++)
        attempt_log_add(&l, says[i].kind, says[i].at_ms, says[i].code, span_str(says[i].text));
    a.log = buf_span(&l.b);
    n = attempt_stages(&a, stages, ATTEMPT_STAGES_MAX);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%.*s%s%.*s=%u", i ? " " : "", SPAN_ARG(stages[i].host),
                   stages[i].host.n ? "/" : "", SPAN_ARG(stages[i].stage), stages[i].ms);
    attempt_log_free(&l);
}

static void how_long_each_stage(void)
{
    static const struct said pipelined[] = {
        { ATTEMPT_HOST, 1012, 0, "mx1" },      { ATTEMPT_NOTE, 1012, 0, "refused" },
        { ATTEMPT_HOST, 1012, 0, "mx2" },      { ATTEMPT_PEER, 1312, 220, "hello" },
        { ATTEMPT_OURS, 1312, 0, "EHLO x" },   { ATTEMPT_PEER, 1352, 250, "mx2" },
        { ATTEMPT_OURS, 1353, 0, "STARTTLS" }, { ATTEMPT_PEER, 1363, 220, "go on" },
        { ATTEMPT_OURS, 1463, 0, "EHLO x" },   { ATTEMPT_PEER, 1473, 250, "mx2" },
        { ATTEMPT_OURS, 1473, 0, "MAIL FROM:<a@b>" },
        { ATTEMPT_OURS, 1473, 0, "RCPT TO:<c@d>" }, { ATTEMPT_OURS, 1473, 0, "DATA" },
        { ATTEMPT_PEER, 1480, 250, "ok" },     { ATTEMPT_PEER, 3480, 250, "ok" },
        { ATTEMPT_PEER, 3481, 354, "give" },   { ATTEMPT_PEER, 9481, 452, "full" },
    };
    static const struct said silent[] = {
        { ATTEMPT_KEPT, 0, 0, "mx1" },         { ATTEMPT_OURS, 0, 0, "MAIL FROM:<a@b>" },
        { ATTEMPT_PEER, 5, 250, "ok" },        { ATTEMPT_OURS, 6, 0, "BDAT 10 LAST" },
        { ATTEMPT_NOTE, 60006, 0, "time-out" },
    };
    static const struct said at_once[] = {
        { ATTEMPT_HOST, 0, 0, "mx1" },         { ATTEMPT_NOTE, 0, 0, "refused" },
        { ATTEMPT_HOST, 0, 0, "mx2" },         { ATTEMPT_PEER, 1, 220, "hello" },
        { ATTEMPT_OURS, 1, 0, "EHLO x" },      { ATTEMPT_PEER, 1, 421, "no" },
    };
    static const struct said mute[] = { /* connected at once, and then no word */
        { ATTEMPT_HOST, 0, 0, "mx1" },         { ATTEMPT_NOTE, 500, 0, "timed out" },
        { ATTEMPT_HOST, 500, 0, "mx2" },       { ATTEMPT_OPEN, 503, 0, "connected" },
        { ATTEMPT_NOTE, 8503, 0, "time-out" },
    };
    struct buf b;
    buf_init(&b, 1024);
    stages_of(at_once, sizeof at_once / sizeof *at_once, 0, &b);
    CHECK_SPAN(buf_span(&b), SPAN("mx1/connection=0 mx2/greeting=1 mx2/EHLO=0"));
    buf_reset(&b);
    stages_of(pipelined, sizeof pipelined / sizeof *pipelined, 12, &b);
    CHECK_SPAN(buf_span(&b),
               SPAN("DNS=12 mx1/connection=1000 mx2/greeting=300 mx2/EHLO=50 mx2/ourselves=1 "
                    "mx2/STARTTLS=10 mx2/TLS=100 mx2/MAIL=7 mx2/RCPT=2000 mx2/DATA=1 "
                    "mx2/content=6000"));
    buf_reset(&b);
    stages_of(silent, sizeof silent / sizeof *silent, 0, &b);
    CHECK_SPAN(buf_span(&b), SPAN("mx1/MAIL=5 mx1/ourselves=1 mx1/content=60000"));
    buf_reset(&b);
    stages_of(mute, sizeof mute / sizeof *mute, 0, &b);
    CHECK_SPAN(buf_span(&b), SPAN("mx1/connection=500 mx2/connection=3 mx2/greeting=8000"));
    buf_free(&b);
}

/* Whatever is said and however much of it: no longer than it may be, whole, its end there. */
static void bounded(void)
{
    static const size_t sizes[] = { ATTEMPT_MIN_BYTES, 1500, 4096, 20000, ATTEMPT_MAX_BYTES };
    char text[2000];
    memset(text, 'x', sizeof text);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t lines = 0; lines < 900; lines += 37) {
            struct attempt a = sample(), got;
            struct attempt_log part, l;
            struct attempt_entry e = { 0 };
            struct buf b;
            a.said = a.dns_text = a.dest = span_of(text, sizeof text);
            attempt_log_init(&part, sizes[s]);
            attempt_log_init(&l, sizes[s]);
            attempt_log_add(&part, ATTEMPT_HOST, 0, 0, SPAN("first"));
            for (size_t i = 0; i < lines; i++)
                attempt_log_add(&part, ATTEMPT_OURS, (uint32_t)i, 0,
                                span_of(text, (i * 131) % sizeof text));
            attempt_log_add(&part, ATTEMPT_PEER, 999, 451, SPAN("the last one"));
            CHECK(part.b.len <= sizes[s]);
            attempt_log_append(&l, &part);
            attempt_log_append(&l, &part);
            buf_init(&b, 1 << 20);
            attempt_put(&b, &a, &l, sizes[s]);
            CHECK(b.len <= sizes[s]);
            CHECK(attempt_get(buf_span(&b), &got));
            uint32_t seen = 0;
            CHECK(attempt_next(&got, &e) && e.kind == ATTEMPT_HOST);
            for (seen = 1; attempt_next(&got, &e);)
                seen++;
            CHECK_SPAN(e.text, SPAN("the last one"));
            CHECK_INT(seen + got.left_out, 2 * (lines + 2));
            CHECK_INT(got.log.n, 0);
            buf_free(&b);
            attempt_log_free(&part);
            attempt_log_free(&l);
        }
    }
}

static void nothing_kept(void)
{
    struct attempt_log l;
    attempt_log_init(&l, 0);
    attempt_log_add(&l, ATTEMPT_OURS, 1, 0, SPAN("EHLO x"));
    CHECK_INT(l.b.len, 0);
    attempt_log_free(&l);
}

/* Cut anywhere it is refused, or reads as far as it goes; no byte behind its end is touched. */
static void cut_anywhere(void)
{
    struct attempt a = sample(), got;
    struct attempt_log l;
    struct attempt_entry e;
    struct buf b;
    attempt_log_init(&l, 4096);
    for (int i = 0; i < 5; i++)
        attempt_log_add(&l, ATTEMPT_PEER, 1, 250, SPAN("ok"));
    buf_init(&b, 8192);
    attempt_put(&b, &a, &l, 4096);
    for (size_t n = 0; n < b.len; n++) {
        char *copy = malloc(n ? n : 1);
        memcpy(copy, buf_cstr(&b), n);
        if (attempt_get(span_of(copy, n), &got))
            while (attempt_next(&got, &e))
                CHECK_SPAN(e.text, SPAN("ok"));
        free(copy);
    }
    CHECK(!attempt_get(SPAN("\2"), &got));
    buf_free(&b);
    attempt_log_free(&l);
}

static void json(void)
{
    struct attempt a = sample();
    struct attempt_log l;
    struct buf b, out;
    attempt_log_init(&l, 4096);
    attempt_log_add(&l, ATTEMPT_PEER, 30, 250, SPAN("mx1\nSIZE"));
    buf_init(&b, 8192);
    buf_init(&out, 8192);
    attempt_put(&b, &a, &l, 4096);
    CHECK(attempt_get(buf_span(&b), &a));
    struct json j = json_writer(&out);
    json_open(&j, NULL);
    attempt_json(&j, &a);
    json_close(&j);
    CHECK(strstr(buf_cstr(&out), "\"dialogue\":[{\"ms\":30,\"peer\":\"250-mx1\"},"
                                 "{\"ms\":30,\"peer\":\"250 SIZE\"}]"));
    CHECK(strstr(buf_cstr(&out), "{\"host\":\"mx2.example\",\"pref\":20,"
                                 "\"address\":\"[2001:db8::1]:25\"}"));
    buf_free(&b);
    buf_free(&out);
    attempt_log_free(&l);
}

static const struct test tests[] = { TEST(there_and_back), TEST(no_credentials),
                                     TEST(long_replies_say_that_they_are_cut), TEST(bounded),
                                     TEST(nothing_kept),   TEST(cut_anywhere),   TEST(json),
                                     TEST(how_long_each_stage) };
TEST_MAIN(tests)
