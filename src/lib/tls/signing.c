/* The methods below are what makes keys outside this process possible; see signing.h. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "tls/signing.h"

#include "base/list.h"
#include "base/must.h"
#include "tls/certread.h"

#include <openssl/async.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <stdlib.h>

struct sign_methods {
    RSA_METHOD *rsa;
    EC_KEY_METHOD *ec;
};

struct sign_tag {
    struct signer *signer;
    struct key_id id;
};

/* On the stack of the job: stops here until there is an answer. The length of the signature put
 * into `to` (at most max), or -1. */
static int sign_elsewhere(const struct sign_tag *tag, enum key_op op, const unsigned char *data,
                          size_t n, unsigned char *to, size_t max)
{
    struct tls *t = tag->signer->running;
    if (!t || t->state != TLS_HANDSHAKE || !ASYNC_get_current_job() || n > KEY_DATA_MAX)
        return -1;
    struct signing *s = &t->signing;
    struct key_request request = { .key = tag->id, .op = op, .data = span_of(data, n) };
    buf_reset(&s->request);
    key_request_put(&s->request, &request);
    s->state = s->request.failed ? SIGN_ABANDONED : SIGN_WANTED;
    while (s->state == SIGN_WANTED || s->state == SIGN_ASKED)
        if (ASYNC_pause_job() != 1)
            return -1;
    struct key_reply reply;
    bool answered = s->state == SIGN_ANSWERED;
    s->state = SIGN_NONE;
    if (!answered)
        return -1;
    if (!key_reply_get(buf_span(&s->reply), &reply) || reply.status != KEY_OK ||
        reply.signature.n > max) {
        err_set(&t->why, "TLS handshake: %s", key_status_text(reply.status));
        return -1;
    }
    memcpy(to, reply.signature.p, reply.signature.n);
    return (int)reply.signature.n;
}

/* PSS arrives padded (RSA_NO_PADDING), PKCS #1 as a DigestInfo. */
static int rsa_sign(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
    const struct sign_tag *tag = RSA_get_ex_data(rsa, 0);
    if (!tag || n <= 0 || (padding != RSA_NO_PADDING && padding != RSA_PKCS1_PADDING))
        return -1;
    enum key_op op = padding == RSA_NO_PADDING ? KEY_OP_RSA_PSS : KEY_OP_RSA_PKCS1;
    int size = RSA_size(rsa);
    return sign_elsewhere(tag, op, from, (size_t)n, to, (size_t)size) == size ? size : -1;
}

static int rsa_decrypt(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
    (void)n, (void)from, (void)to, (void)rsa, (void)padding;
    return -1; /* RSA key exchange is not offered */
}

static int ec_sign(int type, const unsigned char *digest, int n, unsigned char *to,
                   unsigned int *n_r, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *ec)
{
    (void)type, (void)kinv, (void)r;
    const struct sign_tag *tag = EC_KEY_get_ex_data(ec, 0);
    *n_r = 0;
    if (!tag || n <= 0)
        return 0;
    int got = sign_elsewhere(tag, KEY_OP_ECDSA, digest, (size_t)n, to, (size_t)ECDSA_size(ec));
    if (got <= 0)
        return 0;
    *n_r = (unsigned int)got;
    return 1;
}

struct sign_methods *sign_methods_new(void)
{
    struct sign_methods *m = NEW(struct sign_methods);
    m->rsa = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    m->ec = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    MUST(m->rsa && m->ec);
    MUST(RSA_meth_set1_name(m->rsa, "postern keyring") && RSA_meth_set_priv_enc(m->rsa, rsa_sign) &&
         RSA_meth_set_priv_dec(m->rsa, rsa_decrypt));
    EC_KEY_METHOD_set_sign(m->ec, ec_sign, NULL, NULL);
    return m;
}

void sign_methods_free(struct sign_methods **m)
{
    if (!*m)
        return;
    RSA_meth_free((*m)->rsa);
    EC_KEY_METHOD_free((*m)->ec);
    free(*m);
    *m = NULL;
}

static EVP_PKEY *rsa_key(const struct sign_methods *m, EVP_PKEY *of, struct sign_tag *tag)
{
    const BIGNUM *n, *e;
    const RSA *pub = EVP_PKEY_get0_RSA(of);
    if (!pub)
        return NULL;
    RSA_get0_key(pub, &n, &e, NULL);
    RSA *rsa = RSA_new();
    EVP_PKEY *key = EVP_PKEY_new();
    MUST(rsa && key && RSA_set0_key(rsa, BN_dup(n), BN_dup(e), NULL) &&
         RSA_set_method(rsa, m->rsa) && RSA_set_ex_data(rsa, 0, tag) &&
         EVP_PKEY_assign_RSA(key, rsa));
    return key;
}

