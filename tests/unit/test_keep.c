/* What qmgr keeps beside the mail survives its end, on a disk that fails as told: the alarms that
 * watch has told, what an administrator has frozen and rerouted. */
#include "qmgr_rig.h"
#include "test.h"

#include "base/must.h"
#include "loop/sim.h"
#include "proto/control.h"
#include "proto/lists.h"
#include "proto/qmgr_router.h"
#include "proto/watch_qmgr.h"
#include "qmgr/keep.h"
#include "qmgr/reroute.h"
#include "smtp/client.h"

#include <stdarg.h>
#include <sysexits.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, ASKED_MAX = 8 };

/* A watch and a control beside the rig's peers. */
struct desk {
    struct rig *r;
    struct channel *watch, *control, *router;
    struct buf kept; /* "alarm/subject/told " of each */
    bool kept_end;
    struct buf said; /* rows and the last text, each with a line end */
    int status;      /* of the last answer; -1: none */
    uint64_t asked[ASKED_MAX]; /* of mail to asked@...: the router does not answer by itself */
    size_t asked_count;
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
    channel_free(&d->router);
}

/* Nothing can be delivered. */
static void unplug_deliver(struct desk *d) { channel_free(&d->r->deliver); }

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

/* --- what an administrator decides --- */

/* The arguments end with NULL. The status; -1: no answer. */
static int ask(struct desk *d, const char *verb, ...)
{
    struct buf args;
    va_list ap;
    buf_init(&args, 65536);
    va_start(ap, verb);
    for (const char *arg; (arg = va_arg(ap, const char *)) != NULL;)
        wire_put_bytes(&args, span_str(arg));
    va_end(ap);
    struct msg_admin_ask m = { .q = 1, .who = SPAN("ann"), .verb = span_str(verb),
                               .args = buf_span(&args) };
    buf_reset(&d->said);
    d->status = -1;
    if (d->control)
        send_admin_ask(d->control, &m);
    for (int i = 0; i < 100 && d->status < 0; i++)
        rig_run(d->r, 5);
    buf_free(&args);
    return d->status;
}

static bool says(struct desk *d, const char *text) { return strstr(buf_cstr(&d->said), text); }

static bool frozen(struct desk *d, const char *name)
{
    return ask(d, "freeze", NULL) == ADMIN_OK && says(d, name);
}

static bool delivered(struct desk *d, const char *rcpt)
{
    return rig_address(d->r, rcpt)->delivered > 0;
}

static struct rig_mail *post(struct desk *d, const char *rcpt)
{
    struct rig_mail *m = rig_mail(d->r, "ok.sender@a.example", rcpt);
    MUST(rig_send(d->r, m));
    rig_run(d->r, 5 * SECOND);
    return m;
}

static void freezing(void)
{
    struct desk *d = desk_new(3);
    CHECK_INT(ask(d, "freeze", "Slow.example", NULL), ADMIN_OK);
    killed(d);
    CHECK(frozen(d, "\"slow.example\"") && says(d, "\"who\":\"ann\""));
    post(d, "ok1@slow.example");
    power_cut(d, 4);
    CHECK(frozen(d, "slow.example"));
    rig_run(d->r, 10 * MINUTE);
    CHECK(!delivered(d, "ok1@slow.example"));
    CHECK_INT(ask(d, "freeze", "SLOW.example", NULL), EX_NOINPUT);
    CHECK_INT(ask(d, "thaw", "SLOW.example", NULL), ADMIN_OK);
    rig_run(d->r, MINUTE);
    CHECK(delivered(d, "ok1@slow.example"));
    killed(d);
    CHECK(!frozen(d, "slow.example"));
    post(d, "ok2@slow.example");
    CHECK(delivered(d, "ok2@slow.example"));
    desk_free(d);
}

/* It holds at once, it is said that it is not on the disk, and it comes there. */
static void freezing_on_a_broken_disk(void)
{
    struct desk *d = desk_new(4);
    vfs_faulty_break(d->r->disk, "/spool");
    CHECK_INT(ask(d, "freeze", "a.example", NULL), EX_IOERR);
    CHECK(says(d, "not on disk") && frozen(d, "a.example"));
    vfs_faulty_break(d->r->disk, NULL);
    rig_run(d->r, MINUTE);
    power_cut(d, 5);
    CHECK(frozen(d, "a.example"));
    vfs_faulty_break(d->r->disk, "/spool");
    CHECK_INT(ask(d, "thaw", "a.example", NULL), EX_IOERR);
    vfs_faulty_break(d->r->disk, NULL);
    CHECK_INT(ask(d, "freeze", "b.example", NULL), ADMIN_OK);
    power_cut(d, 6);
    CHECK(frozen(d, "b.example") && !says(d, "a.example"));
    desk_free(d);
}

