/* watch over simulated days, beside a qmgr, a resolver, a listener and a control that are played
 * here. */
#include "test.h"

#include "base/must.h"
#include "dns/plan.h"
#include "ipc/channel.h"
#include "loop/sim.h"
#include "proto/control.h"
#include "proto/deliver_resolver.h"
#include "proto/watch_qmgr.h"
#include "proto/watch_smtpd.h"
#include "role/role.h"
#include "vfs/vfs.h"
#include "watch/inside.h"

#include <fcntl.h>
#include <unistd.h>

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
static const int64_t WALL_MS = 1790000000000;

struct rig {
    struct loop *l;
    struct role_env env;
    void *watch;
    struct channel *qmgr, *resolver, *control, *smtpd;
    struct buf heard; /* what smtpd was told */
    bool with_relay; /* letters are taken */
    bool with_refusal;
    const char *to_rcpt; /* the relay's answer; NULL: good */
    bool slow_relay;     /* it does not greet by itself */
    char hello[64];      /* what it heard last */
    int listen_fd;
    struct loop_io accept;
    struct {
        int fd;
        bool data;
        struct loop_io io;
        struct buf in;
    } session;
    int letters;
    struct buf keep, kept; /* encoded, each with its length */
    uint64_t keeps;
    bool site_unknown; /* of the old mail */
    /* what is played */
    int64_t born_ms; /* of the old mail, on the monotonic clock; -1: none */
    uint64_t old, messages;
    const char *clock; /* why it is not believed */
    bool qmgr_mute, dns_dead;
    bool own_zone_dead; /* what is below the host name cannot be found out */
    int old_sites;      /* so many of them beside */
    /* what was seen */
    struct buf said;
    uint64_t lookups;
    int events_fd;
};

static void ignore_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    (void)why;
}

static void on_facts_ask(struct rig *r, struct channel *ch, const struct msg_facts_ask *m)
{
    int64_t age_ms = r->born_ms < 0 ? -1 : loop_mono_ms(r->l) - r->born_ms;
    if (r->qmgr_mute)
        return;
    for (int i = 0; i < r->old_sites; i++) {
        char name[40];
        snprintf(name, sizeof name, "mx:%d.example", i);
        struct msg_old_cell c = { .q = m->q, .site = span_str(name), .domain = span_str(name + 3),
                                  .age_ms = 5 * HOUR, .old = 20 };
        send_old_cell(ch, &c);
    }
    if (age_ms >= m->older_ms) {
        struct msg_old_cell c = { .q = m->q,
                                  .site = r->site_unknown ? SPAN_NONE : SPAN("mx:dead.example"),
                                  .domain = SPAN("far.example"), .reason = SPAN("refused"),
                                  .age_ms = age_ms, .old = r->old };
        send_old_cell(ch, &c);
        c.domain = SPAN("other.example");
        c.age_ms = age_ms / 2;
        c.old = 1;
        send_old_cell(ch, &c);
    }
    struct msg_facts f = { .q = m->q, .messages = r->messages,
                           .clock = span_str(r->clock ? r->clock : "") };
    send_facts(ch, &f);
}
PROTO_HANDLER(facts_ask, struct rig *, on_facts_ask)

static void on_keep(struct rig *r, struct channel *ch, const struct msg_keep *m)
{
    (void)ch;
    size_t at = wire_begin_bytes(&r->keep);
    msg_keep_put(&r->keep, m);
    wire_end_bytes(&r->keep, at);
}
PROTO_HANDLER(keep, struct rig *, on_keep)

static void on_keep_end(struct rig *r, struct channel *ch, const struct msg_keep_end *m)
{
    (void)ch;
    (void)m;
    buf_reset(&r->kept);
    buf_puts(&r->kept, buf_span(&r->keep));
    buf_reset(&r->keep);
    r->keeps++;
}
PROTO_HANDLER(keep_end, struct rig *, on_keep_end)

static void on_kept_ask(struct rig *r, struct channel *ch, const struct msg_kept_ask *m)
{
    struct wire w = wire_reader(buf_span(&r->kept));
    struct msg_kept_end end = { .q = m->q };
    while (w.rest.n) {
        struct msg_kept k;
        MUST(msg_kept_get(wire_get_bytes(&w, 1 << 20), &k));
        send_kept(ch, &k);
    }
    send_kept_end(ch, &end);
}
PROTO_HANDLER(kept_ask, struct rig *, on_kept_ask)

/* --- a relay that takes every letter --- */

static void hang_up(struct rig *r)
{
    loop_io_del(r->l, &r->session.io);
    loop_close(r->l, r->session.fd);
    r->session.fd = -1;
}

