/* master: starts the roles, keeps what only root can have (listening sockets, key and log
 * files), restarts who dies, replaces the configuration. It parses nothing from the network:
 * its channels to the children carry a handful of small messages, and the configuration file is
 * read by a child without privilege (load.h). */
#ifndef POSTERN_MASTER_MASTER_H
#define POSTERN_MASTER_MASTER_H

#include "base/err.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

struct master_options {
    const char *config_path;
    int64_t queue_run_ms; /* takes the place of queue.run; 0: it does not, -1: no runs at all */
    /* Takes the place of what the listeners and submit have; NULL: it does not. Who holds mail
     * goes on holding it. */
    const enum config_delivery *delivery;
    int ready_fd;         /* a line end is written there when all is up; 0: none */
};

/* Runs the gateway in the foreground until it is stopped; returns the exit code. */
int master_run(const struct master_options *o);

#endif
