/* server: the receiving side of SMTP (RFC 5321), sans-I/O: bytes and time in, bytes and events
 * out. It opens nothing, asks no clock and no DNS, and its memory is bounded by its limits.
 *
 *   s = smtp_server_new(...)                  the connection is up (implicit TLS: handshake done)
 *   smtp_server_input(s, bytes, now)          says how many bytes it consumed; keep the others
 *   smtp_server_output(s) -> bytes            to be written; then smtp_server_sent(s, n)
 *   smtp_server_timer(s), smtp_server_tick    its next deadline, and what to call then
 *   smtp_server_closing(s)                    write what is left, close, smtp_server_free
 *
 * What the owner must do
 * - After anything that may unblock the session (answer, committed, refused, resume, tls_done,
 *   sent) call smtp_server_input again with the bytes kept, even if there are none: a command
 *   may wait inside. Go on until a round neither consumes nor writes anything. Do not read from
 *   the client while smtp_server_blocked(s): that is the back-pressure. Memory behind `bytes` is
 *   not needed after the call.
 * - `ops` are called from inside these functions. Inside them smtp_server_answer, _committed,
 *   _refused, _resume and _blocked may be called (an answer at once), nothing else.
 *
 * A transaction is one struct, made at MAIL and destroyed on every exit; ops->end is called
 * exactly once for each. The only way to a 250 for a message leads through ops->commit and
 * smtp_server_committed, which takes a receipt (receipt/receipt.h).
 *
 * Questions. At each hook whose bit is in config->ask the owner is asked and may answer now or
 * later, one question at a time. Hooks not asked take their default at once, without an event.
 * No answer within answer_ms is the verdict 451 (for CONNECT: the session is greeted, and 451 is
 * said to each MAIL). MAIL and the RCPTs that arrive with it in one flight make one question.
 *
 * Pipelining (RFC 2920 3.1). Commands may follow MAIL, RCPT, RSET, BDAT and the end of data in
 * one group ("the actual transfer of message content is explicitly allowed to be the first
 * command in a group"), and are not taken amiss behind NOOP, VRFY, EXPN, HELP. Input that came
 * with HELO, EHLO, STARTTLS or AUTH but behind it is refused with 554, and so is every command
 * after it; input behind DATA is refused with 554 and the session closed, since whether it is
 * content or commands depends on a reply its sender has not seen. A session that was not
 * offered PIPELINING (HELO) may not send anything behind the end of data: that message is
 * refused. Input before the greeting gets 554 as greeting. */
#ifndef POSTERN_SMTP_SERVER_H
#define POSTERN_SMTP_SERVER_H

#include "envelope/envelope.h"
#include "mail/headerwalk.h"
#include "receipt/receipt.h"
#include "smtp/data.h"
#include "smtp/reply.h"

struct smtp_server;

struct smtp_server_time {
    int64_t mono_ms; /* never goes back: deadlines */
    int64_t wall_ms; /* since the epoch: dates and queue ids */
};

enum smtp_server_hook {
    SMTP_HOOK_CONNECT,
    SMTP_HOOK_HELO,    /* text: the name given */
    SMTP_HOOK_MAIL,    /* items: MAIL and/or the RCPTs of one flight */
    SMTP_HOOK_HEADER,  /* the header has passed; `header` holds its facts */
    SMTP_HOOK_CHUNK,   /* after each piece of content (the bytes went through ops->content) */
    SMTP_HOOK_END,     /* before the commit */
    SMTP_HOOK_AUTH,    /* text: "MECHANISM [initial]", then each response line (RFC 4954) */
    SMTP_HOOKS
};
#define SMTP_ASK(hook) (1u << (hook))

/* Shared by many sessions and constant while they live; the owner counts references. */
struct smtp_server_config {
    struct span hostname;
    struct span greeting; /* behind the host name in the 220: "ESMTP Postern" */
    struct span instance; /* this spool's id, for loop detection: headerwalk_instance_ok */
    struct span listener; /* name of the listen section */
    struct span auth;     /* mechanisms offered, "" = none; needs SMTP_HOOK_AUTH in `ask` */
    bool starttls, starttls_required;
    bool pipelining, chunking, smtputf8, eightbitmime, dsn;
    bool need_helo;       /* MAIL without HELO gets 503; off, as with sendmail */
    enum data_policy bare_newline; /* in content; see also client.normalise */
    struct span postmaster; /* takes the place of the recipient "postmaster" without a domain
                               (RFC 5321 4.5.1); "" = it stays as it is */
    uint32_t envelope_flags; /* put into every envelope: ENVELOPE_HOLD ... */
    unsigned ask;            /* SMTP_ASK bits */

