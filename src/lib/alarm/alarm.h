/* alarm: which alarms there are, and what is to be told of them. Pure: time is an argument.
 *
 * Whoever looks at something says what was seen, again and again, good or bad. An alarm is raised
 * by raise_after bad observations in a row and is over after clear_after good ones (hysteresis),
 * so that what flickers does not ring. It is told when it is raised, again after each repeat_ms
 * while it lasts (the last observation was bad), and once when it is over. */
#ifndef POSTERN_ALARM_ALARM_H
#define POSTERN_ALARM_ALARM_H

#include "base/buf.h"

enum {
    ALARM_SUBJECT_MAX = 300, /* bytes kept of a subject */
    ALARM_TEXT_MAX = 600,    /* and of a text */
    ALARMS_MAX = 1000,       /* subjects remembered; more are counted */
};

enum alarm_kind {
    ALARM_SITE_AGE,   /* subject: the site */
    ALARM_EXPIRY,     /* mail lies there that should have expired */
    ALARM_GROWTH,     /* of the queue */
    ALARM_DISK,       /* subject: the directory */
    ALARM_INODES,
    ALARM_CRASHES,    /* subject: the role */
    ALARM_DNS,
    ALARM_LISTENER,   /* subject: section and address */
    ALARM_NEXT_HOP,
    ALARM_QMGR,       /* it does not answer */
    ALARM_CHECK,      /* subject: the section's name */
    ALARM_CLOCK,      /* it is not believed */
    ALARM_KINDS,
};
const char *alarm_kind_name(enum alarm_kind kind);  /* "site_age": of events and --json */
const char *alarm_kind_title(enum alarm_kind kind); /* "old mail": for people */
bool alarm_kind_of(struct span name, enum alarm_kind *kind_r); /* false: there is none */

struct alarms_config {
    unsigned raise_after, clear_after; /* observations in a row; at least 1 */
    int64_t repeat_ms;                 /* 0: told once */
};

struct alarm { /* spans are valid until the next call that is not const */
    enum alarm_kind kind;
    struct span subject, text; /* text: what was seen last while it was bad */
    int64_t since_ms;          /* monotonic: the first bad observation */
    int64_t since_wall_ms;
    uint64_t told;             /* how often; the last time: */
    int64_t told_wall_ms;
};

struct alarms;
struct alarms *alarms_new(const struct alarms_config *c);
void alarms_free(struct alarms **a); /* accepts NULL in *a */
void alarms_configure(struct alarms *a, const struct alarms_config *c);

struct alarm_now {
    int64_t mono_ms, wall_ms;
};

/* One observation. text is looked at when it is bad. raise_after, clear_after: of this alarm; 0:
 * as configured. */
struct alarm_look {
    enum alarm_kind kind;
    struct span subject, text;
    bool bad;
    unsigned raise_after, clear_after;
};
void alarms_look(struct alarms *a, const struct alarm_look *look, struct alarm_now now);
void alarms_seen(struct alarms *a, enum alarm_kind kind, struct span subject, bool bad,
                 struct span text, struct alarm_now now);
/* All of a kind has been looked at: of what nothing was said since the last round, it is good. */
void alarms_round(struct alarms *a, enum alarm_kind kind);
/* What is not looked at any more (configuration): subjects of this kind that `still` (NULL: none)
 * does not know. It is over at once, and its text says why; what nobody was told of ends without a
 * word. */
void alarms_unwatched(struct alarms *a, enum alarm_kind kind,
                      bool (*still)(void *ctx, struct span subject), void *ctx);

enum alarm_news { ALARM_NONE, ALARM_RAISED, ALARM_REPEATED, ALARM_CLEARED };
/* The next piece of news, which is told by this. */
enum alarm_news alarms_news(struct alarms *a, struct alarm_now now, struct alarm *alarm_r);
bool alarms_have_news(const struct alarms *a, struct alarm_now now);

/* The present ones, in the order they were raised; at begins with 0. */
bool alarms_next(const struct alarms *a, uint64_t *at, struct alarm *alarm_r);
/* Those of whom somebody was told and has not been told the end: what a process that comes after
 * this one must know. */
bool alarms_next_told(const struct alarms *a, uint64_t *at, struct alarm *alarm_r);
/* One that an earlier process told of (of *was: since_ms is not looked at): it is repeated when
 * its time has come, and its end is told. Time went by the wall's clock meanwhile: one that was
 * set back since makes it due at once. */
void alarms_restore(struct alarms *a, const struct alarm *was, struct alarm_now now);
/* It was looked at, and cannot be judged yet: what is told stays so. */
void alarms_unknown(struct alarms *a, enum alarm_kind kind);
/* Those restored that nobody has looked at since are over: what they are about is not watched any
 * more. */
void alarms_unseen_over(struct alarms *a);
size_t alarms_present(const struct alarms *a);
/* One of this kind is present. */
bool alarms_any(const struct alarms *a, enum alarm_kind kind);
/* A present one: of this subject, or with NULL the first of the kind. */
bool alarms_find(const struct alarms *a, enum alarm_kind kind, const struct span *subject,
                 struct alarm *alarm_r);
/* Bad observations that found no place. */
uint64_t alarms_lost(const struct alarms *a);

#endif
