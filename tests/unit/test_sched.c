/* Unit tests of sched: one behaviour each. The random runs are in test_sched_model.c. */
#include "sched_bed.h"
#include "test.h"

#include "base/must.h"
#include "sched/order.h"
#include "sys/sandbox.h"

#include <malloc.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static struct sched *make(void)
{
    struct sched_config c;
    sched_config_defaults(&c);
    c.site_initial = 2;
    c.site_max = 4;
    return sched_new(&c);
}

static const char *sender_now = "a@sender.example";

static bool add_at(struct sched *s, uint64_t seq, const char *rcpt, uint32_t n, uint32_t flags,
                   int64_t now_ms)
{
    struct sched_entry_rcpt rcpts[8] = { 0 };
    for (uint32_t i = 0; i < n; i++)
        rcpts[i] = (struct sched_entry_rcpt){ .addr = span_str(rcpt) };
    struct sched_entry e = { .seq = seq, .received_ms = WALL + now_ms, .size_bytes = 100,
                             .flags = flags, .sender = span_str(sender_now),
                             .rcpts = rcpts, .rcpt_count = n };
    return sched_add(s, &e, at(now_ms));
}

static bool add(struct sched *s, uint64_t seq, const char *rcpt)
{
    return add_at(s, seq, rcpt, 1, 0, 0);
}

static struct sched_verdict verdicts[SCHED_JOB_RCPTS_MAX];
static int changes[SCHED_RESTORED + 1]; /* of the pace of sites */

static bool end_job(struct sched *s, const struct sched_job *job, enum sched_outcome_kind kind,
                    enum sched_news news, int64_t now_ms)
{
    static struct sched_outcome out[SCHED_JOB_RCPTS_MAX];
    for (uint32_t i = 0; i < job->rcpt_count; i++)
        out[i] = (struct sched_outcome){ kind, SPAN("because") };
    struct sched_result res = { .outcomes = out, .news = news, .why = SPAN("trouble") };
    bool known = sched_job_result(s, job->id, &res, at(now_ms), verdicts);
    changes[sched_change(s)]++;
    return known;
}

static uint32_t state_of(struct sched *s, uint64_t seq, uint32_t i)
{
    struct sched_rcpt_info r;
    return sched_rcpt(s, seq, i, &r) ? r.state : SCHED_STATES;
}

static void delivered_is_gone(void)
{
    struct sched *s = make();
    CHECK(add_at(s, 7, "u@x.example", 3, 0, 0));
    CHECK(!add(s, 7, "u@x.example"));
    CHECK_INT(route_all(s, "x", 0), 3);
    struct sched_job job;
    CHECK(sched_next_job(s, at(0), &job));
    CHECK_INT(job.rcpt_count, 3);
    CHECK_INT(job.rcpts[0], 0);
    CHECK_INT(job.rcpts[2], 2);
    CHECK_SPAN(job.dest, SPAN("x"));
    CHECK(!sched_next_job(s, at(0), &job) || !"a second job");
    CHECK(end_job(s, &job, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 5));
    CHECK_INT(verdicts[0].state, SCHED_DELIVERED);
    CHECK_INT(verdicts[2].attempts, 1);
    CHECK(!end_job(s, &job, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 5));
    uint64_t seq;
    CHECK(sched_next_gone(s, &seq));
    CHECK_INT(seq, 7);
    CHECK(!sched_next_gone(s, &seq));
    CHECK_INT(sched_totals(s).messages, 0);
    CHECK_INT(sched_next_wake(s, at(5), 3), INT64_MAX);
    sched_free(&s);
    CHECK(s == NULL);
}

static void deferral_doubles_and_is_routed_anew(void)
{
    struct sched *s = make();
    add(s, 1, "u@x.example");
    int64_t now = 0, want = 5 * MINUTE;
    for (int i = 1; i <= 8; i++) {
        CHECK_INT(route_all(s, i & 1 ? "x" : "y", now), 1);
        struct sched_job job;
        CHECK(sched_next_job(s, at(now), &job));
        CHECK_SPAN(job.dest, i & 1 ? SPAN("x") : SPAN("y"));
        end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, now);
        CHECK_INT(verdicts[0].state, SCHED_DEFERRED);
        CHECK_INT(verdicts[0].attempts, i);
        int64_t delay = verdicts[0].next_try_ms - now;
        CHECK(delay >= want - want / 8 - 1 && delay <= want + want / 8 + 1);
        CHECK_INT(verdicts[0].next_try_wall_ms, WALL + verdicts[0].next_try_ms);
        CHECK(sched_next_wake(s, at(now), 3) <= verdicts[0].next_try_ms);
        /* Nobody there to take it: an owner that is woken for it would turn in circles. */
        if (i == 1)
            CHECK(sched_next_wake(s, at(verdicts[0].next_try_ms), 0) > verdicts[0].next_try_ms);
        CHECK(!sched_next_job(s, at(now + delay - 1), &job));
        now += delay;
        /* The slot is taken first, then the route asked. */
        CHECK(!sched_next_job(s, at(now), &job));
        want = want * 2 > 4 * HOUR ? 4 * HOUR : want * 2;
    }
    sched_free(&s);
}

static void a_dead_site_costs_one_attempt(void)
{
    struct sched *s = make();
    for (uint64_t i = 1; i <= 50; i++)
        add(s, i, "u@dead.example");
    CHECK_INT(route_all(s, "dead", 0), 50);
    struct sched_job jobs[2], job;
    CHECK(sched_next_job(s, at(0), &jobs[0]));
    CHECK(sched_next_job(s, at(0), &jobs[1]));
    CHECK(!sched_next_job(s, at(0), &job)); /* site_initial */
    end_job(s, &jobs[0], SCHED_OUT_SITE, SCHED_NEWS_DOWN, 10);
    CHECK(!sched_next_job(s, at(10), &job)); /* halved to 1, one at work */
    end_job(s, &jobs[1], SCHED_OUT_SITE, SCHED_NEWS_DOWN, 20);
    CHECK_INT(verdicts[0].state, SCHED_READY);
    CHECK(verdicts[0].site_wait);
    int64_t now = 20, first = 0;
    for (int round = 0; round < 5; round++) {
        struct sched_place_info p;
        CHECK(sched_dest(s, SPAN("dead"), &p));
        int64_t wake = sched_next_wake(s, at(now), 3);
        first = round == 0 ? wake - now : first;
        CHECK(round == 0 || wake - now > first + MINUTE / 2);
        now = wake;
        if (!sched_next_job(s, at(now), &job)) {     /* routed anew first: */
            CHECK_INT(route_all(s, "dead", now), 1); /* only one of the fifty */
            CHECK(sched_next_job(s, at(now), &job));
        }
        CHECK(job.probe);
        struct sched_job other;
        CHECK(!sched_next_job(s, at(now), &other));
        end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, now);
    }
    uint32_t attempts = 0;
    struct sched_rcpt_info r;
    for (uint64_t i = 1; i <= 50; i++) {
        CHECK(sched_rcpt(s, i, 0, &r));
        attempts += r.attempts;
        CHECK_INT(r.state, SCHED_READY);
        CHECK_SPAN(r.reason, SPAN("trouble"));
        CHECK(r.next_try_ms > now);
    }
    CHECK_INT(attempts, 7);
    /* Back again: the probe opens the site to all. */
    now = sched_next_wake(s, at(now), 3);
    int delivered = 0;
    for (int i = 0; i < 200 && delivered < 50; i++) {
        route_all(s, "dead", now);
        while (sched_next_job(s, at(now), &job)) {
            end_job(s, &job, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, now);
            delivered++;
        }
    }
    CHECK_INT(delivered, 50);
    sched_free(&s);
}

/* The next job there is for x, at the time when there is one. */
static void next_job(struct sched *s, int64_t *now_ms, struct sched_job *job_r)
{
    while (route_all(s, "x", *now_ms), !sched_next_job(s, at(*now_ms), job_r))
        *now_ms = sched_next_wake(s, at(*now_ms), 3);
}

/* A trouble that is over is not told as the reason of those that wait for their turn. */
static void who_waits_has_the_sites_word(void)
{
    static const struct {
        enum sched_outcome_kind kind;
        enum sched_news news;
        const char *why;
    } jobs[] = {
        { SCHED_OUT_SITE, SCHED_NEWS_DEST_DOWN, "no answer of the DNS" },
        { SCHED_OUT_DEFERRED, SCHED_NEWS_SLOW, "421 too many" },
        { SCHED_OUT_DELIVERED, SCHED_NEWS_OK, "" },
    };
    struct sched *s = make();
    struct sched_job job;
    struct sched_rcpt_info r;
    int64_t now = 0;
    for (uint64_t i = 1; i <= 50; i++)
        add(s, i, "u@x.example");
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        next_job(s, &now, &job);
        struct sched_outcome out = { jobs[i].kind, SPAN("because") };
        struct sched_result res = { .outcomes = &out, .news = jobs[i].news,
                                    .why = span_str(jobs[i].why) };
        CHECK(sched_job_result(s, job.id, &res, at(now), verdicts));
        CHECK(sched_rcpt(s, 50, 0, &r));
        CHECK_INT(r.state, SCHED_READY);
        CHECK_SPAN(r.reason, res.why);
    }
    sched_free(&s);
}

