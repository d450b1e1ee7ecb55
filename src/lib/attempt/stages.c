/* How long each stage of an attempt took, as its dialogue shows it: what passes before a reply is
 * the time of the command it answers, the oldest that has none. Before the first reply it is the
 * connection's, and the greeting's once that is open; between a reply and our next command, the
 * TLS handshake's when that was STARTTLS, else our own. */
#include "attempt/stages.h"

enum { PENDING_MAX = 64 };

struct walk {
    struct attempt_stage *out;
    size_t n, max;
    struct span host;
    struct span pending[PENDING_MAX]; /* commands without a reply; what is more is not seen */
    size_t pending_n;
    struct span last; /* the command answered last; empty: none yet at this host */
    bool open;        /* it is known when the connection was there */
    uint32_t at_ms;
};

static struct span verb_of(struct span text)
{
    struct span verb = span_word(&text);
    for (size_t i = 0; i < verb.n; i++)
        if (!ascii_isalpha(verb.p[i]))
            return verb.p[0] == '(' ? SPAN("AUTH") : SPAN("content");
    return span_ieq(verb, SPAN("BDAT")) ? SPAN("content") : span_to(verb, 16);
}

/* The time since the last entry was this stage's. ended: it is told also if it took none. */
static void took(struct walk *w, struct span stage, uint32_t at_ms, bool ended)
{
    uint32_t ms = at_ms > w->at_ms ? at_ms - w->at_ms : 0;
    w->at_ms = at_ms > w->at_ms ? at_ms : w->at_ms;
    for (size_t i = w->n; i > 0 && span_eq(w->out[i - 1].host, w->host); i--) {
        if (!span_ieq(w->out[i - 1].stage, stage))
            continue;
        w->out[i - 1].ms += ms;
        return;
    }
    if ((ms || ended) && w->n < w->max)
        w->out[w->n++] = (struct attempt_stage){ w->host, stage, ms };
}

static struct span waiting_for(const struct walk *w)
{
    return w->pending_n                          ? w->pending[0]
           : !w->last.n                          ? SPAN("greeting")
           : span_ieq(w->last, SPAN("STARTTLS")) ? SPAN("TLS")
           : span_ieq(w->last, SPAN("DATA"))     ? SPAN("content")
                                                 : SPAN("ourselves");
}

static void answered(struct walk *w)
{
    if (!w->pending_n) {
        w->last = w->last.n ? w->last : SPAN("greeting");
        return;
    }
    w->last = w->pending[0];
    w->pending_n--;
    memmove(w->pending, w->pending + 1, w->pending_n * sizeof *w->pending);
}

static void see(struct walk *w, const struct attempt_entry *e)
{
    switch (e->kind) {
    case ATTEMPT_HOST:
    case ATTEMPT_KEPT:
        w->host = e->text;
        w->pending_n = 0;
        w->last = e->kind == ATTEMPT_KEPT ? SPAN("open") : SPAN_NONE;
        w->open = false;
        took(w, SPAN("connection"), e->at_ms, false);
        break;
    case ATTEMPT_OPEN:
        w->open = true;
        took(w, SPAN("connection"), e->at_ms, false);
        break;
    case ATTEMPT_OURS:
        if (!w->pending_n)
            took(w, waiting_for(w), e->at_ms, false);
        if (w->pending_n < PENDING_MAX)
            w->pending[w->pending_n++] = verb_of(e->text);
        break;
    case ATTEMPT_PEER:
        took(w, waiting_for(w), e->at_ms, true);
        answered(w);
        break;
    default:
        if (w->pending_n || w->last.n || w->open)
            took(w, waiting_for(w), e->at_ms, w->open);
        else
            took(w, SPAN("connection"), e->at_ms, w->host.n > 0);
    }
}

size_t attempt_stages(const struct attempt *a, struct attempt_stage *out, size_t max)
{
    struct attempt at = *a;
    struct attempt_entry e;
    struct walk w = { .out = out, .max = max, .at_ms = a->dns_ms };
    if (a->left_out)
        return 0;
    if (a->dns != ATTEMPT_DNS_NONE && max)
        out[w.n++] = (struct attempt_stage){ SPAN_NONE, SPAN("DNS"), a->dns_ms };
    while (attempt_next(&at, &e))
        see(&w, &e);
    return w.n;
}
