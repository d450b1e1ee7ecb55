#include "tls/ticket.h"

#include "base/wire.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

enum { TICKET_VERSION = 1 };

static void put_key(struct buf *out, const struct ticket_key *key)
{
    buf_put(out, key->name, sizeof key->name);
    buf_put(out, key->aes, sizeof key->aes);
    buf_put(out, key->hmac, sizeof key->hmac);
}

void ticket_keys_put(struct buf *out, const struct ticket_keys *keys)
{
    wire_put_u8(out, TICKET_VERSION);
    wire_put_u64(out, keys->generation);
    put_key(out, &keys->current);
    wire_put_u8(out, keys->has_previous);
    if (keys->has_previous)
        put_key(out, &keys->previous);
}

static void get_raw(struct wire *w, uint8_t *to, size_t n)
{
    if (w->bad || w->rest.n < n) {
        w->bad = true;
        return;
    }
    memcpy(to, w->rest.p, n);
    w->rest = span_from(w->rest, n);
}

static void get_key(struct wire *w, struct ticket_key *key)
{
    get_raw(w, key->name, sizeof key->name);
    get_raw(w, key->aes, sizeof key->aes);
    get_raw(w, key->hmac, sizeof key->hmac);
}

bool ticket_keys_get(struct span in, struct ticket_keys *keys)
{
    struct wire w = wire_reader(in);
    *keys = (struct ticket_keys){ 0 };
    if (wire_get_u8(&w) != TICKET_VERSION)
        return false;
    keys->generation = wire_get_u64(&w);
    get_key(&w, &keys->current);
    uint8_t has_previous = wire_get_u8(&w);
    keys->has_previous = has_previous == 1;
    if (keys->has_previous)
        get_key(&w, &keys->previous);
    if (wire_done(&w) && has_previous <= 1 && keys->generation > 0)
        return true;
    ticket_keys_wipe(keys);
    return false;
}

bool ticket_keys_rotate(struct ticket_keys *keys)
{
    struct ticket_key fresh;
    if (RAND_bytes(fresh.name, sizeof fresh.name) != 1 ||
        RAND_priv_bytes(fresh.aes, sizeof fresh.aes) != 1 ||
        RAND_priv_bytes(fresh.hmac, sizeof fresh.hmac) != 1)
        return false;
    keys->has_previous = keys->generation > 0;
    keys->previous = keys->current;
    keys->current = fresh;
    keys->generation++;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return true;
}

void ticket_keys_wipe(struct ticket_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof *keys);
}
