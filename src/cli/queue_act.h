/* queue_act: what a filter means is shown and counted before it is changed. */
#ifndef POSTERN_CLI_QUEUE_ACT_H
#define POSTERN_CLI_QUEUE_ACT_H

#include "cli/args.h"
#include "cli/queue_words.h"

/* Shows what `words` mean and asks on the terminal whether to go on (verb: "hold"); what comes
 * while it asks is left out, by one word more. `yes`: only counts. EX_OK: go on; *nothing_r: there
 * is nothing to do, and that is said. Else a status of sysexits.h. */
int queue_act_confirm(const struct cli_args *a, struct queue_words *words, const char *verb,
                      bool yes, bool *nothing_r);
/* Shows and counts what `words` mean; nothing is changed. A status of sysexits.h. */
int queue_act_dry_run(const struct cli_args *a, const struct queue_words *words, const char *verb);
/* Does it: "act" with action=verb and the words; progress on a terminal. `some`: EX_NOINPUT when
 * nothing was changed. */
int queue_act_run(const struct cli_args *a, const struct queue_words *words, bool some);

/* A line: what is frozen, by whom and since when, and how to thaw it. */
void queue_act_put_frozen(struct buf *out, struct span name, struct span who, int64_t since_ms);
/* Whether some of what the words mean is held: then it is said, with the way to let it go. */
bool queue_act_held(const struct cli_args *a, const struct queue_words *words);
/* Says of how many recipients it is not known whether words about sites mean them; or nothing. */
void queue_act_unsited(const struct cli_args *a, const struct queue_words *words);

#endif
