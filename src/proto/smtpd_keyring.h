/* smtpd asks keyring for signatures; keyring tells every smtpd the session-ticket keys. The
 * bytes are those of tls/keyproto.h and tls/ticket.h. */
#ifndef POSTERN_PROTO_SMTPD_KEYRING_H
#define POSTERN_PROTO_SMTPD_KEYRING_H

#include "ipc/proto.h"

#define SIGN_FIELDS(F) F(U64, q) F(BYTES, request)
#define SIGNED_FIELDS(F) F(U64, q) F(BYTES, reply)
#define TICKETS_FIELDS(F) F(BYTES, keys)

#define SMTPD_KEYRING(M) \
    M(0x60, sign, SIGN_FIELDS) \
    M(0x61, key_signed, SIGNED_FIELDS) \
    M(0x62, tickets, TICKETS_FIELDS)
PROTO_DECLARE(SMTPD_KEYRING)

#endif
