/* One program for everything: argv[0], or the first word, says what it is to be. */
#include "cli/alarms.h"
#include "cli/args.h"
#include "cli/config.h"
#include "cli/makemap.h"
#include "cli/map.h"
#include "cli/newaliases.h"
#include "cli/queue.h"
#include "cli/reload.h"
#include "cli/retry.h"
#include "cli/route.h"
#include "cli/run.h"
#include "cli/send.h"
#include "cli/sendmail.h"
#include "cli/sink.h"
#include "cli/spool.h"
#include "cli/why.h"
#include "role/child.h"

#include "base/must.h"
#include "config/table.h"
#include "sys/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static int do_help(int argc, char **argv);
static int do_version(int argc, char **argv);

static const struct applet {
    const char *name;
    int (*fn)(int argc, char **argv);
    bool config; /* takes -C FILE itself */
    const char *help;
} applets[] = {
    { "run", cli_run, true, "start the gateway, in the foreground" },
    { "reload", cli_reload, true, "the running gateway takes its changed configuration" },
    { "stop", cli_stop, true, "the running gateway finishes what it holds and ends" },
    { "alarms", cli_alarms, true, "what is wrong with the gateway now" },
    { "queue", cli_queue, true, "what waits and why; hold, release, delete, retry" },
    { "retry", cli_retry, true, "try what waits for a domain, an address, an id: now, and live" },
    { "config", cli_config, true, "check, show and explain the configuration" },
    { "route", cli_route, true, "where mail to an address goes, and why" },
    { "map", cli_map, false, "what a table says to a key, all it has, what is wrong with it" },
    { "makemap", cli_makemap, true, "a compiled table from a text, as sendmail's makemap" },
    { "newaliases", cli_newaliases, true, "count the aliases and say which lines are bad" },
    { "spool", cli_spool, true, "check the spool's files; print or export messages" },
    { "send", cli_send, false, "send one message over SMTP and show the dialogue" },
    { "sink", cli_sink, false, "a next hop for tests: takes everything, or misbehaves as told" },
    { "why", cli_why, true, "why mail is where it is: a message, an address, a domain, a host" },
    { "version", do_version, false, "which release this is" },
    { "help", do_help, false, "this, or `help VERB`" },
};
enum { APPLETS = sizeof applets / sizeof *applets };

static const struct applet *applet_find(const char *name)
{
    for (size_t i = 0; i < APPLETS; i++)
        if (strcmp(applets[i].name, name) == 0)
            return &applets[i];
    return NULL;
}

/* --- help, version, and what is still to come --- */

static void put_usage(FILE *to)
{
    fputs("usage: postern [-C FILE] VERB [ARGUMENT]...\n\n", to);
    for (size_t i = 0; i < APPLETS; i++)
        fprintf(to, "  %-10s  %s\n", applets[i].name, applets[i].help);
    fputs("\n  -C FILE   the configuration (" CLI_CONFIG_FILE ")\n"
          "\nEach verb explains itself: postern VERB --help\n", to);
}

static int unknown_verb(const char *name)
{
    const char *names[APPLETS];
    for (size_t i = 0; i < APPLETS; i++)
        names[i] = applets[i].name;
    const char *meant = config_suggest_among(names, APPLETS, span_str(name));
    fprintf(stderr, "postern: there is no verb \"%.100s\"%s%s%s\n", name,
            meant ? "; did you mean \"" : "; see postern help", meant ? meant : "",
            meant ? "\"?" : "");
    return EX_USAGE;
}

/* `help VERB WORD` is `VERB WORD --help`. */
static int do_help(int argc, char **argv)
{
    bool dash = argc > 1 && argv[1][0] == '-';
    if (dash && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0) {
        fprintf(stderr, "usage: postern help [VERB], not: %s\n", argv[1]);
        return EX_USAGE;
    }
    const struct applet *ap = argc > 1 && !dash ? applet_find(argv[1]) : NULL;
    if (argc > 1 && !dash && !ap)
        return unknown_verb(argv[1]);
    if (!ap || ap->fn == do_help) {
        put_usage(stdout);
        return EX_OK;
    }
    char **args = must_calloc((size_t)argc + 1, sizeof *args);
    memcpy(args, argv + 1, (size_t)(argc - 1) * sizeof *args);
    args[argc - 1] = (char *)"--help";
    int rc = ap->fn(argc, args);
    free(args);
    return rc;
}

