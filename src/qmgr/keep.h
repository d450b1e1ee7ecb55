/* keep: what outlives this process beside the mail itself, in notes (notes/notes.h): names that
 * are frozen, rules of rerouting, and for watch the alarms that were told. */
#ifndef POSTERN_QMGR_KEEP_H
#define POSTERN_QMGR_KEEP_H

#include "notes/notes.h"
#include "qmgr/inside.h"

struct spool_dirs;

/* Reads them, before anything is begun. Needs the spool's locks. */
void keep_open(struct qmgr *q, const struct spool_dirs *dirs);
void keep_free(struct qmgr *q);
struct notes *keep_notes(struct qmgr *q);

/* On stable storage when it returns 0, else -errno: it is tried again by keep_upkeep, and holds in
 * memory. Blocks for as long as the disk takes. */
int keep_flush(struct qmgr *q);
void keep_upkeep(struct qmgr *q);

/* vitals.c: what watch gives and wants back */
struct msg_keep;
void keep_stage(struct qmgr *q, const struct msg_keep *m);
void keep_staged(struct qmgr *q); /* it was all: it takes the place of what was kept */
void keep_unstage(struct qmgr *q); /* it was not all */
void keep_tell(struct qmgr *q, struct channel *watch, uint64_t question);

#endif
