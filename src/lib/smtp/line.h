/* line: command lines out of a byte stream (RFC 5321 2.3.8), bounded. A line cut by a packet is
 * kept in `part` until its end comes; a line that is whole is given as a view, with no copy.
 * LF alone ends a command line too, as people type it and as sendmail takes it: commands carry
 * no content, so nothing can be smuggled by it. */
#ifndef POSTERN_SMTP_LINE_H
#define POSTERN_SMTP_LINE_H

#include "base/buf.h"

/* Takes the rest of the line begun in `part` (empty: a new line) from the front of `in`.
 *  1  *line_r is the line without its end, in `in` or in `part`, good until either changes; the
 *     caller empties `part` when done with it
 *  0  no end yet: all of `in` was kept in `part`
 * -1  longer than part->max; the rest of it is not consumed
 * *used_r says how many bytes of `in` were consumed. */
int line_take(struct buf *part, struct span in, size_t *used_r, struct span *line_r);

#endif
