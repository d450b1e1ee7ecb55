/* Worlds: every kind of trouble, a clock that is set, a machine that sleeps, processes away. */
#include "days.h"

/* --- a network of every kind of trouble, and processes that die --- */

static const struct host_plan every_kind[] = {
    { IS("src", GOOD), .weight = WEIGHT_NONE },
    { IS("good", GOOD), .weight = 3 },
    { IS("plain", GOOD), .no_dsn = true },
    { IS("nobody", NOBODY) },
    { IS("silent", SILENT) },
    { DOES("stallgreet", STALLS, AT_CONNECT) },
    { DOES("stallhelo", STALLS, AT_HELO) },
    { DOES("stallmail", STALLS, AT_MAIL) },
    { DOES("stallrcpt", STALLS, AT_RCPT) },
    { DOES("stalldata", STALLS, AT_DATA) },
    { DOES("stallend", STALLS, AT_END) },
    { DOES("deaf", DEAF, AT_DATA) },
    { DOES("dropgreet", DROPS, AT_CONNECT) },
    { DOES("drophelo", DROPS, AT_HELO) },
    { DOES("dropmail", DROPS, AT_MAIL) },
    { DOES("droprcpt", DROPS, AT_RCPT) },
    { DOES("dropdata", DROPS, AT_DATA) },
    { DOES("dropend", DROPS, AT_END) },
    { DOES("resetrcpt", RESETS, AT_RCPT) },
    { DOES("resetend", RESETS, AT_END) },
    { SAYS("never", ANSWERS, AT_RCPT, "550 5.1.1 nobody of that name") },
    { SAYS("neverend", ANSWERS, AT_END, "554 5.7.1 we do not like it") },
    { SAYS("later", ANSWERS, AT_RCPT, "450 4.2.1 later") },
    { SAYS("laterend", ANSWERS, AT_END, "451 4.3.0 later") },
    { SAYS("bye", BYE, AT_CONNECT, "421 4.3.2 closing") },
    { SAYS("byercpt", BYE, AT_RCPT, "421 4.3.2 closing") },
    { IS("mute", MUTE_DNS) },
    { IS("grey", GREYLISTS), .number = 20, .weight = 2 },
    { IS("rates", RATES), .number = 2, .weight = 4 },
    { IS("crowded", CROWDED), .number = 2, .weight = 4 },
    { IS("slow", SLOW), .number = 20, .weight = 2 },
    { IS("sips", SIPS), .number = 2000, .weight = 2 },
    { IS("back1", NOBODY), .until_ms = 7 * H, .weight = 2 },
    { DOES("back2", STALLS, AT_CONNECT), .until_ms = 9 * H, .weight = 2 },
    { SAYS("back3", ANSWERS, AT_MAIL, "451 4.3.2 later"), .until_ms = 8 * H, .weight = 2 },
    { IS("back4", SILENT), .until_ms = 6 * H, .weight = 2, .no_dsn = true },
    { SAYS("back5", ANSWERS, AT_RCPT, "452 4.2.2 full"), .until_ms = 10 * H, .weight = 2 },
    { DOES("back6", DROPS, AT_END), .until_ms = 5 * H, .weight = 2 },
    { .name = NULL },
};

const struct play play_stages = {
    .name = "stages", .hosts = every_kind, .mails = 200, .spread_ms = 6 * H,
    .expire_ms = 30 * H, .warn_ms = 4 * H, .retry_first_ms = 5 * M, .retry_max_ms = 2 * H,
    .concurrency = 6, .most_ms = 50 * H, .kills = 12,
};

/* --- the clock is set: nothing comes earlier or later by it --- */

static const struct event clocks[] = {
    { 2 * H, SET_CLOCK, .ms = 30 * DAY_MS },
    { 3 * H + 7 * M, SET_CLOCK, .ms = -12 * H },
    { 5 * H, SET_CLOCK, .ms = -60 * DAY_MS },
    { 9 * H, SET_CLOCK, .ms = 400 * DAY_MS },
    { 20 * H, SET_CLOCK, .ms = 3 * H },
    { .at_ms = 0 },
};

const struct play play_clock = {
    .name = "clock", .hosts = every_kind, .mails = 150, .spread_ms = 12 * H,
    .expire_ms = 30 * H, .warn_ms = 4 * H, .retry_first_ms = 5 * M, .retry_max_ms = 2 * H,
    .concurrency = 6, .most_ms = 60 * H, .events = clocks, .same = true,
};

/* --- the clock is wrong when the queue is read, and put right later: nothing ends early --- */

static const struct event wrong_clocks[] = {
    { 6 * H, SET_CLOCK, .ms = 90 * DAY_MS },
    { 6 * H + 1 * M, KILL, .role = ROLE_QMGR },
    { 12 * H, SET_CLOCK, .ms = -90 * DAY_MS },
    { .at_ms = 0 },
};

