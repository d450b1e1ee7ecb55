/* watch tells smtpd which health checks fail (listen { refuse_when }); for a mail of its own it
 * sends a `local_session` (proto/pickup_smtpd.h), as pickup does. */
#ifndef POSTERN_PROTO_WATCH_SMTPD_H
#define POSTERN_PROTO_WATCH_SMTPD_H

#include "ipc/proto.h"

/* failing: bits (1 << enum config_check). Said again and again: who has not heard of it for
 * within_ms takes it that all is well. */
#define CHECKS_FIELDS(F) F(U32, failing) F(I64, within_ms)

#define WATCH_SMTPD(M) M(0xa8, checks, CHECKS_FIELDS)
PROTO_DECLARE(WATCH_SMTPD)

#endif