/* "Later" (greylisting) and refusals end a back-off and say nothing about how much it takes. */
static void only_what_is_taken_brings_more(void)
{
    static const struct {
        enum sched_outcome_kind kind;
        enum sched_news news;
        uint32_t limit;
    } jobs[] = {
        { SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 2 },  { SCHED_OUT_FAILED, SCHED_NEWS_OK, 2 },
        { SCHED_OUT_SITE, SCHED_NEWS_DOWN, 1 },    { SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 2 },
        { SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 3 }, { SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 3 },
    };
    struct sched *s = make();
    struct sched_place_info p;
    struct sched_job job;
    int64_t now = 0;
    for (uint64_t i = 1; i <= 50; i++)
        add(s, i, "u@x.example");
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        next_job(s, &now, &job);
        end_job(s, &job, jobs[i].kind, jobs[i].news, now);
        CHECK(sched_site_of(s, SPAN("x"), &p));
        CHECK_INT(p.limit, jobs[i].limit);
        CHECK(!p.down_until_ms == (jobs[i].news == SCHED_NEWS_OK));
    }
    sched_free(&s);
}

static void fresh_mail_passes_a_dead_crowd(void)
{
    enum { CROWD = 100000 };
    struct sched *s = make();
    struct sched_job job;
    for (uint64_t i = 1; i <= CROWD; i++)
        add(s, i, "u@dead.example");
    route_all(s, "dead", 0);
    while (sched_next_job(s, at(0), &job))
        end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 0);
    for (uint64_t i = 0; i < 100; i++) {
        int64_t now = 1000 + (int64_t)i * MINUTE;
        add_at(s, CROWD + 1 + i, "v@live.example", 1, 0, now);
        struct sched_ask asks[4];
        struct sched_verdict v;
        size_t n = sched_next_to_route(s, at(now), asks, 4);
        CHECK(n >= 1 && asks[n - 1].seq == CROWD + 1 + i);
        for (size_t k = 0; k < n; k++)
            CHECK(sched_routed(s, asks[k].seq, asks[k].rcpt, SCHED_TO,
                               asks[k].seq > CROWD ? SPAN("live") : SPAN("dead"), at(now), &v));
        bool seen = false;
        for (int jobs = 0; sched_next_job(s, at(now), &job); jobs++) {
            CHECK(jobs < 2); /* it, and one probe at most */
            bool live = job.seq > CROWD;
            seen = seen || live;
            end_job(s, &job, live ? SCHED_OUT_DELIVERED : SCHED_OUT_SITE,
                    live ? SCHED_NEWS_OK : SCHED_NEWS_DOWN, now);
        }
        CHECK(seen);
    }
    CHECK_INT(sched_totals(s).rcpts[SCHED_READY] + sched_totals(s).rcpts[SCHED_PENDING], CROWD);
    sched_free(&s);
}

static void sites_share_and_take_turns(void)
{
    struct sched *s = make();
    struct sched_verdict v;
    struct sched_ask ask;
    struct sched_job job[8];
    const char *dests[] = { "a", "b", "c" };
    for (uint64_t i = 0; i < 30; i++) {
        add(s, i, "u@x.example");
        sched_next_to_route(s, at(0), &ask, 1);
        sched_routed(s, ask.seq, 0, SCHED_TO, span_str(dests[i / 10]), at(0), &v);
    }
    /* a and b are one site, c turns out to be another: 2 + 2 slots, not 6. */
    sched_place(s, SPAN("a"), SPAN("mx1"), 0);
    sched_place(s, SPAN("b"), SPAN("mx1"), 0);
    int begun_at[3] = { 0 };
    uint64_t first = 0, second = 0; /* a's and b's */
    for (int i = 0; i < 4; i++) {
        CHECK(sched_next_job(s, at(0), &job[i]));
        char dest = job[i].dest.p[0];
        begun_at[dest - 'a']++;
        if (dest == 'c')
            sched_bind(s, job[i].id, SPAN("mx2"));
        else
            *(dest == 'a' ? &first : &second) = (uint64_t)i;
    }
    CHECK_INT(begun_at[0], 1);
    CHECK_INT(begun_at[1], 1);
    CHECK_INT(begun_at[2], 2);
    CHECK(!sched_next_job(s, at(0), &job[4]));
    CHECK_INT(sched_totals(s).sites, 2);
    /* Success makes room, up to site_max, a and b in turns. */
    end_job(s, &job[first], SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 1);
    end_job(s, &job[second], SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 1);
    int a = 0, b = 0;
    while (sched_next_job(s, at(1), &job[4])) {
        CHECK_SPAN(job[4].site, SPAN("mx1"));
        a += job[4].dest.p[0] == 'a';
        b += job[4].dest.p[0] == 'b';
    }
    CHECK_INT(a, 2);
    CHECK_INT(b, 2);
    sched_free(&s);
}

/* Jobs until one of the message: what stands before it at its destination. */
static int jobs_before(struct sched *s, uint64_t seq, enum sched_outcome_kind kind, int64_t now_ms)
{
    struct sched_job job;
    for (int n = 0; n < 100000; n++) {
        while (!sched_next_job(s, at(now_ms), &job))
            if (!route_all(s, "x", now_ms))
                return -1;
        bool it = job.seq == seq;
        end_job(s, &job, kind, SCHED_NEWS_OK, now_ms);
        if (it)
            return n;
    }
    return -1;
}

static void senders_take_turns(void)
{
    enum { MANY = 5000 };
    struct sched *s = make();
    for (uint64_t i = 1; i <= MANY; i++)
        add(s, i, "u@x.example");
    sender_now = "b@other.example";
    add(s, MANY + 1, "u@x.example");
    sender_now = "c@third.example";
    add(s, MANY + 2, "u@x.example");
    add(s, MANY + 3, "u@x.example");
    CHECK_INT(route_all(s, "x", 0), MANY + 3);
    int b = jobs_before(s, MANY + 1, SCHED_OUT_DEFERRED, 0);
    CHECK(b >= 0 && b <= 3);
    int c = jobs_before(s, MANY + 3, SCHED_OUT_DEFERRED, 0);
    CHECK(c >= 0 && c <= 6);
    /* The same once they have come due again. */
    while (jobs_before(s, 0, SCHED_OUT_DEFERRED, 0) >= 0)
        ;
    CHECK_INT(sched_totals(s).rcpts[SCHED_DEFERRED], MANY + 3);
    int again = jobs_before(s, MANY + 1, SCHED_OUT_DELIVERED, HOUR);
    CHECK(again >= 0 && again <= 600); /* the first 256 that fell due stand before it */
    for (int i = 0; i < 2 * MANY && sched_totals(s).rcpts[SCHED_READY]; i++)
        jobs_before(s, 0, SCHED_OUT_DELIVERED, HOUR);
    CHECK_INT(sched_totals(s).rcpts[SCHED_READY], 0);
    sender_now = "a@sender.example";
    sched_free(&s);
}

static struct sched *make_ruled(struct sched_config *c, struct sched_rule *rule)
{
    sched_config_defaults(c);
    c->site_initial = 2;
    c->site_max = 4;
    sched_rule_defaults(rule, c);
    c->rules = rule;
    c->rule_count = 1;
    return sched_new(c);
}

/* How many begin from `from` up to before `to`, each delivered at once. */
static int begun(struct sched *s, int64_t from, int64_t to, enum sched_news news)
{
    struct sched_job job;
    int n = 0;
    for (int64_t now = from; now < to;) {
        while (route_all(s, "x", now) | (size_t)sched_next_job(s, at(now), &job)) {
            if (!job.id)
                continue;
            n++;
            end_job(s, &job, news == SCHED_NEWS_OK ? SCHED_OUT_DELIVERED : SCHED_OUT_DEFERRED,
                    news, now);
            job.id = 0;
        }
        int64_t next = sched_next_wake(s, at(now), 3);
        now = next > now ? next : now + 1;
    }
    return n;
}

