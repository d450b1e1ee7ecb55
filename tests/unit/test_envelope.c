/* The binary form of an envelope: what the spool keeps for days, across releases. */
#include "test.h"

#include "envelope/envelope.h"

enum { BYTES_MAX = 1 << 20 };

static struct arena *a;
static struct buf b;

static bool again(const struct envelope *e, struct envelope *e_r)
{
    buf_reset(&b);
    envelope_put(&b, e);
    struct wire w = wire_reader(buf_span(&b));
    return envelope_get(&w, a, e_r) && wire_done(&w);
}

static void round_trip(void)
{
    struct envelope_rcpt rcpts[] = {
        { .addr = SPAN("a@x.example") },
        { .addr = SPAN("|/bin/prog -x"), .flags = ENVELOPE_RCPT_EXPANDED, .notify = NOTIFY_NEVER },
        { .addr = SPAN("b@y.example"), .flags = ENVELOPE_RCPT_EXPANDED, .own_sender = true,
          .sender = SPAN("owner-list@x.example"), .orcpt = SPAN("rfc822;list@x.example") },
        { .addr = SPAN("c@y.example"), .own_sender = true },
    };
    struct envelope e = { .seq = 77, .received_ms = 1790000000000, .flags = ENVELOPE_TLS,
                          .sender = SPAN("s@sender.example"), .hold = SPAN("too large"),
                          .client_name = SPAN("c.example"), .rcpts = rcpts, .rcpt_count = 4 };
    struct envelope got;
    CHECK(again(&e, &got));
    CHECK_INT(got.rcpt_count, 4);
    CHECK_SPAN(got.hold, SPAN("too large"));
    CHECK_SPAN(got.client_name, SPAN("c.example"));
    CHECK_INT(got.rcpts[0].flags, 0);
    CHECK(!got.rcpts[0].own_sender && !got.rcpts[1].own_sender);
    CHECK_INT(got.rcpts[1].flags, ENVELOPE_RCPT_EXPANDED);
    CHECK_INT(got.rcpts[1].notify, NOTIFY_NEVER);
    CHECK(got.rcpts[2].own_sender && got.rcpts[2].flags == ENVELOPE_RCPT_EXPANDED);
    CHECK_SPAN(ENVELOPE_SENDER(&got, &got.rcpts[2]), SPAN("owner-list@x.example"));
    CHECK_SPAN(got.rcpts[2].orcpt, SPAN("rfc822;list@x.example"));
    CHECK(got.rcpts[3].own_sender); /* the null sender is one of its own as well */
    CHECK_INT(ENVELOPE_SENDER(&got, &got.rcpts[3]).n, 0);
    CHECK_SPAN(ENVELOPE_SENDER(&got, &got.rcpts[0]), SPAN("s@sender.example"));
}

/* What was rewritten stands beside what came; mail of which nothing was is as readable for the
 * release before as ever. */
static void rewritten(void)
{
    struct envelope_rcpt rcpt = { .addr = SPAN("a@x.example") };
    struct envelope e = { .seq = 78, .sender = SPAN("s@ws.example"), .rcpts = &rcpt,
                          .rcpt_count = 1 };
    struct envelope got;
    CHECK(again(&e, &got));
    CHECK_INT(b.mem[b.off], 2);
    CHECK(!got.shown.n && !got.rewritten.n);
    e.rewritten = SPAN("From: s@ws.example became s@example");
    CHECK(again(&e, &got));
    CHECK_INT(b.mem[b.off], 3);
    CHECK(!got.shown.n);
    CHECK_SPAN(got.rewritten, e.rewritten);
    e.shown = SPAN("s@example");
    e.rewritten = SPAN("");
    CHECK(again(&e, &got));
    CHECK_SPAN(got.shown, SPAN("s@example"));
    CHECK_SPAN(got.sender, SPAN("s@ws.example"));
    CHECK_INT(got.rcpt_count, 1);
    CHECK_SPAN(got.rcpts[0].addr, SPAN("a@x.example"));
}

static void put_version_1(void)
{
    buf_reset(&b);
    wire_put_u8(&b, 1);
    wire_put_u64(&b, 5);
    wire_put_i64(&b, 1790000000000);
    wire_put_u32(&b, ENVELOPE_8BITMIME);
    const char *texts[] = { "s@x", "ENVID", "192.0.2.1", "", "helo.x", "ESMTP", "mx", "" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        wire_put_bytes(&b, span_str(texts[i]));
    wire_put_u32(&b, 2);
    for (int i = 0; i < 2; i++) {
        wire_put_bytes(&b, i ? SPAN("b@y") : SPAN("a@y"));
        wire_put_bytes(&b, SPAN("rfc822;o@y"));
        wire_put_u8(&b, NOTIFY_DELAY);
    }
}

/* Mail that was accepted before the update is still there after it. */
static void version_1_is_read(void)
{
    struct envelope got;
    put_version_1();
    struct wire w = wire_reader(buf_span(&b));
    CHECK(envelope_get(&w, a, &got) && wire_done(&w));
    CHECK_INT(got.seq, 5);
    CHECK_SPAN(got.envid, SPAN("ENVID"));
    CHECK_SPAN(got.listener, SPAN("mx"));
    CHECK_INT(got.hold.n, 0);
    CHECK_INT(got.rcpt_count, 2);
    CHECK_SPAN(got.rcpts[1].addr, SPAN("b@y"));
    CHECK_INT(got.rcpts[1].notify, NOTIFY_DELAY);
    CHECK(!got.rcpts[1].own_sender && !got.rcpts[1].flags);
}

static void malformed_is_refused(void)
{
    struct envelope_rcpt rcpt = { .addr = SPAN("a@x"), .own_sender = true, .sender = SPAN("o@x") };
    struct envelope e = { .seq = 1, .rcpts = &rcpt, .rcpt_count = 1, .shown = SPAN("s@x") }, got;
    CHECK(again(&e, &got));
    size_t whole = b.len;
    for (size_t n = 0; n < whole; n++) {
        struct wire w = wire_reader(span_to(buf_span(&b), n));
        CHECK(!envelope_get(&w, a, &got));
    }
    for (int version = 0; version < 256; version++) {
        if (version == 3)
            continue; /* 1 and 2 end before all of it is read */
        b.mem[b.off] = (char)version;
        struct wire w = wire_reader(buf_span(&b));
        CHECK(!envelope_get(&w, a, &got) || !wire_done(&w));
    }
}

static void run(void (*fn)(void))
{
    a = arena_new(BYTES_MAX);
    buf_init(&b, BYTES_MAX);
    fn();
    buf_free(&b);
    arena_free(&a);
}

static void round_trip_test(void) { run(round_trip); }
static void rewritten_test(void) { run(rewritten); }
static void version_1_test(void) { run(version_1_is_read); }
static void malformed_test(void) { run(malformed_is_refused); }

static const struct test tests[] = {
    { "round_trip", round_trip_test },
    { "rewritten", rewritten_test },
    { "version_1_is_read", version_1_test },
    { "malformed_is_refused", malformed_test },
};
TEST_MAIN(tests)
