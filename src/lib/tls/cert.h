/* cert: certificates and keys as PEM text, read once; whether they belong together. Pure: the
 * files are opened and read by somebody else. */
#ifndef POSTERN_TLS_CERT_H
#define POSTERN_TLS_CERT_H

#include "base/err.h"
#include "tls/keyproto.h"

enum { CERT_PEM_MAX = 1 << 20, CERT_CHAIN_MAX = 16 };

struct cert_facts {
    struct key_id key;       /* of the leaf's public key */
    char kind[16];           /* "RSA 2048", "EC P-256" */
    char subject[256];
    int64_t not_before_unix_s, not_after_unix_s;
    int chain;               /* certificates in the file, the leaf included */
};

/* What stands in a chain file (the leaf first); false with `why` filled when it is unusable for
 * a server: no certificate, a key that is neither RSA (2048..8192 bits) nor EC P-256/384/521. */
bool cert_facts(struct span chain_pem, struct cert_facts *facts_r, struct err *why);

/* The id of the key in a PEM private key (PKCS#8, PKCS#1 or SEC 1, without a passphrase). */
bool cert_key_id(struct span key_pem, struct key_id *id_r, struct err *why);

/* For `config check --files`: the key belongs to the certificate. */
bool cert_matches_key(struct span chain_pem, struct span key_pem, struct err *why);

static inline bool key_id_eq(const struct key_id *a, const struct key_id *b)
{
    return memcmp(a->bytes, b->bytes, KEY_ID_BYTES) == 0;
}

#endif