static void a_rate_is_kept(void)
{
    const struct { uint32_t rate; int64_t ms; int least; } cases[] = {
        { 10, SECOND, 10 }, { 100, SECOND, 97 }, { 1000, SECOND, 970 }, { 90, MINUTE, 90 },
        { 7, HOUR, 7 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sched_config c;
        struct sched_rule rule;
        struct sched *s = make_ruled(&c, &rule);
        sched_free(&s);
        rule.rate = cases[i].rate;
        rule.rate_ms = cases[i].ms;
        s = sched_new(&c);
        sched_place(s, SPAN("x"), SPAN("mx"), 1);
        for (uint64_t k = 1; k <= 3000; k++)
            add(s, k, "u@x.example");
        int first = begun(s, 0, cases[i].ms, SCHED_NEWS_OK);
        CHECK(first <= (int)cases[i].rate && first >= cases[i].least);
        int second = begun(s, cases[i].ms, 2 * cases[i].ms, SCHED_NEWS_OK);
        CHECK(second <= (int)cases[i].rate && second >= cases[i].least - 1);
        sched_free(&s);
    }
}

/* Trouble halves first the jobs, then the rate; success brings both back; `sites` says why. */
static void a_site_is_given_less(void)
{
    struct sched_config c;
    struct sched_rule rule;
    struct sched *s = make_ruled(&c, &rule);
    struct sched_place_info p;
    memset(changes, 0, sizeof changes);
    for (uint64_t k = 1; k <= 3000; k++)
        add(s, k, "u@x.example");
    int refused = begun(s, 0, MINUTE, SCHED_NEWS_SLOW);
    CHECK(refused >= 5 && refused <= 12); /* 1 s, 2 s ... 32 s between them */
    CHECK(sched_site_of(s, SPAN("x"), &p));
    CHECK_INT(p.limit, 1);
    CHECK(p.slow >= 5 && p.interval_us >= 16 * 1000000);
    CHECK_INT(p.down_until_ms, 0);
    CHECK_SPAN(p.why, SPAN("trouble"));
    CHECK(changes[SCHED_SLOWED] >= 1 && changes[SCHED_SLOWED] <= 2);
    CHECK(begun(s, MINUTE, 30 * MINUTE, SCHED_NEWS_OK) > 1000);
    CHECK(sched_site_of(s, SPAN("x"), &p));
    CHECK_INT(p.slow, 0);
    CHECK_INT(p.interval_us, 0);
    CHECK_INT(p.limit, 4);
    CHECK_SPAN(p.why, SPAN_NONE);
    CHECK_INT(changes[SCHED_RESTORED], 1);
    sched_free(&s);
}

/* A peer that takes 5 in a second, a few ahead, and refuses the others. */
static void it_comes_near_to_what_is_allowed(void)
{
    struct sched_config c;
    struct sched_rule rule;
    struct sched *s = make_ruled(&c, &rule);
    struct sched_job job;
    int taken = 0, refused = 0;
    double room = 5;
    for (uint64_t k = 1; k <= 3000; k++)
        add(s, k, "u@x.example");
    for (int64_t now = 0, last = 0; now < 5 * MINUTE;) {
        route_all(s, "x", now);
        for (; sched_next_job(s, at(now), &job); last = now) {
            room += (double)(now - last) * 5 / SECOND;
            room = room > 5 ? 5 : room;
            bool takes = room >= 1;
            room -= takes;
            *(takes ? &taken : &refused) += 1;
            end_job(s, &job, takes ? SCHED_OUT_DELIVERED : SCHED_OUT_DEFERRED,
                    takes ? SCHED_NEWS_OK : SCHED_NEWS_SLOW, now);
            route_all(s, "x", now);
        }
        int64_t next = sched_next_wake(s, at(now), 3);
        now = next > now ? next : now + 1;
    }
    printf("# of 1500 that were allowed %d, refused %d\n", taken, refused);
    CHECK(taken > 900);
    CHECK(refused * 8 < taken);
    sched_free(&s);
}

static void tell_rules(struct sched *s, uint32_t rule)
{
    struct span dest;
    while (sched_next_to_rule(s, &dest))
        sched_place(s, dest, SPAN_NONE, rule);
}

static void rules_make_retries_and_ends(void)
{
    struct sched_config c;
    struct sched_rule rule;
    struct sched *s = make_ruled(&c, &rule);
    sched_free(&s);
    rule.retry_ms[0] = MINUTE;
    rule.retry_ms[1] = 10 * MINUTE;
    rule.retry_count = 2;
    rule.expire_after_ms = HOUR;
    rule.warn_after_ms = 0;
    s = sched_new(&c);
    sched_place(s, SPAN("x"), SPAN_NONE, 1);
    add(s, 1, "u@x.example");
    struct sched_job job;
    struct sched_event ev;
    int64_t now = 0;
    const int64_t want[] = { MINUTE, 10 * MINUTE, 10 * MINUTE, 10 * MINUTE };
    for (int i = 0; i < 4; i++) {
        while (!sched_next_job(s, at(now), &job))
            CHECK(route_all(s, "x", now) == 1);
        end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, now);
        int64_t delay = verdicts[0].next_try_ms - now;
        CHECK(delay >= want[i] * 7 / 8 - 1 && delay <= want[i] * 9 / 8 + 1);
        now += delay;
    }
    CHECK(!sched_next_event(s, at(HOUR - 1), &ev));
    CHECK(sched_next_event(s, at(HOUR), &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    /* A reload without it, and one with it: what is under way comes to know. */
    add_at(s, 2, "u@x.example", 1, 0, 2 * HOUR);
    route_all(s, "x", 2 * HOUR);
    c.rule_count = 0;
    sched_configure(s, &c);
    tell_rules(s, 0);
    CHECK(!sched_next_event(s, at(4 * HOUR), &ev));
    c.rule_count = 1;
    sched_configure(s, &c);
    tell_rules(s, 1);
    CHECK(sched_next_wake(s, at(4 * HOUR), 3) <= 4 * HOUR + 2);
    while (sched_next_job(s, at(4 * HOUR), &job))
        end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 4 * HOUR);
    CHECK(sched_next_event(s, at(4 * HOUR + 15 * MINUTE), &ev)); /* after the grace */
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    sched_free(&s);
}

/* A machine that slept for a week: what became too old is tried once more, and none of it is
 * told at one moment; what stays away then expires, as ever. */
static void a_week_of_sleep(void)
{
    enum { N = 1000, WEEK = 7 * 24 * HOUR };
    struct sched *s = make();
    struct sched_event ev;
    struct sched_job job;
    for (uint64_t i = 1; i <= N; i++)
        add_at(s, i, "u@dead.example", 1, 0, 1000);
    route_all(s, "dead", 1000);
    CHECK(sched_next_job(s, at(1000), &job));
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 1000);
    while (sched_next_job(s, at(1000), &job))
        end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 1000);
    int64_t now = WEEK;
    CHECK(!sched_next_event(s, at(now), &ev));
    int tried = 0;
    job.id = 0;
    while (sched_next_job(s, at(now), &job) || route_all(s, "dead", now)) {
        tried += job.id != 0;
        if (job.id)
            end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, now);
        job.id = 0;
    }
    CHECK_INT(tried, 1); /* the probe alone: no storm of retries */
    int expired = 0, minute = 0, most = 0;
    for (int64_t end = now + HOUR; now < end; now += MINUTE, minute = 0) {
        while (sched_next_event(s, at(now), &ev))
            minute += ev.kind == SCHED_EVENT_EXPIRED;
        expired += minute;
        most = minute > most ? minute : most;
    }
    CHECK_INT(expired, N); /* wedged as it is, nothing stays for ever */
    CHECK(most < N / 2);
    sched_free(&s);
}

static void stale_is_free_but_bounded(void)
{
    struct sched *s = make();
    struct sched_job job;
    add(s, 1, "u@x.example");
    for (int i = 0; i <= SCHED_STALE_MAX; i++) {
        route_all(s, "x", 0);
        if (!sched_next_job(s, at(0), &job)) {
            CHECK_INT(route_all(s, "x", 0), 1);
            CHECK(sched_next_job(s, at(0), &job));
        }
        end_job(s, &job, SCHED_OUT_STALE, SCHED_NEWS_NONE, 0);
        CHECK_INT(verdicts[0].state, i < SCHED_STALE_MAX ? SCHED_READY : SCHED_DEFERRED);
        CHECK_INT(verdicts[0].attempts, i < SCHED_STALE_MAX ? 0 : 1);
    }
    sched_free(&s);
}

static void a_lost_job_comes_again_soon(void)
{
    struct sched *s = make();
    struct sched_job job;
    add(s, 1, "u@x.example");
    route_all(s, "x", 0);
    CHECK(sched_next_job(s, at(0), &job));
    CHECK(sched_job_lost(s, job.id, at(100), verdicts));
    CHECK_INT(verdicts[0].state, SCHED_DEFERRED);
    CHECK(verdicts[0].duplicate);
    CHECK_INT(verdicts[0].next_try_ms, 5100);
    CHECK(!sched_job_lost(s, job.id, at(100), NULL));
    CHECK(!sched_next_job(s, at(5100), &job));
    CHECK_INT(route_all(s, "x", 5100), 1);
    CHECK(sched_next_job(s, at(5100), &job));
    sched_free(&s);
}