static void on_smtp(void *ctx, int ready)
{
    struct rig *r = ctx;
    char bytes[4096];
    (void)ready;
    ssize_t n = loop_read(r->l, r->session.fd, bytes, sizeof bytes);
    if (n <= 0) {
        hang_up(r);
        return;
    }
    buf_put(&r->session.in, bytes, (size_t)n);
    for (size_t end; (end = span_find(buf_span(&r->session.in), '\n')) < r->session.in.len;) {
        struct span line = span_to(buf_span(&r->session.in), end + 1);
        const char *say = "250 good\r\n";
        if (span_starts(line, SPAN("EHLO")))
            snprintf(r->hello, sizeof r->hello, "%.*s", SPAN_ARG(line));
        if (r->session.data) {
            r->session.data = !span_eq(line, SPAN(".\r\n"));
            r->letters += !r->session.data;
            say = r->session.data ? "" : say;
        } else if (span_starts(line, SPAN("DATA"))) {
            r->session.data = true;
            say = "354 go on\r\n";
        } else if (span_starts(line, SPAN("RCPT")) && r->to_rcpt) {
            say = r->to_rcpt;
        }
        loop_write(r->l, r->session.fd, say, strlen(say));
        buf_take(&r->session.in, end + 1);
    }
}

static void on_accept(void *ctx, int ready)
{
    struct rig *r = ctx;
    int fd = loop_accept(r->l, r->listen_fd, NULL);
    (void)ready;
    if (fd < 0)
        return;
    MUST(r->session.fd < 0);
    r->session.fd = fd;
    r->session.data = false;
    buf_reset(&r->session.in);
    loop_io_add(r->l, &r->session.io, fd, LOOP_READ, on_smtp, r);
    if (!r->slow_relay)
        loop_write(r->l, fd, "220 here\r\n", 10);
}

static void relay_begin(struct rig *r)
{
    struct netaddr at;
    struct err e;
    MUST(netaddr_parse_ip(SPAN("10.0.0.1"), &at));
    at.port = 25;
    r->listen_fd = loop_listen(r->l, &at, 4, &e);
    MUST(r->listen_fd >= 0);
    loop_io_add(r->l, &r->accept, r->listen_fd, LOOP_READ, on_accept, r);
}

static void relay_end(struct rig *r)
{
    loop_io_del(r->l, &r->accept);
    if (r->listen_fd >= 0)
        loop_close(r->l, r->listen_fd);
    r->listen_fd = -1;
}

static void on_lookup(struct rig *r, struct channel *ch, const struct msg_lookup *m)
{
    struct buf b;
    bool own = span_find(m->hops, '.') < m->hops.n &&
               span_starts(span_from(m->hops, span_find(m->hops, '.')), SPAN(".gw."));
    bool dead = r->dns_dead || (r->own_zone_dead && own);
    struct dns_plan plan = { .verdict = dead ? DNS_PLAN_LATER : DNS_PLAN_FAIL,
                             .code = SPAN("4.4.3"), .text = SPAN("nobody answers") };
    r->lookups++;
    buf_init(&b, 4096);
    dns_plan_put(&b, &plan);
    struct msg_found f = { .q = m->q, .plan = buf_span(&b) };
    send_found(ch, &f);
    buf_free(&b);
}
PROTO_HANDLER(lookup, struct rig *, on_lookup)

static void on_admin_said(struct rig *r, struct channel *ch, const struct msg_admin_said *m)
{
    (void)ch;
    buf_puts(&r->said, m->text);
    buf_putz(&r->said, m->end ? "." : "\n");
}
PROTO_HANDLER(admin_said, struct rig *, on_admin_said)

static void on_check(struct rig *r, struct channel *ch, const struct msg_check *m)
{
    (void)ch;
    buf_printf(&r->heard, "%.*s %d\n", SPAN_ARG(m->name), m->fails);
}
PROTO_HANDLER(check, struct rig *, on_check)

static const char *heard(struct rig *r) { return buf_cstr(&r->heard); }

static struct channel *wire(struct rig *r, enum role_id role, const struct channel_ops *ops)
{
    int fds[2];
    MUST(loop_pair(r->l, fds) == 0);
    watch_role.peer(r->watch, role, 0, fds[0]);
    return channel_new(r->l, fds[1], "watch", ops, r);
}

