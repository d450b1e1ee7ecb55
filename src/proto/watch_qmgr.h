/* watch asks qmgr what it cannot see: how much waits, and what has waited for long. Answers come
 * in slices; a new question takes the place of one that is not over.
 *
 * And it gives qmgr to keep what it has told, as it has no file of its own: all of it each time,
 * `keep` for each alarm and `keep_end`, which takes the place of what was kept before. A watch
 * that begins asks for it. Clocks are the wall's. */
#ifndef POSTERN_PROTO_WATCH_QMGR_H
#define POSTERN_PROTO_WATCH_QMGR_H

#include "ipc/proto.h"

/* older_ms: of an age that is old. cells: at most so many are told of. */
#define FACTS_ASK_FIELDS(F) F(U64, q) F(I64, older_ms) F(U32, cells)
/* A group of recipients of one site, domain and reason of whom some are old: `old` of them. What
 * is held or waits for a queue run is not among them. Texts may be empty. */
#define OLD_CELL_FIELDS(F) \
    F(U64, q) F(BYTES, site) F(BYTES, domain) F(BYTES, reason) F(I64, age_ms) F(U64, old)
/* The end of an answer. clock: why it is not believed, or empty. */
#define FACTS_FIELDS(F) F(U64, q) F(U64, messages) F(U64, rcpts) F(U64, bytes) F(BYTES, clock)

#define KEPT_ASK_FIELDS(F) F(U64, q)
#define KEPT_FIELDS(F) \
    F(BYTES, alarm) F(BYTES, subject) F(BYTES, text) F(I64, since_ms) F(I64, told_ms) F(U64, told)
#define KEPT_END_FIELDS(F) F(U64, q)
#define KEEP_END_FIELDS(F) F(U32, alarms)

#define WATCH_QMGR(M) \
    M(0xa0, facts_ask, FACTS_ASK_FIELDS) \
    M(0xa1, old_cell, OLD_CELL_FIELDS) \
    M(0xa8, facts, FACTS_FIELDS) \
    M(0xa3, kept_ask, KEPT_ASK_FIELDS) \
    M(0xa4, kept, KEPT_FIELDS) \
    M(0xa5, kept_end, KEPT_END_FIELDS) \
    M(0xa6, keep, KEPT_FIELDS) \
    M(0xa7, keep_end, KEEP_END_FIELDS)
PROTO_DECLARE(WATCH_QMGR)

#endif
