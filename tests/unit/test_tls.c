/* TLS in memory: our server, whose keys are in a keyserver that answers late, against our
 * client; and what either does with rubbish. */
#include "test.h"
#include "test_cert.h"

#include "base/must.h"
#include "base/wire.h"
#include "sys/sandbox.h"
#include "tls/cert.h"
#include "tls/client.h"
#include "tls/keyserver.h"
#include "tls/server.h"

#include <openssl/evp.h>

#include <sys/wait.h>
#include <unistd.h>

enum { TLS12 = 0x0303, ASKED_MAX = 64 };

/* Everything on one bench. */
struct bench {
    struct pair rsa, ec;
    struct keyserver *ks;
    struct tls_server_ctx *server;
    struct tls_client_ctx *client;
    struct {
        uint64_t id;
        struct buf request;
    } asked[ASKED_MAX];
    size_t asked_n, asked_total;
};

static void on_sign(void *arg, uint64_t id, struct span request)
{
    struct bench *b = arg;
    MUST(b->asked_n < ASKED_MAX);
    b->asked[b->asked_n].id = id;
    buf_init(&b->asked[b->asked_n].request, KEY_REQUEST_MAX);
    buf_puts(&b->asked[b->asked_n].request, request);
    b->asked_n++;
    b->asked_total++;
}

enum { WITH_RSA = 1, WITH_EC = 2 };

static struct tls_server_ctx *bench_server(struct bench *b, int which)
{
    struct tls_server_config config = { .signing_max = 8 };
    struct err why;
    if (which & WITH_RSA)
        config.chain_pem[config.chains++] = pem_span(&b->rsa.cert);
    if (which & WITH_EC)
        config.chain_pem[config.chains++] = pem_span(&b->ec.cert);
    struct tls_server_ctx *ctx =
        tls_server_ctx_new(&config, &(struct tls_server_ops){ on_sign, b }, &why);
    if (!ctx)
        printf("# %s\n", why.text);
    MUST(ctx);
    return ctx;
}

static void bench_client(struct bench *b, int max_version, bool trusting)
{
    struct err why;
    struct tls_client_config config = { .max_version = max_version, .sessions_max = 3 };
    if (trusting)
        config.ca_pem = pem_span(&b->rsa.cert);
    tls_client_ctx_free(&b->client);
    b->client = tls_client_ctx_new(&config, &why);
    MUST(b->client);
}

static void bench_open(struct bench *b, int which, int max_version)
{
    *b = (struct bench){ 0 };
    b->rsa = pair_new(EVP_RSA_gen(2048));
    b->ec = pair_new(EVP_EC_gen("P-256"));
    b->ks = keyserver_new(1000);
    struct span keys[] = { pem_span(&b->rsa.key), pem_span(&b->ec.key) };
    struct err why;
    MUST(keyserver_set_keys(b->ks, keys, 2, &why));
    b->server = bench_server(b, which);
    bench_client(b, max_version, false);
}

static void bench_close(struct bench *b)
{
    for (size_t i = 0; i < b->asked_n; i++)
        buf_free(&b->asked[i].request);
    tls_server_ctx_free(&b->server);
    tls_client_ctx_free(&b->client);
    keyserver_free(&b->ks);
    pair_free(&b->rsa);
    pair_free(&b->ec);
}

/* The keyserver answers what was asked. */
static void answer_all(struct bench *b, struct tls_server_ctx *ctx)
{
    while (b->asked_n) {
        struct buf reply;
        buf_init(&reply, KEY_REPLY_MAX);
        b->asked_n--;
        keyserver_request(b->ks, buf_span(&b->asked[b->asked_n].request), &reply);
        buf_free(&b->asked[b->asked_n].request);
        tls_sign_done(ctx, b->asked[b->asked_n].id, buf_span(&reply));
        buf_free(&reply);
    }
}

static struct tls *dial_trust(struct bench *b, const char *name, enum tls_trust trust)
{
    struct err why;
    struct tls_peer peer = { span_str(name), span_str(name), trust };
    struct tls *t = tls_client_new(b->client, &peer, NULL, &why);
    MUST(t);
    return t;
}

static struct tls *dial(struct bench *b) { return dial_trust(b, "mx.example.net", TLS_TRUST_ANY); }

