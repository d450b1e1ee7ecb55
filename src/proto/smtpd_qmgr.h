/* smtpd hands messages to qmgr. A transaction is named by smtpd (txn, its own counter); content
 * above spool.inline_max comes in extents as it arrives, the rest with the commit. A transaction
 * ends with abort, committed or not_committed, and when the channel goes.
 *
 * Extents need credit: smtpd has no more than EXTENT_WINDOW_BYTES of them on their way that qmgr
 * has not `taken` (and the last piece of each message beyond it). So what stands before the commit
 * of a small message is bounded, and qmgr sets the pace of the large ones. */
#ifndef POSTERN_PROTO_SMTPD_QMGR_H
#define POSTERN_PROTO_SMTPD_QMGR_H

#include "ipc/proto.h"
#include "receipt/receipt.h"

#define LEASE_FIELDS(F) F(U32, count)
/* count 0: none can be had now. */
#define LEASED_FIELDS(F) F(U64, first) F(U32, count)
#define EXTENT_FIELDS(F) F(U64, txn) F(U64, seq) F(BYTES, data)
#define COMMIT_FIELDS(F) F(U64, txn) F(BYTES, envelope) F(BYTES, headers) F(BYTES, content)
#define ABORT_FIELDS(F) F(U64, txn)
#define NOT_COMMITTED_FIELDS(F) F(U64, txn) F(U16, code) F(BYTES, text)
/* No room for new mail (full: 1), or room again (0): smtpd answers 452 at MAIL meanwhile. */
#define SPACE_FIELDS(F) F(U8, full)

/* So many bytes of extents are written: smtpd may send as many more. */
#define TAKEN_FIELDS(F) F(U64, bytes)

enum { EXTENT_WINDOW_BYTES = 256 << 10 };

#define SMTPD_QMGR(M) \
    M(0x20, lease, LEASE_FIELDS) \
    M(0x21, leased, LEASED_FIELDS) \
    M(0x22, extent, EXTENT_FIELDS) \
    M(0x23, commit, COMMIT_FIELDS) \
    M(0x24, abort_txn, ABORT_FIELDS) \
    M(0x26, not_committed, NOT_COMMITTED_FIELDS) \
    M(0x27, space, SPACE_FIELDS) \
    M(0x28, taken, TAKEN_FIELDS)
PROTO_DECLARE(SMTPD_QMGR)

/* COMMITTED carries a receipt and is therefore not in the table: its sender needs one to make
 * it, and its decoder is the second of the two places that mint them. */
enum { MSG_committed = 0x25 };
void send_committed(struct channel *ch, const struct receipt *r);
/* Reads the body and calls fn with a receipt that lives for the call. False: malformed. */
bool committed_read(struct span body, void *ctx, void (*fn)(void *ctx, const struct receipt *r));

#endif
