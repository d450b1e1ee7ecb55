/* Many sites that stall beside one that works, in simulated time: 500 jobs in all, as many as
 * deliver.connections has. What stalls ends after a minute without an answer. */
#include "sched/sched.h"

#include "base/must.h"
#include "test.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, JOBS = 500, LIVE = 0, LIVE_TAKES_MS = 20 };

struct job_at {
    struct sched_job job;
    int64_t end_ms;
    bool live;
};

struct world {
    struct sched *s;
    int64_t now_ms;
    uint64_t seq, *dest_of; /* by seq: 0 is the live one */
    struct job_at jobs[2 * JOBS];
    uint32_t running, stalled, stalled_most;
    uint64_t delivered, begun;   /* at the live site */
    int64_t live_begun_ms;       /* the last time */
    bool all_work;
    int64_t slow_ms; /* so long the others take for each, then */
    uint8_t tried[4096];
    uint64_t sites_tried;
};

enum { SEQS_MAX = 400000 };

static struct sched_now now(const struct world *w)
{
    return (struct sched_now){ w->now_ms, 1790000000000 + w->now_ms };
}

static struct world *world_new(uint32_t jobs_max)
{
    struct world *w = NEW(struct world);
    struct sched_config c;
    sched_config_defaults(&c);
    c.jobs_max = jobs_max;
    w->s = sched_new(&c);
    w->now_ms = 1000;
    w->dest_of = must_calloc(SEQS_MAX, sizeof *w->dest_of);
    return w;
}

static void world_free(struct world *w)
{
    sched_free(&w->s);
    free(w->dest_of);
    free(w);
}

static void add(struct world *w, uint64_t dest)
{
    struct sched_entry_rcpt r = { .addr = SPAN("u@x.example") };
    struct sched_entry e = { .seq = ++w->seq, .received_ms = now(w).wall_ms, .size_bytes = 1000,
                             .sender = SPAN("a@c.example"), .rcpts = &r, .rcpt_count = 1 };
    MUST(w->seq < SEQS_MAX && sched_add(w->s, &e, now(w)));
    w->dest_of[w->seq] = dest;
}

static void route(struct world *w)
{
    struct sched_ask asks[64];
    struct sched_verdict v;
    for (size_t n; (n = sched_next_to_route(w->s, now(w), asks, 64)) > 0;)
        for (size_t i = 0; i < n; i++) {
            char key[32];
            int k = snprintf(key, sizeof key, "d%u", (unsigned)w->dest_of[asks[i].seq]);
            sched_routed(w->s, asks[i].seq, 0, SCHED_TO, span_of(key, (size_t)k), now(w), &v);
        }
}

static void end(struct world *w, struct job_at *j)
{
    struct sched_outcome out = { SCHED_OUT_SITE, SPAN("no answer") };
    struct sched_result res = { .outcomes = &out, .news = SCHED_NEWS_DOWN,
                                .why = SPAN("no answer") };
    struct sched_verdict v;
    if (j->live) {
        out.kind = SCHED_OUT_DELIVERED;
        res.news = SCHED_NEWS_OK;
    }
    w->delivered += j->live && w->dest_of[j->job.seq] == LIVE;
    w->stalled -= !j->live;
    MUST(sched_job_result(w->s, j->job.id, &res, now(w), &v));
    *j = w->jobs[--w->running];
}

static void start(struct world *w, const struct sched_job *job)
{
    uint64_t dest = w->dest_of[job->seq];
    bool live = w->all_work || dest == LIVE;
    int64_t takes_ms = !live ? MINUTE : dest != LIVE && w->slow_ms ? w->slow_ms : LIVE_TAKES_MS;
    w->jobs[w->running++] = (struct job_at){ *job, w->now_ms + takes_ms, live };
    w->sites_tried += !w->tried[dest];
    w->tried[dest] = 1;
    w->stalled += !live;
    if (w->stalled > w->stalled_most)
        w->stalled_most = w->stalled;
    w->begun += dest == LIVE;
    if (dest == LIVE)
        w->live_begun_ms = w->now_ms;
}

/* One turn of the owner's loop. */
static void turn(struct world *w)
{
    struct sched_job job;
    uint64_t gone;
    for (uint32_t i = 0; i < w->running;)
        if (w->jobs[i].end_ms <= w->now_ms)
            end(w, &w->jobs[i]);
        else
            i++;
    route(w);
    while (sched_next_job(w->s, now(w), &job)) {
        start(w, &job);
        route(w);
    }
    while (sched_next_gone(w->s, &gone))
        ;
}

static void run(struct world *w, int64_t ms)
{
    for (int64_t end_ms = w->now_ms + ms; w->now_ms < end_ms; w->now_ms += 5)
        turn(w);
}

static void burst(struct world *w, uint64_t sites, int each)
{
    for (int k = 0; k < each; k++)
        for (uint64_t d = 1; d <= sites; d++)
            add(w, d);
}

