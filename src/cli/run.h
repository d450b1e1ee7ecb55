/* The verb `postern run`: the gateway, in the foreground. */
#ifndef POSTERN_CLI_RUN_H
#define POSTERN_CLI_RUN_H

/* argv[0] is the verb itself. Returns when the gateway has ended. */
int cli_run(int argc, char **argv);

#endif
