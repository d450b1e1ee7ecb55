/* The verb `postern spool`: check, cat, export. Reads the spool's files itself, changes nothing,
 * and works beside a running gateway as well as without one. */
#ifndef POSTERN_CLI_SPOOL_H
#define POSTERN_CLI_SPOOL_H

/* argv[0] is the verb itself. Returns an exit status of sysexits.h. */
int cli_spool(int argc, char **argv);

#endif
