/* "live": a queue run of chosen messages. Its arguments: the words of a filter, and
 *   background   nobody looks on: it is begun, and that is the answer
 *   always       past any back-off   patient  ... however often nobody answered
 *   silent       results without dialogue
 *   follow       of what is being tried already, the result (else that it is, "locked")
 *   window=N     so many messages at once */
#include "qmgr/keep.h"
#include "qmgr/live.h"

#include "base/num.h"
#include "proto/lists.h"

#include <sysexits.h>

void admin_live_free(struct qmgr *q)
{
    while (q->lives)
        live_free(q->lives);
}

/* The words of its filter, for the log. */
static void note_words(struct live *l, struct wire args)
{
    static const char *const options[] = { "background", "always", "patient", "silent",
                                          "follow" };
    struct span arg;
    while (list_next_text(&args, &arg)) {
        bool word = !span_starts(arg, SPAN("window="));
        for (size_t i = 0; i < sizeof options / sizeof *options; i++)
            word &= !span_eq(arg, span_str(options[i]));
        if (word && l->words.len + arg.n < LIVE_WORDS_MAX)
            buf_printf(&l->words, "%s%.*s", l->words.len ? " " : "", SPAN_ARG(arg));
    }
}

static int take_option(struct admin_ask *a, struct span arg, struct err *err)
{
    static const struct span window = SPAN("window=");
    struct live *l = a->own;
    struct { const char *word; bool *to; } flags[] = {
        { "background", &l->background }, { "always", &l->always },
        { "patient", &l->patient },       { "silent", &l->silent },
        { "follow", &l->follow },
    };
    uint64_t n;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (span_eq(arg, span_str(flags[i].word)))
            return *flags[i].to = true;
    if (!span_starts(arg, window))
        return 0;
    if (!num_upto(span_from(arg, window.n), LIVE_WINDOW_MAX, &n) || !n) {
        err_set(err, "window=1 to %d", LIVE_WINDOW_MAX);
        return -1;
    }
    l->window = (unsigned)n;
    return 1;
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

static void refused(struct admin_ask *a)
{
    live_free(a->own);
    a->own = NULL;
}

/* What is held is tried when it is asked for only. */
static const char *choose(struct live *l)
{
    l->chosen = !queue_filter_empty(l->y.filter);
    if (l->y.sorted || l->y.limit != UINT64_MAX)
        return "a run has its own order, and no limit";
    l->by_state = l->y.fields & QUERY_FIELD(QUEUE_STATE);
    if (!l->by_state && !query_add(&l->y, SPAN("!state=held,quarantined")))
        return "more conditions than it takes";
    return NULL;
}

void admin_live(struct admin_ask *a, struct wire *args)
{
    struct live *l = live_new(a);
    a->own = l;
    a->own_gone = refused;
    note_words(l, *args);
    if (!query_init(&l->y, a, args, take_option))
        return;
    const char *wrong = choose(l);
    if (wrong) {
        admin_end(a, EX_USAGE, wrong);
        return;
    }
    if (!l->chosen)
        keep_run(a->q);
    sites_ask_anew(a->q);
    live_begin(l);
    if (l->background) {
        a->own = NULL;
        live_abandon(l);
        admin_end(a, ADMIN_OK, "");
        return;
    }
    a->own_gone = gone;
    a->slice = more;
}
