/* At which site a destination is, before anything begins there: the schedule alone, and qmgr with
 * a played resolver. */
#include "qmgr_rig.h"

#include "test.h"

#include "base/must.h"
#include "loop/sim.h"
#include "smtp/client.h"

#define WALL_MS INT64_C(1790000000000)

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, DOMAINS = 200 };

/* --- the schedule --- */

static struct sched_now at(int64_t ms) { return (struct sched_now){ ms, WALL_MS + ms }; }

static struct sched *new_sched(uint32_t initial, uint32_t max)
{
    struct sched_config c;
    sched_config_defaults(&c);
    c.places = true;
    c.site_initial = initial;
    c.site_max = max;
    return sched_new(&c);
}

/* A message to one recipient, routed to dest. */
static void add(struct sched *s, uint64_t seq, const char *dest, int64_t ms)
{
    struct sched_entry_rcpt rcpt = { .addr = SPAN("u@a.example") };
    struct sched_entry e = { .seq = seq, .received_ms = WALL_MS + ms,
                             .sender = SPAN("s@b.example"), .rcpts = &rcpt, .rcpt_count = 1 };
    struct sched_ask ask;
    struct sched_verdict v;
    MUST(sched_add(s, &e, at(ms)));
    while (sched_next_to_route(s, at(ms), &ask, 1))
        MUST(sched_routed(s, ask.seq, ask.rcpt, SCHED_TO, span_str(dest), at(ms), &v));
}

static unsigned begin_all(struct sched *s, int64_t ms, struct sched_job *last_r)
{
    unsigned n = 0;
    while (sched_next_job(s, at(ms), last_r))
        n++;
    return n;
}

static void end(struct sched *s, uint64_t job, enum sched_outcome_kind kind, enum sched_news news,
                int64_t ms)
{
    struct sched_outcome out = { kind, SPAN("so it is") };
    struct sched_result res = { .outcomes = &out, .news = news, .why = SPAN("trouble") };
    struct sched_verdict v;
    MUST(sched_job_result(s, job, &res, at(ms), &v));
}

/* Answers all that is asked for; how many that were. */
static unsigned place_all(struct sched *s, const char *site, int64_t until_ms)
{
    struct span dest;
    unsigned n = 0;
    for (; sched_next_to_place(s, &dest); n++) {
        sched_place(s, dest, span_str(site), 0);
        sched_placed(s, dest, until_ms, *site != '\0');
    }
    return n;
}

static void nothing_before(void)
{
    struct sched *s = new_sched(3, 3);
    struct sched_job job;
    struct span dest;
    for (uint64_t i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%u", (unsigned)i);
        add(s, 1 + i, name, 0);
    }
    CHECK_INT(begin_all(s, 0, &job), 0);
    CHECK_INT(sched_next_wake(s, at(0), 0), 0);
    CHECK(sched_next_to_place(s, &dest)); /* no answer to this one yet */
    CHECK_SPAN(dest, SPAN("d0"));
    struct sched_place_info p;
    CHECK(sched_dest(s, dest, &p) && p.asking);
    CHECK_INT(place_all(s, "mx:a", MINUTE_MS), 49);
    CHECK_INT(begin_all(s, 0, &job), 3);
    CHECK_SPAN(job.site, SPAN("mx:a"));
    CHECK_INT(sched_next_wake(s, at(0), SCHED_CAN_START) > 0, 1);
    sched_placed(s, SPAN("d0"), MINUTE_MS, false); /* nobody knows: it has a site of its own */
    CHECK_INT(begin_all(s, 0, &job), 1);
    CHECK_SPAN(job.dest, SPAN("d0"));
    CHECK(!job.site.n);
    CHECK(sched_dest(s, SPAN("d0"), &p) && !p.asking);
    sched_free(&s);
}

