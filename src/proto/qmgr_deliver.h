/* qmgr gives deliver jobs: one message, some of its recipients, one destination. Content comes
 * with the job when it is small, else in pieces as deliver asks for them (so a slow next hop
 * holds back its own message only). One `result` per recipient, then `job_done`; a channel that
 * goes takes its jobs with it. */
#ifndef POSTERN_PROTO_QMGR_DELIVER_H
#define POSTERN_PROTO_QMGR_DELIVER_H

#include "ipc/proto.h"

/* destination: the route's codec. classes: of delivery rules (config/rules.h). rcpts:
 * proto/lists.h. content: all of it, or empty. keeper: a connection of before (0: none):
 * to be used if it still stands; with `instead` it is to be closed, and another one is made when it
 * is. */
#define JOB_FIELDS(F) \
    F(U64, job) F(U64, seq) F(I64, received_ms) F(BYTES, destination) F(BYTES, classes) \
    F(BYTES, sender) F(U32, flags) F(BYTES, envid) F(BYTES, rcpts) F(U64, size) F(U64, keeper) \
    F(U8, instead) F(BYTES, content)
#define WANT_FIELDS(F) F(U64, job) F(U64, offset) F(U32, count)
/* failed: the spool cannot read it; the job's recipients are deferred. */
#define CONTENT_FIELDS(F) F(U64, job) F(U64, offset) F(U8, failed) F(BYTES, data)
/* outcome as in smtp/client.h: result, cause, stage, dsn_due and eightbit as bits. ms: of the
 * whole attempt for this recipient. */
#define RESULT_FIELDS(F) \
    F(U64, job) F(U32, rcpt) F(U8, result) F(U8, cause) F(U8, stage) F(U8, bits) F(U16, code) \
    F(BYTES, enhanced) F(BYTES, reply) F(BYTES, text) F(BYTES, host) F(ADDR, relay) F(I64, ms)
/* site: the key of the MX set the addresses came from, "" when that was never known.
 * best, all: the order of its hosts (dns/plan.h); 0 when that was not asked for. reached: a session
 * came up; dns: it was DNS that failed; keeper: the connection is still there under this name until
 * a job takes it or `unkept` says that it has gone; under: for whom it may be used: those with this
 * `best`, or this `all`. ending: for nobody, it is being closed. tls: version and cipher, or "".
 * story: attempt/attempt.h, when somebody was put off; else "". */
#define JOB_DONE_FIELDS(F) \
    F(U64, job) F(BYTES, site) F(U64, best) F(U64, all) F(U8, reached) F(U8, dns) \
    F(U64, keeper) F(U64, under) F(U8, ending) F(BYTES, tls) F(BYTES, why) F(BYTES, story)
/* A host was left for the next one of the plan: its last word, or, without a reply, ours of it. */
#define LEFT_FIELDS(F) F(U64, job) F(BYTES, host) F(ADDR, relay) F(BYTES, reply) F(BYTES, text)
#define UNKEPT_FIELDS(F) F(BYTES, site) F(U64, keeper)
/* qmgr has no use for that kept connection: close it. */
#define LET_GO_FIELDS(F) F(U64, keeper)

/* An administrator looks on at the job that comes next, or at one that is under way: its dialogue
 * is told as `talk` (so far as it is known of one that has begun, with what it waits for now), and
 * so is what the connection still says after the job (until another job takes it). */
#define WATCH_FIELDS(F) F(U64, watch) F(U64, job)
/* kind: enum talk_kind. text: a line, cleaned, without credentials and content. */
#define TALK_FIELDS(F) \
    F(U64, watch) F(U64, job) F(U8, kind) F(BYTES, host) F(ADDR, relay) F(BYTES, text)

/* Where are these jobs, a list of u64, and those that have to do with the address at (family NONE:
 * no others)? HERE_MAX at most. Asked when a person asks why: nothing is said without. Answered by
 * `here` for each that is known, then `here_end`. */
#define WHERE_FIELDS(F) F(U64, q) F(BYTES, jobs) F(ADDR, at)
/* doing: enum here_doing. stage: of smtp/client.h, for HERE_TALKING. text: what it waits for, in
 * words that follow the host, for ms. host, relay: where it is, or "". story: attempt/attempt.h,
 * so far. */
#define HERE_FIELDS(F) \
    F(U64, q) F(U64, job) F(U8, doing) F(U8, stage) F(BYTES, host) F(ADDR, relay) F(I64, ms) \
    F(BYTES, text) F(BYTES, story)
#define HERE_END_FIELDS(F) F(U64, q)

enum { HERE_MAX = 20 };

enum here_doing {
    HERE_ASKING,     /* the DNS, or who makes a process for a delivery here */
    HERE_IN_LINE,    /* another connection is to end first */
    HERE_CONNECTING, /* to host */
    HERE_TALKING,    /* with host */
    HERE_DOINGS
};

enum talk_kind {
    TALK_CONNECTING, /* to host, at relay */
    TALK_CACHED,     /* ... the connection is open already */
    TALK_OURS,
    TALK_PEER,
    TALK_NOTE,       /* what was said by nobody: no connection, the TLS there is */
    TALK_CLOSING,    /* the connection ends: QUIT may follow */
    TALK_CLOSED,     /* and has ended */
    TALK_KINDS
};

enum {
    RESULT_DSN_DUE = 1,
    RESULT_EIGHTBIT = 2,
    RESULT_AGAIN = 4,
    RESULT_MAILBOX = 8, /* with DSN_DUE: the report says delivered, not relayed */
};

#define QMGR_DELIVER(M) \
    M(0x4a, job, JOB_FIELDS) /* 0x40 had no classes, 0x49 no `instead` */ \
    M(0x41, want, WANT_FIELDS) \
    M(0x42, content, CONTENT_FIELDS) \
    M(0x43, result, RESULT_FIELDS) \
    M(0x4b, job_done, JOB_DONE_FIELDS) /* 0x44 had no order */ \
    M(0x45, unkept, UNKEPT_FIELDS) \
    M(0x46, let_go, LET_GO_FIELDS) \
    M(0x47, watch, WATCH_FIELDS) \
    M(0x48, talk, TALK_FIELDS) \
    M(0x4c, left, LEFT_FIELDS) \
    M(0x4d, where, WHERE_FIELDS) \
    M(0x4e, here, HERE_FIELDS) \
    M(0x4f, here_end, HERE_END_FIELDS)
PROTO_DECLARE(QMGR_DELIVER)

#endif
