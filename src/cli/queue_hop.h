/* queue_hop: a next hop is looked up before mail is sent there. */
#ifndef POSTERN_CLI_QUEUE_HOP_H
#define POSTERN_CLI_QUEUE_HOP_H

#include "cli/args.h"

/* EX_OK: it exists, or nobody can say now (which is said). EX_NOHOST: the DNS knows no host there,
 * or it is a listener of this gateway, and that is said. What cannot be read as a next hop is left
 * to qmgr to refuse. */
int queue_hop_check(const struct cli_args *a, const char *hop);

#endif
