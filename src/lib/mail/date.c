#include "mail/date.h"

#include "base/must.h"

#include <stdlib.h>
#include <time.h>

bool mail_date_put(struct buf *b, int64_t wall_ms, int zone_min)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const int64_t last = 253402214400; /* 9999-12-31 */
    MUST(zone_min > -1440 && zone_min < 1440);
    int64_t at = wall_ms / 1000 + (int64_t)zone_min * 60;
    time_t t = (time_t)(at < 0 ? 0 : at > last ? last : at);
    struct tm tm;
    MUST(gmtime_r(&t, &tm) != NULL);
    int off = abs(zone_min);
    return buf_printf(b, "%.3s, %d %.3s %04d %02d:%02d:%02d %c%02d%02d", days + 3 * tm.tm_wday,
                      tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                      tm.tm_sec, zone_min < 0 ? '-' : '+', off / 60, off % 60);
}
