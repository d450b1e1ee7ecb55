/* reason: which of a million different reasons say the same. Servers put addresses, numbers and
 * ids of their own into replies; those are taken out, so that what is left names a class. */
#ifndef POSTERN_QUEUE_REASON_H
#define POSTERN_QUEUE_REASON_H

#include "base/buf.h"

enum { QUEUE_CLASS_MAX = 160 };

/* Writes the class into out (QUEUE_CLASS_MAX bytes); returns its length. "" has the class "".
 * What becomes "*": words with an "@", names of hosts and domains (two labels or more), what stands
 * after "Name server: ", small letters with a number behind them ("host12"), and words with three
 * or more digits but for a reply code at the start and an enhanced status code. */
size_t queue_reason_class(struct span reason, char *out);

/* Two of one class as one: the words of a, "(various)" for those that are others in b. */
void queue_reason_fold(struct buf *out, struct span a, struct span b);

#endif
