#include "role/logs.h"

#include "base/must.h"

#include <stdlib.h>
#include <syslog.h>

static int facility_of(const struct config *cfg)
{
    int facility = config_syslog_facility(cfg->log.syslog);
    return facility < 0 ? LOG_MAIL : facility; /* nothing goes there */
}

struct events *logs_new(struct loop *l, const struct config *cfg, const char *role, int line_fd,
                        int event_fd)
{
    char *tag = must_strndup(cfg->log.tag.p, cfg->log.tag.n);
    char *host = must_strndup(cfg->hostname.p, cfg->hostname.n);
    struct events_config ec = { .tag = tag, .role = role, .hostname = host, .line_fd = line_fd,
                                .event_fd = event_fd, .facility = facility_of(cfg) };
    struct events *e = events_new(l, &ec);
    free(tag);
    free(host);
    return e;
}

void logs_follow(struct events *e, const struct config *cfg)
{
    events_set_names(e, cfg->log.tag, cfg->hostname, facility_of(cfg));
}