/* Moves ciphertext both ways, `step` bytes at a time, until nothing moves. */
static void carry(struct tls *a, struct tls *z, size_t step)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (int way = 0; way < 2; way++) {
            struct tls *from = way ? z : a, *to = way ? a : z;
            struct span s = span_to(buf_span(tls_output(from)), step);
            size_t n = tls_input(to, s);
            buf_take(tls_output(from), n);
            moved |= n > 0;
        }
    }
}

static void shake(struct bench *b, struct tls_server_ctx *ctx, struct tls *c, struct tls *s,
                  size_t step)
{
    do {
        answer_all(b, ctx);
        carry(c, s, step);
    } while (b->asked_n);
}

static bool says(struct tls *from, struct tls *to, const char *text)
{
    char got[100];
    if (tls_write(from, span_str(text)) != strlen(text))
        return false;
    carry(from, to, SIZE_MAX);
    ssize_t n = tls_read(to, got, sizeof got);
    return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0 &&
           tls_read(to, got, sizeof got) == 0;
}

static void one_handshake(int which, int max_version, const char *version, size_t step)
{
    struct bench b;
    bench_open(&b, which, max_version);
    struct tls *c = dial(&b), *s = tls_server_new(b.server, &b);
    carry(c, s, step);
    /* It stands until the answer comes, whatever else happens. */
    CHECK_INT(b.asked_n, 1);
    CHECK(tls_waits_for_key(s));
    CHECK_INT(tls_sign_pending(b.server), 1);
    CHECK_INT(tls_input(s, SPAN_NONE), 0);
    CHECK_INT(tls_state(s), TLS_HANDSHAKE);
    shake(&b, b.server, c, s, step);
    CHECK_INT(tls_state(c), TLS_OPEN);
    CHECK_INT(tls_state(s), TLS_OPEN);
    CHECK_INT(b.asked_total, 1);
    CHECK_INT(tls_sign_pending(b.server), 0);
    CHECK(tls_owner(s) == &b);
    struct tls_info ci = tls_info(c), si = tls_info(s);
    CHECK_SPAN(span_str(ci.version), span_str(version));
    CHECK_SPAN(span_str(si.version), span_str(version));
    CHECK_SPAN(span_str(si.server_name), SPAN("mx.example.net"));
    CHECK_SPAN(span_str(si.verify), SPAN("NO"));
    CHECK_SPAN(span_str(ci.verify), SPAN("FAIL"));
    CHECK(si.bits >= 128 && !si.resumed && !ci.resumed && si.cipher[0]);
    CHECK(says(c, s, "EHLO a\r\n"));
    CHECK(says(s, c, "250 b\r\n"));
    /* close_notify, both ways */
    char x;
    tls_close(c);
    CHECK_INT(tls_write(c, SPAN("late")), 0);
    carry(c, s, step);
    CHECK_INT(tls_read(s, &x, 1), -1);
    CHECK_INT(tls_state(s), TLS_CLOSED);
    CHECK_SPAN(span_str(tls_why(s)), SPAN(""));
    CHECK(says(s, c, "221 c\r\n")); /* each direction ends by itself */
    tls_close(s);
    CHECK_INT(tls_write(s, SPAN("late")), 0);
    carry(c, s, step);
    CHECK_INT(tls_read(c, &x, 1), -1);
    CHECK_INT(tls_state(c), TLS_CLOSED);
    tls_free(&c);
    tls_free(&s);
    bench_close(&b);
}

static void rsa_tls13(void) { one_handshake(WITH_RSA, 0, "TLSv1.3", SIZE_MAX); }
static void rsa_tls12(void) { one_handshake(WITH_RSA, TLS12, "TLSv1.2", SIZE_MAX); }
static void ec_tls13(void) { one_handshake(WITH_EC, 0, "TLSv1.3", SIZE_MAX); }
static void ec_tls12(void) { one_handshake(WITH_EC, TLS12, "TLSv1.2", SIZE_MAX); }
static void both_byte_by_byte(void) { one_handshake(WITH_RSA | WITH_EC, 0, "TLSv1.3", 1); }

