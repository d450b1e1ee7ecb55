/* headeraddr: the addresses in those fields of a header that name senders and recipients, each
 * with its place in the text, so that another can be written there and no other byte changes.
 *
 * Left out is what had better stay as it is: what addrlist or address_read cannot read, elements
 * behind an unclosed quote or comment, <>, obsolete routes (<@a:user@host>), and a word without a
 * domain that is neither the only element of its field nor in <> ("Doe, John <jd@host>" has
 * one), or is in quotes. */
#ifndef POSTERN_MAIL_HEADERADDR_H
#define POSTERN_MAIL_HEADERADDR_H

#include "mail/addrlist.h"

struct headeraddr {
    struct span field; /* its name as typed */
    bool rcpt;         /* the field names recipients: To, Cc ...; else senders: From, Sender ... */
    struct span addr;  /* without comments and blanks; until the next call */
    struct span at;    /* in the header: from its first byte to its last */

    /* inner */
    struct span header, value;
    struct addrlist list;
    bool rcpts;
};

/* header (as it begins, with CRLF line ends; what stands behind its empty line is not looked at)
 * must outlive the walk. rcpts: fields of recipients too. */
void headeraddr_init(struct headeraddr *w, struct span header, bool rcpts);
void headeraddr_free(struct headeraddr *w);

/* The next address is in *w; false: there are no more. The work of all calls is linear in the
 * header. */
bool headeraddr_next(struct headeraddr *w);

#endif
