/* Unit tests of sched: the ends of recipients' lives where two things come together: a rule that
 * is not known yet, a person, a delivery under way, new tables. */
#include "sched_bed.h"
#include "test.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* One message that came age_ms before `now_ms`. */
static void add(struct sched *s, uint64_t seq, int64_t now_ms, int64_t age_ms)
{
    struct sched_entry_rcpt rcpt = { .addr = SPAN("u@x.example") };
    struct sched_entry e = { .seq = seq, .received_ms = WALL + now_ms - age_ms,
                             .size_bytes = 100, .sender = SPAN("a@sender.example"),
                             .rcpts = &rcpt, .rcpt_count = 1 };
    CHECK(sched_add(s, &e, at(now_ms)));
}

/* As recovery tells it: it was put off some hours ago, until in `wait_ms`. */
static void was_deferred(struct sched *s, uint64_t seq, int64_t now_ms, int64_t wait_ms)
{
    struct sched_entry_rcpt e = { .attempts = 3, .next_try_wall_ms = WALL + now_ms + wait_ms };
    CHECK(sched_restore(s, seq, SCHED_ALL, &e, at(now_ms)));
}

static struct sched_verdict verdict;

static void end_job(struct sched *s, const struct sched_job *job, enum sched_outcome_kind kind,
                    enum sched_news news, int64_t now_ms)
{
    struct sched_outcome out = { kind, SPAN("because") };
    struct sched_result res = { .outcomes = &out, .news = news, .why = SPAN("trouble") };
    CHECK_INT(job->rcpt_count, 1);
    CHECK(sched_job_result(s, job->id, &res, at(now_ms), &verdict));
}

/* Time passes, in steps as an owner makes who is awake, until something ends. */
static bool event_until(struct sched *s, int64_t *now, int64_t until_ms, struct sched_event *ev)
{
    for (; *now <= until_ms; *now += 5 * MINUTE)
        if (sched_next_event(s, at(*now), ev))
            return true;
    return false;
}

static enum sched_state state_of(struct sched *s, uint64_t seq)
{
    struct sched_rcpt_info r;
    return sched_rcpt(s, seq, 0, &r) ? r.state : SCHED_STATES;
}

static struct sched *patient_backing_off(int64_t first_ms)
{
    static struct sched_rule rule;
    struct sched_config c;
    sched_config_defaults(&c);
    c.site_first_ms = first_ms ? first_ms : c.site_first_ms;
    sched_rule_defaults(&rule, &c);
    rule.expire_after_ms = 10 * DAY;
    rule.warn_after_ms = 2 * DAY;
    c.rules = &rule;
    c.rule_count = 1;
    return sched_new(&c);
}

static struct sched *patient(void) { return patient_backing_off(0); }

/* Its rule is known with its route: until then a restart does not end what may go on, nor does
 * mail of no rule live for longer than it has. */
static void a_restart_with_patient_rules(void)
{
    struct sched *s = patient();
    struct sched_event ev;
    struct sched_ask ask;
    struct sched_verdict v;
    int64_t now = HOUR;
    const int64_t ages[] = { 6 * DAY, 6 * DAY, DAY, 11 * DAY };
    for (uint64_t i = 0; i < 4; i++) {
        add(s, i + 1, now, ages[i]);
        was_deferred(s, i + 1, now, 3 * HOUR);
    }
    unsigned told[2] = { 0, 0 };
    while (event_until(s, &now, 3 * HOUR, &ev)) {
        CHECK(ev.kind == SCHED_EVENT_WARN ? ev.seq <= 2 : ev.seq == 4);
        told[ev.kind]++;
    }
    CHECK_INT(told[SCHED_EVENT_WARN], 2);
    CHECK_INT(told[SCHED_EVENT_EXPIRED], 1);
    sched_place(s, SPAN("x"), SPAN_NONE, 1);
    now = 4 * HOUR + 30 * MINUTE;
    CHECK_INT(route_all(s, "x", now), 3);
    CHECK(!event_until(s, &now, 6 * HOUR, &ev));
    CHECK_INT(sched_reroute(s, 2, 0, at(now)), 1);
    CHECK_INT(sched_next_to_route(s, at(now), &ask, 1), 1);
    CHECK_INT(ask.seq, 2);
    sched_routed(s, 2, 0, SCHED_TO, SPAN("plain"), at(now), &v);
    CHECK(event_until(s, &now, 7 * HOUR, &ev)); /* after the grace */
    CHECK_INT(ev.seq, 2);
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    CHECK_INT(ev.after_ms, 5 * DAY);
    CHECK(event_until(s, &now, 2 * DAY, &ev));
    CHECK_INT(ev.seq, 3);
    CHECK_INT(ev.kind, SCHED_EVENT_WARN);
    CHECK_INT(ev.after_ms, 2 * DAY);
    CHECK(event_until(s, &now, 5 * DAY, &ev));
    CHECK_INT(ev.seq, 1);
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    CHECK_INT(ev.after_ms, 10 * DAY);
    sched_free(&s);
}

