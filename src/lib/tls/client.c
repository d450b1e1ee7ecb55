#include "tls/client.h"

#include "base/must.h"
#include "tls/certread.h"
#include "tls/sessions.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <stdlib.h>

enum { SESSIONS_DEFAULT = 1000, NAME_MAX_BYTES = 253, SESSION_KEY_MAX = 1000, CA_MAX = 4096 };

struct tls_client_ctx {
    SSL_CTX *ssl;
    BIO_METHOD *transport;
    struct sessions *sessions;
    size_t connections;
};

/* The library offers each session (in TLS 1.3 after the handshake, with each ticket). */
static int new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);
    if (!t->session_key || t->state == TLS_FAILED || !SSL_SESSION_is_resumable(session))
        return 0;
    sessions_keep(t->sessions, t->session_key, session);
    return 1; /* the reference is ours now */
}

static bool load_ca(SSL_CTX *ssl, struct span pem, struct err *why)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    X509 *ca = NULL;
    int n = 0;
    if (pem.n == 0)
        return true;
    if (pem.n > 8 * CERT_PEM_MAX) {
        err_set(why, "the certificates to trust are larger than %d bytes", 8 * CERT_PEM_MAX);
        return false;
    }
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    MUST(bio);
    while (n < CA_MAX && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        n += X509_STORE_add_cert(store, ca) == 1;
        X509_free(ca);
    }
    BIO_free(bio);
    if (n > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
        ERR_clear_error();
        return true;
    }
    cert_err(why, "the certificates to trust cannot be read");
    return false;
}

static bool configure(SSL_CTX *ssl, const struct tls_client_config *config, struct err *why)
{
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(ssl, config->max_version);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl, new_session);
    /* Weak keys of old servers are still better than plain text (RFC 7435); who wants a verified
     * peer gets the higher level per connection. */
    SSL_CTX_set_security_level(ssl, 0);
    if (config->ciphers && SSL_CTX_set_cipher_list(ssl, config->ciphers) != 1) {
        cert_err(why, "ciphers");
        return false;
    }
    return load_ca(ssl, config->ca_pem, why);
}

struct tls_client_ctx *tls_client_ctx_new(const struct tls_client_config *config, struct err *why)
{
    struct tls_client_ctx *ctx = NEW(struct tls_client_ctx);
    uint64_t seed = 0;
    ERR_clear_error();
    ctx->transport = tls_bio_method();
    if (RAND_bytes((unsigned char *)&seed, sizeof seed) != 1 ||
        !(ctx->ssl = SSL_CTX_new(TLS_client_method()))) {
        cert_err(why, "OpenSSL cannot start");
        goto err0;
    }
    ctx->sessions = sessions_new(config->sessions_max ? config->sessions_max : SESSIONS_DEFAULT,
                                 seed);
    if (!configure(ctx->ssl, config, why))
        goto err0;
    return ctx;
err0:
    tls_client_ctx_free(&ctx);
    return NULL;
}

void tls_client_ctx_free(struct tls_client_ctx **ctxp)
{
    struct tls_client_ctx *ctx = *ctxp;
    if (!ctx)
        return;
    *ctxp = NULL;
    MUST(ctx->connections == 0);
    sessions_free(&ctx->sessions);
    SSL_CTX_free(ctx->ssl);
    BIO_meth_free(ctx->transport);
    free(ctx);
}

size_t tls_client_sessions(const struct tls_client_ctx *ctx)
{
    return sessions_count(ctx->sessions);
}

void tls_client_gone(struct tls_client_ctx *ctx) { ctx->connections--; }

/* SNI is a host name, never an address (RFC 6066 3); the trailing dot is not part of it. */
static bool set_name(SSL *ssl, const struct tls_peer *peer, struct err *why)
{
    struct span name = peer->name;
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0) {
        if (peer->trust == TLS_TRUST_ANY)
            return true;
        err_set(why, "a certificate cannot be verified without a host name");
        return false;
    }
    if (name.n > NAME_MAX_BYTES || memchr(name.p, 0, name.n)) {
        err_set(why, "not a host name");
        return false;
    }
    char *z = must_strndup(name.p, name.n);
    bool ok = SSL_set_tlsext_host_name(ssl, z) == 1 && SSL_set1_host(ssl, z) == 1;
    free(z);
    if (!ok)
        cert_err(why, "not a host name");
    return ok;
}

static char *session_key(const struct tls_peer *peer)
{
    struct buf key;
    if (peer->session.n == 0 || peer->session.n > SESSION_KEY_MAX)
        return NULL;
    buf_init(&key, SESSION_KEY_MAX + 8);
    /* A session taken without verification must not open a verified connection. */
    buf_putz(&key, peer->trust == TLS_TRUST_NAME ? "name " : "any ");
    buf_puts(&key, peer->session);
    char *z = must_strndup(buf_span(&key).p, key.len);
    buf_free(&key);
    return z;
}

struct tls *tls_client_new(struct tls_client_ctx *ctx, const struct tls_peer *peer, void *owner,
                           struct err *why)
{
    struct tls *t = tls_make(ctx->ssl, ctx->transport, owner);
    t->client = ctx;
    ctx->connections++;
    t->sessions = ctx->sessions;
    t->session_key = session_key(peer);
    if (!set_name(t->ssl, peer, why)) {
        tls_free(&t);
        return NULL;
    }
    if (peer->trust == TLS_TRUST_NAME) {
        SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
        SSL_set_security_level(t->ssl, 2);
    }
    SSL_SESSION *known = t->session_key ? sessions_get(ctx->sessions, t->session_key) : NULL;
    if (known)
        SSL_set_session(t->ssl, known);
    SSL_set_connect_state(t->ssl);
    tls_drive(t);
    return t;
}
