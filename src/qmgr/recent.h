/* recent: the last few megabytes of content that came in, as it is delivered. Most mail goes out a
 * moment after it was stored: it need not be read back, and checked, for that. A copy of what lies
 * in the spool and no more: whatever is not here any longer is read there. */
#ifndef POSTERN_QMGR_RECENT_H
#define POSTERN_QMGR_RECENT_H

#include "base/span.h"

enum {
    RECENT_BYTES = 4 << 20,       /* all of it; memory from the first message on */
    RECENT_ONE_BYTES = 256 << 10, /* longer ones are not kept */
};

struct recent;

struct recent *recent_new(void);
void recent_free(struct recent **r); /* accepts NULL in *r */
/* Keeps head and content as one; older ones make room. */
void recent_put(struct recent *r, uint64_t seq, struct span head, struct span content);
/* False: not here (any more). The span is valid until the next put. */
bool recent_get(const struct recent *r, uint64_t seq, struct span *content_r);

#endif
