/* letter: the mail that tells of alarms. Pure. */
#ifndef POSTERN_ALARM_LETTER_H
#define POSTERN_ALARM_LETTER_H

#include "alarm/alarm.h"

enum { ALARM_LETTER_MAX = 256 << 10, ALARM_LETTER_NEWS = 200 };

struct alarm_letter {
    struct span hostname, to; /* to: as in the To field, several joined by ",\r\n\t" */
    int64_t now_wall_ms, now_mono_ms;
    uint64_t random; /* for the Message-ID */
    struct buf *body;
    struct buf subject_words;
    unsigned raised, repeated, cleared;
};

/* One letter for all the news of a round: begin, add each, end. `body` is the caller's. */
void alarm_letter_begin(struct alarm_letter *l, struct buf *body);
/* refusing: the listeners that refuse mail because of it, as people read them; empty: none. */
void alarm_letter_add(struct alarm_letter *l, enum alarm_news news, const struct alarm *a,
                      struct span refusing);
/* Appends the whole message to out, US-ASCII with CRLF line ends; `still` are those present now.
 * False: there was no news, or out is too small. Frees what begin has made. */
bool alarm_letter_end(struct alarm_letter *l, size_t still, struct buf *out);

/* "5h12m": the two largest units. */
void alarm_put_age(struct buf *out, int64_t ms);

#endif
