/* What a reload would change against the gateway that runs. */
#ifndef POSTERN_CLI_CONFIG_DIFF_H
#define POSTERN_CLI_CONFIG_DIFF_H

#include "cli/args.h"

struct ctl;

/* The configuration the gateway works with: EX_OK and *cfg_r (the caller's), or a status of
 * sysexits.h with e. c is connected, and has served afterwards. */
int cli_running_config(struct ctl *c, struct config **cfg_r, struct err *e);

/* a->config is the file a reload would read; a->socket, or the socket that the file names, is
 * asked. */
int cli_config_diff(const struct cli_args *a);

#endif
