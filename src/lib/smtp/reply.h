/* reply: what a server says. One place writes replies, so that no text from outside can end a
 * line or grow one beyond 512 octets (RFC 5321 4.5.3.1.5). */
#ifndef POSTERN_SMTP_REPLY_H
#define POSTERN_SMTP_REPLY_H

#include "base/buf.h"

enum {
    REPLY_LINE_MAX = 512, /* with code and CRLF */
    REPLY_LINES_MAX = 16, /* of one reply; more are not written */
};

/* A reply as policy code hands it over. */
struct reply {
    unsigned short code;  /* 200..599; 0 = the default of the place it is used in (positive) */
    char enhanced[12];    /* "5.7.1" (RFC 3463); "" = none is written */
    struct span text;     /* without line ends; LF separates the lines of a multiline reply */
    bool about_address;   /* "<address>... " is put before the text, as sendmail does */
};

static inline bool reply_positive(const struct reply *r) { return r->code < 400; }

/* "CODE ENHANCED TEXT\r\n" on as many lines as `text` has; about_address is not looked at. UTF-8
 * is kept if `utf8` (RFC 6531 3.7.4.1: only within a transaction with SMTPUTF8), else "?" stands
 * for it. Always written whole: the caller keeps room (REPLY_LINE_MAX per line) in b. */
void reply_put(struct buf *b, const struct reply *r, bool utf8);

/* One line from a format; what is not ASCII becomes "?". */
void reply_printf(struct buf *b, unsigned code, const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void reply_vprintf(struct buf *b, unsigned code, const char *enhanced, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

#endif