static const char *dest_of(struct desk *d, const struct rig_mail *m)
{
    static char text[200];
    struct sched_rcpt_info r;
    if (!sched_rcpt(d->r->q->sched, m->seq, 0, &r))
        return "gone";
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(r.dest));
    return text;
}

static const char *id_of(struct desk *d, const struct rig_mail *m)
{
    static char text[64];
    struct sched_msg_info info;
    MUST(sched_msg(d->r->q->sched, m->seq, &info));
    snprintf(text, sizeof text, "id=%s", queueid_make(m->seq, info.received_ms).text);
    return text;
}

static int reroute(struct desk *d, const struct rig_mail *m, const char *hop)
{
    return ask(d, "act", id_of(d, m), "action=reroute", hop, NULL);
}

static void rerouting_once(void)
{
    struct desk *d = desk_new(5);
    struct rig_mail *m = post(d, "tmp99@a.example"), *other = post(d, "tmp99@b.example"),
                    *third = post(d, "tmp99@c.example");
    CHECK(strcmp(dest_of(d, m), "host:[10.9.9.9]") == 0);
    CHECK_INT(reroute(d, m, "nexthop=[192.0.2.1]"), ADMIN_OK);
    CHECK_INT(reroute(d, third, "nexthop=[192.0.2.3]:2525"), ADMIN_OK);
    power_cut(d, 7);
    rig_run(d->r, 20 * MINUTE);
    CHECK(strcmp(dest_of(d, m), "host:[192.0.2.1]") == 0);
    CHECK(strcmp(dest_of(d, third), "host:[192.0.2.3]:2525") == 0);
    CHECK(strcmp(dest_of(d, other), "host:[10.9.9.9]") == 0);
    CHECK_INT(reroute(d, m, "nexthop=[192.0.2.2]"), ADMIN_OK);
    CHECK_INT(reroute(d, other, "nexthop=[192.0.2.2]"), ADMIN_OK);
    rig_run(d->r, MINUTE);
    CHECK(strcmp(dest_of(d, other), "host:[192.0.2.2]") == 0);
    CHECK_INT(ask(d, "act", id_of(d, other), "action=back", NULL), ADMIN_OK);
    CHECK(says(d, "\"messages\":1"));
    CHECK_INT(ask(d, "act", id_of(d, other), "action=back", NULL), ADMIN_OK);
    CHECK(says(d, "\"messages\":0"));
    rig_run(d->r, MINUTE);
    CHECK(strcmp(dest_of(d, other), "host:[10.9.9.9]") == 0);
    CHECK_INT(ask(d, "delete", id_of(d, third) + 3, NULL), ADMIN_OK);
    killed(d);
    rig_run(d->r, 20 * MINUTE);
    CHECK(strcmp(dest_of(d, m), "host:[192.0.2.2]") == 0);
    CHECK_INT(ask(d, "delete", id_of(d, m) + 3, NULL), ADMIN_OK);
    rig_run(d->r, MINUTE); /* the last one is gone, and forgotten */
    killed(d);
    CHECK(d->r->q->reroutes == NULL);
    CHECK(strcmp(dest_of(d, other), "host:[10.9.9.9]") == 0 || *dest_of(d, other) == 0);
    CHECK_INT(reroute(d, other, "nexthop=no such:host:at all"), EX_USAGE);
    desk_free(d);
}

/* Of one message two recipients may go two ways. */
static void rerouting_recipients(void)
{
    struct desk *d = desk_new(6);
    struct rig_mail *m = rig_mail(d->r, "ok.sender@a.example", "tmp99@a.example");
    rig_also(m, "tmp98@b.example");
    CHECK(rig_send(d->r, m));
    rig_run(d->r, 5 * SECOND);
    CHECK_INT(ask(d, "act", "to=tmp99@a.example", "action=reroute", "nexthop=[192.0.2.1]", NULL),
              ADMIN_OK);
    CHECK_INT(ask(d, "act", "to=tmp98@b.example", "action=reroute", "nexthop=[192.0.2.2]", NULL),
              ADMIN_OK);
    CHECK_INT(ask(d, "act", "to=tmp99@a.example", "action=back", NULL), ADMIN_OK);
    CHECK_INT(ask(d, "act", "to=tmp99@a.example", "action=reroute", "nexthop=[192.0.2.1]", NULL),
              ADMIN_OK);
    for (int i = 0; i < 2; i++) {
        struct sched_rcpt_info a, b;
        rig_run(d->r, 20 * MINUTE);
        CHECK(sched_rcpt(d->r->q->sched, m->seq, 0, &a));
        CHECK_SPAN(a.dest, SPAN("host:[192.0.2.1]"));
        CHECK(sched_rcpt(d->r->q->sched, m->seq, 1, &b));
        CHECK_SPAN(b.dest, SPAN("host:[192.0.2.2]"));
        killed(d);
    }
    desk_free(d);
}

