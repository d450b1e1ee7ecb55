/* A ring of bytes, and a row for each message in it by the low bits of its counter: counters are
 * given out in ranges, so that neighbours have rows of their own. Positions only grow; a row whose
 * bytes were written over since is stale. */
#include "qmgr/recent.h"

#include "base/must.h"

#include <stdlib.h>

enum { ROWS = 1024 };

struct row {
    uint64_t seq; /* 0: none */
    uint64_t at;  /* position */
    size_t n;
};

struct recent {
    char *bytes; /* RECENT_BYTES, at position % RECENT_BYTES; NULL: nothing was ever put */
    uint64_t end;
    struct row rows[ROWS];
};

struct recent *recent_new(void) { return NEW(struct recent); }

void recent_free(struct recent **r)
{
    if (*r)
        free((*r)->bytes);
    free(*r);
    *r = NULL;
}

void recent_put(struct recent *r, uint64_t seq, struct span head, struct span content)
{
    size_t n = must_add(head.n, content.n), left = RECENT_BYTES - r->end % RECENT_BYTES;
    if (!n || n > RECENT_ONE_BYTES)
        return;
    if (!r->bytes)
        r->bytes = must_alloc(RECENT_BYTES);
    if (n > left) /* it lies in one piece */
        r->end += left;
    char *to = r->bytes + r->end % RECENT_BYTES;
    if (head.n)
        memcpy(to, head.p, head.n);
    if (content.n)
        memcpy(to + head.n, content.p, content.n);
    r->rows[seq % ROWS] = (struct row){ .seq = seq, .at = r->end, .n = n };
    r->end += n;
}

bool recent_get(const struct recent *r, uint64_t seq, struct span *content_r)
{
    const struct row *row = &r->rows[seq % ROWS];
    if (!row->n || row->seq != seq || r->end - row->at > RECENT_BYTES)
        return false;
    *content_r = span_of(r->bytes + row->at % RECENT_BYTES, row->n);
    return true;
}
