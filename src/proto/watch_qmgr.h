/* watch asks qmgr what it cannot see: how much waits, and what has waited for long. Answers come
 * in slices; a new question takes the place of one that is not over. */
#ifndef POSTERN_PROTO_WATCH_QMGR_H
#define POSTERN_PROTO_WATCH_QMGR_H

#include "ipc/proto.h"

/* older_ms: of an age that is old. cells: at most so many are told of. */
#define FACTS_ASK_FIELDS(F) F(U64, q) F(I64, older_ms) F(U32, cells)
/* A group of recipients of one site, domain and reason of whom some are old: `old` of them. What
 * is held or waits for a queue run is not among them. Texts may be empty. */
#define OLD_CELL_FIELDS(F) \
    F(U64, q) F(BYTES, site) F(BYTES, domain) F(BYTES, reason) F(I64, age_ms) F(U64, old)
/* The end of an answer. */
#define FACTS_FIELDS(F) F(U64, q) F(U64, messages) F(U64, rcpts) F(U64, bytes)

#define WATCH_QMGR(M) \
    M(0xa0, facts_ask, FACTS_ASK_FIELDS) \
    M(0xa1, old_cell, OLD_CELL_FIELDS) \
    M(0xa2, facts, FACTS_FIELDS)
PROTO_DECLARE(WATCH_QMGR)

#endif
