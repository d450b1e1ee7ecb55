/* postern route: where will mail to this address go, and why? */
#ifndef POSTERN_CLI_ROUTE_H
#define POSTERN_CLI_ROUTE_H

#include "cli/story.h"

int cli_route(int argc, char **argv);

/* route_show.c: a story for people, and as one JSON object. */
void route_show(struct buf *out, const struct story *s, const struct story_question *q,
                const struct ask *k);
json_t *route_show_json(const struct story *s, const struct story_question *q,
                        const struct ask *k);

/* route_rule.c: which delivery_rule holds for a target, by number (config/rules.h); 0: none. */
uint32_t route_rule(const struct config *cfg, const struct story *s,
                    const struct story_question *q, const struct story_target *t);
/* The name of the listener when it can be told without being said; NULL: it cannot. */
const char *route_listener(const struct config *cfg, const struct story_question *q);
/* The line about it and the line about TLS. */
void route_rule_show(struct buf *out, const char *indent, const struct config *cfg, uint32_t rule,
                     const struct story_question *q);
void route_rule_json(json_t *row, const struct config *cfg, uint32_t rule);

#endif
