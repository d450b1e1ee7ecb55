/* date: the date-time of RFC 5322 3.3. */
#ifndef POSTERN_MAIL_DATE_H
#define POSTERN_MAIL_DATE_H

#include "base/buf.h"

/* "Fri, 20 Nov 2026 08:46:30 +0000". wall_ms since the epoch (years 1970 to 9999; beyond them
 * the nearer end is written), zone_min minutes east of UTC, -1439..1439. */
bool mail_date_put(struct buf *b, int64_t wall_ms, int zone_min);

#endif