static void asked_again(void)
{
    struct sched *s = new_sched(5, 5);
    struct sched_job job, other;
    add(s, 1, "x", 0);
    CHECK_INT(place_all(s, "mx:a", MINUTE_MS), 1);
    CHECK_INT(begin_all(s, 0, &job), 1);
    end(s, job.id, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 10);
    add(s, 2, "x", MINUTE_MS - 1);
    CHECK_INT(place_all(s, "mx:a", MINUTE_MS), 0);
    CHECK_INT(begin_all(s, MINUTE_MS - 1, &job), 1);
    /* Beside what is under way it goes on with what was known. */
    struct span dest;
    add(s, 3, "x", 2 * MINUTE_MS);
    CHECK(sched_next_to_place(s, &dest));
    CHECK_INT(begin_all(s, 2 * MINUTE_MS, &other), 1);
    sched_place(s, dest, SPAN("mx:b"), 0);
    sched_placed(s, dest, 3 * MINUTE_MS, true);
    add(s, 4, "x", 2 * MINUTE_MS);
    CHECK_INT(place_all(s, "mx:b", 3 * MINUTE_MS), 0);
    end(s, job.id, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 2 * MINUTE_MS);
    end(s, other.id, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 2 * MINUTE_MS);
    CHECK_INT(begin_all(s, 2 * MINUTE_MS, &job), 1);
    CHECK_SPAN(job.site, SPAN("mx:b"));
    end(s, job.id, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 2 * MINUTE_MS);
    /* With nothing under way it is asked first. */
    CHECK_INT(begin_all(s, 4 * MINUTE_MS, &job), 0); /* the time is seen */
    add(s, 5, "x", 4 * MINUTE_MS);
    CHECK_INT(begin_all(s, 4 * MINUTE_MS, &job), 0);
    CHECK_INT(place_all(s, "mx:b", 5 * MINUTE_MS), 1);
    CHECK_INT(begin_all(s, 4 * MINUTE_MS, &job), 1);
    sched_free(&s);
}

/* The domain has other MX hosts now: it does not wait for the back-off of the old ones. */
static void moved(void)
{
    struct sched *s = new_sched(5, 5);
    struct sched_job job;
    struct sched_place_info p;
    add(s, 1, "x", 0);
    CHECK_INT(place_all(s, "mx:old", SECOND_MS), 1);
    CHECK_INT(begin_all(s, 0, &job), 1);
    end(s, job.id, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 10);
    CHECK(sched_dest(s, SPAN("x"), &p));
    CHECK_INT(p.site_down_until_ms > 30 * SECOND_MS, 1);
    CHECK_INT(begin_all(s, 2 * SECOND_MS, &job), 0);
    add(s, 2, "x", 2 * SECOND_MS);
    CHECK_INT(place_all(s, "mx:new", MINUTE_MS), 1);
    CHECK_INT(begin_all(s, 2 * SECOND_MS, &job), 1);
    CHECK_SPAN(job.site, SPAN("mx:new"));
    CHECK(sched_dest(s, SPAN("x"), &p) && !p.site_down_until_ms);
    sched_free(&s);
}

/* 100 domains wait behind one site in back-off, and nothing is known for sure any more when it
 * ends: one is asked about, one job probes. */
static void one_question_for_a_probe(void)
{
    struct sched *s = new_sched(5, 5);
    struct sched_job job;
    for (uint64_t i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%u", (unsigned)i);
        add(s, 1 + i, name, 0);
    }
    CHECK_INT(place_all(s, "mx:dead", SECOND_MS), 100);
    CHECK(sched_next_job(s, at(0), &job));
    for (struct sched_job more; sched_next_job(s, at(0), &more);)
        end(s, more.id, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 10);
    end(s, job.id, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 10);
    struct sched_place_info p;
    struct sched_ask ask; /* who was next has a slot until the router has said where to */
    struct sched_verdict v;
    while (sched_next_to_route(s, at(10), &ask, 1)) {
        char name[16];
        int n = snprintf(name, sizeof name, "d%u", (unsigned)ask.seq - 1);
        MUST(sched_routed(s, ask.seq, 0, SCHED_TO, span_of(name, (size_t)n), at(10), &v));
    }
    CHECK(sched_site_of(s, SPAN("d7"), &p) && p.down_until_ms);
    CHECK_INT(place_all(s, "mx:dead", SECOND_MS), 0);
    CHECK_INT(begin_all(s, p.down_until_ms, &job), 0);
    CHECK_INT(place_all(s, "mx:dead", p.down_until_ms + 1), 1);
    CHECK_INT(begin_all(s, p.down_until_ms, &job), 1);
    CHECK(job.probe);
    CHECK_INT(place_all(s, "mx:dead", p.down_until_ms + 1), 0);
    sched_free(&s);
}

