/* "live": a queue run of chosen messages. Its arguments: those of match_take, and
 *   background   nobody looks on: it is begun, and that is the answer
 *   always       past any back-off   patient  ... however often nobody answered
 *   silent       results without dialogue
 *   window=N     so many messages at once */
#include "qmgr/live.h"

#include "base/num.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

void admin_live_free(struct qmgr *q)
{
    while (q->lives)
        live_free(q->lives);
}

static bool take_arg(struct live *l, struct span arg, bool *background_r)
{
    static const struct span window = SPAN("window=");
    uint64_t n;
    if (span_eq(arg, SPAN("background")))
        return *background_r = true;
    if (span_eq(arg, SPAN("always")))
        return l->always = true;
    if (span_eq(arg, SPAN("patient")))
        return l->patient = true;
    if (span_eq(arg, SPAN("silent")))
        return l->silent = true;
    if (!span_starts(arg, window))
        return match_take(&l->match, arg);
    if (!num_upto(span_from(arg, window.n), LIVE_WINDOW_MAX, &n) || !n)
        return false;
    l->window = (unsigned)n;
    return true;
}

static void more(struct admin_ask *a)
{
    struct live *l = a->own;
    l->may_say = true;
    live_flush(l);
    if (l->phase == LIVE_END)
        live_soon(l);
}

/* The reader has gone: what is left to be tried is tried all the same. */
static void gone(struct admin_ask *a) { live_abandon(a->own); }

void admin_live(struct admin_ask *a, struct wire *args)
{
    struct live *l = live_new(a);
    struct span arg;
    bool background = false, good = true;
    while (good && list_next_text(args, &arg))
        good = take_arg(l, arg, &background);
    if (!good) {
        live_free(l);
        admin_end(a, EX_USAGE, "a run cannot be told this");
        return;
    }
    live_begin(l);
    if (background) {
        live_abandon(l);
        admin_end(a, ADMIN_OK, "");
        return;
    }
    a->own = l;
    a->own_gone = gone;
    a->slice = more;
}
