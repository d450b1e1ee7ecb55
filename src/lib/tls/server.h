/* tls/server: the server's side: certificates without private keys. Each signature of a
 * handshake is asked of keyring through `ops` and given back later; meanwhile the loop and all
 * other connections go on. */
#ifndef POSTERN_TLS_SERVER_H
#define POSTERN_TLS_SERVER_H

#include "tls/ticket.h"
#include "tls/tls.h"

struct tls_server_ctx;

enum { TLS_SERVER_CERTS_MAX = 4 };

struct tls_server_config {
    /* Chains in PEM, leaf first: at most one RSA and one EC. The client's offer chooses. */
    struct span chain_pem[TLS_SERVER_CERTS_MAX];
    size_t chains;
    int min_version;          /* 0: TLS 1.2; 0x0304: TLS 1.3 only */
    const char *ciphers;      /* TLS 1.2 only, OpenSSL's language; NULL: forward secret AEAD/AES */
    int64_t ticket_lifetime_s; /* 0: 2 hours */
    size_t signing_max;       /* handshakes that may wait for a signature at once; 0: 1000 */
};

struct tls_server_ops {
    /* Ask keyring: `request` (keyproto) is valid during the call. The answer comes later, or
     * already inside this call, through tls_sign_done with the same id. Never ending is allowed:
     * the connection's own deadline frees it. */
    void (*sign_request)(void *arg, uint64_t request_id, struct span request);
    void *arg;
};

/* NULL with `why` filled when a chain is not usable. */
struct tls_server_ctx *tls_server_ctx_new(const struct tls_server_config *config,
                                          const struct tls_server_ops *ops, struct err *why);
void tls_server_ctx_free(struct tls_server_ctx **ctx); /* MUST have no connection left */

/* The encoded set as keyring sends it (ticket.h); false when it cannot be read. Without keys no
 * tickets are given and none is taken. Open connections are not touched. */
bool tls_server_set_tickets(struct tls_server_ctx *ctx, struct span keys);

/* `owner` is given back by tls_owner. */
struct tls *tls_server_new(struct tls_server_ctx *ctx, void *owner);

/* keyring's answer (keyproto) to a request: the handshake goes on inside this call. Returns the
 * connection, whose output and state are to be looked at; NULL when it is gone. */
struct tls *tls_sign_done(struct tls_server_ctx *ctx, uint64_t request_id, struct span reply);
/* Asks all open requests once more, with their ids: after keyring was restarted. */
void tls_sign_again(struct tls_server_ctx *ctx);
size_t tls_sign_pending(const struct tls_server_ctx *ctx);

#endif
