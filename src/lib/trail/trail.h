/* trail: how a decision came about, step by step: what was asked, of which table and line or of
 * which server, what it said, how long that stays true, and what followed from it. One type for
 * `sendmail -bt`, `postern why` and `route`, the log, the events and the tests.
 *
 * A trail is bounded, by steps and by bytes. Beyond a limit steps are counted, not kept, and both
 * renderings say how many are missing. Every function takes a NULL trail as "nobody asked". */
#ifndef POSTERN_TRAIL_TRAIL_H
#define POSTERN_TRAIL_TRAIL_H

#include "base/arena.h"
#include "base/json.h"

enum {
    TRAIL_STEPS_MAX = 256,     /* what trail_new allows at most */
    TRAIL_TEXT_MAX = 4096,     /* one text of a step; longer ones are cut */
    TRAIL_BYTES_MAX = 1 << 18, /* all texts of one trail */
};

enum trail_verdict {
    TRAIL_NOTE,    /* a remark: nothing was asked */
    TRAIL_MATCH,   /* the table has it */
    TRAIL_MISS,    /* it has not */
    TRAIL_ANSWER,  /* the server answered with records */
    TRAIL_EMPTY,   /* the server answered: there is nothing (NODATA, NXDOMAIN) */
    TRAIL_FAIL,    /* no usable answer: SERVFAIL, timeout, a broken table */
    TRAIL_DECIDED, /* what follows from the steps before */
    TRAIL_VERDICTS
};

enum trail_flag {
    TRAIL_CACHED = 1 << 0,   /* not asked now */
    TRAIL_SECURE = 1 << 1,   /* DNSSEC: validated */
    TRAIL_INSECURE = 1 << 2, /* DNSSEC: proven unsigned, or not validated here */
    TRAIL_BOGUS = 1 << 3,    /* DNSSEC: validation failed */
};

struct trail_step {
    uint8_t verdict;    /* enum trail_verdict */
    uint8_t flags;      /* enum trail_flag */
    int32_t ttl_s;      /* seconds this stays true; -1 = not a matter of time */
    uint32_t line;      /* of the table; 0 = none */
    struct span what;   /* kind of question: "mailertable", "MX", "smart_host" ... */
    struct span key;    /* what was asked for */
    struct span source; /* file or server; empty = the configuration or nobody */
    struct span said;   /* what came back, or the remark */
};

struct trail;

struct trail *trail_new(size_t max_steps); /* 1..TRAIL_STEPS_MAX */
void trail_free(struct trail **t);

/* Copies the step and its texts. */
void trail_add(struct trail *t, const struct trail_step *step);
/* A remark or the end of a decision: verdict TRAIL_NOTE, TRAIL_FAIL or TRAIL_DECIDED. */
void trail_say(struct trail *t, enum trail_verdict verdict, const char *what, struct span key,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));

size_t trail_count(const struct trail *t);
size_t trail_missing(const struct trail *t); /* steps that found no room */
/* i < trail_count; valid until the trail is added to or freed. */
const struct trail_step *trail_step(const struct trail *t, size_t i);

/* One line per step, each with `indent` in front and LF behind. */
void trail_text(struct buf *out, const struct trail *t, const char *indent);
/* An array member of the open object (or, with key NULL, an element). */
void trail_json(struct json *j, const char *key, const struct trail *t);

#endif