/* The certificate is chosen by what the client can: here RSA only. */
static void rsa_for_who_asks(void)
{
    struct bench b;
    struct err why;
    bench_open(&b, WITH_RSA | WITH_EC, 0);
    tls_client_ctx_free(&b.client);
    struct tls_client_config config = { .max_version = TLS12,
                                        .ciphers = "ECDHE-RSA-AES128-GCM-SHA256" };
    b.client = tls_client_ctx_new(&config, &why);
    CHECK(b.client);
    struct tls *c = dial(&b), *s = tls_server_new(b.server, NULL);
    shake(&b, b.server, c, s, SIZE_MAX);
    CHECK_INT(tls_state(s), TLS_OPEN);
    CHECK_SPAN(span_str(tls_info(s).cipher), SPAN("ECDHE-RSA-AES128-GCM-SHA256"));
    tls_free(&c);
    tls_free(&s);
    bench_close(&b);
}

/* Several wait at once and are answered in another order. */
static void many_wait(void)
{
    enum { N = 8 };
    struct bench b;
    bench_open(&b, WITH_EC, 0);
    struct tls *c[N + 1], *s[N + 1];
    for (int i = 0; i < N + 1; i++) {
        c[i] = dial(&b);
        s[i] = tls_server_new(b.server, NULL);
        carry(c[i], s[i], SIZE_MAX);
    }
    CHECK_INT(b.asked_n, N);
    /* signing_max: the one too many fails at once */
    CHECK_INT(tls_state(s[N]), TLS_FAILED);
    CHECK_INT(tls_state(c[N]), TLS_FAILED);
    CHECK(strstr(tls_why(s[N]), "keyring"));
    /* one goes away while it waits: the answer finds nobody */
    tls_free(&s[3]);
    CHECK_INT(tls_sign_pending(b.server), N - 1);
    answer_all(&b, b.server);
    for (int i = 0; i < N; i++) {
        if (i == 3)
            continue;
        carry(c[i], s[i], SIZE_MAX);
        CHECK_INT(tls_state(s[i]), TLS_OPEN);
        CHECK(says(c[i], s[i], "x"));
    }
    for (int i = 0; i < N + 1; i++) {
        tls_free(&c[i]);
        tls_free(&s[i]);
    }
    bench_close(&b);
}

static void keyring_refuses(void)
{
    struct bench b;
    bench_open(&b, WITH_RSA, 0);
    struct err why;
    struct span only_ec = pem_span(&b.ec.key);
    CHECK(keyserver_set_keys(b.ks, &only_ec, 1, &why));
    CHECK_INT(keyserver_count(b.ks), 1);
    /* a key that was replaced signs until it is forgotten, however often it is replaced */
    CHECK(keyserver_set_keys(b.ks, NULL, 0, &why) && keyserver_set_keys(b.ks, &only_ec, 1, &why));
    struct tls *c = dial(&b), *s = tls_server_new(b.server, NULL);
    shake(&b, b.server, c, s, SIZE_MAX);
    CHECK_INT(tls_state(s), TLS_OPEN);
    tls_free(&c);
    tls_free(&s);
    keyserver_forget_replaced(b.ks);
    c = dial(&b), s = tls_server_new(b.server, NULL);
    shake(&b, b.server, c, s, SIZE_MAX);
    CHECK_INT(tls_state(s), TLS_FAILED);
    CHECK(strstr(tls_why(s), "no private key"));
    CHECK_INT(tls_state(c), TLS_FAILED);
    tls_free(&c);
    tls_free(&s);
    /* an answer that is rubbish */
    c = dial(&b), s = tls_server_new(b.server, NULL);
    carry(c, s, SIZE_MAX);
    CHECK_INT(b.asked_n, 1);
    CHECK(tls_sign_done(b.server, b.asked[0].id, SPAN("\1\0\377\377\377\377what")) == s);
    CHECK_INT(tls_state(s), TLS_FAILED);
    CHECK(!tls_sign_done(b.server, b.asked[0].id, SPAN("")));
    CHECK(!tls_sign_done(b.server, 99, SPAN("")));
    tls_free(&c);
    tls_free(&s);
    bench_close(&b);
}