static EVP_PKEY *ec_key(const struct sign_methods *m, EVP_PKEY *of, struct sign_tag *tag)
{
    const EC_KEY *pub = EVP_PKEY_get0_EC_KEY(of);
    if (!pub)
        return NULL;
    EC_KEY *ec = EC_KEY_new();
    EVP_PKEY *key = EVP_PKEY_new();
    MUST(ec && key && EC_KEY_set_group(ec, EC_KEY_get0_group(pub)) &&
         EC_KEY_set_public_key(ec, EC_KEY_get0_public_key(pub)) && EC_KEY_set_method(ec, m->ec) &&
         EC_KEY_set_ex_data(ec, 0, tag) && EVP_PKEY_assign_EC_KEY(key, ec));
    return key;
}

EVP_PKEY *sign_key_new(const struct sign_methods *m, struct signer *signer, EVP_PKEY *of,
                       struct sign_tag **tag_r)
{
    struct sign_tag *tag = NEW(struct sign_tag);
    tag->signer = signer;
    EVP_PKEY *key = NULL;
    if (cert_id_of(of, &tag->id))
        key = EVP_PKEY_get_base_id(of) == EVP_PKEY_RSA ? rsa_key(m, of, tag) : ec_key(m, of, tag);
    if (!key) {
        free(tag);
        return NULL;
    }
    *tag_r = tag;
    return key;
}

void signing_running(struct tls *t, bool running)
{
    if (t->server)
        tls_server_signer(t->server)->running = running ? t : NULL;
}

static void ask(struct signer *signer, struct tls *t)
{
    signer->ops.sign_request(signer->ops.arg, t->signing.id, buf_span(&t->signing.request));
}

void signing_ask(struct tls *t)
{
    struct signer *signer = tls_server_signer(t->server);
    struct signing *s = &t->signing;
    s->id = ++signer->last_id;
    if (!hash_add(&signer->asked, &s->node, span_of(&s->id, sizeof s->id))) {
        err_set(&t->why, "TLS handshake: too many wait for keyring");
        s->state = SIGN_ABANDONED;
        tls_drive(t);
        return;
    }
    s->state = SIGN_ASKED;
    ask(signer, t);
}

void signing_forget(struct tls *t)
{
    if (t->signing.state != SIGN_ASKED)
        return;
    hash_remove(&tls_server_signer(t->server)->asked, &t->signing.node);
    /* The job must run to its end: the library cannot throw away a stopped one. */
    t->signing.state = SIGN_ABANDONED;
    tls_drive(t);
}

struct tls *tls_sign_done(struct tls_server_ctx *ctx, uint64_t request_id, struct span reply)
{
    struct signer *signer = tls_server_signer(ctx);
    struct hash_node *node = hash_get(&signer->asked, span_of(&request_id, sizeof request_id));
    if (!node)
        return NULL;
    struct signing *s = CONTAINER(node, struct signing, node);
    struct tls *t = CONTAINER(s, struct tls, signing);
    hash_remove(&signer->asked, node);
    buf_reset(&s->reply);
    buf_puts(&s->reply, reply); /* too long: stays empty, which no reply is */
    s->state = SIGN_ANSWERED;
    tls_drive(t);
    return t;
}

/* The ids first: asking may answer at once, and what that starts changes the table. */
void tls_sign_again(struct tls_server_ctx *ctx)
{
    struct signer *signer = tls_server_signer(ctx);
    size_t n = 0, max = signer->asked.n;
    uint64_t *ids = must_calloc(max + 1, sizeof *ids);
    for (struct hash_node *node = NULL; (node = hash_next(&signer->asked, node)) && n < max;)
        ids[n++] = CONTAINER(node, struct signing, node)->id;
    for (size_t i = 0; i < n; i++) {
        struct hash_node *node = hash_get(&signer->asked, span_of(&ids[i], sizeof ids[i]));
        if (node)
            ask(signer, CONTAINER(CONTAINER(node, struct signing, node), struct tls, signing));
    }
    free(ids);
}

size_t tls_sign_pending(const struct tls_server_ctx *ctx)
{
    return tls_server_signer((struct tls_server_ctx *)ctx)->asked.n;
}
