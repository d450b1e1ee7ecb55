/* signing: public keys whose private half is somewhere else. The private operation stops the
 * handshake (OpenSSL's ASYNC jobs: a small stack of its own per stopped handshake), the request
 * goes to keyring, and tls_sign_done lets the handshake go on.
 *
 * RSA and EC_KEY methods are deprecated in OpenSSL 3 in favour of a provider; they are a tenth
 * of the code and work in all of 3.x. */
#ifndef POSTERN_TLS_SIGNING_H
#define POSTERN_TLS_SIGNING_H

#include "tls/internal.h"
#include "tls/server.h"

struct sign_methods; /* one per server context */

/* The table of open requests and the way to ask; lives in the server context. */
struct signer {
    struct hash asked;
    uint64_t last_id;
    struct tls *running; /* whose handshake is being driven right now */
    struct tls_server_ops ops;
};

struct sign_methods *sign_methods_new(void);
void sign_methods_free(struct sign_methods **m); /* after every key made with it */

/* A private key object for the certificate's public key `of`, whose operations are asked. The
 * caller owns it (EVP_PKEY_free) and `*tag_r` (free), which must outlive it. NULL: not usable. */
struct sign_tag;
EVP_PKEY *sign_key_new(const struct sign_methods *m, struct signer *signer, EVP_PKEY *of,
                       struct sign_tag **tag_r);

struct signer *tls_server_signer(struct tls_server_ctx *ctx);

#endif
