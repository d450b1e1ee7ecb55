/* drop: puts a message into the submission spool so that it is on stable storage and whole, or not
 * there at all. Blocks. Used by sendmail for who may write there, and by the set-gid helper. */
#ifndef POSTERN_SUBMIT_DROP_H
#define POSTERN_SUBMIT_DROP_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { DROP_NAME_MAX = 64, DROP_MODE = 0444, DROP_DIRECTORY_MODE = 01770 };
#define DROP_PREFIX "m-"
#define DROP_TMP_PREFIX "tmp-"

/* Copies `from` to its end into a new file of the directory: "tmp-...", flushed, renamed to
 * "m-...", the directory flushed. More than max_bytes (0: no limit) fails. False: nothing is
 * there, err says why. The directory is closed to all but its
 * owner and its group (which nobody is in: the helper gets it), who must read it to flush it; so
 * the mode of the file opens it to nobody else. */
bool drop_message(const char *directory, int from, uint64_t max_bytes, struct err *err);

/* The same in two steps, for who has to look at the directory first: it is the one that was looked
 * at, whatever its name means by then. -1: err says why; else the caller's to close. */
int drop_open(const char *directory, struct err *err);
bool drop_into(int dir, int from, uint64_t max_bytes, struct err *err);

#endif
