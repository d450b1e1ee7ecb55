/* Questions about the queue in slices: the clock stands still here, so what ends one is what was
 * done in it. A turn has one, whoever asks, and nothing is lost or said twice between them. */
#include "qmgr/admin.h"
#include "qmgr_rig.h"
#include "test.h"

#include "base/must.h"
#include "loop/sim.h"
#include "proto/control.h"

#include <sysexits.h>

enum {
    MAILS = 30000,
    DOMAINS = 700,
    ONE_STEP = 5000, /* units: a row with all the recipients it may have */
    TURNS_MAX = 20000,
};

/* Who asks. */
struct desk {
    struct rig *r;
    struct channel *ch;
    uint64_t q;
    unsigned rows, parts, slices_over, ended, status;
    uint8_t seen[MAILS + 1]; /* by the number in the sender: rows of it */
    char last[512], before_last[512], first[4][512];
    uint64_t units, units_max, turns, slices;
};

static void note_row(struct desk *d, struct span row)
{
    struct span s = row;
    size_t at = 0;
    if (d->rows < 4)
        snprintf(d->first[d->rows], sizeof d->first[0], "%.*s", SPAN_ARG(span_to(s, 511)));
    d->rows++;
    memcpy(d->before_last, d->last, sizeof d->last);
    snprintf(d->last, sizeof d->last, "%.*s", SPAN_ARG(span_to(s, sizeof d->last - 1)));
    const char *sender = memmem(s.p, s.n, "\"sender\":\"s", 11);
    if (!sender || memmem(s.p, s.n, "\"part\":", 7)) {
        d->parts += sender != NULL;
        return;
    }
    for (at = (size_t)(sender - s.p) + 11; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++)
        ;
    unsigned n = (unsigned)strtoul(sender + 11, NULL, 10);
    MUST(n <= MAILS);
    d->seen[n]++;
}

static void on_admin_said(struct desk *d, struct channel *ch, const struct msg_admin_said *m)
{
    (void)ch;
    if (m->q != d->q)
        return;
    if (m->end) {
        d->ended++;
        d->status = m->end;
    } else if (m->text.n) {
        note_row(d, m->text);
    } else {
        struct msg_admin_more more = { .q = d->q };
        d->slices_over++;
        send_admin_more(d->ch, &more);
    }
}
PROTO_HANDLER(admin_said, struct desk *, on_admin_said)

static void ignore_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    (void)why;
}

static void send_question(struct desk *d, const char *const *words)
{
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 1; words[i]; i++)
        wire_put_bytes(&b, span_str(words[i]));
    struct msg_admin_ask m = { .q = ++d->q, .who = SPAN("a test"), .verb = span_str(words[0]),
                               .args = buf_span(&b) };
    send_admin_ask(d->ch, &m);
    buf_free(&b);
}

/* One turn of all: no more than one slice in it, and that is bounded. False: not so. */
static bool turn(struct desk *d)
{
    rig_turn(d->r);
    struct admin_cost c = admin_cost(d->r->q);
    d->turns++;
    d->slices += c.slices;
    d->units += c.units;
    d->units_max = c.units_max > d->units_max ? c.units_max : d->units_max;
    return c.slices <= 1 && c.units_max <= ADMIN_SLICE_UNITS + ONE_STEP;
}

static bool ask(struct desk *d, const char *const *words)
{
    bool bounded = true;
    struct desk fresh = { .r = d->r, .ch = d->ch, .q = d->q };
    *d = fresh;
    send_question(d, words);
    while (!d->ended && d->turns < TURNS_MAX)
        bounded &= turn(d);
    return bounded && d->ended == 1;
}
#define ASK(d, ...) ask(d, (const char *const[]){ __VA_ARGS__, NULL })

static void add(struct rig *r, unsigned i, uint32_t rcpts)
{
    char sender[32], rcpt[64];
    struct sched_entry_rcpt *list = must_calloc(rcpts, sizeof *list);
    int ns = snprintf(sender, sizeof sender, "s%u@src.example", i);
    int nr = snprintf(rcpt, sizeof rcpt, "person%u@d%u.example", i, i % DOMAINS);
    for (uint32_t k = 0; k < rcpts; k++)
        list[k] = (struct sched_entry_rcpt){ .addr = span_of(rcpt, (size_t)nr), .held = true,
                                             .reason = SPAN("under review") };
    struct sched_entry e = { .seq = 1000000 + i, .received_ms = loop_wall_ms(r->l) - (int64_t)i,
                             .size_bytes = i, .sender = span_of(sender, (size_t)ns),
                             .listener = SPAN("mx"), .rcpts = list, .rcpt_count = rcpts };
    MUST(sched_add(r->q->sched, &e, qmgr_now(r->q)));
    free(list);
}

