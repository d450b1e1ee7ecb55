/* DNSSEC through the engine: a root zone of our own, signed here (RFC 4034, algorithm 13), whose
 * key is the trust anchor. Signed answers are secure, altered and unsigned ones are refused. */
#include "test.h"

#include "dnsserver.h"

#include "dns/engine.h"
#include "dns/resolver.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <time.h>

enum { ALG = 13, RRSIG = 46, OPT = 41, TTL_S = 300, KEY_BYTES = 4 + 64 };

struct signer {
    EVP_PKEY *key;
    char dnskey[KEY_BYTES]; /* rdata */
    uint16_t tag;
    bool alter, strip;      /* what is done to signed.test's answer */
};

static void put16(struct buf *b, unsigned v)
{
    buf_putc(b, (char)(v >> 8));
    buf_putc(b, (char)v);
}

static void put32(struct buf *b, uint32_t v)
{
    put16(b, v >> 16);
    put16(b, v & 0xffff);
}

static void put_owner(struct buf *b, const struct dns_name *name)
{
    for (struct span s = dns_name_span(name); s.n;) {
        size_t dot = span_find(s, '.');
        buf_putc(b, (char)dot);
        buf_puts(b, span_to(s, dot));
        s = span_from(s, dot + 1);
    }
    buf_putc(b, 0);
}

static void put_rr(struct buf *b, const struct dns_name *owner, unsigned type, struct span data)
{
    put_owner(b, owner);
    put16(b, type);
    put16(b, 1);
    put32(b, TTL_S);
    put16(b, (unsigned)data.n);
    buf_puts(b, data);
}

static void signer_init(struct signer *s)
{
    unsigned char point[65];
    size_t n;
    uint32_t sum = 0;
    *s = (struct signer){ .key = EVP_EC_gen("P-256") };
    MUST(s->key && EVP_PKEY_get_octet_string_param(s->key, OSSL_PKEY_PARAM_PUB_KEY, point,
                                                   sizeof point, &n) == 1);
    if (n != sizeof point) { /* compressed by default in some builds */
        printf("not ok key: %zu bytes\n", n);
        exit(1);
    }
    memcpy(s->dnskey, "\1\1\3\15", 4); /* flags 257, protocol 3, algorithm 13 */
    memcpy(s->dnskey + 4, point + 1, 64);
    for (int i = 0; i < KEY_BYTES; i++) /* RFC 4034 B */
        sum += i & 1 ? (uint8_t)s->dnskey[i] : (uint32_t)(uint8_t)s->dnskey[i] << 8;
    s->tag = (uint16_t)(sum + (sum >> 16));
}

