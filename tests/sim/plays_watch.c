/* Worlds: alarms; recipients that next hops are asked about. */
#include "days.h"

#include <string.h>

/* --- alarms --- */

static const struct host_plan watched_hosts[] = {
    { IS("src", GOOD), .weight = WEIGHT_NONE },
    { IS("ops", GOOD), .weight = WEIGHT_NONE }, /* 10.1.0.2 */
    { IS("good", GOOD) },
    { IS("dead", NOBODY), .until_ms = 20 * H, .weight = 4 },
    { IS("other", NOBODY), .until_ms = 20 * H, .weight = WEIGHT_NONE },
    { .name = NULL },
};

enum { DEAD_MAILS = 10, SITE_AGE_MS = 2 * HOUR_MS, REPEAT_MS = 4 * HOUR_MS,
       SEEN_WITHIN_MS = 6 * MINUTE_MS, WATCH_DIES_MS = 12 * HOUR_MS };

static const struct event troubles[] = {
    { 6 * H, SET_CLOCK, .ms = 30 * DAY_MS },
    { 9 * H, SET_CLOCK, .ms = -60 * DAY_MS },
    { WATCH_DIES_MS, KILL, ROLE_WATCH, .ms = 0 },
    { 24 * H, MUTE_RESOLVER, .ms = 3 * H },
    { 30 * H, KILL, ROLE_DELIVER, .ms = 0 },
    { 30 * H + M, KILL, ROLE_DELIVER, .ms = 0 },
    { 30 * H + 2 * M, KILL, ROLE_DELIVER, .ms = 0 },
    { 34 * H, SLEEP, .ms = 10 * H },
    { .at_ms = 0 },
};

/* The first come to the dead site at once, so that it is known when they are old; the next to
 * another, between the two times that the clock is set. */
static void make_watched(struct days *d)
{
    for (unsigned i = 0; i < 2 * DEAD_MAILS; i++) {
        bool first = i < DEAD_MAILS;
        d->mails[i].host = host_named(d, first ? "dead" : "other");
        d->mails[i].due_ms = i * MINUTE_MS + (first ? 0 : 6 * H);
    }
    for (unsigned i = 2 * DEAD_MAILS; i < d->count; i++) /* the DNS is away later */
        d->mails[i].due_ms %= 15 * H;
}

static void expect_once(struct days *d, const char *kind, enum news news, int64_t from_ms,
                        int64_t to_ms)
{
    const struct piece *p = news_at(d, kind, news, 0);
    if (news_count(d, kind, news) != 1)
        fail(&d->w, "alarm %s: %u times what was to come once (%d)", kind,
             news_count(d, kind, news), news);
    else if (p->at_ms < from_ms || p->at_ms > to_ms)
        fail(&d->w, "alarm %s (%d) came at %lld s, not between %lld and %lld s", kind, news,
             (long long)p->at_ms / SECOND_MS, (long long)from_ms / SECOND_MS,
             (long long)to_ms / SECOND_MS);
}

/* While it lasts, each REPEAT_MS, whatever the clock on the wall is set to. A watch that begins
 * anew knows when it was told by that clock alone, and says it again when it cannot tell. */
static void check_repeats(struct days *d, const char *kind)
{
    const struct piece *raised = news_at(d, kind, RAISED, 0), *p;
    const struct piece *cleared = news_at(d, kind, CLEARED, 0);
    int64_t last = raised ? raised->at_ms : 0;
    for (unsigned i = 0; (p = news_at(d, kind, REPEATED, i)); i++) {
        bool anew = p->at_ms > WATCH_DIES_MS && p->at_ms < WATCH_DIES_MS + SEEN_WITHIN_MS;
        if ((p->at_ms < last + REPEAT_MS - MINUTE_MS && !anew) ||
            p->at_ms > last + REPEAT_MS + SEEN_WITHIN_MS)
            fail(&d->w, "alarm %s was repeated after %lld minutes", kind,
                 (long long)(p->at_ms - last) / MINUTE_MS);
        last = p->at_ms;
    }
    if (raised && cleared && cleared->at_ms > last + REPEAT_MS + SEEN_WITHIN_MS)
        fail(&d->w, "alarm %s was not repeated", kind);
}

static int64_t last_delivery(const struct days *d, const struct host *h)
{
    int64_t last = 0;
    for (unsigned i = 0; i < d->count; i++)
        if (d->mails[i].host == h && d->mails[i].delivered_ms > last)
            last = d->mails[i].delivered_ms;
    return last;
}

static void check_dead(struct days *d, const char *alarm, const char *host, unsigned first)
{
    int64_t over = last_delivery(d, host_named(d, host));
    int64_t old = d->mails[first + 4].accepted_ms + SITE_AGE_MS;
    expect_once(d, alarm, RAISED, old, old + SEEN_WITHIN_MS);
    expect_once(d, alarm, CLEARED, 20 * H, over + SEEN_WITHIN_MS);
    check_repeats(d, alarm);
}

