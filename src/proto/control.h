/* control forwards what an admin asked. A question is a verb and its arguments (texts,
 * proto/lists.h); answers are JSON objects, one per `said`, and the last has `end` set: 1 all is
 * said, else a status of sysexits.h (the text is then an error for a person). Long answers come
 * in slices: an empty text without `end` says that one is over, and the next is sent when control
 * asks for `more`. `gone`: nobody waits for the answer any more. `stop`: qmgr may end what it is in
 * the middle of, and say how far it came. */
#ifndef POSTERN_PROTO_CONTROL_H
#define POSTERN_PROTO_CONTROL_H

#include "ipc/proto.h"

enum { ADMIN_OK = 1 };

/* What qmgr answers: control hands on these and no others, and qmgr's function for "x" is
 * admin_x. args: it takes any. */
#define ADMIN_QMGR_VERBS(V) \
    V(list, true) V(groups, true) V(count, true) V(sites, true) V(hosts, true) V(why, true) \
    V(live, true) V(export, true) V(run, false) V(hold, true) V(release, true) V(delete, true) \
    V(act, true) V(freeze, true) V(thaw, true) V(reroute, true) V(clock, true)

#define ADMIN_ASK_FIELDS(F) F(U64, q) F(BYTES, who) F(BYTES, verb) F(BYTES, args)
#define ADMIN_SAID_FIELDS(F) F(U64, q) F(U8, end) F(BYTES, text)
#define ADMIN_MORE_FIELDS(F) F(U64, q)
#define ADMIN_GONE_FIELDS(F) F(U64, q)
#define ADMIN_STOP_FIELDS(F) F(U64, q)

#define CONTROL(M) \
    M(0x80, admin_ask, ADMIN_ASK_FIELDS) \
    M(0x81, admin_said, ADMIN_SAID_FIELDS) \
    M(0x82, admin_more, ADMIN_MORE_FIELDS) \
    M(0x83, admin_gone, ADMIN_GONE_FIELDS) \
    M(0x84, admin_stop, ADMIN_STOP_FIELDS)
PROTO_DECLARE(CONTROL)

#endif
