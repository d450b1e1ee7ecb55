#include "qmgr_rig.h"

#include "test.h"

#include "loop/sim.h"
#include "smtp/client.h"

enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS };

/* One of each kind; `send` each in turns of its own, some together. */
static void make_mixture(struct rig *r)
{
    rig_mail(r, "s0@src.example", "ok.0@x.example");
    rig_mail(r, "s1@src.example", "bad.1@x.example");
    struct rig_mail *m = rig_mail(r, "s2@src.example", "ok.2@x.example");
    rig_also(m, "bad.2@x.example");
    rig_also(m, "tmp2.2@x.example");
    rig_mail(r, "s3@src.example", "ok.3@x.example")->extra_bytes = 30000;
    rig_mail(r, "s4@src.example", "none.4@x.example");
    rig_mail(r, "s5@src.example", "ok.5@x.example")->notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
    rig_mail(r, "", "bad.6@x.example");
    m = rig_mail(r, "s7@src.example", "none.7@x.example");
    rig_also(m, "ok.7@x.example");
    rig_also(m, "bad.7@x.example");
    rig_mail(r, "bad.8@src.example", "bad.8@x.example"); /* a double bounce */
}

static void send_all(struct rig *r)
{
    for (size_t i = 0; i < r->mail_count; i++) {
        if (!r->mails[i].sent)
            rig_send(r, &r->mails[i]);
        if (i % 3 != 1)
            rig_run(r, 300);
    }
}

/* Whatever is said to be at hand is the very content; the last few megabytes are. */
static void recent_content(void)
{
    enum { N = 3000, KEPT = 6 };
    static char bytes[RECENT_ONE_BYTES + 1];
    struct recent *r = recent_new();
    struct span got;
    unsigned here = 0, gone = 0;
    CHECK(!recent_get(r, 0, &got) && !recent_get(r, 7, &got));
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    for (uint64_t seq = 1; seq <= N; seq++) {
        size_t n = seq % 5 ? seq * 37 % 5000 : seq * 7919 % sizeof bytes, head = seq % 300;
        recent_put(r, seq, span_of(bytes + seq % 64, head), span_of(bytes, n));
        for (uint64_t old = seq > 300 ? seq - 300 : 1; old <= seq; old += 7) {
            size_t want = old % 5 ? old * 37 % 5000 : old * 7919 % sizeof bytes;
            if (!recent_get(r, old, &got)) {
                CHECK(old + KEPT < seq || want + old % 300 > RECENT_ONE_BYTES);
                gone++;
                continue;
            }
            CHECK_INT(got.n, want + old % 300);
            CHECK(!memcmp(got.p, bytes + old % 64, old % 300));
            CHECK(!memcmp(got.p + old % 300, bytes, want));
            here++;
        }
    }
    CHECK(here > 10 * N && gone > 0);
    recent_put(r, N + 1, SPAN_NONE, SPAN_NONE);
    CHECK(!recent_get(r, N + 1, &got));
    recent_free(&r);
    recent_free(&r);
}

static void plain(void)
{
    struct rig *r = rig_new(1);
    CHECK(r->q);
    make_mixture(r);
    send_all(r);
    rig_run(r, HOUR_MS);
    for (size_t i = 0; i < r->mail_count; i++)
        CHECK(r->mails[i].committed);
    if (rig_twice(r))
        TEST_FAIL("%s", rig_twice(r));
    CHECK_INT(rig_address(r, "ok.5@x.example")->success, 1);
    CHECK_INT(rig_address(r, "bad.8@src.example")->reported, 1);
    CHECK_INT(rig_address(r, "ok.postmaster@gw.example")->delivered, 2);
    CHECK_INT(spool_stat(r->q->spool).messages, 0);
    CHECK_INT(sched_totals(r->q->sched).messages, 0);
    rig_free(&r);
}

/* --- a fault at every operation of the disk --- */

static bool refused(const struct rig *r, const char *address)
{
    for (size_t i = 0; i < r->mail_count; i++)
        for (unsigned k = 0; k < r->mails[i].rcpt_count; k++)
            if (strcmp(address, r->mails[i].rcpts[k]) == 0)
                return r->mails[i].refused;
    return false;
}

