/* parts: the pieces of a report, shared by the files of dsn only. Each appends to `out`; whether
 * it all fitted is seen at the end, in out->failed. */
#ifndef POSTERN_DSN_PARTS_H
#define POSTERN_DSN_PARTS_H

#include "dsn/dsn.h"

enum {
    DSN_LINE_MAX = 998,  /* RFC 5322 2.1.1, without CRLF */
    DSN_WRAP = 76,       /* of our own words */
    DSN_TEXT_MAX = 700,  /* of one untrusted text on a line of ours */
    DSN_NAME_MAX = 120,  /* where several stand on one line */
    DSN_REPLY_LINES = 20, /* of a reply that are shown */
};

/* compose.c */
bool dsn_has_high(struct span s); /* octets above 127 */
/* Takes the next line off *s, its end (CRLF, LF) taken off too; false at the end. */
bool dsn_line(struct span *s, struct span *line_r);
/* All of a success report have it in their mailbox (or list): others it was passed on to. */
bool dsn_has_arrived(const struct dsn_report *r);
/* The same for a reply, of which DSN_REPLY_LINES not empty lines are shown: *count counts. */
bool dsn_reply_line(struct span *reply, int *count, struct span *line_r);

/* text.c: the first part, for people: its body alone. */
void dsn_put_text(struct buf *out, const struct dsn_report *r);

/* fields.c: the second part, for programs: its body. utf8: message/global-delivery-status. */
void dsn_put_fields(struct buf *out, const struct dsn_report *r, bool utf8);
bool dsn_status_ok(struct span status); /* of the form of RFC 3463 */
enum dsn_orcpt { DSN_ORCPT_NONE, DSN_ORCPT_PLAIN, DSN_ORCPT_UTF8 };
/* Appends the address of "type;xtext"; NONE: there is no readable type. */
enum dsn_orcpt dsn_orcpt_addr(struct buf *addr, struct span orcpt);

/* qp.c: lines ended by CRLF or LF, as quoted-printable. */
void dsn_put_qp(struct buf *out, struct span text);

/* original.c: the third part's body. */
void dsn_put_header(struct buf *out, struct span header);
/* May the content be returned as it is? */
bool dsn_content_fits(struct span content);

#endif
