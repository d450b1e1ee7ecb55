/* Queue runs that are looked on at: which messages are meant, and what becomes of mail when who
 * looks on hears all, nothing, or goes away. */
#include "sched_each.h"
#include "qmgr/live.h"
#include "qmgr_rig.h"
#include "test.h"

#include "base/must.h"
#include "proto/lists.h"
#include "smtp/client.h"

enum { SECOND_MS = 1000, MANY = 150 };

/* --- which --- */

struct mail {
    const char *sender, *rcpts[3], *reason;
    bool held;
};

static const struct mail mails[] = {
    { "a@one.example", { "u@Dest.Example" }, NULL, false },
    { "b@two.example", { "v@dest.example", "w@else.example" }, NULL, false },
    { "", { "postmaster@else.example" }, NULL, false },
    { "c@one.example", { "x@held.example" }, "under review", true },
};
enum { MAILS = sizeof mails / sizeof *mails };

/* One domain in three spellings. */
static const struct mail spelled[] = {
    { "a@one.example", { "u@m\xc3\xbcnchen.example" }, NULL, false },
    { "a@one.example", { "u@XN--mnchen-3ya.example" }, NULL, false },
    { "a@one.example", { "u@M\xc3\x9cnchen.Example" }, NULL, false },
    { "a@one.example", { "u@munchen.example" }, NULL, false },
};

static void add_mails(struct sched *s, const struct mail *list, size_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        struct sched_entry_rcpt r[3] = { 0 };
        struct sched_entry e = { .seq = i + 1, .received_ms = 1790000000000,
                                 .sender = span_str(list[i].sender), .rcpts = r };
        for (; e.rcpt_count < 3 && list[i].rcpts[e.rcpt_count]; e.rcpt_count++) {
            r[e.rcpt_count].addr = span_str(list[i].rcpts[e.rcpt_count]);
            r[e.rcpt_count].held = list[i].held;
            r[e.rcpt_count].reason = span_str(list[i].reason);
        }
        MUST(sched_add(s, &e, (struct sched_now){ 1000, 1790000000000 }));
    }
}

/* The messages that the words mean, as bits: 1 is the first. By whatever way they are found. */
static unsigned meant(struct qmgr *q, const char *const *words)
{
    struct admin_ask a = { .q = q };
    struct query y;
    struct sched_msg_info info;
    struct buf b;
    unsigned ways[3] = { 0 };
    buf_init(&b, 4096);
    for (; *words; words++)
        wire_put_bytes(&b, span_str(*words));
    struct wire args = wire_reader(buf_span(&b));
    MUST(query_init(&y, &a, &args, NULL));
    for (int every = 0; every < 2; every++) {
        enum query_got got = QUERY_LATER;
        query_again(&y, every);
        while (got != QUERY_END) {
            admin_slice_begin(&a.now, q);
            while ((got = query_next(&y, 0, &info)) == QUERY_ONE)
                ways[every] |= 1u << (info.seq - 1);
        }
    }
    for (uint64_t at = 0; sched_each(q->sched, &at, &info);)
        ways[2] |= query_message(&y, &info) ? 1u << (info.seq - 1) : 0;
    MUST(ways[0] == ways[1]);
    MUST(ways[0] == ways[2]);
    query_free(&y);
    buf_free(&b);
    return ways[0];
}

#define WAITING "!state=held,quarantined"
#define HELD "state=held,quarantined"

