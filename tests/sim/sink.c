/* The next hops: small SMTP servers, each with other extensions, that may refuse, drop or stall
 * at any stage while faults go on. What one takes stands in the ledger before it says so. */
#include "hop.h"

#include "base/must.h"

#include <stdlib.h>

enum { DEED_NONE, DEED_LATER, DEED_NEVER, DEED_BYE, DEED_DROP, DEED_STALL, DEEDS };
enum { OWN_STAGE, OWN_DEED }; /* of a hop: what it will do, and when */

struct sink {
    struct hop_server server;
};

static const char *const extensions[SINKS] = {
    "250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-DSN\r\n250 SIZE\r\n",
    NULL, /* HELO only */
    "250-PIPELINING\r\n250 8BITMIME\r\n",
    "250-8BITMIME\r\n250 CHUNKING\r\n",
    "250 SIZE 10000000\r\n",
    "250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
};

void sinks_zone(struct world *w, struct buf *zone)
{
    (void)w;
    for (int i = 1; i <= SINKS; i++)
        buf_printf(zone, "mx%d.example A 10.1.0.%d\n", i, i);
    buf_putz(zone, "gone.example A 10.1.9.9\n"
                   "a.example MX 10 mx1.example\n"
                   "b.example MX 10 mx2.example\nb.example MX 20 mx3.example\n"
                   "c.example MX 10 gone.example\nc.example MX 20 mx4.example\n"
                   "d.example A 10.1.0.5\n"
                   "src.example MX 10 mx6.example\n"
                   "refused.example MX 10 mx1.example\n"
                   "late.example MX 10 mx3.example\n"
                   "dead.example A 10.1.9.9\n"
                   "mute.example TIMEOUT\n");
}

static void begin(struct hop *h)
{
    struct world *w = h->server->w;
    h->own[OWN_DEED] = DEED_NONE;
    if (!fault_on(w, FAULT_SINKS) || !one_in(w, 3))
        return;
    int stage = (int)chance(w, STAGES), deed = (int)(1 + chance(w, DEEDS - 1));
    /* A report that is refused for good is for the postmaster's eyes and not of this ledger,
     * and before RCPT nobody knows yet who is refused. */
    if (deed == DEED_NEVER && stage < AT_RCPT)
        deed = DEED_LATER;
    if (stage == AT_TAKEN && deed != DEED_STALL)
        deed = DEED_DROP;
    h->own[OWN_STAGE] = stage;
    h->own[OWN_DEED] = deed;
    h->leaves = one_in(w, 4);
}

static void refused(struct hop *h, enum stage at, struct deed *d)
{
    for (size_t i = at == AT_RCPT ? h->rcpt_count - 1 : 0; i < h->rcpt_count; i++)
        ledger_refused(h->server->w, h->rcpts[i]);
    d->reply = "550 5.7.1 not here\r\n";
}

static bool by_address(const struct hop *h, struct deed *d)
{
    struct span to = span_str(h->rcpts[h->rcpt_count - 1]);
    if (span_iends(to, SPAN("@refused.example")))
        d->reply = "550 5.1.1 nobody of that name\r\n";
    else if (span_iends(to, SPAN("@late.example")))
        d->reply = "450 4.2.1 come back later\r\n";
    return d->reply != NULL;
}

static bool at(struct hop *h, enum stage stage, struct deed *d)
{
    if (stage == AT_RCPT && by_address(h, d))
        return true;
    if (h->own[OWN_DEED] == DEED_NONE || h->own[OWN_STAGE] != (int)stage)
        return false;
    int deed = h->own[OWN_DEED] == DEED_NEVER && !h->sender[0] ? DEED_LATER : h->own[OWN_DEED];
    h->own[OWN_DEED] = DEED_NONE;
    if (stage >= AT_END)
        excuse_now(h->server->w);
    switch (deed) {
    case DEED_LATER: d->reply = "451 4.2.0 not now\r\n"; break;
    case DEED_NEVER: refused(h, stage, d); break;
    case DEED_BYE:
        d->reply = "421 4.3.2 closing\r\n";
        d->close = true;
        break;
    case DEED_STALL: d->stall = true; break;
    default: d->stall = d->close = true; break;
    }
    return true;
}

static void taken(struct hop *h)
{
    ledger_arrived(h->server->w, span_str(h->sender), h->rcpts, h->rcpt_count,
                   buf_span(&h->content));
}

static int64_t think_ms(struct hop *h)
{
    struct world *w = h->server->w;
    if (!w->temper.sink_think_ms || !one_in(w, 4))
        return 0;
    return 1 + (int64_t)chance(w, (uint64_t)w->temper.sink_think_ms);
}

void sinks_make(struct world *w)
{
    static const struct hop_ops ops = { begin, at, taken, think_ms };
    w->sinks = must_calloc(SINKS, sizeof *w->sinks);
    for (int i = 0; i < SINKS; i++) {
        struct netaddr here = { .family = NETADDR_V4, .ip = { 10, 1, 0, (uint8_t)(i + 1) },
                                .port = 25 };
        struct hop_server *k = &w->sinks[i].server;
        *k = (struct hop_server){ .w = w, .ops = &ops, .extensions = extensions[i] };
        hop_server_open(k, &here);
    }
}

void sinks_free(struct world *w)
{
    for (int i = 0; i < SINKS; i++)
        hop_server_close(&w->sinks[i].server);
    free(w->sinks);
}
