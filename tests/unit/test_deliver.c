/* deliver between a played qmgr, a played resolver and servers that count its connections. */
#include "base/arena.h"
#include "base/list.h"
#include "base/must.h"
#include "attempt/attempt.h"
#include "config/config.h"
#include "loop/sim.h"
#include "proto/deliver_resolver.h"
#include "proto/lists.h"
#include "proto/qmgr_deliver.h"
#include "role/role.h"
#include "route/dest.h"
#include "dns/plan.h"
#include "smtp/client.h"
#include "test.h"

enum { A, B, SERVERS, PEERS_MAX = 64, SECOND_MS = 1000 };

struct rig;

struct peer { /* one connection to a server */
    struct rig *r;
    int server, fd;
    struct loop_io io;
    struct loop_timer bye;
    struct buf in;
    bool data, quits, tls;
};

struct rig {
    struct loop *l;
    struct role_env env;
    void *role;
    struct channel *qmgr, *resolver;
    struct loop_io listens[SERVERS];
    struct peer peers[PEERS_MAX];
    unsigned made, live, peak, taken[SERVERS];
    int64_t quit_ms; /* a server's time for QUIT; -1: it never answers */
    bool drops_at_a; /* at RCPT */
    bool refuses_at_a; /* in its greeting */
    bool silent_at_a; /* instead of a greeting */
    bool no_tls_at_b; /* it says STARTTLS, and then drops who does that */
    uint32_t ttl_s, looked_up;
    struct msg_job_done done; /* the last, without its texts */
    struct msg_result result;
    unsigned jobs_done, unkept, left;
    char left_host[64], left_text[128]; /* the last */
    struct msg_here here; /* the last, with its host and text */
    char here_host[64], here_text[128];
    unsigned heres, here_ends;
    struct buf talk; /* to who looks on: KIND TEXT lines */
};

/* --- servers --- */

static struct netaddr address(int server)
{
    return (struct netaddr){ .family = NETADDR_V4, .ip = { 10, 1, 0, (uint8_t)(server + 1) },
                             .port = 25 };
}

static void peer_end(struct peer *p)
{
    loop_timer_stop(p->r->l, &p->bye);
    loop_io_del(p->r->l, &p->io);
    loop_close(p->r->l, p->fd);
    buf_free(&p->in);
    p->fd = -1;
    p->r->live--;
}