static void add_routed(struct rig *r, unsigned i)
{
    char sender[32], key[32];
    struct sched *s = r->q->sched;
    struct sched_entry_rcpt one = { .addr = SPAN("person@d.example") };
    struct sched_ask route;
    struct sched_verdict v;
    int ns = snprintf(sender, sizeof sender, "s%u@src.example", i);
    int nk = snprintf(key, sizeof key, "mx:d%u.example", i);
    struct sched_entry e = { .seq = 1000000 + i, .received_ms = loop_wall_ms(r->l),
                             .sender = span_of(sender, (size_t)ns), .rcpts = &one,
                             .rcpt_count = 1 };
    MUST(sched_add(s, &e, qmgr_now(r->q)));
    MUST(sched_next_to_route(s, qmgr_now(r->q), &route, 1) == 1);
    sched_routed(s, route.seq, route.rcpt, SCHED_TO, span_of(key, (size_t)nk), qmgr_now(r->q), &v);
}

static void desk_connect(struct desk *d)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_said) };
    static const struct channel_ops ops = { types, 1, ignore_gone, NULL };
    int fds[2];
    channel_free(&d->ch);
    MUST(d->r->q && loop_pair(d->r->l, fds) == 0);
    qmgr_role.peer(d->r->q, ROLE_CONTROL, 0, fds[0]);
    d->ch = channel_new(d->r->l, fds[1], "qmgr", &ops, d);
}

static void desk_open(struct desk *d, unsigned mails)
{
    *d = (struct desk){ .r = rig_new(11) };
    desk_connect(d);
    for (unsigned i = 1; i <= mails; i++)
        add(d->r, i, 1);
}

static void desk_close(struct desk *d)
{
    channel_free(&d->ch);
    rig_free(&d->r);
}

/* --- --- */

static void each_question(void)
{
    static struct desk d;
    desk_open(&d, MAILS);
    CHECK(ASK(&d, "list"));
    CHECK_INT(d.rows, MAILS);
    for (unsigned i = 1; i <= MAILS; i++)
        CHECK_INT(d.seen[i], 1);
    CHECK(d.slices >= MAILS / 1000);
    CHECK(ASK(&d, "count", "size>20K"));
    CHECK(strstr(d.last, "\"messages\":9520,")); /* 20481 to 30000 */
    CHECK(d.units >= MAILS && d.slices >= MAILS / ADMIN_SLICE_UNITS);
    CHECK(ASK(&d, "count", "to~PERSON12345"));
    CHECK(strstr(d.last, "\"messages\":1,"));
    CHECK(ASK(&d, "count", "size<1G"));
    CHECK(strstr(d.last, "\"recipients\":30000"));
    CHECK(ASK(&d, "list", "to~son1234"));
    CHECK_INT(d.rows, 11);
    CHECK(ASK(&d, "list", "sort=size", "limit=10000"));
    CHECK_INT(d.rows, 10000);
    CHECK(d.seen[MAILS] == 1 && d.seen[MAILS - 9999] == 1);
    CHECK(ASK(&d, "groups", "by=domain", "limit=10000", "sort=domain"));
    CHECK_INT(d.rows, 1 + DOMAINS);
    CHECK(ASK(&d, "groups", "by=sender", "limit=10000"));
    CHECK_INT(d.rows, 1 + 10000);
    CHECK(ASK(&d, "groups", "by=domain", "size>10K", "shape"));
    CHECK_INT(d.rows, 1 + 100);
    desk_close(&d);
}

/* A message with very many recipients is gone through in slices like a queue of as many. */
static void many_recipients(void)
{
    enum { RCPTS = 60000 };
    static struct desk d;
    desk_open(&d, 1);
    add(d.r, 2, RCPTS);
    CHECK(ASK(&d, "list"));
    CHECK_INT(d.seen[1] + d.seen[2], 2);
    CHECK(d.parts > 50);
    CHECK(ASK(&d, "count", "to~person2", "state=held"));
    CHECK(strstr(d.last, "\"recipients\":60000"));
    CHECK(d.slices > RCPTS / ADMIN_SLICE_UNITS);
    CHECK(ASK(&d, "groups", "by=reason", "to~person2"));
    CHECK(strstr(d.last, "\"recipients\":60000"));
    CHECK(ASK(&d, "groups", "by=sender"));
    CHECK(d.slices > 2 * RCPTS / ADMIN_SLICE_UNITS && strstr(d.last, "\"under review\""));
    CHECK(ASK(&d, "list", "sort=next", "limit=1"));
    CHECK(d.slices > RCPTS / ADMIN_SLICE_UNITS && d.seen[1] + d.seen[2] == 1);
    struct rig *r = d.r;
    sched_release(r->q->sched, 1000002, RCPTS - 1, SPAN("gone on"), qmgr_now(r->q));
    channel_free(&r->router);
    CHECK(ASK(&d, "why", "target=d2.example"));
    CHECK(strstr(d.first[2], "\"gone on\"") || strstr(d.first[3], "\"gone on\""));
    CHECK(d.slices > 2 && d.units >= RCPTS);
    desk_close(&d);
}