static void rerouting_many(void)
{
    struct desk *d = desk_new(7);
    enum { MANY = 90 };
    struct rig_mail *m[MANY];
    for (int i = 0; i < MANY; i++) {
        m[i] = rig_mail(d->r, "ok.sender@a.example", "tmp99999@a.example");
        CHECK(rig_send(d->r, m[i]));
    }
    rig_run(d->r, 5 * SECOND);
    for (uint32_t k = 1; k < 20; k++) /* so that there are several notes */
        for (int i = 0; i < MANY; i++)
            CHECK(reroute_set(d->r->q, m[i]->seq, k * 7 % 19 + 1, SPAN("[192.0.2.9]")));
    CHECK_INT(ask(d, "act", "domain=a.example", "action=reroute", "nexthop=[192.0.2.1]", NULL),
              ADMIN_OK);
    for (int i = 0; i < 2000; i++) { /* of next hops there may be so many */
        char hop[32];
        snprintf(hop, sizeof hop, "h%d.example", i);
        CHECK_INT(reroute_set(d->r->q, m[i % MANY]->seq, 30 + (uint32_t)i, span_str(hop)), i < 998);
    }
    CHECK_INT(keep_flush(d->r->q), 0);
    killed(d);
    for (int i = 0; i < MANY; i++) {
        struct arena *a = arena_new(1 << 20);
        struct route_dest to;
        bool found = reroute_find(d->r->q, m[i]->seq, 0, a, &to);
        bool right = found && span_eq(to.queue, SPAN("host:[192.0.2.1]"));
        arena_free(&a);
        CHECK(right);
    }
    desk_free(d);
}

static void rules(void)
{
    struct desk *d = desk_new(8);
    CHECK_INT(ask(d, "reroute", "set=B.example.", "nexthop=[192.0.2.1]", NULL), ADMIN_OK);
    CHECK(says(d, "\"name\":\"b.example\"") && says(d, "\"action\":\"set\""));
    CHECK_INT(ask(d, "reroute", "set=host:[10.9.9.9]", "nexthop=lmtp:[192.0.2.2]", NULL), ADMIN_OK);
    killed(d);
    CHECK_INT(ask(d, "reroute", NULL), ADMIN_OK);
    CHECK(says(d, "\"nexthop\":\"[192.0.2.1]\"") && says(d, "\"name\":\"host:[10.9.9.9]\"") &&
          says(d, "\"who\":\"ann\""));
    CHECK_INT(ask(d, "reroute", "domain=B.example", "dest=host:[10.9.9.9]", NULL), ADMIN_OK);
    CHECK(says(d, "\"hops\":\"[192.0.2.1]\"") && !says(d, "192.0.2.2"));
    CHECK_INT(ask(d, "reroute", "domain=x.example", "dest=host:[10.9.9.9]", NULL), ADMIN_OK);
    CHECK(says(d, "\"queue\":\"lmtp+host:[192.0.2.2]:24\""));
    CHECK_INT(ask(d, "reroute", "domain=x.example", "dest=hold", NULL), ADMIN_OK);
    CHECK(says(d, "\"rule\":false"));
    struct rig_mail *b = post(d, "tmp99@b.example"), *c = post(d, "tmp99@c.example");
    CHECK(strcmp(dest_of(d, b), "host:[192.0.2.1]") == 0);
    CHECK(strcmp(dest_of(d, c), "lmtp+host:[192.0.2.2]:24") == 0);
    post(d, "none@b.example"); /* the tables know no way */
    CHECK(delivered(d, "none@b.example"));
    CHECK_INT(ask(d, "reroute", "remove=b.example", "remove=x.example", NULL), EX_NOINPUT);
    CHECK(says(d, "\"action\":\"removed\""));
    power_cut(d, 9);
    CHECK_INT(ask(d, "reroute", NULL), ADMIN_OK);
    CHECK(!says(d, "b.example") && says(d, "10.9.9.9"));
    rig_run(d->r, 20 * MINUTE);
    CHECK(strcmp(dest_of(d, b), "lmtp+host:[192.0.2.2]:24") == 0);
    CHECK_INT(ask(d, "reroute", "set=b.example", NULL), EX_USAGE);
    CHECK_INT(ask(d, "reroute", "set=b.example", "nexthop=hold:no", NULL), EX_USAGE);
    CHECK_INT(ask(d, "reroute", "nonsense", NULL), EX_USAGE);
    desk_free(d);
}

/* --- queue runs: "wait..." goes to a listener of ours whose mail waits for one --- */

static void say_routed_to(struct desk *d, uint64_t question, struct route_dest *to)
{
    struct dns_hop hop = { .host = SPAN("10.9.9.9"), .bracketed = true, .literal = true,
                           .addr = { .family = NETADDR_V4, .ip = { 10, 9, 9, 9 } } };
    struct buf b;
    to->mailer = ROUTE_RELAY;
    to->hops = &hop;
    to->hop_count = 1;
    buf_init(&b, 65536);
    route_dest_put(&b, to);
    struct msg_routed said = { .q = question, .destination = buf_span(&b) };
    send_routed(d->router, &said);
    buf_free(&b);
}

