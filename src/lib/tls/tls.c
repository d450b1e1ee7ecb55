#include "tls/internal.h"

#include "base/must.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509_vfy.h>

#include <stdlib.h>

enum {
    IDLE_KEEP = 4096, /* an empty buffer larger than this is given back */
    OUTPUT_HARD = TLS_OUTPUT_MAX + (64 << 10),
};

static int bio_read(BIO *bio, char *to, size_t max, size_t *n_r)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t n = t->in.len < max ? t->in.len : max;
    *n_r = n;
    if (n == 0) {
        if (!t->peer_gone)
            BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(to, buf_span(&t->in).p, n);
    buf_take(&t->in, n);
    return 1;
}

static int bio_write(BIO *bio, const char *from, size_t n, size_t *n_r)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *n_r = 0;
    if (t->out.len >= TLS_OUTPUT_MAX && !t->closing) {
        BIO_set_retry_write(bio);
        return 0;
    }
    if (!buf_put(&t->out, from, n))
        return 0;
    *n_r = n;
    return 1;
}

static long bio_ctrl(BIO *bio, int what, long num, void *ptr)
{
    (void)bio, (void)num, (void)ptr;
    return what == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x70, "postern memory");
    MUST(m && BIO_meth_set_read_ex(m, bio_read) && BIO_meth_set_write_ex(m, bio_write) &&
         BIO_meth_set_ctrl(m, bio_ctrl));
    return m;
}

struct tls *tls_make(SSL_CTX *ctx, BIO_METHOD *transport, void *owner)
{
    struct tls *t = NEW(struct tls);
    t->owner = owner;
    buf_init(&t->in, TLS_INPUT_MAX);
    buf_init(&t->out, OUTPUT_HARD);
    buf_init(&t->signing.request, KEY_REQUEST_MAX);
    buf_init(&t->signing.reply, KEY_REPLY_MAX);
    t->ssl = SSL_new(ctx);
    BIO *bio = BIO_new(transport);
    MUST(t->ssl && bio);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    return t;
}

void tls_free(struct tls **tp)
{
    struct tls *t = *tp;
    if (!t)
        return;
    *tp = NULL;
    signing_forget(t);
    /* Many servers end without close_notify: that spoils no session (RFC 5246 7.2.1). */
    if (t->state == TLS_OPEN || t->state == TLS_CLOSED)
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    buf_free(&t->in);
    buf_free(&t->out);
    buf_free(&t->signing.request);
    buf_free(&t->signing.reply);
    free(t->session_key);
    if (t->server)
        tls_server_gone(t->server);
    if (t->client)
        tls_client_gone(t->client);
    free(t);
}

void *tls_owner(const struct tls *t) { return t->owner; }
enum tls_state tls_state(const struct tls *t) { return t->state; }
bool tls_waits_for_key(const struct tls *t) { return t->signing.state == SIGN_ASKED; }
const char *tls_why(const struct tls *t) { return t->why.text; }
struct buf *tls_output(struct tls *t) { return &t->out; }
size_t tls_input_room(const struct tls *t) { return buf_room(&t->in); }

/* The library's own words, with the verdict on the certificate where that is the reason. */
static void fail(struct tls *t, const char *doing)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    long verify = SSL_get_verify_result(t->ssl);
    t->state = TLS_FAILED;
    if (t->why.text[0]) /* keyring's refusal says more */
        ;
    else if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
        err_set(&t->why, "%s: %s", doing, X509_verify_cert_error_string(verify));
    else if (reason && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        err_set(&t->why, "%s: %s", doing, reason);
    else
        err_set(&t->why, "%s: connection closed by the peer", doing);
    ERR_clear_error();
    if (t->session_key)
        sessions_drop(t->sessions, t->session_key);
}

static void opened(struct tls *t)
{
    t->state = TLS_OPEN;
    /* Only a handshake signs: from here on a job per read would be waste. */
    SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
    if (t->session_key && SSL_session_reused(t->ssl) && SSL_version(t->ssl) < TLS1_3_VERSION)
        sessions_renewed(t->sessions, t->session_key, t->ssl);
    buf_free(&t->signing.request);
    buf_free(&t->signing.reply);
}

