/* child: a process that is one role. Everything it works with arrives over descriptor 3 from
 * master, in this order: log files, configuration, files, peers, listeners, start. Before start,
 * and so before a byte from the network, it becomes its role's user and closes itself in
 * (confine.h). */
#ifndef POSTERN_ROLE_CHILD_H
#define POSTERN_ROLE_CHILD_H

enum { CHILD_MASTER_FD = 3 };

/* postern --role NAME INDEX */
int child_main(int argc, char **argv);

#endif
