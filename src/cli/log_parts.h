/* log_parts: which parts of a long log are worth reading. Of an event log, whose lines stand in the
 * order of their times, what is not older than a message is found without reading the rest. */
#ifndef POSTERN_CLI_LOG_PARTS_H
#define POSTERN_CLI_LOG_PARTS_H

#include "base/buf.h"

#include <sys/types.h>
#include <time.h>

enum {
    LOG_PART_END_BYTES = 64 << 20,    /* of what is not sought by its time: the end, so much */
    LOG_PART_SINCE_BYTES = 128 << 20, /* since a time: the beginning and the end together */
};

struct log_part {
    off_t from, to;
};

/* 1 or 2 parts of a plain file of this size. events: it is an event log; since: nothing older is
 * wanted, 0: no matter when. What is left out is said in unread ("only what it says since ..."),
 * which stays as it is when nothing is. The first line of a part may be a part of one. */
size_t log_parts(int fd, off_t size, bool events, time_t since, struct log_part parts_r[2],
                 struct buf *unread);

/* The time of an event ("2026-11-20T18:22:06.655Z"), wall; 0: it is none. */
int64_t log_event_ms(struct span time);

#endif