void tls_drive(struct tls *t)
{
    if (t->state != TLS_HANDSHAKE || t->signing.state == SIGN_ASKED)
        return;
    ERR_clear_error();
    signing_running(t, true);
    int rc = SSL_do_handshake(t->ssl);
    signing_running(t, false);
    if (rc == 1) {
        opened(t);
        return;
    }
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return;
    case SSL_ERROR_WANT_ASYNC:
        /* Asked here and not where it is needed: that code runs on the small stack of a job. */
        MUST(t->signing.state == SIGN_WANTED);
        signing_ask(t);
        return;
    default:
        fail(t, "TLS handshake");
    }
}

size_t tls_input(struct tls *t, struct span ciphertext)
{
    size_t room = buf_room(&t->in);
    size_t n = ciphertext.n < room ? ciphertext.n : room;
    if (t->state == TLS_FAILED || t->state == TLS_CLOSED)
        return ciphertext.n; /* nobody will read it */
    if (n)
        buf_put(&t->in, ciphertext.p, n);
    tls_drive(t);
    return n;
}

void tls_input_end(struct tls *t)
{
    t->peer_gone = true;
    if (t->signing.state == SIGN_ASKED) {
        err_set(&t->why, "TLS handshake: connection closed by the peer");
        signing_forget(t);
    }
    tls_drive(t);
}

static void give_back(struct buf *b)
{
    if (b->len == 0 && b->cap > IDLE_KEEP)
        buf_free(b);
}

/* No plaintext came: because there is none yet, or for good? */
static ssize_t read_nothing(struct tls *t, int rc)
{
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        give_back(&t->in);
        give_back(&t->out);
        return 0;
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        t->state = TLS_CLOSED;
        return -1;
    case SSL_ERROR_SYSCALL: /* cut, perhaps by a stranger; SMTP's own QUIT and dot tell the rest */
        t->state = TLS_CLOSED;
        err_set(&t->why, "TLS: connection closed without notice");
        return -1;
    default:
        fail(t, "TLS");
        return -1;
    }
}

ssize_t tls_read(struct tls *t, void *to, size_t max)
{
    if (t->state == TLS_HANDSHAKE || max == 0)
        return 0;
    if (t->state != TLS_OPEN)
        return -1;
    size_t n;
    ERR_clear_error();
    int rc = SSL_read_ex(t->ssl, to, max, &n);
    return rc == 1 ? (ssize_t)n : read_nothing(t, rc);
}

/* Each direction ends by itself (RFC 8446 6.1), unless the connection was cut. */
static bool can_write(const struct tls *t)
{
    return !t->closing && (t->state == TLS_OPEN || (t->state == TLS_CLOSED && !t->why.text[0]));
}

size_t tls_write(struct tls *t, struct span plaintext)
{
    size_t done = 0;
    if (!can_write(t))
        return 0;
    while (done < plaintext.n && t->out.len < TLS_OUTPUT_MAX) {
        size_t n;
        ERR_clear_error();
        int rc = SSL_write_ex(t->ssl, plaintext.p + done, plaintext.n - done, &n);
        if (rc != 1) {
            int what = SSL_get_error(t->ssl, rc);
            if (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE)
                fail(t, "TLS");
            break;
        }
        done += n;
    }
    return done;
}

void tls_close(struct tls *t)
{
    if (t->closing || (t->state != TLS_OPEN && t->state != TLS_CLOSED))
        return;
    t->closing = true;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

static const char *verify_word(const struct tls *t)
{
    if (!SSL_get0_peer_certificate(t->ssl))
        return "NO";
    return SSL_get_verify_result(t->ssl) == X509_V_OK ? "OK" : "FAIL";
}

struct tls_info tls_info(const struct tls *t)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
    return (struct tls_info){
        .version = SSL_get_version(t->ssl),
        .cipher = cipher ? SSL_CIPHER_get_name(cipher) : "",
        .bits = cipher ? SSL_CIPHER_get_bits(cipher, NULL) : 0,
        .verify = verify_word(t),
        .server_name = name ? name : "",
        .resumed = SSL_session_reused(t->ssl) == 1,
    };
}

bool tls_warm_up(struct err *why)
{
    uint8_t random[16];
    ERR_clear_error();
    SSL_CTX *ctx = NULL;
    uint64_t what = OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS;
    if (OPENSSL_init_ssl(what, NULL) == 1 &&
        RAND_bytes(random, sizeof random) == 1 && RAND_priv_bytes(random, sizeof random) == 1)
        ctx = SSL_CTX_new(TLS_method()); /* fetches every algorithm */
    bool ok = ctx != NULL;
    if (!ok)
        err_set(why, "OpenSSL cannot start: %s", ERR_reason_error_string(ERR_peek_last_error()));
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}
