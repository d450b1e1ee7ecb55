/* queue_rule: rules of rerouting, made, shown and withdrawn. */
#ifndef POSTERN_CLI_QUEUE_RULE_H
#define POSTERN_CLI_QUEUE_RULE_H

#include "cli/args.h"
#include "cli/queue_words.h"

enum queue_rule_verb { QUEUE_RULE_NONE, QUEUE_RULE_SET, QUEUE_RULE_REMOVE, QUEUE_RULE_LIST };

/* names: domains, destinations and sites, besides those that `filters` name (--domain, --site; no
 * other filter makes a rule). hop: of SET. A status of sysexits.h. */
int queue_rule(const struct cli_args *a, enum queue_rule_verb verb,
               const struct queue_words *filters, const char *const *names, size_t n,
               const char *hop);

#endif