static void say(struct peer *p, const char *text)
{
    MUST(loop_write(p->r->l, p->fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void on_bye(void *ctx)
{
    say(ctx, "221 bye\r\n");
    peer_end(ctx);
}

static void on_line(struct peer *p, struct span line)
{
    if (p->data && !span_eq(line, SPAN(".")))
        return;
    if (p->data) {
        p->data = false;
        p->r->taken[p->server]++;
        say(p, "250 taken\r\n");
    } else if (span_starts(line, SPAN("DATA"))) {
        p->data = true;
        say(p, "354 go on\r\n");
    } else if (span_starts(line, SPAN("RCPT")) && p->r->drops_at_a && p->server == A) {
        peer_end(p);
    } else if (span_starts(line, SPAN("EHLO")) && p->r->no_tls_at_b && p->server == B) {
        say(p, "250-here\r\n250 STARTTLS\r\n");
    } else if (span_starts(line, SPAN("STARTTLS"))) {
        p->tls = true;
        say(p, "220 begin\r\n");
    } else if (span_starts(line, SPAN("QUIT"))) {
        p->quits = true;
        if (p->r->quit_ms >= 0)
            loop_timer_in(p->r->l, &p->bye, p->r->quit_ms); /* ends it */
    } else {
        say(p, "250 ok\r\n");
    }
}

static void on_peer(void *ctx, int ready)
{
    struct peer *p = ctx;
    char *to = buf_space(&p->in, 4096);
    ssize_t got = loop_read(p->r->l, p->fd, to, 4096);
    (void)ready;
    if (got <= 0 || p->tls) {
        peer_end(p);
        return;
    }
    buf_added(&p->in, (size_t)got);
    for (size_t at; (at = span_find(buf_span(&p->in), '\n')) < p->in.len;) {
        struct span line = span_to(buf_span(&p->in), at);
        on_line(p, span_to(line, line.n - 1));
        if (p->fd < 0)
            return;
        buf_take(&p->in, at + 1);
    }
}

static void on_connect(struct rig *r, int server)
{
    MUST(r->made < PEERS_MAX);
    struct peer *p = &r->peers[r->made++];
    p->r = r;
    p->server = server;
    p->fd = loop_accept(r->l, r->listens[server].fd, NULL);
    MUST(p->fd >= 0);
    buf_init(&p->in, 1 << 16);
    loop_timer_init(&p->bye, on_bye, p);
    loop_io_add(r->l, &p->io, p->fd, LOOP_READ, on_peer, p);
    r->live++;
    r->peak = r->live > r->peak ? r->live : r->peak;
    if (!r->silent_at_a || server != A)
        say(p, r->refuses_at_a && server == A ? "554 not you\r\n" : "220 here\r\n");
}

static void on_connect_a(void *ctx, int ready) { (void)ready; on_connect(ctx, A); }
static void on_connect_b(void *ctx, int ready) { (void)ready; on_connect(ctx, B); }

static void open_server(struct rig *r, int server)
{
    struct netaddr at = address(server);
    struct err e;
    int fd = loop_listen(r->l, &at, 10, &e);
    MUST(fd >= 0);
    loop_io_add(r->l, &r->listens[server], fd, LOOP_READ, server ? on_connect_b : on_connect_a, r);
}

static void close_server(struct rig *r, int server)
{
    int fd = r->listens[server].fd;
    loop_io_del(r->l, &r->listens[server]);
    loop_close(r->l, fd);
}

/* --- resolver and qmgr --- */

static void on_lookup(struct rig *r, struct channel *ch, const struct msg_lookup *m)
{
    struct dns_plan_host hosts[SERVERS] = { { SPAN("a.example"), 10 }, { SPAN("b.example"), 20 } };
    struct dns_plan_addr addrs[SERVERS] = { { address(A), A }, { address(B), B } };
    struct dns_plan plan = { .site = SPAN("mx:a.example,b.example"), .ttl_s = r->ttl_s,
                             .hosts = hosts, .host_count = 2, .best_hosts = 1,
                             .order = { 1, 2 }, .addrs = addrs, .addr_count = 2 };
    struct buf b;
    buf_init(&b, 4096);
    dns_plan_put(&b, &plan);
    struct msg_found found = { .q = m->q, .plan = buf_span(&b) };
    send_found(ch, &found);
    buf_free(&b);
    r->looked_up++;
}
PROTO_HANDLER(lookup, struct rig *, on_lookup)

static void on_result(struct rig *r, struct channel *ch, const struct msg_result *m)
{
    (void)ch;
    if (getenv("RIG_LOG"))
        printf("# %.*s %.*s: %.*s\n", SPAN_ARG(m->host), SPAN_ARG(m->enhanced), SPAN_ARG(m->text));
    r->result = *m;
}

static void on_job_done(struct rig *r, struct channel *ch, const struct msg_job_done *m)
{
    (void)ch;
    r->done = *m;
    r->jobs_done++;
}

static void on_unkept(struct rig *r, struct channel *ch, const struct msg_unkept *m)
{
    (void)ch;
    r->unkept += m->keeper == r->done.keeper;
}

static void on_left(struct rig *r, struct channel *ch, const struct msg_left *m)
{
    struct span words = m->reply.n ? m->reply : m->text;
    (void)ch;
    r->left++;
    snprintf(r->left_host, sizeof r->left_host, "%.*s", SPAN_ARG(m->host));
    snprintf(r->left_text, sizeof r->left_text, "%.*s", SPAN_ARG(words));
}

static void on_talk(struct rig *r, struct channel *ch, const struct msg_talk *m)
{
    static const char kinds[TALK_KINDS] = { "=*><-qx" };
    (void)ch;
    buf_printf(&r->talk, "%c %.*s\n", kinds[m->kind],
               SPAN_ARG(m->text.n ? m->text : m->host));
}

static void on_here(struct rig *r, struct channel *ch, const struct msg_here *m)
{
    struct attempt a;
    (void)ch;
    MUST(attempt_get(m->story, &a));
    r->here = *m;
    r->heres++;
    snprintf(r->here_host, sizeof r->here_host, "%.*s", SPAN_ARG(m->host));
    snprintf(r->here_text, sizeof r->here_text, "%.*s", SPAN_ARG(m->text));
}

static void on_here_end(struct rig *r, struct channel *ch, const struct msg_here_end *m)
{
    (void)ch;
    r->here_ends += m->q == 77;
}
PROTO_HANDLER(here, struct rig *, on_here)
PROTO_HANDLER(here_end, struct rig *, on_here_end)
PROTO_HANDLER(left, struct rig *, on_left)
PROTO_HANDLER(talk, struct rig *, on_talk)
PROTO_HANDLER(result, struct rig *, on_result)
PROTO_HANDLER(job_done, struct rig *, on_job_done)
PROTO_HANDLER(unkept, struct rig *, on_unkept)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    (void)why;
    MUST(!"deliver has gone");
}

static struct channel *wire(struct rig *r, enum role_id id, const struct channel_ops *ops)
{
    int fds[2];
    MUST(loop_pair(r->l, fds) == 0);
    deliver_role.peer(r->role, id, 0, fds[1]);
    return channel_new(r->l, fds[0], "deliver", ops, r);
}

static struct config *config_of(const char *own)
{
    static const char text[] = "hostname = \"gw.example\"\nspool { directories = {\"/spool\"} }\n";
    struct config_report *report = config_report_new();
    struct config *c = NULL;
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, "%s%s", text, own);
    bool ok = config_parse(buf_span(&b), SPAN("rig.conf"), &c, report);
    if (!ok)
        printf("# %s\n", own);
    MUST(ok);
    config_report_free(&report);
    buf_free(&b);
    return c;
}

static void on_done(struct role_env *env) { (void)env; }

static void run(struct rig *r, int64_t ms)
{
    int64_t until = loop_mono_ms(r->l) + ms;
    while (loop_mono_ms(r->l) < until)
        loop_turn(r->l, (int)(until - loop_mono_ms(r->l)));
}

static struct rig *begin(const char *config)
{
    static const struct channel_type from_deliver[] = { PROTO_TYPE(result), PROTO_TYPE(job_done),
                                                        PROTO_TYPE(unkept), PROTO_TYPE(left),
                                                        PROTO_TYPE(talk), PROTO_TYPE(here),
                                                        PROTO_TYPE(here_end) };
    static const struct channel_type to_resolver[] = { PROTO_TYPE(lookup) };
    static const struct channel_ops qmgr_ops = { from_deliver, 7, on_gone, NULL };
    static const struct channel_ops resolver_ops = { to_resolver, 1, on_gone, NULL };
    struct events_config ec = { .tag = "rig", .role = "deliver", .hostname = "gw.example",
                                .line_fd = -1, .event_fd = -1 };
    struct rig *r = NEW(struct rig);
    struct err e;
    r->l = loop_sim_new(1, INT64_C(1790000000000));
    r->ttl_s = 3600;
    buf_init(&r->talk, 1 << 16);
    r->env = (struct role_env){ .loop = r->l, .events = events_new(r->l, &ec), .done = on_done };
    r->role = deliver_role.make(&r->env, config_of(config), &e);
    MUST(r->role);
    r->qmgr = wire(r, ROLE_QMGR, &qmgr_ops);
    r->resolver = wire(r, ROLE_RESOLVER, &resolver_ops);
    open_server(r, A);
    open_server(r, B);
    return r;
}

static void end(struct rig *r)
{
    deliver_role.free(r->role);
    channel_free(&r->qmgr);
    channel_free(&r->resolver);
    for (unsigned i = 0; i < r->made; i++)
        if (r->peers[i].fd >= 0)
            peer_end(&r->peers[i]);
    for (int i = 0; i < SERVERS; i++)
        if (r->listens[i].fn)
            close_server(r, i);
    events_free(&r->env.events);
    buf_free(&r->talk);
    loop_free(&r->l);
    free(r);
}

/* One message; keeper, instead: as qmgr would give it. */
static void mail(struct rig *r, uint64_t keeper, bool instead)
{
    struct dns_hop hop = { .host = SPAN("x.example") };
    struct route_dest d = { .mailer = ROUTE_ESMTP, .hops = &hop, .hop_count = 1,
                            .queue = SPAN("mx:x.example") };
    struct envelope_rcpt rcpt = { .addr = SPAN("u@x.example") };
    struct buf dest, rcpts;
    buf_init(&dest, 4096);
    buf_init(&rcpts, 4096);
    route_dest_put(&dest, &d);
    list_put_rcpt(&rcpts, &rcpt);
    struct span content = SPAN("Subject: x\r\n\r\nhi\r\n");
    struct msg_job m = { .job = r->jobs_done + 1, .destination = buf_span(&dest),
                         .sender = SPAN("s@y.example"), .rcpts = buf_span(&rcpts),
                         .size = content.n, .content = content, .keeper = keeper,
                         .instead = instead };
    send_job(r->qmgr, &m);
    buf_free(&dest);
    buf_free(&rcpts);
}

/* And waits for its end; false: it was not delivered. */
static bool mailed(struct rig *r, uint64_t keeper, bool instead)
{
    unsigned before = r->jobs_done;
    mail(r, keeper, instead);
    int64_t late = loop_mono_ms(r->l) + 10 * SECOND_MS;
    while (r->jobs_done == before && loop_mono_ms(r->l) < late)
        loop_turn(r->l, -1);
    return r->jobs_done > before && r->result.result == SMTP_DELIVERED;
}

/* --- tests --- */

static void used_again(void)
{
    struct rig *r = begin("");
    CHECK(mailed(r, 0, false));
    CHECK(r->done.best == 1 && r->done.all == 2 && r->done.under == 1 && !r->done.ending);
    for (int i = 0; i < 5; i++)
        CHECK(mailed(r, r->done.keeper, false));
    CHECK(r->made == 1 && r->taken[A] == 6 && r->looked_up == 1);
    end(r);
}

/* What the rules say now holds for a connection that was made before. */
static void not_over_a_reload(void)
{
    struct rig *r = begin("deliver { tls = off }\n");
    CHECK(mailed(r, 0, false));
    deliver_role.reload(r->role, config_of("deliver { tls = required }\n"));
    CHECK(!mailed(r, r->done.keeper, false)); /* the servers have no TLS */
    CHECK_INT(r->taken[A] + r->taken[B], 1);
    deliver_role.reload(r->role, config_of("deliver { tls = off }\n"));
    CHECK(mailed(r, 0, false));
    /* Nor one that was at work meanwhile. */
    mail(r, r->done.keeper, false);
    while (!r->peers[r->made - 1].data)
        loop_turn(r->l, -1);
    deliver_role.reload(r->role, config_of("deliver { tls = required }\n"));
    run(r, 5 * SECOND_MS);
    CHECK_INT(r->taken[A], 3);
    CHECK(r->done.ending && r->live == 0);
    end(r);
}

/* The next one begins when the server has closed the one before. */
static void one_after_the_other(void)
{
    struct rig *r = begin("deliver { messages_per_connection = 1 }\n");
    r->quit_ms = 50;
    CHECK(mailed(r, 0, false));
    for (int i = 0; i < 5; i++) {
        CHECK(r->done.keeper && r->done.ending);
        CHECK(mailed(r, r->done.keeper, i % 2 == 0));
    }
    CHECK(r->taken[A] == 6 && r->made == 6 && r->peak == 1);
    unsigned told = r->unkept;
    run(r, SECOND_MS);
    CHECK_INT(r->live, 0);
    CHECK_INT(r->unkept, told + 1);
    end(r);
}

/* One that is not for this message is closed first; who does not answer QUIT is not waited for. */
static void in_its_room(void)
{
    struct rig *r = begin("");
    CHECK(mailed(r, 0, false));
    r->quit_ms = -1;
    int64_t begun = loop_mono_ms(r->l);
    CHECK(mailed(r, r->done.keeper, true));
    int64_t took = loop_mono_ms(r->l) - begun;
    CHECK(r->peers[0].quits && r->made == 2 && r->peak == 1);
    CHECK(took >= 2 * SECOND_MS && took < 3 * SECOND_MS);
    end(r);
}

/* While one message waits for the end of another's connection: the end of the process, of qmgr, a
 * reload, word that it may go. */
static void ends_in_between(void)
{
    for (int i = 0; i < 5; i++) {
        struct rig *r = begin("deliver { idle = 10s }\n");
        CHECK(mailed(r, 0, false));
        struct msg_let_go bye = { .keeper = r->done.keeper };
        r->quit_ms = i == 4 ? 500 : -1;
        mail(r, r->done.keeper, true);
        run(r, 100);
        CHECK_INT(r->peers[0].quits, 1);
        r->quit_ms = 0;
        if (i == 1)
            channel_free(&r->qmgr);
        if (i == 2)
            deliver_role.finish(r->role, 60 * SECOND_MS);
        if (i == 3)
            deliver_role.reload(r->role, config_of("deliver { idle = 1s }\n"));
        if (i == 4)
            send_let_go(r->qmgr, &bye);
        if (i)
            run(r, 30 * SECOND_MS);
        CHECK_INT(r->taken[A], i > 1 ? 2 : 1);
        CHECK_INT(r->live, i ? 0 : 1);
        end(r);
    }
}

/* A host that is not the first choice is kept for a while when the first cannot be reached, for
 * those with the same order only; and not at all when that one was there, but lost this message. */
static void second_choice(void)
{
    struct rig *r = begin("deliver { idle = 10m }\n");
    r->drops_at_a = true;
    CHECK(mailed(r, 0, false));
    CHECK(r->taken[B] == 1 && r->done.ending);
    close_server(r, A);
    run(r, 5 * SECOND_MS);
    CHECK(mailed(r, 0, false));
    CHECK(r->taken[B] == 2 && !r->done.ending && r->done.under == 2);
    run(r, 50 * SECOND_MS);
    CHECK(mailed(r, r->done.keeper, false) && r->taken[B] == 3 && !r->done.ending);
    open_server(r, A);
    r->drops_at_a = false;
    run(r, 11 * SECOND_MS);
    CHECK_INT(r->unkept, 2); /* the lost one, too */
    CHECK(mailed(r, r->done.keeper, false));
    CHECK_INT(r->taken[A], 1);
    end(r);
}

/* A host that was there and lost the message changes nothing for the next one: where TLS fails that
 * is asked again without. */
static void second_choice_without_tls(void)
{
    struct rig *r = begin("");
    r->drops_at_a = r->no_tls_at_b = true;
    CHECK(mailed(r, 0, false));
    CHECK(r->taken[B] == 1 && r->made == 3);
    end(r);
}

/* Nobody is left without a word (RFC 5321 3.1). */
static void refused_in_the_greeting(void)
{
    struct rig *r = begin("");
    r->refuses_at_a = true;
    CHECK(mailed(r, 0, false));
    run(r, SECOND_MS);
    CHECK(r->taken[B] == 1 && r->peers[0].server == A && r->peers[0].quits);
    end(r);
}

static bool was_said(const struct rig *r, const char *text)
{
    struct span s = buf_span(&r->talk), want = span_str(text);
    for (; s.n >= want.n; s = span_from(s, 1))
        if (span_starts(s, want))
            return true;
    printf("# not said: %s# but:\n%.*s", text, SPAN_ARG(buf_span(&r->talk)));
    return false;
}

/* Why a host was left for the next one is told to qmgr, and to who looks on. */
static void left_for_the_next(void)
{
    static const char said[] = "timeout waiting for input from a.example during client greeting";
    struct rig *r = begin("timeout { initial = 3s }\n");
    struct msg_watch watch = { .watch = 5, .job = 1 };
    r->silent_at_a = true;
    send_watch(r->qmgr, &watch);
    CHECK(mailed(r, 0, false));
    CHECK(r->taken[B] == 1 && r->left == 1);
    CHECK_SPAN(span_str(r->left_host), SPAN("a.example"));
    CHECK_SPAN(span_str(r->left_text), span_str(said));
    CHECK(was_said(r, "= a.example\n- timeout waiting for input from a.example during client "
                      "greeting\n= b.example\n"));
    end(r);
    r = begin("");
    r->no_tls_at_b = r->refuses_at_a = true;
    send_watch(r->qmgr, &watch);
    CHECK(mailed(r, 0, false));
    CHECK(r->left == 2); /* the second one for itself, without TLS */
    CHECK(was_said(r, "< 554 not you\n"));
    CHECK(was_said(r, "- connection to b.example lost during client STARTTLS\n"
                      "- the TLS handshake failed\n= b.example\n"));
    end(r);
}

/* Asks where one job is, or all that have to do with an address; how many there were. */
static unsigned where(struct rig *r, uint64_t job, const struct netaddr *at)
{
    struct msg_where m = { .q = 77 };
    struct buf jobs;
    unsigned before = r->heres, ends = r->here_ends;
    buf_init(&jobs, 64);
    if (job)
        wire_put_u64(&jobs, job);
    if (at)
        m.at = *at;
    m.jobs = buf_span(&jobs);
    send_where(r->qmgr, &m);
    run(r, 10);
    buf_free(&jobs);
    MUST(r->here_ends == ends + 1);
    return r->heres - before;
}

/* A delivery that hangs says at which host, in what and for how long, when somebody asks; and tells
 * who looks on from then what there was, and what is said after. */
static void where_it_hangs(void)
{
    struct rig *r = begin("timeout { initial = 60s }\n");
    struct netaddr b = address(B), c = address(7);
    r->silent_at_a = true;
    mail(r, 0, false);
    run(r, 5 * SECOND_MS);
    CHECK(where(r, 1, NULL) == 1 && r->here.doing == HERE_TALKING);
    CHECK(r->here.stage == SMTP_STAGE_GREETING && r->here.job == 1);
    CHECK(r->here.ms >= 4 * SECOND_MS && r->here.ms < 6 * SECOND_MS);
    CHECK_SPAN(span_str(r->here_host), SPAN("a.example"));
    CHECK_SPAN(span_str(r->here_text), SPAN("waits for its greeting"));
    CHECK(where(r, 2, NULL) == 0 && where(r, 0, &c) == 0);
    CHECK(where(r, 0, &b) == 1 && r->here.job == 1); /* it is the next one to be tried */
    CHECK_INT(r->talk.len, 0);
    struct msg_watch watch = { .watch = 5, .job = 1 };
    send_watch(r->qmgr, &watch);
    run(r, 10);
    CHECK(was_said(r, "= a.example\n- waits for its greeting, for 5 s so far\n"));
    run(r, 60 * SECOND_MS);
    CHECK(r->result.result == SMTP_DELIVERED && r->taken[B] == 1);
    CHECK(was_said(r, "during client greeting\n= b.example\n"));
    CHECK(was_said(r, "< 220 here\n> EHLO gw.example\n"));
    CHECK_INT(where(r, 1, NULL), 0);
    end(r);
}

/* No more are kept than may be at work: descriptors end. */
static void not_too_many(void)
{
    struct rig *r = begin("deliver { idle = 10m\nconnections = 2 }\n");
    for (int i = 0; i < 4; i++)
        CHECK(mailed(r, 0, false));
    CHECK(r->done.ending);
    run(r, 5 * SECOND_MS);
    CHECK(r->made == 4 && r->live == 2);
    end(r);
}

/* A short TTL does not mean a connection for each message. */
static void short_ttl(void)
{
    struct rig *r = begin("deliver { idle = 10m }\n");
    r->ttl_s = 1;
    CHECK(mailed(r, 0, false));
    run(r, 5 * SECOND_MS);
    CHECK(mailed(r, r->done.keeper, false) && r->made == 1);
    run(r, 11 * SECOND_MS);
    CHECK(r->live == 0 && r->unkept == 1);
    end(r);
}

static const struct test tests[] = { TEST(used_again),  TEST(not_over_a_reload),
                                     TEST(one_after_the_other), TEST(in_its_room),
                                     TEST(ends_in_between),
                                     TEST(second_choice), TEST(second_choice_without_tls),
                                     TEST(refused_in_the_greeting), TEST(left_for_the_next),
                                     TEST(where_it_hangs), TEST(not_too_many),
                                     TEST(short_ttl) };
TEST_MAIN(tests)
