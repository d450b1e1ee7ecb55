/* client: the sending side of SMTP (RFC 5321) and LMTP (RFC 2033), sans-I/O: bytes and time in,
 * bytes and events out. The owner has the socket, the clock and the TLS engine:
 *
 *   c = smtp_client_new(...)                 after the connection is up (for implicit TLS: the
 *                                            handshake as well)
 *   smtp_client_input(c, bytes, now)         whatever was read (behind TLS: decrypted)
 *   smtp_client_output(c) -> bytes           what is to be written; then, in this order before
 *   smtp_client_sent(c, n, now)              any further input, how much of it was handed over
 *   smtp_client_eof / tick / abort           the other ways a session goes on
 *
 * `now` is a monotonic time in ms that never goes back. Events arrive through `ops` inside these
 * calls. Inside an event the owner may call anything here but smtp_client_free, input, eof and
 * tick; inside rcpt_done and trace, nothing.
 *
 * Outcomes. Each recipient of a message gets exactly one rcpt_done, then comes one
 * message_done. Until the final dot (or the last byte of BDAT LAST) has been handed over,
 * a lost, stalled or refused connection is safe to repeat: next_mx is set, and `result` is what
 * holds when there is no other host. From then on it is SMTP_UNKNOWN, never next_mx.
 * A connection that has served before and dies before the reply to MAIL gives SMTP_STALE:
 * the peer had merely closed an idle connection; connect anew, no attempt was spent. */
#ifndef POSTERN_SMTP_CLIENT_H
#define POSTERN_SMTP_CLIENT_H

#include "envelope/envelope.h"

struct smtp_client;

enum { SMTP_CLIENT_TEXT_MAX = 1024 }; /* outcome.reply and .text at most */

enum smtp_stage {
    SMTP_STAGE_CONNECT, /* the owner's; here so that all outcomes share one list */
    SMTP_STAGE_GREETING,
    SMTP_STAGE_EHLO,    /* LHLO too */
    SMTP_STAGE_HELO,
    SMTP_STAGE_STARTTLS, /* the command and the handshake */
    SMTP_STAGE_MAIL,
    SMTP_STAGE_RCPT,
    SMTP_STAGE_DATA,    /* the reply to DATA: 354 */
    SMTP_STAGE_BLOCK,   /* content on its way, with the final dot; BDAT chunks */
    SMTP_STAGE_FINAL,   /* the reply to the dot or to BDAT LAST */
    SMTP_STAGE_RSET,
    SMTP_STAGE_QUIT,
    SMTP_STAGE_IDLE,    /* between messages */
    SMTP_STAGES
};

enum smtp_result { SMTP_DELIVERED, SMTP_DEFERRED, SMTP_FAILED, SMTP_UNKNOWN, SMTP_STALE };

enum smtp_cause {
    SMTP_CAUSE_REPLY,    /* the peer said so */
    SMTP_CAUSE_TIMEOUT,  /* a stage's clock */
    SMTP_CAUSE_ATTEMPT,  /* the clock of the whole attempt */
    SMTP_CAUSE_LOST,     /* closed or reset by the peer, or an I/O error */
    SMTP_CAUSE_PROTOCOL, /* the peer does not speak SMTP */
    SMTP_CAUSE_LOCAL,    /* our own decision: too large for the peer, not sendable, TLS wanted */
    SMTP_CAUSE_ABORT,    /* smtp_client_abort */
};

struct smtp_outcome {
    enum smtp_result result;
    enum smtp_cause cause;
    enum smtp_stage stage;
    bool next_mx;    /* nothing was handed over: another host may be asked in this attempt */
    bool again;      /* refused for being one too many in this transaction (RFC 5321 4.5.3.1.10):
                        may go at once, in another transaction */
    bool dsn_due;    /* delivered, NOTIFY=SUCCESS was asked for and the peer does not know DSN:
                        the "relayed" report is ours to send (RFC 3461 5.2.2) */
    bool eightbit;   /* delivered to a peer without 8BITMIME although it was declared */
    int code;        /* of the reply; 0 = there was none */
    struct span enhanced; /* "5.1.1": the peer's or, without one, by code; never empty */
    struct span reply;    /* "550 5.1.1 no such user here", cleaned; empty when none */
    struct span text;     /* the same without codes known to be codes, or our own words */
};