/* keyring died with the question; the new one is asked again. */
static void keyring_restarts(void)
{
    struct bench b;
    bench_open(&b, WITH_RSA, 0);
    struct tls *c = dial(&b), *s = tls_server_new(b.server, NULL);
    carry(c, s, SIZE_MAX);
    CHECK_INT(b.asked_n, 1);
    buf_free(&b.asked[0].request);
    b.asked_n = 0;
    tls_sign_again(b.server);
    CHECK_INT(b.asked_n, 1);
    shake(&b, b.server, c, s, SIZE_MAX);
    CHECK_INT(tls_state(c), TLS_OPEN);
    tls_free(&c);
    tls_free(&s);
    bench_close(&b);
}

static void give_tickets(struct bench *b, struct tls_server_ctx *ctx)
{
    struct buf keys;
    buf_init(&keys, TICKET_KEYS_MAX);
    MUST(keyserver_tickets(b->ks, &keys) && tls_server_set_tickets(ctx, buf_span(&keys)));
    buf_free(&keys);
}

/* One connection to ctx; was it resumed, and did both sides see it so? -1 on any failure. */
static int resumed_at(struct bench *b, struct tls_server_ctx *ctx)
{
    struct tls *c = dial(b), *s = tls_server_new(ctx, NULL);
    shake(b, ctx, c, s, SIZE_MAX);
    bool ok = says(s, c, "220 hello\r\n") && says(c, s, "EHLO\r\n");
    int resumed = tls_info(s).resumed;
    if (tls_info(c).resumed != (resumed == 1))
        ok = false;
    tls_free(&c);
    tls_free(&s);
    return ok ? resumed : -1;
}

static void resumption_with(int version)
{
    struct bench b;
    bench_open(&b, WITH_RSA | WITH_EC, version);
    struct tls_server_ctx *other = bench_server(&b, WITH_RSA | WITH_EC);
    CHECK_INT(resumed_at(&b, b.server), 0);
    CHECK_INT(resumed_at(&b, b.server), 0); /* no ticket keys, no tickets */
    CHECK_INT(tls_client_sessions(b.client), version == TLS12 ? tls_client_sessions(b.client) : 0);
    CHECK(keyserver_tick(b.ks, 0));
    CHECK(!keyserver_tick(b.ks, 999));
    CHECK_INT(keyserver_next_ms(b.ks), 1000);
    give_tickets(&b, b.server);
    give_tickets(&b, other);
    CHECK_INT(resumed_at(&b, b.server), 0);
    CHECK_INT(tls_client_sessions(b.client), 1);
    size_t asked = b.asked_total;
    CHECK_INT(resumed_at(&b, other), 1);
    CHECK_INT(resumed_at(&b, b.server), 1);
    CHECK_INT(b.asked_total, asked); /* no signature was needed */
    /* the previous key still opens, and a ticket under the new one is given */
    CHECK(keyserver_tick(b.ks, 1000));
    give_tickets(&b, other);
    CHECK_INT(resumed_at(&b, other), 1);
    CHECK(keyserver_tick(b.ks, 2000));
    give_tickets(&b, other);
    CHECK_INT(resumed_at(&b, other), 1);
    /* two rotations later it is a stranger's */
    CHECK(keyserver_tick(b.ks, 3000) && keyserver_tick(b.ks, 4000));
    give_tickets(&b, other);
    CHECK_INT(resumed_at(&b, other), 0);
    CHECK_INT(resumed_at(&b, other), 1);
    tls_server_ctx_free(&other);
    bench_close(&b);
}

static void resumption_tls13(void) { resumption_with(0); }
static void resumption_tls12(void) { resumption_with(TLS12); }

static void sessions_are_bounded(void)
{
    struct bench b;
    bench_open(&b, WITH_EC, 0);
    CHECK(keyserver_tick(b.ks, 0));
    give_tickets(&b, b.server);
    const char *names[] = { "a.example", "b.example", "c.example",
                            "d.example", "a.example", "d.example" };
    const int want[] = { 0, 0, 0, 0, 0, 1 }; /* three fit: a was pushed out by d */
    for (int i = 0; i < 6; i++) {
        struct tls *c = dial_trust(&b, names[i], TLS_TRUST_ANY);
        struct tls *s = tls_server_new(b.server, NULL);
        shake(&b, b.server, c, s, SIZE_MAX);
        CHECK(says(s, c, "hi"));
        CHECK_INT(tls_info(c).resumed, want[i]);
        tls_free(&c);
        tls_free(&s);
    }
    CHECK_INT(tls_client_sessions(b.client), 3);
    bench_close(&b);
}

