/* queue_show: the rows of the gateway's answers as tables. Pure but for the time, an argument. */
#ifndef POSTERN_CLI_QUEUE_SHOW_H
#define POSTERN_CLI_QUEUE_SHOW_H

#include "cli/table.h"

struct queue_show;

enum queue_what { QUEUE_LIST, QUEUE_COUNT, QUEUE_SITES, QUEUE_ACTIONS, QUEUE_GROUPS, QUEUE_SHAPE };

/* width and colour as for cli_table_new; now_ms: wall time, for "in 5m". */
struct queue_show *queue_show_new(enum queue_what what, unsigned width, bool colour,
                                  int64_t now_ms);
void queue_show_free(struct queue_show **s);
/* One row, a JSON object. What is complete by now is put into out; problems with single
 * messages into err. */
void queue_show_row(struct queue_show *s, struct span json, struct buf *out, struct buf *err);
/* Only the rest of the rows, without totals. */
void queue_show_rest(struct queue_show *s, struct buf *out);
/* Of a list or of groups: none came; messages of a list. */
bool queue_show_nothing(const struct queue_show *s);
uint64_t queue_show_messages(const struct queue_show *s);
/* How many there are besides those that came, where that is known: then the end says so. */
struct queue_totals {
    bool known;
    uint64_t all;   /* in the queue */
    uint64_t meant; /* by the filters of a list */
    bool meant_at_most;
    int64_t unsited; /* of filters by site: recipients that they cannot mean yet */
};
void queue_show_totals(struct queue_show *s, struct queue_totals totals);
/* The rest, and the totals. */
void queue_show_end(struct queue_show *s, struct buf *out);

#endif
