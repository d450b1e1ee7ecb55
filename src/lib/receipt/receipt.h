/* receipt: the proof that one transaction's message is on stable storage. Without it the SMTP
 * server cannot say 250 after the end of data (smtp/server.h takes one as argument).
 *
 * It is minted in two places only (tools/tidy checks who includes receipt/mint.h): by the spool,
 * after the flush that covers the commit record has returned, and by the decoder of qmgr's
 * COMMITTED message, which is sent for nothing else. */
#ifndef POSTERN_RECEIPT_RECEIPT_H
#define POSTERN_RECEIPT_RECEIPT_H

#include "base/span.h"

struct receipt; /* opaque; owned by whoever minted it, valid for the call it is passed to */

uint64_t receipt_txn(const struct receipt *r); /* the transaction it is for */
uint64_t receipt_seq(const struct receipt *r); /* the counter of the message's queue id */

#endif
