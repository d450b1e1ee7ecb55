#include "tls/keyproto.h"

#include "base/wire.h"

enum { KEY_VERSION = 1 };

void key_request_put(struct buf *out, const struct key_request *r)
{
    wire_put_u8(out, KEY_VERSION);
    wire_put_u8(out, (uint8_t)r->op);
    buf_put(out, r->key.bytes, KEY_ID_BYTES);
    wire_put_bytes(out, r->data);
}

bool key_request_get(struct span in, struct key_request *r)
{
    struct wire w = wire_reader(in);
    *r = (struct key_request){ 0 };
    if (wire_get_u8(&w) != KEY_VERSION)
        return false;
    uint8_t op = wire_get_u8(&w);
    if (op < KEY_OP_RSA_PSS || op > KEY_OP_ECDSA)
        return false;
    r->op = (enum key_op)op;
    if (w.rest.n < KEY_ID_BYTES)
        return false;
    memcpy(r->key.bytes, w.rest.p, KEY_ID_BYTES);
    w.rest = span_from(w.rest, KEY_ID_BYTES);
    r->data = wire_get_bytes(&w, KEY_DATA_MAX);
    return wire_done(&w) && r->data.n > 0;
}

void key_reply_put(struct buf *out, const struct key_reply *r)
{
    wire_put_u8(out, KEY_VERSION);
    wire_put_u8(out, (uint8_t)r->status);
    wire_put_bytes(out, r->signature);
}

bool key_reply_get(struct span in, struct key_reply *r)
{
    struct wire w = wire_reader(in);
    *r = (struct key_reply){ .status = KEY_BROKEN };
    if (wire_get_u8(&w) != KEY_VERSION)
        return false;
    uint8_t status = wire_get_u8(&w);
    if (status > KEY_BROKEN)
        return false;
    r->status = (enum key_status)status;
    r->signature = wire_get_bytes(&w, KEY_SIGNATURE_MAX);
    return wire_done(&w) && (r->signature.n > 0) == (r->status == KEY_OK);
}

const char *key_status_text(enum key_status status)
{
    static const char *const text[] = {
        [KEY_OK] = "signed",
        [KEY_MALFORMED] = "keyring could not read the request",
        [KEY_UNKNOWN] = "keyring has no private key for this certificate",
        [KEY_FORBIDDEN] = "keyring does not allow this operation with this key",
        [KEY_BROKEN] = "signing failed in keyring",
    };
    return (size_t)status < sizeof text / sizeof *text ? text[status] : "unknown status";
}
