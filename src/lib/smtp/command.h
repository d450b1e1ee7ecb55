/* command: reads one command line of a client (RFC 5321 4.1.1 and the extensions we offer) into
 * typed arguments, or into the reply it deserves. Pure: no session state. */
#ifndef POSTERN_SMTP_COMMAND_H
#define POSTERN_SMTP_COMMAND_H

#include "mail/address.h"
#include "smtp/reply.h"

enum command_verb {
    COMMAND_UNKNOWN,
    COMMAND_EHLO, COMMAND_HELO, COMMAND_MAIL, COMMAND_RCPT, COMMAND_DATA, COMMAND_BDAT,
    COMMAND_RSET, COMMAND_NOOP, COMMAND_QUIT, COMMAND_VRFY, COMMAND_EXPN, COMMAND_HELP,
    COMMAND_STARTTLS, COMMAND_AUTH,
    COMMAND_REFUSED,   /* ETRN, VERB: known, not allowed here */
    COMMAND_ABSENT,    /* TURN, SEND, SOML, SAML: known, not implemented */
    COMMAND_NOT_SMTP,  /* GET, POST, CONNECT, USER ...: a client of another protocol */
    COMMAND_VERBS
};

struct command {
    enum command_verb verb;
    const char *name; /* of the verb, lower case; "unknown" */
    struct span word; /* as typed */
    struct span arg;  /* behind the verb, blanks cut off */
};

/* Any line. Control characters in it (but HT) make it COMMAND_UNKNOWN. */
struct command command_read(struct span line);

/* What EHLO offered: parameters of what was not are unknown parameters (RFC 5321 4.1.1.11). */
struct command_caps {
    bool eightbitmime, smtputf8, dsn, auth;
    bool delivery; /* XDELIVERY=queue_only|defer: local users only */
};

struct command_mail {
    struct address from;
    uint64_t size;     /* SIZE=, 0 when absent (RFC 1870) */
    uint32_t flags;    /* ENVELOPE_8BITMIME, _SMTPUTF8, _RET_FULL, _RET_HDRS, _QUEUE_ONLY, _DEFER */
    struct span envid; /* xtext as given (RFC 3461 4.4) */
};

struct command_rcpt {
    struct address to;
    uint8_t notify;    /* enum envelope_notify */
    struct span orcpt; /* "type;xtext" as given */
};

/* The argument of MAIL or RCPT: 1, or -1 with the reply in *bad_r, whose text is in `scratch`.
 * Spans are views into arg. RCPT takes UTF-8 only when `utf8` (MAIL had SMTPUTF8). */
int command_mail(struct span arg, const struct command_caps *caps, struct command_mail *m_r,
                 struct reply *bad_r, struct buf *scratch);
int command_rcpt(struct span arg, const struct command_caps *caps, bool utf8,
                 struct command_rcpt *r_r, struct reply *bad_r, struct buf *scratch);

/* "N" or "N LAST" (RFC 3030): 1, or -1 when how many octets follow cannot be known. */
int command_bdat(struct span arg, uint64_t *octets_r, bool *last_r);

#endif