static void unknown_is_flagged(void)
{
    struct sched *s = make();
    struct sched_job job;
    add(s, 1, "u@x.example");
    route_all(s, "x", 0);
    CHECK(sched_next_job(s, at(0), &job));
    end_job(s, &job, SCHED_OUT_UNKNOWN, SCHED_NEWS_BUSY, 0);
    CHECK_INT(verdicts[0].state, SCHED_DEFERRED);
    CHECK(verdicts[0].duplicate);
    sched_free(&s);
}

static void router_decisions(void)
{
    struct sched *s = make();
    const enum sched_decision decisions[] = { SCHED_NO, SCHED_NOT_NOW, SCHED_HOLD, SCHED_DISCARD };
    const enum sched_state want[] = { SCHED_FAILED, SCHED_DEFERRED, SCHED_HELD, SCHED_DISCARDED };
    struct sched_ask ask;
    struct sched_verdict v;
    for (uint64_t i = 0; i < 4; i++) {
        add(s, i, "u@x.example");
        CHECK_INT(sched_next_to_route(s, at(0), &ask, 1), 1);
        CHECK(sched_routed(s, i, 0, decisions[i], SPAN("bad\r\nword"), at(0), &v));
        CHECK_INT(v.state, want[i]);
        CHECK(!sched_routed(s, i, 0, decisions[i], SPAN("again"), at(0), &v));
    }
    struct sched_rcpt_info r;
    CHECK(sched_rcpt(s, 2, 0, &r));
    CHECK_SPAN(r.reason, SPAN("bad??word"));
    CHECK_SPAN(r.before, SPAN_NONE);
    /* The router dies while it is asked. */
    add(s, 9, "u@x.example");
    CHECK_INT(sched_next_to_route(s, at(0), &ask, 1), 1);
    CHECK_INT(sched_next_wake(s, at(0), 3) > 0, 1);
    sched_route_lost(s);
    CHECK_INT(sched_next_wake(s, at(0), 3), 0);
    CHECK(sched_next_wake(s, at(0), SCHED_CAN_START) > 0);
    CHECK_INT(sched_next_to_route(s, at(0), &ask, 1), 1);
    CHECK_INT(ask.seq, 9);
    /* Held and released within one round trip. */
    struct sched_ask again;
    CHECK(sched_awaits(s, &ask));
    CHECK_INT(sched_hold(s, 9, 0, SPAN("wait")), 1);
    CHECK(!sched_awaits(s, &ask));
    CHECK_INT(sched_release(s, 9, 0, SPAN_NONE, at(0)), 1);
    CHECK_INT(sched_next_to_route(s, at(0), &again, 1), 1);
    CHECK(!sched_awaits(s, &ask) && sched_awaits(s, &again));
    sched_free(&s);
}

static void failures_nobody_is_told_of(void)
{
    struct sched *s = make();
    struct sched_job job;
    uint64_t seq;
    add_at(s, 1, "u@x.example", 2, 0, 0);
    CHECK_INT(route_all(s, "x", 0), 2);
    CHECK(sched_next_job(s, at(0), &job));
    CHECK(!sched_hold_failed(s, 1, 0, SPAN("nobody to tell"), SPAN("no")));
    end_job(s, &job, SCHED_OUT_FAILED, SCHED_NEWS_OK, 0);
    CHECK(sched_hold_failed(s, 1, 1, SPAN("nobody to tell"), SPAN("no")));
    CHECK(!sched_hold_failed(s, 1, 1, SPAN("nobody to tell"), SPAN("no")));
    CHECK(!sched_next_gone(s, &seq));
    CHECK_INT(state_of(s, 1, 0), SCHED_FAILED);
    CHECK_INT(state_of(s, 1, 1), SCHED_HELD);
    CHECK_INT(sched_next_wake(s, at(0), 3), INT64_MAX);
    CHECK_INT(sched_release(s, 1, SCHED_ALL, SPAN_NONE, at(5)), 1);
    CHECK_INT(route_all(s, "x", 5), 1);
    CHECK(sched_next_job(s, at(5), &job));
    CHECK_INT(job.rcpt_count, 1);
    end_job(s, &job, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 5);
    CHECK(sched_next_gone(s, &seq));
    CHECK(!sched_hold_failed(s, 1, 0, SPAN("too late"), SPAN("no")));
    sched_free(&s);
}

static void hold_release_delete(void)
{
    struct sched *s = make();
    struct sched_job job;
    add_at(s, 1, "u@x.example", 2, ENVELOPE_HOLD, 0);
    CHECK_INT(state_of(s, 1, 0), SCHED_HELD);
    CHECK_INT(route_all(s, "x", 0), 0);
    CHECK_INT(sched_next_wake(s, at(0), 3), INT64_MAX); /* held mail does not expire */
    CHECK_INT(sched_release(s, 1, SCHED_ALL, SPAN_NONE, at((int64_t)10 * 24 * HOUR)), 2);
    int64_t now = (int64_t)10 * 24 * HOUR;
    struct sched_event ev;
    CHECK(!sched_next_event(s, at(now), &ev)); /* but for the grace it would now */
    CHECK_INT(route_all(s, "x", now), 2);
    CHECK(sched_next_job(s, at(now), &job));
    CHECK_INT(sched_hold(s, 1, 0, SPAN("look")), 1);
    CHECK_INT(sched_delete(s, 1, 1), 1);
    CHECK_INT(state_of(s, 1, 0), SCHED_ACTIVE);
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, now);
    CHECK_INT(state_of(s, 1, 0), SCHED_HELD);
    struct sched_rcpt_info r;
    CHECK(sched_rcpt(s, 1, 0, &r) && r.before.n);
    CHECK_SPAN(r.reason, SPAN("look"));
    CHECK_INT(state_of(s, 1, 1), SCHED_DELETED);
    CHECK_INT(sched_delete(s, 1, SCHED_ALL), 1);
    CHECK_INT(sched_delete(s, 1, SCHED_ALL), 0);
    CHECK_INT(sched_hold(s, 99, SCHED_ALL, SPAN("")), 0);
    uint64_t seq;
    CHECK(sched_next_gone(s, &seq));
    sched_free(&s);
}

/* Of two wishes about what is being delivered the later one holds; both can be taken back. */
static void a_second_thought(void)
{
    struct sched *s = make();
    struct sched_job job;
    add_at(s, 1, "u@x.example", 3, 0, 0);
    CHECK_INT(route_all(s, "x", 0), 3);
    CHECK(sched_next_job(s, at(0), &job));
    CHECK_INT(sched_delete(s, 1, SCHED_ALL), 3);
    CHECK_INT(sched_hold(s, 1, 0, SPAN("wait")), 1);
    CHECK_INT(sched_hold(s, 1, 0, SPAN("wait")), 0);
    CHECK_INT(sched_release(s, 1, 1, SPAN_NONE, at(0)), 1);
    CHECK_INT(sched_release(s, 1, 1, SPAN_NONE, at(0)), 0);
    CHECK_INT(sched_hold(s, 1, 2, SPAN("wait")), 1);
    CHECK_INT(sched_delete(s, 1, 2), 1);
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 1);
    CHECK_INT(state_of(s, 1, 0), SCHED_HELD);
    CHECK_INT(state_of(s, 1, 1), SCHED_DEFERRED);
    CHECK_INT(state_of(s, 1, 2), SCHED_DELETED);
    sched_free(&s);
}

static void check_said(struct sched *s, struct span reason, struct span before)
{
    struct sched_rcpt_info r;
    CHECK(sched_rcpt(s, 1, 0, &r));
    CHECK_SPAN(r.reason, reason);
    CHECK_SPAN(r.before, before);
}

static void what_was_said_before(void)
{
    struct sched *s = make();
    struct sched_job job;
    add(s, 1, "u@x.example");
    CHECK_INT(sched_hold(s, 1, 0, SPAN("held by a")), 1);
    check_said(s, SPAN("held by a"), SPAN_NONE);
    CHECK_INT(sched_release(s, 1, 0, SPAN_NONE, at(0)), 1);
    CHECK_INT(route_all(s, "x", 0), 1);
    CHECK(sched_next_job(s, at(0), &job));
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 0);
    struct sched_rcpt_info r;
    CHECK(sched_rcpt(s, 1, 0, &r));
    CHECK(r.reason.n && !r.before.n && !span_eq(r.reason, SPAN("held by a")));
    char said[SCHED_REASON_MAX];
    size_t n = r.reason.n;
    memcpy(said, r.reason.p, n);
    for (int i = 0; i < 3; i++) { /* what people do in between is not what was said */
        CHECK_INT(sched_hold(s, 1, 0, SPAN("held by b")), 1);
        check_said(s, SPAN("held by b"), span_of(said, n));
        CHECK_INT(sched_release(s, 1, 0, SPAN("released by c"), at(0)), 1);
        check_said(s, SPAN("released by c"), span_of(said, n));
    }
    struct sched_ask ask; /* and what the tables do to it neither */
    struct sched_verdict v;
    CHECK_INT(sched_next_to_route(s, at(0), &ask, 1), 1);
    CHECK(sched_routed(s, 1, 0, SCHED_HOLD, SPAN("parked"), at(0), &v));
    check_said(s, SPAN("parked"), span_of(said, n));
    sched_delete(s, 1, 0);
    sched_free(&s);
}

