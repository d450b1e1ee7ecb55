/* address: the paths of MAIL and RCPT (RFC 5321 4.1.2, RFC 6531 3.3), read and never repaired.
 *
 * Taken beyond the RFC, since real clients send it: a path without <>, dots anywhere in an
 * unquoted local part, underscores and leading or trailing hyphens in names, a trailing dot behind
 * the domain, a local part without a domain (only "postmaster" is in the RFC; the router decides
 * what else is). A source route is dropped (RFC 5321 appendix F.2). Control characters and
 * malformed UTF-8 are never taken. */
#ifndef POSTERN_MAIL_ADDRESS_H
#define POSTERN_MAIL_ADDRESS_H

#include "base/arena.h"

enum {
    ADDRESS_MAX = 1024,    /* a path without <>; equals the envelope's limit */
    ADDRESS_DOMAIN_MAX = 255,
    ADDRESS_LABEL_MAX = 63,
};

enum address_error {
    ADDRESS_OK,
    ADDRESS_MISSING,    /* nothing there */
    ADDRESS_UNBALANCED, /* "<" without ">" */
    ADDRESS_NO_USER,    /* "@host", "@route" */
    ADDRESS_NO_HOST,    /* "user@" */
    ADDRESS_BAD_ROUTE,  /* two "@", or a malformed source route */
    ADDRESS_BAD_HOST,
    ADDRESS_BAD_USER,   /* characters that cannot stand there, an unclosed quote */
    ADDRESS_TOO_LONG,
    ADDRESS_ERRORS
};

/* All spans are views into the text that was read. */
struct address {
    struct span typed;  /* as it stood there, with <> if it had them: for the reply */
    struct span local;  /* as typed, with its quotes; empty only when `null` */
    struct span domain; /* as typed, without a trailing dot; empty = none. Literals keep [] */
    bool null;          /* <> */
    bool literal;       /* [1.2.3.4] or [IPv6:...] */
    bool utf8;          /* has octets above 127: SMTPUTF8 is needed */
};

/* Reads the path at the front of *s, blanks before it skipped; *s then begins behind it (also
 * after an error, as far as the extent of the path is known). `typed` is always set. */
enum address_error address_take(struct span *s, struct address *a_r);

/* The whole of `s`, without <>: "user@domain", "" or "user". */
enum address_error address_read(struct span s, struct address *a_r);

/* local@domain with the domain (ASCII) in lower case, as the envelope keeps it; "" for null.
 * Copied into the arena; .p NULL when it is full. */
struct span address_normal(struct arena *a, const struct address *addr);

/* What may stand behind HELO or EHLO: a host name or a literal, and whatever else is made of
 * letters, digits and . - _ : [ ], since the name is only ever recorded (RFC 5321 4.1.4: a
 * server must not refuse mail for what the name resolves to). */
bool address_helo_ok(struct span s);

#endif