    uint64_t message_bytes;  /* content of one message; 0 = no limit */
    size_t envelope_bytes;   /* all addresses of one transaction */
    uint64_t line_bytes;     /* one line of content with its CRLF; 0 = no limit */
    size_t command_bytes;    /* one command line */
    unsigned recipients;
    unsigned bad_commands;   /* the one after these closes the session */
    unsigned received_max;   /* Received fields (RFC 5321 6.3 advises 100, sendmail has 25) */
    unsigned ours_max;       /* of them, with our instance id */
    int64_t command_ms;      /* waiting for the client: the next command, or more of the content */
    int64_t transaction_ms;  /* one message, MAIL to the end of data */
    int64_t answer_ms;       /* waiting for the answer to a question */
    int64_t connect_ms;      /* so much longer at CONNECT: a pause before the greeting, a name */
    int64_t commit_ms;       /* waiting for committed or refused */
    int zone_min;            /* of dates, minutes east of UTC */
};

/* Everything on that needs no wiring, with the limits of the design. hostname, instance and
 * listener stay to be set. */
void smtp_server_config_init(struct smtp_server_config *c);

struct smtp_server_tls {
    struct span version, cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
    unsigned bits;
};

/* Copied by smtp_server_new. */
struct smtp_server_client {
    struct span ip;    /* text, no brackets */
    struct span name;  /* verified reverse name, or "" */
    struct span user;  /* a user of this machine, over a local socket: then `ip` is empty, his
                          name is the identity, the protocol "local", and XDELIVERY is offered */
    bool normalise;    /* bare CR and LF of this client become CRLF, whatever the config says */
    const struct smtp_server_tls *tls; /* implicit TLS, or NULL */
};

/* One element of a MAIL question. */
struct smtp_server_item {
    bool is_rcpt;         /* else MAIL, and then always the first */
    struct span address;  /* as the envelope will have it; "" = the null sender */
    struct span typed;    /* as the client typed it */
    uint64_t size_bytes;  /* MAIL: SIZE= or 0 */
    uint8_t notify;       /* RCPT */
    struct span orcpt;    /* RCPT */
};

/* Everything in it is good for the call only. */
struct smtp_server_question {
    uint64_t id; /* never 0, never used twice in a session */
    enum smtp_server_hook hook;
    struct span client_ip, client_name, helo, auth;
    bool tls;
    const struct envelope *envelope; /* so far: sender known from MAIL on, rcpts those accepted;
                                        NULL outside a transaction */
    const struct smtp_server_item *items;
    size_t item_count;
    struct span text;
    const struct headerwalk *header; /* HEADER, CHUNK, END */
    uint64_t content_bytes;          /* so far */
};

struct smtp_server_verdict {
    const struct reply *replies; /* MAIL: one per item, in order; otherwise one */
    size_t count;                /* what is missing counts as 451 */
    struct span identity;        /* AUTH with 235: who it is */
    struct span name;            /* CONNECT: the client's verified reverse name, if there is one */
};

struct smtp_server_commit {
    uint64_t txn;
    const struct envelope *envelope;
    struct span head;            /* header block to put in front: Received */
    uint64_t content_bytes;      /* all that went through ops->content for this transaction */
    const struct headerwalk *header;
};

enum smtp_server_end {
    SMTP_END_ABORTED,   /* before the commit was asked for: drop the content */
    SMTP_END_COMMITTED, /* 250 was said */
    SMTP_END_REFUSED,   /* the commit was refused */
    SMTP_END_UNKNOWN,   /* given up while the commit was under way: it may still succeed */
};

enum smtp_server_event_kind {
    SMTP_EVENT_REJECTED,     /* a 4xx or 5xx to MAIL, RCPT or a message; `address`, `reply` */
    SMTP_EVENT_BAD_COMMANDS, /* too many: closed */
    SMTP_EVENT_LINE_TOO_LONG,
    SMTP_EVENT_NOT_SMTP,     /* GET, POST ...: closed */
    SMTP_EVENT_EARLY_TALK,   /* input before it may: refused */
    SMTP_EVENT_BARE_NEWLINE, /* in content: refused or normalised */
    SMTP_EVENT_LOOP,
    SMTP_EVENT_TIMEOUT,      /* waiting for the client: closed */
    SMTP_EVENT_NO_ANSWER,    /* a question or commit ran into its deadline */
    SMTP_EVENT_LOST,         /* the client went away without QUIT */
    SMTP_EVENTS
};

