/* The verb `postern map`: what a table says to a key, all it has, and what is wrong with it. */
#ifndef POSTERN_CLI_MAP_H
#define POSTERN_CLI_MAP_H

/* argv[0] is the verb itself. Returns an exit status of sysexits.h, or 1: not found. */
int cli_map(int argc, char **argv);

#endif
