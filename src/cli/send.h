/* The verb `postern send`: hands one message to a server and shows the dialogue. */
#ifndef POSTERN_CLI_SEND_H
#define POSTERN_CLI_SEND_H

/* argv[0] is the verb itself. Returns an exit status of sysexits.h. */
int cli_send(int argc, char **argv);

#endif
