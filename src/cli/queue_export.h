/* queue_export: copies of queued messages as files. */
#ifndef POSTERN_CLI_QUEUE_EXPORT_H
#define POSTERN_CLI_QUEUE_EXPORT_H

#include "cli/args.h"
#include "cli/queue_words.h"

/* Each message that is meant as DIRECTORY/ID.eml; files that exist are left alone. some: ids were
 * named, and one has to be there. A status of sysexits.h. */
int queue_export(const struct cli_args *a, const struct queue_words *words, const char *directory,
                 bool some);

#endif
