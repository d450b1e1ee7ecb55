/* client_private: the inside of the client, for client*.c only.
 *
 * One ring holds what has been said and not been answered, in order: the next reply is always
 * for its head. A command is put into the output and into the ring together; `end` is the place
 * in the stream behind it, so that a reply to what has not been sent is seen as what it is. */
#ifndef POSTERN_SMTP_CLIENT_PRIVATE_H
#define POSTERN_SMTP_CLIENT_PRIVATE_H

#include "smtp/client.h"
#include "smtp/dotstuff.h"
#include "smtp/reply_parse.h"

enum {
    EXPECT_MAX = 128,        /* commands in flight; a power of 2 */
    FLIGHT_BYTES = 32 << 10, /* of commands waiting to be written: then no more are queued */
    CHUNKS_IN_FLIGHT = 8,
};

enum client_state {
    ST_SESSION, /* greeting .. EHLO: the ring's head says where */
    ST_TLS,     /* the owner's handshake */
    ST_IDLE,
    ST_FLIGHT,  /* RSET, MAIL, RCPT, DATA */
    ST_CONTENT, /* behind 354, or BDAT chunks going out */
    ST_FINAL,   /* all content is in the output */
    ST_LONE,    /* 354 though nobody was accepted: a lone dot was sent */
    ST_DRAIN,   /* a chunk was refused: the replies to the others are still to come */
    ST_QUIT,
    ST_CLOSED,
};

enum rcpt_state { RCPT_OPEN, RCPT_LIVE /* accepted by the peer */, RCPT_DONE };

enum client_pending { PEND_READY = 1, PEND_TLS = 2, PEND_DONE = 4, PEND_CLOSED = 8 };

struct expect {
    uint64_t end;
    uint32_t rcpt; /* SMTP_STAGE_RCPT: which */
    uint8_t stage;
};

struct smtp_client {
    const struct smtp_client_config *conf;
    const struct smtp_client_ops *ops;
    void *ctx;
    char *peer; /* fit for texts */
    enum client_state state;
    unsigned pending, depth;
    int64_t now, since_ms, attempt_ms;

    struct reply_parser parser;
    struct buf out;
    uint64_t sent; /* stream offset of the first byte in out */
    struct expect ring[EXPECT_MAX];
    unsigned head, count;
    struct buf text; /* behind the spans of the outcome being told */
    struct smtp_outcome why;

    uint32_t caps;
    uint64_t size_limit; /* SIZE announced; 0 = none */
    bool tls, served /* a MAIL was answered on this connection */, needs_rset;

    /* The transaction: cleared as one by message_begin and message_over. */
    struct client_tx {
        struct smtp_message m;
        size_t next_rcpt, open, live;
        bool active, accepted_any, mail_queued, mail_replied, mail_failed, data_queued, bdat;
        bool utf8, last /* the owner gave its last piece */, final_queued, quit_queued;
        uint64_t final_end;
        size_t credit;
        struct dotstuff stuff;
        size_t lmtp_rcpt;
    } tx;
    uint8_t *rcpts; /* enum rcpt_state of each */
    size_t rcpts_cap;
    struct buf chunk; /* content waiting for its BDAT */
};

/* client.c */
void client_enter(struct smtp_client *c, int64_t now);
void client_leave(struct smtp_client *c); /* tells what is pending, when outermost */
size_t client_cmd_begin(struct smtp_client *c);
void client_cmd_end(struct smtp_client *c, size_t start, enum smtp_stage stage, size_t rcpt);
void client_expect(struct smtp_client *c, enum smtp_stage stage, size_t rcpt);
void client_trace(struct smtp_client *c, bool ours, struct span line);
enum smtp_stage client_stage(const struct smtp_client *c);
static inline bool client_final_sent(const struct smtp_client *c)
{
    return c->tx.active && c->tx.final_queued && c->sent >= c->tx.final_end;
}
/* Ends the session: open recipients get `o` (made stale or unknown where that is the truth). */
void client_end(struct smtp_client *c, struct smtp_outcome o);
void client_put_quit(struct smtp_client *c);

/* client_outcome.c; the spans point into c->text */
struct smtp_outcome outcome_of_reply(struct smtp_client *c, enum smtp_stage stage,
                                     const struct smtp_reply *r);
struct smtp_outcome outcome_of_cause(struct smtp_client *c, enum smtp_cause cause,
                                     enum smtp_stage stage, struct span detail);
/* Our own decision about one recipient or message. */
struct smtp_outcome outcome_local(struct smtp_client *c, enum smtp_result result,
                                  enum smtp_stage stage, struct span enhanced,
                                  const char *text, ...) __attribute__((format(printf, 5, 6)));
void client_protocol_error(struct smtp_client *c, enum smtp_stage stage, const char *what);

/* client_session.c */
void session_greeting(struct smtp_client *c, const struct smtp_reply *r);
void session_ehlo(struct smtp_client *c, const struct smtp_reply *r);
void session_helo(struct smtp_client *c, const struct smtp_reply *r);
void session_starttls(struct smtp_client *c, const struct smtp_reply *r);
void session_quit(struct smtp_client *c, const struct smtp_reply *r);

/* client_caps.c */
void client_caps_read(struct smtp_client *c, struct span text);

/* client_params.c */
enum path_class { PATH_OK, PATH_UTF8, PATH_BAD };
enum path_class client_path_check(struct span addr);
void client_put_mail(struct smtp_client *c);
void client_put_rcpt(struct smtp_client *c, size_t i);

/* client_message.c */
void message_begin(struct smtp_client *c); /* in ST_IDLE, with tx.m set */
void message_flight(struct smtp_client *c);
void message_step(struct smtp_client *c); /* after each reply */
void message_over(struct smtp_client *c); /* every recipient has its outcome */
void message_rcpt_done(struct smtp_client *c, size_t i, struct smtp_outcome o);
void message_all_done(struct smtp_client *c, struct smtp_outcome o, bool live_only);
void message_on_rset(struct smtp_client *c, const struct smtp_reply *r);
void message_on_mail(struct smtp_client *c, const struct smtp_reply *r);
void message_on_rcpt(struct smtp_client *c, const struct smtp_reply *r, size_t i);
void message_on_data(struct smtp_client *c, const struct smtp_reply *r);

/* client_content.c */
void content_begin(struct smtp_client *c);
void content_pump(struct smtp_client *c);  /* BDAT: what may go out now */
bool content_grant(struct smtp_client *c); /* asks the owner for more; true when it did */
void content_on_chunk(struct smtp_client *c, const struct smtp_reply *r);
void content_on_final(struct smtp_client *c, const struct smtp_reply *r);
void content_lone_dot(struct smtp_client *c);

#endif
