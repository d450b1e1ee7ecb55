#include "cli/reload.h"

#include "base/json.h"
#include "base/num.h"
#include "cli/args.h"
#include "cli/ctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

static const char reload_usage[] =
    "usage: postern reload [-C FILE | --socket PATH] [--json]\n"
    "\n"
    "The running gateway reads its configuration and maps anew. A file with mistakes is refused\n"
    "with all of them, and everything stays as it is. Sessions that are open end under the\n"
    "configuration they began with.\n"
    "\n"
    "  -C FILE        the configuration that names the socket (" CLI_CONFIG_FILE ")\n"
    "  --socket PATH  the gateway's admin socket\n"
    "  --json         one JSON object on standard output\n"
    "\n"
    "exit status: 0 taken, 78 refused, or not taken by all (said by whom), 69 no gateway answers,\n"
    "77 not allowed, 64 usage\n";

static const char stop_usage[] =
    "usage: postern stop [-C FILE | --socket PATH] [--wait TIME] [--json]\n"
    "\n"
    "The running gateway takes nothing new, finishes what it holds (bounded) and ends. Returns\n"
    "when it is gone.\n"
    "\n"
    "  -C FILE        the configuration that names the socket (" CLI_CONFIG_FILE ")\n"
    "  --socket PATH  the gateway's admin socket\n"
    "  --wait TIME    wait no longer than this for its end (60s); 0: do not wait\n"
    "  --json         one JSON object on standard output\n"
    "\n"
    "exit status: 0 gone, 75 still running, 69 no gateway answers, 77 not allowed, 64 usage\n";

enum { WAIT_MS = 60 * 1000, STEP_MS = 100 };

struct request {
    struct cli_args a;
    int64_t wait_ms;
};

static int read_args(struct request *rq, int argc, char **argv, bool waits)
{
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        const char *arg = argv[i];
        if (cli_common(&rq->a, argc, argv, &i, &rc))
            continue;
        if (!waits || strcmp(arg, "--wait") != 0)
            rc = cli_usage_error(&rq->a, "unknown argument", arg);
        else if (++i >= argc || !num_duration_ms(span_str(argv[i]), &rq->wait_ms))
            rc = cli_usage_error(&rq->a, "a time like 30s is missing", arg);
    }
    if (rc == EX_OK && rq->a.help)
        fputs(rq->a.usage, stdout);
    return rc;
}

/* --json: what happened as one object, also when it went wrong. */
static int say(const struct cli_args *a, const char *what, int rc, struct span text)
{
    struct buf b;
    buf_init(&b, 4 << 20);
    if (a->json) {
        struct json j = json_writer(&b);
        json_open(&j, NULL);
        json_bool(&j, "ok", rc == EX_OK);
        json_str(&j, rc == EX_OK ? "action" : "text", rc == EX_OK ? span_str(what) : text);
        json_close(&j);
        buf_putc(&b, '\n');
    } else if (rc == EX_OK) {
        buf_putz(&b, what);
        buf_putc(&b, '\n');
    } else {
        fprintf(stderr, "postern %s: %.*s%s", a->verb, SPAN_ARG(text),
                span_ends(text, SPAN("\n")) ? "" : "\n");
    }
    cli_print(&b);
    buf_free(&b);
    return rc;
}

int cli_reload(int argc, char **argv)
{
    struct request rq = {
        .a = { .verb = "reload", .usage = reload_usage, .config = CLI_CONFIG_FILE }
    };
    struct ctl c;
    struct span row;
    int rc = read_args(&rq, argc, argv, false);
    if (rc != EX_OK || rq.a.help)
        return rc;
    rc = ctl_open(&c, &rq.a);
    if (rc == EX_OK) {
        enum ctl_got got = ctl_ask(&c, "reload", NULL, 0) ? CTL_ROW : CTL_ERROR;
        while (got == CTL_ROW)
            got = ctl_next(&c, &row);
        rc = got == CTL_OK ? EX_OK : c.exit;
        say(&rq.a, "reloaded", rc, buf_span(&c.text));
    } else if (rc == EX_CONFIG) {
        cli_fail(&rq.a, rc, "a running gateway keeps the configuration it has");
    }
    ctl_close(&c);
    return rc;
}

/* --- stop --- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A process that is not our child: by descriptor where the kernel has such, else by asking. */
static bool gone_after(pid_t pid, int fd, int wait_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (fd >= 0)
        return poll(&p, 1, wait_ms) > 0;
    poll(NULL, 0, wait_ms);
    return kill(pid, 0) != 0 && errno == ESRCH;
}

static bool wait_gone(pid_t pid, int64_t most_ms)
{
    int64_t begun = now_ms(), told = begun;
    bool eyes = isatty(STDERR_FILENO), gone = false;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno == ESRCH)
        return true;
    while (!gone && now_ms() - begun < most_ms) {
        gone = gone_after(pid, fd, STEP_MS);
        if (eyes && !gone && now_ms() - told >= 1000) {
            told = now_ms();
            fprintf(stderr, "\rit finishes what it holds: %lld s ",
                    (long long)((told - begun) / 1000));
        }
    }
    if (eyes && told != begun)
        fputs("\n", stderr);
    if (fd >= 0)
        close(fd);
    return gone;
}

int cli_stop(int argc, char **argv)
{
    struct request rq = { .a = { .verb = "stop", .usage = stop_usage, .config = CLI_CONFIG_FILE },
                          .wait_ms = WAIT_MS };
    struct ctl c;
    struct span row;
    int rc = read_args(&rq, argc, argv, true);
    if (rc != EX_OK || rq.a.help)
        return rc;
    rc = ctl_open(&c, &rq.a);
    if (rc == EX_OK) {
        enum ctl_got got = ctl_ask(&c, "stop", NULL, 0) ? CTL_ROW : CTL_ERROR;
        while (got == CTL_ROW)
            got = ctl_next(&c, &row);
        bool waits = rq.wait_ms > 0 && c.master > 0;
        if (got != CTL_OK)
            rc = say(&rq.a, "", c.exit, buf_span(&c.text));
        else if (!waits || wait_gone(c.master, rq.wait_ms))
            say(&rq.a, waits ? "stopped" : "stopping", EX_OK, SPAN_NONE);
        else
            rc = say(&rq.a, "", EX_TEMPFAIL, SPAN("it still runs: it finishes what it holds"));
    }
    ctl_close(&c);
    return rc;
}
