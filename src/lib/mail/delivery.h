/* delivery: what route.local_delivery and the command of an alias say, taken apart.
 *
 *   maildir:%h/Maildir   mbox:/var/mail/%u   lmtp:[host]:port   lmtp:/path   program:/path arg %u
 *
 * %u the user's name, %d the detail behind "+", %h the home directory, %s the sender, %% a percent
 * sign. A command is a list of words and never meets a shell: quotes and backslashes are
 * understood, what a shell would act upon is refused with words. Words are taken apart first and
 * filled in afterwards, so that nothing filled in makes a word more, or ends one. */
#ifndef POSTERN_MAIL_DELIVERY_H
#define POSTERN_MAIL_DELIVERY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { DELIVERY_WORDS_MAX = 64, DELIVERY_PATH_MAX = 3072, DELIVERY_USER_MAX = 63 };

enum delivery_kind { DELIVERY_MAILDIR, DELIVERY_MBOX, DELIVERY_LMTP, DELIVERY_PROGRAM };

struct delivery {
    enum delivery_kind kind;
    struct span rest; /* behind the colon; of LMTP "/path" or the hops, of both without "unix:" */
};

/* The span looks into text. False: e says what is wrong, to follow the option's name. */
bool delivery_parse(struct span text, struct delivery *d_r, struct err *e);

struct delivery_names {
    struct span user, detail, home, sender;
};

/* Fills a path in. False, e says why: a name that would lead elsewhere ("..", "/" within), or
 * too long. */
bool delivery_path(struct buf *b, struct span with, const struct delivery_names *n,
                   struct err *e);

/* A command to a vector of words, NULL at its end; everything lives in `a`. names NULL: percent
 * signs are taken as they are (aliases). False: e. The first word is an absolute path. A word
 * that begins with what was filled in does not begin with "-": it would be an option. */
bool delivery_command(struct span command, const struct delivery_names *names, struct arena *a,
                      const char *words_r[DELIVERY_WORDS_MAX + 1], struct err *e);

/* Letters, digits, "_", "." and "-", no "-" or "." in front, 63 at most: what a mailbox can be
 * named after. */
bool delivery_user_ok(struct span user);

#endif
