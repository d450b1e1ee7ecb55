/* The next hops of these days: each has its manner, for a while or for ever. */
#include "days.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

#define FAR_MS (400 * DAY_MS)

static struct netaddr address_of(size_t i)
{
    return (struct netaddr){ .family = NETADDR_V4, .ip = { 10, 1, 0, (uint8_t)(i + 1) },
                             .port = 25 };
}

bool host_troubled(const struct host *h)
{
    const struct host_plan *p = h->plan;
    return p->manner != GOOD && (!p->until_ms || since(h->d) < p->until_ms);
}

bool host_never_takes(const struct host *h)
{
    enum manner m = h->plan->manner;
    return h->plan->until_ms == 0 && (m == MUTE_DNS || (m >= NOBODY && m <= DEAF));
}

struct host *host_named(struct days *d, const char *name)
{
    for (size_t i = 0; i < d->host_count; i++)
        if (strcmp(d->hosts[i].plan->name, name) == 0)
            return &d->hosts[i];
    MUST(!"a host of that name");
    return NULL;
}

/* --- what they see --- */

static unsigned limit_of(const struct host *h)
{
    return h->plan->limit ? h->plan->limit : h->d->play->concurrency;
}

/* Jobs of a process that died go on in others for as long as an attempt takes. One that has said
 * QUIT may still be on its way out when the next connects: by EHLO it is gone. */
static void note_connection(struct host *h)
{
    unsigned n = hop_server_connections(&h->server);
    h->most_at_once = n > h->most_at_once ? n : h->most_at_once;
    if (n > limit_of(h) && !excuses_since(h->d, since(h->d) - ATTEMPT_MS))
        fail(&h->d->w, "%s has %u connections at once, and may have %u", h->plan->name, n,
             limit_of(h));
}

unsigned host_begun_between(const struct host *h, int64_t from_ms, int64_t to_ms)
{
    unsigned n = 0;
    for (size_t i = h->begun; i > 0 && h->begun_at[i - 1] > from_ms; i--)
        n += h->begun_at[i - 1] <= to_ms;
    return n;
}

/* Each restart of qmgr begins anew with one message. */
static void note_begun(struct host *h)
{
    int64_t now = since(h->d);
    const struct host_plan *p = h->plan;
    if (h->begun == h->begun_cap) {
        h->begun_cap = h->begun_cap ? 2 * h->begun_cap : 64;
        h->begun_at = must_realloc(h->begun_at, h->begun_cap * sizeof *h->begun_at);
    }
    h->begun_at[h->begun++] = now;
    if (!p->most)
        return;
    unsigned n = host_begun_between(h, now - p->window_ms, now);
    if (n > p->most + excuses_since(h->d, now - p->window_ms - ATTEMPT_MS))
        fail(&h->d->w, "%u messages began at %s within %lld s, and %u may", n, p->name,
             (long long)p->window_ms / SECOND_MS, p->most);
}

/* --- what they do --- */

static bool later(struct deed *d, const char *reply, bool bye)
{
    d->reply = reply;
    d->close = bye;
    return true;
}

static bool rated(struct host *h, enum stage stage, struct deed *d)
{
    int64_t now = since(h->d);
    if (stage != AT_MAIL || host_begun_between(h, now - MINUTE_MS, now) <= h->plan->number)
        return false;
    bool bye = one_in(&h->d->w, 2);
    return later(d, bye ? "421 4.7.0 too much\r\n" : "450 4.7.28 too much\r\n", bye);
}

static bool greylisted(struct host *h, struct mail *m, struct deed *d)
{
    int64_t now = since(h->d);
    if (!m->grey_ms)
        m->grey_ms = now;
    if (now >= m->grey_ms + (int64_t)h->plan->number * MINUTE_MS)
        return false;
    return later(d, "450 4.7.1 greylisted, come back later\r\n", false);
}

static bool at_its_stage(const struct host *h, struct deed *d)
{
    switch (h->plan->manner) {
    case ANSWERS: return later(d, h->plan->reply, false);
    case BYE: return later(d, h->plan->reply, true);
    case DROPS: d->stall = d->close = true; return true;
    case RESETS: d->reset = true; return true;
    case STALLS: d->stall = true; return true;
    case DEAF: d->deaf = true; return true;
    default: return false;
    }
}

static struct mail *mail_in(struct hop *h)
{
    struct days *d = days_of(h->server->w);
    struct mail *m = mail_of(d, span_str(h->sender));
    return m || !h->rcpt_count ? m : mail_of(d, span_str(h->rcpts[h->rcpt_count - 1]));
}

