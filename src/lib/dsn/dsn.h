/* dsn: who is to be told what (RFC 3461), and the report itself (RFC 3462, 3464, 6533). Pure:
 * bytes and times in, bytes out.
 *
 * A report says in plain words what happened, to whom, why, and what the sender can do; then the
 * facts with the peer's words as they were; then the same for programs (message/delivery-status);
 * then the header of the message, or all of it. Never a report about a report to its "sender":
 * trouble with those goes to the postmaster, and trouble with that is held, with an alarm. */
#ifndef POSTERN_DSN_DSN_H
#define POSTERN_DSN_DSN_H

#include "envelope/envelope.h"

/* --- what is due --- */

enum dsn_outcome {
    DSN_OUT_FAILED,    /* refused for good, or expired */
    DSN_OUT_DELAYED,   /* still tried, for longer than warn_after */
    DSN_OUT_DELIVERED, /* into a mailbox (or LMTP said so) */
    DSN_OUT_RELAYED,   /* taken by a host that does not know DSN */
    DSN_OUT_PASSED_ON, /* taken by a host that got the DSN parameters: telling is its task */
};

enum dsn_due {
    DSN_NONE,
    DSN_TO_SENDER,     /* a report to the envelope's sender */
    DSN_TO_POSTMASTER, /* the double bounce: there is no sender to tell */
    DSN_ALARM,         /* not even that can be told: hold the message and raise an alarm */
};

/* For one recipient. `postmaster` is the configured address to which double bounces go. */
enum dsn_due dsn_due(const struct envelope *e, const struct envelope_rcpt *rcpt,
                     enum dsn_outcome outcome, struct span postmaster);

/* --- the report --- */

enum {
    DSN_RCPTS_MAX = 200,      /* in one report; more: several reports */
    DSN_HEADER_MAX = 65536,   /* bytes of the original header that are returned */
    DSN_REPLY_MAX = 4096,     /* bytes of a peer's reply that are shown */
    DSN_OUT_MAX = 8 << 20,    /* a report without the message is never longer */
};

enum dsn_kind { DSN_FAILURE, DSN_DELAY, DSN_SUCCESS };

struct dsn_rcpt {
    const struct envelope_rcpt *rcpt;
    struct span status;   /* "5.1.1"; anything malformed is replaced by X.0.0 */
    struct span last_status; /* when it expired: of its last attempt; empty: not known */
    struct span reply;    /* the peer's words, lines ended by CRLF or LF; or our own text */
    bool local;           /* `reply` is our own text, no peer's */
    struct span host, ip; /* who said so, as named and as addressed; empty: nobody was reached */
    struct span stage;    /* where that was, as smtp_stage_name has it; empty: not said */
    struct span tls;      /* version and cipher of the connection; empty: none, or not known */
    bool expired;         /* given up for age */
    bool untried;         /* still waiting, or expired, and its turn never came */
    bool returned;        /* by an administrator of ours */
    bool ended;           /* expired because an administrator of ours wanted it */
    bool duplicate;       /* the peer went silent after it had everything */
    bool mailbox;         /* DSN_SUCCESS: delivered to a mailbox, else relayed */
    bool expanded;        /* DSN_SUCCESS: it stands for others, and the mail goes on to these; with
                             `mailbox` it is a list, and that is all (RFC 3461 5.2.7) */
    uint32_t attempts;
    int64_t waited_ms;            /* of one that expired; 0: as long as the clock says */
    int64_t limit_ms;             /* of one that expired: the age at which it does; 0: not said */
    int64_t last_attempt_ms;      /* 0: never, or not known */
    int64_t will_retry_until_ms;  /* DSN_DELAY; 0: not said */
};

struct dsn_report {
    enum dsn_kind kind;
    bool double_bounce;         /* to the postmaster */
    const struct envelope *env; /* of the message that is reported about */
    struct span to;             /* the report's own recipient */
    struct queueid id;          /* the report's own queue id */
    struct span hostname, postmaster;
    const struct dsn_rcpt *rcpts;
    size_t rcpt_count;   /* 1 .. DSN_RCPTS_MAX */
    struct span header;  /* the original header, raw, with or without the empty line */
    struct span content; /* the whole message, to be returned in full; empty: its header only */
    uint64_t too_long_bytes; /* not 0: all was asked for, and it has more than so many */
    int64_t now_ms;
    int zone_min;        /* minutes east of UTC, for dates */
    uint64_t random;     /* for the boundary */
};

/* All of the message is to be returned: it is a failure (RFC 3461 6.2: only these return the
 * content), and RET=FULL was asked for, or `by_default` where nothing was. */
bool dsn_wants_full(const struct envelope *e, enum dsn_kind kind, bool by_default);

/* Appends the message, header and body, CRLF line ends, no line longer than 998 octets. It has
 * seven bits, so that it passes everywhere, unless `to` has more (who takes that takes all), or a
 * returned content that may not be encoded (RFC 2046 5.2.1).
 * *flags_r: what its envelope needs: ENVELOPE_DSN, 8BITMIME when it holds octets above 127,
 * SMTPUTF8 when `to` does. Content with bare CR or LF, NUL or lines too long is returned as its
 * header only. False: `out` is too small, or the count is out of range; out is as it was. */
bool dsn_compose(const struct dsn_report *r, struct buf *out, uint32_t *flags_r);

/* xtext (RFC 3461 4): appends the decoded bytes, at most max_bytes; a "+" that is not followed
 * by two hex digits stays as it is. */
bool dsn_xtext_decode(struct buf *out, struct span xtext, size_t max_bytes);

/* What a status means, in words for a person who sent mail: a sentence and a piece of advice.
 * Never NULL. `status` need not be well-formed. */
struct dsn_words {
    const char *what, *advice;
};
struct dsn_words dsn_explain(struct span status, bool delayed);

#endif