static struct config *rig_config(struct rig *r)
{
    struct config *cfg = config_defaults();
    cfg->hostname = SPAN("gw.example");
    cfg->alarm.listeners = false;
    cfg->alarm.disk_free_bytes = cfg->alarm.inodes_free = 0;
    cfg->spool.directories.n = 0;
    if (r->with_relay)
        cfg->alarm.relay = SPAN("[10.0.0.1]");
    if (r->with_refusal) {
        static struct span names[] = { { "queue", 5 }, { "dns", 3 } };
        static struct config_listen listen = { .name = { "mx", 2 }, .refuse_when = { names, 2 } };
        cfg->listens = &listen;
        cfg->n_listens = 1;
    }
    return cfg;
}

/* One process: what it knows ends with it. */
static void watch_begin(struct rig *r)
{
    static const struct channel_type qmgr_types[] = { PROTO_TYPE(facts_ask), PROTO_TYPE(kept_ask),
                                                      PROTO_TYPE(keep), PROTO_TYPE(keep_end) },
                                     dns_types[] = { PROTO_TYPE(lookup) },
                                     control_types[] = { PROTO_TYPE(admin_said) },
                                     smtpd_types[] = { PROTO_TYPE(check) };
    static const struct channel_ops qmgr_ops = { qmgr_types, 4, ignore_gone, NULL },
                                    dns_ops = { dns_types, 1, ignore_gone, NULL },
                                    control_ops = { control_types, 1, ignore_gone, NULL },
                                    smtpd_ops = { smtpd_types, 1, ignore_gone, NULL };
    struct err e = { "" };
    if (r->with_relay)
        relay_begin(r);
    r->watch = watch_role.make(&r->env, rig_config(r), &e);
    MUST(watch_role.start(r->watch, &e));
    r->qmgr = wire(r, ROLE_QMGR, &qmgr_ops);
    r->resolver = wire(r, ROLE_RESOLVER, &dns_ops);
    r->control = wire(r, ROLE_CONTROL, &control_ops);
    r->smtpd = wire(r, ROLE_SMTPD, &smtpd_ops);
}

static void watch_end(struct rig *r)
{
    watch_role.free(r->watch);
    channel_free(&r->qmgr);
    channel_free(&r->resolver);
    channel_free(&r->control);
    channel_free(&r->smtpd);
    relay_end(r);
    if (r->session.fd >= 0)
        hang_up(r);
}

static void rig_start(struct rig *r)
{
    char path[] = "/tmp/postern-watch-XXXXXX";
    *r = (struct rig){ .l = loop_sim_new(1, WALL_MS), .born_ms = -1, .old = 20 };
    r->session.fd = r->listen_fd = -1;
    buf_init(&r->said, 1 << 20);
    buf_init(&r->heard, 1 << 20);
    buf_init(&r->keep, 1 << 20);
    buf_init(&r->kept, 1 << 20);
    buf_init(&r->session.in, 1 << 20);
    r->events_fd = mkstemp(path);
    unlink(path);
    struct events_config ec = { .tag = "t", .role = "watch", .hostname = "h", .line_fd = -1,
                                .event_fd = dup(r->events_fd) };
    r->env = (struct role_env){ .loop = r->l, .events = events_new(r->l, &ec) };
    watch_begin(r);
}

static void rig_start_with_relay(struct rig *r)
{
    rig_start(r);
    watch_end(r);
    r->with_relay = true;
    watch_begin(r);
}

static void rig_end(struct rig *r)
{
    watch_end(r);
    events_free(&r->env.events);
    buf_free(&r->said);
    buf_free(&r->heard);
    buf_free(&r->keep);
    buf_free(&r->kept);
    buf_free(&r->session.in);
    close(r->events_fd);
    loop_free(&r->l);
}

static void run(struct rig *r, int64_t ms)
{
    int64_t until = loop_mono_ms(r->l) + ms;
    while (loop_mono_ms(r->l) < until) {
        int64_t left = until - loop_mono_ms(r->l);
        loop_turn(r->l, left < MINUTE ? (int)left : MINUTE);
    }
}

/* How often the events have this text so far. */
static int count(struct rig *r, const char *what)
{
    static char text[4 << 20];
    ssize_t n = pread(r->events_fd, text, sizeof text - 1, 0);
    int found = 0;
    text[n > 0 ? n : 0] = '\0';
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        found++;
    return found;
}

static const char *present(struct rig *r)
{
    struct msg_admin_ask m = { .q = 1, .verb = SPAN("alarms") };
    buf_reset(&r->said);
    send_admin_ask(r->control, &m);
    run(r, 1000);
    return buf_cstr(&r->said);
}

