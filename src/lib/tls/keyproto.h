/* keyproto: what a TLS server process and keyring say to each other about private keys: the
 * bytes inside the IPC messages, one encoder and one strict decoder each. A key is named by the
 * SHA-256 of its public half (SubjectPublicKeyInfo, DER), so that a certificate finds its key
 * without a name that could be wrong. */
#ifndef POSTERN_TLS_KEYPROTO_H
#define POSTERN_TLS_KEYPROTO_H

#include "base/buf.h"

enum {
    KEY_ID_BYTES = 32,
    KEY_DATA_MAX = 1024,      /* an RSA block of 8192 bits */
    KEY_SIGNATURE_MAX = 1024,
    KEY_REQUEST_MAX = 2 + KEY_ID_BYTES + 4 + KEY_DATA_MAX,
    KEY_REPLY_MAX = 2 + 4 + KEY_SIGNATURE_MAX,
};

struct key_id {
    uint8_t bytes[KEY_ID_BYTES];
};

enum key_op {
    KEY_OP_RSA_PSS = 1,   /* data: an EMSA-PSS block (RFC 8017 9.1), as long as the modulus */
    KEY_OP_RSA_PKCS1 = 2, /* data: a DigestInfo (RFC 8017 9.2) */
    KEY_OP_ECDSA = 3,     /* data: a digest; the signature is DER */
};

enum key_status {
    KEY_OK = 0,
    KEY_MALFORMED = 1, /* the request could not be read */
    KEY_UNKNOWN = 2,   /* no such key */
    KEY_FORBIDDEN = 3, /* this operation, or data of this shape, is not allowed with that key */
    KEY_BROKEN = 4,    /* the library failed */
};

struct key_request {
    struct key_id key;
    enum key_op op;
    struct span data; /* 1..KEY_DATA_MAX bytes */
};

struct key_reply {
    enum key_status status;
    struct span signature; /* empty unless KEY_OK */
};

/* Appends one request or reply; `out` shows in its `failed` whether it fitted. */
void key_request_put(struct buf *out, const struct key_request *r);
void key_reply_put(struct buf *out, const struct key_reply *r);

/* The whole of `in` must be one message; the spans are views into it. False when it is not. */
bool key_request_get(struct span in, struct key_request *r);
bool key_reply_get(struct span in, struct key_reply *r);

const char *key_status_text(enum key_status status);

#endif
