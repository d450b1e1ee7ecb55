/* test_cert: certificates and keys made when the test runs. */
#ifndef POSTERN_TESTS_UNIT_TEST_CERT_H
#define POSTERN_TESTS_UNIT_TEST_CERT_H

#include "base/must.h"
#include "base/span.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <stdlib.h>

struct pem {
    char *text;
    size_t n;
};

static inline struct span pem_span(const struct pem *p) { return span_of(p->text, p->n); }

static inline struct pem pem_take(BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    struct pem pem = { must_strndup(p, (size_t)n), (size_t)n };
    BIO_free(bio);
    return pem;
}

struct pair {
    struct pem cert, key;
};

/* A self-signed certificate for mx.example.net, valid for an hour. */
static inline struct pair pair_new(EVP_PKEY *key)
{
    MUST(key);
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"mx.example.net", -1, -1,
                               0);
    X509_set_issuer_name(x, name);
    X509V3_CTX v3;
    X509V3_set_ctx_nodb(&v3);
    X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
    X509_EXTENSION *alt =
        X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "DNS:mx.example.net");
    X509_add_ext(x, alt, -1);
    X509_EXTENSION_free(alt);
    MUST(X509_sign(x, key, EVP_sha256()) > 0);
    BIO *cert = BIO_new(BIO_s_mem()), *text = BIO_new(BIO_s_mem());
    MUST(PEM_write_bio_X509(cert, x) == 1);
    MUST(PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL) == 1);
    X509_free(x);
    EVP_PKEY_free(key);
    return (struct pair){ pem_take(cert), pem_take(text) };
}

static inline void pair_free(struct pair *p)
{
    free(p->cert.text);
    free(p->key.text);
}

#endif
