/* ask: questions about routes and the DNS. They go to the gateway that runs (its tables, its
 * cache), or, when none answers on the configuration's admin socket, are answered here from the
 * configuration's files and by questions to its name servers. Blocks. */
#ifndef POSTERN_CLI_ASK_H
#define POSTERN_CLI_ASK_H

#include "cli/ctl.h"

#include <jansson.h>

struct ask;

/* EX_OK, or a status of sysexits.h with everything said (no configuration, bad tables). a lives
 * as long as the ask. */
int ask_open(struct ask **k_r, const struct cli_args *a);
void ask_close(struct ask **k);

bool ask_running(const struct ask *k);
/* For what only a running gateway can answer: says why none does, or not to this user. A status
 * of sysexits.h. */
int ask_nobody(const struct ask *k);
const char *ask_whom(const struct ask *k); /* "the running gateway (SOCKET)", "the files of ..." */
/* The configuration that the answers are made with. */
const struct config *ask_config(const struct ask *k);

enum { ASK_ARGS_MAX = 8, ASK_ARG_MAX = 1100 };
struct ask_args {
    char text[ASK_ARGS_MAX][ASK_ARG_MAX];
    size_t n;
};
/* Adds "name=value", or the name alone for a NULL value's p. */
void ask_arg(struct ask_args *args, const char *name, struct span value);
void ask_flag(struct ask_args *args, const char *name);

/* One question (explain/args.h, explain/route.h, explain/dns.h): the row, the caller's
 * (json_decref); NULL: ask_exit and ask_text say why. */
json_t *ask_row(struct ask *k, const char *verb, const struct ask_args *args);
/* For the questions that follow: together they are waited for within_ms, each for half a second at
 * least; after slow_ms slow is called, once. p lives as long as it is asked; NULL: for as long as
 * it takes. */
struct ask_patience {
    int64_t begun_ms; /* of ctl_now_ms */
    int slow_ms, within_ms;
    void (*slow)(void *ctx); /* NULL: nobody is to know */
    void *ctx;
};
void ask_patience(struct ask *k, struct ask_patience *p);

int ask_exit(const struct ask *k);
/* It was not waited for any longer than that: no failure, as far as is known. */
bool ask_late(const struct ask *k);
const char *ask_text(const struct ask *k);

#endif