/* There are as many reasons as can be told apart; that of a hold is one of them. */
static void before_too_many_reasons(void)
{
    enum { MANY = 20000 };
    struct sched *s = make();
    for (uint64_t i = 1; i <= MANY; i++) {
        char text[32];
        snprintf(text, sizeof text, "450 busy %u", (unsigned)i);
        add(s, i, "u@x.example");
        struct sched_entry_rcpt e = { .held = true, .reason = span_str(text) };
        CHECK(sched_restore(s, i, 0, &e, at(0)));
        CHECK_INT(sched_release(s, i, 0, SPAN_NONE, at(0)), 1);
    }
    CHECK_INT(sched_hold(s, 1, 0, SPAN("held by a")), 1);
    for (uint64_t i = 2; i <= 1000; i++) { /* the first one has left room for one */
        struct sched_rcpt_info r;
        CHECK_INT(sched_hold(s, i, 0, SPAN("held by a")), 1);
        CHECK(sched_rcpt(s, i, 0, &r));
        CHECK_SPAN(r.reason, SPAN("held by a"));
        CHECK(span_starts(r.before, SPAN("450 busy ")));
    }
    sched_free(&s);
}

static void queue_only_waits_for_a_run(void)
{
    struct sched *s = make();
    for (uint64_t i = 1; i <= 3; i++)
        add_at(s, i, "u@x.example", 1, ENVELOPE_QUEUE_ONLY, 0);
    CHECK_INT(route_all(s, "x", HOUR), 0);
    CHECK_INT(sched_next_wake(s, at(HOUR), 3), INT64_MAX);
    sched_run_queue(s);
    add_at(s, 4, "u@x.example", 1, ENVELOPE_QUEUE_ONLY, HOUR);
    CHECK_INT(sched_next_wake(s, at(HOUR), 3), HOUR);
    CHECK_INT(route_all(s, "x", HOUR), 3);
    CHECK_INT(state_of(s, 4, 0), SCHED_WAITING);
    CHECK_INT(sched_retry(s, 4, SCHED_ALL, at(HOUR)), 1);
    CHECK_INT(route_all(s, "x", HOUR), 1);
    sched_run_queue(s);
    CHECK_INT(sched_totals(s).rcpts[SCHED_READY], 4);
    sched_free(&s);
}

/* What parks a recipient does so once: who was let go is known as such for ever. */
static void released_is_remembered(void)
{
    struct sched *s = make();
    struct sched_ask ask;
    struct sched_verdict v;
    struct sched_rcpt_info r;
    struct sched_entry_rcpt two[2] = { { .addr = SPAN("u@x.example"), .marks = 3 },
                                       { .addr = SPAN("v@x.example") } };
    struct sched_entry e = { .seq = 1, .received_ms = WALL, .rcpts = two, .rcpt_count = 2 };
    CHECK(sched_add(s, &e, at(0)));
    CHECK_INT(sched_next_to_route(s, at(0), &ask, 1), 1);
    CHECK(sched_routed(s, 1, 0, SCHED_WAIT, SPAN("queue_only"), at(0), &v));
    CHECK_INT(v.state, SCHED_WAITING);
    CHECK_INT(v.attempts, 0);
    CHECK_INT(sched_next_to_route(s, at(0), &ask, 1), 1);
    CHECK(sched_routed(s, 1, 1, SCHED_HOLD, SPAN("parked"), at(0), &v));
    CHECK_INT(v.state, SCHED_HELD);
    CHECK(sched_rcpt(s, 1, 0, &r) && !r.released && r.marks == 3);
    CHECK_INT(sched_next_to_route(s, at(HOUR), &ask, 1), 0);
    sched_run_queue(s);
    CHECK_INT(sched_next_to_route(s, at(HOUR), &ask, 1), 1);
    CHECK_INT(ask.rcpt, 0);
    CHECK(sched_rcpt(s, 1, 0, &r) && r.released && r.marks == 3);
    CHECK(sched_rcpt(s, 1, 1, &r) && !r.released);
    CHECK_INT(sched_release(s, 1, SCHED_ALL, SPAN_NONE, at(HOUR)), 1);
    CHECK(sched_rcpt(s, 1, 1, &r) && r.released && r.marks == 0);
    struct sched_entry_rcpt kept = { .released = true, .attempts = 1 };
    CHECK(add(s, 2, "w@x.example") && sched_restore(s, 2, 0, &kept, at(0)));
    CHECK(sched_rcpt(s, 2, 0, &r) && r.released);
    sched_free(&s);
}

static void warning_then_expiry(void)
{
    struct sched *s = make();
    struct sched_event ev;
    const int64_t day = 24 * HOUR;
    add_at(s, 1, "u@x.example", 3, 0, 0);
    route_all(s, "x", 0);
    struct sched_job job;
    CHECK(sched_next_job(s, at(0), &job)); /* active and stalled for days */
    add_at(s, 2, "u@x.example", 2, 0, 0);
    CHECK(!sched_next_event(s, at(4 * HOUR - 1), &ev));
    for (uint32_t i = 0; i < 5; i++) {
        CHECK(sched_next_event(s, at(4 * HOUR), &ev));
        CHECK_INT(ev.kind, SCHED_EVENT_WARN);
        CHECK_INT(ev.seq, i < 3 ? 1 : 2);
        CHECK_INT(ev.rcpt, i < 3 ? i : i - 3);
        CHECK_INT(ev.last, i == 2 || i == 4);
    }
    CHECK(!sched_next_event(s, at(5 * day - 1), &ev));
    CHECK(sched_next_event(s, at(5 * day), &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    CHECK_INT(ev.seq, 2);
    CHECK(!ev.last);
    CHECK(sched_next_event(s, at(5 * day), &ev));
    CHECK(ev.last);
    CHECK(!sched_next_event(s, at(5 * day), &ev));
    CHECK_INT(state_of(s, 2, 1), SCHED_EXPIRED);
    /* In a job: told by its verdict. */
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 5 * day);
    CHECK_INT(verdicts[0].state, SCHED_EXPIRED);
    sched_free(&s);
}

/* Nobody is told that a message is tried on which is deleted, or held, when its attempt ends; one
 * that is let go meanwhile is late like any other. */
static void no_warning_of_the_last_attempt(void)
{
    struct sched *s = make();
    struct sched_event ev;
    struct sched_rcpt_info r;
    struct sched_job job;
    add_at(s, 1, "u@x.example", 3, 0, 0);
    route_all(s, "x", 0);
    CHECK(sched_next_job(s, at(0), &job));
    CHECK_INT(sched_delete(s, 1, 0), 1);
    CHECK_INT(sched_hold(s, 1, 1, SPAN("by me")), 1);
    CHECK_INT(sched_hold(s, 1, 2, SPAN("by me")), 1);
    CHECK(sched_rcpt(s, 1, 0, &r) && r.to_be_deleted && !r.to_be_held);
    CHECK(sched_rcpt(s, 1, 1, &r) && !r.to_be_deleted && r.to_be_held);
    CHECK(!sched_next_event(s, at(5 * HOUR), &ev));
    CHECK_INT(sched_release(s, 1, 2, SPAN_NONE, at(5 * HOUR)), 1);
    CHECK(sched_next_event(s, at(6 * HOUR), &ev));
    CHECK(ev.kind == SCHED_EVENT_WARN && ev.rcpt == 2 && ev.last);
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 6 * HOUR);
    CHECK_INT(state_of(s, 1, 0), SCHED_DELETED);
    CHECK_INT(state_of(s, 1, 1), SCHED_HELD);
    CHECK_INT(state_of(s, 1, 2), SCHED_DEFERRED);
    sched_free(&s);
}

/* Its owner is told of so many ends in one turn and begins jobs in the next: who came into one in
 * the middle of a message's end is over with that job. */
static void into_a_job_while_it_expires(void)
{
    struct sched *s = make();
    struct sched_event ev;
    struct sched_job job;
    const int64_t day = 24 * HOUR;
    add_at(s, 1, "u@x.example", 3, 0, 0);
    CHECK_INT(route_all(s, "x", 0), 3);
    for (int i = 0; i < 3; i++)
        CHECK(sched_next_event(s, at(4 * HOUR), &ev));
    CHECK(sched_next_event(s, at(5 * day), &ev));
    CHECK(ev.kind == SCHED_EVENT_EXPIRED && !ev.last);
    CHECK(!sched_next_job(s, at(5 * day), &job));
    CHECK_INT(route_all(s, "x", 5 * day), 2);
    CHECK(sched_next_job(s, at(5 * day), &job));
    CHECK_INT(job.rcpt_count, 2);
    CHECK(!sched_next_event(s, at(5 * day), &ev));
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 5 * day);
    CHECK_INT(verdicts[0].state, SCHED_EXPIRED);
    CHECK_INT(verdicts[1].state, SCHED_EXPIRED);
    uint64_t seq;
    CHECK(sched_next_gone(s, &seq));
    sched_free(&s);
}

