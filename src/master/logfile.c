#include "base/must.h"
#include "master/inside.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* -1: none; -2: syslog instead of a file. */
int log_open(const struct config *cfg, int which, struct err *err)
{
    struct span path = which == 1 ? cfg->log.events : cfg->log.file;
    if (which == 0 && path.n == 0)
        return cfg->log.syslog != CONFIG_SYSLOG_OFF ? -2
                                                         : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (path.n == 0)
        return -1;
    char *name = must_strndup(path.p, path.n);
    int fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        err_errno(err, "log file %s", name);
    free(name);
    return fd;
}

/* After rotation (SIGUSR1): everybody writes to the files that have the names now. */
bool logs_reopen(struct master *m, struct err *err)
{
    int lines = log_open(m->config, 0, err), events = log_open(m->config, 1, err);
    if (err->text[0]) {
        if (lines >= 0)
            close(lines);
        if (events >= 0)
            close(events);
        return false;
    }
    events_set_files(m->events, lines, events);
    for (size_t i = 0; i < m->child_count; i++) {
        if (m->children[i].pid)
            give_logs(m, &m->children[i]);
    }
    return true;
}
