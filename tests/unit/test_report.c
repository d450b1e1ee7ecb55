/* What qmgr's reports say: of delay and expiry the last attempt, also after a restart; of what was
 * never tried itself, the attempt it waits for; times by the rule; lists and aliases at once. */
#include "qmgr_rig.h"
#include "test.h"

#include "mail/date.h"
#include "smtp/client.h"

#include <stdio.h>

enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS, WAITING = 30 };

static bool says(const struct rig *r, const char *what)
{
    if (strstr(r->report, what))
        return true;
    printf("# no \"%s\" in\n%s\n", what, r->report);
    return false;
}

/* The field's date, compared in the form it is written in. */
static bool dated(const struct rig *r, const char *field, int64_t ms)
{
    struct buf b;
    buf_init(&b, 200);
    buf_printf(&b, "\n%s: ", field);
    mail_date_put(&b, ms, 0);
    bool ok = says(r, buf_cstr(&b));
    buf_free(&b);
    return ok;
}

static int64_t wall_ms(struct rig *r) { return loop_wall_ms(r->l); }

/* Until the recipient was tried so often; that moment. */
static int64_t run_until_tried(struct rig *r, const char *addr, unsigned tries)
{
    for (int i = 0; i < 36000 && rig_address(r, addr)->tries < tries; i++)
        rig_run(r, 1000);
    return wall_ms(r);
}

static void the_last_attempt_is_told(struct rig *r, int64_t at_ms)
{
    CHECK(says(r, "Diagnostic-Code: smtp; 450 4.2.1 busy"));
    CHECK(says(r, "Remote-MTA: dns; hub.example"));
    CHECK(says(r, "    hub.example, at RCPT, over TLSv1.3 AES, "));
    struct buf b;
    buf_init(&b, 200);
    buf_putz(&b, "\nLast-Attempt-Date: ");
    mail_date_put(&b, at_ms, 0);
    b.len -= 9; /* within ten seconds: the seconds' last digit and the zone are not compared */
    buf_putc(&b, '\0');
    CHECK(says(r, b.mem + b.off));
    buf_free(&b);
}

/* Retries after 20 s, 40 s ...: the last one before an hour was minutes before it. */
static void delayed(bool restart)
{
    struct rig *r = rig_new_config(7, "");
    int64_t sent_ms = wall_ms(r), tried_ms = 0;
    CHECK(rig_send(r, rig_mail(r, "ok.s@src.example", "tmp999.1@x.example")));
    for (unsigned tries = 0; !rig_address(r, "tmp999.1@x.example")->delayed;) {
        if (rig_address(r, "tmp999.1@x.example")->tries > tries) {
            tries = rig_address(r, "tmp999.1@x.example")->tries;
            tried_ms = wall_ms(r);
        }
        rig_run(r, 100);
    }
    CHECK(says(r, "Status: 4.2.1\r\n"));
    CHECK(says(r, "does not take mail now"));
    the_last_attempt_is_told(r, tried_ms);
    CHECK(dated(r, "Will-Retry-Until", sent_ms + 4 * HOUR_MS));
    if (restart)
        rig_reboot(r, 8);
    CHECK(r->q != NULL);
    while (!rig_address(r, "tmp999.1@x.example")->reported)
        rig_run(r, 1000);
    CHECK(says(r, "Status: 4.4.7\r\n"));
    CHECK(says(r, "Diagnostic-Code: smtp; 450 4.2.1 busy"));
    CHECK(says(r, "Remote-MTA: dns; hub.example"));
    CHECK(says(r, "    hub.example, at RCPT, over TLSv1.3 AES, "));
    CHECK(says(r, "does not take mail now"));
    rig_free(&r);
}

static void of_a_delay(void) { delayed(false); }
static void after_a_restart(void) { delayed(true); }

/* Nothing is tried between the restart and the report: all of it comes from the disk, where the
 * report of the delay stands last. */