static void clock_jumps_and_restarts(void)
{
    struct sched *s = make();
    struct sched_event ev;
    const int64_t day = 24 * HOUR;
    add_at(s, 1, "u@x.example", 1, 0, 0);
    /* The wall clock leaps a year: nothing happens. */
    struct sched_now leap = { .mono_ms = 2 * HOUR, .wall_ms = WALL + 365 * day };
    CHECK(!sched_next_event(s, leap, &ev));
    /* Loaded at a restart, long overdue: the grace passes first; next_try is bounded. */
    struct sched_entry_rcpt r = { .addr = SPAN("u@x.example"), .attempts = 3,
                                  .next_try_wall_ms = WALL + 300 * day, .warned = true };
    struct sched_entry e = { .seq = 2, .received_ms = WALL - 30 * day, .sender = SPAN(""),
                             .rcpts = &r, .rcpt_count = 1 };
    CHECK(sched_add(s, &e, at(0)));
    struct sched_rcpt_info info;
    CHECK(sched_rcpt(s, 2, 0, &info));
    CHECK_INT(info.state, SCHED_DEFERRED);
    CHECK_INT(info.next_try_ms, 4 * HOUR);
    CHECK(!sched_next_event(s, at(15 * MINUTE - 1), &ev));
    CHECK(sched_next_event(s, at(15 * MINUTE), &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    CHECK_INT(ev.seq, 2);
    sched_free(&s);
}

static void edited_routes_reach_waiting_mail(void)
{
    struct sched *s = make();
    struct sched_job job;
    struct sched_verdict v;
    struct sched_ask asks[64];
    for (uint64_t i = 1; i <= 40; i++)
        add(s, i, "u@dead.example");
    route_all(s, "dead", 0);
    while (sched_next_job(s, at(0), &job))
        end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 0);
    CHECK_INT(sched_next_to_route(s, at(1), asks, 64), 0);
    sched_routes_changed(s);
    CHECK_INT(sched_next_wake(s, at(1), 3), 1);
    CHECK_INT(route_all(s, "relay", 1), 40);
    int jobs = 0;
    for (; sched_next_job(s, at(1), &job); jobs++)
        end_job(s, &job, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 1);
    CHECK_INT(jobs, 40);
    /* A route that is too old, without any edit, is asked again as well. */
    add_at(s, 50, "u@x.example", 1, 0, 1);
    CHECK_INT(route_all(s, "x", 1), 1);
    CHECK(!sched_next_job(s, at(2 * MINUTE), &job));
    CHECK_INT(sched_next_to_route(s, at(2 * MINUTE), asks, 64), 1);
    CHECK(sched_routed(s, 50, 0, SCHED_NO, SPAN("no more"), at(2 * MINUTE), &v));
    CHECK_INT(v.state, SCHED_FAILED);
    sched_free(&s);
}

static void retry_passes_the_back_off(void)
{
    struct sched *s = make();
    struct sched_job job;
    for (uint64_t i = 1; i <= 20; i++)
        add(s, i, "u@dead.example");
    route_all(s, "dead", 0);
    while (sched_next_job(s, at(0), &job))
        end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 0);
    CHECK_INT(sched_retry(s, 13, SCHED_ALL, at(1)), 1);
    CHECK_INT(route_all(s, "dead", 1), 1);
    CHECK(sched_next_job(s, at(1), &job));
    CHECK_INT(job.seq, 13);
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 1);
    CHECK(!sched_next_job(s, at(2), &job));
    sched_free(&s);
}

/* Who debugs a site and tries again and again does not put off the mail by it. */
static void a_try_asked_for_is_no_step(void)
{
    struct sched *s = make();
    struct sched_job job;
    int64_t now = 0;
    add(s, 1, "u@x.example");
    route_all(s, "x", now);
    for (int i = 0; i < 6; i++) {
        CHECK(sched_next_job(s, at(now), &job));
        end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, now);
        CHECK_INT(verdicts[0].attempts, i + 1);
        CHECK(verdicts[0].next_try_ms - now < 6 * MINUTE); /* the first step */
        now += 1000;
        CHECK_INT(sched_retry(s, 1, SCHED_ALL, at(now)), 1);
        CHECK_INT(route_all(s, "x", now), 1);
    }
    CHECK(sched_next_job(s, at(now), &job));
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, now);
    now = verdicts[0].next_try_ms;
    next_job(s, &now, &job);
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, now); /* by itself: the second one */
    CHECK(verdicts[0].next_try_ms - now > 8 * MINUTE);
    sched_free(&s);
}

/* Nor does he put off all other mail of a site that is down. */
static void a_try_asked_for_at_a_dead_site(void)
{
    struct sched *s = make();
    struct sched_job job;
    int64_t now = 0;
    add(s, 1, "u@x.example");
    next_job(s, &now, &job);
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, now);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(sched_retry(s, 1, SCHED_ALL, at(now)), 1);
        next_job(s, &now, &job);
        end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, now);
        CHECK(verdicts[0].next_try_ms - now < 90 * 1000);
    }
    next_job(s, &now, &job);
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, now); /* by itself: twice as long */
    CHECK(verdicts[0].next_try_ms - now > 90 * 1000);
    sched_free(&s);
}

/* One connection that hung all the while says less than what was taken meanwhile. */
static void one_bad_host_of_many(void)
{
    struct sched *s = make();
    struct sched_job hangs, job;
    for (uint64_t i = 1; i <= 4; i++)
        add(s, i, "u@x.example");
    route_all(s, "x", 0);
    CHECK(sched_next_job(s, at(0), &hangs));
    CHECK(sched_next_job(s, at(0), &job));
    end_job(s, &job, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 10);
    end_job(s, &hangs, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 5 * MINUTE);
    int64_t now = 5 * MINUTE;
    next_job(s, &now, &job);
    CHECK_INT(now, 5 * MINUTE);
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, now); /* this one began later */
    next_job(s, &now, &job);
    CHECK(now > 5 * MINUTE);
    sched_free(&s);
}

static void one_destination_with_dns_trouble(void)
{
    struct sched *s = make();
    struct sched_job job;
    struct sched_ask ask;
    struct sched_verdict v;
    for (uint64_t i = 0; i < 8; i++) {
        add(s, i, "u@x.example");
        sched_next_to_route(s, at(0), &ask, 1);
        sched_routed(s, i, 0, SCHED_TO, i & 1 ? SPAN("odd") : SPAN("even"), at(0), &v);
    }
    int odd = 0, even = 0;
    while (sched_next_job(s, at(0), &job)) {
        sched_bind(s, job.id, SPAN("mx"));
        bool is_odd = job.seq & 1;
        odd += is_odd;
        even += !is_odd;
        end_job(s, &job, is_odd ? SCHED_OUT_SITE : SCHED_OUT_DELIVERED,
                is_odd ? SCHED_NEWS_DEST_DOWN : SCHED_NEWS_OK, 0);
    }
    CHECK_INT(odd, 1);
    CHECK_INT(even, 4);
    struct sched_place_info p;
    CHECK(sched_dest(s, SPAN("odd"), &p));
    CHECK(p.down_until_ms > 0);
    CHECK_SPAN(p.why, SPAN("trouble"));
    CHECK_INT(p.rcpts[SCHED_READY], 4);
    sched_free(&s);
}

/* A site's name stands for all shares of it; a share's own for that one. */
static void frozen_shares(void)
{
    static const char *const shares[] = { "x", "x by:big", "x from:<owner@l.example>" };
    static const struct { const char *name; const bool stops[3]; } cases[] = {
        { "MX:a", { true, true, true } }, { "x", { true, true, true } },
        { "mx:a by:big", { false, true, false } }, { "x by:big", { false, true, false } },
        { "mx:a by", { false, false, false } },
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const bool *stops = cases[i / 2].stops;
        struct sched *s = make();
        struct span name = span_str(cases[i / 2].name);
        struct sched_place_info p;
        struct sched_job job;
        if (i & 1) /* before the places are known, or after */
            CHECK(sched_freeze(s, name));
        sched_place(s, SPAN("x"), SPAN("mx:a"), 0);
        sched_place(s, SPAN("x by:big"), SPAN("mx:a by:big"), 0);
        sched_place(s, SPAN("x from:<owner@l.example>"), SPAN("mx:a"), 0);
        if (!(i & 1))
            CHECK(sched_freeze(s, name));
        for (uint64_t k = 0; k < 3; k++) {
            struct sched_rcpt_info r;
            add(s, k + 1, "u@x.example");
            CHECK_INT(route_all(s, shares[k], 0), 1);
            CHECK_INT(sched_next_job(s, at(0), &job), !stops[k]);
            CHECK(sched_rcpt(s, k + 1, 0, &r));
            CHECK_INT(r.frozen, stops[k]);
            if (stops[k])
                CHECK_SPAN(r.reason, SPAN(SCHED_FROZEN_REASON));
        }
        CHECK(sched_site_of(s, SPAN("x by:big"), &p));
        CHECK_INT(p.frozen, stops[1] && cases[i / 2].name[0] != 'x');
        CHECK(sched_thaw(s, name));
        for (uint64_t k = 0; k < 3; k++) {
            struct sched_rcpt_info r;
            CHECK(sched_rcpt(s, k + 1, 0, &r) && !r.frozen);
        }
        while (sched_next_job(s, at(0), &job) || route_all(s, "x", 0))
            ;
        CHECK(sched_totals(s).rcpts[SCHED_ACTIVE] >= 2); /* the third may have no slot */
        sched_free(&s);
    }
}