/* A fresh message begins within the turn in which it came. */
static bool begins_at_once(struct world *w)
{
    uint64_t begun = w->begun;
    add(w, LIVE);
    turn(w);
    return w->begun > begun;
}

static void fresh_mail_goes_at_once(void)
{
    static const uint64_t crowds[] = { 60, 300, 2000 };
    for (size_t i = 0; i < sizeof crowds / sizeof *crowds; i++) {
        struct world *w = world_new(JOBS);
        CHECK(begins_at_once(w));
        run(w, SECOND);
        burst(w, crowds[i], 8);
        for (int k = 0; k < 600; k++) { /* half a minute to five minutes: a back-off and probes */
            CHECK(begins_at_once(w));
            run(w, 500);
        }
        CHECK(w->stalled_most <= JOBS * 3 / 4);
        CHECK(w->stalled_most >= (crowds[i] < 250 ? 60 : 250));
        world_free(w);
    }
}

/* Not even known before: as long as the first jobs of the new ones do not take their share. */
static void a_new_site_is_tried_at_once(void)
{
    struct world *w = world_new(JOBS);
    burst(w, 300, 8);
    run(w, 10 * SECOND);
    CHECK(begins_at_once(w));
    world_free(w);
}

static uint64_t delivered_in(uint64_t crowd, int64_t ms)
{
    struct world *w = world_new(JOBS);
    add(w, LIVE);
    run(w, SECOND);
    burst(w, crowd, 8);
    for (int k = 0; k < 80000; k++)
        add(w, LIVE);
    run(w, ms);
    uint64_t n = w->delivered;
    world_free(w);
    return n;
}

static void a_live_site_keeps_its_pace(void)
{
    uint64_t alone = delivered_in(0, MINUTE);
    CHECK(alone > 40000);
    CHECK(delivered_in(300, MINUTE) * 10 >= alone * 9);
    CHECK(delivered_in(2000, MINUTE) * 10 >= alone * 9);
}

/* 300 that worked until now, all at once: each keeps what it has begun, and no more than that. */
static void what_worked_and_stops(void)
{
    struct world *w = world_new(JOBS);
    w->all_work = true;
    burst(w, 300, 8);
    run(w, 10 * SECOND);
    w->all_work = false;
    run(w, 2 * MINUTE);
    CHECK(begins_at_once(w));
    run(w, SECOND);
    burst(w, 300, 8);
    run(w, 100);
    CHECK(w->stalled >= 300);
    for (int k = 0; k < 100; k++) {
        CHECK(begins_at_once(w));
        run(w, SECOND);
    }
    world_free(w);
}

/* Turns until a fresh message begins, in milliseconds. */
static int64_t begins_after_ms(struct world *w)
{
    int64_t since_ms = w->now_ms;
    uint64_t begun = w->begun;
    add(w, LIVE);
    for (turn(w); w->begun == begun && w->now_ms < since_ms + 2 * MINUTE; turn(w))
        w->now_ms += 5;
    return w->now_ms - since_ms;
}

/* As many sites as there may be jobs, all of which took mail a moment ago, and stop now. */
static struct world *all_worked(void)
{
    struct world *w = world_new(JOBS);
    w->all_work = true;
    add(w, LIVE);
    burst(w, JOBS, 8);
    run(w, 10 * SECOND);
    w->all_work = false;
    return w;
}

/* As many as there are jobs, and all stop at one moment, with mail for each: they take all there
 * is, until it shows a second later. */
static void all_stop_at_once(void)
{
    struct world *w = all_worked();
    CHECK_INT(w->running, 0);
    burst(w, JOBS, 8);
    turn(w);
    CHECK_INT(w->stalled, JOBS);
    CHECK(begins_after_ms(w) <= SCHED_HUNG_MS + 10);
    for (int k = 0; k < 100; k++) {
        run(w, 700);
        CHECK(begins_at_once(w));
    }
    CHECK(w->stalled_most <= 2 * JOBS);
    /* A site that had not been heard of is tried, too. */
    add(w, JOBS + 1);
    turn(w);
    CHECK(w->tried[JOBS + 1]);
    world_free(w);
}

/* The same, while mail comes in for some seconds: nobody takes all piece by piece. */
static void all_stop_and_more_mail_comes(void)
{
    struct world *w = all_worked();
    CHECK_INT(w->running, 0);
    for (int k = 0; k < 20; k++) {
        burst(w, JOBS, 1);
        run(w, 200);
        CHECK(k < 6 || begins_at_once(w));
    }
    for (int k = 0; k < 100; k++) {
        run(w, 700);
        CHECK(begins_at_once(w));
    }
    world_free(w);
}

/* Four times as many: what has answered since has a share of its own; and there is an end. */
static void very_many_stop_at_once(void)
{
    struct world *w = world_new(JOBS);
    w->all_work = true;
    burst(w, 4 * JOBS, 2);
    run(w, 10 * SECOND);
    CHECK_INT(w->running, 0);
    for (int k = 0; k < 3; k++)
        add(w, LIVE);
    turn(w);
    w->all_work = false;
    burst(w, 4 * JOBS, 8);
    run(w, SECOND + 30);
    for (int k = 0; k < 100; k++) {
        CHECK(begins_at_once(w));
        run(w, SECOND);
    }
    CHECK(w->stalled_most > JOBS && w->stalled_most < 2 * JOBS);
    world_free(w);
}

