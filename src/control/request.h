/* request: what is asked over the admin socket. A request is one line of JSON,
 *   {"verb":"hold","args":["9BC0A1..."]}
 * and the answer is JSON objects, one a line, the last of which is {"end":"ok"} or
 * {"end":"error","text":"...","exit":N} with an N of sysexits.h. Who ends his side of the
 * connection (SHUT_WR) before that wants what changes something to stop where it is; what was done
 * by then is the answer. Pure: no I/O in here. */
#ifndef POSTERN_CONTROL_REQUEST_H
#define POSTERN_CONTROL_REQUEST_H

#include "base/buf.h"
#include "base/err.h"

enum {
    CONTROL_LINE_MAX = 64 << 10, /* a request, its LF included */
    CONTROL_VERB_MAX = 32,
    CONTROL_ARGS_MAX = 1000,
    CONTROL_ARG_MAX = 1024,
};

struct control_request {
    char verb[CONTROL_VERB_MAX + 1];
    struct buf args; /* texts, proto/lists.h */
    size_t arg_count;
};

/* The first line of what has arrived, without LF (or CRLF). 1: *line_r; 0: need more; -1: it
 * is longer than CONTROL_LINE_MAX. */
int control_line(struct span in, struct span *line_r);

/* Reads one line. False: err says what is wrong with it. The caller calls control_request_free
 * in either case. */
bool control_request_get(struct span line, struct control_request *r, struct err *err);
void control_request_free(struct control_request *r);

/* The last line of an answer, its LF included. `exit` 0: {"end":"ok"}. */
void control_put_end(struct buf *b, int exit, struct span text);

#endif
