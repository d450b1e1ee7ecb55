/* keyserver: what keyring does, without its process: it holds private keys, answers requests to
 * sign, and makes the session-ticket keys. No clock and no files: time and PEM text are given.
 *
 * It signs only what a TLS handshake needs: well-formed EMSA-PSS blocks and DigestInfos of
 * SHA-2, and digests for ECDSA, so that whoever takes over an smtpd can neither decrypt with an
 * RSA key nor carry a key away. */
#ifndef POSTERN_TLS_KEYSERVER_H
#define POSTERN_TLS_KEYSERVER_H

#include "base/err.h"
#include "tls/keyproto.h"
#include "tls/ticket.h"

enum { KEYSERVER_KEYS_MAX = 256 };

struct keyserver;

struct keyserver_stats {
    uint64_t signed_total;
    uint64_t refused_total; /* unreadable, unknown key, forbidden, failed */
};

/* Ticket keys live `ticket_rotate_ms` as the current and as long again as the previous one;
 * 0: no tickets. */
struct keyserver *keyserver_new(int64_t ticket_rotate_ms);
void keyserver_free(struct keyserver **ks); /* wipes; accepts NULL in *ks */

/* Replaces all keys by those in the `n` PEM texts (one key each, RSA 2048..8192 bits or EC
 * P-256/384/521, no passphrase; the same key twice is fine). All or nothing: on false `why` says
 * which text (1-based) is bad and the keys are as before. The texts stay the caller's, who wipes
 * them. The replaced keys still sign, for sessions that have the old certificates, until
 * keyserver_forget_replaced. */
bool keyserver_set_keys(struct keyserver *ks, const struct span *pem, size_t n, struct err *why);
void keyserver_forget_replaced(struct keyserver *ks);
size_t keyserver_count(const struct keyserver *ks); /* without the replaced ones */

/* Answers one request: appends one reply (<= KEY_REPLY_MAX bytes) to `out`, whatever `in` is. */
enum key_status keyserver_request(struct keyserver *ks, struct span in, struct buf *out);

/* To be called at start and at keyserver_next_ms(). True when the ticket keys have changed: the
 * owner then sends keyserver_tickets() to every smtpd (also to each new one). */
bool keyserver_tick(struct keyserver *ks, int64_t now_ms);
int64_t keyserver_next_ms(const struct keyserver *ks); /* INT64_MAX: never */
/* Appends the encoded set (<= TICKET_KEYS_MAX bytes); false when there is none yet. */
bool keyserver_tickets(const struct keyserver *ks, struct buf *out);

struct keyserver_stats keyserver_stats(const struct keyserver *ks);

#endif