static void check_watched(struct days *d)
{
    static const char *const none[] = { "expiry", "queue_growth", "queue_silent", "disk_space",
                                        "listener mx 10.0.0.1:25", "next_hop",
                                        "site_age mx:mx-good.example" };
    check_dead(d, "site_age mx:mx-dead.example", "dead", 0);
    check_dead(d, "site_age mx:mx-other.example", "other", DEAD_MAILS);
    bool queued = !strstr(d->play->config, " relay = "); /* then it waits for the DNS itself */
    expect_once(d, "dns", RAISED, 24 * H, (queued ? 27 : 24) * H + SEEN_WITHIN_MS);
    expect_once(d, "dns", CLEARED, 27 * H, 27 * H + SEEN_WITHIN_MS);
    expect_once(d, "crashes deliver", RAISED, 30 * H, 30 * H + SEEN_WITHIN_MS);
    expect_once(d, "crashes deliver", CLEARED, 30 * H + 10 * M, 30 * H + 10 * M + SEEN_WITHIN_MS);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (news_count(d, none[i], RAISED))
            fail(&d->w, "alarm %s was raised", none[i]);
}

#define WATCHED(relay) \
    .hosts = watched_hosts, .mails = 60, .spread_ms = 30 * H, .expire_ms = 40 * H, \
    .warn_ms = 4 * H, .retry_first_ms = 5 * M, .retry_max_ms = 2 * H, .concurrency = 6, \
    .least_ms = 48 * H, .most_ms = 100 * H, .events = troubles, .watched = true, \
    .make = make_watched, .check = check_watched, \
    .config = "relay { from = {\"10.2.0.0/16\"} }\n" \
              "alarm { to = {\"ops@ops.example\"} " relay "interval = 1m\n" \
              "        repeat = 4h\n" \
              "        site_age = 2h site_recipients = 5 disk_free = 1K inodes_free = 0\n" \
              "        queue_growth = 50 crashes = 3 }\n"

const struct play play_alarms = { .name = "alarms", WATCHED("relay = \"[10.1.0.2]\" ") };
/* As mail of this machine, beside what waits for dead sites. */
const struct play play_alarms_queued = { .name = "alarms queued", WATCHED("") };

/* --- recipients that next hops are asked about --- */

/* Ten probes at once, beside the mail. */
enum { PROBES = 10, MAIL = 6, BOTH = PROBES + MAIL };

static const struct host_plan asked[] = {
    { IS("src", GOOD), .weight = WEIGHT_NONE },
    { IS("good", GOOD), .limit = BOTH, .weight = 6 },
    { IS("slow", SLOW), .number = 3, .limit = BOTH, .weight = 2 },
    { IS("verynobody", NOBODY), .until_ms = 3 * H, .limit = BOTH },
    { IS("silent", SILENT), .until_ms = 3 * H, .limit = BOTH },
    { DOES("stallgreet", STALLS, AT_CONNECT), .until_ms = 3 * H, .limit = BOTH },
    { DOES("stallrcpt", STALLS, AT_RCPT), .until_ms = 3 * H, .limit = BOTH },
    { DOES("droprcpt", DROPS, AT_RCPT), .until_ms = 3 * H, .limit = BOTH },
    { SAYS("bye", BYE, AT_CONNECT, "421 4.3.2 closing"), .until_ms = 3 * H, .limit = BOTH },
    { SAYS("notnull", ANSWERS, AT_MAIL, "451 4.3.0 later"), .until_ms = 3 * H, .limit = BOTH },
    { SAYS("later", ANSWERS, AT_RCPT, "450 4.2.1 later"), .until_ms = 3 * H, .limit = BOTH },
    { IS("mute", MUTE_DNS) },
    { .name = NULL },
};

enum { BURST = 40, ASKED_WITHIN_MS = 25 * SECOND_MS };

static void make_asked(struct days *d)
{
    struct host *stall = host_named(d, "stallrcpt");
    for (unsigned i = 0; i < d->count; i++) {
        struct mail *m = &d->mails[i];
        const char *name = m->host->plan->name;
        m->stranger = true;
        m->unknown = (strcmp(name, "good") == 0 || strcmp(name, "slow") == 0) && one_in(&d->w, 3);
        if (i < BURST) {
            m->host = stall;
            m->unknown = false;
            m->due_ms = H;
        }
    }
}

static void check_asked(struct days *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        const struct mail *m = &d->mails[i];
        if (m->rcpt_said_ms > ASKED_WITHIN_MS)
            fail(&d->w, "message %u to %s: the answer to RCPT took %lld s", m->n,
                 m->host->plan->name, (long long)m->rcpt_said_ms / SECOND_MS);
        if (!m->unknown && m->code == 550)
            fail(&d->w, "message %u to %s was refused, and it is not unknown", m->n,
                 m->host->plan->name);
    }
}

#define ASKED \
    .hosts = asked, .mails = 250, .spread_ms = 6 * H, .expire_ms = 20 * H, .warn_ms = 4 * H, \
    .retry_first_ms = 5 * M, .retry_max_ms = 2 * H, .concurrency = MAIL, .most_ms = 40 * H, \
    .plain = true, .make = make_asked, .check = check_asked, \
    .config = "relay { from = {\"10.2.0.0/16\"} domains = {\".example\"} verify = on\n" \
              "        verify_timeout = 20s }\n" \
              "server { question = 30s }\n"

const struct play play_verify = { .name = "verify", ASKED };
const struct play play_verify_kills = { .name = "verify_kills", ASKED, .kills = 12,
                                        .longer = true };