/* -qR, -qS, -qI and -qQ, as sendmail has them; and targets. */
static void choices(void)
{
    struct sched_config c;
    sched_config_defaults(&c);
    struct rig *rig = rig_new(11);
    struct qmgr *q = NEW(struct qmgr);
    q->env = rig->q->env;
    q->sched = sched_new(&c);
    add_mails(q->sched, mails, MAILS);
    char id[64];
    snprintf(id, sizeof id, "target=%s", queueid_make(2, 1790000000000).text);
    const struct {
        const char *words[6];
        unsigned want;
    } rows[] = {
        { { NULL }, 15 },
        { { WAITING }, 7 },
        { { WAITING, "any.to~DEST" }, 3 },
        { { WAITING, "any.to~dest", "any.to~postmaster" }, 7 },
        { { WAITING, "any.!to~dest" }, 6 }, /* one recipient without it is enough */
        { { WAITING, "any.!to~dest", "any.!to~example" }, 6 },
        { { WAITING, "any.!to~dest", "any.!to~else" }, 7 }, /* one of them is enough */
        { { WAITING, "any.!from~one", "any.!from~two" }, 7 },
        { { WAITING, "!from~one", "!from~two" }, 4 },
        { { WAITING, "any.from~one" }, 1 },
        { { WAITING, "any.!from~one" }, 6 },
        { { WAITING, "any.to~dest", "any.from~two" }, 2 },
        { { WAITING, "any.!to~else", "any.from~two" }, 2 },
        { { WAITING, "any.from=*" }, 7 },
        { { WAITING, "any.id~zzzz" }, 0 },
        { { WAITING, "any.to~held" }, 0 },
        { { HELD }, 8 },
        { { HELD, "any.reason~REVIEW" }, 8 },
        { { HELD, "any.reason~other" }, 0 },
        { { HELD, "any.!reason~other" }, 8 },
        { { WAITING, "target=dest.example" }, 3 },
        { { WAITING, "target=est.example" }, 0 },
        { { WAITING, "target=W@else.example" }, 2 },
        { { WAITING, id }, 2 },
        { { id, "any.from~one" }, 0 },
        { { "target=60000000000002" }, 0 }, /* the counter is right, the time is not */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned got = meant(q, rows[i].words);
        if (got != rows[i].want)
            TEST_FAIL("row %zu: %u, want %u", i, got, rows[i].want);
    }
    sched_free(&q->sched);
    free(q);
    rig_free(&rig);
}

static unsigned frozen_now(const struct sched *s)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    unsigned bits = 0;
    for (uint64_t at = 0; sched_each(s, &at, &m);)
        if (sched_msg_rcpt(m.here, 0, &r))
            bits |= r.frozen ? 1u << (m.seq - 1) : 0;
    return bits;
}

static void one_domain(void)
{
    static const char *const words[] = {
        "domain=M\xc3\x9cnchen.example", "domain=xn--MNCHEN-3ya.example",
        "to=m\xc3\xbcnchen.example", "to=U@M\xc3\x9cNCHEN.example",
        "target=u@m\xc3\xbcnchen.example", "target=m\xc3\xbcnchen.example",
        "target=u@xn--mnchen-3ya.example", "to=u@xn--mnchen-3ya.example",
    };
    struct sched_config c;
    sched_config_defaults(&c);
    struct rig *rig = rig_new(12);
    struct qmgr *q = NEW(struct qmgr);
    q->env = rig->q->env;
    q->sched = sched_new(&c);
    add_mails(q->sched, spelled, sizeof spelled / sizeof *spelled);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        unsigned got = meant(q, (const char *const[]){ words[i], NULL });
        if (got != 7)
            TEST_FAIL("%s: %u", words[i], got);
    }
    CHECK(sched_freeze(q->sched, SPAN("M\xc3\xbcnchen.example")));
    CHECK(!sched_freeze(q->sched, SPAN("xn--mnchen-3ya.example")));
    CHECK_INT(frozen_now(q->sched), 7);
    CHECK(sched_thaw(q->sched, SPAN("xn--mnchen-3ya.example")));
    CHECK_INT(frozen_now(q->sched), 0);
    sched_free(&q->sched);
    free(q);
    rig_free(&rig);
}

/* --- a run --- */

struct desk {
    struct rig *r;
    struct channel *control;
    struct buf rows;
    int end; /* of the answer; -1: not yet */
    bool asks_more;
    char addrs[MANY][64];
};