static void old_mail_for_a_week(void)
{
    struct rig r;
    rig_start(&r);
    r.born_ms = loop_mono_ms(r.l);
    run(&r, 4 * HOUR - 2 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 0);
    CHECK(strcmp(present(&r), ".") == 0);
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK(strstr(present(&r), "site_age") && strstr(r.said.mem + r.said.off, "21 recipients"));
    CHECK(strstr(r.said.mem + r.said.off, "far.example and others"));
    run(&r, DAY);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK_INT(count(&r, "alarm_repeated"), 6);
    run(&r, 4 * DAY - 90 * MINUTE); /* what was released has half an hour more */
    CHECK(!strstr(present(&r), "expiry"));
    run(&r, 90 * MINUTE);
    CHECK(strstr(present(&r), "expiry")); /* older than five days and some */
    CHECK_INT(count(&r, "alarm_raised"), 2);
    r.born_ms = -1;
    run(&r, 2 * MINUTE);
    CHECK_INT(count(&r, "alarm_cleared"), 0);
    run(&r, 3 * MINUTE);
    CHECK_INT(count(&r, "alarm_cleared"), 2);
    run(&r, 2 * DAY);
    CHECK_INT(count(&r, "alarm_cleared"), 2);
    CHECK_INT(count(&r, "alarm_raised"), 2);
    CHECK(count(&r, "alarm_not_mailed") < 1000); /* nobody takes mail here: no storm of tries */
    CHECK(strcmp(present(&r), ".") == 0);
    rig_end(&r);
}

static void few_recipients_are_none(void)
{
    struct rig r;
    rig_start(&r);
    r.born_ms = loop_mono_ms(r.l);
    r.old = 8; /* 9 with the other domain's */
    run(&r, 20 * HOUR);
    CHECK_INT(count(&r, "alarm_raised"), 0);
    r.old = 9;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    rig_end(&r);
}

/* One message that waits for a day. */
static void one_that_is_very_old(void)
{
    struct rig r;
    rig_start(&r);
    r.born_ms = loop_mono_ms(r.l);
    r.old = 0;
    run(&r, DAY - 2 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 0);
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    rig_end(&r);
}

/* A great failure is not a thousand alarms; those that are there stay, and are not counted as
 * others. */
static void many_sites(void)
{
    struct rig r;
    rig_start(&r);
    r.old_sites = 15;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 15);
    r.old_sites = 500;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 21);
    CHECK(strstr(present(&r), "\"subject\":\"other sites\""));
    CHECK(strstr(r.said.mem + r.said.off, "9600 recipients")); /* 480 times 20 */
    r.old_sites = 15;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_cleared"), 6);
    CHECK(!strstr(present(&r), "other sites"));
    rig_end(&r);
}

/* The servers of our own domain are no reason to say that the DNS is dead. */
static void own_zone(void)
{
    struct rig r;
    rig_start(&r);
    r.own_zone_dead = true;
    run(&r, HOUR);
    CHECK(r.lookups >= 118); /* two each */
    CHECK_INT(count(&r, "alarm_raised"), 0);
    r.dns_dead = true;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    rig_end(&r);
}

/* A question by TCP, and answers to it: cut off anywhere, to others, of failure. */
static void asked_by_tcp(void)
{
    static const char record[] = "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1";
    struct dns_question q = { .type = DNS_A };
    struct buf b;
    const char *why = NULL;
    CHECK(dns_name_from(SPAN("a.example"), &q.name) == DNS_NAME_OK);
    buf_init(&b, 600);
    ask_put(&b, &q, 0x1234);
    CHECK_INT(b.len, 2 + 12 + 11 + 4);
    CHECK(memcmp(b.mem + b.off, "\0\x1b\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\7example\0\0\1\0\1", 29) ==
          0);
    CHECK_INT(ask_judge(buf_span(&b), &q, 0x1234, &why), -1); /* no answer: the question */
    buf_put(&b, record, sizeof record - 1);
    char *p = b.mem + b.off;
    p[1] = (char)(b.len - 2);
    p[4] |= (char)0x80;
    p[9] = 1;
    for (size_t n = 0; n < b.len; n++)
        CHECK_INT(ask_judge(span_of(p, n), &q, 0x1234, &why), 0);
    CHECK_INT(ask_judge(buf_span(&b), &q, 0x1234, &why), 1);
    CHECK_INT(ask_judge(buf_span(&b), &q, 0x1235, &why), -1);
    p[9] = 0;
    p[5] = 3;
    CHECK_INT(ask_judge(buf_span(&b), &q, 0x1234, &why), -1);
    p[5] = 5;
    CHECK_INT(ask_judge(buf_span(&b), &q, 0x1234, &why), -1);
    CHECK(strstr(why, "failure"));
    CHECK_INT(ask_judge(span_of("\0\0", 2), &q, 0x1234, &why), -1);
    buf_free(&b);
}

