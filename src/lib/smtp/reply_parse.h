/* reply_parse: reads the replies of an SMTP or LMTP server (RFC 5321 4.2), which is as much a
 * stranger as any client: every length is bounded, the text is kept as raw bytes, and nothing
 * in it is believed but the code and the enhanced code. */
#ifndef POSTERN_SMTP_REPLY_PARSE_H
#define POSTERN_SMTP_REPLY_PARSE_H

#include "base/buf.h"

enum {
    REPLY_LINE_MAX = 2048,  /* one line with its end; RFC 5321 4.5.3.1.5 asks for 512 */
    REPLY_LINES_MAX = 128,  /* lines of one reply */
    REPLY_TEXT_MAX = 16384, /* all lines of one reply */
};

struct smtp_reply {
    int code;          /* 200..599 */
    struct span text;  /* behind the codes; the lines joined by one LF; raw bytes */
    struct span enhanced; /* "2.1.5" at the start of text when it fits the code, else empty */
};

struct reply_parser {
    struct buf line; /* an unfinished line */
    struct buf text; /* the lines so far of a reply of several lines */
    int code;
    unsigned lines;
    bool fresh;      /* the next byte begins a reply */
    const char *why; /* after -1: what was wrong, in words */
};

void reply_parser_init(struct reply_parser *p);
void reply_parser_free(struct reply_parser *p);

/* Takes bytes off the front of *in. 1: *r holds one whole reply (its spans are valid until the
 * next call and while the bytes given to this one live); 0: *in is used up, more is needed;
 * -1: no SMTP reply (p->why says what); the connection is of no more use. A line may end in LF
 * alone, as some servers do; "250" without text is a reply (RFC 5321 4.2.1). */
int reply_parse(struct reply_parser *p, struct span *in, struct smtp_reply *r);

/* Appends `text` fit for people, logs and reports: line breaks become a blank; control bytes
 * and bytes that are not UTF-8 become \xNN, and so does a backslash before an x, so that it can
 * be turned back. Stops with "..." before `max_bytes` are passed. */
void reply_clean(struct buf *out, struct span text, size_t max_bytes);

#endif