static void on_said(struct desk *d, struct channel *ch, const struct msg_admin_said *m)
{
    if (m->end) {
        d->end = m->end;
    } else if (m->text.n) {
        buf_puts(&d->rows, m->text);
        buf_putc(&d->rows, '\n');
    } else if (d->asks_more) {
        struct msg_admin_more more = { .q = m->q };
        send_admin_more(ch, &more);
    }
}
PROTO_HANDLER(admin_said, struct desk *, on_said)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    (void)why;
}

static void desk_begin(struct desk *d, uint64_t seed)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_said) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    int fds[2];
    *d = (struct desk){ .r = rig_new(seed), .end = -1, .asks_more = true };
    buf_init(&d->rows, 16 << 20);
    MUST(loop_pair(d->r->l, fds) == 0);
    qmgr_role.peer(d->r->q, ROLE_CONTROL, 0, fds[0]);
    d->control = channel_new(d->r->l, fds[1], "qmgr", &ops, d);
}

static void desk_end(struct desk *d)
{
    channel_free(&d->control);
    rig_run(d->r, 10);
    rig_free(&d->r);
    buf_free(&d->rows);
}

/* Without dialogue: the rig's deliver has none. */
static void ask_as(struct desk *d, uint64_t q, const char *verb, const char *const *args)
{
    struct buf b;
    buf_init(&b, 65536);
    for (; *args; args++)
        wire_put_bytes(&b, span_str(*args));
    struct msg_admin_ask m = { .q = q, .who = SPAN("root"), .verb = span_str(verb),
                               .args = buf_span(&b) };
    d->end = -1;
    send_admin_ask(d->control, &m);
    buf_free(&b);
}

static void ask(struct desk *d, const char *verb, const char *const *args)
{
    ask_as(d, 7, verb, args);
}

static unsigned count(const struct desk *d, const char *what)
{
    size_t n = strlen(what);
    struct span s = buf_span(&d->rows);
    unsigned found = 0;
    for (size_t i = 0; i + n <= s.n; i++)
        found += memcmp(s.p + i, what, n) == 0;
    return found;
}