/* It is said when it will be: not while it is held, and after the grace when that is over late. */
static void when_it_ends(void)
{
    struct sched_config c;
    struct sched_event ev;
    struct sched_msg_info m;
    sched_config_defaults(&c);
    struct sched *s = sched_new(&c);
    add(s, 1, HOUR, 0);
    CHECK(sched_msg(s, 1, &m));
    int64_t ends = sched_msg_ends_ms(s, m.here, 0);
    CHECK_INT(ends, HOUR + sched_expire_ms(s, SPAN_NONE));
    sched_hold(s, 1, SCHED_ALL, SPAN("held"));
    CHECK(sched_msg_ends_ms(s, m.here, 0) == INT64_MAX);
    int64_t now = ends + HOUR;
    CHECK_INT(sched_release(s, 1, SCHED_ALL, SPAN("let go"), at(now)), 1);
    ends = sched_msg_ends_ms(s, m.here, 0);
    CHECK_INT(ends, now + c.grace_ms);
    CHECK(!sched_next_event(s, at(ends - 1), &ev));
    CHECK(sched_next_event(s, at(ends), &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    sched_free(&s);
}

/* What a person froze by its domain waits apart from its site, whose rule it is to have. */
static void frozen_under_a_patient_rule(void)
{
    struct sched *s = patient();
    struct sched_event ev;
    int64_t now = HOUR;
    sched_place(s, SPAN("x"), SPAN("mx:x"), 1);
    add(s, 1, now, 6 * DAY);
    CHECK_INT(route_all(s, "x", now), 1);
    CHECK(event_until(s, &now, 2 * HOUR, &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_WARN);
    CHECK(sched_freeze(s, SPAN("x.example")));
    struct sched_job job;
    while (sched_next_job(s, at(now), &job) || route_all(s, "x", now))
        ;
    struct sched_rcpt_info r;
    CHECK(sched_rcpt(s, 1, 0, &r) && r.frozen);
    CHECK(!event_until(s, &now, 3 * DAY, &ev));
    CHECK(event_until(s, &now, 5 * DAY, &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    sched_free(&s);
}

/* A reload: rules are told again one by one, also of what is frozen by its domain. Until its own is
 * told nothing begins at a place, and nothing ends that any rule lets go on. */
static void a_reload_with_rules(void)
{
    struct sched_rule rules[2];
    struct sched_config c;
    sched_config_defaults(&c);
    for (int i = 0; i < 2; i++)
        sched_rule_defaults(&rules[i], &c);
    rules[0].expire_after_ms = 10 * DAY;
    rules[0].warn_after_ms = rules[1].warn_after_ms = 0;
    c.warn_after_ms = 0;
    rules[1].expire_after_ms = 2 * DAY;
    c.rules = rules;
    c.rule_count = 2;
    struct sched *s = sched_new(&c);
    struct sched_event ev;
    struct sched_job job;
    struct span dest;
    int64_t now = HOUR;
    CHECK(sched_freeze(s, SPAN("x.example")));
    add(s, 1, now, DAY);
    CHECK_INT(route_all(s, "x", now), 1);
    sched_place(s, SPAN("frozen:x.example"), SPAN_NONE, 2);
    CHECK(!sched_next_to_rule(s, &dest));
    sched_configure(s, &c);
    CHECK_INT(sched_next_wake(s, at(now), 0), now);
    CHECK(!event_until(s, &now, DAY + 2 * HOUR, &ev)); /* by no rule known, yet */
    CHECK(sched_next_to_rule(s, &dest));
    CHECK_SPAN(dest, SPAN("frozen:x.example"));
    sched_place(s, dest, SPAN_NONE, 2);
    CHECK(!sched_next_to_rule(s, &dest));
    CHECK(event_until(s, &now, DAY + 3 * HOUR, &ev));
    CHECK_INT(ev.after_ms, 2 * DAY);
    CHECK(sched_thaw(s, SPAN("x.example")));
    sched_place(s, SPAN("x"), SPAN("mx:x"), 1);
    add(s, 2, now, 0);
    CHECK_INT(route_all(s, "x", now), 1);
    sched_configure(s, &c);
    CHECK(!sched_next_job(s, at(now), &job));
    while (sched_next_to_rule(s, &dest))
        sched_place(s, dest, SPAN_NONE, 1);
    CHECK(sched_next_job(s, at(now), &job));
    end_job(s, &job, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, now);
    sched_free(&s);
}

/* Its time was over while it was in a session, a person holds it there and lets it go later: from
 * then on it is mail as any other, and ends also behind a wedged site. */
static void held_in_its_last_session(void)
{
    struct sched *s = patient();
    struct sched_job job;
    struct sched_event ev;
    int64_t now = 0;
    add(s, 1, 0, 0);
    CHECK_INT(route_all(s, "x", 0), 1);
    CHECK(sched_next_job(s, at(0), &job));
    CHECK(event_until(s, &now, 3 * DAY, &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_WARN);
    CHECK(!event_until(s, &now, 6 * DAY, &ev)); /* it is in a session */
    CHECK_INT(sched_hold(s, 1, 0, SPAN("by hand")), 1);
    end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_OK, now);
    CHECK_INT(verdict.state, SCHED_HELD);
    CHECK(sched_freeze(s, SPAN("x")));
    CHECK(!event_until(s, &now, 7 * DAY, &ev));
    CHECK_INT(sched_release(s, 1, 0, SPAN_NONE, at(now)), 1);
    CHECK_INT(route_all(s, "x", now), 1);
    CHECK_INT(state_of(s, 1), SCHED_READY);
    CHECK(event_until(s, &now, 7 * DAY + HOUR, &ev));
    CHECK_INT(ev.kind, SCHED_EVENT_EXPIRED);
    sched_free(&s);
}

/* Between two ends of one message its place gets a rule that lets the other one go on: that ends
 * when the rule says. */
static void a_rule_in_the_middle_of_an_end(void)
{
    struct sched *s = patient();
    struct sched_event ev;
    int64_t now = 0;
    struct sched_entry_rcpt two[2] = { { .addr = SPAN("u@x.example") },
                                       { .addr = SPAN("v@x.example") } };
    struct sched_entry e = { .seq = 1, .received_ms = WALL, .sender = SPAN("a@sender.example"),
                             .rcpts = two, .rcpt_count = 2 };
    CHECK(sched_add(s, &e, at(0)));
    CHECK_INT(route_all(s, "x", 0), 2);
    sched_place(s, SPAN("x"), SPAN("mx:x"), 0);
    for (int i = 0; i < 2; i++)
        CHECK(event_until(s, &now, DAY, &ev) && ev.kind == SCHED_EVENT_WARN);
    CHECK(event_until(s, &now, 6 * DAY, &ev));
    CHECK(ev.kind == SCHED_EVENT_EXPIRED && ev.rcpt == 0 && !ev.last);
    sched_place(s, SPAN("x"), SPAN_NONE, 1);
    CHECK(!event_until(s, &now, 9 * DAY, &ev));
    CHECK(event_until(s, &now, 11 * DAY, &ev));
    CHECK(ev.kind == SCHED_EVENT_EXPIRED && ev.rcpt == 1 && ev.last);
    sched_free(&s);
}

/* Put off for its own sake, with another way since then: it does not stand behind the back-off of
 * a place where it does not go any more. */
static void due_after_new_tables(void)
{
    struct sched *s = patient_backing_off(8 * MINUTE);
    struct sched_job job;
    for (uint64_t i = 1; i <= 2; i++) {
        add(s, i, 0, 0);
        CHECK_INT(route_all(s, "dead", 0), 1);
        CHECK(sched_next_job(s, at(0), &job));
        end_job(s, &job, SCHED_OUT_DEFERRED, SCHED_NEWS_NONE, 0);
    }
    add(s, 3, 4 * MINUTE, 0);
    CHECK_INT(route_all(s, "dead", 4 * MINUTE), 1);
    CHECK(sched_next_job(s, at(4 * MINUTE), &job));
    end_job(s, &job, SCHED_OUT_SITE, SCHED_NEWS_DOWN, 4 * MINUTE);
    sched_routes_changed(s);
    CHECK_INT(route_all(s, "relay", 4 * MINUTE + 10), 1);
    while (sched_next_job(s, at(4 * MINUTE + 10), &job))
        end_job(s, &job, SCHED_OUT_DELIVERED, SCHED_NEWS_OK, 4 * MINUTE + 10);
    struct sched_place_info p;
    CHECK(sched_dest(s, SPAN("dead"), &p) && p.site_down_until_ms > 6 * MINUTE);
    CHECK_INT(sched_due(s, 1, 0, at(5 * MINUTE)), 1);
    CHECK(!sched_next_job(s, at(5 * MINUTE), &job));
    CHECK_INT(route_all(s, "relay", 5 * MINUTE), 1);
    CHECK(!sched_next_job(s, at(5 * MINUTE + 50 * SECOND), &job) || job.seq == 1);
    route_all(s, "relay", 5 * MINUTE + 50 * SECOND);
    struct sched_rcpt_info r;
    CHECK(sched_rcpt(s, 2, 0, &r));
    CHECK_SPAN(r.dest, SPAN("relay"));
    sched_free(&s);
}

static const struct test tests[] = {
    TEST(a_restart_with_patient_rules), TEST(when_it_ends),
    TEST(frozen_under_a_patient_rule),
    TEST(a_reload_with_rules),
    TEST(held_in_its_last_session),
    TEST(a_rule_in_the_middle_of_an_end),
    TEST(due_after_new_tables),
};
TEST_MAIN(tests)
