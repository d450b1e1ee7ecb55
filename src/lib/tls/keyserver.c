#include "tls/keyserver.h"

#include "base/must.h"
#include "tls/certread.h"
#include "tls/shape.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <stdlib.h>

struct held_key {
    struct key_id id;
    EVP_PKEY *key;
};

struct keyserver {
    struct held_key *keys;
    size_t n;
    struct held_key *replaced; /* KEYSERVER_KEYS_MAX at most: the oldest go first */
    size_t replaced_n;
    struct ticket_keys tickets;
    int64_t rotate_ms, next_ms;
    struct keyserver_stats stats;
};

struct keyserver *keyserver_new(int64_t ticket_rotate_ms)
{
    struct keyserver *ks = NEW(struct keyserver);
    ks->replaced = must_calloc(KEYSERVER_KEYS_MAX, sizeof *ks->replaced);
    ks->rotate_ms = ticket_rotate_ms;
    ks->next_ms = ticket_rotate_ms > 0 ? INT64_MIN : INT64_MAX;
    return ks;
}

static void free_keys(struct held_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        EVP_PKEY_free(keys[i].key);
    free(keys);
}

void keyserver_free(struct keyserver **ks)
{
    if (!*ks)
        return;
    free_keys((*ks)->keys, (*ks)->n);
    keyserver_forget_replaced(*ks);
    free((*ks)->replaced);
    ticket_keys_wipe(&(*ks)->tickets);
    free(*ks);
    *ks = NULL;
}

static const struct held_key *find(const struct held_key *keys, size_t n, const struct key_id *id)
{
    for (size_t i = 0; i < n; i++)
        if (key_id_eq(&keys[i].id, id))
            return &keys[i];
    return NULL;
}

/* 1 added, 0 there already, -1 unusable. */
static int add_key(struct held_key *keys, size_t *n, struct span pem, struct err *why)
{
    EVP_PKEY *key = cert_read_key(pem, why);
    if (!key)
        return -1;
    struct key_id id;
    if (!cert_key_usable(key, why))
        goto err0;
    if (!cert_id_of(key, &id)) {
        cert_err(why, "the key cannot be read");
        goto err0;
    }
    if (find(keys, *n, &id)) {
        EVP_PKEY_free(key);
        return 0;
    }
    keys[(*n)++] = (struct held_key){ .id = id, .key = key };
    return 1;
err0:
    EVP_PKEY_free(key);
    return -1;
}

void keyserver_forget_replaced(struct keyserver *ks)
{
    for (size_t i = 0; i < ks->replaced_n; i++)
        EVP_PKEY_free(ks->replaced[i].key);
    ks->replaced_n = 0;
}

static const struct held_key *find_any(const struct keyserver *ks, const struct key_id *id)
{
    const struct held_key *held = find(ks->keys, ks->n, id);
    return held ? held : find(ks->replaced, ks->replaced_n, id);
}

/* Takes the key over. */
static void keep_replaced(struct keyserver *ks, struct held_key held)
{
    if (find_any(ks, &held.id)) {
        EVP_PKEY_free(held.key);
        return;
    }
    if (ks->replaced_n == KEYSERVER_KEYS_MAX) {
        EVP_PKEY_free(ks->replaced[0].key);
        memmove(ks->replaced, ks->replaced + 1, --ks->replaced_n * sizeof *ks->replaced);
    }
    ks->replaced[ks->replaced_n++] = held;
}

bool keyserver_set_keys(struct keyserver *ks, const struct span *pem, size_t n, struct err *why)
{
    if (n > KEYSERVER_KEYS_MAX) {
        err_set(why, "%zu private keys: at most %d", n, KEYSERVER_KEYS_MAX);
        return false;
    }
    struct held_key *keys = must_calloc(n + 1, sizeof *keys);
    size_t got = 0;
    for (size_t i = 0; i < n; i++) {
        struct err e;
        if (add_key(keys, &got, pem[i], &e) < 0) {
            err_set(why, "private key %zu: %.400s", i + 1, e.text);
            free_keys(keys, got);
            return false;
        }
    }
    struct held_key *before = ks->keys;
    size_t before_n = ks->n;
    ks->keys = keys;
    ks->n = got;
    for (size_t i = 0; i < before_n; i++)
        keep_replaced(ks, before[i]);
    free(before);
    return true;
}

size_t keyserver_count(const struct keyserver *ks) { return ks->n; }

static bool allowed(EVP_PKEY *key, const struct key_request *r)
{
    bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
    switch (r->op) {
    case KEY_OP_RSA_PSS:
        return rsa && r->data.n == (size_t)EVP_PKEY_get_size(key) &&
               shape_is_pss(r->data, EVP_PKEY_get_bits(key));
    case KEY_OP_RSA_PKCS1:
        return rsa && shape_is_digest_info(r->data);
    case KEY_OP_ECDSA:
        return !rsa && (r->data.n == 32 || r->data.n == 48 || r->data.n == 64);
    }
    return false;
}

static bool sign(EVP_PKEY *key, const struct key_request *r, uint8_t *to, size_t *n)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1;
    if (ok && r->op == KEY_OP_RSA_PSS) /* the block is padded already */
        ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1;
    else if (ok && r->op == KEY_OP_RSA_PKCS1)
        ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    ok = ok && EVP_PKEY_sign(ctx, to, n, (const uint8_t *)r->data.p, r->data.n) == 1 && *n > 0;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

enum key_status keyserver_request(struct keyserver *ks, struct span in, struct buf *out)
{
    struct key_request r;
    struct key_reply reply = { .status = KEY_MALFORMED };
    uint8_t signature[KEY_SIGNATURE_MAX];
    size_t n = sizeof signature;
    if (key_request_get(in, &r)) {
        const struct held_key *held = find_any(ks, &r.key);
        if (!held)
            reply.status = KEY_UNKNOWN;
        else if (!allowed(held->key, &r))
            reply.status = KEY_FORBIDDEN;
        else if (!sign(held->key, &r, signature, &n))
            reply.status = KEY_BROKEN;
        else
            reply = (struct key_reply){ KEY_OK, span_of(signature, n) };
    }
    if (reply.status == KEY_OK)
        ks->stats.signed_total++;
    else
        ks->stats.refused_total++;
    key_reply_put(out, &reply);
    return reply.status;
}

bool keyserver_tick(struct keyserver *ks, int64_t now_ms)
{
    if (ks->rotate_ms <= 0 || now_ms < ks->next_ms)
        return false;
    ks->next_ms = now_ms + ks->rotate_ms;
    return ticket_keys_rotate(&ks->tickets);
}

int64_t keyserver_next_ms(const struct keyserver *ks) { return ks->next_ms; }

bool keyserver_tickets(const struct keyserver *ks, struct buf *out)
{
    if (ks->tickets.generation == 0)
        return false;
    ticket_keys_put(out, &ks->tickets);
    return !out->failed;
}

struct keyserver_stats keyserver_stats(const struct keyserver *ks) { return ks->stats; }
