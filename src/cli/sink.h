/* The verb `postern sink`: a next hop that takes everything, or misbehaves as told. */
#ifndef POSTERN_CLI_SINK_H
#define POSTERN_CLI_SINK_H

/* argv[0] is the verb itself. Returns an exit status of sysexits.h. */
int cli_sink(int argc, char **argv);

#endif