static void on_route(struct desk *d, struct channel *ch, const struct msg_route *m)
{
    struct route_dest to = { .queue = SPAN("host:[10.9.9.9]") };
    (void)ch;
    if (span_starts(m->rcpt, SPAN("asked"))) {
        MUST(d->asked_count < ASKED_MAX);
        d->asked[d->asked_count++] = m->q;
        return;
    }
    if (span_starts(m->rcpt, SPAN("wait")) && !m->released) {
        to.own_listener = to.queue = SPAN("later");
        to.own_delivery = CONFIG_QUEUE_ONLY;
    }
    say_routed_to(d, m->q, &to);
}
PROTO_HANDLER(route, struct desk *, on_route)

static void plug_router(struct desk *d)
{
    static const struct channel_type types[] = { PROTO_TYPE(route) };
    static const struct channel_ops ops = { types, 1, ignore_gone, NULL };
    channel_free(&d->router);
    d->router = wire_up(d, ROLE_ROUTER, &ops);
}

/* Mail is held and released while the router is asked: what it said of it before is not its answer
 * of now. */
static void answer_from_before(void)
{
    struct desk *d = desk_new(17);
    struct route_dest old = { .queue = SPAN("host:[10.1.1.1]") },
                      new = { .queue = SPAN("host:[10.2.2.2]") };
    plug_router(d);
    struct rig_mail *m = rig_mail(d->r, "s@a.example", "asked@a.example");
    MUST(rig_send(d->r, m));
    rig_run(d->r, SECOND);
    CHECK_INT(sched_hold(d->r->q->sched, m->seq, SCHED_ALL, SPAN("wait")), 1);
    CHECK_INT(sched_release(d->r->q->sched, m->seq, SCHED_ALL, SPAN_NONE, qmgr_now(d->r->q)), 1);
    loop_hook_ask(d->r->l, &d->r->q->work);
    rig_run(d->r, SECOND);
    CHECK_INT(d->asked_count, 2);
    unplug_deliver(d);
    say_routed_to(d, d->asked[0], &old);
    rig_run(d->r, SECOND);
    CHECK(strcmp(dest_of(d, m), "") == 0);
    say_routed_to(d, d->asked[1], &new);
    rig_run(d->r, SECOND);
    CHECK(strcmp(dest_of(d, m), "host:[10.2.2.2]") == 0);
    desk_free(d);
}

static void queue_runs(void)
{
    struct desk *d = desk_new(11);
    plug_router(d);
    post(d, "wait1@a.example");
    rig_run(d->r, 10 * MINUTE);
    power_cut(d, 1); /* it goes on waiting */
    plug_router(d);
    rig_run(d->r, 10 * MINUTE);
    CHECK(!delivered(d, "wait1@a.example"));
    struct msg_admin_ask run = { .q = 1, .who = SPAN("ann"), .verb = SPAN("run") };
    d->status = -1;
    send_admin_ask(d->control, &run);
    unplug_deliver(d);
    while (d->status < 0)
        rig_turn(d->r);
    CHECK_INT(d->status, ADMIN_OK);
    CHECK(!delivered(d, "wait1@a.example"));
    power_cut(d, 2);
    plug_router(d);
    post(d, "wait2@a.example");
    rig_run(d->r, 10 * MINUTE);
    CHECK(delivered(d, "wait1@a.example") && !delivered(d, "wait2@a.example"));
    killed(d); /* that one came after the run */
    plug_router(d);
    rig_run(d->r, 10 * MINUTE);
    CHECK(!delivered(d, "wait2@a.example"));
    desk_free(d);
}

/* By its listener, without a question to the router; and a run at which nobody looks on. */
static void runs_of_queue_only(void)
{
    static const char *const verbs[] = { "run", "live", "live" };
    for (size_t i = 0; i < 3; i++) {
        struct desk *d = desk_new(20 + i);
        struct rig_mail *m = rig_mail(d->r, "ok.sender@a.example", "wait1@a.example");
        m->envelope_flags = ENVELOPE_QUEUE_ONLY;
        MUST(rig_send(d->r, m));
        rig_run(d->r, 10 * MINUTE);
        killed(d);
        rig_run(d->r, 10 * MINUTE);
        CHECK(!delivered(d, "wait1@a.example"));
        unplug_deliver(d);
        CHECK_INT(ask(d, verbs[i], i ? "background" : NULL, i < 2 ? NULL : "to=wait1@a.example",
                      NULL),
                  ADMIN_OK);
        rig_run(d->r, 2 * SECOND); /* for what is written a little later */
        power_cut(d, 1);
        m = rig_mail(d->r, "ok.sender@a.example", "wait2@a.example");
        m->envelope_flags = ENVELOPE_QUEUE_ONLY;
        MUST(rig_send(d->r, m));
        rig_run(d->r, 10 * MINUTE);
        CHECK(delivered(d, "wait1@a.example") && !delivered(d, "wait2@a.example"));
        desk_free(d);
    }
}

