/* -bd and -bD: the gateway. In the background the caller waits until every process is ready, or
 * hears why not: what they write to standard error comes through a pipe that is his to read. */
#include "cli/sendmail.h"

#include "cli/args.h"
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { READY = '\n' };

static const enum config_delivery *delivery_of(char mode)
{
    static const enum config_delivery modes[] = { CONFIG_DELIVER, CONFIG_QUEUE_ONLY,
                                                  CONFIG_DEFER };
    switch (mode) {
    case 'b': /* in the background, or while the client waits: here a client never waits */
    case 'i': return &modes[0];
    case 'q': return &modes[1];
    case 'd': return &modes[2];
    default: return NULL;
    }
}

static struct master_options options_of(const struct sendmail_flags *f)
{
    bool never = f->run_asked && !f->run_every_ms; /* -bd -q listens and runs no queue */
    return (struct master_options){ .config_path = f->config ? f->config : CLI_CONFIG_FILE,
                                    .queue_run_ms = never ? -1 : f->run_every_ms,
                                    .delivery = delivery_of(f->delivery_mode) };
}

/* Only becomes the daemon here: of its parent nothing is left but the two pipes. */
static _Noreturn void become_daemon(const struct sendmail_flags *f, int words, int ready,
                                    bool log_to_terminal)
{
    struct master_options o = options_of(f);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    setsid();
    signal(SIGHUP, SIG_IGN); /* master takes it over */
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    if (!log_to_terminal)
        dup2(words, STDERR_FILENO);
    o.ready_fd = ready;
    _exit(master_run(&o));
}

/* Until it is ready or has ended its words go to our standard error. */
static bool listen_to(int words, int ready)
{
    char bytes[4096];
    ssize_t n;
    bool up = false;
    while ((n = read(ready, bytes, 1)) < 0 && errno == EINTR)
        continue;
    up = n == 1;
    fcntl(words, F_SETFL, O_NONBLOCK);
    while ((n = read(words, bytes, sizeof bytes)) > 0)
        if (write(STDERR_FILENO, bytes, (size_t)n) < 0)
            break;
    return up;
}

static int in_background(const struct sendmail_flags *f, bool log_to_terminal)
{
    int words[2], ready[2], status;
    if (pipe2(words, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0) {
        fprintf(stderr, "%s: %s\n", f->name, strerror(errno));
        return EX_OSERR;
    }
    pid_t pid = fork();
    if (pid < 0) {
        fprintf(stderr, "%s: %s\n", f->name, strerror(errno));
        return EX_OSERR;
    }
    if (pid == 0)
        become_daemon(f, words[1], ready[1], log_to_terminal);
    close(words[1]);
    close(ready[1]);
    bool up = listen_to(words[0], ready[0]);
    if (up)
        return EX_OK;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

int sendmail_daemon(const struct sendmail_flags *f)
{
    struct cli_args a = { .verb = f->name, .config = f->config ? f->config : CLI_CONFIG_FILE };
    struct config *cfg;
    if (f->mode == SENDMAIL_FOREGROUND) {
        struct master_options o = options_of(f);
        return master_run(&o);
    }
    int rc = cli_load(&a, &cfg); /* mistakes are said before anything is forked */
    if (rc != EX_OK)
        return rc;
    bool log_to_terminal = !cfg->log.file.n && cfg->log.syslog == CONFIG_SYSLOG_OFF;
    config_free(&cfg);
    return in_background(f, log_to_terminal);
}