/* From smtpd, and held. */
static const char *post_held(struct rig *r, uint32_t rcpts)
{
    static struct queueid id;
    struct rig_mail *first = rig_mail(r, "s@src.example", "ok.0@x.example"),
                    *m = rig_mail(r, "s@src.example", "ok.1@x.example");
    struct envelope_rcpt *list = must_calloc(rcpts, sizeof *list);
    MUST(rig_send(r, first)); /* so that there are ids */
    m->seq = r->ids++;
    r->ids_left--;
    for (uint32_t i = 0; i < rcpts; i++)
        list[i].addr = SPAN("ok.1@x.example");
    struct envelope env = { .seq = m->seq, .received_ms = loop_wall_ms(r->l),
                            .flags = ENVELOPE_HOLD, .sender = SPAN("s@src.example"),
                            .rcpts = list, .rcpt_count = rcpts };
    struct buf b;
    buf_init(&b, 1 << 20);
    envelope_put(&b, &env);
    struct msg_commit c = { .txn = m->txn, .envelope = buf_span(&b), .content = SPAN("x\r\n") };
    send_commit(r->smtpd, &c);
    rig_run(r, 1000);
    MUST(m->committed);
    buf_free(&b);
    free(list);
    id = queueid_make(m->seq, env.received_ms);
    return id.text;
}

/* What is done to one message by its id is in slices too; each id has its row. */
static void an_id_with_many_recipients(void)
{
    enum { RCPTS = 5000, SLICES = RCPTS * ADMIN_CHANGE_UNITS / ADMIN_SLICE_UNITS };
    static struct desk d;
    desk_open(&d, 0);
    const char *id = post_held(d.r, RCPTS);
    channel_free(&d.r->deliver);
    CHECK(ASK(&d, "hold", id));
    CHECK(strstr(d.last, "\"error\":\"it is held already\"") && d.status == EX_NOINPUT);
    CHECK(ASK(&d, "release", id));
    CHECK(d.slices > SLICES);
    CHECK(strstr(d.last, "\"action\":\"released\",\"recipients\":5000") &&
          d.status == ADMIN_OK);
    CHECK(ASK(&d, "hold", "reason=not yet", id));
    CHECK(d.slices > 2 && strstr(d.last, "\"action\":\"held\""));
    CHECK(ASK(&d, "delete", id));
    CHECK(d.slices > SLICES && strstr(d.last, "\"action\":\"deleted\""));
    CHECK(ASK(&d, "delete", id));
    CHECK(strstr(d.last, "there is no such message") && d.status == EX_NOINPUT);
    desk_close(&d);
}

/* Its sender is told in reports that are full, however many slices that takes. */
static void one_who_is_told_of_many(void)
{
    enum { RCPTS = 5 * DSN_AT_ONCE };
    static struct desk d;
    desk_open(&d, 0);
    channel_free(&d.r->deliver);
    post_held(d.r, RCPTS);
    uint64_t others = sched_totals(d.r->q->sched).messages - 1;
    CHECK(ASK(&d, "act", "action=expire", "state=held"));
    CHECK(strstr(d.last, "\"recipients\":1000"));
    rig_run(d.r, 20000);
    CHECK_INT(sched_totals(d.r->q->sched).messages - others, RCPTS / DSN_AT_ONCE);
    desk_close(&d);
}

