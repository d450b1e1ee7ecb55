/* master <-> every child, over descriptor 3. What carries a descriptor is put by hand. */
#ifndef POSTERN_PROTO_MASTER_CHILD_H
#define POSTERN_PROTO_MASTER_CHILD_H

#include "ipc/proto.h"

/* The checked configuration, flattened, in pieces: it may be larger than a frame. */
#define CONFIG_PART_FIELDS(F) F(U64, generation) F(U8, last) F(BYTES, part)
/* Comes with a descriptor: the child's end of a channel to instance `index` of `role`. */
#define PEER_FIELDS(F) F(U8, role) F(U16, index)
enum { LISTEN_NAME_MAX = 64 }; /* config's check_label */

/* Comes with a descriptor: a listening socket. `section` names the listen section. */
#define LISTENER_FIELDS(F) F(ADDR, address) F(BYTES, section)
/* Comes with a descriptor: a log file. which: 0 lines, 1 events, 2 no lines but syslog. */
#define LOG_FILE_FIELDS(F) F(U8, which)
/* Comes with a descriptor: a file only master could open (keyring: private keys; smtpd:
 * certificates). kind as in enum master_file. */
#define FILE_FIELDS(F) F(U8, kind) F(U16, index) F(BYTES, path)
#define START_FIELDS(F) F(BYTES, instance_id)
/* Finish what you hold, within so many ms, and exit. */
#define FINISH_FIELDS(F) F(I64, within_ms)
/* From now on the listeners named since the last `config_part` are the ones to use. */
#define CONFIG_DONE_FIELDS(F) F(U64, generation)

/* Started, or a reload taken over: it works with this configuration. */
#define CHILD_READY_FIELDS(F) F(U64, generation) F(BYTES, untaken)
/* control asks for what only master can do. */
#define RELOAD_ASK_FIELDS(F) F(U64, q) F(BYTES, who)
#define STOP_ASK_FIELDS(F) F(U64, q) F(BYTES, who)
#define MASTER_SAID_FIELDS(F) F(U64, q) F(U8, ok) F(BYTES, text)

/* deliver asks for a delivery on this host: master forks a `local` for it, and each gets an end
 * of a socket pair, on which deliver speaks LMTP. kind: enum local_kind. target: command line,
 * file or socket. original: whom the sender wrote to. */
#define LOCAL_JOB_FIELDS(F) \
    F(U8, kind) F(BYTES, user) F(BYTES, detail) F(BYTES, target) F(BYTES, rcpt) F(BYTES, original)
#define LOCAL_ASK_FIELDS(F) F(U64, q) LOCAL_JOB_FIELDS(F)
/* Comes with a descriptor if ok. */
#define LOCAL_SAID_FIELDS(F) F(U64, q) F(U8, ok) F(BYTES, text)

/* A child has ended unasked, so long ago; told to watch, and once more to the watch that begins. */
#define CHILD_DIED_FIELDS(F) F(U8, role) F(I64, age_ms) F(BYTES, text)

enum local_kind {
    LOCAL_MAILBOX, /* of `user`, as route.local_delivery says */
    LOCAL_PROGRAM,
    LOCAL_FILE,
    LOCAL_SOCKET, /* nothing is delivered: bytes go between deliver and a socket's file */
    LOCAL_KINDS,
};

enum master_file {
    MASTER_FILE_KEY = 1,
    MASTER_FILE_CERT = 2,
    MASTER_FILE_CONTROL = 3, /* control: the listening admin socket */
    MASTER_FILE_SUBMIT = 4,  /* pickup: the listening socket of local programs */
};

#define MASTER_CHILD(M) \
    M(0x01, config_part, CONFIG_PART_FIELDS) \
    M(0x02, peer, PEER_FIELDS) \
    M(0x03, listener, LISTENER_FIELDS) \
    M(0x04, log_file, LOG_FILE_FIELDS) \
    M(0x05, file, FILE_FIELDS) \
    M(0x06, start, START_FIELDS) \
    M(0x07, finish, FINISH_FIELDS) \
    M(0x08, config_done, CONFIG_DONE_FIELDS) \
    M(0x09, child_ready, CHILD_READY_FIELDS) \
    M(0x0a, reload_ask, RELOAD_ASK_FIELDS) \
    M(0x0b, stop_ask, STOP_ASK_FIELDS) \
    M(0x0c, master_said, MASTER_SAID_FIELDS) \
    M(0x0d, local_ask, LOCAL_ASK_FIELDS) \
    M(0x0e, local_said, LOCAL_SAID_FIELDS) \
    M(0x0f, local_job, LOCAL_JOB_FIELDS) \
    M(0x11, child_died, CHILD_DIED_FIELDS) /* 0x10 had a count */
PROTO_DECLARE(MASTER_CHILD)

#endif
