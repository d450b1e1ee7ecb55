/* makemap_file: the file that makemap writes, FILE.cdb. It is made beside, as FILE.cdb.tmp under a
 * lock (two makemaps for one map wait for each other), flushed, and renamed into place: who opens
 * FILE.cdb meets the old map or the new one, whole. What a killed makemap leaves is the .tmp, which
 * the next one uses again. */
#ifndef POSTERN_CLI_MAKEMAP_FILE_H
#define POSTERN_CLI_MAKEMAP_FILE_H

#include "base/err.h"
#include "base/span.h"

struct makemap_file;

/* Locks and begins. path is FILE.cdb. NULL: e says why (the text of errno alone). */
struct makemap_file *makemap_file_begin(const char *path, struct err *e);
bool makemap_file_put(struct makemap_file *f, struct span key, struct span value);
/* Flushes it and puts it in the place of path, with the owner and mode of what is replaced (0640
 * where there was nothing). False: e says why, and path is as it was. Frees f, as does abandon. */
bool makemap_file_commit(struct makemap_file **f, struct err *e);
void makemap_file_abandon(struct makemap_file **f); /* accepts NULL in *f */

/* Every entry of path in its order, bytes as they were put. False: e says why. */
bool makemap_file_each(const char *path, struct err *e,
                       void (*fn)(void *ctx, struct span key, struct span value), void *ctx);

#endif
