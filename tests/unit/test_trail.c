#include "test.h"

#include "trail/trail.h"

static struct trail *sample(void)
{
    struct trail *t = trail_new(8);
    trail_add(t, &(struct trail_step){ .verdict = TRAIL_MATCH, .ttl_s = -1, .line = 2,
        .what = SPAN("mailertable"), .key = SPAN("paladinny.com"),
        .source = SPAN("/etc/mailertable"), .said = SPAN("relay:b.example") });
    trail_add(t, &(struct trail_step){ .verdict = TRAIL_ANSWER, .ttl_s = 60,
        .flags = TRAIL_CACHED | TRAIL_INSECURE, .what = SPAN("MX"), .key = SPAN("b.example"),
        .source = SPAN("127.0.0.1:53"), .said = SPAN("10 mx1.b.example\n") });
    trail_add(t, &(struct trail_step){ .verdict = TRAIL_MISS, .ttl_s = -1,
        .what = SPAN("mailertable"), .key = SPAN(".") });
    trail_say(t, TRAIL_DECIDED, "route", SPAN("x@y"), "mx:%s", "b.example");
    return t;
}

static void text(void)
{
    struct trail *t = sample();
    struct buf b;
    buf_init(&b, 4096);
    trail_text(&b, t, "  ");
    CHECK_SPAN(buf_span(&b),
               SPAN("  mailertable paladinny.com: relay:b.example, from /etc/mailertable:2\n"
                    "  MX b.example: 10 mx1.b.example\\x0a, from 127.0.0.1:53"
                    " (TTL 60, cached, insecure)\n"
                    "  mailertable .: no match\n"
                    "  => route x@y: mx:b.example\n"));
    buf_free(&b);
    trail_free(&t);
}

static void json(void)
{
    struct trail *t = sample();
    struct buf b;
    buf_init(&b, 4096);
    struct json j = json_writer(&b);
    trail_json(&j, NULL, t);
    CHECK(memmem(b.mem, b.len, "\"ttl_s\":60,\"cached\":true,\"dnssec\":\"insecure\"", 44));
    CHECK(b.mem[0] == '[' && b.mem[b.len - 1] == ']');
    buf_free(&b);
    trail_free(&t);
}

static void limits(void)
{
    struct trail *t = trail_new(2);
    for (int i = 0; i < 5; i++)
        trail_say(t, TRAIL_NOTE, "n", SPAN_NONE, "%d", i);
    CHECK_INT(trail_count(t), 2);
    CHECK_INT(trail_missing(t), 3);
    struct buf b;
    buf_init(&b, 4096);
    trail_text(&b, t, "");
    CHECK_SPAN(buf_span(&b), SPAN("n: 0\nn: 1\n(3 more steps are not shown)\n"));
    buf_free(&b);
    /* A text that is too long is cut, and what is too much in all is counted. */
    trail_free(&t);
    t = trail_new(TRAIL_STEPS_MAX);
    char *big = calloc(1, TRAIL_TEXT_MAX * 2);
    memset(big, 'x', TRAIL_TEXT_MAX * 2);
    for (int i = 0; i < TRAIL_STEPS_MAX; i++)
        trail_add(t, &(struct trail_step){ .said = span_of(big, TRAIL_TEXT_MAX * 2) });
    CHECK_INT(trail_step(t, 0)->said.n, TRAIL_TEXT_MAX);
    CHECK(trail_missing(t) > 0);
    CHECK_INT(trail_count(t) + trail_missing(t), TRAIL_STEPS_MAX);
    free(big);
    trail_free(&t);
    trail_say(NULL, TRAIL_NOTE, "nobody", SPAN_NONE, "asked");
    CHECK_INT(trail_count(NULL), 0);
}

static const struct test tests[] = { TEST(text), TEST(json), TEST(limits) };
TEST_MAIN(tests)