static const char *fault_at(uint64_t op, enum vfs_fault fault, bool *hit_r)
{
    static char why[256];
    struct rig *r = rig_new(op * 7 + 1);
    uint64_t before = vfs_faulty_ops(r->disk);
    const char *wrong;
    make_mixture(r);
    vfs_faulty_plan(r->disk, before + op, fault);
    send_all(r);
    rig_run(r, fault == FAULT_CRASH ? MINUTE_MS : HOUR_MS);
    *hit_r = vfs_faulty_ops(r->disk) >= before + op;
    if (vfs_faulty_crashed(r->disk))
        rig_reboot(r, op);
    if (r->q)
        rig_run(r, HOUR_MS);
    wrong = !r->q                                   ? "the spool does not open again"
            : fault == FAULT_CRASH                  ? rig_wrong(r)
            : rig_twice(r)                          ? rig_twice(r)
            : spool_stat(r->q->spool).messages != 0 ? "something is left in the spool"
                                                    : NULL;
    if (fault == FAULT_CRASH && wrong && r->q && refused(r, wrong))
        wrong = NULL; /* not acknowledged: it may rise */
    if (wrong)
        snprintf(why, sizeof why, "%s", wrong);
    rig_free(&r);
    return wrong ? why : NULL;
}

static void sweep(enum vfs_fault fault)
{
    bool hit = true;
    for (uint64_t op = 1; hit; op++) {
        const char *wrong = fault_at(op, fault, &hit);
        if (wrong)
            TEST_FAIL("operation %" PRIu64 ": %s", op, wrong);
    }
}

static void eio_everywhere(void) { sweep(FAULT_EIO); }
static void enospc_everywhere(void) { sweep(FAULT_ENOSPC); }
static void crash_everywhere(void) { sweep(FAULT_CRASH); }

/* --- kill -9 after every turn --- */

static void kill_everywhere(void)
{
    for (unsigned turns = 1; turns < 120; turns++) {
        struct rig *r = rig_new(turns);
        make_mixture(r);
        for (size_t i = 0; i < r->mail_count; i++)
            rig_send(r, &r->mails[i]);
        for (unsigned i = 0; i < turns; i++)
            rig_turn(r);
        rig_kill(r);
        rig_start(r);
        CHECK(r->q);
        rig_run(r, HOUR_MS);
        if (rig_wrong(r))
            TEST_FAIL("%u turns: %s", turns, rig_wrong(r));
        CHECK_INT(spool_stat(r->q->spool).messages, 0);
        rig_free(&r);
    }
}

/* --- the disk is away for hours --- */

static void disk_away(void)
{
    struct rig *r = rig_new(3);
    make_mixture(r);
    for (size_t i = 0; i < r->mail_count; i++)
        rig_send(r, &r->mails[i]);
    while (!r->mails[r->mail_count - 1].committed)
        rig_turn(r);
    vfs_faulty_break(r->disk, "/spool");
    rig_run(r, 3 * HOUR_MS);
    vfs_faulty_break(r->disk, NULL);
    rig_run(r, HOUR_MS);
    if (rig_twice(r))
        TEST_FAIL("%s", rig_twice(r));
    CHECK_INT(spool_stat(r->q->spool).messages, 0);
    rig_free(&r);
}

/* --- room is made also when there is mail in every turn --- */

static void compaction_under_load(void)
{
    enum { MAILS = 5000, AT_ONCE = 16, TURN_NS = 2000000, TXNS = 1000000 };
    struct rig *r = rig_new(13);
    struct rig_mail *mails[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++) {
        mails[i] = rig_mail(r, "s@src.example", "ok.1@x.example");
        mails[i]->extra_bytes = 4000;
        mails[i]->txn += (uint64_t)i * TXNS;
    }
    for (int i = 0; i < MAILS; i++) {
        struct rig_mail *m = mails[i % AT_ONCE];
        CHECK(!m->sent || m->committed);
        m->committed = false;
        m->txn++;
        CHECK(rig_send(r, m));
        loop_sim_advance(r->l, TURN_NS);
        rig_turn(r);
    }
    CHECK(spool_stat(r->q->spool).segments <= 6);
    rig_free(&r);
}