static int do_version(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--json") == 0)
        puts("{\"name\":\"postern\",\"version\":\"" POSTERN_VERSION "\"}");
    else if (argc == 2 && strcmp(argv[1], "--help") == 0)
        puts("usage: postern version [--json]");
    else if (argc > 1) {
        fputs("usage: postern version [--json]\n", stderr);
        return EX_USAGE;
    } else
        puts("postern " POSTERN_VERSION);
    return EX_OK;
}

/* --- the names of old: a link that cannot do its work says so, and never pretends --- */

static const struct {
    const char *name;
    int (*fn)(int argc, char **argv);
} links[] = {
    { "sendmail", cli_sendmail },
    { "hoststat", cli_sendmail },
    { "purgestat", cli_sendmail },
    { "mailq", cli_sendmail },
    { "newaliases", cli_newaliases },
    { "makemap", cli_makemap },
};

/* --- verbs --- */

/* -C FILE, or -CFILE, may stand before the verb or anywhere behind it. Verbs that have no use for
 * it are not given it. Returns the number of arguments in args, which ends with NULL; -1: a usage
 * error. */
static int arrange(int argc, char **argv, int verb, const char *config, const struct applet *ap,
                   char **args)
{
    int n = 0;
    args[n++] = argv[verb];
    if (config && ap->config) {
        args[n++] = (char *)"-C";
        args[n++] = (char *)config;
    }
    for (int i = verb + 1; i < argc; i++) {
        bool ours = strncmp(argv[i], "-C", 2) == 0;
        char *file = ours && argv[i][2] ? argv[i] + 2 : NULL;
        if (ours && !ap->config) {
            i += !file && i + 1 < argc;
        } else if (file) {
            args[n++] = (char *)"-C";
            args[n++] = file;
        } else {
            args[n++] = argv[i];
        }
    }
    args[n] = NULL;
    return n;
}

/* What was asked for is to be seen: a full disk is a failure. */
static int written(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EX_OK;
    fputs("postern: the output cannot be written\n", stderr);
    return EX_IOERR;
}

static int run_verb(int argc, char **argv)
{
    const char *config = NULL;
    int at = 1;
    if (sendmail_flags_meant(argc, argv))
        return cli_sendmail(argc, argv);
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "-C") == 0 && at + 1 < argc) {
            config = argv[++at];
        } else if (strncmp(argv[at], "-C", 2) == 0 && argv[at][2]) {
            config = argv[at] + 2;
        } else if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            put_usage(stdout);
            return EX_OK;
        } else if (strcmp(argv[at], "--version") == 0) {
            return do_version(1, argv);
        } else {
            fprintf(stderr, "postern: unknown option, or a value is missing: %s\n", argv[at]);
            put_usage(stderr);
            return EX_USAGE;
        }
    }
    if (at >= argc) {
        put_usage(stderr);
        return EX_USAGE;
    }
    const struct applet *ap = applet_find(argv[at]);
    if (!ap)
        return unknown_verb(argv[at]);
    char **args = must_calloc(2 * (size_t)argc + 3, sizeof *args);
    int n = arrange(argc, argv, at, config, ap, args);
    int rc = ap->fn(n, args);
    free(args);
    return rc == EX_OK ? written() : rc;
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 && argv[0] ? argv[0] : "postern";
    const char *slash = strrchr(name, '/');
    name = slash ? slash + 1 : name;
    if (!proc_standard_descriptors())
        return EX_OSERR;
    if (argc > 1 && strcmp(argv[1], "--role") == 0)
        return child_main(argc - 2, argv + 2);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (strcmp(name, links[i].name) == 0)
            return links[i].fn(argc, argv);
    return run_verb(argc, argv);
}