static void verification(void)
{
    struct bench b;
    bench_open(&b, WITH_RSA, 0);
    CHECK(keyserver_tick(b.ks, 0));
    give_tickets(&b, b.server);
    static const struct {
        const char *name;
        bool trusting, open;
        const char *why;
    } cases[] = {
        { "mx.example.net", false, false, "self-signed" },
        { "mx.example.net", true, true, "" },
        { "other.example.net", true, false, "ostname" },
    };
    for (size_t i = 0; i < 3; i++) {
        bench_client(&b, 0, cases[i].trusting);
        /* a session without verification must not help */
        for (int strict = 0; strict < 2; strict++) {
            struct tls *c = dial_trust(&b, cases[i].name, strict ? TLS_TRUST_NAME : TLS_TRUST_ANY);
            struct tls *s = tls_server_new(b.server, NULL);
            shake(&b, b.server, c, s, SIZE_MAX);
            CHECK_INT(tls_state(c), !strict || cases[i].open ? TLS_OPEN : TLS_FAILED);
            if (tls_state(c) == TLS_OPEN) {
                CHECK(says(s, c, "hi"));
                CHECK_SPAN(span_str(tls_info(c).verify), span_str(cases[i].open ? "OK" : "FAIL"));
            } else if (!strstr(tls_why(c), cases[i].why)) {
                TEST_FAIL("why: %s", tls_why(c));
            }
            tls_free(&c);
            tls_free(&s);
        }
    }
    bench_close(&b);
}

static void rubbish(void)
{
    struct bench b;
    bench_open(&b, WITH_RSA, 0);
    const char *inputs[] = { "EHLO plain.example\r\n", "GET / HTTP/1.0\r\n\r\n",
                             "\x16\x03\x01\xff\xff\xff\xff\xff\xff" };
    for (size_t i = 0; i < 3; i++) {
        struct tls *s = tls_server_new(b.server, NULL);
        tls_input(s, span_str(inputs[i]));
        if (tls_state(s) != TLS_FAILED)
            TEST_FAIL("input %zu: state %d", i, (int)tls_state(s));
        CHECK(tls_why(s)[0]);
        char x;
        CHECK_INT(tls_read(s, &x, 1), -1);
        CHECK_INT(tls_write(s, SPAN("x")), 0);
        CHECK_INT(tls_input(s, SPAN("more")), 4);
        tls_free(&s);
    }
    /* every byte of both first flights, spoilt */
    struct tls *c = dial(&b);
    struct span hello = buf_span(tls_output(c));
    for (size_t i = 0; i < hello.n; i += 7) {
        char *bad = must_strndup(hello.p, hello.n);
        bad[i] ^= 0x55;
        struct tls *s = tls_server_new(b.server, NULL);
        tls_input(s, span_of(bad, hello.n));
        tls_input_end(s);
        CHECK(tls_state(s) == TLS_FAILED || tls_state(s) == TLS_HANDSHAKE);
        free(bad);
        tls_free(&s);
    }
    tls_free(&c);
    bench_close(&b);
}