static void retries_of_what_waits(void)
{
    struct desk *d = desk_new(12);
    plug_router(d);
    struct rig_mail *m = post(d, "wait1@a.example");
    post(d, "wait2@a.example");
    unplug_deliver(d);
    CHECK_INT(ask(d, "act", id_of(d, m), "action=retry", NULL), ADMIN_OK);
    power_cut(d, 1);
    plug_router(d);
    rig_run(d->r, 10 * MINUTE);
    CHECK(delivered(d, "wait1@a.example") && !delivered(d, "wait2@a.example"));
    desk_free(d);
}

/* Held while it is in a session, and let go before that ends: it was never held. */
static void held_and_released_in_a_session(void)
{
    static const char *const verbs[] = { "hold", "release" };
    for (int by_id = 0; by_id < 2; by_id++) {
        struct desk *d = desk_new(14);
        struct rig_mail *m = post(d, "slow1@a.example"), *other = post(d, "slow2@a.example");
        struct sched_rcpt_info r;
        rig_run(d->r, SECOND);
        CHECK_INT(d->r->slow_count, 2);
        for (int i = 0; i < 2; i++) {
            if (by_id)
                CHECK_INT(ask(d, verbs[i], id_of(d, m) + 3, NULL), ADMIN_OK);
            else
                CHECK_INT(ask(d, "act", id_of(d, m), i ? "action=release" : "action=hold", NULL),
                          ADMIN_OK);
            CHECK(says(d, "\"recipients\":1"));
        }
        if (by_id) /* it is not held */
            CHECK_INT(ask(d, "release", id_of(d, other) + 3, NULL), EX_NOINPUT);
        rig_answer_slow(d->r, SMTP_DEFERRED);
        rig_run(d->r, SECOND);
        CHECK(sched_rcpt(d->r->q->sched, m->seq, 0, &r));
        CHECK_INT(r.state, SCHED_DEFERRED);
        power_cut(d, 1);
        CHECK(sched_rcpt(d->r->q->sched, m->seq, 0, &r));
        CHECK(r.state != SCHED_HELD && r.released);
        CHECK(sched_rcpt(d->r->q->sched, other->seq, 0, &r));
        CHECK(!r.released);
        desk_free(d);
    }
}

/* It is the person's reason that it waits for then, not the peer's. */
static void held_in_a_session_for_a_reason(void)
{
    struct desk *d = desk_new(15);
    struct rig_mail *m = post(d, "slow1@a.example"), *lost = post(d, "slow2@a.example");
    struct sched_rcpt_info r;
    rig_run(d->r, SECOND);
    CHECK_INT(ask(d, "hold", "reason=under review", id_of(d, m) + 3, NULL), ADMIN_OK);
    rig_answer_slow(d->r, SMTP_DEFERRED);
    rig_run(d->r, SECOND);
    CHECK(sched_rcpt(d->r->q->sched, m->seq, 0, &r) && r.state == SCHED_HELD);
    CHECK_SPAN(r.reason, SPAN("under review"));
    rig_run(d->r, MINUTE); /* the other one is tried again */
    CHECK_INT(d->r->slow_count, 1);
    CHECK_INT(ask(d, "hold", "reason=for a while", id_of(d, lost) + 3, NULL), ADMIN_OK);
    unplug_deliver(d);
    rig_run(d->r, 5 * SECOND);
    power_cut(d, 1);
    CHECK(sched_rcpt(d->r->q->sched, m->seq, 0, &r) && r.state == SCHED_HELD);
    CHECK_SPAN(r.reason, SPAN("under review"));
    CHECK(sched_rcpt(d->r->q->sched, lost->seq, 0, &r) && r.state == SCHED_HELD);
    CHECK_SPAN(r.reason, SPAN("for a while"));
    desk_free(d);
}

/* Whoever was told of its delay is not told again, when only a decision is left of its records,
 * which are merged when there are many. */
static void told_of_a_delay_once(void)
{
    struct desk *d = desk_new(16);
    struct rig_mail *m = rig_mail(d->r, "ok.sender@a.example", "tmp99@a.example");
    struct rig_address *a = rig_address(d->r, "tmp99@a.example");
    struct sched_rcpt_info r;
    m->envelope_flags = ENVELOPE_HOLD;
    MUST(rig_send(d->r, m));
    rig_run(d->r, SECOND);
    CHECK_INT(ask(d, "release", id_of(d, m) + 3, NULL), ADMIN_OK);
    rig_run(d->r, 70 * MINUTE);
    CHECK_INT(a->delayed, 1);
    CHECK_INT(ask(d, "freeze", "a.example", NULL), ADMIN_OK);
    for (int i = 0; i < 120; i++) {
        CHECK_INT(ask(d, i % 2 ? "release" : "hold", id_of(d, m) + 3, NULL), ADMIN_OK);
        rig_run(d->r, 2 * SECOND);
        power_cut(d, 1);
        CHECK(sched_rcpt(d->r->q->sched, m->seq, 0, &r));
        CHECK(r.attempts > 0 && r.warned && (r.state == SCHED_HELD) == (i % 2 == 0));
    }
    CHECK_INT(ask(d, "thaw", "a.example", NULL), ADMIN_OK);
    rig_run(d->r, 100 * MINUTE);
    CHECK_INT(a->delayed, 1);
    desk_free(d);
}