/* --- destinations that nobody needs any more are forgotten --- */

static void many_destinations(void)
{
    enum { MAILS = 100, KNOWN = 16 };
    struct rig *r = rig_new(15);
    struct sched_config c;
    char rcpts[MAILS][32];
    sched_config_defaults(&c);
    c.idle_dests_max = KNOWN;
    c.places = true;
    sched_configure(r->q->sched, &c);
    r->q->dests_max = KNOWN;
    for (int i = 0; i < MAILS; i++) {
        snprintf(rcpts[i], sizeof rcpts[i], "ok.%d@d%d.mx", i, i);
        rig_send(r, rig_mail(r, "s@src.example", rcpts[i]));
        rig_run(r, 100);
    }
    rig_run(r, MINUTE_MS);
    if (rig_twice(r))
        TEST_FAIL("%s", rig_twice(r));
    CHECK(r->q->dests.n >= KNOWN && r->q->dests.n <= KNOWN + 2);
    rig_free(&r);
}

/* --- the recipients of a message that go to one place go together --- */

static void one_copy_for_a_site(void)
{
    struct rig *r = rig_new(16);
    r->drips = true;
    struct rig_mail *m = rig_mail(r, "s@src.example", "ok.1@x.example");
    rig_also(m, "ok.2@y.mx");
    rig_also(m, "ok.3@x.example");
    rig_also(m, "none@nowhere.example");
    rig_send(r, m);
    rig_run(r, 25); /* half of the answers */
    CHECK_INT(r->jobs, 0);
    CHECK_INT(r->drop_count, 2);
    rig_run(r, MINUTE_MS);
    CHECK_INT(r->jobs, 3); /* and the report */
    if (rig_twice(r))
        TEST_FAIL("%s", rig_twice(r));
    rig_send(r, m = rig_mail(r, "s@src.example", "ok.4@x.example"));
    rig_run(r, 0);
    rig_free(&r);
}

/* What router had answered when it died is asked again with the rest. */
static void router_dies_between_answers(void)
{
    struct rig *r = rig_new(17);
    r->drips = true;
    struct rig_mail *m = rig_mail(r, "s@src.example", "ok.1@x.example");
    rig_also(m, "ok.2@x.example");
    rig_send(r, m);
    rig_run(r, 15);
    CHECK_INT(r->drop_count, 1);
    rig_new_router(r);
    rig_run(r, MINUTE_MS);
    CHECK_INT(r->jobs, 1);
    if (rig_twice(r))
        TEST_FAIL("%s", rig_twice(r));
    rig_send(r, m = rig_mail(r, "s@src.example", "ok.3@x.example"));
    rig_also(m, "ok.4@x.example");
    rig_run(r, 15);
    rig_free(&r); /* in the middle */
}

/* --- many outcomes are not left to a timer --- */

static void a_crash_repeats_few(void)
{
    enum { MAILS = 250, UNWRITTEN_MAX = 200 };
    struct rig *r = rig_new(18);
    char rcpts[MAILS][32];
    for (int i = 0; i < MAILS; i++) {
        snprintf(rcpts[i], sizeof rcpts[i], "slow.%d@d%d.mx", i, i);
        rig_send(r, rig_mail(r, "s@src.example", rcpts[i]));
    }
    rig_run(r, MINUTE_MS);
    CHECK_INT(r->slow_count, MAILS);
    rig_answer_slow(r, SMTP_DELIVERED);
    rig_run(r, 10);
    rig_kill(r);
    rig_start(r);
    rig_run(r, MINUTE_MS);
    CHECK(r->slow_count < UNWRITTEN_MAX);
    rig_free(&r);
}

/* --- when things cross --- */

