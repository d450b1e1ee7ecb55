/* The verbs `postern reload` and `postern stop`: what is asked of master. */
#ifndef POSTERN_CLI_RELOAD_H
#define POSTERN_CLI_RELOAD_H

/* argv[0] is the verb itself. Return an exit status of sysexits.h. */
int cli_reload(int argc, char **argv);
int cli_stop(int argc, char **argv);

#endif
