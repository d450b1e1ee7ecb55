#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/domain.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/num.h"
#include "base/wire.h"
#include "test.h"

static void span_words_and_trim(void)
{
    struct span s = SPAN("  MAIL  FROM:<a@b>\t");
    CHECK_SPAN(span_word(&s), SPAN("MAIL"));
    CHECK_SPAN(span_word(&s), SPAN("FROM:<a@b>"));
    CHECK_SPAN(span_word(&s), SPAN(""));
    CHECK_SPAN(span_trim(SPAN(" \t x y ")), SPAN("x y"));
    CHECK(span_istarts(SPAN("Mail from"), SPAN("MAIL")));
    CHECK_INT(span_rfind(SPAN("a@b@c"), '@'), 3);
}

static void domains_have_one_form(void)
{
    static const struct {
        const char *name, *folded;
    } table[] = {
        { "Dest.EXAMPLE", "dest.example" },
        { "B\xc3\xbc" "cher.example", "xn--bcher-kva.example" },
        { "[IPv6:2001:0DB8:0:0:0:0:0:1]", "[ipv6:2001:db8::1]" },
        { "[ipv6:2001:db8::1]", "[ipv6:2001:db8::1]" },
        { "[IPv6:::ffff:192.0.2.1]", "[192.0.2.1]" },
        { "[192.0.2.1]", "[192.0.2.1]" },
        { "[IPv6:2001:DB8::G]", "[ipv6:2001:db8::g]" }, /* no address */
        { "[X", "[x" },
        { "", "" },
    };
    char out[300];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = domain_fold(span_str(table[i].name), out, sizeof out);
        CHECK_SPAN(span_of(out, n), span_str(table[i].folded));
        CHECK(domain_same(span_str(table[i].name), span_str(table[i].folded)));
    }
    CHECK(!domain_same(SPAN("[IPv6:2001:db8::1]"), SPAN("[IPv6:2001:db8::2]")));
    CHECK(!domain_same(SPAN("[IPv6:2001:db8::1]"), SPAN("2001:db8::1")));
}

static void buf_is_a_bounded_queue(void)
{
    struct buf b;
    buf_init(&b, 10);
    CHECK(buf_putz(&b, "0123456789"));
    CHECK(!buf_putc(&b, 'x'));
    CHECK(b.failed);
    buf_take(&b, 4);
    buf_reset(&b);
    for (int i = 0; i < 1000; i++) {
        CHECK(buf_printf(&b, "%d", 10000 + i));
        CHECK_INT(b.len, 5);
        CHECK_INT(strlen(buf_cstr(&b)), 5);
        buf_take(&b, 5);
    }
    CHECK(buf_printf(&b, "%s", "exactly 10"));
    CHECK(!b.failed);
    buf_free(&b);
}

static void buf_keeps_order_when_it_moves(void)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    unsigned put = 0, got = 0;
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < 37; i++, put++)
            CHECK(buf_put(&b, &put, sizeof put));
        for (int i = 0; i < 31; i++, got++) {
            unsigned v;
            memcpy(&v, buf_span(&b).p, sizeof v);
            CHECK_INT(v, got);
            buf_take(&b, sizeof v);
        }
    }
    buf_free(&b);
}

static void heap_yields_in_order(void)
{
    enum { N = 500 };
    struct heap h;
    static struct heap_node nodes[N];
    heap_init(&h);
    unsigned x = 1;
    for (int i = 0; i < N; i++)
        heap_add(&h, &nodes[i], (x = x * 1103515245u + 12345u) >> 8);
    for (int i = 0; i < N; i += 3)
        heap_remove(&h, &nodes[i]);
    for (int i = 1; i < N; i += 3)
        heap_change(&h, &nodes[i], (x = x * 1103515245u + 12345u) >> 8);
    int64_t last = -1;
    while (heap_min(&h)) {
        CHECK(heap_min(&h)->key >= last);
        last = heap_min(&h)->key;
        heap_remove(&h, heap_min(&h));
    }
    heap_free(&h);
}

static void hash_finds_what_was_added(void)
{
    enum { N = 1000 };
    static struct hash_node nodes[N];
    static char names[N][16];
    struct hash h;
    hash_init(&h, 42, N);
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "name%d", i);
        CHECK(hash_add(&h, &nodes[i], span_str(names[i])));
    }
    struct hash_node extra;
    CHECK(!hash_add(&h, &extra, SPAN("one too many")));
    for (int i = 0; i < N; i += 2)
        hash_remove(&h, &nodes[i]);
    for (int i = 0; i < N; i++)
        CHECK(hash_get(&h, span_str(names[i])) == (i % 2 ? &nodes[i] : NULL));
    size_t walked = 0;
    for (struct hash_node *n = hash_next(&h, NULL); n; n = hash_next(&h, n))
        walked++;
    CHECK_INT(walked, N / 2);
    hash_free(&h);
}