static void warning_after_delivery(void)
{
    struct rig *r = rig_new(4);
    struct rig_mail *m = rig_mail(r, "s@src.example", "slow.1@x.example");
    rig_also(m, "tmp999.2@x.example");
    rig_send(r, m);
    rig_run(r, HOUR_MS - 5000);
    CHECK(r->slow_count == 1 || rig_address(r, "tmp999.2@x.example")->tries > 3);
    vfs_faulty_break(r->disk, "/spool");
    rig_run(r, 10000); /* the warning is due for both, and cannot be stored */
    CHECK_INT(r->q->report_count, 1);
    rig_answer_slow(r, SMTP_DELIVERED);
    rig_run(r, MINUTE_MS);
    vfs_faulty_break(r->disk, NULL);
    rig_run(r, MINUTE_MS);
    CHECK_INT(rig_address(r, "slow.1@x.example")->delayed, 0);
    CHECK_INT(rig_address(r, "tmp999.2@x.example")->delayed, 1);
    struct arena *a = arena_new(1 << 20);
    struct spool_outcome *list;
    size_t n;
    CHECK_INT(spool_outcomes(r->q->spool, m->seq, a, &list, &n), 0);
    for (size_t i = 0; i < n; i++)
        CHECK(list[i].rcpt != 0 || list[i].final);
    arena_free(&a);
    rig_free(&r);
}

/* Of whom was put off, and of nobody else, over a restart; the last three attempts. */
static void stories_of_who_waits(void)
{
    struct rig *r = rig_new(4);
    struct rig_mail *m = rig_mail(r, "s@src.example", "u1@x.example");
    rig_also(m, "tmp999.2@x.example");
    rig_send(r, m);
    rig_run(r, 10 * MINUTE_MS);
    for (int i = 0; i < 2; i++) {
        struct arena *a = arena_new(1 << 20);
        struct spool_story *list;
        size_t n;
        CHECK(rig_address(r, "tmp999.2@x.example")->tries >= 2);
        CHECK_INT(spool_stories(r->q->spool, m->seq, a, &list, &n), 0);
        CHECK(n >= 2 && n <= 3);
        for (size_t k = 0; k < n; k++) {
            CHECK_INT(list[k].n, 1);
            CHECK_INT(list[k].rcpts[0], 1);
            CHECK_SPAN(list[k].text, SPAN("what happened"));
        }
        arena_free(&a);
        rig_kill(r);
        rig_start(r);
        rig_run(r, MINUTE_MS);
    }
    rig_free(&r);
}

static void warned_once_over_restarts(void)
{
    struct rig *r = rig_new(5);
    struct rig_mail *m = rig_mail(r, "s@src.example", "tmp999.1@x.example");
    struct arena *a = arena_new(1 << 20);
    struct spool_outcome *newest;
    size_t n;
    rig_send(r, m);
    rig_run(r, 2 * HOUR_MS);
    CHECK_INT(rig_address(r, "tmp999.1@x.example")->delayed, 1);
    /* All that compaction leaves of it. */
    CHECK_INT(spool_outcomes(r->q->spool, m->seq, a, &newest, &n), 0);
    CHECK(n == 1 && newest->kind == SPOOL_DEFERRED && !newest->final && newest->no_dsn);
    arena_free(&a);
    for (int i = 0; i < 3; i++) {
        rig_kill(r);
        rig_start(r);
        rig_run(r, HOUR_MS / 2);
    }
    CHECK_INT(rig_address(r, "tmp999.1@x.example")->delayed, 1);
    rig_run(r, 4 * HOUR_MS);
    CHECK_INT(rig_address(r, "tmp999.1@x.example")->reported, 1);
    CHECK_INT(spool_stat(r->q->spool).messages, 0);
    rig_free(&r);
}

