/* The inside of a receipt: for spool/ and the COMMITTED decoder alone. */
#ifndef POSTERN_RECEIPT_MINT_H
#define POSTERN_RECEIPT_MINT_H

#include "receipt/receipt.h"

struct receipt {
    uint64_t txn, seq;
};

static inline struct receipt receipt_mint(uint64_t txn, uint64_t seq)
{
    return (struct receipt){ .txn = txn, .seq = seq };
}

#endif
