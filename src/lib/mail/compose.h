/* compose: what a program on this machine hands in becomes a message: its lines, its header, the
 * fields that are missing. Sans-I/O; the behaviour is sendmail's (Received is the gateway's). */
#ifndef POSTERN_MAIL_COMPOSE_H
#define POSTERN_MAIL_COMPOSE_H

#include "base/buf.h"

/* --- lines: any line ends to CRLF ---
 * CR before a LF goes; a CR elsewhere (progress bars of cron jobs) ends a line; the last line gets
 * its end. Unless `dot_counts` is off, a line of a single dot ends the input. A first line
 * "From " of mailbox files goes. */
struct compose_lines {
    bool dot_counts;
    bool done;      /* the dot has come: nothing is taken any more */
    bool eight_bit; /* an octet above 127 was seen */
    /* inner */
    bool cr, midline, dropping, begun;
    unsigned char held_len;
    char held[8]; /* the start of a line that may be "." or "From " */
};

void compose_lines_init(struct compose_lines *l, bool dot_counts);
/* Appends to `out`, which needs room for 2 * in.n + 16 bytes. False: no room. */
bool compose_lines_put(struct compose_lines *l, struct span in, struct buf *out);
bool compose_lines_end(struct compose_lines *l, struct buf *out);

/* --- header --- */
enum { COMPOSE_HEADER_MAX = 1 << 20 };

/* Offset of the body in what compose_lines made of the input; *empty_line_r: an empty line stands
 * between, and is part of the header's length. The header ends at the first line that is no field
 * and continues none. 1 done, 0 more is needed (`last` off), -1 longer than COMPOSE_HEADER_MAX. */
int compose_header_end(struct span text, bool last, size_t *end_r, bool *empty_line_r);

struct compose_field {
    struct span name;  /* as typed, without the colon */
    struct span value; /* behind the colon, with its line ends */
    struct span whole; /* with its last CRLF */
};

/* Takes the next field off the front of *header; false at its end. */
bool compose_next_field(struct span *header, struct compose_field *f_r);

/* What the fields say about recipients: To, Cc, Bcc, Apparently-To, or only the Resent- ones when
 * the message has Resent-To, Resent-Cc or Resent-Bcc. */
bool compose_is_resent(struct span header);
bool compose_names_recipients(struct span name, bool resent);

struct compose_facts {
    struct span sender;    /* for From and Resent-From when missing: an address */
    struct span full_name; /* "" = none; a Full-Name field of the message wins */
    struct span host, unique; /* the Message-Id is <unique@host> */
    int64_t wall_ms;
    int zone_min;
};

/* Appends the header as it is sent: Date, From, Message-Id (Resent- ones when it is resent) where
 * they are missing, then all fields in order but Bcc, Resent-Bcc and Full-Name, then the empty
 * line. False: no room. */
bool compose_header_put(struct buf *out, struct span header, const struct compose_facts *f);

#endif
