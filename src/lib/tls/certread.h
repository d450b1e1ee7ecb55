/* certread: certificates and keys as objects of OpenSSL, for the files of this room only. */
#ifndef POSTERN_TLS_CERTREAD_H
#define POSTERN_TLS_CERTREAD_H

#include "tls/cert.h"

#include <openssl/x509.h>

/* The caller frees what is returned (EVP_PKEY_free; X509_free and
 * sk_X509_pop_free); NULL or false with `why` filled. */
EVP_PKEY *cert_read_key(struct span key_pem, struct err *why);
bool cert_read_chain(struct span chain_pem, X509 **leaf_r, STACK_OF(X509) **rest_r,
                     struct err *why);
bool cert_id_of(EVP_PKEY *key, struct key_id *id_r);
bool cert_key_usable(EVP_PKEY *key, struct err *why);

/* "what: the library's reason"; empties the library's error queue. */
void cert_err(struct err *why, const char *what);

#endif
