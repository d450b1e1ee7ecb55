#include "tls/certread.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <time.h>

void cert_err(struct err *why, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (reason)
        err_set(why, "%s: %s", what, reason);
    else
        err_set(why, "%s", what);
    ERR_clear_error();
}

/* No passphrase is ever asked for: there is nobody to answer. */
static int no_passphrase(char *to, int size, int writing, void *arg)
{
    (void)to, (void)size, (void)writing, (void)arg;
    return -1;
}

static BIO *pem_open(struct span pem, struct err *why)
{
    if (pem.n == 0 || pem.n > CERT_PEM_MAX) {
        err_set(why, "%s", pem.n ? "larger than a PEM file may be" : "empty");
        return NULL;
    }
    ERR_clear_error();
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    if (!bio)
        cert_err(why, "cannot read PEM");
    return bio;
}

EVP_PKEY *cert_read_key(struct span key_pem, struct err *why)
{
    BIO *bio = pem_open(key_pem, why);
    if (!bio)
        return NULL;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (!key)
        cert_err(why, "not a private key in PEM form without a passphrase");
    return key;
}

bool cert_read_chain(struct span chain_pem, X509 **leaf_r, STACK_OF(X509) **rest_r,
                     struct err *why)
{
    X509 *leaf = NULL, *next;
    STACK_OF(X509) *rest = sk_X509_new_null();
    BIO *bio = pem_open(chain_pem, why);
    if (!bio || !rest)
        goto err0;
    leaf = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    if (!leaf) {
        cert_err(why, "no certificate in PEM form");
        goto err0;
    }
    while ((next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        if (sk_X509_num(rest) + 1 >= CERT_CHAIN_MAX || sk_X509_push(rest, next) <= 0) {
            X509_free(next);
            err_set(why, "more than %d certificates in the chain", CERT_CHAIN_MAX);
            goto err0;
        }
    }
    /* The end of the file shows as "no start line"; all else is a certificate cut or spoilt. */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        cert_err(why, "a certificate further down is damaged");
        goto err0;
    }
    ERR_clear_error();
    BIO_free(bio);
    *leaf_r = leaf;
    *rest_r = rest;
    return true;
err0:
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
    BIO_free(bio);
    return false;
}

bool cert_id_of(EVP_PKEY *key, struct key_id *id_r)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    if (n <= 0)
        return false;
    unsigned int size = 0;
    int ok = EVP_Digest(der, (size_t)n, id_r->bytes, &size, EVP_sha256(), NULL);
    OPENSSL_free(der);
    return ok == 1 && size == KEY_ID_BYTES;
}

static const char *curve_name(EVP_PKEY *key)
{
    static const struct {
        const char *group, *name;
    } known[] = {
        { "prime256v1", "P-256" }, { "P-256", "P-256" },
        { "secp384r1", "P-384" },  { "P-384", "P-384" },
        { "secp521r1", "P-521" },  { "P-521", "P-521" },
    };
    char group[64];
    size_t n = 0;
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                       &n) != 1)
        return NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(group, known[i].group) == 0)
            return known[i].name;
    return NULL;
}

bool cert_key_usable(EVP_PKEY *key, struct err *why)
{
    int type = EVP_PKEY_get_base_id(key), bits = EVP_PKEY_get_bits(key);
    if (type == EVP_PKEY_RSA) {
        if (bits >= 2048 && bits <= KEY_DATA_MAX * 8)
            return true;
        err_set(why, "an RSA key of %d bits: 2048 to %d are usable", bits, KEY_DATA_MAX * 8);
        return false;
    }
    if (type == EVP_PKEY_EC && curve_name(key))
        return true;
    const char *name = EVP_PKEY_get0_type_name(key);
    err_set(why, "a key of type %s: RSA and EC on P-256, P-384 or P-521 are usable",
            type == EVP_PKEY_EC ? "EC on another curve" : name ? name : "unknown");
    return false;
}

static bool unix_time(const ASN1_TIME *at, int64_t *s_r)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1)
        return false;
    *s_r = (int64_t)timegm(&tm);
    return true;
}

static bool fill_facts(X509 *leaf, struct cert_facts *f, struct err *why)
{
    EVP_PKEY *key = X509_get0_pubkey(leaf);
    if (!key) {
        cert_err(why, "the certificate's public key cannot be read");
        return false;
    }
    if (!cert_key_usable(key, why))
        return false;
    struct buf kind;
    buf_init(&kind, sizeof f->kind - 1);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        buf_printf(&kind, "RSA %d", EVP_PKEY_get_bits(key));
    else
        buf_printf(&kind, "EC %s", curve_name(key));
    if (kind.len)
        memcpy(f->kind, buf_span(&kind).p, kind.len);
    buf_free(&kind);
    X509_NAME_oneline(X509_get_subject_name(leaf), f->subject, sizeof f->subject);
    if (cert_id_of(key, &f->key) && unix_time(X509_get0_notBefore(leaf), &f->not_before_unix_s) &&
        unix_time(X509_get0_notAfter(leaf), &f->not_after_unix_s))
        return true;
    cert_err(why, "the certificate cannot be read");
    return false;
}

bool cert_facts(struct span chain_pem, struct cert_facts *facts_r, struct err *why)
{
    X509 *leaf;
    STACK_OF(X509) *rest;
    *facts_r = (struct cert_facts){ 0 };
    if (!cert_read_chain(chain_pem, &leaf, &rest, why))
        return false;
    facts_r->chain = 1 + sk_X509_num(rest);
    bool ok = fill_facts(leaf, facts_r, why);
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
    return ok;
}

bool cert_key_id(struct span key_pem, struct key_id *id_r, struct err *why)
{
    EVP_PKEY *key = cert_read_key(key_pem, why);
    if (!key)
        return false;
    bool ok = cert_key_usable(key, why);
    if (ok && !cert_id_of(key, id_r)) {
        cert_err(why, "the key cannot be read");
        ok = false;
    }
    EVP_PKEY_free(key);
    return ok;
}

bool cert_matches_key(struct span chain_pem, struct span key_pem, struct err *why)
{
    struct cert_facts facts;
    struct key_id id;
    if (!cert_facts(chain_pem, &facts, why) || !cert_key_id(key_pem, &id, why))
        return false;
    if (key_id_eq(&facts.key, &id))
        return true;
    err_set(why, "the private key does not belong to the certificate (%s)", facts.subject);
    return false;
}