/* The connection ends in the middle, at every place of the client's first bytes and later. */
static void cut(void)
{
    struct bench b;
    bench_open(&b, WITH_EC, 0);
    struct tls *c = dial(&b);
    struct span hello = buf_span(tls_output(c));
    for (size_t i = 0; i <= hello.n; i++) {
        struct tls *s = tls_server_new(b.server, NULL);
        tls_input(s, span_to(hello, i));
        CHECK_INT(tls_state(s), TLS_HANDSHAKE);
        tls_input_end(s);
        CHECK_INT(tls_state(s), TLS_FAILED);
        CHECK(strstr(tls_why(s), "closed by the peer"));
        tls_free(&s);
    }
    CHECK_INT(tls_sign_pending(b.server), 0);
    for (size_t i = 0; i < b.asked_n; i++)
        buf_free(&b.asked[i].request);
    b.asked_n = 0;
    struct tls *s = tls_server_new(b.server, NULL);
    shake(&b, b.server, c, s, SIZE_MAX);
    char got[8];
    CHECK_INT(tls_write(c, SPAN("whole")), 5);
    carry(c, s, SIZE_MAX);
    CHECK_INT(tls_write(c, SPAN("truncated")), 9);
    struct buf *out = tls_output(c);
    tls_input(s, span_to(buf_span(out), out->len - 1));
    tls_input_end(s);
    CHECK_INT(tls_read(s, got, sizeof got), 5);
    CHECK_INT(tls_read(s, got, sizeof got), -1);
    CHECK_INT(tls_state(s), TLS_CLOSED);
    CHECK(strstr(tls_why(s), "without notice"));
    CHECK_INT(tls_write(s, SPAN("late")), 0);
    tls_free(&s);
    /* a record changed under way */
    s = tls_server_new(b.server, NULL);
    tls_free(&c);
    c = dial(&b);
    shake(&b, b.server, c, s, SIZE_MAX);
    CHECK_INT(tls_write(c, SPAN("spoilt")), 6);
    out = tls_output(c);
    out->mem[out->off + out->len - 3] ^= 1;
    carry(c, s, SIZE_MAX);
    CHECK_INT(tls_read(s, got, sizeof got), -1);
    CHECK_INT(tls_state(s), TLS_FAILED);
    tls_free(&c);
    tls_free(&s);
    bench_close(&b);
}

/* Neither side takes more than its limits; all bytes arrive in order. */
static void bulk_is_bounded(void)
{
    enum { TOTAL = 3 << 20 };
    struct bench b;
    bench_open(&b, WITH_EC, 0);
    struct tls *c = dial(&b), *s = tls_server_new(b.server, NULL);
    shake(&b, b.server, c, s, SIZE_MAX);
    uint8_t *big = must_alloc(TOTAL), got[5000];
    for (size_t i = 0; i < TOTAL; i++)
        big[i] = (uint8_t)(i * 2654435761u >> 13);
    size_t written = 0, read = 0;
    while (read < TOTAL) {
        size_t before = read;
        written += tls_write(c, span_of(big + written, TOTAL - written));
        CHECK(tls_output(c)->len < TLS_OUTPUT_MAX + 20000);
        if (tls_output(c)->len >= TLS_OUTPUT_MAX)
            CHECK_INT(tls_write(c, SPAN("x")), 0);
        size_t n = tls_input(s, buf_span(tls_output(c)));
        buf_take(tls_output(c), n);
        CHECK(n <= TLS_INPUT_MAX);
        for (ssize_t k; (k = tls_read(s, got, sizeof got)) > 0; read += (size_t)k)
            CHECK(memcmp(got, big + read, (size_t)k) == 0);
        CHECK(read > before);
    }
    /* the end of it has room also behind as much as may be written */
    written = tls_write(c, span_of(big, TOTAL));
    CHECK(written < TOTAL && tls_output(c)->len >= TLS_OUTPUT_MAX);
    tls_close(c);
    ssize_t k = 0;
    for (int rounds = 0; k >= 0 && rounds < 1000; rounds++) {
        buf_take(tls_output(c), tls_input(s, buf_span(tls_output(c))));
        k = tls_read(s, got, sizeof got);
        written -= k > 0 ? (size_t)k : 0;
    }
    CHECK_INT(written, 0);
    CHECK_INT(tls_state(s), TLS_CLOSED);
    CHECK_SPAN(span_str(tls_why(s)), SPAN(""));
    free(big);
    tls_free(&c);
    tls_free(&s);
    bench_close(&b);
}

static bool asks(struct bench *b, const struct pem *key_pem, enum key_op op, struct span data,
                 enum key_status want)
{
    struct buf in, out;
    struct key_request r = { .op = op, .data = data };
    struct err why;
    buf_init(&in, KEY_REQUEST_MAX);
    buf_init(&out, KEY_REPLY_MAX);
    MUST(cert_key_id(pem_span(key_pem), &r.key, &why));
    key_request_put(&in, &r);
    enum key_status got = keyserver_request(b->ks, buf_span(&in), &out);
    struct key_reply reply;
    bool ok = got == want && key_reply_get(buf_span(&out), &reply) && reply.status == want;
    buf_free(&in);
    buf_free(&out);
    return ok;
}

