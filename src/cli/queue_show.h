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
/* The rest, and the totals. */
void queue_show_end(struct queue_show *s, struct buf *out);

#endif
