/* mailq without a gateway. */
#ifndef POSTERN_CLI_MAILQ_H
#define POSTERN_CLI_MAILQ_H

#include "cli/sendmail.h"
#include "config/config.h"

/* Reads the spool of a gateway that does not run and gives rows as the question "list" does, for
 * what f chooses. False: the spool cannot be read. */
bool mailq_offline(const struct sendmail_flags *f, const struct config *cfg,
                   void (*row)(void *ctx, struct span json), void *ctx);

#endif
