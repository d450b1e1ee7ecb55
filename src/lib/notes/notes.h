/* notes: a few names with values that survive a crash: what an administrator decided about the
 * queue, and which alarms were told. The file `notes` beside the spool's segments, one in each
 * directory, always whole: it is written anew and renamed. For little that changes rarely; what
 * belongs to one message is in the spool.
 *
 * The format is specified at the top of notes.c. One thread, one opener (under spool's locks). */
#ifndef POSTERN_NOTES_NOTES_H
#define POSTERN_NOTES_NOTES_H

#include "base/buf.h"
#include "base/err.h"
#include "vfs/vfs.h"

enum {
    NOTES_KEY_MAX = 1024,
    NOTES_VALUE_MAX = 4096,
    NOTES_COUNT_MAX = 10000,
    NOTES_BYTES_MAX = 32 << 20, /* of a file */
};

struct notes;

/* The newest file that is whole counts; those of the other directories are written anew by the
 * next flush. Never fails: what cannot be read is as if it was not there, is told by *damaged_r
 * (a number of directories) and err (the first of them), and kept as `notes.damaged`. Where none
 * is damaged err says which directory has none while others do (else it is empty): it is new, or
 * what was written there alone is not known. Everything is copied. `seed`: for the table;
 * now_ms: wall. */
struct notes *notes_open(struct vfs *vfs, const char *const *directories, size_t n, uint64_t seed,
                         int64_t now_ms, unsigned *damaged_r, struct err *err);
/* Looks, and changes nothing: 0 sound, or not there; -EILSEQ, -errno. */
int notes_check(struct vfs *vfs, const char *directory);
void notes_free(struct notes **n); /* what was not flushed is lost; accepts NULL in *n */

/* Valid until the note is set or dropped; false: there is none. */
bool notes_find(const struct notes *n, struct span key, struct span *key_r, struct span *value_r);
/* False: too long, or too many, and nothing changes. */
bool notes_set(struct notes *n, struct span key, struct span value);
bool notes_drop(struct notes *n, struct span key); /* false: there is none */
void notes_drop_all(struct notes *n, struct span prefix); /* whose key begins so */
/* All notes whose key begins with `prefix`, in no order. fn may not set or drop others. */
void notes_each(const struct notes *n, struct span prefix,
                void (*fn)(void *ctx, struct span key, struct span value), void *ctx);
size_t notes_count(const struct notes *n, struct span prefix);

/* Something has not been written yet, or not in every directory. */
bool notes_dirty(const struct notes *n);
/* On stable storage when it returns 0; above 0: but for so many of several directories, and what
 * was written is lost with the others until a later flush returns 0. Else -errno of the last one,
 * nothing is forgotten, and what is on the disk may be the new or the old. Not dirty: 0, nothing is
 * written. */
int notes_flush(struct notes *n);

#endif