/* What ends behind a dead place, one message after the other, is not flushed one by one. */
static void many_end_together(void)
{
    enum { MANY = 60 };
    static char to[MANY][32];
    struct desk *d = desk_new(13);
    d->r->site = "dead.example";
    d->r->ttl_s = 86400;
    rig_resolver(d->r);
    for (int i = 0; i < MANY; i++) {
        snprintf(to[i], sizeof to[i], "down.%d@x.mx", i);
        rig_mail(d->r, "ok.sender@a.example", to[i])->notify = NOTIFY_NEVER;
        MUST(rig_send(d->r, &d->r->mails[i]));
        rig_run(d->r, i ? 1 : SECOND);
    }
    rig_run(d->r, 59 * MINUTE);
    uint64_t before = vfs_faulty_ops(d->r->disk);
    rig_run(d->r, 2 * MINUTE); /* to warn of */
    CHECK(vfs_faulty_ops(d->r->disk) - before < MANY / 2);
    before = vfs_faulty_ops(d->r->disk);
    CHECK_INT(ask(d, "act", "domain=x.mx", "action=bounce", NULL), ADMIN_OK);
    CHECK(says(d, "\"recipients\":60"));
    CHECK(vfs_faulty_ops(d->r->disk) - before < MANY / 2);
    desk_free(d);
}

/* That it may have arrived already stays known, also by what alone compaction leaves. */
static void may_have_arrived(void)
{
    static const char *const deeds[] = { "action=hold", "action=release" };
    static const uint8_t kinds[] = { SPOOL_HELD, SPOOL_RELEASED };
    struct desk *d = desk_new(37);
    struct rig_mail *m = post(d, "slow.0@a.example");
    rig_run(d->r, SECOND);
    rig_answer_slow(d->r, SMTP_UNKNOWN);
    rig_run(d->r, SECOND);
    for (int i = 0; i < 2; i++) {
        struct arena *a = arena_new(1 << 20);
        struct spool_outcome *newest;
        size_t n;
        CHECK_INT(ask(d, "act", id_of(d, m), deeds[i], NULL), ADMIN_OK);
        CHECK_INT(spool_outcomes(d->r->q->spool, m->seq, a, &newest, &n), 0);
        CHECK(n == 1 && newest->kind == kinds[i] && newest->duplicate && !newest->final);
        arena_free(&a);
        killed(d);
        CHECK_INT(ask(d, "list", NULL), ADMIN_OK);
        CHECK(says(d, "\"duplicate\":true"));
    }
    desk_free(d);
}

/* What is ended with a report is answered when that is on the disk, or cannot be for long. */
static void ended_and_reported(void)
{
    struct desk *d = desk_new(36);
    struct rig_mail *m = post(d, "tmp99@a.example"), *late = post(d, "tmp98@b.example");
    rig_run(d->r, 3 * SECOND);
    d->r->mute = true;
    CHECK_INT(ask(d, "act", "to=tmp99@a.example", "action=bounce", NULL), -1);
    rig_run(d->r, 6 * SECOND); /* then it goes to its address as it stands */
    CHECK(d->status == ADMIN_OK && says(d, "\"recipients\":1"));
    killed(d);
    CHECK(strcmp(dest_of(d, m), "gone") == 0);
    rig_run(d->r, SECOND);
    vfs_faulty_break(d->r->disk, "/spool");
    CHECK_INT(ask(d, "act", "to=tmp98@b.example", "action=expire", NULL), -1);
    rig_run(d->r, 12 * SECOND);
    CHECK(d->status == EX_IOERR);
    vfs_faulty_break(d->r->disk, NULL);
    rig_run(d->r, MINUTE);
    killed(d);
    CHECK(strcmp(dest_of(d, late), "gone") == 0);
    desk_free(d);
}

/* Other mail that ends meanwhile has reports of its own. */
static void held_while_others_end(void)
{
    struct desk *d = desk_new(37);
    post(d, "tmp99@a.example");
    for (int i = 0; i < 8; i++) {
        post(d, "slow@b.example");
        d->r->mute = true;
        rig_answer_slow(d->r, SMTP_FAILED);
        CHECK_INT(ask(d, "act", "to=tmp99@a.example",
                      i % 2 ? "action=release" : "action=hold", NULL), ADMIN_OK);
        d->r->mute = false;
        rig_run(d->r, 20 * SECOND);
    }
    desk_free(d);
}

