/* data: what follows DATA, byte by byte in meaning and block by block in work (RFC 5321 4.5.2).
 *
 * Only CRLF.CRLF ends a message (the first CRLF may be the one behind DATA). Every other use of
 * CR or LF is not a line end of SMTP, and since servers differ on it, it is never passed on:
 *   reject     everything up to the true end is read and dropped, the caller then refuses it;
 *   normalise  a CR or LF of its own becomes CRLF. A dot doubled behind such a line end is
 *              undoubled, since that is how the client meant it, but a lone dot there is content.
 * NUL and all other octets pass. Lines of any length pass, unsplit. */
#ifndef POSTERN_SMTP_DATA_H
#define POSTERN_SMTP_DATA_H

#include "base/span.h"

enum data_policy { DATA_REJECT, DATA_NORMALISE };

struct data_scan {
    unsigned char state, policy;
    bool dots;   /* DATA; false for BDAT, where dots mean nothing and counting ends the content */
    bool strong; /* the line begins behind a true CRLF: a lone dot on it is the end */
    bool bad;    /* a CR or LF of its own was seen */
};

void data_scan_init(struct data_scan *d, enum data_policy policy, bool dots);

/* Reads from the front of `in`: *used_r bytes are consumed, *out_r is the next piece of content,
 * maybe empty: a view into `in`, as long as possible, or a constant.
 *  1  the end of data was reached (nothing behind it is consumed)
 *  0  not yet: call again with the rest, until nothing is left of it */
int data_scan_next(struct data_scan *d, struct span in, size_t *used_r, struct span *out_r);

/* BDAT LAST: the content is over; a CR still withheld was one of its own. */
void data_scan_finish(struct data_scan *d, struct span *out_r);

#endif
