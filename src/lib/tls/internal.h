/* internal: what the files of this room share about a connection. */
#ifndef POSTERN_TLS_INTERNAL_H
#define POSTERN_TLS_INTERNAL_H

#include "base/hash.h"
#include "tls/keyproto.h"
#include "tls/tls.h"

#include <openssl/ssl.h>

struct sessions;
struct tls_client_ctx;
struct tls_server_ctx;

/* One signature, from the moment the handshake needs it. */
struct signing {
    enum { SIGN_NONE, SIGN_WANTED, SIGN_ASKED, SIGN_ANSWERED, SIGN_ABANDONED } state;
    struct hash_node node; /* in the context's table while SIGN_ASKED */
    uint64_t id;           /* the node's key */
    struct buf request, reply;
};

struct tls {
    SSL *ssl;
    struct buf in, out;
    enum tls_state state;
    void *owner;
    struct err why;
    bool peer_gone; /* tls_input_end */
    bool closing;   /* tls_close */
    struct tls_server_ctx *server; /* NULL for a client */
    struct signing signing;
    struct tls_client_ctx *client; /* NULL for a server */
    struct sessions *sessions;     /* NULL for a server */
    char *session_key;         /* owned; NULL for a server */
};

/* The memory transport; one per context, freed after the last connection. */
BIO_METHOD *tls_bio_method(void);

/* A connection in TLS_HANDSHAKE; the side is still to be chosen by the caller. */
struct tls *tls_make(SSL_CTX *ctx, BIO_METHOD *transport, void *owner);
void tls_drive(struct tls *t); /* the handshake, as far as it goes */

/* signing.c: called where the handshake has stopped for a signature, or when the
 * connection ends. */
void signing_running(struct tls *t, bool running); /* around each step of the handshake */
void signing_ask(struct tls *t);
void signing_forget(struct tls *t);

/* The connection is freed; for the count of the context. */
void tls_server_gone(struct tls_server_ctx *ctx);
void tls_client_gone(struct tls_client_ctx *ctx);

/* sessions.c: a short handshake of TLS 1.2 may bring a new ticket, which the library does not
 * report; and: the handshake with a remembered session went wrong. */
void sessions_renewed(struct sessions *s, const char *key, SSL *ssl);
void sessions_drop(struct sessions *s, const char *key);

#endif