/* After a start with a silent resolver nobody knows the site, and every answer says so; that it may
 * have arrived already is not forgotten. */
static void whereabouts_unknown(void)
{
    struct desk *d = desk_new(19);
    d->r->site = "mx:m.mx";
    d->r->ttl_s = 86400;
    rig_resolver(d->r);
    struct rig_mail *m = rig_mail(d->r, "ok.sender@a.example", "slow.0@x.mx");
    MUST(rig_send(d->r, m));
    rig_run(d->r, SECOND);
    rig_answer_slow(d->r, SMTP_UNKNOWN);
    rig_run(d->r, SECOND);
    CHECK_INT(ask(d, "count", "site=mx:m.mx", NULL), ADMIN_OK);
    CHECK(says(d, "\"messages\":1,") && !says(d, "site_unknown"));
    d->r->site = NULL;
    killed(d);
    rig_resolver(d->r);
    rig_run(d->r, SECOND);
    CHECK_INT(ask(d, "count", "site=mx:m.mx", NULL), ADMIN_OK);
    CHECK(says(d, "\"messages\":0,") && says(d, "\"site_unknown\":1"));
    CHECK_INT(ask(d, "count", "domain=x.mx", NULL), ADMIN_OK);
    CHECK(says(d, "\"messages\":1,") && !says(d, "site_unknown"));
    CHECK_INT(ask(d, "sites", NULL), ADMIN_OK);
    CHECK(says(d, "{\"site_unknown\":1}"));
    CHECK_INT(ask(d, "why", "target=m.mx", NULL), EX_NOINPUT);
    CHECK(says(d, "\"site_unknown\":1"));
    CHECK_INT(ask(d, "freeze", "mx:m.mx", NULL), ADMIN_OK);
    CHECK(says(d, "of 1 recipient it is not known yet at which site"));
    CHECK_INT(ask(d, "list", "domain=x.mx", NULL), ADMIN_OK);
    CHECK(says(d, "\"duplicate\":true"));
    desk_free(d);
}

/* --- a clock that is wrong when the spool is read --- */

/* One message, an hour old; the clock is set while nobody runs. */
static void clock_set(struct desk *d, int64_t by_ms, struct rig_mail **m_r)
{
    *m_r = post(d, "tmp9999@a.example");
    rig_run(d->r, 60 * MINUTE);
    unplug(d);
    rig_kill(d->r);
    loop_sim_jump_wall(d->r->l, by_ms);
    rig_start(d->r);
    plug(d);
    rig_run(d->r, 60 * MINUTE);
    CHECK(by_ms == 40 * 60 * MINUTE || strcmp(dest_of(d, *m_r), "gone") != 0);
    CHECK_INT(ask(d, "clock", NULL), ADMIN_OK);
}

static void a_clock_that_is_wrong(void)
{
    enum { DAY = 24 * 60 * MINUTE };
    struct desk *d = desk_new(30);
    struct rig_mail *m;
    clock_set(d, 90LL * DAY, &m); /* and is put right */
    CHECK(says(d, "90d after when the gateway ran last"));
    CHECK_INT(ask(d, "clock", "no", NULL), EX_USAGE);
    killed(d);
    loop_sim_jump_wall(d->r->l, -90LL * DAY);
    rig_run(d->r, 60 * MINUTE);
    CHECK_INT(ask(d, "clock", NULL), ADMIN_OK);
    CHECK(says(d, "\"believed\"") && strcmp(dest_of(d, m), "gone") != 0);
    killed(d);
    CHECK_INT(ask(d, "clock", NULL), ADMIN_OK);
    CHECK(says(d, "\"believed\""));
    desk_free(d);
    d = desk_new(31);
    clock_set(d, 90LL * DAY, &m); /* it was right */
    CHECK_INT(ask(d, "clock", "believe", NULL), ADMIN_OK);
    CHECK(says(d, "\"believed\""));
    rig_run(d->r, 60 * MINUTE);
    CHECK(strcmp(dest_of(d, m), "gone") == 0);
    killed(d);
    CHECK_INT(ask(d, "clock", NULL), ADMIN_OK);
    CHECK(says(d, "\"believed\""));
    desk_free(d);
    d = desk_new(32);
    clock_set(d, 90LL * DAY, &m); /* nobody says anything */
    rig_run(d->r, 22 * 60 * MINUTE);
    CHECK_INT(ask(d, "clock", NULL), ADMIN_OK);
    CHECK(!says(d, "\"believed\""));
    rig_run(d->r, 3 * 60 * MINUTE);
    CHECK_INT(ask(d, "clock", NULL), ADMIN_OK);
    CHECK(says(d, "\"believed\""));
    desk_free(d);
    d = desk_new(33);
    clock_set(d, -90LL * DAY, &m);
    CHECK(says(d, "before when the gateway ran last"));
    desk_free(d);
    d = desk_new(34);
    clock_set(d, 40 * 60 * MINUTE, &m); /* it may have been down for so long */
    CHECK(says(d, "\"believed\""));
    desk_free(d);
}

