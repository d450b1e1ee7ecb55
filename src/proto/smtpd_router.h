/* smtpd asks router: who is this client, and may it send this to those? One question per
 * connection where that is wanted, and one per pipelined flight. What router says of a recipient
 * stays with smtpd until the commit, and goes into the envelope then. What addresses of the message
 * become is asked once its header has come, where router has said that it may be something. */
#ifndef POSTERN_PROTO_SMTPD_ROUTER_H
#define POSTERN_PROTO_SMTPD_ROUTER_H

#include "ipc/proto.h"

/* On connection. reverse: the client's name is to be looked up. */
#define ASK_CLIENT_FIELDS(F) F(U64, q) F(ADDR, client) F(BYTES, listener) F(U8, reverse)
/* code 0: it may go on. name_state: enum route_client_name; name: the verified one, or "". */
#define CLIENT_VERDICT_FIELDS(F) \
    F(U64, q) F(U16, code) F(BYTES, text) F(U8, name_state) F(BYTES, name)

/* has_mail: the MAIL command is part of the flight, and its verdict stands first.
 * rcpts: texts (proto/lists.h). name, name_state: as the client's verdict had them. */
#define ASK_FLIGHT_FIELDS(F) \
    F(U64, q) F(ADDR, client) F(U8, name_state) F(BYTES, name) F(BYTES, auth) F(BYTES, listener) \
    F(U8, has_mail) F(BYTES, sender) F(BYTES, rcpts)
/* verdicts: one per element, in order (proto/lists.h: struct list_verdict). rewrites: addresses
 * in this client's mail are to be asked about (ask_rewrite). */
#define FLIGHT_VERDICT_FIELDS(F) F(U64, q) F(U8, rewrites) F(BYTES, verdicts)

/* When the header has come: genericstable and masquerading. addrs: list_put_place each. */
#define ASK_REWRITE_FIELDS(F) F(U64, q) F(BYTES, addrs)
/* addrs: for each that was asked about, in order, two texts: the address in its place, and
 * because of what; both empty: it stays. What is missing at the end stays. */
#define REWRITTEN_FIELDS(F) F(U64, q) F(BYTES, addrs)

#define SMTPD_ROUTER(M) \
    M(0x14, ask_client, ASK_CLIENT_FIELDS) \
    M(0x15, client_verdict, CLIENT_VERDICT_FIELDS) \
    M(0x16, ask_flight, ASK_FLIGHT_FIELDS) \
    M(0x18, flight_verdict, FLIGHT_VERDICT_FIELDS) /* 0x17 had no `rewrites` */ \
    M(0x19, ask_rewrite, ASK_REWRITE_FIELDS) \
    M(0x1a, rewritten, REWRITTEN_FIELDS)
PROTO_DECLARE(SMTPD_ROUTER)

#endif