static void expired_with_a_dead_deliver(void)
{
    struct rig *r = rig_new(6);
    struct rig_mail *m = rig_mail(r, "s@src.example", "slow.1@x.example");
    struct rig_mail *deleted = rig_mail(r, "s@src.example", "slow.2@x.example");
    rig_send(r, m);
    rig_send(r, deleted);
    rig_run(r, 5 * HOUR_MS);
    CHECK_INT(r->slow_count, 2);
    CHECK_INT(sched_delete(r->q->sched, deleted->seq, SCHED_ALL), 1);
    rig_new_deliver(r);
    rig_run(r, MINUTE_MS);
    CHECK_INT(rig_address(r, "slow.1@x.example")->reported, 1);
    CHECK_INT(rig_address(r, "slow.2@x.example")->reported, 0);
    CHECK_INT(spool_stat(r->q->spool).messages, 0);
    rig_free(&r);
}

static void stuck_deliver(void)
{
    struct rig *r = rig_new(12);
    rig_send(r, rig_mail(r, "s@src.example", "slow.1@x.example"));
    rig_run(r, 20 * HOUR_MS + 4 * MINUTE_MS);
    CHECK(r->deliver);
    rig_run(r, 2 * MINUTE_MS);
    CHECK(!r->deliver);
    rig_new_deliver(r);
    rig_run(r, MINUTE_MS);
    CHECK_INT(rig_address(r, "slow.1@x.example")->reported, 1);
    rig_free(&r);
}

static void half_told_by_a_dead_deliver(void)
{
    struct rig *r = rig_new(7);
    struct rig_mail *m = rig_mail(r, "s@src.example", "slow.1@x.example");
    rig_also(m, "ok.2@x.example");
    rig_send(r, m);
    rig_run(r, 1000);
    CHECK_INT(r->slow_count, 1);
    struct msg_result res = { .job = r->slow_jobs[0].job, .rcpt = 1, .result = SMTP_DELIVERED,
                              .enhanced = SPAN("2.0.0"), .text = SPAN("taken") };
    send_result(r->deliver, &res);
    rig_run(r, 100);
    rig_new_deliver(r);
    rig_run(r, HOUR_MS);
    CHECK_INT(rig_address(r, "ok.2@x.example")->delivered, 0); /* not again */
    CHECK_INT(r->slow_count, 1);
    rig_answer_slow(r, SMTP_DELIVERED);
    rig_run(r, HOUR_MS);
    CHECK_INT(rig_address(r, "ok.2@x.example")->delivered, 0);
    CHECK_INT(spool_stat(r->q->spool).messages, 0);
    rig_free(&r);
}

static enum sched_state state_of(struct rig *r, const struct rig_mail *m, uint32_t rcpt)
{
    struct sched_rcpt_info info;
    return sched_rcpt(r->q->sched, m->seq, rcpt, &info) ? info.state : SCHED_STATES;
}

/* Why a person has to see it comes first, what happened to it after that; also after a restart. */
static void held_with_both_reasons(struct rig *r, const struct rig_mail *m, uint32_t rcpt)
{
    struct sched_rcpt_info info;
    CHECK(sched_rcpt(r->q->sched, m->seq, rcpt, &info));
    CHECK_INT(info.state, SCHED_HELD);
    CHECK_SPAN(info.reason, SPAN("a report that cannot be delivered to the postmaster either"));
    CHECK(span_starts(info.before, SPAN("550")));
}

static void nobody_to_tell(void)
{
    struct rig *r = rig_new_with(8, "bad.postmaster@gw.example");
    struct rig_mail *m = rig_mail(r, "", "ok.1@x.example");
    rig_also(m, "bad.postmaster@gw.example");
    rig_also(m, "tmp1.2@x.example");
    rig_send(r, m);
    rig_run(r, HOUR_MS);
    CHECK_INT(state_of(r, m, 1), SCHED_HELD);
    CHECK_INT(state_of(r, m, 0), SCHED_DELIVERED);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(sched_release(r->q->sched, m->seq, SCHED_ALL, SPAN_NONE, qmgr_now(r->q)), 1);
        rig_run(r, HOUR_MS);
        CHECK_INT(rig_address(r, "bad.postmaster@gw.example")->tries, 2 + i);
        held_with_both_reasons(r, m, 1);
        rig_kill(r);
        rig_start(r);
        rig_run(r, MINUTE_MS);
        held_with_both_reasons(r, m, 1);
    }
    CHECK_INT(rig_address(r, "ok.1@x.example")->delivered, 1);
    CHECK_INT(rig_address(r, "tmp1.2@x.example")->delivered, 1);
    rig_free(&r);
}

