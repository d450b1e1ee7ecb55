/* postern why: where a message is and why, what happened, what holds it back, what would happen
 * now, and what can be done. */
#ifndef POSTERN_CLI_WHY_H
#define POSTERN_CLI_WHY_H

#include "cli/story.h"

int cli_why(int argc, char **argv);

enum { WHY_ROUTES_MAX = 8, WHY_TEXT_MAX = 1200 };

/* What router and DNS say now of recipients that had the same destination. */
struct why_route {
    json_t *rcpt; /* the first of them: borrowed from the rows */
    struct story_target target;
    bool asked;   /* else `error` says why there is no answer */
    char error[WHY_TEXT_MAX];
    bool moved;   /* the next hop is another than before */
};

struct why {
    const char *target;
    json_t *now, *message, *group;       /* rows of qmgr (qmgr/admin_why.c); one of the last two */
    json_t *rcpts, *reasons, *places, *attempts; /* arrays of rows */
    struct why_route routes[WHY_ROUTES_MAX];
    size_t route_count;
    json_t *log; /* array: what log.events says of a message that has gone */
    int64_t now_ms;
    int exit;
};

/* why_ask.c. False: said, with w->exit. why_free in either case. */
bool why_ask(struct ask *k, const struct cli_args *a, const char *target, struct why *w_r);
void why_free(struct why *w);
json_t *why_json(const struct why *w, const struct ask *k);

/* why_log.c: the events of a message that is not in the queue any more, oldest first, from the
 * end of the file at `path` (as much of it as is worth reading); NULL: it cannot be read. */
json_t *why_log(const char *path, const char *id, bool *all_r);

/* why_show.c */
void why_show(struct buf *out, const struct why *w, const struct ask *k, bool verbose);

#endif
