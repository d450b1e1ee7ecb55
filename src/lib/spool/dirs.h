/* dirs: the directories that spool.directories means. Of a glob pattern only the last part may
 * hold one ("/var/spool/postern/q*"); it is matched against what is there, in order of name. */
#ifndef POSTERN_SPOOL_DIRS_H
#define POSTERN_SPOOL_DIRS_H

#include "spool/spool.h"

struct spool_dirs {
    char *v[SPOOL_DIRECTORIES_MAX]; /* owned */
    size_t n;
};

/* Adds what `path` stands for; beyond SPOOL_DIRECTORIES_MAX the rest is left out. A pattern that
 * matches nothing adds nothing. */
void spool_dirs_add(struct spool_dirs *d, struct vfs *vfs, struct span path);
void spool_dirs_free(struct spool_dirs *d);

/* What an event means, for a person; NULL for those of daily life (sealed, freed). */
const char *spool_event_text(enum spool_event_kind kind);

#endif
