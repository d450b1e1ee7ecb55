#include "qmgr_rig.h"

#include "test.h"

#include "loop/sim.h"

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

static const struct test tests[] = {
    TEST(plain), TEST(eio_everywhere), TEST(enospc_everywhere), TEST(crash_everywhere),
    TEST(kill_everywhere), TEST(disk_away),
};
TEST_MAIN(tests)
