/* watch tells smtpd which health checks fail (listen { refuse_when }); for a mail of its own it
 * sends a `local_session` (proto/pickup_smtpd.h), as pickup does. */
#ifndef POSTERN_PROTO_WATCH_SMTPD_H
#define POSTERN_PROTO_WATCH_SMTPD_H

#include "ipc/proto.h"

/* One check that has been judged: next_hop, dns, disk, queue, or a section check's name. Said
 * again and again: who has not heard of it for within_ms takes it that it is well. Of a check that
 * has not been looked at often enough nothing is said: what was said before holds. */
#define CHECK_FIELDS(F) F(BYTES, name) F(U8, fails) F(I64, within_ms)

#define WATCH_SMTPD(M) M(0xa9, check, CHECK_FIELDS)
PROTO_DECLARE(WATCH_SMTPD)

#endif
