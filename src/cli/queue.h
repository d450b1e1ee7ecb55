/* The verb `postern queue`: what waits and why, and what a person does about it. */
#ifndef POSTERN_CLI_QUEUE_H
#define POSTERN_CLI_QUEUE_H

/* argv[0] is the verb itself. Returns an exit status of sysexits.h. */
int cli_queue(int argc, char **argv);

#endif
