/* What qmgr keeps beside the mail survives its end, on a disk that fails as told: the alarms that
 * watch has told, what an administrator has frozen and rerouted. */
#include "qmgr_rig.h"
#include "test.h"

#include "base/must.h"
#include "proto/control.h"
#include "proto/lists.h"
#include "proto/watch_qmgr.h"

#include <sysexits.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND };

/* A watch and a control beside the rig's peers. */
struct desk {
    struct rig *r;
    struct channel *watch, *control;
    struct buf kept; /* "alarm/subject/told " of each */
    bool kept_end;
    struct buf said; /* rows and the last text, each with a line end */
    int status;      /* of the last answer; -1: none */
};

static void on_kept(struct desk *d, struct channel *ch, const struct msg_kept *m)
{
    (void)ch;
    buf_printf(&d->kept, "%.*s/%.*s/%llu ", SPAN_ARG(m->alarm), SPAN_ARG(m->subject),
               (unsigned long long)m->told);
}
PROTO_HANDLER(kept, struct desk *, on_kept)

static void on_kept_end(struct desk *d, struct channel *ch, const struct msg_kept_end *m)
{
    (void)ch;
    (void)m;
    d->kept_end = true;
}
PROTO_HANDLER(kept_end, struct desk *, on_kept_end)

static void on_admin_said(struct desk *d, struct channel *ch, const struct msg_admin_said *m)
{
    if (m->text.n)
        buf_printf(&d->said, "%.*s\n", SPAN_ARG(m->text));
    if (m->end) {
        d->status = m->end;
        return;
    }
    struct msg_admin_more more = { .q = m->q };
    send_admin_more(ch, &more);
}
PROTO_HANDLER(admin_said, struct desk *, on_admin_said)

static void ignore_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    (void)why;
}

static struct channel *wire_up(struct desk *d, enum role_id role, const struct channel_ops *ops)
{
    int fds[2];
    MUST(loop_pair(d->r->l, fds) == 0);
    qmgr_role.peer(d->r->q, role, 0, fds[0]);
    return channel_new(d->r->l, fds[1], "qmgr", ops, d);
}

static void unplug(struct desk *d)
{
    channel_free(&d->watch);
    channel_free(&d->control);
}

static void plug(struct desk *d)
{
    static const struct channel_type watch_types[] = { PROTO_TYPE(kept), PROTO_TYPE(kept_end) },
                                     control_types[] = { PROTO_TYPE(admin_said) };
    static const struct channel_ops watch_ops = { watch_types, 2, ignore_gone, NULL },
                                    control_ops = { control_types, 1, ignore_gone, NULL };
    unplug(d);
    if (!d->r->q)
        return;
    d->watch = wire_up(d, ROLE_WATCH, &watch_ops);
    d->control = wire_up(d, ROLE_CONTROL, &control_ops);
}

static struct desk *desk_new(uint64_t seed)
{
    struct desk *d = NEW(struct desk);
    d->r = rig_new(seed);
    buf_init(&d->kept, 1 << 20);
    buf_init(&d->said, 1 << 20);
    plug(d);
    return d;
}

static void desk_free(struct desk *d)
{
    unplug(d);
    rig_free(&d->r);
    buf_free(&d->kept);
    buf_free(&d->said);
    free(d);
}

static void killed(struct desk *d)
{
    unplug(d);
    rig_kill(d->r);
    rig_start(d->r);
    plug(d);
}

static void power_cut(struct desk *d, uint64_t seed)
{
    unplug(d);
    rig_reboot(d->r, seed);
    plug(d);
}

static const char *kept(struct desk *d)
{
    struct msg_kept_ask m = { .q = 7 };
    buf_reset(&d->kept);
    d->kept_end = false;
    send_kept_ask(d->watch, &m);
    rig_run(d->r, 10);
    return d->kept_end ? buf_cstr(&d->kept) : "no answer";
}

static void give(struct desk *d, const char *subject, uint64_t told)
{
    struct msg_keep m = { .alarm = SPAN("disk_space"), .subject = span_str(subject),
                          .text = SPAN("little"), .since_ms = 5, .told_ms = 6, .told = told };
    send_keep(d->watch, &m);
}

static void give_end(struct desk *d)
{
    struct msg_keep_end m = { 0 };
    send_keep_end(d->watch, &m);
    rig_run(d->r, 10);
}

static void alarms_are_kept(void)
{
    struct desk *d = desk_new(1);
    CHECK(strcmp(kept(d), "") == 0);
    give(d, "/a", 1);
    rig_run(d->r, 10);
    CHECK(strcmp(kept(d), "") == 0); /* it was not all */
    give_end(d);
    CHECK(strcmp(kept(d), "disk_space//a/1 ") == 0);
    killed(d);
    CHECK(strcmp(kept(d), "disk_space//a/1 ") == 0);
    give(d, "/b", 3);
    give_end(d); /* the other one is over */
    power_cut(d, 5);
    CHECK(strcmp(kept(d), "disk_space//b/3 ") == 0);
    give(d, "/c", 1); /* a watch that ends in the middle */
    rig_run(d->r, 10);
    plug(d);
    give(d, "/d", 1);
    give_end(d);
    CHECK(strcmp(kept(d), "disk_space//d/1 ") == 0);
    give_end(d);
    power_cut(d, 6);
    CHECK(strcmp(kept(d), "") == 0);
    desk_free(d);
}

/* A disk that does not write is tried again. */
static void alarms_and_a_broken_disk(void)
{
    struct desk *d = desk_new(2);
    vfs_faulty_break(d->r->disk, "/spool");
    give(d, "/a", 1);
    give_end(d);
    CHECK(strcmp(kept(d), "disk_space//a/1 ") == 0);
    vfs_faulty_break(d->r->disk, NULL);
    rig_run(d->r, MINUTE);
    power_cut(d, 3);
    CHECK(strcmp(kept(d), "disk_space//a/1 ") == 0);
    desk_free(d);
}

static const struct test tests[] = {
    TEST(alarms_are_kept), TEST(alarms_and_a_broken_disk),
};
TEST_MAIN(tests)
