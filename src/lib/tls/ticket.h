/* ticket: the keys under which session tickets are sealed (RFC 5077, RFC 8446 4.6.1). keyring
 * makes them and sends them to every smtpd, so that a session opened at one worker is resumed at
 * any other, also after a restart of the workers. The current key seals; the previous one still
 * opens. */
#ifndef POSTERN_TLS_TICKET_H
#define POSTERN_TLS_TICKET_H

#include "base/buf.h"

enum {
    TICKET_NAME_BYTES = 16,
    TICKET_KEY_BYTES = 32,
    TICKET_KEYS_MAX = 256, /* bytes of an encoded set at most */
};

struct ticket_key {
    uint8_t name[TICKET_NAME_BYTES];
    uint8_t aes[TICKET_KEY_BYTES];  /* AES-256-CBC */
    uint8_t hmac[TICKET_KEY_BYTES]; /* HMAC-SHA-256 */
};

struct ticket_keys {
    uint64_t generation; /* counts rotations from 1; 0 = no keys yet: no tickets are given */
    struct ticket_key current;
    bool has_previous;
    struct ticket_key previous;
};

void ticket_keys_put(struct buf *out, const struct ticket_keys *keys);
/* The whole of `in` must be one set; false when it is not. */
bool ticket_keys_get(struct span in, struct ticket_keys *keys);
/* Makes the current key the previous one and draws a new current one; false when the system
 * gives no randomness (the keys are then as before). */
bool ticket_keys_rotate(struct ticket_keys *keys);
void ticket_keys_wipe(struct ticket_keys *keys);

#endif
