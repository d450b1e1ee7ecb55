/* live: what a run of the gateway's queue tells while it goes on (qmgr/live.h), for `sendmail -q
 * -v` and `postern retry`: a voice makes text of the rows, this keeps the texts of deliveries that
 * run side by side apart. What belongs to the first one that has not ended is shown as it comes;
 * the others when they have ended: behind it, or before it goes on when it is slow. */
#ifndef POSTERN_CLI_LIVE_H
#define POSTERN_CLI_LIVE_H

#include "cli/ctl.h"

#include <jansson.h>

/* Each puts text for one row; any may be NULL. `over`: the delivery has ended (job may be
 * NULL), and the connection speaks for itself. */
struct live_voice {
    void (*total)(void *ctx, const json_t *row, struct buf *out);
    void (*run)(void *ctx, const json_t *row, struct buf *out);
    void (*locked)(void *ctx, const json_t *row, struct buf *out);
    void (*talk)(void *ctx, const json_t *row, const json_t *job, bool over, struct buf *out);
    void (*result)(void *ctx, const json_t *row, struct buf *out);
    void (*summary)(void *ctx, const json_t *row, struct buf *out);
    void (*alive)(void *ctx, struct buf *out);
    /* More of a message (its row of `run`) follows, with others' lines between; NULL: everything is
     * shown in the order in which the messages were begun. */
    void (*again)(void *ctx, const json_t *row, struct buf *out);
    void (*notice)(void *ctx, const json_t *row, struct buf *out); /* frozen names, slow sites */
};

/* Asks "live" with these arguments and shows the answer. EX_OK, or a status of sysexits.h: what
 * went wrong is in c->text. */
int cli_live(struct ctl *c, const char *const *args, size_t n, const struct live_voice *voice,
               void *ctx);

#endif