static void sender_does_not_read(void)
{
    struct rig *r = rig_new(9);
    struct rig_mail *m = rig_mail(r, "s@src.example", "slow.1@x.example");
    rig_send(r, m);
    rig_run(r, MINUTE_MS);
    CHECK_INT(r->slow_count, 1);
    for (uint64_t off = 4096; off < 16384; off += 32)
        vfs_faulty_flip(r->disk, "/spool/0000000000000001.seg", off, 0x55);
    rig_answer_slow(r, SMTP_FAILED);
    rig_run(r, MINUTE_MS);
    CHECK_INT(state_of(r, m, 0), SCHED_HELD);
    CHECK(spool_has(r->q->spool, m->seq));
    rig_free(&r);
}

/* Its report waits for the disk, and then cannot be made: there is nobody left whose mail it is
 * but a person, who is to see it. */
static void report_cannot_be_made(void)
{
    struct rig *r = rig_new(9);
    struct rig_mail *m = rig_mail(r, "s@src.example", "slow.1@x.example");
    struct sched_rcpt_info info;
    rig_send(r, m);
    rig_run(r, MINUTE_MS);
    CHECK_INT(r->slow_count, 1);
    vfs_faulty_break(r->disk, "/spool");
    rig_answer_slow(r, SMTP_FAILED);
    rig_run(r, 1000);
    CHECK_INT(r->q->report_count, 1);
    CHECK_INT(state_of(r, m, 0), SCHED_FAILED);
    vfs_faulty_break(r->disk, NULL);
    for (uint64_t off = 4096; off < 16384; off += 32)
        vfs_faulty_flip(r->disk, "/spool/0000000000000001.seg", off, 0x55);
    rig_run(r, MINUTE_MS);
    CHECK_INT(r->q->report_count, 0);
    CHECK_INT(state_of(r, m, 0), SCHED_HELD);
    CHECK(sched_rcpt(r->q->sched, m->seq, 0, &info));
    CHECK_SPAN(info.reason, SPAN("it failed, and a report of that cannot be made"));
    CHECK_SPAN(info.before, SPAN("it was slow"));
    CHECK_INT(sched_delete(r->q->sched, m->seq, SCHED_ALL), 1);
    loop_hook_ask(r->l, &r->q->work);
    rig_run(r, 1000);
    CHECK_INT(state_of(r, m, 0), SCHED_STATES);
    rig_free(&r);
}

/* --- peers that have gone mad --- */

static void put_commit(struct channel *ch, uint64_t txn, uint64_t seq, const char *to,
                       struct span content)
{
    struct envelope_rcpt rcpt = { .addr = span_str(to) };
    struct envelope env = { .seq = seq, .received_ms = 1, .rcpts = &rcpt, .rcpt_count = 1 };
    struct buf b;
    buf_init(&b, 4096);
    envelope_put(&b, &env);
    struct msg_commit c = { .txn = txn, .envelope = buf_span(&b), .content = content };
    send_commit(ch, &c);
    buf_free(&b);
}

static struct rig_mail *known(struct rig *r, uint64_t txn, uint64_t seq)
{
    struct rig_mail *m = rig_mail(r, "", "ok.mad@x.example");
    m->txn = txn;
    m->seq = seq;
    m->extra_bytes = SIZE_MAX; /* its content is not looked at */
    return m;
}

/* Every byte of an extent is taken in the end, and once: what is refused, aborted or written as
 * well as what is committed; and an aborted one leaves nothing behind for the next of its name. */
