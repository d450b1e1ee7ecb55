/* The inside of the SMTP server session, shared by the server_*.c files only. */
#ifndef POSTERN_SMTP_SERVER_INT_H
#define POSTERN_SMTP_SERVER_INT_H

#include "smtp/command.h"
#include "smtp/server.h"

#include "base/must.h"

enum {
    FLIGHT_MAX = 64,                /* RCPTs in one question */
    FLIGHT_BYTES_MAX = 256 * 1024,
    OUT_HIGH_BYTES = 8 * 1024,      /* beyond this no command is read: the client must read */
    /* One flight's replies at their longest, above OUT_HIGH_BYTES: never reached. */
    OUT_MAX_BYTES = OUT_HIGH_BYTES + (FLIGHT_MAX + 4) * REPLY_LINES_MAX * REPLY_LINE_MAX,
};

enum server_state {
    STATE_NEW,
    STATE_GREETING, /* before the 220 */
    STATE_COMMAND,
    STATE_AUTH,     /* a response line is awaited */
    STATE_DATA,
    STATE_BDAT,     /* `octets` of the chunk are still to come */
    STATE_SWALLOW,  /* as BDAT, of a chunk that is refused with `swallowed` */
    STATE_COMMIT,   /* ops->commit was called */
    STATE_TLS,      /* the handshake */
    STATE_CLOSED,
};

enum content_by { BY_NONE, BY_DATA, BY_BDAT };

struct flight_rcpt {
    struct envelope_rcpt rcpt;
    struct span typed;
};

/* One transaction. Created in server_txn_begin, destroyed in server_txn_end, nowhere else. */
struct txn {
    struct arena *arena;  /* the envelope */
    uint64_t id;
    struct envelope env;
    size_t rcpt_room, rcpt_bytes, rcpt_bytes_max; /* env.rcpts is our own; bytes: as qmgr gets
                                                    them */
    int64_t deadline_ms;

    /* The flight: what has been read of MAIL and RCPT and not yet been answered. */
    struct arena *flight_arena;
    bool mail_open;       /* MAIL itself is in it */
    struct span mail_typed;
    uint64_t declared_bytes; /* SIZE= */
    struct flight_rcpt *flight;
    size_t flight_count, flight_room;

    /* Content. The flags say which step is due next; see content_advance. */
    enum content_by by;
    struct data_scan scan;
    struct headerwalk header;
    uint64_t bytes, line_bytes; /* line: of the one that is being read */
    bool ended, header_asked, chunk_due, end_asked;
    bool pipelined_end;   /* input stood behind the end of data */
    struct reply refused; /* code 0 = not; decided before the end, said at the end */
};

struct question {
    uint64_t id; /* 0 = none open */
    enum smtp_server_hook hook;
    int64_t deadline_ms;
};

struct smtp_server {
    const struct smtp_server_config *config;
    const struct smtp_server_ops *ops;
    void *ctx;
    struct smtp_server_time now;

    /* C strings of our own; NULL = none */
    char *ip, *name, *helo, *auth, *tls_version, *tls_cipher;
    unsigned tls_bits;
    bool normalise;
    bool local;       /* a user of this machine: `auth` is his name */

    enum server_state state;
    const char *stage;
    bool esmtp;       /* EHLO was taken */
    bool helo_is_ehlo; /* the one whose question is open */
    bool rejecting;   /* every command gets 550 */
    bool putting_off; /* every MAIL gets 451: nobody answered CONNECT */
    bool early;       /* input came before the greeting */
    bool held;        /* `part` is a whole line that waits for its turn */
    bool stalled;     /* no credit */
    bool shutdown;    /* 421 as soon as no commit is under way */
    unsigned bad;
    uint64_t octets;
    bool octets_last; /* of BDAT LAST */
    const char *swallowed; /* reply to a refused chunk, "CODE ENHANCED TEXT" */
    int64_t progress_ms, commit_deadline_ms;
    uint64_t last_question;
    struct question question;
    struct buf part, out;
    struct txn *txn;
};

/* server.c */
bool server_waiting(const struct smtp_server *s); /* for us, not for the client */
void server_close(struct smtp_server *s);         /* what is in the output is the last */

/* server_say.c: replies and events */
void server_say(struct smtp_server *s, unsigned code, const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* As said, with the address put before it if asked for. `code` must be set. */
void server_put_reply(struct smtp_server *s, const struct reply *r, struct span typed);
/* The same, and 421 closes. */
void server_say_reply(struct smtp_server *s, const struct reply *r, struct span typed);
/* "421 ENHANCED HOST TEXT [IP]" and the end of the session. */
void server_say_bye(struct smtp_server *s, const char *enhanced, const char *text, bool client);
void server_event(struct smtp_server *s, enum smtp_server_event_kind kind, struct span address,
                  struct span reply);
/* Counts a bad command, after its reply; too many close the session. */
void server_bad(struct smtp_server *s);

/* server_txn.c */
bool server_txn_begin(struct smtp_server *s, const struct command_mail *m);
void server_txn_end(struct smtp_server *s, enum smtp_server_end how);
bool server_txn_add(struct txn *t, const struct envelope_rcpt *rcpt); /* false: no room */
/* Copies the reply into the transaction, to be said at the end of its content. */
void server_txn_refuse(struct smtp_server *s, const struct reply *r);
void server_set(char **text, struct span value); /* replaces an owned string; empty = NULL */

/* server_ask.c: the caller returns right after asking: the answer may have come and changed all */
void server_ask(struct smtp_server *s, struct smtp_server_question *q);
void server_ask_expire(struct smtp_server *s);
/* The i-th reply of a verdict: positive (code 0) when the hook was not asked (v NULL). */
struct reply server_verdict(const struct smtp_server_verdict *v, size_t i);

/* server_command.c */
void server_greet(struct smtp_server *s, const struct smtp_server_verdict *v);
void server_helo_verdict(struct smtp_server *s, const struct smtp_server_verdict *v);
void server_auth_verdict(struct smtp_server *s, const struct smtp_server_verdict *v);
void server_line(struct smtp_server *s, struct span line, bool behind);

/* server_mail.c */
void server_mail(struct smtp_server *s, struct span arg, struct span line);
void server_rcpt(struct smtp_server *s, struct span arg, struct span line);
bool server_flight_pending(const struct smtp_server *s);
void server_flight_ask(struct smtp_server *s);
void server_flight_verdict(struct smtp_server *s, const struct smtp_server_verdict *v);
/* Has the flight answered before this line runs. True: it cannot run now, it was put by. */
bool server_flight_first(struct smtp_server *s, struct span line);

/* server_content.c */
void server_data(struct smtp_server *s, struct span arg);
void server_bdat(struct smtp_server *s, struct span arg);
/* One step; false when it needs more input. */
bool server_content_step(struct smtp_server *s, struct span in, size_t *used_r);
bool server_swallow_step(struct smtp_server *s, struct span in, size_t *used_r);
void server_content_verdict(struct smtp_server *s, const struct smtp_server_verdict *v);

/* server_commit.c */
void server_finish(struct smtp_server *s); /* the content is whole */
void server_end_verdict(struct smtp_server *s, const struct smtp_server_verdict *v);

#endif
