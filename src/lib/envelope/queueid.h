/* queueid: the name of one accepted message, 14 characters as sendmail's admins know them.
 *
 * Six characters give the UTC time at which the transaction began (year since 1900 modulo 60,
 * month 0.., day, hour, minute, second, each one digit of base 60), eight give a counter that the
 * spool persists and never hands out twice. The counter alone is the identity; the time is there
 * for people and for sorting. Digits: 0-9 A-Z a-x. */
#ifndef POSTERN_ENVELOPE_QUEUEID_H
#define POSTERN_ENVELOPE_QUEUEID_H

#include "base/span.h"

enum { QUEUEID_LEN = 14 };

#define QUEUEID_SEQ_MAX ((uint64_t)167961599999999) /* 60^8 - 1 */

struct queueid {
    char text[QUEUEID_LEN + 1]; /* NUL-terminated */
};

/* seq <= QUEUEID_SEQ_MAX; received_ms is wall time since the epoch. */
struct queueid queueid_make(uint64_t seq, int64_t received_ms);

/* The counter of a well-formed id; false for anything else. */
bool queueid_seq(struct span text, uint64_t *seq_r);

#endif