/* Only what a signer makes is signed: no raw RSA on chosen bytes. */
static void keyserver_is_strict(void)
{
    struct bench b;
    bench_open(&b, WITH_RSA, 0);
    uint8_t block[256] = { 0 }, digest[64] = { 0 };
    static const uint8_t info256[19] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                         0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };
    uint8_t info[51] = { 0 };
    memcpy(info, info256, sizeof info256);
    block[255] = 0xbc;
    CHECK(asks(&b, &b.rsa.key, KEY_OP_RSA_PSS, span_of(block, 256), KEY_FORBIDDEN));
    CHECK(asks(&b, &b.rsa.key, KEY_OP_RSA_PSS, span_of(block, 255), KEY_FORBIDDEN));
    CHECK(asks(&b, &b.rsa.key, KEY_OP_RSA_PKCS1, span_of(digest, 32), KEY_FORBIDDEN));
    CHECK(asks(&b, &b.rsa.key, KEY_OP_RSA_PKCS1, span_of(info, 51), KEY_OK));
    CHECK(asks(&b, &b.rsa.key, KEY_OP_RSA_PKCS1, span_of(info, 50), KEY_FORBIDDEN));
    CHECK(asks(&b, &b.rsa.key, KEY_OP_ECDSA, span_of(digest, 32), KEY_FORBIDDEN));
    CHECK(asks(&b, &b.ec.key, KEY_OP_RSA_PKCS1, span_of(info, 51), KEY_FORBIDDEN));
    CHECK(asks(&b, &b.ec.key, KEY_OP_ECDSA, span_of(digest, 32), KEY_OK));
    CHECK(asks(&b, &b.ec.key, KEY_OP_ECDSA, span_of(digest, 20), KEY_FORBIDDEN));
    struct pair stranger = pair_new(EVP_EC_gen("P-256"));
    CHECK(asks(&b, &stranger.key, KEY_OP_ECDSA, span_of(digest, 32), KEY_UNKNOWN));
    CHECK_INT(keyserver_stats(b.ks).signed_total, 2);
    CHECK_INT(keyserver_stats(b.ks).refused_total, 8);
    pair_free(&stranger);
    bench_close(&b);
}

static void requests_cut_short(void)
{
    struct bench b;
    bench_open(&b, WITH_EC, 0);
    struct buf in, out;
    struct key_request r = { .op = KEY_OP_ECDSA, .data = SPAN("0123456789abcdef0123456789abcdef") };
    struct key_reply reply;
    buf_init(&in, KEY_REQUEST_MAX + 1);
    buf_init(&out, KEY_REPLY_MAX);
    key_request_put(&in, &r);
    for (size_t n = 0; n <= in.len + 1; n++) {
        if (n > in.len)
            buf_putc(&in, 'x');
        buf_reset(&out);
        enum key_status want = n == 2 + KEY_ID_BYTES + 4 + 32 ? KEY_UNKNOWN : KEY_MALFORMED;
        CHECK_INT(keyserver_request(b.ks, span_to(buf_span(&in), n), &out), want);
        CHECK(key_reply_get(buf_span(&out), &reply));
        CHECK_INT(reply.status, want);
        if (n > in.len - 1 && want == KEY_MALFORMED)
            break;
    }
    struct ticket_keys keys;
    keyserver_tick(b.ks, 0);
    keyserver_tick(b.ks, 5000);
    buf_reset(&in);
    CHECK(keyserver_tickets(b.ks, &in));
    for (size_t n = 0; n < in.len; n++)
        CHECK(!ticket_keys_get(span_to(buf_span(&in), n), &keys));
    CHECK(ticket_keys_get(buf_span(&in), &keys));
    CHECK_INT(keys.generation, 2);
    CHECK(keys.has_previous);
    buf_free(&in);
    buf_free(&out);
    bench_close(&b);
}