const struct play play_wrong_clock = {
    .name = "wrong clock", .hosts = every_kind, .mails = 150, .spread_ms = 12 * H,
    .expire_ms = 30 * H, .warn_ms = 4 * H, .retry_first_ms = 5 * M, .retry_max_ms = 2 * H,
    .concurrency = 6, .most_ms = 60 * H, .events = wrong_clocks,
};

/* --- the machine sleeps --- */

/* No storm: each message that waits is tried once, and what is probed as often as it may be. */
static void check_calm(struct days *d, int64_t from_ms, int64_t to_ms)
{
    enum { SOME = 30 };
    for (size_t i = 0; i < d->host_count; i++) {
        const struct host *h = &d->hosts[i];
        unsigned waits = 0, begun = host_begun_between(h, from_ms, to_ms);
        for (unsigned k = 0; k < d->count; k++)
            waits += d->mails[k].host == h && d->mails[k].due_ms < to_ms;
        if (h->plan->weight != WEIGHT_NONE && begun > 2 * waits + SOME)
            fail(&d->w, "%u messages began at %s in the minutes after a sleep, and %u wait", begun,
                 h->plan->name, waits);
    }
}

static const struct event sleeps[] = {
    { 1 * H, SLEEP, .ms = 20 * M },
    { 3 * H, SLEEP, .ms = 8 * H },
    { 12 * H, SLEEP, .ms = 5 * M },
    { 14 * H, SLEEP, .ms = 40 * H }, /* longer than mail lives */
    { 55 * H, SET_CLOCK, .ms = 40 * H },
    { .at_ms = 0 },
};

/* What would have expired while the machine slept was tried once more. */
static void check_spared(struct days *d, int64_t slept_ms, int64_t woke_ms)
{
    enum { SPARED_MS = 10 * MINUTE_MS };
    for (unsigned i = 0; i < d->count; i++) {
        const struct mail *m = &d->mails[i];
        int64_t end = m->accepted_ms + d->play->expire_ms;
        bool early = m->failed_ms >= woke_ms && m->failed_ms < woke_ms + SPARED_MS;
        if (m->failed && end > slept_ms && end < woke_ms && early)
            fail(&d->w, "message %u was given up %lld s after the machine woke", m->n,
                 (long long)(m->failed_ms - woke_ms) / SECOND_MS);
    }
}

static void check_sleep(struct days *d)
{
    enum { AFTER_MS = 10 * MINUTE_MS };
    for (size_t i = 0; i < d->event_count; i++) {
        const struct event *e = &d->events[i];
        int64_t woke = e->at_ms + e->ms;
        if (e->what != SLEEP)
            continue;
        check_calm(d, woke, woke + AFTER_MS);
        check_spared(d, e->at_ms, woke);
    }
}

const struct play play_sleep = {
    .name = "sleep", .hosts = every_kind, .mails = 250, .spread_ms = 14 * H,
    .expire_ms = 30 * H, .warn_ms = 4 * H, .retry_first_ms = 5 * M, .retry_max_ms = 2 * H,
    .concurrency = 6, .most_ms = 110 * H, .events = sleeps, .check = check_sleep,
};

/* --- processes that are away or mute for longer than mail lives --- */

static const struct host_plan around[] = {
    { IS("src", GOOD), .weight = WEIGHT_NONE },
    { IS("good", GOOD), .weight = 3 },
    { IS("nobody", NOBODY) },
    { DOES("stallhelo", STALLS, AT_HELO) },
    { SAYS("later", ANSWERS, AT_RCPT, "450 4.2.1 later") },
    { IS("mute", MUTE_DNS) },
    { .name = NULL },
};

static const struct event aways[] = {
    { 2 * H, AWAY, ROLE_ROUTER, .ms = 9 * H },
    { 20 * H, AWAY, ROLE_DELIVER, .ms = 9 * H },
    { 40 * H, MUTE_RESOLVER, .ms = 9 * H },
    { 60 * H, AWAY, ROLE_RESOLVER, .ms = 9 * H },
    { 80 * H, AWAY, ROLE_QMGR, .ms = 9 * H },
    { 92 * H, UNWIRE, ROLE_DELIVER, .ms = 0 },
    { .at_ms = 0 },
};

const struct play play_away = {
    .name = "away", .hosts = around, .mails = 200, .spread_ms = 96 * H,
    .expire_ms = 10 * H, .warn_ms = 2 * H, .retry_first_ms = 5 * M, .retry_max_ms = 2 * H,
    .concurrency = 6, .most_ms = 150 * H, .events = aways, .endings = true,
    .config = "relay { from = {\"10.2.0.0/16\"} }\n"
              "route { mailertable = \"inline:src.example relay:[10.1.0.1]\" }\n",
};
