/* proc: small things a process does to itself. */
#ifndef POSTERN_SYS_PROC_H
#define POSTERN_SYS_PROC_H

/* Closes every descriptor from `lowest` up. */
void proc_close_from(int lowest);

#endif