/* Put off twice by its next hop: a run tries it at once, each time. */
static void tried_now(void)
{
    struct desk d;
    desk_begin(&d, 21);
    MUST(rig_send(d.r, rig_mail(d.r, "s@src.example", "tmp2.0@x.example")));
    rig_run(d.r, SECOND_MS);
    CHECK_INT(rig_address(d.r, "tmp2.0@x.example")->tries, 1);
    const char *const run[] = { "any.to~x.example", "always", "silent", NULL };
    ask(&d, "live", run);
    rig_run(d.r, SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(rig_address(d.r, "tmp2.0@x.example")->tries, 2);
    CHECK_INT(count(&d, "\"result\":\"deferred\""), 1);
    ask(&d, "live", run);
    rig_run(d.r, SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(rig_address(d.r, "tmp2.0@x.example")->delivered, 1);
    CHECK_INT(count(&d, "\"result\":\"sent\""), 1);
    ask(&d, "live", run);
    rig_run(d.r, SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(count(&d, "\"total\":0"), 1);
    CHECK(!d.r->q->lives);
    desk_end(&d);
}

static void put_off_many(struct desk *d)
{
    for (int i = 0; i < MANY; i++) {
        snprintf(d->addrs[i], sizeof d->addrs[i], "tmp1.%d@x.example", i);
        MUST(rig_send(d->r, rig_mail(d->r, "s@src.example", d->addrs[i])));
    }
    rig_run(d->r, 2 * SECOND_MS);
}

static unsigned delivered(struct desk *d)
{
    unsigned n = 0;
    for (int i = 0; i < MANY; i++)
        n += rig_address(d->r, d->addrs[i])->delivered;
    return n;
}

/* The first that is tried opens the site to the others, which wait for nothing any more: they were
 * meant all the same, and are told of. */
static void meant_by_state(void)
{
    static const char *const run[] = { "state=deferred", "always", "silent", "window=1", NULL };
    static const char *const act[] = { "state=deferred", "action=retry", NULL };
    for (int how = 0; how < 2; how++) {
        struct desk d;
        desk_begin(&d, 25 + (uint64_t)how);
        put_off_many(&d);
        ask(&d, how ? "act" : "live", how ? act : run);
        for (int i = 0; i < 20 && !how; i++)
            rig_turn(d.r);
        if (!how) /* as when the site is open to all at once */
            for (uint64_t i = 0; i < MANY; i++)
                sched_due(d.r->q->sched, d.r->mails[i].seq, 0, qmgr_now(d.r->q));
        rig_run(d.r, 5 * SECOND_MS);
        CHECK_INT(d.end, ADMIN_OK);
        CHECK_INT(delivered(&d), MANY);
        if (!how)
            CHECK_INT(count(&d, "\"ran\":"), MANY);
        else
            CHECK_INT(count(&d, "\"messages\":150,"), 1);
        desk_end(&d);
    }
}

/* Whoever goes away in the middle, or is not there from the start: all are tried, none twice. */
static void looked_away(void)
{
    static const char *const whole[] = { "target=x.example", "always", "silent", "window=1", NULL };
    static const char *const away[] = { "always", "background", NULL };
    for (int how = 0; how < 3; how++) {
        struct desk d;
        desk_begin(&d, 31 + (uint64_t)how);
        put_off_many(&d);
        CHECK_INT(delivered(&d), 0);
        ask(&d, "live", how < 2 ? whole : away);
        for (int i = 0; i < 20 && how < 2; i++)
            rig_turn(d.r);
        if (how == 0) {
            struct msg_admin_gone gone = { .q = 7 };
            send_admin_gone(d.control, &gone);
        } else if (how == 1) {
            channel_free(&d.control);
        }
        rig_run(d.r, 5 * SECOND_MS);
        CHECK_INT(delivered(&d), MANY);
        CHECK(!rig_twice(d.r));
        CHECK(!d.r->q->lives);
        desk_end(&d);
    }
}

/* What comes while it goes on does not belong to it. */
static void come_since(void)
{
    static const char *const run[] = { "any.to~x.example", "always", "silent", "window=1", NULL };
    struct desk d;
    desk_begin(&d, 35);
    put_off_many(&d);
    ask(&d, "live", run);
    for (int i = 0; i < 20; i++)
        rig_turn(d.r);
    CHECK_INT(d.end, -1);
    CHECK(d.r->ids_left > 0); /* of those leased before */
    MUST(rig_send(d.r, rig_mail(d.r, "s@src.example", "tmp1.late@x.example")));
    rig_run(d.r, 5 * SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(delivered(&d), MANY);
    CHECK_INT(rig_address(d.r, "tmp1.late@x.example")->tries, 1);
    CHECK_INT(count(&d, "\"ran\":"), MANY);
    CHECK_INT(count(&d, "late@x.example"), 0);
    desk_end(&d);
}

/* One who asks for no more hears nothing more, and holds up nothing for good. */
static void reads_nothing(void)
{
    static const char *const run[] = { "always", "silent", "window=8", NULL };
    struct desk d;
    desk_begin(&d, 41);
    d.asks_more = false;
    put_off_many(&d);
    ask(&d, "live", run);
    rig_run(d.r, 20 * SECOND_MS);
    CHECK_INT(d.end, -1);
    CHECK_INT(delivered(&d), MANY); /* they are fewer than what its buffer holds */
    struct msg_admin_more more = { .q = 7 };
    d.asks_more = true;
    send_admin_more(d.control, &more);
    rig_run(d.r, 2 * SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(count(&d, "\"result\":\"sent\""), MANY);
    CHECK_INT(count(&d, "\"ran\":"), MANY);
    desk_end(&d);
}

/* What is held is tried on request, and held again when that was in vain. */
static void held_again(void)
{
    static const char *const run[] = { HELD, "always", "silent", NULL };
    static const char *const list[] = { HELD, "head", NULL };
    struct desk d;
    desk_begin(&d, 51);
    MUST(rig_send(d.r, rig_mail(d.r, "s@src.example", "tmp3.0@x.example")));
    rig_run(d.r, SECOND_MS);
    CHECK_INT(sched_hold(d.r->q->sched, d.r->mails[0].seq, SCHED_ALL, SPAN("under review")), 1);
    for (unsigned tries = 2; tries < 4; tries++) {
        ask(&d, "live", run);
        rig_run(d.r, 3 * SECOND_MS);
        CHECK_INT(rig_address(d.r, "tmp3.0@x.example")->tries, tries);
        struct sched_rcpt_info info;
        CHECK(sched_rcpt(d.r->q->sched, d.r->mails[0].seq, 0, &info));
        CHECK_INT(info.state, SCHED_HELD);
        CHECK_SPAN(info.reason, SPAN("under review"));
    }
    buf_reset(&d.rows);
    ask(&d, "list", list);
    rig_run(d.r, SECOND_MS);
    CHECK_INT(count(&d, "\"total\":1,\"directory\""), 1);
    CHECK_INT(count(&d, "\"reason\":\"under review\""), 1);
    ask(&d, "live", run);
    rig_run(d.r, SECOND_MS);
    CHECK_INT(rig_address(d.r, "tmp3.0@x.example")->delivered, 1);
    desk_end(&d);
}

static bool is_quarantined(const struct desk *d, uint64_t seq)
{
    struct sched_rcpt_info info;
    return sched_rcpt(d->r->q->sched, seq, 0, &info) && info.state == SCHED_HELD &&
           info.quarantined;
}

/* ... and only what was, for what it was. */
static void held_beside_others(void)
{
    static const char *const run[] = { "state=held,quarantined,deferred", "always", "silent",
                                       NULL };
    struct desk d;
    struct sched_rcpt_info info;
    desk_begin(&d, 52);
    struct rig_mail *m = rig_mail(d.r, "s@src.example", "tmp9.0@x.example");
    rig_also(m, "tmp9.1@x.example");
    MUST(rig_send(d.r, m));
    struct rig_mail *other = rig_mail(d.r, "s@src.example", "tmp9.2@x.example");
    other->hold = "it looks odd";
    MUST(rig_send(d.r, other));
    rig_run(d.r, SECOND_MS);
    CHECK(is_quarantined(&d, other->seq));
    CHECK_INT(sched_hold(d.r->q->sched, m->seq, 0, SPAN("under review")), 1);
    ask(&d, "live", run);
    rig_run(d.r, 3 * SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(rig_address(d.r, "tmp9.0@x.example")->tries, 2);
    CHECK_INT(rig_address(d.r, "tmp9.1@x.example")->tries, 2);
    CHECK_INT(rig_address(d.r, "tmp9.2@x.example")->tries, 1);
    CHECK(sched_rcpt(d.r->q->sched, m->seq, 0, &info));
    CHECK_INT(info.state, SCHED_HELD);
    CHECK(sched_rcpt(d.r->q->sched, m->seq, 1, &info));
    CHECK_INT(info.state, SCHED_DEFERRED);
    CHECK(is_quarantined(&d, other->seq));
    channel_free(&d.control);
    rig_run(d.r, 3 * SECOND_MS);
    rig_reboot(d.r, 1);
    CHECK(d.r->q && is_quarantined(&d, other->seq));
    desk_end(&d);
}

/* ... also when nobody looks on any more, or from the start, and when that is the end. */
static void held_again_unseen(void)
{
    enum { GOES, BACKGROUND, ENDS, WAYS };
    for (int way = 0; way < WAYS; way++) {
        const char *run[] = { HELD, "always", way == BACKGROUND ? "background" : "silent", NULL };
        struct desk d;
        desk_begin(&d, 53);
        struct rig_mail *m = rig_mail(d.r, "s@src.example", "slow1@x.example");
        struct rig_mail *other = rig_mail(d.r, "s@src.example", "tmp9.1@x.example");
        m->hold = other->hold = "it looks odd";
        MUST(rig_send(d.r, m) && rig_send(d.r, other));
        rig_run(d.r, SECOND_MS);
        ask(&d, "live", run);
        rig_run(d.r, SECOND_MS);
        CHECK_INT(d.r->slow_count, 1);
        if (way == ENDS)
            qmgr_role.finish(d.r->q, 1000);
        else
            channel_free(&d.control);
        rig_run(d.r, SECOND_MS);
        rig_answer_slow(d.r, SMTP_DEFERRED);
        rig_run(d.r, SECOND_MS);
        CHECK(is_quarantined(&d, m->seq));
        rig_run(d.r, 30 * SECOND_MS);
        CHECK_INT(rig_address(d.r, "tmp9.1@x.example")->tries, way != ENDS);
        CHECK(is_quarantined(&d, other->seq));
        channel_free(&d.control);
        rig_reboot(d.r, 1);
        CHECK(d.r->q && is_quarantined(&d, m->seq) && is_quarantined(&d, other->seq));
        desk_end(&d);
    }
}

/* Of what is tried already the result is told to who asks for it meanwhile: it is not tried once
 * more, whether it began by itself or somebody else tries it. */
static void followed(void)
{
    static const char *const run[] = { "always", "silent", "window=8", "follow", NULL };
    struct desk d;
    desk_begin(&d, 71);
    MUST(rig_send(d.r, rig_mail(d.r, "s@src.example", "slow1@x.example")));
    rig_run(d.r, SECOND_MS);
    CHECK_INT(d.r->slow_count, 1);
    ask(&d, "live", run);
    rig_run(d.r, 30 * SECOND_MS);
    CHECK_INT(d.end, -1);
    CHECK_INT(count(&d, "\"under_way\":true"), 1);
    rig_answer_slow(d.r, SMTP_DEFERRED);
    rig_run(d.r, SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(count(&d, "\"result\":\"deferred\""), 1);
    CHECK_INT(d.r->slow_count, 0);
    for (uint64_t q = 7; q < 10; q++) {
        ask_as(&d, q, "live", run);
        rig_run(d.r, 3 * SECOND_MS);
    }
    CHECK_INT(d.end, -1);
    CHECK_INT(count(&d, "\"under_way\":true"), 3);
    CHECK_INT(count(&d, "\"locked\""), 0);
    CHECK_INT(d.r->slow_count, 1);
    rig_answer_slow(d.r, SMTP_DELIVERED);
    rig_run(d.r, SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(count(&d, "\"result\":\"sent\""), 3);
    CHECK_INT(count(&d, "\"messages\":1,\"sent\":1"), 3);
    CHECK_INT(rig_address(d.r, "slow1@x.example")->delivered, 1);
    CHECK(!d.r->q->lives);
    desk_end(&d);
}

/* A delivery that hangs: deliver is asked where it is; one that does not say so is waited for no
 * longer than a second. And who asks may go meanwhile. */
static void under_way(void)
{
    static const char *const words[][2] = { { "target=x.example" }, { "target=slow1@x.example" },
                                            { "target=10.9.9.9" } };
    struct desk d;
    desk_begin(&d, 72);
    MUST(rig_send(d.r, rig_mail(d.r, "s@src.example", "slow1@x.example")));
    rig_run(d.r, SECOND_MS);
    CHECK_INT(d.r->slow_count, 1);
    for (size_t i = 0; i < 2; i++) {
        ask(&d, "why", words[i]);
        rig_run(d.r, 100);
        CHECK_INT(d.end, ADMIN_OK);
        CHECK_INT(count(&d, "\"kind\":\"delivery\""), i + 1);
        CHECK_INT(count(&d, "\"stage\":\"RCPT\",\"host\":\"hub.example\""), i + 1);
    }
    d.r->silent = true;
    ask(&d, "why", words[0]);
    rig_run(d.r, 500);
    CHECK_INT(d.end, -1);
    rig_run(d.r, SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(count(&d, "\"answered\":false"), 1);
    ask(&d, "why", words[2]);
    rig_run(d.r, 4 * SECOND_MS); /* asked who has to do with it, and then where that is */
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(count(&d, "\"answered\":false"), 2);
    ask(&d, "why", words[0]);
    rig_run(d.r, 100);
    struct msg_admin_gone gone = { .q = 7 };
    send_admin_gone(d.control, &gone);
    rig_run(d.r, 2 * SECOND_MS);
    CHECK_INT(d.end, -1);
    rig_answer_slow(d.r, SMTP_DELIVERED);
    rig_run(d.r, SECOND_MS);
    desk_end(&d);
}

/* What is frozen is said once and left alone, when it was before, and when it is meanwhile. */
static void frozen(void)
{
    static const char *const all[] = { "always", "silent", "window=1", NULL };
    struct desk d;
    struct span name;
    desk_begin(&d, 61);
    put_off_many(&d);
    MUST(rig_send(d.r, rig_mail(d.r, "s@src.example", "tmp1.0@y.example")));
    rig_run(d.r, SECOND_MS);
    CHECK(sched_freeze(d.r->q->sched, SPAN("x.example")));
    ask(&d, "live", all);
    rig_run(d.r, 3 * SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK_INT(delivered(&d), 0);
    CHECK_INT(rig_address(d.r, "tmp1.0@y.example")->delivered, 1);
    CHECK_INT(count(&d, "\"notice\":\"frozen\",\"name\":\"x.example\""), 1);
    CHECK_INT(count(&d, "\"run\":"), 1);
    CHECK_INT(count(&d, "\"locked\":"), 0);
    CHECK_INT(count(&d, "\"messages\":1,\"sent\":1"), 1);
    CHECK_INT(count(&d, "\"frozen\":150"), 1);
    CHECK(sched_thaw(d.r->q->sched, SPAN("x.example")));
    buf_reset(&d.rows);
    ask(&d, "live", all);
    for (int i = 0; i < 20; i++)
        rig_turn(d.r);
    CHECK(sched_freeze(d.r->q->sched, SPAN("x.example")));
    rig_run(d.r, 10 * SECOND_MS);
    CHECK_INT(d.end, ADMIN_OK);
    CHECK(!d.r->q->lives);
    CHECK_INT(count(&d, "\"notice\":\"frozen\""), 1);
    CHECK(delivered(&d) < MANY);
    struct sched_rcpt_info r;
    CHECK(sched_rcpt(d.r->q->sched, d.r->mails[MANY - 1].seq, 0, &r) && r.frozen &&
          sched_frozen_as(d.r->q->sched, &r, &name));
    desk_end(&d);
}

static void refused(void)
{
    static const char *const bad[][2] = { { "window=0" }, { "window=33" }, { "loud" },
                                          { "limit=3" },  { "sort=size" }, { "target=" } };
    struct desk d;
    desk_begin(&d, 61);
    rig_run(d.r, SECOND_MS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask(&d, "live", bad[i]);
        rig_run(d.r, 100);
        CHECK_INT(d.end, 64);
        CHECK(!d.r->q->lives);
    }
    ask(&d, "list", bad[2]);
    rig_run(d.r, 100);
    CHECK_INT(d.end, 64);
    desk_end(&d);
}

static const struct test tests[] = {
    TEST(choices), TEST(one_domain), TEST(tried_now), TEST(looked_away), TEST(meant_by_state),
    TEST(reads_nothing), TEST(held_again), TEST(come_since), TEST(held_beside_others),
    TEST(held_again_unseen),
    TEST(followed), TEST(under_way), TEST(frozen), TEST(refused),
};
TEST_MAIN(tests)
