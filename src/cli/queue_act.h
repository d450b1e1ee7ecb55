/* queue_act: what a filter means is shown and counted before it is changed. */
#ifndef POSTERN_CLI_QUEUE_ACT_H
#define POSTERN_CLI_QUEUE_ACT_H

#include "cli/args.h"
#include "cli/queue_words.h"

/* Shows what `words` mean and asks on the terminal whether to go on ("past": "held"). `yes`: only
 * counts. EX_OK: go on; *nothing_r: there is nothing to do, and that is said. Else a status of
 * sysexits.h. */
int queue_act_confirm(const struct cli_args *a, const struct queue_words *words, const char *verb,
                      bool yes, bool *nothing_r);
/* Does it: "act" with action=verb and the words; progress on a terminal. `some`: EX_NOINPUT when
 * nothing was changed. */
int queue_act_run(const struct cli_args *a, const struct queue_words *words, bool some);

#endif
