/* The verb `postern config`: check, show, explain. */
#ifndef POSTERN_CLI_CONFIG_H
#define POSTERN_CLI_CONFIG_H

/* argv[0] is the verb itself; -C FILE may stand anywhere behind it. Returns an exit status of
 * sysexits.h. */
int cli_config(int argc, char **argv);

#endif
