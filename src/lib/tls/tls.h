/* tls: one TLS connection (1.2 or 1.3), server or client, without a socket: the owner carries
 * ciphertext in with tls_input and out of tls_output, and moves plaintext with tls_read and
 * tls_write. Nothing here blocks, waits or knows the time.
 *
 * The owner's part at STARTTLS: throw away every plaintext byte that was read before the
 * handshake began, in both directions (RFC 3207 4.2); begin anew with EHLO after it.
 *
 * The owner's loop: after every call that may have moved something (tls_input, tls_read,
 * tls_write, tls_close, tls_sign_done) send what stands in tls_output, and look at tls_state. */
#ifndef POSTERN_TLS_TLS_H
#define POSTERN_TLS_TLS_H

#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

enum {
    TLS_INPUT_MAX = 64 << 10,  /* ciphertext taken but not yet read */
    TLS_OUTPUT_MAX = 64 << 10, /* above it tls_write takes nothing more */
};

struct tls;

enum tls_state {
    TLS_HANDSHAKE, /* also while keyring is asked: tls_waits_for_key */
    TLS_OPEN,
    TLS_CLOSED, /* nothing more can be read; after the peer's close_notify tls_write still works,
                   without one (tls_why) it does not */
    TLS_FAILED, /* tls_why says why; an alert may still stand in the output */
};

struct tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    int bits;
    /* of the peer's certificate: "NO" none was shown, "OK" verified (and for a client: the name
     * too, if verification was asked for), "FAIL" shown and not verifiable */
    const char *verify;
    const char *server_name; /* SNI, the sender's word; "" when none. Lives as long as the tls */
    bool resumed;
};

void tls_free(struct tls **t); /* in any state; accepts NULL in *t */
void *tls_owner(const struct tls *t);

enum tls_state tls_state(const struct tls *t);
bool tls_waits_for_key(const struct tls *t); /* the handshake stands until tls_sign_done */
const char *tls_why(const struct tls *t);    /* "" unless TLS_FAILED, or closed without notice */
struct tls_info tls_info(const struct tls *t); /* once TLS_OPEN was reached */

/* Takes ciphertext and drives the handshake; returns how many bytes were taken (fewer than given
 * when TLS_INPUT_MAX would be passed: read plaintext first, give the rest again). */
size_t tls_input(struct tls *t, struct span ciphertext);
size_t tls_input_room(const struct tls *t);
/* The peer closed the connection: a handshake fails, an open one becomes TLS_CLOSED once what
 * was taken is read. */
void tls_input_end(struct tls *t);

/* Ciphertext to be sent; the owner removes with buf_take what was sent. */
struct buf *tls_output(struct tls *t);

/* > 0: plaintext bytes put into `to` (up to max); 0: none now; -1: TLS_CLOSED or TLS_FAILED.
 * To be called until it does not give more: bytes already taken make no new event. */
ssize_t tls_read(struct tls *t, void *to, size_t max);

/* Bytes of plaintext taken, 0 when there can be none or while the output holds TLS_OUTPUT_MAX or
 * more. */
size_t tls_write(struct tls *t, struct span plaintext);

/* Ends our direction with close_notify (RFC 8446 6.1), which then stands in the output; nothing
 * can be written after it. To be called before a proper end; the peer's need not be awaited. Not
 * open, or called again: does nothing. */
void tls_close(struct tls *t);

/* To be called once before the process is locked up: what the library loads on first use. */
bool tls_warm_up(struct err *why);

#endif