static void credit(void)
{
    struct rig *r = rig_new(14);
    struct rig_mail *large = rig_mail(r, "s@src.example", "ok.0@x.example");
    struct rig_mail *again = rig_mail(r, "s@src.example", "slow.1@x.example");
    large->extra_bytes = 300000;
    rig_send(r, large);
    rig_run(r, 1000);
    CHECK(large->committed);
    CHECK(r->taken_bytes == r->extent_bytes && r->taken_bytes > 300000);

    r->taken_bytes = 0;
    again->txn = (uint64_t)1 << 48 | 999;
    again->seq = large->seq + 1;
    struct msg_extent x = { .txn = again->txn, .seq = again->seq, .data = SPAN("not this, ") };
    struct msg_abort_txn bye = { .txn = again->txn };
    send_extent(r->smtpd, &x);
    send_abort_txn(r->smtpd, &bye);
    x.data = SPAN("but this\r\n");
    send_extent(r->smtpd, &x);
    put_commit(r->smtpd, again->txn, again->seq, "slow.1@x.example", SPAN(""));
    rig_run(r, 1000);
    char text[64];
    ssize_t n = spool_read(r->q->spool, again->seq, 0, text, sizeof text);
    CHECK_SPAN(span_of(text, n > 0 ? (size_t)n : 0), SPAN("but this\r\n"));
    CHECK_INT(r->taken_bytes, strlen("not this, but this\r\n"));
    CHECK_INT(spool_stat(r->q->spool).messages, 1);
    rig_free(&r);
}

static void mad_smtpd(void)
{
    enum { OTHER = 2 };
    static const char slow[] = "slow.mad@x.example";
    struct rig *r = rig_new(10);
    struct rig_mail *victim = rig_mail(r, "s@src.example", "slow.1@x.example");
    rig_send(r, rig_mail(r, "s@src.example", "ok.0@x.example"));
    rig_run(r, 1000);
    uint64_t mine = (uint64_t)OTHER << 48, seq = r->ids + 1;
    struct channel *mad = rig_stranger(r, ROLE_SMTPD);
    struct msg_extent x = { .txn = victim->txn, .seq = r->ids, .data = SPAN("half of it, ") };
    victim->seq = r->ids;
    send_extent(r->smtpd, &x);
    rig_run(r, 10);
    known(r, mine | 1, seq);
    struct rig_mail *twin = known(r, mine | 2, seq);
    struct rig_mail *unleased = known(r, mine | 3, seq + 1000000000);
    struct rig_mail *both = known(r, mine | 4, seq + 1);
    struct msg_abort_txn bye = { .txn = victim->txn };
    send_abort_txn(mad, &bye);
    put_commit(mad, victim->txn, seq, slow, SPAN("x\r\n")); /* as if it were the victim */
    put_commit(mad, mine | 1, seq, slow, SPAN("x\r\n"));
    put_commit(mad, mine | 2, seq, slow, SPAN("y\r\n"));
    put_commit(mad, mine | 3, seq + 1000000000, slow, SPAN("z\r\n"));
    x.txn = mine | 4;
    send_extent(mad, &x);
    put_commit(mad, mine | 4, seq + 1, slow, SPAN("an extent and content\r\n"));
    rig_run(r, 1000);
    CHECK(twin->refused && unleased->refused && both->refused);
    CHECK(victim->refused); /* so the stranger was told; */
    victim->refused = false;
    x.txn = victim->txn;
    x.data = SPAN("and the other\r\n");
    send_extent(r->smtpd, &x);
    put_commit(r->smtpd, victim->txn, victim->seq, slow, SPAN(""));
    rig_run(r, 1000);
    CHECK(victim->committed);
    char text[64];
    ssize_t n = spool_read(r->q->spool, victim->seq, 0, text, sizeof text);
    CHECK_SPAN(span_of(text, n > 0 ? (size_t)n : 0), SPAN("half of it, and the other\r\n"));
    rig_free(&r);
}

/* What it is told grows until its channel is closed: here in the middle of a flush, with more of
 * its mail in the batch. */
