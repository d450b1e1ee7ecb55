/* keep: what outlives this process beside the mail itself, in notes (notes/notes.h): names that
 * are frozen, rules of rerouting, and for watch the alarms that were told. */
#ifndef POSTERN_QMGR_KEEP_H
#define POSTERN_QMGR_KEEP_H

#include "notes/notes.h"
#include "qmgr/inside.h"

#define KEEP_FROZEN "frozen" /* the kind of decision */
#define KEEP_NOT_WRITTEN \
    "done, but not on disk: it cannot be written at the moment, and a restart may undo it"

struct spool_dirs;

/* Reads them, before anything is begun. Needs the spool's locks. */
void keep_open(struct qmgr *q, const struct spool_dirs *dirs);
void keep_free(struct qmgr *q);
struct notes *keep_notes(struct qmgr *q);

/* On stable storage when it returns 0, else -errno: it is tried again by keep_upkeep, and holds in
 * memory. Blocks for as long as the disk takes. */
int keep_flush(struct qmgr *q);
void keep_upkeep(struct qmgr *q);

/* What somebody decided about a name, in lower case. It is kept by the next keep_flush. */
struct decision {
    int64_t at_ms; /* wall */
    struct span who, what;
};
/* False: too long, or too many. */
bool decision_set(struct qmgr *q, const char *kind, struct span name, struct span who,
                  struct span what);
bool decision_drop(struct qmgr *q, const char *kind, struct span name); /* false: there is none */
/* *name_r, *d_r: until the next one is set or dropped. */
bool decision_get(struct qmgr *q, const char *kind, struct span name, struct span *name_r,
                  struct decision *d_r);
void decisions_each(struct qmgr *q, const char *kind,
                    void (*fn)(void *ctx, struct span name, const struct decision *d), void *ctx);
size_t decisions_count(struct qmgr *q, const char *kind);

/* A person's queue run: until the next one this process and those that come after know of it.
 * 0 or -errno of keep_flush. */
int keep_run(struct qmgr *q);
/* This mail was there at the last run, before this process: it waits for no other. A run of this
 * process is the schedule's matter. */
bool keep_ran(struct qmgr *q, uint64_t seq);

/* vitals.c: what watch gives and wants back */
struct msg_keep;
void keep_stage(struct qmgr *q, const struct msg_keep *m);
void keep_staged(struct qmgr *q); /* it was all: it takes the place of what was kept */
void keep_unstage(struct qmgr *q); /* it was not all */
void keep_tell(struct qmgr *q, struct channel *watch, uint64_t question);

#endif
