/* load: reads and checks a configuration file in a process of its own, without privilege, and
 * takes only the checked, flattened form back. */
#ifndef POSTERN_MASTER_LOAD_H
#define POSTERN_MASTER_LOAD_H

#include "base/err.h"
#include "config/config.h"

/* NULL when it was refused: the mistakes, as lines for people, are then in *text (a buf the
 * caller made), with their number in *count_r. Notices of an accepted file are in cfg->notices. */
struct config *master_load(const char *path, struct buf *text, unsigned *count_r);

/* Whether certificates and keys can be read and belong together: opened with our rights, looked
 * at in a process without any. False adds the mistakes to *text and *count_r. */
bool master_load_certs(const struct config *cfg, struct buf *text, unsigned *count_r);

#endif