/* RFC 6605 4: r and s, 32 bytes each. */
static void put_signature(struct buf *b, EVP_PKEY *key, struct span data)
{
    unsigned char der[128], raw[64];
    const unsigned char *p = der;
    size_t n = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    MUST(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
    MUST(EVP_DigestSign(ctx, der, &n, (const unsigned char *)data.p, data.n) == 1);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    MUST(sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 &&
         BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32);
    buf_put(b, raw, 64);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

/* The record and its RRSIG; signed_data is what the signature is about (RFC 4034 3.1.8.1). */
static void put_signed(struct signer *s, struct buf *b, const struct dns_name *owner,
                       unsigned type, struct span data, struct span signed_data)
{
    struct buf rrsig, about;
    unsigned labels = owner->n ? 1 : 0;
    for (int i = 0; i < owner->n; i++)
        labels += owner->s[i] == '.';
    buf_init(&rrsig, 4096);
    buf_init(&about, 4096);
    put16(&rrsig, type);
    buf_putc(&rrsig, ALG);
    buf_putc(&rrsig, (char)labels);
    put32(&rrsig, TTL_S);
    put32(&rrsig, (uint32_t)time(NULL) + 86400);
    put32(&rrsig, (uint32_t)time(NULL) - 3600);
    put16(&rrsig, s->tag);
    buf_putc(&rrsig, 0); /* the signer: the root */
    buf_puts(&about, buf_span(&rrsig));
    put_rr(&about, owner, type, signed_data);
    put_signature(&rrsig, s->key, buf_span(&about));
    put_rr(b, owner, type, data);
    put_rr(b, owner, RRSIG, buf_span(&rrsig));
    buf_free(&rrsig);
    buf_free(&about);
}

static bool signed_answer(void *ctx, const struct dns_question *q, struct buf *b)
{
    struct signer *s = ctx;
    static const char addr[] = "\300\0\2\1", other[] = "\300\0\2\2";
    bool key = q->name.n == 0 && q->type == DNS_DNSKEY;
    if (!key && !(span_eq(dns_name_span(&q->name), SPAN("signed.test")) && q->type == DNS_A))
        return false;
    put16(b, 0);
    put16(b, 0x8180);
    put16(b, 1);
    put16(b, s->strip && !key ? 1 : 2);
    put16(b, 0);
    put16(b, 1);
    put_owner(b, &q->name);
    put16(b, q->type);
    put16(b, 1);
    struct span rdata = key ? span_of(s->dnskey, KEY_BYTES) : span_of(addr, 4);
    if (s->strip && !key)
        put_rr(b, &q->name, q->type, rdata);
    else
        put_signed(s, b, &q->name, q->type, s->alter && !key ? span_of(other, 4) : rdata, rdata);
    buf_putc(b, 0); /* EDNS: 4096 bytes, DO */
    put16(b, OPT);
    put16(b, 4096);
    put32(b, 0x8000);
    put16(b, 0);
    return true;
}

struct got {
    struct dns_ask ask;
    bool done;
    enum dns_status status;
    enum dns_security security;
    char why[300];
};

static void on_answer(void *ctx, const struct dns_question *q, const struct dns_answer *ans)
{
    struct got *g = ctx;
    (void)q;
    g->done = true;
    g->status = ans->status;
    g->security = ans->security;
    snprintf(g->why, sizeof g->why, "%.*s", SPAN_ARG(ans->why));
}

struct bench {
    struct loop *loop;
    struct signer signer;
    struct dnsserver server;
    struct dns_engine *engine;
    struct dns_resolver *r;
    char anchor[64];
    bool said, validating;
};

static void say(void *ctx, bool validating, const char *why)
{
    struct bench *b = ctx;
    (void)why;
    b->said = true;
    b->validating = validating;
}

static void start(struct bench *b, enum dns_dnssec mode)
{
    struct err e = { "" };
    unsigned char text[200];
    *b = (struct bench){ .loop = loop_new(), .anchor = "/tmp/test_dns_secure.XXXXXX" };
    signer_init(&b->signer);
    struct dns_zone *z = dns_zone_new();
    dns_zone_add(z, SPAN("unsigned.test A 192.0.2.3\n"), &e);
    dnsserver_start(&b->server, b->loop, z);
    b->server.instead = signed_answer;
    b->server.instead_ctx = &b->signer;
    EVP_EncodeBlock(text, (const unsigned char *)b->signer.dnskey + 4, 64);
    int fd = mkstemp(b->anchor);
    MUST(fd >= 0 && dprintf(fd, ". IN DNSKEY 257 3 13 %s\n", (char *)text) > 0);
    close(fd);
    b->engine = dns_engine_new(b->loop, &(struct dns_engine_params){
        .servers = &b->server.addr, .server_count = 1, .dnssec = mode, .trust_anchor = b->anchor,
        .say = say, .say_ctx = b }, &e);
    unlink(b->anchor); /* it was read already */
    if (!b->engine) {
        printf("not ok engine: %s\n", e.text);
        exit(1);
    }
    b->r = dns_resolver_new(b->loop, &(struct dns_resolver_params){ .deadline_ms = 5000 },
                            dns_engine_backend(b->engine));
}

static void stop(struct bench *b)
{
    dns_resolver_free(&b->r);
    dns_engine_free(&b->engine);
    dnsserver_stop(&b->server);
    EVP_PKEY_free(b->signer.key);
    loop_free(&b->loop);
}

static struct got ask_now(struct bench *b, const char *name)
{
    static struct got g;
    struct dns_question q = { .type = DNS_A };
    g = (struct got){ .done = false };
    MUST(dns_name_from(span_str(name), &q.name) == DNS_NAME_OK);
    dns_ask(b->r, &g.ask, &q, on_answer, &g);
    for (int i = 0; i < 200 && !g.done; i++)
        loop_turn(b->loop, 50);
    dns_resolver_flush(b->r, NULL, false);
    return g;
}

static void secure_and_bogus(void)
{
    struct bench b;
    start(&b, DNS_DNSSEC_ON);
    CHECK(dns_engine_validating(b.engine));
    struct got g = ask_now(&b, "signed.test");
    if (g.status != DNS_RECORDS || g.security != DNS_SECURE)
        TEST_FAIL("signed: %s %s %s", dns_status_name(g.status), dns_security_name(g.security),
                  g.why);
    b.signer.alter = true;
    g = ask_now(&b, "signed.test");
    CHECK(g.status == DNS_SERVFAIL && g.security == DNS_BOGUS);
    CHECK(strstr(g.why, "signature"));
    printf("# altered: %s\n", g.why);
    b.signer.alter = false;
    b.signer.strip = true;
    g = ask_now(&b, "signed.test");
    CHECK(g.status == DNS_SERVFAIL);
    b.signer.strip = false;
    CHECK(ask_now(&b, "unsigned.test").status == DNS_SERVFAIL); /* nothing proves it unsigned */
    g = ask_now(&b, "signed.test");
    CHECK(g.security == DNS_SECURE);
    stop(&b);
}

static void found_by_auto(void)
{
    struct bench b;
    start(&b, DNS_DNSSEC_AUTO);
    struct got g = ask_now(&b, "signed.test");
    CHECK(b.said && b.validating && dns_engine_validating(b.engine));
    CHECK(g.status == DNS_RECORDS && g.security == DNS_SECURE);
    b.signer.alter = true;
    CHECK(ask_now(&b, "signed.test").security == DNS_BOGUS);
    stop(&b);
}

static void off(void)
{
    struct bench b;
    start(&b, DNS_DNSSEC_OFF);
    b.signer.alter = true;
    struct got g = ask_now(&b, "signed.test");
    CHECK(g.status == DNS_RECORDS && g.security == DNS_INSECURE);
    stop(&b);
}

static const struct test tests[] = { TEST(secure_and_bogus), TEST(found_by_auto), TEST(off) };
TEST_MAIN(tests)
