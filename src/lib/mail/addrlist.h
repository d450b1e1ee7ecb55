/* addrlist: reads a list of addresses as header fields and command lines have it (RFC 5322 3.4):
 * names, comments, groups, quoted strings, folded lines, `user` alone, `Name <user@host>`. What is
 * inside <> or stands bare is given out without comments and blanks, unchanged otherwise; whether
 * it is an address that SMTP can carry is for address_read to say.
 *
 * Taken beyond the RFC: empty elements, a missing comma's worth of dots in names ("J. R. Doe"),
 * obsolete routes (<@a,@b:user@host>, dropped), a group that is never closed. */
#ifndef POSTERN_MAIL_ADDRLIST_H
#define POSTERN_MAIL_ADDRLIST_H

#include "base/buf.h"

enum { ADDRLIST_ITEM_MAX = 2048 }; /* one address, its comments and blanks taken away */

struct addrlist {
    struct span rest;  /* not read yet */
    bool group;        /* within "name: ... ;" */
    unsigned unclosed; /* of these openers one had no end: the others are characters as any */
    struct buf addr;   /* of the last element */
    struct span typed; /* the last element as it stood there: for messages */
    struct span at;    /* of its address, in the text, from the first byte to the last, comments
                          between them included; empty of one with a route */
    bool angle;        /* it stood in <> */
    const char *why;   /* after -1: what is wrong, in a few words */
};

/* `text` (a field's value, or an argument) must outlive the reading. */
void addrlist_init(struct addrlist *l, struct span text);
void addrlist_free(struct addrlist *l);

/* 1: *addr_r is the next address (valid until the next call; empty for <>); 0: there are no more;
 * -1: an element that is no address (l->typed, l->why): calling again goes on behind it. Always
 * moves on: at most text.n + 1 calls. */
int addrlist_next(struct addrlist *l, struct span *addr_r);

#endif
