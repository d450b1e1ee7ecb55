/* The inside of control, for the files of this folder. */
#ifndef POSTERN_CONTROL_INSIDE_H
#define POSTERN_CONTROL_INSIDE_H

#include "base/list.h"
#include "config/config.h"
#include "control/request.h"
#include "ipc/channel.h"
#include "proto/control.h"
#include "role/role.h"

enum {
    CLIENTS_MAX = 32,
    OUT_MAX = 8 << 20,       /* bytes waiting for one client; beyond it is dropped */
    OUT_LOW = 64 << 10,      /* with fewer the next slice is asked for */
    REQUEST_MS = 10 * 1000,  /* for the request to arrive */
    ANSWER_MS = 60 * 1000,   /* without a word from who was asked */
    WRITE_MS = 10 * 60 * 1000, /* without the client taking a byte: somebody pages through it */
};

struct control;

/* One connection: one request, one answer, the end. */
struct caller {
    struct list node;
    struct control *c;
    int fd;
    struct loop_io io;
    struct loop_hook write;
    struct loop_timer deadline;
    struct buf in, out;
    char who[96];
    uint64_t q;         /* the question's number, once it is asked */
    enum role_id at;    /* who has it */
    bool asked, ended;  /* ended: the last line is in `out` */
    bool eof;
    bool owes_more;     /* a slice is over; the next is asked for when `out` is low */
};

struct control {
    struct role_env *env;
    struct config *config;
    struct channel *peers[ROLE_COUNT];
    struct list clients;
    size_t client_count;
    int listen_fd;
    struct loop_io listen_io;
    bool listening;
    uint64_t next_q;
    uid_t allowed[2]; /* beside root: who owns the socket, and the gateway's user */
    char user[64];    /* name of the first */
    struct loop_timer finish;
    bool finishing;
};

/* caller.c: connections */
void callers_accept(struct control *c);
void caller_row(struct caller *cl, struct span json);
void caller_end(struct caller *cl, int exit, struct span text);
void caller_slice_over(struct caller *cl);
void caller_alive(struct caller *cl); /* who was asked has said something */
void caller_drop(struct caller *cl, const char *why);
struct caller *caller_find(struct control *c, uint64_t q);

/* control.c: hands a request on; answers at once when it cannot */
void control_ask(struct control *c, struct caller *cl, const struct control_request *r);
void control_forget(struct control *c, const struct caller *cl); /* nobody waits any more */
void control_stop(struct control *c, const struct caller *cl); /* it is to end where it is */
void control_check_finished(struct control *c);

#endif