static void note(struct host *host, struct hop *h, enum stage stage)
{
    struct mail *m = mail_in(h);
    enum manner manner = host_troubled(host) ? host->plan->manner : GOOD;
    bool greets = host->plan->stage != AT_CONNECT || manner < ANSWERS || manner > DEAF;
    host->connections += stage == AT_CONNECT;
    if (stage == (greets ? AT_HELO : AT_CONNECT))
        note_connection(host);
    if (stage == AT_MAIL)
        note_begun(host);
    if (m && (stage == AT_MAIL || (stage == AT_RCPT && m->no_sender)) && host == m->host)
        book_attempt(m, host);
}

static bool at(struct hop *h, enum stage stage, struct deed *d)
{
    struct host *host = h->server->owner;
    struct mail *m = mail_in(h);
    note(host, h, stage);
    if (stage == AT_RCPT && m && m->unknown)
        return later(d, "550 5.1.1 nobody of that name\r\n", false);
    if (!host_troubled(host))
        return false;
    switch (host->plan->manner) {
    case RATES: return rated(host, stage, d);
    case GREYLISTS: return stage == AT_RCPT && m && greylisted(host, m, d);
    case CROWDED:
        return stage == AT_CONNECT && hop_server_connections(h->server) > host->plan->number &&
               later(d, "421 4.7.0 too many connections\r\n", true);
    default: return stage == host->plan->stage && at_its_stage(host, d);
    }
}

static void taken(struct hop *h)
{
    struct host *host = h->server->owner;
    book_arrived(host->d, host, h);
}

static int64_t think_ms(struct hop *h)
{
    struct host *host = h->server->owner;
    if (host->plan->manner != SLOW || !host_troubled(host) || h->closing)
        return 0;
    return 1 + (int64_t)chance(h->server->w, (uint64_t)host->plan->number * SECOND_MS);
}

/* --- all of them --- */

void stage_zone(struct world *w, struct buf *zone)
{
    struct days *d = days_of(w);
    for (size_t i = 0; i < d->host_count; i++) {
        const struct host_plan *p = d->hosts[i].plan;
        buf_printf(zone, "mx-%s.example A 10.1.0.%zu\n", p->name, i + 1);
        if (p->manner == MUTE_DNS)
            buf_printf(zone, "%s.example TIMEOUT\n", p->name);
        else
            buf_printf(zone, "%s.example MX 10 mx-%s.example\n", p->name, p->name);
        for (unsigned k = 1; k < p->domains; k++)
            buf_printf(zone, "%s%u.example MX 10 mx-%s.example\n", p->name, k, p->name);
    }
}

static void open_host(struct host *h, size_t i)
{
    static const struct hop_ops ops = { NULL, at, taken, think_ms };
    const struct host_plan *p = h->plan;
    struct netaddr here = address_of(i);
    h->server = (struct hop_server){ .w = &h->d->w, .ops = &ops, .owner = h, .fd = -1,
                                     .extensions = "250-PIPELINING\r\n250-8BITMIME\r\n"
                                                   "250-DSN\r\n250 SIZE\r\n" };
    if (p->no_dsn)
        h->server.extensions = "250-PIPELINING\r\n250 8BITMIME\r\n";
    if (p->manner == SIPS) {
        h->server.sip_bytes = p->number;
        h->server.sip_ms = SECOND_MS;
    }
    if (p->manner == SILENT)
        loop_sim_cut(h->d->w.l, &here,
                     h->d->w.begun_ms + (p->until_ms ? p->until_ms : FAR_MS));
    if (p->manner != NOBODY)
        hop_server_open(&h->server, &here);
}

void stage_make(struct days *d)
{
    for (const struct host_plan *p = d->play->hosts; p->name; p++) {
        MUST(d->host_count < HOSTS_MAX);
        struct host *h = &d->hosts[d->host_count++];
        *h = (struct host){ .d = d, .plan = p };
        open_host(h, d->host_count - 1);
    }
}

void stage_turn(struct days *d)
{
    for (size_t i = 0; i < d->host_count; i++) {
        struct host *h = &d->hosts[i];
        struct netaddr here = address_of(i);
        if (host_troubled(h))
            continue;
        if (h->plan->manner == NOBODY && h->server.fd < 0)
            hop_server_open(&h->server, &here);
        if (h->plan->manner == SIPS)
            h->server.sip_bytes = 0;
    }
}

void stage_free(struct days *d)
{
    for (size_t i = 0; i < d->host_count; i++) {
        hop_server_close(&d->hosts[i].server);
        free(d->hosts[i].begun_at);
    }
}