static void reload(struct rig *r, struct config *c)
{
    watch_role.reload(r->watch, c);
}

/* What is still watched stays as it is, what is not is over, and that is told. */
static void reloads(void)
{
    struct rig r;
    rig_start_with_relay(&r);
    r.dns_dead = true;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    for (int i = 0; i < 20; i++) { /* more often than it looks: it looks all the same */
        reload(&r, rig_config(&r));
        run(&r, MINUTE / 2);
    }
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK_INT(count(&r, "alarm_cleared"), 0);
    r.old_sites = 1;
    for (int i = 0; i < 20; i++) {
        reload(&r, rig_config(&r));
        run(&r, MINUTE / 2);
    }
    CHECK_INT(count(&r, "alarm_raised"), 2);
    struct config *without = rig_config(&r);
    without->alarm.dns = false;
    reload(&r, without);
    run(&r, MINUTE);
    CHECK_INT(count(&r, "alarm_cleared"), 1);
    CHECK_INT(count(&r, "not watched any more"), 1);
    CHECK(!strstr(present(&r), "\"dns\""));
    run(&r, HOUR);
    CHECK_INT(count(&r, "alarm_cleared"), 1);
    rig_end(&r);
}

/* A letter is on its way, and has not said who brings it. */
static void reload_in_a_session(void)
{
    struct rig r;
    rig_start_with_relay(&r);
    r.slow_relay = r.dns_dead = true;
    for (int i = 0; i < 60 && r.session.fd < 0; i++)
        run(&r, 10 * 1000);
    CHECK(r.session.fd >= 0);
    struct config *c = rig_config(&r);
    c->hostname = SPAN("other.example");
    reload(&r, c);
    loop_write(r.l, r.session.fd, "220 here\r\n", 10);
    run(&r, 1000);
    CHECK_SPAN(span_str(r.hello), SPAN("EHLO other.example\r\n"));
    CHECK_INT(r.letters, 1);
    rig_end(&r);
}

static void again(struct rig *r, int64_t away_ms)
{
    watch_end(r);
    int64_t until = loop_mono_ms(r->l) + away_ms;
    while (loop_mono_ms(r->l) < until)
        loop_turn(r->l, (int)(until - loop_mono_ms(r->l)));
    watch_begin(r);
}

/* A queue that fills over days is none, one that does within an hour is. */
static void growth(void)
{
    struct rig r;
    rig_start(&r);
    for (int i = 0; i < 300; i++, r.messages += 1000)
        run(&r, 10 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 0);
    r.messages += 10000;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "\"queue_growth\""), 1);
    run(&r, 2 * HOUR); /* it stays as large as it is: that is no growth any more */
    CHECK_INT(count(&r, "alarm_cleared"), 1);
    rig_end(&r);
}

/* What has waited since before the machine was started has not come within the hour. */
static void much_at_a_boot(void)
{
    struct rig r;
    rig_start(&r);
    CHECK(loop_mono_ms(r.l) < HOUR / 2);
    r.messages = 20000;
    run(&r, 2 * HOUR);
    CHECK_INT(count(&r, "\"queue_growth\""), 0);
    rig_end(&r);
}

static void clock_doubted(void)
{
    struct rig r;
    rig_start(&r);
    r.clock = "it was 90d after";
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK(strstr(present(&r), "\"clock\"") && strstr(present(&r), "90d after"));
    r.clock = NULL;
    run(&r, 10 * MINUTE);
    CHECK_INT(count(&r, "alarm_cleared"), 1);
    rig_end(&r);
}

/* Whoever begins anew has no memory of an hour; an empty queue has not grown for all that. */
static void growth_and_a_restart(void)
{
    struct rig r;
    rig_start_with_relay(&r);
    run(&r, HOUR);
    r.messages = 20000;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "\"queue_growth\""), 1);
    again(&r, MINUTE);
    run(&r, 10 * MINUTE);
    CHECK_INT(count(&r, "alarm_cleared"), 0); /* it may have: nobody can tell */
    r.messages = 30;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_cleared"), 1);
    rig_end(&r);
}

