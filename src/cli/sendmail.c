/* The program names and modes of sendmail, and who does them. */
#include "cli/sendmail.h"

#include "cli/bt.h"
#include "cli/newaliases.h"
#include "cli/sendmail_queue.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int verb(int (*fn)(int, char **), const struct sendmail_flags *f, const char *what,
                const char *arg)
{
    char *args[8];
    int n = 0;
    args[n++] = (char *)what;
    if (arg)
        args[n++] = (char *)arg;
    if (f->config) {
        args[n++] = (char *)"-C";
        args[n++] = (char *)f->config;
    }
    args[n] = NULL;
    return fn(n, args);
}

static int dispatch(const struct sendmail_flags *f, int argc, char **argv)
{
    switch (f->mode) {
    case SENDMAIL_DAEMON:
    case SENDMAIL_FOREGROUND: return sendmail_daemon(f);
    case SENDMAIL_SMTP: return sendmail_bs(f);
    case SENDMAIL_QUEUE: return sendmail_mailq(f);
    case SENDMAIL_QUEUE_COUNT: return sendmail_queue_count(f);
    case SENDMAIL_VERIFY:
        return cli_bv(f->config, f->sender, f->verbose, f->args, f->arg_count);
    case SENDMAIL_TEST: return cli_bt(f->config, f->sender, argc, argv);
    case SENDMAIL_ALIASES: return verb(cli_newaliases, f, "newaliases", NULL);
    case SENDMAIL_HOSTS:
    case SENDMAIL_HOSTS_PURGE: return sendmail_hosts(f);
    case SENDMAIL_MAIL: break;
    }
    if (f->run_asked && f->run_every_ms) /* -q30m: a gateway that runs its queue */
        return sendmail_daemon(f);
    if (f->quarantine && f->run_asked)
        return sendmail_quarantine(f);
    return f->run_asked ? sendmail_queue_run(f) : sendmail_submit(f);
}

/* Of what only prints, that is all there was to do. Where mail was taken it is no failure. */
static int printed(const struct sendmail_flags *f, int rc)
{
    static const enum sendmail_mode only[] = { SENDMAIL_QUEUE, SENDMAIL_QUEUE_COUNT,
                                               SENDMAIL_HOSTS, SENDMAIL_VERIFY };
    bool prints = false;
    for (size_t i = 0; i < sizeof only / sizeof *only; i++)
        prints |= f->mode == only[i];
    if (!prints || rc != EX_OK || (fflush(stdout) == 0 && !ferror(stdout)))
        return rc;
    fprintf(stderr, "%s: the output cannot be written\n", f->name);
    return EX_IOERR;
}

int cli_sendmail(int argc, char **argv)
{
    struct sendmail_flags f;
    const char *slash = strrchr(argv[0], '/');
    int rc = sendmail_flags_read(&f, slash ? slash + 1 : argv[0], argc, argv);
    signal(SIGPIPE, SIG_IGN); /* whoever does not listen is no reason to lose his mail */
    return rc == EX_OK ? printed(&f, dispatch(&f, argc, argv)) : rc;
}
