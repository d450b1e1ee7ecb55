#include "envelope/queueid.h"

#include "base/must.h"

#include <time.h>

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx";

enum { TIME_CHARS = 6 };

struct queueid queueid_make(uint64_t seq, int64_t received_ms)
{
    MUST(seq <= QUEUEID_SEQ_MAX);
    time_t t = (time_t)(received_ms / 1000);
    struct tm tm;
    MUST(gmtime_r(&t, &tm) != NULL);
    const int parts[TIME_CHARS] = { tm.tm_year % 60, tm.tm_mon, tm.tm_mday,
                                    tm.tm_hour,      tm.tm_min, tm.tm_sec % 60 };
    struct queueid id;
    for (int i = 0; i < TIME_CHARS; i++)
        id.text[i] = digits[parts[i]];
    for (int i = QUEUEID_LEN; i > TIME_CHARS; i--, seq /= 60)
        id.text[i - 1] = digits[seq % 60];
    id.text[QUEUEID_LEN] = '\0';
    return id;
}

bool queueid_seq(struct span text, uint64_t *seq_r)
{
    if (text.n != QUEUEID_LEN)
        return false;
    uint64_t seq = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p[i] ? strchr(digits, text.p[i]) : NULL;
        if (!at)
            return false;
        if (i >= TIME_CHARS)
            seq = seq * 60 + (uint64_t)(at - digits);
    }
    *seq_r = seq;
    return true;
}
