/* proc: small things a process does to itself. */
#ifndef POSTERN_SYS_PROC_H
#define POSTERN_SYS_PROC_H

#include <stdbool.h>

/* Opens /dev/null for those of 0, 1 and 2 that are closed, or the next file or socket that is
 * opened would be one of them, and what is printed would go there. To read from a standard input
 * that was closed stays an error: nothing is no empty message. False: it cannot be. */
bool proc_standard_descriptors(void);

/* Closes every descriptor from `lowest` up. */
void proc_close_from(int lowest);

/* Asks the kernel for turns of half a millisecond on a processor (usual are 1.4 to 2.8): whoever
 * has short ones gets his next one sooner when he wakes, and no more time in all. Nothing happens
 * before Linux 6.12, to a process that is not scheduled as usual, and to one with shorter ones. */
void proc_short_turns(void);

#endif
