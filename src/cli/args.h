/* args: what several verbs have in common: -C FILE, --socket PATH, --json, --help, reading the
 * configuration, and how usage errors are said. */
#ifndef POSTERN_CLI_ARGS_H
#define POSTERN_CLI_ARGS_H

#include "config/config.h"

#ifndef POSTERN_SYSCONFDIR
#define POSTERN_SYSCONFDIR "/etc/postern"
#endif
#define CLI_CONFIG_FILE POSTERN_SYSCONFDIR "/postern.conf"

struct cli_args {
    const char *verb; /* "queue", for messages */
    const char *usage;
    const char *config; /* CLI_CONFIG_FILE when none is given */
    const char *socket; /* NULL: the configuration's */
    bool json, help;
};

/* Whether argv[*i] is one of the common options, and one that the verb's usage has; its value is
 * taken too (*i moves on to it). A missing value is said, and *rc_r set to EX_USAGE. */
bool cli_common(struct cli_args *a, int argc, char **argv, int *i, int *rc_r);
/* "postern VERB: what: arg" on standard error, and behind it the option that is close to it where
 * what begins with "unknown", or else the usage (or where it stands); returns EX_USAGE. */
int cli_usage_error(const struct cli_args *a, const char *what, const char *arg);
/* "what" may be a typing error for one of names: says so. Returns EX_USAGE. */
int cli_unknown(const struct cli_args *a, const char *what, const char *const *names, size_t n);
/* "postern VERB: ..." on standard error, made harmless (cli/term.h); returns rc. */
int cli_fail(const struct cli_args *a, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Reads and checks a->config. EX_OK and *cfg_r (the caller's, config_free), or a status of
 * sysexits.h; then everything is said already. */
int cli_load(const struct cli_args *a, struct config **cfg_r);

/* Writes b to standard output and empties it. False when that fails (a full disk). */
bool cli_print(struct buf *b);

#endif
