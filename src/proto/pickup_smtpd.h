/* pickup hands connections of users of this machine to smtpd: it knows who they are. */
#ifndef POSTERN_PROTO_PICKUP_SMTPD_H
#define POSTERN_PROTO_PICKUP_SMTPD_H

#include "ipc/proto.h"

enum { LOCAL_USER_MAX = 64 };

/* Comes with a descriptor: a connected stream, on which nothing was said yet. Whoever is at its
 * other end sends as `user` (a name, or "uid123" of one without). trusted: may name any sender. */
#define LOCAL_SESSION_FIELDS(F) F(U32, uid) F(U8, trusted) F(BYTES, user)

#define PICKUP_SMTPD(M) M(0x90, local_session, LOCAL_SESSION_FIELDS)
PROTO_DECLARE(PICKUP_SMTPD)

#endif
