/* tls/client: the client's side: opportunistic by default, with remembered sessions. */
#ifndef POSTERN_TLS_CLIENT_H
#define POSTERN_TLS_CLIENT_H

#include "tls/tls.h"

struct tls_client_ctx;

struct tls_client_config {
    struct span ca_pem;   /* certificates to verify against; empty: nothing verifies */
    const char *ciphers;  /* TLS 1.2 only; NULL: the library's default */
    int max_version;      /* 0: the newest; 0x0303: TLS 1.2 only */
    size_t sessions_max;  /* remembered sessions; 0: 1000 */
};

enum tls_trust {
    TLS_TRUST_ANY,  /* opportunistic (RFC 7435): any certificate is better than plain text */
    TLS_TRUST_NAME, /* the handshake fails unless the certificate verifies for the name */
};

struct tls_peer {
    struct span name;    /* host name for SNI and verification; empty for an address literal */
    struct span session; /* under which the session is remembered: "host:port ehlo-name";
                          * empty (or longer than 1000 bytes): not remembered */
    enum tls_trust trust;
};

struct tls_client_ctx *tls_client_ctx_new(const struct tls_client_config *config, struct err *why);
void tls_client_ctx_free(struct tls_client_ctx **ctx); /* MUST have no connection left */
size_t tls_client_sessions(const struct tls_client_ctx *ctx);

/* The handshake begins at once: the ClientHello stands in tls_output. NULL with `why` when the
 * name cannot be used. The spans are copied. */
struct tls *tls_client_new(struct tls_client_ctx *ctx, const struct tls_peer *peer, void *owner,
                           struct err *why);

#endif