static void dns_and_silence(void)
{
    struct rig r;
    rig_start(&r);
    run(&r, HOUR);
    CHECK(r.lookups >= 59 && r.lookups <= 60);
    CHECK_INT(count(&r, "alarm_raised"), 0);
    r.dns_dead = true;
    run(&r, MINUTE); /* once is nothing */
    r.dns_dead = false;
    run(&r, HOUR);
    CHECK_INT(count(&r, "alarm_raised"), 0);
    r.dns_dead = r.qmgr_mute = true;
    run(&r, 5 * MINUTE);
    CHECK(strstr(present(&r), "\"dns\"") && strstr(r.said.mem + r.said.off, "nobody answers"));
    CHECK(strstr(present(&r), "queue_silent"));
    r.dns_dead = r.qmgr_mute = false;
    run(&r, 6 * MINUTE);
    CHECK(strcmp(present(&r), ".") == 0);
    CHECK_INT(count(&r, "alarm_cleared"), 2);
    channel_free(&r.qmgr);
    channel_free(&r.resolver);
    run(&r, 5 * MINUTE);
    CHECK(strstr(present(&r), "not running"));
    CHECK(strstr(present(&r), "\"dns\""));
    rig_end(&r);
}

static void crashes(void)
{
    struct rig r;
    rig_start(&r);
    for (int i = 0; i < 20; i++) { /* now and then: none */
        watch_role.child_died(r.watch, ROLE_SMTPD, 0, SPAN("x"));
        run(&r, 6 * MINUTE);
    }
    CHECK_INT(count(&r, "alarm_raised"), 0);
    for (int i = 0; i < 3; i++)
        watch_role.child_died(r.watch, ROLE_DELIVER, 0, SPAN("exit code 3"));
    for (int i = 0; i < 3; i++) /* told by master to a watch that begins: not all of it is news */
        watch_role.child_died(r.watch, ROLE_ROUTER, i * 8 * MINUTE, SPAN("x"));
    /* The new ones first, then more old ones than are remembered: several children of one role. */
    for (int i = 0; i < 12; i++)
        watch_role.child_died(r.watch, ROLE_SMTPD, (i < 4 ? i : i * 20) * MINUTE,
                              i ? SPAN("long ago") : SPAN("exit code 7"));
    run(&r, 3 * MINUTE);
    CHECK(strstr(present(&r), "deliver") && strstr(r.said.mem + r.said.off, "3 times"));
    CHECK(strstr(r.said.mem + r.said.off, "exit code 3") && !strstr(present(&r), "router"));
    CHECK(strstr(present(&r), "smtpd"));
    CHECK(strstr(r.said.mem + r.said.off, "exit code 7"));
    run(&r, 20 * MINUTE);
    CHECK(strcmp(present(&r), ".") == 0);
    rig_end(&r);
}