/* Also what waits for its own time, or for its site's, and what comes in later. */
static void frozen_at_once(void)
{
    struct sched *s = make();
    struct sched_rcpt_info r;
    struct sched_job job;
    struct span name;
    for (uint64_t i = 1; i <= 2; i++)
        add(s, i, "u@X.example");
    CHECK_INT(route_all(s, "x", 0), 2);
    CHECK(sched_next_job(s, at(0), &job));
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, 0);
    CHECK(sched_next_job(s, at(0), &job));
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 0);
    CHECK_INT(state_of(s, 1, 0), SCHED_DEFERRED);
    CHECK_INT(state_of(s, 2, 0), SCHED_READY);
    CHECK(sched_freeze(s, SPAN("x.EXAMPLE")));
    add(s, 3, "v@x.example");
    add(s, 4, "v@y.example");
    for (uint64_t i = 1; i <= 4; i++) {
        CHECK(sched_rcpt(s, i, 0, &r));
        CHECK_INT(r.frozen, i < 4);
        CHECK_INT(sched_queue_state(&r), i < 4 ? QUEUE_FROZEN : QUEUE_READY);
        CHECK_INT(sched_frozen_as(s, &r, &name), i < 4);
        if (i < 4)
            CHECK_SPAN(name, SPAN("x.example"));
        CHECK_SPAN(r.before, i == 1 ? SPAN("because") : i == 2 ? SPAN("trouble") : SPAN_NONE);
        CHECK_INT(r.next_try_ms, 0);
    }
    CHECK_INT(sched_hold(s, 3, SCHED_ALL, SPAN("held by x")), 1);
    CHECK(sched_rcpt(s, 3, 0, &r) && sched_queue_state(&r) == QUEUE_HELD);
    CHECK_INT(sched_release(s, 3, SCHED_ALL, SPAN("released by x"), at(0)), 1);
    CHECK(sched_thaw(s, SPAN("x.example")));
    CHECK(sched_rcpt(s, 3, 0, &r) && !r.frozen);
    CHECK_SPAN(r.reason, SPAN("released by x"));
    CHECK(sched_rcpt(s, 1, 0, &r) && sched_queue_state(&r) == QUEUE_DEFERRED);
    /* let go again behind its site's trouble, which is told once */
    CHECK_INT(sched_hold(s, 2, SCHED_ALL, SPAN("held by x")), 1);
    CHECK(sched_rcpt(s, 2, 0, &r));
    CHECK_SPAN(r.before, SPAN("trouble"));
    CHECK_INT(sched_release(s, 2, SCHED_ALL, SPAN("released by x"), at(0)), 1);
    CHECK(sched_rcpt(s, 2, 0, &r));
    CHECK_SPAN(r.before, span_eq(r.reason, SPAN("trouble")) ? SPAN_NONE : SPAN("trouble"));
    route_all(s, "x", 0);
    CHECK(sched_rcpt(s, 2, 0, &r));
    CHECK_SPAN(r.reason, SPAN("trouble"));
    CHECK_SPAN(r.before, SPAN_NONE);
    sched_free(&s);
}

static void kept_connections(void)
{
    struct sched *s = make();
    struct sched_job job;
    struct sched_outcome out = { .kind = SCHED_OUT_DELIVERED };
    struct sched_result res = { .outcomes = &out, .news = SCHED_NEWS_OK, .keeper = 42 };
    for (uint64_t i = 0; i < 4; i++)
        add(s, i, "u@x.example");
    route_all(s, "x", 0);
    CHECK(sched_next_job(s, at(0), &job));
    CHECK_INT(job.more, 3);
    CHECK_INT(job.keeper, 0);
    sched_bind(s, job.id, SPAN("mx"));
    CHECK(sched_job_result(s, job.id, &res, at(0), verdicts));
    CHECK(sched_next_job(s, at(0), &job));
    CHECK_INT(job.keeper, 42);
    CHECK(sched_job_result(s, job.id, &res, at(0), verdicts));
    sched_unkeep(s, SPAN("mx"), 42);
    CHECK(sched_next_job(s, at(0), &job));
    CHECK_INT(job.keeper, 0);
    sched_free(&s);
}

/* Ends a job well; its connection is there under this name. */
static void end_keeping(struct sched *s, const struct sched_job *job, uint64_t keeper,
                        uint64_t under)
{
    struct sched_outcome out = { .kind = SCHED_OUT_DELIVERED };
    struct sched_result res = { .outcomes = &out, .news = SCHED_NEWS_OK, .keeper = keeper,
                                .under = under };
    MUST(sched_job_result(s, job->id, &res, at(0), verdicts));
}

static void place(struct sched *s, const char *dest, uint64_t best, uint64_t all)
{
    sched_place(s, span_str(dest), SPAN("mx"), 0);
    sched_set_mx(s, span_str(dest), (struct sched_mx){ best, all });
}

static struct sched_job job_for(struct sched *s, uint64_t seq, const char *dest)
{
    struct sched_job job = { .id = 0 };
    add(s, seq, "u@x.example");
    route_all(s, dest, 0);
    MUST(sched_next_job(s, at(0), &job));
    return job;
}

/* Domains of one site may have its hosts in another order. */
static void kept_in_order_of_preference(void)
{
    struct sched *s = make(); /* 2 at once */
    place(s, "x", 1, 10);
    place(s, "y", 2, 20);
    place(s, "z", 1, 30); /* other hosts behind the same first one */
    struct sched_job job = job_for(s, 1, "x");
    end_keeping(s, &job, 41, 1);
    job = job_for(s, 2, "y");
    CHECK_INT(job.keeper, 0);
    end_keeping(s, &job, 42, 2);
    job = job_for(s, 3, "z");
    CHECK(job.keeper == 41 && !job.instead);
    end_keeping(s, &job, 41, 10); /* it goes to another host than the first, for x */
    job = job_for(s, 4, "z");
    CHECK(job.keeper == 0);
    end_keeping(s, &job, 43, 1);
    job = job_for(s, 5, "x");
    CHECK(job.keeper == 43); /* the first host is to be had again */
    end_keeping(s, &job, 0, 0);
    job = job_for(s, 6, "x");
    CHECK(job.keeper == 41 && !job.instead);
    end_keeping(s, &job, 0, 0);
    sched_free(&s);
}

/* The peer counts connections, whoever of ours needs them, and those that are being closed. */
static void kept_and_counted(void)
{
    struct sched_config c;
    sched_config_defaults(&c);
    c.site_initial = c.site_max = 2;
    struct sched *s = sched_new(&c);
    place(s, "x", 1, 1);
    place(s, "y", 2, 2);
    struct sched_job a = job_for(s, 1, "x"), b = job_for(s, 2, "x");
    end_keeping(s, &a, 41, 1);
    end_keeping(s, &b, 42, SCHED_ENDING);
    a = job_for(s, 3, "y"); /* two are there: one has to go first, rather the one that goes */
    CHECK(a.keeper == 42 && a.instead);
    b = job_for(s, 4, "y");
    CHECK(b.keeper == 41 && b.instead);
    end_keeping(s, &a, 43, SCHED_ENDING);
    a = job_for(s, 5, "y");
    CHECK(a.keeper == 43 && a.instead);
    end_keeping(s, &a, 44, SCHED_ENDING);
    sched_unkeep(s, SPAN("mx"), 44);
    a = job_for(s, 6, "y");
    CHECK(a.keeper == 0 && !a.instead);
    end_keeping(s, &a, 45, SCHED_ENDING);
    end_keeping(s, &b, 0, 0);
    a = job_for(s, 7, "y"); /* there is room for both */
    CHECK(a.keeper == 0 && !a.instead);
    sched_free(&s);
}