struct smtp_server_event {
    enum smtp_server_event_kind kind;
    const char *stage;               /* the last command, lower case; "startup" */
    const struct envelope *envelope; /* of the transaction, or NULL */
    struct span address;             /* as typed, or "" */
    struct span reply;               /* without CRLF, or "" */
};
const char *smtp_server_event_name(enum smtp_server_event_kind kind);
const char *smtp_server_hook_name(enum smtp_server_hook hook);

struct smtp_server_ops {
    /* Answer with smtp_server_answer, now or later. */
    void (*ask)(void *ctx, const struct smtp_server_question *q);
    /* At MAIL: the counter of the queue id, and the owner's number for the transaction. False:
     * none now; the client is told to come again. */
    bool (*lease)(void *ctx, uint64_t *seq_r, uint64_t *txn_r);
    /* The next bytes of content, dots undone. They are taken in any case; false = no credit for
     * more: nothing is consumed until smtp_server_resume. */
    bool (*content)(void *ctx, uint64_t txn, struct span bytes);
    /* Ends in exactly one of smtp_server_committed, _refused and _discarded. */
    void (*commit)(void *ctx, const struct smtp_server_commit *c);
    void (*end)(void *ctx, uint64_t txn, enum smtp_server_end how);
    /* The 220 is in the output: after it is sent, shake hands, then smtp_server_tls_done, or
     * free the session if that fails. */
    void (*starttls)(void *ctx);
    void (*event)(void *ctx, const struct smtp_server_event *e);
};

/* config and ops must outlive the session. The greeting, or the CONNECT question, comes with the
 * first smtp_server_input, which is best made at once, with no bytes. */
struct smtp_server *smtp_server_new(const struct smtp_server_config *config,
                                    const struct smtp_server_client *client,
                                    const struct smtp_server_ops *ops, void *ctx,
                                    struct smtp_server_time now);
/* Ends an open transaction (ops->end); accepts NULL in *s. Not from inside ops. */
void smtp_server_free(struct smtp_server **s);

size_t smtp_server_input(struct smtp_server *s, struct span in, struct smtp_server_time now);
/* No input will be consumed now: an answer, commit, credit, handshake or the output is awaited. */
bool smtp_server_blocked(const struct smtp_server *s);

struct span smtp_server_output(const struct smtp_server *s);
void smtp_server_sent(struct smtp_server *s, size_t n); /* n bytes of it were written */

/* Monotonic time at which smtp_server_tick is due; -1 = never. Ask again after each call. */
int64_t smtp_server_timer(const struct smtp_server *s);
void smtp_server_tick(struct smtp_server *s, struct smtp_server_time now);

/* True once the session is over: input is discarded, output is to be written and the
 * connection closed. */
bool smtp_server_closing(const struct smtp_server *s);
/* The client closed or reset the connection. */
void smtp_server_lost(struct smtp_server *s);
/* We shut down: 421 unless a commit is under way, in which case it is said right after. */
void smtp_server_shutdown(struct smtp_server *s);

/* Each returns false, and does nothing, when it is not awaited (late, double, unknown). */
bool smtp_server_answer(struct smtp_server *s, uint64_t question_id,
                        const struct smtp_server_verdict *v, struct smtp_server_time now);
bool smtp_server_committed(struct smtp_server *s, const struct receipt *r,
                           struct smtp_server_time now);
/* As committed, for a message that policy has thrown away: its 250 promises nothing. */
bool smtp_server_discarded(struct smtp_server *s, uint64_t txn, struct smtp_server_time now);
bool smtp_server_refused(struct smtp_server *s, uint64_t txn, const struct reply *why,
                         struct smtp_server_time now);
bool smtp_server_resume(struct smtp_server *s, struct smtp_server_time now);
bool smtp_server_tls_done(struct smtp_server *s, const struct smtp_server_tls *tls,
                          struct smtp_server_time now);

/* The open transaction's envelope, or NULL when there is none; for the owner's log. */
const struct envelope *smtp_server_envelope(const struct smtp_server *s);

#endif
