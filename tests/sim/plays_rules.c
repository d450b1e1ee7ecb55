/* Worlds: delivery rules; one bad site, and one sender with very much. */
#include "days.h"

#include <stdio.h>

/* --- delivery rules --- */

static const struct host_plan ruled[] = {
    { IS("src", GOOD), .weight = WEIGHT_NONE },
    { IS("second", GOOD), .most = 2, .window_ms = 950, .weight = 4 },
    { IS("minute", GOOD), .most = 6, .window_ms = M - 50, .weight = 8 },
    { IS("hour", GOOD), .most = 30, .window_ms = H - 50, .weight = 8 },
    { IS("many", GOOD), .most = 10, .window_ms = M - 50, .domains = 20, .weight = 8 },
    { IS("few", SLOW), .number = 20, .limit = 2, .weight = 8 },
    { IS("curve", GREYLISTS), .number = 100, .curve_ms = { 2 * M, 10 * M, 40 * M } },
    { SAYS("soon", ANSWERS, AT_RCPT, "450 4.2.1 later"), .expire_ms = 5 * H, .warn_ms = H },
    { IS("wedged", DEAF), .expire_ms = 6 * H, .limit = 3 },
    { SAYS("late", ANSWERS, AT_RCPT, "450 4.2.1 later") },
    { .name = NULL },
};

static const char ruled_config[] =
    "relay { from = {\"10.2.0.0/16\"} }\n"
    "delivery_rule \"second\" { mx = {\"mx-second.*\"} rate = \"2/s\" }\n"
    "delivery_rule \"minute\" { domain = {\"minute.example\"} rate = \"6/m\" }\n"
    "delivery_rule \"hour\" { mx = {\"mx-hour.example\"} rate = \"30/h\" }\n"
    "delivery_rule \"many\" { mx = {\"mx-many.*\"} rate = \"10/m\" }\n"
    "delivery_rule \"few\" { mx = {\"mx-few.*\"} concurrency_max = 2 concurrency_initial = 1 }\n"
    "delivery_rule \"curve\" { domain = {\"curve.example\"} retry = {\"2m\", \"10m\", \"40m\"} }\n"
    "delivery_rule \"soon\" { domain = {\"soon.example\"} expire_after = 5h warn_after = 1h }\n"
    "delivery_rule \"wedged\" { mx = {\"mx-wedged.*\"} expire_after = 6h concurrency_max = 3 }\n";

const struct play play_rules = {
    .name = "rules", .hosts = ruled, .config = ruled_config, .mails = 400, .spread_ms = 2 * H,
    .expire_ms = 20 * H, .warn_ms = 4 * H, .retry_first_ms = 5 * M, .retry_max_ms = 2 * H,
    .concurrency = 6, .most_ms = 40 * H,
};

/* The same with processes that die: each time one message more may begin. */
const struct play play_rules_kills = {
    .name = "rules_kills", .hosts = ruled, .config = ruled_config, .mails = 400,
    .spread_ms = 2 * H, .expire_ms = 20 * H, .warn_ms = 4 * H, .retry_first_ms = 5 * M,
    .retry_max_ms = 2 * H, .concurrency = 6, .most_ms = 40 * H, .kills = 10, .longer = true,
};

/* --- one bad site, and one sender with very much --- */

static const struct host_plan bad_and_good[] = {
    { IS("src", GOOD), .weight = WEIGHT_NONE },
    { IS("live", GOOD), .weight = WEIGHT_NONE },
    { IS("wedged", DEAF), .weight = 10 },
    { IS("silent", SILENT), .weight = 10 },
    { IS("narrow", SLOW), .number = 8, .limit = 2, .domains = 40, .weight = WEIGHT_NONE },
    { .name = NULL },
};

enum { LIVE_MAILS = 100, BIG_MAILS = 300, SMALL_MAILS = 20 };

static void make_fair(struct days *d)
{
    struct host *live = host_named(d, "live"), *narrow = host_named(d, "narrow");
    for (unsigned i = 0; i < d->count; i++) {
        struct mail *m = &d->mails[i];
        if (i < LIVE_MAILS) {
            m->host = live;
            m->due_ms = 10 * M + (int64_t)i * M;
        } else if (i < LIVE_MAILS + BIG_MAILS + SMALL_MAILS) {
            bool big = i < LIVE_MAILS + BIG_MAILS;
            m->host = narrow;
            m->domain = big ? i / 2 % narrow->plan->domains : 1;
            m->due_ms = big ? 0 : 10 * M + (int64_t)chance(&d->w, 20 * M);
            /* One writes to all domains of the site, one from another address each time. */
            if (!big)
                snprintf(m->from, sizeof m->from, "small%u@src.example", i);
            else if (i % 2)
                snprintf(m->from, sizeof m->from, "big@src.example");
            else
                snprintf(m->from, sizeof m->from, "list+%u@src.example", i);
        }
    }
}

static void check_fair(struct days *d)
{
    enum { AT_ONCE_MS = 2 * SECOND_MS, TURN_MS = 4 * MINUTE_MS };
    int64_t last_big = 0, last_small = 0;
    for (unsigned i = 0; i < LIVE_MAILS + BIG_MAILS + SMALL_MAILS; i++) {
        const struct mail *m = &d->mails[i];
        int64_t late = m->delivered_ms - m->accepted_ms;
        bool big = i >= LIVE_MAILS && i < LIVE_MAILS + BIG_MAILS;
        if (i < LIVE_MAILS && late > AT_ONCE_MS)
            fail(&d->w, "message %u to a site that is well took %lld ms", m->n, (long long)late);
        if (i >= LIVE_MAILS && !big && late > TURN_MS)
            fail(&d->w, "message %u waited %lld s behind another sender's", m->n,
                 (long long)late / SECOND_MS);
        if (big && m->delivered_ms > last_big)
            last_big = m->delivered_ms;
        if (i >= LIVE_MAILS && !big && m->delivered_ms > last_small)
            last_small = m->delivered_ms;
    }
    if (last_big < last_small) /* else there was nothing to be fair about */
        fail(&d->w, "the large sender was through before the others came");
}

const struct play play_fair = {
    .name = "fair", .hosts = bad_and_good, .mails = 1500, .spread_ms = 5 * M,
    .expire_ms = 6 * H, .warn_ms = 5 * H, .retry_first_ms = 5 * M, .retry_max_ms = H,
    .concurrency = 20, .most_ms = 20 * H, .plain = true, .make = make_fair, .check = check_fair,
    .config = "relay { from = {\"10.2.0.0/16\"} }\n"
              "delivery_rule \"n\" { mx = {\"mx-narrow.*\"} concurrency_max = 2 }\n",
};
