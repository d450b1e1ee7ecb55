/* untrusted: the check through which text from outside goes on its way into a reply or a header.
 * Whatever could end a line, hide in a terminal or start a header comes out as "?". */
#ifndef POSTERN_MAIL_UNTRUSTED_H
#define POSTERN_MAIL_UNTRUSTED_H

#include "base/buf.h"

enum untrusted_kind {
    UNTRUSTED_ASCII,   /* printable ASCII and blank stay */
    UNTRUSTED_UTF8,    /* valid UTF-8 above 127 stays as well */
    UNTRUSTED_COMMENT, /* as UTF8 but ( ) \ and " become "?" too: inside a header comment */
};

/* At most max_bytes are written, cut between characters. False: no room in b. */
bool untrusted_put(struct buf *b, struct span s, enum untrusted_kind kind, size_t max_bytes);

/* Nothing would be changed. */
bool untrusted_clean(struct span s, enum untrusted_kind kind);

#endif