enum smtp_extension {
    SMTP_EXT_PIPELINING = 1 << 0, /* RFC 2920 */
    SMTP_EXT_SIZE = 1 << 1,       /* RFC 1870 */
    SMTP_EXT_8BITMIME = 1 << 2,   /* RFC 6152 */
    SMTP_EXT_SMTPUTF8 = 1 << 3,   /* RFC 6531 */
    SMTP_EXT_DSN = 1 << 4,        /* RFC 3461 */
    SMTP_EXT_CHUNKING = 1 << 5,   /* RFC 3030 */
    SMTP_EXT_STARTTLS = 1 << 6,   /* RFC 3207 */
    SMTP_EXT_ENHANCED = 1 << 7,   /* RFC 2034 */
    SMTP_EXT_ESMTP = 1 << 8,      /* EHLO or LHLO was accepted */
    SMTP_EXT_XDELIVERY = 1 << 9,  /* our own submission socket's: _QUEUE_ONLY and _DEFER of the
                                     message's flags are passed on */
};

enum smtp_client_tls { SMTP_TLS_OFF, SMTP_TLS_TRY, SMTP_TLS_REQUIRE };
enum smtp_eightbit { SMTP_EIGHTBIT_SEND, SMTP_EIGHTBIT_BOUNCE };

/* One clock for each stage, by the names of `timeout {}`. */
struct smtp_client_timeouts {
    int64_t initial_ms, helo_ms, mail_ms, rcpt_ms, data_init_ms, data_block_ms, data_final_ms,
        rset_ms, quit_ms, misc_ms, starttls_ms;
};

struct smtp_client_config { /* must outlive the clients made with it */
    struct span hostname;   /* our name in EHLO */
    bool lmtp;
    enum smtp_client_tls tls;
    enum smtp_eightbit eightbit;
    uint32_t disable;       /* smtp_extension bits never used, though offered */
    size_t window_bytes;    /* content held in memory at most; 4096 .. 16M */
    size_t chunk_bytes;     /* one BDAT at most */
    struct smtp_client_timeouts timeout;
};

struct smtp_message {
    struct span sender;                 /* without <>; empty = the null sender */
    const struct envelope_rcpt *rcpts;  /* 1 .. SMTP_CLIENT_RCPTS_MAX */
    size_t rcpt_count;
    uint64_t size_bytes;                /* of the content; 0 = not known */
    uint32_t flags;                     /* ENVELOPE_8BITMIME, _SMTPUTF8, _RET_FULL, _RET_HDRS */
    struct span envid;                  /* xtext as given, or empty */
    bool quit;                          /* the last one: QUIT goes out behind the dot */
    bool probe;                         /* no content: each recipient is done with the reply to
                                           its RCPT (SMTP_DELIVERED: the peer would take it),
                                           the transaction is broken off behind the last */
    bool raw;                           /* for testing servers only: the content goes out as it
                                           is, dots and line ends unlooked at; ends in CRLF.CRLF */
};

enum { SMTP_CLIENT_RCPTS_MAX = 100000 };

