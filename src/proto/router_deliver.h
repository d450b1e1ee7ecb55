/* router asks deliver whether the next hop knows a recipient: deliver connects as it would for a
 * delivery, says MAIL FROM:<> and RCPT TO, and breaks off. Nothing is sent. */
#ifndef POSTERN_PROTO_ROUTER_DELIVER_H
#define POSTERN_PROTO_ROUTER_DELIVER_H

#include "ipc/proto.h"

/* destination: the route's codec; within_ms: after that the answer is of no use. */
#define PROBE_FIELDS(F) F(U64, q) F(I64, within_ms) F(BYTES, destination) F(BYTES, rcpt)
/* verdict: enum probe_verdict. host: who was asked last; reply: its words, or ours when there
 * was none from it; enhanced: its code. */
#define PROBED_FIELDS(F) \
    F(U64, q) F(U8, verdict) F(BYTES, enhanced) F(BYTES, host) F(BYTES, reply)

enum probe_verdict {
    PROBE_KNOWN,     /* 2yz to RCPT */
    PROBE_UNKNOWN,   /* 5yz to RCPT */
    PROBE_LATER,     /* 4yz to RCPT */
    PROBE_NO_ANSWER, /* none of these: not reached, or it takes no MAIL FROM:<> */
};

#define ROUTER_DELIVER(M) \
    M(0xb0, probe, PROBE_FIELDS) \
    M(0xb1, probed, PROBED_FIELDS)
PROTO_DECLARE(ROUTER_DELIVER)

#endif
