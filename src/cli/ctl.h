/* ctl: a client of the gateway's admin socket (control/request.h has the protocol). Blocks. */
#ifndef POSTERN_CLI_CTL_H
#define POSTERN_CLI_CTL_H

#include "base/buf.h"
#include "cli/args.h"

#include <sys/types.h>

struct ctl {
    const struct cli_args *args;
    int fd; /* -1: not connected */
    pid_t master; /* who listens, as the kernel says; 0 when it does not know */
    struct buf in;
    size_t taken; /* bytes of `in` that the last line took */
    /* Readable: the gateway is asked to stop there, and say how far it came; that is waited for
     * for a moment, and no more when it is readable again. Signals are read from it, as of
     * signalfd. -1: none. The caller's. */
    int stop_fd;
    bool stopping; /* it was asked */
    bool stopped;  /* its answer is not waited for any more */
    int64_t until_ms; /* of the monotonic clock: an answer is not waited for any longer; 0: it is */
    bool late;    /* by that; ctl_next may be called again */
    int exit;     /* CTL_ERROR: a status of sysexits.h */
    struct buf text; /* and what it says */
};

#define CTL_DENIED "only root and the gateway's own user may do this"

/* Connects to args->socket, or to control.socket of the configuration. EX_OK, or a status of
 * sysexits.h with everything said. ctl_close in either case. */
int ctl_open(struct ctl *c, const struct cli_args *args);
/* The same with a path, and nothing is said: false with errno when it cannot be reached. */
bool ctl_try(struct ctl *c, const struct cli_args *args, const char *path);
void ctl_close(struct ctl *c);

/* What JSON can say. */
bool ctl_is_utf8(const char *text);
#define CTL_NOT_UTF8 "a word of the command is not UTF-8, as all that is in the queue is"

/* Sends the question. False: said in c->text, with c->exit. */
bool ctl_ask(struct ctl *c, const char *verb, const char *const *args, size_t n);

enum ctl_got { CTL_ROW, CTL_OK, CTL_ERROR };
/* The next line of the answer, valid until the next call. */
enum ctl_got ctl_next(struct ctl *c, struct span *row_r);

int64_t ctl_now_ms(void); /* of the monotonic clock */

/* The whole of a simple question: prints what an error says on standard error. `row` may be
 * NULL. Returns a status of sysexits.h. */
int ctl_run(struct ctl *c, const char *verb, const char *const *args, size_t n,
            void (*row)(void *ctx, struct span json), void *ctx);
/* The same for who has no more than that to ask: ctl_open, ctl_run, ctl_close. */
int ctl_once(const struct cli_args *a, const char *verb, const char *const *args, size_t n,
             void (*row)(void *ctx, struct span json), void *ctx);

/* A row for jansson: what our own writer makes of bytes that are not UTF-8 ("\udcHH", which is
 * reversible but no character) becomes the text "\xHH". */
void ctl_readable(struct buf *to, struct span json);

/* A row as a document, the caller's (json_decref); NULL when it is none, or longer than
 * max_bytes when readable. */
struct json_t *ctl_json(struct span row, size_t max_bytes);
/* The other way: a line of JSON with all escaped that a terminal would obey. */
void ctl_put_json(struct buf *to, const struct json_t *row);

/* Members of a row; empty, 0 and false when they are not there. */
struct span row_text(const struct json_t *row, const char *key);
int64_t row_int(const struct json_t *row, const char *key);
bool row_true(const struct json_t *row, const char *key);

#endif