/* They take everything, and 20 s for each: enough of them to have all jobs, and far more mail. Mail
 * to what answers begins at once, and to what was not heard of for minutes. */
static void slow_sites_leave_room(void)
{
    static const uint64_t crowds[] = { 200, 1000 };
    for (size_t i = 0; i < sizeof crowds / sizeof *crowds; i++) {
        struct world *w = world_new(JOBS);
        w->all_work = true;
        w->slow_ms = 20 * SECOND;
        add(w, LIVE);
        burst(w, crowds[i], 20);
        run(w, MINUTE);
        for (int k = 0; k < 100; k++) {
            add(w, LIVE);
            CHECK(begins_after_ms(w) <= (k ? 0 : MINUTE));
            run(w, 700);
        }
        CHECK(w->running >= JOBS * 3 / 4);
        if (crowds[i] < JOBS * 3 / 4) {
            run(w, 2 * MINUTE);
            CHECK(begins_at_once(w));
        }
        world_free(w);
    }
}

static void slow_sites_that_work_keep_most(void)
{
    struct sched_config c;
    struct sched_job job[100];
    struct world *w = world_new(100);
    sched_config_defaults(&c);
    c.jobs_max = 100;
    c.site_initial = c.site_max = 100;
    sched_configure(w->s, &c);
    for (int k = 0; k < 1000; k++)
        add(w, 1);
    route(w);
    /* Each takes 15 s, always: after the first it has what they may. */
    struct sched_outcome out = { SCHED_OUT_DELIVERED, SPAN_NONE };
    struct sched_result res = { .outcomes = &out, .news = SCHED_NEWS_OK };
    struct sched_verdict v;
    size_t n = 0;
    for (int round = 0; round < 4; round++) {
        size_t done = n;
        w->now_ms += 15 * SECOND;
        CHECK(round < 2 || !sched_totals(w->s).silent_jobs);
        for (size_t i = 0; i < done; i++) {
            MUST(sched_job_result(w->s, job[i].id, &res, now(w), &v));
            for (uint64_t gone; sched_next_gone(w->s, &gone);)
                ;
            bool again = sched_next_job(w->s, now(w), &job[i]);
            MUST(again);
            while (n < 100 && sched_next_job(w->s, now(w), &job[n]))
                n++;
        }
        while (n < 100 && sched_next_job(w->s, now(w), &job[n]))
            n++;
    }
    CHECK_INT(n, 75);
    world_free(w);
}

/* Nobody starves: with only bad ones each is tried, and their share is used all the time. */
static void a_queue_of_bad_sites_is_tried_in_turns(void)
{
    struct world *w = world_new(40);
    burst(w, 400, 3);
    uint64_t area = 0;
    for (int k = 0; k < 40 * 60; k++) {
        run(w, SECOND);
        area += w->stalled;
    }
    CHECK_INT(w->sites_tried, 400);
    CHECK(area / (40 * 60) >= 19);
    /* A new one that works beside them. */
    CHECK(begins_at_once(w));
    world_free(w);
}

static void it_is_told(void)
{
    struct world *w = world_new(8);
    struct sched_place_info p;
    burst(w, 10, 1);
    turn(w);
    CHECK_INT(w->running, 6);
    CHECK(sched_site_of(w->s, SPAN("d9"), &p));
    CHECK(p.crowded && p.share == SCHED_NEW && p.full.jobs == 6 && p.full.max == 6);
    CHECK_INT(sched_share(w->s, SCHED_NEW).jobs, 6);
    CHECK_INT(sched_share(w->s, SCHED_NEW).max, 6);
    CHECK(sched_site_of(w->s, SPAN("d1"), &p));
    CHECK(!p.crowded);
    CHECK_INT(sched_totals(w->s).silent_jobs, 0);
    run(w, 6 * SECOND);
    CHECK_INT(sched_totals(w->s).silent_jobs, 6);
    CHECK(sched_site_of(w->s, SPAN("d1"), &p));
    CHECK_INT(p.share, SCHED_TROUBLE);
    world_free(w);
}

static const struct test tests[] = {
    TEST(fresh_mail_goes_at_once),
    TEST(a_new_site_is_tried_at_once),
    TEST(a_live_site_keeps_its_pace),
    TEST(what_worked_and_stops),
    TEST(all_stop_at_once),
    TEST(all_stop_and_more_mail_comes),
    TEST(very_many_stop_at_once),
    TEST(slow_sites_that_work_keep_most),
    TEST(slow_sites_leave_room),
    TEST(a_queue_of_bad_sites_is_tried_in_turns),
    TEST(it_is_told),
};

TEST_MAIN(tests)
