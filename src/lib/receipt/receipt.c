#include "receipt/mint.h"

uint64_t receipt_txn(const struct receipt *r) { return r->txn; }
uint64_t receipt_seq(const struct receipt *r) { return r->seq; }