static void wire_round_trip_and_truncation(void)
{
    struct buf b;
    buf_init(&b, 1000);
    wire_put_u8(&b, 7);
    wire_put_u32(&b, 0xdeadbeef);
    wire_put_bytes(&b, SPAN("hello"));
    wire_put_i64(&b, -5);
    for (size_t cut = 0; cut <= b.len; cut++) {
        struct wire w = wire_reader(span_to(buf_span(&b), cut));
        uint8_t a = wire_get_u8(&w);
        uint32_t c = wire_get_u32(&w);
        struct span s = wire_get_bytes(&w, 5);
        int64_t d = wire_get_i64(&w);
        CHECK_INT(wire_done(&w), cut == b.len);
        if (cut == b.len)
            CHECK(a == 7 && c == 0xdeadbeef && span_eq(s, SPAN("hello")) && d == -5);
    }
    struct wire w = wire_reader(span_from(buf_span(&b), 5));
    wire_get_bytes(&w, 4);
    CHECK(w.bad);
    buf_free(&b);
}

/* Of every length and place, so that long runs, their ends and short ones meet. */
static void crc32c_agrees_with_the_table(void)
{
    enum { MOST = 10000 };
    static char bytes[MOST + 8];
    uint32_t r = 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)((r = r * 1664525 + 1013904223) >> 24);
    for (size_t n = 0; n <= MOST; n += n < 80 ? 1 : 61) {
        const char *p = bytes + n % 8;
        CHECK_INT(crc32c((uint32_t)n, p, n), crc32c_soft((uint32_t)n, p, n));
    }
    for (size_t n = 3070; n < 3075; n++)
        CHECK_INT(crc32c(crc32c(0, bytes, n), bytes + n, MOST - n), crc32c_soft(0, bytes, MOST));
}

static void crc32c_known_answers(void)
{
    CHECK_INT(crc32c(0, "123456789", 9), 0xe3069283u); /* RFC 3720 B.4's polynomial */
    CHECK_INT(crc32c_soft(0, "123456789", 9), 0xe3069283u);
    CHECK_INT(crc32c(crc32c(0, "12345", 5), "6789", 4), 0xe3069283u);
}

static void num_reads_units(void)
{
    int64_t ms;
    uint64_t v;
    CHECK(num_duration_ms(SPAN("1h30m"), &ms));
    CHECK_INT(ms, 5400000);
    CHECK(num_duration_ms(SPAN("250ms"), &ms));
    CHECK_INT(ms, 250);
    CHECK(!num_duration_ms(SPAN("10"), &ms));
    CHECK(!num_duration_ms(SPAN("1x"), &ms));
    CHECK(!num_duration_ms(SPAN(""), &ms));
    CHECK(!num_duration_ms(SPAN("99999999999999999w"), &ms));
    CHECK(num_size_bytes(SPAN("50M"), &v));
    CHECK_INT(v, 50 << 20);
    CHECK(!num_size_bytes(SPAN("50Q"), &v));
    CHECK(!num_u64(SPAN("18446744073709551616"), &v));
    struct buf b;
    buf_init(&b, 100);
    num_put_duration(&b, 93784000);
    CHECK_SPAN(buf_span(&b), SPAN("1d2h3m4s"));
    buf_reset(&b);
    num_put_size(&b, 1536 << 10);
    CHECK_SPAN(buf_span(&b), SPAN("1.5M"));
    buf_free(&b);
}

static void json_escapes_reversibly(void)
{
    struct buf b;
    buf_init(&b, 1000);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "a", SPAN("q\"\\\n\xff\xc3\xa9"));
    json_int(&j, "n", -3);
    json_open_array(&j, "l");
    json_bool(&j, NULL, true);
    json_close_array(&j);
    json_close(&j);
    CHECK_SPAN(buf_span(&b),
               SPAN("{\"a\":\"q\\\"\\\\\\u000a\\udcff\xc3\xa9\",\"n\":-3,\"l\":[true]}"));
    buf_free(&b);
}

/* U+009B is to a terminal what ESC [ is. */
static void json_escapes_c1_controls(void)
{
    struct buf b;
    buf_init(&b, 1000);
    json_put_string(&b, SPAN("\xc2\x80 \xc2\x9b" "2J \xc2\xa0\xc2\x7f"));
    CHECK_SPAN(buf_span(&b), SPAN("\"\\u0080 \\u009b2J \xc2\xa0\\udcc2\\u007f\""));
    buf_free(&b);
}

static void arena_is_bounded(void)
{
    struct arena *a = arena_new(4096);
    CHECK_SPAN(arena_dup(a, SPAN("abc")), SPAN("abc"));
    CHECK(arena_alloc(a, 4000) != NULL);
    CHECK(arena_alloc(a, 4000) == NULL);
    arena_reset(a);
    CHECK(arena_alloc(a, 4000) != NULL);
    arena_free(&a);
    CHECK(a == NULL);
}

static const struct test tests[] = {
    TEST(span_words_and_trim), TEST(domains_have_one_form), TEST(buf_is_a_bounded_queue),
    TEST(buf_keeps_order_when_it_moves),
    TEST(heap_yields_in_order), TEST(hash_finds_what_was_added),
    TEST(wire_round_trip_and_truncation), TEST(crc32c_known_answers),
    TEST(crc32c_agrees_with_the_table), TEST(num_reads_units),
    TEST(json_escapes_reversibly), TEST(json_escapes_c1_controls), TEST(arena_is_bounded),
};
TEST_MAIN(tests)
