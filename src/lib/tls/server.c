#include "tls/server.h"

#include "base/must.h"
#include "tls/certread.h"
#include "tls/signing.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include <stdlib.h>

struct tls_server_ctx {
    SSL_CTX *ssl;
    BIO_METHOD *transport;
    struct sign_methods *methods;
    struct sign_tag *tags[TLS_SERVER_CERTS_MAX];
    size_t tags_n;
    struct signer signer;
    struct ticket_keys tickets;
    size_t connections;
};

static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL";

struct signer *tls_server_signer(struct tls_server_ctx *ctx) { return &ctx->signer; }

/* RFC 5077 4: name, IV, cipher and MAC of one ticket. 1 go on, 2 go on and give a new ticket,
 * 0 not ours (full handshake), -1 error. */
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int sealing)
{
    struct tls *t = SSL_get_app_data(ssl);
    const struct ticket_keys *keys = &t->server->tickets;
    const struct ticket_key *key = NULL;
    if (keys->generation == 0)
        return 0;
    if (sealing || memcmp(name, keys->current.name, TICKET_NAME_BYTES) == 0)
        key = &keys->current;
    else if (keys->has_previous && memcmp(name, keys->previous.name, TICKET_NAME_BYTES) == 0)
        key = &keys->previous;
    if (!key)
        return 0;
    if (sealing) {
        memcpy(name, key->name, TICKET_NAME_BYTES);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
    }
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->hmac, TICKET_KEY_BYTES),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_MAC_CTX_set_params(mac, params) != 1 ||
        EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, sealing) != 1)
        return -1;
    /* In TLS 1.3 a ticket is for one use: the client needs the next one (RFC 8446 C.4). */
    return key == &keys->current && (sealing || SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
}

/* The name is for the log only; every client gets the same certificates. */
static int server_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl, (void)alert, (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static bool add_chain(struct tls_server_ctx *ctx, struct span pem, struct err *why)
{
    X509 *leaf;
    STACK_OF(X509) *rest;
    struct cert_facts facts;
    if (!cert_facts(pem, &facts, why) || !cert_read_chain(pem, &leaf, &rest, why))
        return false;
    EVP_PKEY *key = sign_key_new(ctx->methods, &ctx->signer, X509_get0_pubkey(leaf),
                                 &ctx->tags[ctx->tags_n]);
    bool ok = false;
    if (!key) {
        cert_err(why, "the certificate's key cannot be used");
    } else {
        ctx->tags_n++;
        /* 0: a second certificate for the same kind of key is refused, not silently preferred */
        ok = SSL_CTX_use_cert_and_key(ctx->ssl, leaf, key, rest, 0) == 1;
        if (!ok && ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_NOT_REPLACING_CERTIFICATE) {
            ERR_clear_error();
            err_set(why, "a second certificate with a key of the same type (%s)", facts.kind);
        } else if (!ok) {
            cert_err(why, facts.subject);
        }
    }
    EVP_PKEY_free(key);
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
    return ok;
}

static bool configure(SSL_CTX *ssl, const struct tls_server_config *config, struct err *why)
{
    static const unsigned char id[] = "postern"; /* one for all workers: they share sessions */
    long lifetime_s = config->ticket_lifetime_s > 0 ? (long)config->ticket_lifetime_s : 7200;
    SSL_CTX_set_min_proto_version(ssl, config->min_version ? config->min_version
                                                           : TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_ASYNC | SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* tickets only: no state here */
    SSL_CTX_set_session_id_context(ssl, id, sizeof id - 1);
    SSL_CTX_set_timeout(ssl, lifetime_s);
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, ticket_key);
    SSL_CTX_set_tlsext_servername_callback(ssl, server_name);
    if (SSL_CTX_set_cipher_list(ssl, config->ciphers ? config->ciphers : default_ciphers) == 1)
        return true;
    cert_err(why, "ciphers");
    return false;
}

struct tls_server_ctx *tls_server_ctx_new(const struct tls_server_config *config,
                                          const struct tls_server_ops *ops, struct err *why)
{
    struct tls_server_ctx *ctx = NEW(struct tls_server_ctx);
    uint64_t seed = 0;
    ERR_clear_error();
    ctx->transport = tls_bio_method();
    ctx->methods = sign_methods_new();
    ctx->signer.ops = *ops;
    if (RAND_bytes((unsigned char *)&seed, sizeof seed) != 1 ||
        !(ctx->ssl = SSL_CTX_new(TLS_server_method()))) {
        cert_err(why, "OpenSSL cannot start");
        goto err0;
    }
    hash_init(&ctx->signer.asked, seed, config->signing_max ? config->signing_max : 1000);
    if (!configure(ctx->ssl, config, why))
        goto err0;
    MUST(config->chains <= TLS_SERVER_CERTS_MAX);
    if (config->chains == 0) {
        err_set(why, "no certificate");
        goto err0;
    }
    for (size_t i = 0; i < config->chains; i++) {
        struct err e;
        if (!add_chain(ctx, config->chain_pem[i], &e)) {
            err_set(why, "certificate %zu: %.400s", i + 1, e.text);
            goto err0;
        }
    }
    return ctx;
err0:
    tls_server_ctx_free(&ctx);
    return NULL;
}

void tls_server_ctx_free(struct tls_server_ctx **ctxp)
{
    struct tls_server_ctx *ctx = *ctxp;
    if (!ctx)
        return;
    *ctxp = NULL;
    MUST(ctx->connections == 0);
    SSL_CTX_free(ctx->ssl);
    for (size_t i = 0; i < ctx->tags_n; i++)
        free(ctx->tags[i]);
    sign_methods_free(&ctx->methods);
    BIO_meth_free(ctx->transport);
    hash_free(&ctx->signer.asked);
    ticket_keys_wipe(&ctx->tickets);
    free(ctx);
}

bool tls_server_set_tickets(struct tls_server_ctx *ctx, struct span keys)
{
    struct ticket_keys got;
    if (!ticket_keys_get(keys, &got))
        return false;
    ctx->tickets = got;
    ticket_keys_wipe(&got);
    return true;
}

struct tls *tls_server_new(struct tls_server_ctx *ctx, void *owner)
{
    struct tls *t = tls_make(ctx->ssl, ctx->transport, owner);
    t->server = ctx;
    ctx->connections++;
    if (ctx->tickets.generation == 0) {
        SSL_set_options(t->ssl, SSL_OP_NO_TICKET);
        SSL_set_num_tickets(t->ssl, 0);
    }
    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_server_gone(struct tls_server_ctx *ctx) { ctx->connections--; }
