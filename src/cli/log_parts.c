#include "cli/log_parts.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BLOCK_BYTES = 128 << 10,                /* has a line in it */
    TIME_MAX = 40,
    EVENT_TIME = sizeof "2026-11-20T18:22:06" - 1,
    TEXT_TIME = sizeof "Nov 20 18:22:06" - 1, /* in both cases seconds are enough */
};

/* The time of the first line that begins behind `from`, as it stands there. */
static bool time_at(int fd, bool events, off_t from, char out[TIME_MAX])
{
    static const char key[] = "\"time\":\"";
    char *block = must_alloc(BLOCK_BYTES + 1);
    ssize_t n = pread(fd, block, BLOCK_BYTES, from);
    block[n > 0 ? n : 0] = '\0';
    const char *line = from ? strchr(block, '\n') : block;
    const char *at = line && from ? line + 1 : line;
    if (at && events && (at = strstr(at, key)) != NULL)
        at += sizeof key - 1;
    size_t len = events ? EVENT_TIME : TEXT_TIME;
    bool good = at && strnlen(at, len) == len;
    if (good)
        snprintf(out, TIME_MAX, "%.*s", (int)len, at);
    free(block);
    return good;
}

/* Where lines begin that are no older: only those of the same moment are in another order. */
static off_t find_time(int fd, off_t size, time_t since)
{
    char wanted[TIME_MAX], time[TIME_MAX];
    struct tm tm;
    off_t from = 0, to = size;
    if (!gmtime_r(&since, &tm) || !strftime(wanted, sizeof wanted, "%Y-%m-%dT%H:%M:%S", &tm))
        return 0;
    while (to - from > BLOCK_BYTES) {
        off_t mid = from + (to - from) / 2;
        if (!time_at(fd, true, mid, time))
            return 0;
        *(strcmp(time, wanted) < 0 ? &from : &to) = mid;
    }
    return from;
}

int64_t log_event_ms(struct span text)
{
    char copy[TIME_MAX];
    struct tm tm = { .tm_year = 0 };
    if (text.n < EVENT_TIME)
        return 0;
    snprintf(copy, sizeof copy, "%.*s", (int)EVENT_TIME, text.p);
    if (!strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm))
        return 0;
    int64_t ms = (int64_t)timegm(&tm) * 1000;
    for (size_t i = EVENT_TIME + 1, unit = 100; i < text.n && unit; i++, unit /= 10)
        ms += ascii_isdigit(text.p[i]) ? (text.p[i] - '0') * (int64_t)unit : 0;
    return ms;
}

/* As the other words have it, in local time. */
static void put_time(int fd, bool events, off_t from, struct buf *b)
{
    char time[TIME_MAX] = "?", local[TIME_MAX];
    struct tm tm;
    time_t at = time_at(fd, events, from, time) && events ? log_event_ms(span_str(time)) / 1000 : 0;
    if (at && localtime_r(&at, &tm) && strftime(local, sizeof local, "%Y-%m-%d %H:%M:%S", &tm))
        buf_putz(b, local);
    else
        buf_putz(b, time);
}

size_t log_parts(int fd, off_t size, bool events, time_t since, struct log_part parts[2],
                 struct buf *unread)
{
    bool sought = events && since > 0;
    off_t from = sought ? find_time(fd, size, since) : 0;
    off_t max = sought ? LOG_PART_SINCE_BYTES : LOG_PART_END_BYTES;
    parts[0] = (struct log_part){ from, size };
    if (size - from <= max)
        return 1;
    if (!sought) {
        parts[0].from = size - max;
        buf_putz(unread, "it is long: only what it says since ");
        put_time(fd, events, parts[0].from, unread);
        return 1;
    }
    parts[0].to = from + max / 2;
    parts[1] = (struct log_part){ size - max / 2, size };
    buf_putz(unread, "it is long: not what it says between ");
    put_time(fd, events, parts[0].to, unread);
    buf_putz(unread, " and ");
    put_time(fd, events, parts[1].from, unread);
    return 2;
}