/* Every destination, and no row for its site, which nobody knows; more of them come meanwhile. */
static void every_site(void)
{
    enum { PLACES = 3000 };
    static struct desk d;
    static const char *const words[] = { "sites", "limit=10000", NULL };
    desk_open(&d, 0);
    channel_free(&d.r->deliver); /* nothing is begun */
    rig_run(d.r, 10);
    for (unsigned i = 1; i <= PLACES; i++)
        add_routed(d.r, i);
    CHECK(ask(&d, words));
    CHECK_INT(d.rows, PLACES + 1);
    CHECK(strstr(d.last, "\"site_unknown\":3000"));
    CHECK(ASK(&d, "sites", "limit=100"));
    CHECK_INT(d.rows, 102);
    CHECK(strstr(d.before_last, "\"not_shown\":2900"));
    send_question(&d, words);
    d.rows = d.ended = 0;
    unsigned more = 0;
    while (!d.ended && more < 20 * PLACES) {
        CHECK(turn(&d));
        for (int k = 0; k < 300; k++)
            add_routed(d.r, PLACES + ++more);
    }
    CHECK_INT(d.ended, 1);
    CHECK(more > 2 * PLACES / 3); /* the table has grown under the walk */
    CHECK(d.rows >= PLACES);
    desk_close(&d);
}

/* While a list comes mail comes and goes: what was there all the time is said once. */
static void while_it_changes(void)
{
    static struct desk d;
    static uint8_t gone[MAILS + 1];
    static const char *const words[] = { "list", "size>10", NULL };
    desk_open(&d, MAILS);
    send_question(&d, words);
    for (unsigned i = 1; !d.ended && i < MAILS / 2; i++) {
        CHECK(turn(&d));
        unsigned k = (unsigned)loop_sim_chance(d.r->l, MAILS) + 1;
        gone[k] |= sched_delete(d.r->q->sched, 1000000 + k, SCHED_ALL) > 0;
        if (i % 3 == 0)
            verdict_gone(d.r->q);
    }
    CHECK_INT(d.ended, 1);
    for (unsigned i = 11; i <= MAILS; i++) {
        CHECK(d.seen[i] <= 1);
        CHECK(d.seen[i] == 1 || gone[i]);
    }
    desk_close(&d);
}

/* Three who ask at once share the turns. */
static void several(void)
{
    static struct desk d;
    static const char *const words[] = { "count", "to~nobody", NULL };
    desk_open(&d, MAILS);
    for (int i = 0; i < 3; i++)
        send_question(&d, words);
    while (d.turns < 200)
        CHECK(turn(&d));
    CHECK_INT(d.ended, 1); /* d hears the last one only */
    CHECK(d.units >= 3 * MAILS);
    desk_close(&d);
}

/* Why: of a domain by the index's cells, of an address by the messages of its domain, of a message
 * by its recipients. */
static void why(void)
{
    enum { RCPTS = 60000 };
    static struct desk d;
    char target[64];
    desk_open(&d, MAILS);
    CHECK(ASK(&d, "why", "target=d7.example")); /* 7, 707 ... 29407: 43 of them */
    CHECK(strstr(d.first[1], "\"messages\":43,") && strstr(d.first[1], "\"held\":43"));
    CHECK(strstr(d.first[2], "\"reason\":\"under review\""));
    CHECK_INT(d.rows, 3);
    CHECK(d.units < 10 * DOMAINS);
    CHECK(ASK(&d, "why", "target=PERSON29407@d7.example"));
    CHECK(strstr(d.first[1], "\"messages\":1,") && strstr(d.first[1], "\"address\""));
    CHECK(ASK(&d, "why", "target=person1@d7.example"));
    CHECK_INT(d.status, EX_NOINPUT);
    CHECK(ASK(&d, "why", "target=mx.elsewhere.example"));
    CHECK_INT(d.status, EX_NOINPUT);
    add(d.r, 0, RCPTS);
    snprintf(target, sizeof target, "target=%s",
             queueid_make(1000000, loop_wall_ms(d.r->l)).text);
    CHECK(ASK(&d, "why", target));
    CHECK(strstr(d.first[1], "\"rcpts\":60000"));
    CHECK(strstr(d.first[2], "\"recipients\":60000")); /* all in one state, for one reason */
    CHECK_INT(d.rows, 3 + 200);
    desk_close(&d);
}

/* Who asked goes away in the middle; what was gathered is put away in slices, too. */
static void goes_away(void)
{
    static struct desk d;
    static const char *const words[] = { "groups", "by=sender", NULL };
    desk_open(&d, MAILS);
    send_question(&d, words);
    while (d.units < MAILS)
        CHECK(turn(&d));
    struct msg_admin_gone gone = { .q = d.q };
    send_admin_gone(d.ch, &gone);
    uint64_t before = d.slices;
    for (int i = 0; i < 100; i++)
        CHECK(turn(&d));
    CHECK(d.slices > before && d.slices < before + 50);
    CHECK_INT(d.ended, 0);
    CHECK(ASK(&d, "count"));
    desk_close(&d);
}

