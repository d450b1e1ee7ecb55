/* deliver asks resolver for the addresses of one host of a destination. */
#ifndef POSTERN_PROTO_DELIVER_RESOLVER_H
#define POSTERN_PROTO_DELIVER_RESOLVER_H

#include "ipc/proto.h"

/* no_mx: the name stood in brackets, only its addresses are asked for. */
#define LOOKUP_FIELDS(F) F(U64, q) F(BYTES, host) F(U16, port) F(U8, no_mx)
/* answer: the mx room's codec (dns/mx.h); trail: trail_put. */
#define FOUND_FIELDS(F) F(U64, q) F(BYTES, answer) F(BYTES, trail)

#define DELIVER_RESOLVER(M) \
    M(0x50, lookup, LOOKUP_FIELDS) \
    M(0x51, found, FOUND_FIELDS)
PROTO_DECLARE(DELIVER_RESOLVER)

#endif