static void from_the_disk_alone(void)
{
    struct rig *r = rig_new_config(9, "");
    CHECK(rig_send(r, rig_mail(r, "ok.s@src.example", "tmp999.1@x.example")));
    int64_t tried_ms = run_until_tried(r, "tmp999.1@x.example", 1);
    rig_run(r, 2000);
    while (!rig_address(r, "tmp999.1@x.example")->delayed) {
        unsigned tries = rig_address(r, "tmp999.1@x.example")->tries;
        rig_run(r, 100);
        if (rig_address(r, "tmp999.1@x.example")->tries > tries)
            tried_ms = wall_ms(r);
    }
    unsigned tries = rig_address(r, "tmp999.1@x.example")->tries;
    rig_run(r, 2000);
    rig_reboot(r, 10);
    uint64_t seq = r->mails[0].seq;
    struct last last;
    struct arena *a = arena_new(1 << 20);
    struct fact f = { .rcpt = 0, .attempts = tries };
    last_init(&last, r->q);
    last_fill(&last, a, seq, SPAN_NONE, &f);
    CHECK_SPAN(f.last_status, SPAN("4.2.1"));
    CHECK_SPAN(f.reply, SPAN("450 4.2.1 busy"));
    CHECK_SPAN(f.host, SPAN("hub.example"));
    CHECK_SPAN(f.stage, SPAN("RCPT"));
    CHECK_SPAN(f.tls, SPAN("TLSv1.3 AES"));
    CHECK(!f.untried);
    if (f.at_ms < tried_ms - 200 || f.at_ms > tried_ms + 200)
        TEST_FAIL("tried %lld ms before it is said", (long long)(tried_ms - f.at_ms));
    last_free(&last);
    arena_free(&a);
    rig_free(&r);
}

/* A rule with times of its own: what is said is what happens. */
static void times_of_a_rule(void)
{
    struct rig *r = rig_new_config(11, "delivery_rule \"short\" { domain = {\"x.mx\"} "
                                       "warn_after = 10m expire_after = 30m }\n");
    int64_t sent_ms = wall_ms(r);
    CHECK(rig_send(r, rig_mail(r, "ok.s@src.example", "tmp999.1@x.mx")));
    rig_run(r, 11 * MINUTE_MS);
    CHECK_INT(rig_address(r, "tmp999.1@x.mx")->delayed, 1);
    CHECK(dated(r, "Will-Retry-Until", sent_ms + 30 * MINUTE_MS));
    rig_run(r, 20 * MINUTE_MS);
    CHECK_INT(rig_address(r, "tmp999.1@x.mx")->reported, 1);
    CHECK(says(r, "handed over for 30m"));
    rig_free(&r);
}

/* No host can be reached: one message tries it for all that wait there. */
static void behind_a_back_off(void)
{
    struct rig *r = rig_new_config(12, "");
    r->site = "dead.example";
    r->ttl_s = 86400;
    rig_resolver(r);
    char addrs[WAITING][32];
    for (int i = 0; i < WAITING; i++) {
        snprintf(addrs[i], sizeof addrs[i], "down.%d@x.mx", i);
        CHECK(rig_send(r, rig_mail(r, "ok.s@src.example", addrs[i])));
        rig_run(r, 1000);
    }
    rig_run(r, HOUR_MS + 2 * MINUTE_MS);
    for (int i = 0; i < WAITING; i++)
        CHECK_INT(rig_address(r, addrs[i])->delayed, 1);
    CHECK(rig_address(r, addrs[0])->tries > 0);
    CHECK_INT(rig_address(r, addrs[WAITING - 1])->tries, 0);
    CHECK(says(r, addrs[WAITING - 1]));
    CHECK(says(r, "Status: 4.4.1\r\n"));
    CHECK(says(r, "No mail server of that domain answers."));
    CHECK(says(r, "Diagnostic-Code: x-postern; nobody answers"));
    CHECK(says(r, "Last-Attempt-Date: "));
    rig_free(&r);
}

