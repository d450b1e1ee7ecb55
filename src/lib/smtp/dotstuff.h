/* dotstuff: content on its way to a server (RFC 5321 4.5.2). The bytes go through unchanged but
 * for the dots doubled at the start of lines; a CR or LF that is not part of a CRLF is never let
 * through, since servers differ on what it means (SMTP smuggling). The scan is done a block at
 * a time and the bytes between two findings are copied as one piece. */
#ifndef POSTERN_SMTP_DOTSTUFF_H
#define POSTERN_SMTP_DOTSTUFF_H

#include "base/buf.h"

struct dotstuff {
    bool midline; /* the last byte put was not the LF of a CRLF */
    bool cr;      /* the last byte put was a CR: a LF must follow */
    bool plain;   /* BDAT: check and end lines, but double no dots */
};

static inline struct dotstuff dotstuff_start(bool plain)
{
    return (struct dotstuff){ .plain = plain };
}

/* Appends `content`, a piece cut anywhere. False: a bare CR or LF (bytes before it may have been
 * appended already), or `out` is full: it takes at most content.n + content.n / 3 + 1 bytes. */
bool dotstuff_put(struct dotstuff *d, struct buf *out, struct span content);

/* The end: a CRLF when the last line had none, then (not when plain) ".\r\n". False: the
 * content ended in a bare CR, or `out` is full. */
bool dotstuff_end(struct dotstuff *d, struct buf *out);

/* The scan alone: offset of the first byte of `s` that begins a line with a dot or breaks the
 * CRLF rule; s.n when there is none. *bad_r says which. Updates midline and cr for the bytes
 * before the offset. */
size_t dotstuff_scan(struct dotstuff *d, struct span s, bool *bad_r);

#endif