static void smtpd_that_reads_nothing(void)
{
    enum { PER_TURN = 10000, REFUSAL_BYTES = 22 + 54, COMMITS_PER_TURN = 400,
           LEASED = 60000 };
    struct rig *r = rig_new(11);
    rig_send(r, rig_mail(r, "s@src.example", "ok.0@x.example"));
    rig_run(r, 1000);
    struct channel *mad = rig_stranger(r, ROLE_SMTPD);
    struct msg_lease lease = { .count = LEASED };
    send_lease(mad, &lease);
    rig_run(r, 100);
    uint64_t txn = UINT64_C(2) << 48, seq = r->ids;
    CHECK_INT(r->ids_left, LEASED);
    r->ids_left = 0;
    channel_pause(mad, true);
    struct msg_commit stray = { .txn = 1 };
    size_t left = (CHANNEL_QUEUE_HARD - (512 << 10)) / REFUSAL_BYTES;
    for (uint64_t i = 0; left; left--) {
        send_commit(mad, &stray);
        if (++i % PER_TURN == 0)
            rig_turn(r);
    }
    rig_run(r, MINUTE_MS);
    CHECK(r->q->smtpds[1].channel);
    for (int turn = 0; turn < LEASED / COMMITS_PER_TURN && r->q->smtpds[1].channel; turn++) {
        for (int i = 0; i < COMMITS_PER_TURN; i++)
            put_commit(mad, ++txn, seq++, "ok.mad@x.example", SPAN("x\r\n"));
        rig_run(r, 3);
    }
    CHECK(!r->q->smtpds[1].channel);
    struct rig_mail *m = rig_mail(r, "s@src.example", "ok.1@x.example");
    rig_send(r, m);
    rig_run(r, MINUTE_MS);
    CHECK(m->committed);
    CHECK_INT(rig_address(r, "ok.1@x.example")->delivered, 1);
    rig_free(&r);
}

static void clock_jumps(struct rig *r, int64_t days)
{
    loop_sim_jump_wall(r->l, days * 24 * HOUR_MS);
}

/* Mail that came while the clock was wrong, before the time came from the network, is not old after
 * that for one more restart: when there was mail at the start, which doubted the clock, and when
 * there was none. */
static void received_by_a_wrong_clock(void)
{
    for (int some = 0; some < 2; some++) {
        struct rig *r = rig_new_config(29, "delivery_rule \"long\" { domain = {\"x.example\"} "
                                           "expire_after = 3d warn_after = 2d }\n");
        CHECK(!some || rig_send(r, rig_mail(r, "ok.s@src.example", "tmp999.0@x.example")));
        rig_run(r, HOUR_MS);
        rig_kill(r);
        clock_jumps(r, -400);
        rig_start(r);
        struct rig_mail *m = rig_mail(r, "ok.s@src.example", "tmp999.1@x.example");
        struct rig_address *a = rig_address(r, "tmp999.1@x.example");
        CHECK(rig_send(r, m));
        rig_run(r, HOUR_MS);
        clock_jumps(r, 400);
        rig_run(r, (some ? 1 : 26) * HOUR_MS);
        for (int i = 0; i < 3; i++) {
            rig_kill(r);
            rig_start(r);
            rig_run(r, 2 * HOUR_MS);
            CHECK_INT(a->reported, 0);
        }
        rig_run(r, 80 * HOUR_MS);
        CHECK_INT(a->reported, 1);
        rig_free(&r);
    }
}

static const struct test tests[] = {
    TEST(recent_content), TEST(plain), TEST(eio_everywhere), TEST(enospc_everywhere),
    TEST(crash_everywhere), TEST(kill_everywhere), TEST(disk_away), TEST(warning_after_delivery),
    TEST(stories_of_who_waits), TEST(warned_once_over_restarts),
    TEST(expired_with_a_dead_deliver),
    TEST(stuck_deliver), TEST(half_told_by_a_dead_deliver), TEST(nobody_to_tell),
    TEST(sender_does_not_read), TEST(report_cannot_be_made),
    TEST(many_destinations), TEST(one_copy_for_a_site),
    TEST(router_dies_between_answers), TEST(a_crash_repeats_few), TEST(received_by_a_wrong_clock),
    TEST(compaction_under_load), TEST(credit), TEST(mad_smtpd), TEST(smtpd_that_reads_nothing),
};
TEST_MAIN(tests)