/* The mail's own first lines are in the report; all of it only where the configuration says so. */
static void what_comes_back(void)
{
    static const struct {
        const char *config;
        bool full, said;
    } cases[] = {
        { "", false, false },
        { "report { return = full }", true, false },
        { "report { return = full full_max = 1K }", false, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig *r = rig_new_config(30 + i, cases[i].config);
        struct rig_mail *m = rig_mail(r, "ok.s@src.example", "bad.1@x.example");
        m->extra_bytes = 2000;
        CHECK(rig_send(r, m));
        rig_run(r, 5000);
        CHECK_INT(rig_address(r, "bad.1@x.example")->reported, 1);
        CHECK(says(r, "\nSubject: mail "));
        CHECK_INT(strstr(r->report, "\nline 5 of mail ") != NULL, cases[i].full);
        CHECK_INT(strstr(r->report, "more than 1024 bytes") != NULL, cases[i].said);
        rig_free(&r);
    }
}

/* RFC 3461 5.2.7.1 and 5.2.7.3: told at once, and nobody delivers to the name itself. */
static void told_of_lists_and_aliases(void)
{
    struct rig *r = rig_new_config(13, "");
    struct rig_mail *m = rig_mail(r, "ok.s@src.example", "slow.alias@gw.example");
    rig_also(m, "slow.list@gw.example");
    rig_also(m, "ok.member@x.example");
    m->notify = NOTIFY_SUCCESS;
    m->flags[0] = ENVELOPE_RCPT_ALIAS;
    m->flags[1] = ENVELOPE_RCPT_LIST;
    CHECK(rig_send(r, m));
    rig_run(r, 5000);
    CHECK_INT(rig_address(r, "slow.alias@gw.example")->success, 1);
    CHECK_INT(rig_address(r, "slow.list@gw.example")->success, 1);
    CHECK_INT(rig_address(r, "ok.member@x.example")->delivered, 1);
    CHECK_INT(r->slow_count, 0);
    CHECK_INT(sched_totals(r->q->sched).messages, 0);
    rig_reboot(r, 14);
    rig_run(r, 5000);
    CHECK_INT(rig_address(r, "slow.alias@gw.example")->success, 1);
    rig_free(&r);
}

/* A power failure at each moment behind the commit: told all the same, and once as long as the
 * report was not out yet. */
static void told_after_a_crash(void)
{
    for (int turns = 0; turns < 12; turns++) {
        struct rig *r = rig_new_config(20 + (uint64_t)turns, "");
        struct rig_mail *m = rig_mail(r, "ok.s@src.example", "slow.alias@gw.example");
        rig_also(m, "ok.member@x.example");
        m->notify = NOTIFY_SUCCESS;
        m->flags[0] = ENVELOPE_RCPT_ALIAS;
        CHECK(rig_send(r, m));
        while (!m->committed)
            rig_turn(r);
        for (int i = 0; i < turns; i++)
            rig_turn(r);
        unsigned before = rig_address(r, "slow.alias@gw.example")->success;
        rig_reboot(r, 40 + (uint64_t)turns);
        rig_run(r, 60000);
        unsigned told = rig_address(r, "slow.alias@gw.example")->success;
        if (told != 1 && !(before == 1 && told == 2))
            TEST_FAIL("after %d turns: told %u times, %u before", turns, told, before);
        rig_free(&r);
    }
}

/* The end does not wait for router to say whom the report's address stands for. */
static void told_at_an_end(void)
{
    struct rig *r = rig_new_config(17, "");
    struct rig_address *a = rig_address(r, "slow1@x.example");
    CHECK(rig_send(r, rig_mail(r, "ok.s@src.example", "slow1@x.example")));
    rig_run(r, 1000);
    CHECK_INT(r->slow_count, 1);
    channel_pause(r->router, true);
    rig_answer_slow(r, SMTP_FAILED);
    rig_run(r, 100);
    CHECK(!list_empty(&r->q->reports_asking));
    qmgr_role.finish(r->q, 10000);
    channel_free(&r->smtpd);
    channel_free(&r->deliver);
    rig_run(r, 100);
    CHECK(r->done);
    rig_kill(r);
    rig_start(r);
    rig_run(r, MINUTE_MS);
    CHECK_INT(a->reported, 1);
    CHECK_INT(r->slow_count, 0); /* nothing was tried again */
    rig_free(&r);
}

static const struct test tests[] = {
    TEST(of_a_delay), TEST(after_a_restart), TEST(from_the_disk_alone), TEST(times_of_a_rule),
    TEST(behind_a_back_off), TEST(what_comes_back), TEST(told_of_lists_and_aliases),
    TEST(told_after_a_crash), TEST(told_at_an_end),
};
TEST_MAIN(tests)
