/* logs: the log and the events of a process, as the configuration wants them. */
#ifndef POSTERN_ROLE_LOGS_H
#define POSTERN_ROLE_LOGS_H

#include "config/config.h"
#include "events/events.h"

/* The descriptors as in struct events_config; owned. */
struct events *logs_new(struct loop *l, const struct config *cfg, const char *role, int line_fd,
                        int event_fd);
/* After a reload; files that changed come by events_set_files. */
void logs_follow(struct events *e, const struct config *cfg);

#endif
