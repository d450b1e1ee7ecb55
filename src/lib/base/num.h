/* num: reading numbers with units, and writing durations and sizes, for configuration, protocol
 * and people alike. */
#ifndef POSTERN_BASE_NUM_H
#define POSTERN_BASE_NUM_H

#include "base/buf.h"

/* Decimal digits only, the whole span; false on anything else or overflow. */
bool num_u64(struct span s, uint64_t *v_r);
/* As num_u64 with an upper bound (inclusive). */
bool num_upto(struct span s, uint64_t max, uint64_t *v_r);
/* "90s", "1h30m", "5d", "2w", "250ms"; a bare number is refused unless it is 0. */
bool num_duration_ms(struct span s, int64_t *ms_r);
/* "512M", "128K", "2G", "10" (bytes). */
bool num_size_bytes(struct span s, uint64_t *bytes_r);

void num_put_duration(struct buf *b, int64_t ms); /* "1h30m", "250ms", "0" */
void num_put_size(struct buf *b, uint64_t bytes); /* "1.5M", "312" */

#endif