/* Somebody sets the clock: nothing repeats, nothing is raised. */
static void clock_jumps(void)
{
    struct rig r;
    rig_start(&r);
    r.born_ms = loop_mono_ms(r.l);
    run(&r, 4 * HOUR + 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    loop_sim_jump_wall(r.l, 30LL * DAY);
    run(&r, HOUR);
    loop_sim_jump_wall(r.l, -60LL * DAY);
    run(&r, HOUR);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK_INT(count(&r, "alarm_repeated"), 0);
    rig_end(&r);
}

/* smtpd hears of a check when it has been looked at often enough, and not before. */
static void what_smtpd_hears(void)
{
    struct rig r;
    rig_start(&r);
    watch_end(&r);
    r.with_refusal = r.with_relay = true;
    watch_begin(&r);
    run(&r, 30 * 1000); /* two looks at the DNS, each tenth second: good; the queue: not yet */
    CHECK(strstr(heard(&r), "dns 0") && !strstr(heard(&r), "queue"));
    run(&r, 3 * MINUTE);
    CHECK(strstr(heard(&r), "queue 0") && !strstr(heard(&r), "dns 1"));
    r.dns_dead = true;
    run(&r, 21 * 1000);
    CHECK(strstr(heard(&r), "dns 1"));
    CHECK_INT(count(&r, "listener_refuses"), 1);
    buf_reset(&r.heard);
    again(&r, 1000);
    run(&r, 25 * 1000);
    CHECK(strstr(heard(&r), "dns 1") && !strstr(heard(&r), "dns 0"));
    CHECK_INT(count(&r, "listener_refuses"), 1); /* the one before said so */
    r.dns_dead = false;
    run(&r, 40 * 1000);
    CHECK(strstr(heard(&r), "dns 0"));
    CHECK_INT(count(&r, "listener_accepts"), 0); /* the queue may be unwell */
    run(&r, 2 * MINUTE);
    CHECK_INT(count(&r, "listener_accepts"), 1);
    rig_end(&r);
}

/* An alarm that lasts is told at its times, however often watch begins anew; its end is told. */
static void survives_restarts(void)
{
    struct rig r;
    rig_start_with_relay(&r);
    r.dns_dead = true;
    run(&r, 5 * MINUTE);
    CHECK_INT(r.letters, 1);
    CHECK(r.kept.len > 0);
    for (int i = 0; i < 7; i++) { /* half an hour each */
        again(&r, 10 * MINUTE);
        run(&r, 20 * MINUTE);
    }
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK_INT(count(&r, "alarm_repeated"), 0);
    again(&r, 10 * MINUTE);
    run(&r, 25 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK_INT(count(&r, "alarm_repeated"), 1);
    CHECK_INT(r.letters, 2);
    CHECK(strstr(present(&r), "\"told\":2"));
    uint64_t keeps = r.keeps;
    run(&r, HOUR);
    CHECK_INT(r.keeps, keeps); /* nothing new */
    r.dns_dead = false; /* it ends while nobody looks */
    again(&r, 3 * HOUR);
    run(&r, 10 * MINUTE);
    CHECK_INT(count(&r, "alarm_cleared"), 1);
    CHECK_INT(r.letters, 3);
    CHECK_INT(r.kept.len, 0);
    again(&r, MINUTE);
    run(&r, DAY);
    CHECK_INT(count(&r, "alarm_cleared"), 1);
    CHECK_INT(r.letters, 3);
    rig_end(&r);
}

/* What no letter has told is told anew by the process that comes after. */
static void untold_is_told_again(void)
{
    struct rig r;
    rig_start(&r);
    r.dns_dead = true;
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK_INT(r.kept.len, 0);
    r.with_relay = true;
    again(&r, MINUTE);
    run(&r, 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 2);
    CHECK_INT(r.letters, 1);
    CHECK(r.kept.len > 0);
    rig_end(&r);
}

/* Each of the two ways is told of with its own reason. */
static void no_way_for_a_letter(void)
{
    struct rig r;
    rig_start_with_relay(&r);
    r.to_rcpt = "550 5.7.1 not you\r\n";
    channel_free(&r.smtpd);
    r.dns_dead = true;
    run(&r, 30 * MINUTE);
    CHECK(count(&r, "\"event\":\"alarm_not_mailed\"") > 2);
    CHECK_INT(count(&r, "not you"), count(&r, "\"relay\":\"[10.0.0.1]\""));
    CHECK_INT(count(&r, "no smtpd is running"), count(&r, "\"relay\":\"queue\""));
    CHECK_INT(r.letters, 0);
    rig_end(&r);
}

/* A clock that is set while watch is away neither silences an alarm nor rings it for ever. */
static void restart_with_another_clock(void)
{
    struct rig r;
    rig_start_with_relay(&r);
    r.dns_dead = true;
    run(&r, 5 * MINUTE);
    loop_sim_jump_wall(r.l, -400LL * DAY);
    again(&r, MINUTE);
    run(&r, 10 * MINUTE);
    CHECK_INT(count(&r, "alarm_repeated"), 1);
    loop_sim_jump_wall(r.l, 800LL * DAY);
    again(&r, MINUTE);
    run(&r, 10 * MINUTE);
    CHECK_INT(count(&r, "alarm_repeated"), 2);
    again(&r, MINUTE);
    run(&r, 3 * HOUR);
    CHECK_INT(count(&r, "alarm_repeated"), 2);
    run(&r, 61 * MINUTE);
    CHECK_INT(count(&r, "alarm_repeated"), 3);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    rig_end(&r);
}

/* A qmgr that began does not know for a while where its mail goes: nothing ends by that, and it
 * is no other alarm. */
static void sites_that_are_not_known_yet(void)
{
    struct rig r;
    rig_start_with_relay(&r);
    r.born_ms = loop_mono_ms(r.l);
    run(&r, 4 * HOUR + 5 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    r.site_unknown = true;
    again(&r, MINUTE);
    run(&r, 30 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK_INT(count(&r, "alarm_cleared"), 0);
    r.site_unknown = false;
    run(&r, 30 * MINUTE);
    CHECK_INT(count(&r, "alarm_raised"), 1);
    CHECK_INT(count(&r, "alarm_cleared"), 0);
    r.site_unknown = true; /* and stays so: then it has the domain's name */
    run(&r, 2 * DAY);
    CHECK_INT(count(&r, "alarm_cleared"), 1);
    CHECK(strstr(present(&r), "\"subject\":\"far.example\""));
    rig_end(&r);
}

/* --- what a server says first --- */

struct greeter {
    struct rig rig;
    struct loop_io accept;
    int listen_fd, fd;
    const char *says;
    int good, bad; /* heard */
    char why[400];
};

static void on_visitor(void *ctx, int ready)
{
    struct greeter *s = ctx;
    (void)ready;
    s->fd = loop_accept(s->rig.l, s->listen_fd, NULL);
    if (s->fd >= 0)
        loop_write(s->rig.l, s->fd, s->says, strlen(s->says));
}

static void on_greeted(void *ctx, struct span subject, bool bad, struct span why)
{
    struct greeter *s = ctx;
    (void)subject;
    snprintf(s->why, sizeof s->why, "%.*s", SPAN_ARG(why));
    s->bad += bad;
    s->good += !bad;
}

static void greet_once(struct greeter *s, const char *says, const char *expect)
{
    struct netaddr at;
    struct greet_ask ask = { .subject = SPAN("x"), .addrs = &at, .count = 1, .timeout_ms = MINUTE,
                             .want = GREET_EXPECT, .expect = span_str(expect), .fn = on_greeted,
                             .ctx = s };
    MUST(netaddr_parse_ip(SPAN("10.0.0.2"), &at));
    at.port = 25;
    s->says = says;
    s->good = s->bad = 0;
    s->fd = -1;
    greet_begin(s->rig.watch, &ask);
    run(&s->rig, 2 * MINUTE);
    if (s->fd >= 0)
        loop_close(s->rig.l, s->fd);
}

static void greetings(void)
{
    static char longest[400];
    static const struct {
        const char *says, *expect;
        bool good;
    } cases[] = {
        { "220 here\r\n", "220", true },
        { "220-here\r\n220 ready\r\n", "220", true },
        { "220-here\r\n220 ready\r\n", "220 ready", true }, /* any line of the reply */
        { "220-here\r\n220 ready\r\n", "220 here", false },
        { "421 busy\r\n220 ready\r\n", "220", false },       /* and no line behind it */
        { "220-here\r\n", "220 ", false },
        { "* OK IMAP\n", "* OK", true },
        { "220", "220", false },
        { longest, longest, true },
    };
    struct greeter s = { .says = "" };
    struct netaddr at;
    struct err e;
    memset(longest, 'x', sizeof longest - 2);
    longest[sizeof longest - 2] = '\n';
    rig_start(&s.rig);
    MUST(netaddr_parse_ip(SPAN("10.0.0.2"), &at));
    at.port = 25;
    s.listen_fd = loop_listen(s.rig.l, &at, 4, &e);
    loop_io_add(s.rig.l, &s.accept, s.listen_fd, LOOP_READ, on_visitor, &s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expect[400];
        snprintf(expect, sizeof expect, "%s", cases[i].expect);
        expect[strcspn(expect, "\n")] = '\0';
        greet_once(&s, cases[i].says, expect);
        if (s.good != cases[i].good || s.bad == cases[i].good)
            printf("# \"%s\", wanted \"%s\"\n", cases[i].says, expect);
        CHECK(s.good == cases[i].good && s.bad == !cases[i].good);
    }
    /* What it says goes into letters and to the webhook: text, whatever bytes it was. */
    greet_once(&s, "554 \x1b[2J\xe4 no\r\n", "220");
    CHECK_SPAN(span_str(s.why), SPAN("10.0.0.2:25: it greets with 554 \\x1b[2J\\xe4 no"));
    /* One that does not go on has said something all the same. */
    greet_once(&s, "220-here\r\n", "220 ");
    CHECK(!strstr(s.why, "nothing") && !strstr(s.why, "without a word"));
    loop_io_del(s.rig.l, &s.accept);
    loop_close(s.rig.l, s.listen_fd);
    rig_end(&s.rig);
}

static const struct test tests[] = {
    TEST(greetings),
    TEST(old_mail_for_a_week), TEST(few_recipients_are_none), TEST(growth), TEST(clock_doubted),
    TEST(much_at_a_boot), TEST(reload_in_a_session),
    TEST(growth_and_a_restart),
    TEST(dns_and_silence),     TEST(crashes),                 TEST(clock_jumps),
    TEST(survives_restarts),   TEST(untold_is_told_again),    TEST(restart_with_another_clock),
    TEST(no_way_for_a_letter),
    TEST(sites_that_are_not_known_yet), TEST(one_that_is_very_old), TEST(many_sites),
    TEST(asked_by_tcp), TEST(own_zone), TEST(reloads), TEST(what_smtpd_hears),
};
TEST_MAIN(tests)
