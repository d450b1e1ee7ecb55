/* envelope: who sends what to whom, as the spool keeps it and as every process passes it on.
 * It never holds a next hop: the route is asked anew at each attempt. */
#ifndef POSTERN_ENVELOPE_ENVELOPE_H
#define POSTERN_ENVELOPE_ENVELOPE_H

#include "base/arena.h"
#include "base/wire.h"
#include "envelope/queueid.h"

enum {
    ENVELOPE_ADDR_MAX = 1024,     /* one path, without <> (RFC 5321 4.5.3.1.3 asks for 256) */
    ENVELOPE_RCPTS_MAX = 100000,  /* the format's limit; limits.recipients is the policy */
    ENVELOPE_TEXT_MAX = 1024,     /* helo, names, envid, ORCPT */
};

/* NOTIFY of RFC 3461 4.1; 0 = not given (failure and, by our choice, delay). */
enum envelope_notify { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

enum envelope_flag {
    ENVELOPE_8BITMIME = 1 << 0, /* BODY=8BITMIME was declared (RFC 6152) */
    ENVELOPE_SMTPUTF8 = 1 << 1, /* RFC 6531 */
    ENVELOPE_RET_FULL = 1 << 2, /* RET= of RFC 3461 4.3; neither = not given */
    ENVELOPE_RET_HDRS = 1 << 3,
    ENVELOPE_DSN = 1 << 4,      /* is itself a report: a failure is a double bounce */
    ENVELOPE_TLS = 1 << 5,      /* came over TLS */
    ENVELOPE_HOLD = 1 << 6,     /* the listener's delivery = hold */
    ENVELOPE_QUEUE_ONLY = 1 << 7, /* delivery = queue_only: waits for a queue run */
    ENVELOPE_DEFER = 1 << 8,      /* delivery = defer: as queue_only, and no DNS until then */
    ENVELOPE_DOUBLE = 1 << 9,     /* a report to the postmaster: there is nobody else to be told */
};

enum envelope_rcpt_flag {
    /* Made by our own aliases or virtusertable: only such a recipient may be a |program or a
     * /file. */
    ENVELOPE_RCPT_EXPANDED = 1 << 0,
    /* Not an address to deliver to, but one that the sender named and that has become others,
     * which stand beside it: only to be told of, at once (RFC 3461 5.2.7). An alias: "expanded". */
    ENVELOPE_RCPT_ALIAS = 1 << 1,
    /* The same of a mailing list, whose members have a sender of their own: "delivered". */
    ENVELOPE_RCPT_LIST = 1 << 2,
};

struct envelope_rcpt {
    struct span addr;  /* where it goes, without <> */
    struct span orcpt; /* ORCPT as given, "type;xtext" (RFC 3461 4.2); empty = none */
    uint8_t notify;    /* enum envelope_notify bits */
    uint8_t flags;     /* enum envelope_rcpt_flag bits, below 0x80 */
    bool own_sender;   /* `sender` takes the place of the envelope's for this recipient: */
    struct span sender; /* owner-LIST; empty = the null sender */
};

/* Who gets the reports about r, and stands in MAIL (but for `shown`). */
#define ENVELOPE_SENDER(env, r) ((r)->own_sender ? (r)->sender : (env)->sender)

struct envelope {
    uint64_t seq;          /* the counter of the queue id */
    int64_t received_ms;   /* wall time at MAIL */
    uint32_t flags;        /* enum envelope_flag bits */
    struct span sender;    /* without <>; empty = the null sender */
    struct span envid;     /* ENVID as given, xtext; empty = none */
    struct span client_ip; /* text; "" for mail of our own making */
    struct span client_name; /* verified reverse name, or "" */
    struct span helo;
    struct span proto;     /* "ESMTP", "ESMTPS", "LMTP", "local" ... (RFC 3848) */
    struct span listener;  /* name of the listen section */
    struct span auth;      /* authenticated identity, or "" */
    struct span hold;      /* why it is held when it arrives; "" = it is not */
    struct span shown;     /* stands in MAIL in the place of `sender`; "" = that one itself. Routes,
                              reports and questions about mail know the sender only */
    struct span rewritten; /* what became of addresses when it arrived, a line for each, for
                              people: "From: a@host.example became a@example, because of ..." */
    struct envelope_rcpt *rcpts;
    size_t rcpt_count;
};

static inline struct queueid envelope_id(const struct envelope *e)
{
    return queueid_make(e->seq, e->received_ms);
}

/* The binary form (version byte first), used in commit records and IPC. Unknown flags are kept.
 * Put writes version 2, or 3 where it is needed; get reads version 1 as well. */
void envelope_put(struct buf *b, const struct envelope *e);

/* Reads one from w. Spans point into w's bytes; the recipient array is taken from `a`.
 * False: malformed, beyond the limits above, or `a` is full. */
bool envelope_get(struct wire *w, struct arena *a, struct envelope *e_r);

#endif