/* Mail that comes while the clock is so far behind; then it is put right, in less than the four
 * hours for which mail is kept. */
static struct rig_mail *came_by_a_wrong_clock(struct desk *d, int64_t behind_ms)
{
    unplug(d);
    rig_kill(d->r);
    loop_sim_jump_wall(d->r->l, -behind_ms);
    rig_start(d->r);
    plug(d);
    struct rig_mail *m = post(d, "tmp9999@a.example");
    rig_run(d->r, 15 * MINUTE);
    loop_sim_jump_wall(d->r->l, behind_ms);
    rig_run(d->r, 15 * MINUTE);
    return m;
}

/* Each time is remembered, also when it was the same one twice. */
static void a_clock_that_is_wrong_again(void)
{
    enum { DAY = 24 * 60 * MINUTE, TIMES = 4 };
    static const int64_t behind_ms[TIMES] = { 90LL * DAY, 200LL * DAY, 200LL * DAY + 20 * MINUTE,
                                              50LL * DAY };
    struct desk *d = desk_new(35);
    struct rig_mail *m[TIMES];
    post(d, "tmp9999@a.example");
    rig_run(d->r, 60 * MINUTE);
    for (int i = 0; i < TIMES; i++)
        m[i] = came_by_a_wrong_clock(d, behind_ms[i]);
    killed(d);
    rig_run(d->r, 60 * MINUTE);
    for (int i = 0; i < TIMES; i++)
        if (strcmp(dest_of(d, m[i]), "gone") == 0)
            TEST_FAIL("what came the %d. time ended early", i + 1);
    desk_free(d);
}

/* A crash at every write and flush of the commands: what was answered done is so afterwards. */
static bool crash_at(uint64_t op, bool *hit_r)
{
    struct desk *d = desk_new(100 + op);
    struct rig_mail *m = post(d, "tmp99@c.example");
    rig_run(d->r, 3 * SECOND); /* its first outcome is written */
    const char *id = id_of(d, m);
    uint64_t before = vfs_faulty_ops(d->r->disk);
    vfs_faulty_plan(d->r->disk, before + op, FAULT_CRASH);
    bool a = ask(d, "freeze", "a.example", NULL) == ADMIN_OK;
    bool f = ask(d, "freeze", "f.example", NULL) == ADMIN_OK;
    bool b = ask(d, "reroute", "set=b.example", "nexthop=[192.0.2.1]", NULL) == ADMIN_OK;
    bool c = ask(d, "act", id, "action=reroute", "nexthop=[192.0.2.3]", NULL) == ADMIN_OK;
    bool t = a && ask(d, "thaw", "a.example", NULL) == ADMIN_OK;
    *hit_r = vfs_faulty_ops(d->r->disk) >= before + op;
    power_cut(d, op);
    /* A thaw that was not answered may have come through or not. */
    bool good = d->r->q && (!t || !frozen(d, "a.example")) && (!f || frozen(d, "f.example"));
    good = good && ask(d, "reroute", NULL) == ADMIN_OK && (!b || says(d, "192.0.2.1"));
    rig_run(d->r, 20 * MINUTE);
    good = good && (!c || strcmp(dest_of(d, m), "host:[192.0.2.3]") == 0);
    good = good && ask(d, "freeze", "z.example", NULL) == ADMIN_OK;
    desk_free(d);
    return good;
}

static void crash_everywhere(void)
{
    bool hit = true;
    uint64_t op = 1;
    for (; hit && op < 200; op++)
        if (!crash_at(op, &hit))
            TEST_FAIL("a crash at operation %" PRIu64, op);
    CHECK(!hit && op > 10);
}

static const struct test tests[] = {
    TEST(alarms_are_kept), TEST(alarms_and_a_broken_disk),
    TEST(freezing), TEST(freezing_on_a_broken_disk),
    TEST(rerouting_once), TEST(rerouting_recipients), TEST(rerouting_many), TEST(rules),
    TEST(answer_from_before),
    TEST(queue_runs), TEST(runs_of_queue_only), TEST(retries_of_what_waits),
    TEST(held_and_released_in_a_session), TEST(held_in_a_session_for_a_reason),
    TEST(told_of_a_delay_once), TEST(whereabouts_unknown),
    TEST(may_have_arrived), TEST(many_end_together), TEST(ended_and_reported),
    TEST(held_while_others_end), TEST(a_clock_that_is_wrong), TEST(a_clock_that_is_wrong_again),
    TEST(crash_everywhere),
};
TEST_MAIN(tests)
