/* attempt: the story of one attempt to deliver, as it is kept for those who ask why later: when,
 * where to and what decided that, what the DNS said, which hosts were asked, and the dialogue with
 * each of them, with its times and without credentials and content. Written by deliver when
 * somebody's mail was put off, carried by qmgr, kept by the spool beside the outcomes, and read
 * by `postern why`. Nothing relies on it: a story that is lost or does not read is a story less.
 *
 * Bounded: a story is never longer than it was told to be (attempts.size). What does not fit is
 * left out of the middle of the dialogue, and counted. */
#ifndef POSTERN_ATTEMPT_ATTEMPT_H
#define POSTERN_ATTEMPT_ATTEMPT_H

#include "base/json.h"
#include "base/netaddr.h"

enum {
    ATTEMPT_MIN_BYTES = 1024,  /* shorter ones say too little */
    ATTEMPT_MAX_BYTES = 64 << 10,
    ATTEMPT_TEXT_MAX = 400,    /* one text, one line of the dialogue */
    ATTEMPT_NAME_MAX = 255,
    ATTEMPT_ADDRS_MAX = 10,    /* of the plan: the first ones */
};

enum attempt_dns {
    ATTEMPT_DNS_NONE,  /* nothing was asked: addresses as such, a connection that was open, a
                          delivery on this host */
    ATTEMPT_DNS_OK,
    ATTEMPT_DNS_LATER, /* no answer that can be used */
    ATTEMPT_DNS_FAIL,  /* it says that there is no such place */
    ATTEMPT_DNS_KINDS
};

/* --- the dialogue while it runs --- */

enum attempt_kind {
    ATTEMPT_HOST, /* a connection to "name address" is made: what follows is about it */
    ATTEMPT_KEPT, /* the same, and it was open already */
    ATTEMPT_OURS, /* what we said */
    ATTEMPT_PEER, /* a reply: its code, and its lines with LF between */
    ATTEMPT_NOTE, /* what nobody said: TLS, time-outs, a lost connection */
    ATTEMPT_OPEN, /* the connection that was being made is there */
    ATTEMPT_KINDS
};

struct attempt_log {
    struct buf b;
    size_t max_bytes, head_bytes; /* head: what came first stays, up to so much */
    uint32_t left_out;
    bool secret; /* what we say next is a credential */
};

/* max_bytes 0: nothing is kept and nothing costs anything. */
void attempt_log_init(struct attempt_log *l, size_t max_bytes);
void attempt_log_free(struct attempt_log *l);
void attempt_log_reset(struct attempt_log *l); /* keeps its memory */
/* at_ms: since the attempt began. code: of a reply, else 0. The text is copied, cut ("..." says
 * so), and made free of credentials ("AUTH PLAIN (a credential)" and what answers a 334, RFC
 * 4954). */
void attempt_log_add(struct attempt_log *l, enum attempt_kind kind, uint32_t at_ms, int code,
                     struct span text);
/* What of a line of ours may be seen: of "AUTH PLAIN dXNlcg..." the mechanism, of one that answers
 * a 334 (secret) nothing, of others all. */
struct span attempt_open_part(struct span line, bool secret);
void attempt_log_append(struct attempt_log *to, const struct attempt_log *from);

/* --- the story --- */

struct attempt_addr {
    struct span host;
    struct netaddr addr;
    uint16_t pref;
};

struct attempt {
    int64_t at_ms;         /* wall time at which it began */
    uint32_t ms, dns_ms;   /* all of it; the question to the DNS */
    struct span dest;      /* the key of the route ("mx:example.net") */
    struct span matched;   /* what decided it */
    enum attempt_dns dns;
    struct span dns_text;  /* what it said, unless that was good */
    struct attempt_addr addrs[ATTEMPT_ADDRS_MAX]; /* in the order in which they were to be tried */
    size_t addr_count;
    bool addrs_cut;        /* there were more */
    struct span alias;     /* there was no MX: the name that the first one's is an alias of */
    struct span stage;     /* where it ended: "RCPT" */
    uint16_t code;         /* 0: no reply */
    struct span said;      /* the last word about it, the peer's or ours */
    struct span tls;       /* version and cipher, or empty */
    uint32_t left_out;     /* lines of the dialogue that are not kept */
    struct span log;       /* for attempt_next */
};

/* At most max_bytes (>= ATTEMPT_MIN_BYTES) are added to b. log may be NULL. */
void attempt_put(struct buf *b, const struct attempt *a, const struct attempt_log *log,
                 size_t max_bytes);
/* The spans look into bytes. False: not such a story. */
bool attempt_get(struct span bytes, struct attempt *a_r);

struct attempt_entry {
    enum attempt_kind kind;
    uint32_t at_ms;
    uint16_t code;
    struct span text;
};
/* The dialogue in order: a cursor over a->log, which it moves. */
bool attempt_next(struct attempt *a, struct attempt_entry *e_r);

/* Members of the open object: all of it, a reply's lines as the peer sent them. */
void attempt_json(struct json *j, const struct attempt *a);

#endif
