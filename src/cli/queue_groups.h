/* queue_groups: the rows of `queue oldest` and `queue shape` as tables. Pure. */
#ifndef POSTERN_CLI_QUEUE_GROUPS_H
#define POSTERN_CLI_QUEUE_GROUPS_H

#include "cli/table.h"

#include <jansson.h>

struct queue_groups;

struct queue_groups *queue_groups_new(bool shape, unsigned width, bool colour, int64_t now_ms);
void queue_groups_free(struct queue_groups **g); /* accepts NULL in *g */
void queue_groups_row(struct queue_groups *g, json_t *row); /* borrowed */
bool queue_groups_none(const struct queue_groups *g);
/* Not without any row. */
void queue_groups_end(struct queue_groups *g, struct buf *out);

#endif