/* 421 in place of a greeting, while others of ours are there. */
static void one_connection_less(void)
{
    struct sched_config c;
    sched_config_defaults(&c);
    c.site_initial = c.site_max = 8;
    struct sched *s = sched_new(&c);
    struct sched_job jobs[8];
    struct sched_place_info p;
    place(s, "x", 1, 1);
    for (uint64_t i = 0; i < 8; i++)
        jobs[i] = job_for(s, i, "x");
    for (int i = 0; i < 3; i++) {
        end_job(s, &jobs[i], SCHED_OUT_SITE, SCHED_NEWS_CROWDED, 10);
        CHECK_INT(verdicts[0].state, SCHED_READY);
    }
    CHECK(sched_dest(s, SPAN("x"), &p) && !p.site_down_until_ms);
    CHECK(sched_site_of(s, SPAN("x"), &p));
    CHECK_INT(p.limit, 5);
    for (int i = 3; i < 7; i++)
        end_job(s, &jobs[i], SCHED_OUT_SITE, SCHED_NEWS_CROWDED, 10);
    CHECK(sched_site_of(s, SPAN("x"), &p) && p.limit == 1 && !p.down_until_ms);
    /* All that there is of it says so: it does not take us at all. */
    end_job(s, &jobs[7], SCHED_OUT_SITE, SCHED_NEWS_CROWDED, 10);
    CHECK(sched_site_of(s, SPAN("x"), &p) && p.down_until_ms > 10);
    sched_free(&s);
}

/* Others that were refused as well do not count. */
static void all_refused(void)
{
    struct sched *s = make();
    struct sched_place_info p;
    struct sched_outcome out = { .kind = SCHED_OUT_SITE };
    struct sched_result res = { .outcomes = &out, .news = SCHED_NEWS_CROWDED, .keeper = 7,
                                .under = SCHED_ENDING };
    place(s, "x", 1, 1);
    struct sched_job a = job_for(s, 1, "x"), b = job_for(s, 2, "x");
    CHECK(sched_job_result(s, a.id, &res, at(5), verdicts));
    CHECK(sched_site_of(s, SPAN("x"), &p) && !p.down_until_ms);
    CHECK(sched_job_result(s, b.id, &res, at(5), verdicts));
    CHECK(sched_site_of(s, SPAN("x"), &p) && p.down_until_ms > 5);
    sched_free(&s);
}

/* With none of ours left there: it took mail a moment ago, so it has not gone. */
static void crowded_a_moment_ago(void)
{
    struct sched *s = make();
    struct sched_place_info p;
    struct sched_job job;
    place(s, "x", 1, 1);
    job = job_for(s, 1, "x");
    end_keeping(s, &job, 0, 0);
    job = job_for(s, 2, "x");
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_CROWDED, 100);
    CHECK(sched_site_of(s, SPAN("x"), &p) && !p.down_until_ms && p.limit >= 1);
    CHECK(!sched_next_job(s, at(100), &job)); /* its route is asked anew */
    route_all(s, "x", 100);
    CHECK(sched_next_job(s, at(100), &job));
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_CROWDED, 2 * MINUTE);
    CHECK(sched_site_of(s, SPAN("x"), &p) && p.down_until_ms > 2 * MINUTE);
    sched_free(&s);
}

static void addresses_are_kept_as_given(void)
{
    struct sched *s = make();
    const char *addrs[] = { "u@x.example", "Uu@X.Example", "postmaster", "\"a@b\"@x.example",
                            "odd@", "" };
    for (uint64_t i = 0; i < sizeof addrs / sizeof *addrs; i++) {
        CHECK(add(s, i, addrs[i]));
        struct sched_rcpt_info r;
        CHECK(sched_rcpt(s, i, 0, &r));
        struct buf b;
        buf_init(&b, 100);
        sched_addr_put(&b, r.addr);
        CHECK_SPAN(buf_span(&b), span_str(addrs[i]));
        buf_free(&b);
        CHECK(i > 1 || span_eq(r.addr.domain, SPAN("x.example")));
    }
    struct sched_msg_info m;
    CHECK(sched_msg(s, 1, &m));
    CHECK_SPAN(m.sender.local, SPAN("a"));
    CHECK_SPAN(m.sender.domain, SPAN("sender.example"));
    sched_free(&s);
}

static void many_reasons_are_bounded(void)
{
    struct sched *s = make();
    for (uint64_t i = 0; i < 30000; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "421 try later, id %d", (int)i);
        struct sched_entry_rcpt r = { .addr = SPAN("u@x"), .attempts = 1,
                                      .reason = span_of(text, (size_t)n) };
        struct sched_entry e = { .seq = i, .received_ms = WALL, .rcpts = &r, .rcpt_count = 1 };
        CHECK(sched_add(s, &e, at(0)));
    }
    struct sched_rcpt_info r;
    CHECK(sched_rcpt(s, 29999, 0, &r));
    CHECK(r.reason.p[0] == '(');
    sched_free(&s);
}

/* order against the obvious: a sorted set kept by brute force. */
static void order_agrees_with_a_bitmap(void)
{
    enum { RANGE = 5000 };
    static uint64_t seqs[RANGE];
    static bool in[RANGE];
    struct sched_order o = { 0 };
    uint64_t x = 88172645463325252u;
    for (uint64_t i = 0; i < RANGE; i++)
        seqs[i] = i;
    for (int step = 0; step < 60000; step++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t i = x % RANGE;
        bool filling = (step / 10000) % 2 == 0;
        struct sched_msg *m = (struct sched_msg *)(void *)&seqs[i];
        if (!in[i] && (filling || x % 8 == 0)) {
            CHECK(sched_order_add(&o, m));
            in[i] = true;
        } else if (in[i] && (!filling || x % 8 == 0)) {
            sched_order_remove(&o, m);
            in[i] = false;
        }
        CHECK(!in[i] || !sched_order_add(&o, m));
        CHECK_INT(sched_order_get(&o, i) == m, in[i]);
        uint64_t next = i;
        while (next < RANGE && !in[next])
            next++;
        struct sched_msg *want = next < RANGE ? (struct sched_msg *)(void *)&seqs[next] : NULL;
        CHECK(sched_order_from(&o, i) == want);
    }
    sched_order_free(&o);
}

/* By malloc's accounting, addresses, reasons, index and timers included; bench/sched.c does it
 * with 1,000,000. */
static void memory_per_message(void)
{
    enum { N = 200000 };
    if (sandbox_sanitized())
        TEST_SKIP("a build with sanitizers");
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    struct sched *s = make();
    for (uint64_t i = 0; i < N; i++) {
        char addr[64];
        int n = snprintf(addr, sizeof addr, "recipient%d@domain%d.example.org", (int)i,
                         (int)(i % 10000));
        struct sched_entry_rcpt r = { .addr = span_of(addr, (size_t)n), .attempts = 1,
                                      .reason = SPAN("Connection refused by mx.example.org."),
                                      .next_try_wall_ms = WALL + HOUR };
        struct sched_entry e = { .seq = i, .received_ms = WALL, .rcpts = &r, .rcpt_count = 1,
                                 .sender = SPAN("somebody@sender.example.com") };
        CHECK(sched_add(s, &e, at(0)));
    }
    size_t used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("# %zu bytes a message\n", used / N);
    CHECK(used / N <= 350);
    sched_free(&s);
}

static const struct test tests[] = {
    TEST(delivered_is_gone),
    TEST(deferral_doubles_and_is_routed_anew),
    TEST(a_dead_site_costs_one_attempt),
    TEST(who_waits_has_the_sites_word),
    TEST(fresh_mail_passes_a_dead_crowd),
    TEST(sites_share_and_take_turns),
    TEST(senders_take_turns),
    TEST(only_what_is_taken_brings_more),
    TEST(a_rate_is_kept),
    TEST(a_site_is_given_less),
    TEST(it_comes_near_to_what_is_allowed),
    TEST(rules_make_retries_and_ends),
    TEST(a_week_of_sleep),
    TEST(stale_is_free_but_bounded),
    TEST(a_lost_job_comes_again_soon),
    TEST(unknown_is_flagged),
    TEST(router_decisions),
    TEST(failures_nobody_is_told_of),
    TEST(hold_release_delete),
    TEST(a_second_thought),
    TEST(what_was_said_before),
    TEST(before_too_many_reasons),
    TEST(queue_only_waits_for_a_run),
    TEST(released_is_remembered),
    TEST(warning_then_expiry),
    TEST(no_warning_of_the_last_attempt),
    TEST(into_a_job_while_it_expires),
    TEST(clock_jumps_and_restarts),
    TEST(edited_routes_reach_waiting_mail),
    TEST(retry_passes_the_back_off),
    TEST(a_try_asked_for_is_no_step),
    TEST(a_try_asked_for_at_a_dead_site),
    TEST(one_bad_host_of_many),
    TEST(one_destination_with_dns_trouble),
    TEST(frozen_shares),         TEST(frozen_at_once),
    TEST(kept_connections),
    TEST(kept_in_order_of_preference),
    TEST(kept_and_counted),
    TEST(one_connection_less),
    TEST(all_refused),
    TEST(crowded_a_moment_ago),
    TEST(addresses_are_kept_as_given),
    TEST(many_reasons_are_bounded),
    TEST(order_agrees_with_a_bitmap),
    TEST(memory_per_message),
};
TEST_MAIN(tests)
