/* ask_files: the same questions answered without a gateway: from the files that a configuration
 * names, and by a resolver of our own, whose cache begins empty. */
#ifndef POSTERN_CLI_ASK_FILES_H
#define POSTERN_CLI_ASK_FILES_H

#include "cli/ask.h"

struct ask_files;

/* EX_OK, or a status with everything said: tables with mistakes. cfg is borrowed. */
int ask_files_open(struct ask_files **f_r, const struct cli_args *a, const struct config *cfg);
void ask_files_close(struct ask_files **f); /* accepts NULL in *f */
bool ask_files_row(struct ask_files *f, const char *verb, const struct ask_args *args,
                   struct buf *json, struct err *e);

#endif
