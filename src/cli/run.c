#include "cli/run.h"

#include "cli/args.h"
#include "master/master.h"

#include <stdio.h>
#include <sysexits.h>

static const char usage[] =
    "usage: postern run [-C FILE]\n"
    "\n"
    "Starts the gateway and stays in the foreground until it is stopped: by `postern stop`,\n"
    "SIGTERM, or Ctrl-C. SIGHUP or `postern reload` takes a changed configuration.\n"
    "\n"
    "  -C FILE  the configuration (" CLI_CONFIG_FILE ")\n"
    "\n"
    "exit status: 0 stopped, 78 mistakes in the configuration, 71 it cannot start, 64 usage\n";

int cli_run(int argc, char **argv)
{
    struct cli_args a = { .verb = "run", .usage = usage, .config = CLI_CONFIG_FILE };
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        const char *arg = argv[i];
        bool known = cli_common(&a, argc, argv, &i, &rc);
        if (!known || a.json || a.socket)
            rc = rc ? rc : cli_usage_error(&a, "unknown argument", arg);
    }
    if (rc != EX_OK)
        return rc;
    if (a.help) {
        fputs(usage, stdout);
        return EX_OK;
    }
    struct master_options o = { .config_path = a.config };
    return master_run(&o);
}
