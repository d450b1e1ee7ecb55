/* smtpd asks router: may this client send this to those? One question per pipelined flight. */
#ifndef POSTERN_PROTO_SMTPD_ROUTER_H
#define POSTERN_PROTO_SMTPD_ROUTER_H

#include "ipc/proto.h"

/* has_mail: the MAIL command is part of the flight, and its verdict stands first.
 * rcpts: texts (proto/lists.h). */
#define ASK_FLIGHT_FIELDS(F) \
    F(U64, q) F(ADDR, client) F(BYTES, auth) F(BYTES, listener) F(U8, has_mail) F(BYTES, sender) \
    F(BYTES, rcpts)
/* verdicts: one per element, in order (proto/lists.h). */
#define FLIGHT_VERDICT_FIELDS(F) F(U64, q) F(BYTES, verdicts)

#define SMTPD_ROUTER(M) \
    M(0x12, ask_flight, ASK_FLIGHT_FIELDS) \
    M(0x13, flight_verdict, FLIGHT_VERDICT_FIELDS)
PROTO_DECLARE(SMTPD_ROUTER)

#endif