/* What is changed is bounded as well, and on the disk when it is answered. */
static void actions(void)
{
    static struct desk d;
    desk_open(&d, 0);
    for (unsigned i = 0; i < 200; i++) {
        struct rig_mail *m = rig_mail(d.r, "s1@src.example", "slow@x.example");
        rig_send(d.r, m);
    }
    rig_run(d.r, 1000);
    admin_cost(d.r->q);
    CHECK(ASK(&d, "act", "action=hold", "domain=x.example"));
    CHECK(strstr(d.last, "\"action\":\"held\""));
    CHECK(d.slices >= 2);
    CHECK_INT(spool_dirty_since(d.r->q->spool), -1);
    rig_answer_slow(d.r, 0);
    CHECK(ASK(&d, "act", "action=delete", "domain=x.example"));
    CHECK_INT(d.status, ADMIN_OK);
    CHECK_INT(spool_dirty_since(d.r->q->spool), -1);
    desk_close(&d);
}

/* Whoever stops it in the middle is answered soon, with how far it came. */
static void stopped(void)
{
    static struct desk d;
    static const char *const words[] = { "act", "action=back", NULL };
    desk_open(&d, MAILS);
    CHECK(ASK(&d, "act", "action=back"));
    CHECK(d.slices > 20 && !strstr(d.last, "stopped"));
    d.units = d.ended = 0;
    send_question(&d, words);
    while (d.units < MAILS)
        CHECK(turn(&d));
    struct msg_admin_stop stop = { .q = d.q };
    send_admin_stop(d.ch, &stop);
    d.slices = 0;
    while (!d.ended)
        CHECK(turn(&d));
    CHECK_INT(d.status, ADMIN_OK);
    CHECK(strstr(d.last, "\"messages\":0,") && strstr(d.last, "\"stopped\":true"));
    CHECK(d.slices < 10);
    desk_close(&d);
}

/* What was said before somebody held it stays known: when it is released, and after a restart. */
static void said_before(void)
{
    static struct desk d;
    static const char said[] = "\"before\":\"450 4.2.1 busy\"";
    desk_open(&d, 0);
    rig_send(d.r, rig_mail(d.r, "s1@src.example", "tmp9a@x.example"));
    rig_run(d.r, 1000);
    CHECK(ASK(&d, "list"));
    CHECK(strstr(d.last, "\"state\":\"deferred\"") && !strstr(d.last, "before"));
    for (int i = 0; i < 2; i++) {
        CHECK(ASK(&d, "act", "action=hold", "domain=x.example"));
        for (int k = 0; k < 2; k++) {
            CHECK(ASK(&d, "list"));
            CHECK(strstr(d.last, "\"reason\":\"held by a test\"") && strstr(d.last, said));
            CHECK(ASK(&d, "count", "reason=held by a test"));
            CHECK(strstr(d.last, "\"messages\":1,"));
            rig_kill(d.r);
            rig_start(d.r);
            desk_connect(&d);
        }
        if (i == 0) {
            channel_free(&d.r->router); /* nothing is tried meanwhile */
            CHECK(ASK(&d, "act", "action=release", "domain=x.example"));
            CHECK(ASK(&d, "list"));
            CHECK(strstr(d.last, "\"reason\":\"released by a test\"") && strstr(d.last, said));
        }
    }
    desk_close(&d);
}

/* Mail that came before somebody set the clock back is meant, too. */
static void clock_set_back(void)
{
    enum { DAY_MS = 86400000 };
    static struct desk d;
    desk_open(&d, 0);
    for (unsigned i = 0; i < 3; i++)
        rig_send(d.r, rig_mail(d.r, "s1@src.example", "slow@x.example"));
    rig_run(d.r, 1000);
    loop_sim_jump_wall(d.r->l, -DAY_MS);
    CHECK(ASK(&d, "act", "action=hold", "domain=x.example"));
    CHECK(strstr(d.last, "\"messages\":3"));
    rig_answer_slow(d.r, 0);
    desk_close(&d);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        { "slices/each_question", each_question },
        { "slices/many_recipients", many_recipients },
        { "slices/an_id_with_many_recipients", an_id_with_many_recipients },
        { "slices/one_who_is_told_of_many", one_who_is_told_of_many },
        { "slices/every_site", every_site },
        { "slices/while_it_changes", while_it_changes },
        { "slices/several", several },
        { "slices/why", why },
        { "slices/goes_away", goes_away },
        { "slices/actions", actions },
        { "slices/stopped", stopped },
        { "slices/said_before", said_before },
        { "slices/clock_set_back", clock_set_back },
    };
    return test_main(tests, sizeof tests / sizeof *tests, argc, argv);
}