static void files_that_belong_together(void)
{
    struct bench b;
    struct err why = { "" };
    struct cert_facts facts;
    bench_open(&b, WITH_EC, 0);
    CHECK(cert_matches_key(pem_span(&b.rsa.cert), pem_span(&b.rsa.key), &why));
    CHECK(cert_matches_key(pem_span(&b.ec.cert), pem_span(&b.ec.key), &why));
    CHECK(!cert_matches_key(pem_span(&b.ec.cert), pem_span(&b.rsa.key), &why));
    CHECK(strstr(why.text, "does not belong"));
    CHECK(cert_facts(pem_span(&b.rsa.cert), &facts, &why));
    CHECK_SPAN(span_str(facts.kind), SPAN("RSA 2048"));
    CHECK_INT(facts.not_after_unix_s - facts.not_before_unix_s, 3660);
    CHECK_INT(facts.chain, 1);
    CHECK(cert_facts(pem_span(&b.ec.cert), &facts, &why));
    CHECK_SPAN(span_str(facts.kind), SPAN("EC P-256"));
    CHECK(strstr(facts.subject, "mx.example.net"));
    CHECK(!cert_facts(pem_span(&b.ec.key), &facts, &why));
    CHECK(!cert_facts(SPAN(""), &facts, &why));
    CHECK(!cert_facts(span_to(pem_span(&b.ec.cert), 200), &facts, &why));
    /* two of a kind, a chain that breaks off, a weak key */
    struct pair weak = pair_new(EVP_RSA_gen(1024)), second = pair_new(EVP_EC_gen("P-384"));
    struct tls_server_ops ops = { on_sign, &b };
    struct tls_server_config two = { .chain_pem = { pem_span(&b.ec.cert), pem_span(&second.cert) },
                                     .chains = 2 };
    CHECK(!tls_server_ctx_new(&two, &ops, &why));
    CHECK(strstr(why.text, "certificate 2") && strstr(why.text, "same type"));
    two = (struct tls_server_config){ .chain_pem = { pem_span(&weak.cert) }, .chains = 1 };
    CHECK(!tls_server_ctx_new(&two, &ops, &why));
    CHECK(strstr(why.text, "1024 bits"));
    struct span keys[] = { pem_span(&b.rsa.key), pem_span(&weak.key) };
    CHECK(!keyserver_set_keys(b.ks, keys, 2, &why));
    CHECK(strstr(why.text, "private key 2"));
    CHECK_INT(keyserver_count(b.ks), 2);
    pair_free(&weak);
    pair_free(&second);
    bench_close(&b);
}

/* A whole handshake, with all it needs of the system, under smtpd's strictest filter. */
static int shake_locked_up(struct bench *b)
{
    struct sandbox_report report;
    struct sandbox_params params = { .deny = CALLFILTER_KILL };
    struct err why;
    sandbox_report_init(&report);
    if (!tls_warm_up(&why) || !sandbox_apply("smtpd", &params, &report, &why))
        return 1;
    for (int i = 0; i < 2; i++) {
        struct tls *c = dial(b), *s = tls_server_new(b->server, NULL);
        shake(b, b->server, c, s, SIZE_MAX);
        if (!says(c, s, "EHLO") || tls_info(s).resumed != (i == 1 ? 1 : 0) || !says(s, c, "250"))
            return 2;
        tls_free(&c);
        tls_free(&s);
    }
    return 0;
}

static void handshake_locked_up(void)
{
    struct bench b;
    bench_open(&b, WITH_RSA, 0);
    CHECK(keyserver_tick(b.ks, 0));
    give_tickets(&b, b.server);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(shake_locked_up(&b));
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
    bench_close(&b);
}

static const struct test tests[] = {
    TEST(rsa_tls13), TEST(rsa_tls12), TEST(ec_tls13), TEST(ec_tls12), TEST(both_byte_by_byte),
    TEST(rsa_for_who_asks), TEST(many_wait), TEST(keyring_refuses), TEST(keyring_restarts),
    TEST(resumption_tls13), TEST(resumption_tls12), TEST(sessions_are_bounded), TEST(verification),
    TEST(rubbish), TEST(cut), TEST(bulk_is_bounded), TEST(keyserver_is_strict),
    TEST(requests_cut_short), TEST(files_that_belong_together),
    TEST(handshake_locked_up),
};
TEST_MAIN(tests)
