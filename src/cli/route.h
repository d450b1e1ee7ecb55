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

#endif