/* All but rcpt_done, message_done, want_content and closed may be NULL. */
struct smtp_client_ops {
    void (*ready)(void *ctx);     /* the session is up; a message may be sent (or was: see send) */
    void (*start_tls)(void *ctx); /* do the handshake now, then smtp_client_tls_done; bytes read
                                     from here on belong to the TLS engine. Until the owner has
                                     written what is in the output, nothing has been said */
    void (*want_content)(void *ctx, size_t budget_bytes); /* so many more may be given; adds up */
    void (*rcpt_done)(void *ctx, size_t i, const struct smtp_outcome *o); /* o: during the call */
    void (*message_done)(void *ctx); /* the spans of the message are no longer looked at */
    void (*closed)(void *ctx, const struct smtp_outcome *why); /* of no more use: close the
                                     connection, free the client (later). why NULL: after QUIT */
    void (*trace)(void *ctx, bool ours, struct span line); /* the dialogue, cleaned, no CRLF */
    /* The same as it is, for those who may want it later: costs next to nothing. code: of the
     * reply, whose lines have LF between; 0: it is a command of ours */
    void (*record)(void *ctx, int code, struct span text);
};

/* Fills in RFC 5321 4.5.3.2's timeouts and the other defaults; hostname stays empty. */
void smtp_client_defaults(struct smtp_client_config *conf);

/* `peer` (copied) is how the texts name the host. Starts waiting for the greeting. */
struct smtp_client *smtp_client_new(const struct smtp_client_config *conf, struct span peer,
                                    const struct smtp_client_ops *ops, void *ctx, int64_t now);
void smtp_client_free(struct smtp_client **c); /* no events; accepts NULL in *c */

void smtp_client_input(struct smtp_client *c, struct span in, int64_t now);
/* What is to be written; valid until the next call for this client. */
struct span smtp_client_output(const struct smtp_client *c);
/* The first n bytes of the output were accepted by the kernel or the TLS engine. */
void smtp_client_sent(struct smtp_client *c, size_t n, int64_t now);

/* The peer closed, or reading or writing failed; why: "Connection reset by peer" or empty.
 * All input read before must have been given. */
void smtp_client_eof(struct smtp_client *c, struct span why, int64_t now);
/* When smtp_client_tick is due; INT64_MAX: not at all (idle or closed). */
int64_t smtp_client_deadline(const struct smtp_client *c);
void smtp_client_tick(struct smtp_client *c, int64_t now);
/* The end of the whole attempt, for the messages from now on; INT64_MAX: none. */
void smtp_client_set_attempt(struct smtp_client *c, int64_t deadline_ms);
/* Gives up at once; open recipients are deferred (or unknown) with these words. */
void smtp_client_abort(struct smtp_client *c, struct span why, int64_t now);

/* The handshake succeeded: everything learned before it is forgotten, EHLO goes out again. */
void smtp_client_tls_done(struct smtp_client *c, int64_t now);

/* Begins a message, also before `ready` (it then starts with the session). The struct is copied,
 * what its spans and rcpts point to must live until message_done. False: one is in progress
 * already, or the session has ended (no events for this message then). */
bool smtp_client_send(struct smtp_client *c, const struct smtp_message *m, int64_t now);
/* More content, at most the sum of the budgets not used yet; `last` ends it (once; an empty piece
 * may carry it). Allowed between want_content and message_done; ignored after the message has
 * failed. Lines must end in CRLF: a bare CR or LF fails the message (5.6.0). */
void smtp_client_content(struct smtp_client *c, struct span content, bool last, int64_t now);
/* The content cannot be read any more: as abort, the recipients are deferred with these words. */
void smtp_client_content_failed(struct smtp_client *c, struct span why, int64_t now);
/* QUIT; `closed` follows (the owner need not wait for it). MUST have no message in progress. */
void smtp_client_quit(struct smtp_client *c, int64_t now);

/* What it waits for, and since when; as in an outcome's stage. */
enum smtp_stage smtp_client_waits(const struct smtp_client *c, int64_t *since_ms_r);
/* Other ops from now on. */
void smtp_client_set_ops(struct smtp_client *c, const struct smtp_client_ops *ops);

bool smtp_client_idle(const struct smtp_client *c); /* a message would start at once */
/* "greeting", "EHLO", "MAIL", "DATA 354", "DATA status" ...: sendmail's words. */
const char *smtp_stage_name(enum smtp_stage stage, bool lmtp);

#endif