/* The DNS works again: so does the destination that was left alone for it. */
static void dns_back(void)
{
    struct sched *s = new_sched(5, 5);
    struct sched_job job;
    struct sched_place_info p;
    add(s, 1, "x", 0);
    CHECK_INT(place_all(s, "", SECOND_MS), 1);
    CHECK_INT(begin_all(s, 0, &job), 1);
    end(s, job.id, SCHED_OUT_SITE, SCHED_NEWS_DEST_DOWN, 10);
    CHECK(sched_dest(s, SPAN("x"), &p) && p.down_until_ms);
    CHECK_INT(begin_all(s, 2 * SECOND_MS, &job), 0);
    add(s, 2, "x", 2 * SECOND_MS);
    CHECK_INT(place_all(s, "mx:a", MINUTE_MS), 1);
    CHECK_INT(begin_all(s, 2 * SECOND_MS, &job), 1);
    CHECK_SPAN(job.site, SPAN("mx:a"));
    sched_free(&s);
}

/* What waits when its place is known has that rule's time, and not more. */
static void rule_of_the_place(void)
{
    struct sched_config c;
    sched_config_defaults(&c);
    struct sched_rule rule;
    sched_rule_defaults(&rule, &c);
    rule.expire_after_ms = 20 * MINUTE_MS;
    rule.warn_after_ms = 0;
    c.places = true;
    c.rules = &rule;
    c.rule_count = 1;
    struct sched *s = sched_new(&c);
    struct sched_event ev;
    struct span dest;
    add(s, 1, "x", 0);
    sched_freeze(s, SPAN("mx:slow"));
    CHECK(sched_next_to_place(s, &dest));
    sched_place(s, dest, SPAN("mx:slow"), 1);
    sched_placed(s, dest, INT64_MAX, true);
    struct sched_job job;
    CHECK(!sched_next_job(s, at(0), &job)); /* frozen before its first attempt */
    CHECK(!sched_next_event(s, at(20 * MINUTE_MS - 1), &ev));
    CHECK(sched_next_event(s, at(20 * MINUTE_MS + 1), &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    sched_free(&s);
}

/* As after a start: each to a domain of its own, deferred for an hour; the last one is held. */
static struct sched *restarted(unsigned n)
{
    struct sched *s = new_sched(3, 3);
    for (unsigned i = 0; i < n; i++) {
        char addr[32];
        snprintf(addr, sizeof addr, "u@d%u.example", i);
        struct sched_entry_rcpt rcpt = { .addr = span_str(addr), .attempts = 1,
                                         .next_try_wall_ms = WALL_MS + 60 * MINUTE_MS };
        struct sched_entry e = { .seq = 1 + i, .received_ms = WALL_MS - MINUTE_MS,
                                 .sender = SPAN("s@b.example"), .rcpts = &rcpt, .rcpt_count = 1 };
        MUST(sched_add(s, &e, at(0)));
    }
    MUST(sched_hold(s, n, SCHED_ALL, SPAN("held by hand")) == 1);
    return s;
}

/* Nothing of it changes but that it is known where it goes. */
static void found_out_ahead(void)
{
    enum { N = 5 };
    struct sched *s = restarted(N);
    struct sched_ahead pass = { 0 };
    struct sched_ask asks[N + 1];
    struct sched_rcpt_info r;
    struct span dest;
    CHECK(sched_freeze(s, SPAN("mx:a")));
    CHECK_INT(sched_totals(s).unsited, N);
    CHECK_INT(sched_next_ahead(s, at(0), &pass, asks, 3), 3);
    CHECK_INT(sched_next_ahead(s, at(0), &pass, asks + 3, N), N - 3);
    CHECK_INT(sched_next_ahead(s, at(0), &pass, asks + N, 1), 0);
    CHECK(pass.over && pass.unknown == N);
    for (int i = 0; i < N; i++) {
        CHECK(sched_routed_ahead(s, &asks[i], SPAN("mx:d"), at(0)));
        CHECK(!sched_routed_ahead(s, &asks[i], SPAN("mx:e"), at(0))); /* it is known by now */
    }
    CHECK_INT(sched_totals(s).unsited, N);
    CHECK(!sched_next_to_place(s, &dest)); /* nobody waits for it */
    CHECK(sched_next_to_place_ahead(s, &dest));
    CHECK_SPAN(dest, SPAN("mx:d"));
    CHECK(!sched_next_to_place_ahead(s, &dest));
    sched_place(s, dest, SPAN("mx:a"), 0);
    sched_placed(s, dest, MINUTE_MS, true);
    CHECK_INT(sched_totals(s).unsited, 0);
    CHECK(sched_rcpt(s, 1, 0, &r));
    CHECK(r.frozen && r.state == SCHED_DEFERRED && r.attempts == 1);
    CHECK_SPAN(r.site, SPAN("mx:a"));
    CHECK(sched_rcpt(s, N, 0, &r) && r.state == SCHED_HELD);
    CHECK_SPAN(r.site, SPAN("mx:a"));
    CHECK(sched_thaw(s, SPAN("mx:a")));
    CHECK(sched_rcpt(s, 1, 0, &r) && r.next_try_ms == 60 * MINUTE_MS);
    pass = (struct sched_ahead){ 0 };
    CHECK_INT(sched_next_ahead(s, at(0), &pass, asks, N), 0);
    CHECK(pass.over && !pass.unknown);
    sched_free(&s);
}

/* What waits for a queue run is let go by that in its order all the same. */
static void found_out_before_a_run(void)
{
    enum { N = 4 };
    struct sched *s = new_sched(3, 3);
    struct sched_ahead pass = { 0 };
    struct sched_ask asks[N];
    struct sched_rcpt_info r;
    for (unsigned i = 0; i < N; i++) {
        struct sched_entry_rcpt rcpt = { .addr = SPAN("u@d.example") };
        struct sched_entry e = { .seq = 1 + i, .received_ms = WALL_MS, .rcpts = &rcpt,
                                 .flags = ENVELOPE_QUEUE_ONLY, .sender = SPAN("s@b.example"),
                                 .rcpt_count = 1 };
        MUST(sched_add(s, &e, at(0)));
    }
    CHECK_INT(sched_next_ahead(s, at(0), &pass, asks, N), N);
    for (int i = 0; i < N; i++)
        CHECK(sched_routed_ahead(s, &asks[i * 3 % N], SPAN("mx:d"), at(0)));
    CHECK(sched_rcpt(s, 2, 0, &r) && r.state == SCHED_WAITING);
    CHECK_SPAN(r.dest, SPAN("mx:d"));
    CHECK_INT(sched_next_to_route(s, at(0), asks, N), 0);
    sched_run_queue(s);
    CHECK_INT(sched_next_to_route(s, at(0), asks, N), N);
    for (int i = 0; i < N; i++)
        CHECK_INT(asks[i].seq, 1 + i);
    sched_free(&s);
}

/* No answer to the question for the site; mail that is due; what has gone meanwhile. */
static void found_out_later(void)
{
    struct sched *s = restarted(3);
    struct sched_ahead pass = { 0 };
    struct sched_ask asks[3], due;
    struct sched_job job;
    struct span dest;
    struct sched_verdict v;
    CHECK_INT(sched_next_ahead(s, at(0), &pass, asks, 3), 3);
    CHECK_INT(sched_delete(s, 2, SCHED_ALL), 1);
    CHECK(sched_routed_ahead(s, &asks[0], SPAN("mx:d"), at(0)));
    CHECK(!sched_routed_ahead(s, &asks[1], SPAN("mx:d"), at(0)));
    CHECK(sched_next_to_place_ahead(s, &dest));
    sched_placed(s, dest, MINUTE_MS, false);
    CHECK_INT(sched_totals(s).unsited, 2);
    CHECK_INT(sched_retry(s, 1, SCHED_ALL, at(10)), 1);
    pass = (struct sched_ahead){ 0 };
    CHECK_INT(sched_next_ahead(s, at(10), &pass, asks, 3), 0); /* what is due goes first */
    CHECK(!pass.over);
    CHECK_INT(sched_next_to_route(s, at(10), &due, 1), 1);
    CHECK(sched_routed(s, due.seq, due.rcpt, SCHED_TO, SPAN("mx:d"), at(10), &v));
    CHECK_INT(begin_all(s, 10, &job), 1);
    end(s, job.id, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 20);
    CHECK_INT(sched_next_ahead(s, at(20), &pass, asks, 3), 1); /* the held one */
    CHECK(!sched_next_to_place_ahead(s, &dest)); /* it was asked a moment ago */
    pass = (struct sched_ahead){ 0 };
    sched_next_ahead(s, at(2 * MINUTE_MS), &pass, asks, 3);
    CHECK(sched_next_to_place_ahead(s, &dest));
    sched_place(s, dest, SPAN("mx:a"), 0);
    sched_placed(s, dest, 10 * MINUTE_MS, true);
    CHECK_INT(sched_totals(s).unsited, 1);
    sched_free(&s);
}

/* What the rule of its place ends early does not wait for the latest end of any rule. */
static void its_end_is_known_ahead(void)
{
    struct sched_config c;
    sched_config_defaults(&c);
    c.places = true;
    struct sched_rule rule;
    sched_rule_defaults(&rule, &c);
    rule.expire_after_ms = 20 * MINUTE_MS;
    c.rules = &rule;
    c.rule_count = 1;
    struct sched *s = restarted(2);
    sched_configure(s, &c);
    struct sched_ahead pass = { 0 };
    struct sched_ask asks[2];
    struct sched_event ev;
    struct sched_job job;
    struct span dest;
    CHECK_INT(sched_next_ahead(s, at(0), &pass, asks, 2), 2);
    CHECK(sched_routed_ahead(s, &asks[0], SPAN("mx:d"), at(0)));
    CHECK(sched_next_to_place_ahead(s, &dest));
    sched_place(s, dest, SPAN("mx:a"), 1);
    sched_placed(s, dest, INT64_MAX, true);
    begin_all(s, 10, &job); /* looks at the timers */
    CHECK(!sched_next_event(s, at(18 * MINUTE_MS), &ev));
    CHECK(sched_next_event(s, at(19 * MINUTE_MS + 1), &ev));
    CHECK(ev.kind == SCHED_EVENT_EXPIRED && ev.seq == 1);
    sched_free(&s);
}

/* --- qmgr --- */

static char addresses[DOMAINS][40];

/* One message to each of many domains, which are all new. */
static void mail_to_all(struct rig *r, const char *user)
{
    for (unsigned i = 0; i < DOMAINS; i++) {
        snprintf(addresses[i], sizeof addresses[i], "%s%u@d%u.mx", user, i, i);
        rig_send(r, rig_mail(r, "s@src.example", addresses[i]));
    }
}

/* Answers what is under way until nothing is: the most at a time. */
static size_t most_at_a_time(struct rig *r, unsigned *first_r)
{
    size_t most = 0;
    *first_r = (unsigned)r->slow_count;
    while (r->slow_count) {
        most = r->slow_count > most ? r->slow_count : most;
        rig_answer_slow(r, SMTP_DELIVERED);
        rig_run(r, 100);
    }
    return most;
}

static bool all_delivered(struct rig *r)
{
    for (unsigned i = 0; i < DOMAINS; i++)
        if (rig_address(r, addresses[i])->delivered != 1)
            return false;
    return true;
}

static void one_limit(void)
{
    struct rig *r = rig_new(1);
    unsigned first;
    r->site = "mx:mx1.shared.mx,mx2.shared.mx";
    r->ttl_s = 3600;
    rig_resolver(r);
    mail_to_all(r, "slow");
    rig_run(r, 1000);
    size_t most = most_at_a_time(r, &first);
    CHECK_INT(first, 5);
    CHECK_INT(most, 20);
    CHECK_INT(r->sites_asked, DOMAINS); /* one question for each domain */
    CHECK(all_delivered(r));
    rig_free(&r);
}

static void after_a_restart(void)
{
    struct rig *r = rig_new(1);
    unsigned first;
    r->site = "mx:mx1.shared.mx";
    r->ttl_s = 3600;
    rig_resolver(r);
    mail_to_all(r, "slow");
    rig_run(r, 1000);
    rig_kill(r);
    rig_start(r);
    rig_resolver(r);
    rig_run(r, 20 * MINUTE_MS);
    CHECK(most_at_a_time(r, &first) <= 20);
    CHECK_INT(first, 5);
    CHECK(all_delivered(r));
    rig_free(&r);
}

static struct sched_rcpt_info first_of(struct rig *r, const struct rig_mail *m)
{
    struct sched_rcpt_info i;
    MUST(sched_rcpt(r->q->sched, m->seq, 0, &i));
    return i;
}

/* Mail that is not due: its site is known again soon after a start, without an attempt; after a
 * silent resolver it is asked later. */
static void known_after_a_restart(void)
{
    struct rig *r = rig_new(1);
    r->site = "mx:mx1.shared.mx";
    r->ttl_s = 3600;
    rig_resolver(r);
    struct rig_mail *m = rig_mail(r, "s@src.example", "tmp9999.1@d.mx");
    CHECK(rig_send(r, m));
    do {
        rig_run(r, 10 * SECOND_MS);
    } while (first_of(r, m).next_try_ms < qmgr_now(r->q).mono_ms + 5 * MINUTE_MS);
    CHECK_SPAN(first_of(r, m).site, SPAN("mx:mx1.shared.mx"));
    unsigned asked = r->sites_asked, tries = rig_address(r, "tmp9999.1@d.mx")->tries;
    for (int silent = 0; silent < 2; silent++) {
        rig_kill(r);
        r->site = silent ? NULL : "mx:mx1.shared.mx";
        rig_start(r);
        rig_resolver(r);
        CHECK_INT(sched_totals(r->q->sched).unsited, 1);
        rig_run(r, 20 * SECOND_MS);
        if (silent) {
            CHECK_INT(sched_totals(r->q->sched).unsited, 1);
            CHECK_INT(r->sites_asked, asked + 2);
            r->site = "mx:mx1.shared.mx";
            rig_run(r, 2 * MINUTE_MS);
        }
        CHECK_INT(sched_totals(r->q->sched).unsited, 0);
        CHECK_SPAN(first_of(r, m).site, SPAN("mx:mx1.shared.mx"));
        CHECK_INT(rig_address(r, "tmp9999.1@d.mx")->tries, tries);
    }
    CHECK_INT(r->sites_asked, asked + 3);
    rig_free(&r);
}

static void rule_by_mx(void)
{
    struct rig *r = rig_new_config(1, "delivery_rule \"shared\" {\n mx = {\"*.shared.mx\"}\n"
                                      " concurrency_initial = 2\n concurrency_max = 3\n}\n");
    unsigned first;
    r->site = "mx:mx1.shared.mx";
    r->ttl_s = 3600;
    rig_resolver(r);
    mail_to_all(r, "slow");
    rig_run(r, 1000);
    CHECK_INT(most_at_a_time(r, &first), 3);
    CHECK_INT(first, 2);
    CHECK(all_delivered(r));
    rig_free(&r);
}

/* Six a minute, from the first one on. */
static void rate_by_mx(void)
{
    struct rig *r = rig_new_config(1, "delivery_rule \"shared\" {\n mx = {\"*.shared.mx\"}\n"
                                      " rate = \"6/m\"\n}\n");
    r->site = "mx:mx1.shared.mx";
    r->ttl_s = 3600;
    rig_resolver(r);
    mail_to_all(r, "slow");
    unsigned begun = 0;
    for (int minute = 1; minute <= 5; minute++) {
        for (int i = 0; i < 60; i++) {
            rig_run(r, SECOND_MS);
            begun += (unsigned)r->slow_count;
            rig_answer_slow(r, SMTP_DELIVERED);
        }
        CHECK(begun <= 6u * (unsigned)minute + 1);
    }
    CHECK(begun >= 28);
    rig_free(&r);
}

/* Many messages to one domain are one question. */
static void one_question(void)
{
    struct rig *r = rig_new(1);
    r->site = "mx:mx1.shared.mx";
    r->ttl_s = 3600;
    rig_resolver(r);
    for (unsigned i = 0; i < DOMAINS; i++) {
        snprintf(addresses[i], sizeof addresses[i], "ok%u@same.mx", i);
        rig_send(r, rig_mail(r, "s@src.example", addresses[i]));
    }
    rig_run(r, 10 * SECOND_MS);
    CHECK(all_delivered(r));
    CHECK_INT(r->sites_asked, 1);
    rig_free(&r);
}

/* The MX set is another one: known with the first message after the TTL, which is 10 s at least. */
static void moves(void)
{
    struct rig *r = rig_new(1);
    struct sched_place_info p;
    r->site = "mx:old.mx";
    rig_resolver(r);
    for (int i = 0; i < 20; i++) {
        rig_send(r, rig_mail(r, "s@src.example", "ok@same.mx"));
        rig_run(r, 450);
    }
    CHECK_INT(r->sites_asked, 1);
    CHECK(sched_dest(r->q->sched, SPAN("mx:same.mx"), &p));
    CHECK_SPAN(p.site, SPAN("mx:old.mx"));
    r->site = "mx:new.mx";
    rig_run(r, 2 * SECOND_MS);
    rig_send(r, rig_mail(r, "s@src.example", "ok@same.mx"));
    rig_run(r, SECOND_MS);
    CHECK_INT(r->sites_asked, 2);
    CHECK(sched_dest(r->q->sched, SPAN("mx:same.mx"), &p));
    CHECK_SPAN(p.site, SPAN("mx:new.mx"));
    CHECK_INT(rig_address(r, "ok@same.mx")->delivered, 21);
    rig_free(&r);
}

/* deliver finds another site than resolver said, each time: a domain may have other MX hosts in
 * each answer. Nothing is tried in a circle. */
static void another_each_time(void)
{
    struct rig *r = rig_new(1);
    CHECK(rig_send(r, rig_mail(r, "s@src.example", "down.1@literal.example")));
    for (int i = 0; i < 1000; i++)
        rig_turn(r);
    CHECK_INT(rig_address(r, "down.1@literal.example")->tries, 1);
    rig_run(r, 10 * MINUTE_MS);
    CHECK(rig_address(r, "down.1@literal.example")->tries < 60);
    rig_free(&r);
}

/* resolver hangs: mail to an address goes at once, and other mail goes to deliver, which will say
 * what DNS says. */
static void no_answer(void)
{
    struct rig *r = rig_new(1);
    rig_resolver(r);
    mail_to_all(r, "ok");
    rig_send(r, rig_mail(r, "s@src.example", "ok.literal@hub.example"));
    rig_run(r, 5 * SECOND_MS);
    CHECK_INT(rig_address(r, "ok.literal@hub.example")->delivered, 1);
    CHECK_INT(rig_address(r, addresses[0])->tries, 0);
    rig_run(r, 7 * SECOND_MS);
    CHECK(all_delivered(r));
    rig_free(&r);
}

static void away_or_none(void)
{
    for (int i = 0; i < 3; i++) {
        struct rig *r = rig_new(1);
        if (i == 1) /* the domain does not exist: deliver will hear that */
            r->site = "";
        if (i) /* 2: it dies before it answers */
            rig_resolver(r);
        mail_to_all(r, "ok");
        rig_run(r, 10);
        if (i == 2)
            channel_free(&r->resolver);
        rig_run(r, SECOND_MS);
        CHECK(all_delivered(r));
        rig_free(&r);
    }
}

/* More domains than are asked about at once, and none is answered: none waits for ever. */
static void many_and_no_answer(void)
{
    enum { MANY = 5000 };
    struct rig *r = rig_new(1);
    rig_resolver(r);
    struct sched *s = r->q->sched;
    struct sched_now now = qmgr_now(r->q);
    for (uint64_t i = 0; i < MANY; i++) {
        char text[40];
        snprintf(text, sizeof text, "ok@m%u.mx", (unsigned)i);
        struct sched_entry_rcpt rcpt = { .addr = span_str(text) };
        struct sched_entry e = { .seq = 1 + i, .received_ms = now.wall_ms,
                                 .sender = SPAN("s@b.example"), .rcpts = &rcpt, .rcpt_count = 1 };
        MUST(sched_add(s, &e, now));
    }
    rig_run(r, 5 * SECOND_MS);
    CHECK_INT(r->sites_asked, 1024);
    CHECK_INT(sched_totals(s).rcpts[SCHED_READY], MANY);
    rig_run(r, 8 * SECOND_MS); /* all were begun; their content is not in the spool */
    CHECK_INT(sched_totals(s).rcpts[SCHED_READY], 0);
    rig_free(&r);
}

static const struct test tests[] = {
    TEST(nothing_before), TEST(asked_again), TEST(moved), TEST(one_question_for_a_probe),
    TEST(dns_back), TEST(rule_of_the_place), TEST(one_limit), TEST(after_a_restart),
    TEST(found_out_ahead), TEST(found_out_before_a_run), TEST(found_out_later),
    TEST(its_end_is_known_ahead), TEST(known_after_a_restart),
    TEST(rule_by_mx), TEST(rate_by_mx), TEST(one_question), TEST(moves),
    TEST(another_each_time), TEST(no_answer), TEST(away_or_none), TEST(many_and_no_answer),
};
TEST_MAIN(tests)
