/* letter: one message on its way from a command to the gateway, and what became of each of its
 * recipients. For the files of sendmail's submission. */
#ifndef POSTERN_CLI_SENDMAIL_LETTER_H
#define POSTERN_CLI_SENDMAIL_LETTER_H

#include "base/arena.h"
#include "cli/sendmail.h"
#include "config/config.h"
#include "envelope/envelope.h"
#include "loop/loop.h"

/* What is taken from the gateway's configuration. */
struct sendmail_conf {
    struct config *config;
    struct span hostname;
    char *socket, *directory;
};

/* An ordinary user may not be able to read all of it, or it may have a mistake: mail is taken all
 * the same, with the usual places. Not so when it was named with -C: then those places are another
 * gateway's, and it says what is wrong. Returns a status of sysexits.h; when that is not EX_OK
 * there is nothing to free. */
int sendmail_conf_load(struct sendmail_conf *c, const struct sendmail_flags *f);
void sendmail_conf_free(struct sendmail_conf *c);

/* Bytes in memory while they are few, in an unnamed file when not. */
struct store {
    struct buf mem;
    int fd; /* -1: in memory */
    uint64_t size;
};
void store_init(struct store *s);
void store_free(struct store *s);
bool store_put(struct store *s, struct span bytes);

struct letter_rcpt {
    struct envelope_rcpt rcpt;
    enum letter_state { LETTER_OPEN, LETTER_TAKEN, LETTER_FAILED } state;
    int exit;          /* FAILED: a status of sysexits.h */
    struct span reply; /* what the gateway said, or our own words */
};

struct letter {
    const struct sendmail_flags *f;
    const struct sendmail_conf *conf;
    struct loop *loop;
    struct arena *arena;
    struct span sender, envid;
    uint32_t flags;
    struct letter_rcpt *rcpts;
    size_t rcpt_count, rcpt_room;
    struct buf header; /* as it is sent, with the empty line */
    struct store body;
    struct buf input;  /* the header as it came, for dead.letter */
};

/* Same address twice is once. `reply` not empty: FAILED from the start with `exit`. False: too
 * many. */
bool letter_add(struct letter *l, struct span addr, int exit, struct span reply);
size_t letter_count(const struct letter *l, enum letter_state state);
ssize_t letter_read(const struct letter *l, uint64_t at, char *to, size_t n); /* header and body */

/* Hands it to the gateway; recipients that are OPEN afterwards have to go another way. */
void letter_give(struct letter *l);
/* Into the submission spool, for recipients that are OPEN. True: safe there, they are TAKEN. */
bool letter_drop(struct letter *l, struct err *err);

/* Says what failed as the error mode wants it; the exit status. */
int letter_failures(struct letter *l);

#endif
