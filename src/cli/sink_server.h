/* sink_server: the server behind `postern sink`, for sink*.c only. It believes everything and
 * keeps the bytes as they came; nothing here is fit for a gateway. */
#ifndef POSTERN_CLI_SINK_SERVER_H
#define POSTERN_CLI_SINK_SERVER_H

#include "base/buf.h"
#include "loop/loop.h"

enum sink_stage {
    SINK_CONNECT, SINK_GREETING, SINK_HELO, SINK_MAIL, SINK_RCPT, SINK_DATA, SINK_BODY, SINK_DOT,
    SINK_QUIT, SINK_STAGES
};

enum sink_fault { SINK_FINE, SINK_STALL, SINK_DROP, SINK_REFUSE };

struct sink_options {
    struct netaddr listen;
    const char *dir; /* NULL: content is counted and forgotten */
    uint64_t count;  /* end after so many messages; 0 = never */
    bool quiet, json, lmtp;
    struct {
        enum sink_fault fault;
        int code;
    } at[SINK_STAGES];
};

struct sink_message {
    uint64_t number;
    struct span sender, rcpts; /* "a@b"; "<c@d>,<e@f>", as typed */
    unsigned rcpt_count;
    uint64_t bytes;
    const char *file; /* its .eml, or NULL */
    bool bdat;
};

struct sink {
    const struct sink_options *opt;
    struct loop *loop;
    struct loop_io listener;
    int fd;
    struct list conns;
    uint64_t connections, messages, recipients, bytes, files;
    int64_t started_ms; /* wall time, in the names of files */
    void (*message)(struct sink *s, const struct sink_message *m);
    void (*trouble)(struct sink *s, const char *what);
    char input[64 << 10]; /* one read, of whichever connection */
};

/* Listens; false: `e` says why. */
bool sink_open(struct sink *s, struct err *e);
void sink_close(struct sink *s);

#endif
