/* control: the request line, and the whole role between a client on a real socket and a qmgr
 * that is played here. */
#include "test.h"

#include "base/must.h"
#include "control/request.h"
#include "ipc/channel.h"
#include "proto/control.h"
#include "proto/lists.h"
#include "proto/master_child.h"
#include "role/role.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- the request line --- */

static void line_ends(void)
{
    struct span line;
    CHECK_INT(control_line(SPAN(""), &line), 0);
    CHECK_INT(control_line(SPAN("{\"verb\":"), &line), 0);
    CHECK_INT(control_line(SPAN("abc\ndef\n"), &line), 1);
    CHECK_SPAN(line, SPAN("abc"));
    CHECK_INT(control_line(SPAN("abc\r\n"), &line), 1);
    CHECK_SPAN(line, SPAN("abc"));
    CHECK_INT(control_line(SPAN("\n"), &line), 1);
    CHECK_INT(line.n, 0);
}

static void line_limit(void)
{
    static char long_line[CONTROL_LINE_MAX + 10];
    struct span line;
    memset(long_line, 'x', sizeof long_line);
    CHECK_INT(control_line(span_of(long_line, CONTROL_LINE_MAX - 1), &line), 0);
    CHECK_INT(control_line(span_of(long_line, CONTROL_LINE_MAX), &line), -1);
    long_line[CONTROL_LINE_MAX - 1] = '\n';
    CHECK_INT(control_line(span_of(long_line, CONTROL_LINE_MAX), &line), 1);
    long_line[CONTROL_LINE_MAX - 1] = 'x';
    long_line[CONTROL_LINE_MAX] = '\n';
    CHECK_INT(control_line(span_of(long_line, CONTROL_LINE_MAX + 1), &line), -1);
}

static void good_requests(void)
{
    struct control_request r;
    struct err e = { "" };
    struct span text;
    CHECK(control_request_get(SPAN("{\"verb\":\"count\"}"), &r, &e));
    CHECK(strcmp(r.verb, "count") == 0 && r.arg_count == 0);
    control_request_free(&r);
    CHECK(control_request_get(SPAN("{\"args\":[\"a\",\"\",\"\\u00e4\"],\"verb\":\"hold\"}"), &r,
                              &e));
    CHECK_INT(r.arg_count, 3);
    struct wire w = wire_reader(buf_span(&r.args));
    CHECK(list_next_text(&w, &text));
    CHECK_SPAN(text, SPAN("a"));
    CHECK(list_next_text(&w, &text) && text.n == 0);
    CHECK(list_next_text(&w, &text));
    CHECK_SPAN(text, SPAN("\xc3\xa4"));
    CHECK(!list_next_text(&w, &text) && wire_done(&w));
    control_request_free(&r);
}

static void bad_requests(void)
{
    static const char *const bad[] = {
        "", "x", "[]", "\"list\"", "{}", "{\"verb\":1}", "{\"verb\":\"\"}", "{\"verb\":\"list\"",
        "{\"verb\":\"list\"} x", "{\"verb\":\"list\",\"verb\":\"stop\"}",
        "{\"verb\":\"list\",\"args\":{}}", "{\"verb\":\"list\",\"args\":[1]}",
        "{\"verb\":\"list\",\"args\":[[\"a\"]]}", "{\"verb\":\"list\",\"user\":\"root\"}",
        "{\"verb\":\"a\\u0000b\"}", "{\"verb\":\"\xff\"}", "{\"verb\":\"list\",\"args\":null}",
        "{\"verb\":\"123456789012345678901234567890123\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct control_request r;
        struct err e = { "" };
        bool good = control_request_get(span_str(bad[i]), &r, &e);
        control_request_free(&r);
        if (good || !e.text[0])
            TEST_FAIL("%s is taken", bad[i]);
    }
}

static void too_many_args(void)
{
    struct buf b;
    struct control_request r;
    struct err e = { "" };
    buf_init(&b, CONTROL_LINE_MAX);
    buf_putz(&b, "{\"verb\":\"hold\",\"args\":[\"a\"");
    for (int i = 0; i < CONTROL_ARGS_MAX; i++)
        buf_putz(&b, ",\"a\"");
    buf_putz(&b, "]}");
    CHECK(!control_request_get(buf_span(&b), &r, &e));
    control_request_free(&r);
    buf_free(&b);
}

/* --- the role --- */

struct rig {
    struct role_env env;
    void *role;
    char dir[64], path[96];
    struct channel *qmgr; /* our end: we are qmgr */
    uint64_t q;
    char verb[64], who[128], arg[64];
    int asks, mores, gones, stops;
    uint64_t asked_master;
    bool done;
};

static struct rig rig;

static void on_ask(struct rig *r, struct channel *ch, const struct msg_admin_ask *m)
{
    (void)ch;
    struct span arg = SPAN_NONE;
    struct wire w = wire_reader(m->args);
    list_next_text(&w, &arg);
    r->asks++;
    r->q = m->q;
    snprintf(r->verb, sizeof r->verb, "%.*s", SPAN_ARG(m->verb));
    snprintf(r->who, sizeof r->who, "%.*s", SPAN_ARG(m->who));
    snprintf(r->arg, sizeof r->arg, "%.*s", SPAN_ARG(arg));
}
static void on_more(struct rig *r, struct channel *ch, const struct msg_admin_more *m)
{
    (void)ch;
    (void)m;
    r->mores++;
}
static void on_gone(struct rig *r, struct channel *ch, const struct msg_admin_gone *m)
{
    (void)ch;
    (void)m;
    r->gones++;
}
PROTO_HANDLER(admin_ask, struct rig *, on_ask)
PROTO_HANDLER(admin_more, struct rig *, on_more)
PROTO_HANDLER(admin_gone, struct rig *, on_gone)
static void on_stop(struct rig *r, struct channel *ch, const struct msg_admin_stop *m)
{
    (void)ch;
    r->stops += m->q == r->q;
}
PROTO_HANDLER(admin_stop, struct rig *, on_stop)

static void on_closed(void *ctx, struct channel *ch, const char *why)
{
    struct rig *r = ctx;
    (void)ch;
    (void)why;
    channel_free(&r->qmgr);
}

static void on_done(struct role_env *env)
{
    (void)env;
    rig.done = true;
}

static void ask_master(struct role_env *env, bool stop, uint64_t q, struct span who)
{
    (void)env;
    (void)who;
    rig.asked_master = q;
    snprintf(rig.verb, sizeof rig.verb, "%s", stop ? "stop" : "reload");
}

static void join_qmgr(void)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_ask), PROTO_TYPE(admin_more),
                                                 PROTO_TYPE(admin_gone), PROTO_TYPE(admin_stop) };
    static const struct channel_ops ops = { types, 4, on_closed, NULL };
    int fds[2];
    MUST(loop_pair(rig.env.loop, fds) == 0);
    rig.qmgr = channel_new(rig.env.loop, fds[0], "control", &ops, &rig);
    control_role.peer(rig.role, ROLE_QMGR, 0, fds[1]);
}

static void rig_up(bool qmgr)
{
    struct err e = { "" };
    struct events_config ec = { .tag = "t", .role = "control", .hostname = "h", .line_fd = -1,
                                .event_fd = -1 };
    rig = (struct rig){ .env = { .done = on_done, .ask_master = ask_master } };
    rig.env.loop = loop_new();
    rig.env.events = events_new(rig.env.loop, &ec);
    snprintf(rig.dir, sizeof rig.dir, "/tmp/postern-control-XXXXXX");
    MUST(mkdtemp(rig.dir));
    snprintf(rig.path, sizeof rig.path, "%s/s", rig.dir);
    rig.role = control_role.make(&rig.env, config_defaults(), &e);
    int fd = loop_listen_unix(rig.env.loop, rig.path, 0666, &e);
    MUST(fd >= 0);
    control_role.file(rig.role, MASTER_FILE_CONTROL, 0, SPAN_NONE, fd);
    if (qmgr)
        join_qmgr();
    MUST(control_role.start(rig.role, &e));
}

static void rig_down(void)
{
    control_role.free(rig.role);
    channel_free(&rig.qmgr);
    events_free(&rig.env.events);
    loop_free(&rig.env.loop);
    unlink(rig.path);
    rmdir(rig.dir);
}

static void turns(int n)
{
    for (int i = 0; i < n; i++)
        loop_turn(rig.env.loop, 5);
}

static int dial(void)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", rig.path);
    MUST(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void put(int fd, const char *text)
{
    MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static char answer[1 << 20];

/* All that has come by now; "closed" is added when the other side has closed. */
static const char *take(int fd)
{
    size_t n = 0;
    turns(20);
    for (;;) {
        ssize_t got = read(fd, answer + n, sizeof answer - 16 - n);
        if (got > 0) {
            n += (size_t)got;
            turns(2);
            continue;
        }
        if (got == 0 || errno != EAGAIN)
            n += (size_t)snprintf(answer + n, 8, "closed");
        break;
    }
    answer[n] = '\0';
    return answer;
}

static void tell(uint8_t end, struct span text)
{
    struct msg_admin_said m = { .q = rig.q, .end = end, .text = text };
    send_admin_said(rig.qmgr, &m);
}

#define CHECK_TEXT(got, want) CHECK_SPAN(span_str(got), span_str(want))

static void forwards(void)
{
    rig_up(true);
    int fd = dial();
    put(fd, "{\"verb\":\"hold\",\"args\":[\"X1\"]}\n");
    turns(10);
    CHECK_INT(rig.asks, 1);
    CHECK_TEXT(rig.verb, "hold");
    CHECK_TEXT(rig.arg, "X1");
    CHECK(strstr(rig.who, "(pid "));
    tell(0, SPAN("{\"a\":1}"));
    tell(ADMIN_OK, SPAN_NONE);
    CHECK_TEXT(take(fd), "{\"a\":1}\n{\"end\":\"ok\"}\nclosed");
    CHECK_INT(rig.gones, 0);
    close(fd);
    rig_down();
}

/* What qmgr answers can be asked for. */
static void every_verb_of_qmgr(void)
{
#define NAME(name, ...) #name,
    static const char *const verbs[] = { "clock", ADMIN_QMGR_VERBS(NAME) };
#undef NAME
    rig_up(true);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        char line[100];
        int fd = dial();
        snprintf(line, sizeof line, "{\"verb\":\"%s\"}\n", verbs[i]);
        put(fd, line);
        turns(10);
        CHECK_INT(rig.asks, i + 1);
        CHECK_TEXT(rig.verb, verbs[i]);
        tell(ADMIN_OK, SPAN_NONE);
        CHECK_TEXT(take(fd), "{\"end\":\"ok\"}\nclosed");
        close(fd);
    }
    rig_down();
}

static void errors_have_words(void)
{
    rig_up(true);
    int fd = dial();
    put(fd, "{\"verb\":\"list\"}\n");
    turns(10);
    tell(66, SPAN("not \"there\""));
    CHECK_TEXT(take(fd),
               "{\"end\":\"error\",\"text\":\"not \\\"there\\\"\",\"exit\":66}\nclosed");
    close(fd);
    fd = dial();
    put(fd, "{\"verb\":\"dance\"}\n");
    CHECK(strstr(take(fd), "does not know this\",\"exit\":64}\nclosed"));
    close(fd);
    fd = dial();
    put(fd, "list\n");
    CHECK(strstr(take(fd), "not a line of JSON"));
    close(fd);
    CHECK_INT(rig.asks, 1);
    rig_down();
}

static void qmgr_away(void)
{
    rig_up(false);
    int fd = dial();
    put(fd, "{\"verb\":\"list\"}\n");
    CHECK(strstr(take(fd), "\"exit\":75}\nclosed"));
    close(fd);
    join_qmgr();
    fd = dial();
    put(fd, "{\"verb\":\"list\"}\n");
    turns(10);
    tell(0, SPAN("{}"));
    turns(5);
    channel_free(&rig.qmgr); /* dies in the middle */
    const char *said = take(fd);
    CHECK(strncmp(said, "{}\n{\"end\":\"error\"", 17) == 0);
    CHECK(strstr(said, "ended while it was asked"));
    CHECK(strstr(said, "\"exit\":75}\nclosed"));
    close(fd);
    rig_down();
}

/* The next slice is asked for when the last one has been read, not before. */
static void slices_are_credit(void)
{
    static char row[8192];
    memset(row, ' ', sizeof row);
    rig_up(true);
    int fd = dial(), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    put(fd, "{\"verb\":\"list\"}\n");
    turns(10);
    for (int i = 0; i < 100; i++)
        tell(0, span_of(row, sizeof row));
    tell(0, SPAN_NONE);
    turns(20);
    CHECK_INT(rig.mores, 0);
    take(fd);
    CHECK_INT(rig.mores, 1);
    tell(0, SPAN_NONE);
    turns(20);
    CHECK_INT(rig.mores, 2);
    tell(ADMIN_OK, SPAN_NONE);
    CHECK_TEXT(take(fd), "{\"end\":\"ok\"}\nclosed");
    close(fd);
    rig_down();
}

static void who_leaves_is_forgotten(void)
{
    rig_up(true);
    int fd = dial();
    put(fd, "{\"verb\":\"list\"}\n");
    turns(10);
    close(fd);
    tell(0, SPAN("{}"));
    turns(5);
    tell(0, SPAN("{}"));
    turns(10);
    CHECK_INT(rig.gones, 1);
    rig_down();
}

/* He still gets the answer: how far it came. */
static void who_ends_his_side_stops_it(void)
{
    rig_up(true);
    int fd = dial();
    put(fd, "{\"verb\":\"act\"}\n");
    turns(10);
    CHECK_INT(rig.asks, 1);
    put(fd, "what is behind the question is not looked at\n");
    turns(10);
    CHECK_INT(rig.stops, 0);
    MUST(shutdown(fd, SHUT_WR) == 0);
    turns(10);
    CHECK_INT(rig.stops, 1);
    CHECK_INT(rig.gones, 0);
    tell(0, SPAN("{\"stopped\":true}"));
    tell(ADMIN_OK, SPAN_NONE);
    CHECK_TEXT(take(fd), "{\"stopped\":true}\n{\"end\":\"ok\"}\nclosed");
    CHECK_INT(rig.stops, 1);
    close(fd);
    rig_down();
}

static void who_never_reads_is_bounded(void)
{
    static char row[CHANNEL_FRAME_MAX / 2];
    memset(row, ' ', sizeof row);
    rig_up(true);
    int fd = dial();
    put(fd, "{\"verb\":\"list\"}\n");
    turns(10);
    for (int i = 0; i < 40 && !rig.gones; i++) {
        tell(0, span_of(row, sizeof row));
        turns(4);
    }
    CHECK_INT(rig.gones, 1); /* dropped, long before all of it was held */
    close(fd);
    rig_down();
}

static void connections_are_bounded(void)
{
    enum { MANY = 40 };
    int fds[MANY];
    rig_up(true);
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        put(fds[i], "{\"verb\":\"list\"}\n");
    }
    turns(20);
    CHECK_INT(rig.asks, 32);
    for (uint64_t q = 1; q <= MANY; q++) { /* answered, they make room for those that wait */
        rig.q = q;
        tell(ADMIN_OK, SPAN_NONE);
        turns(3);
    }
    turns(20);
    for (uint64_t q = 33; q <= MANY; q++) {
        rig.q = q;
        tell(ADMIN_OK, SPAN_NONE);
    }
    for (int i = 0; i < MANY; i++) {
        CHECK_TEXT(take(fds[i]), "{\"end\":\"ok\"}\nclosed");
        close(fds[i]);
    }
    CHECK_INT(rig.asks, MANY);
    rig_down();
}

static void line_too_long(void)
{
    static char text[CONTROL_LINE_MAX + 2];
    memset(text, 'x', sizeof text - 1);
    rig_up(true);
    int fd = dial();
    put(fd, text);
    CHECK(strstr(take(fd), "longer than 64 KiB"));
    close(fd);
    rig_down();
}

static void reload_and_stop(void)
{
    rig_up(true);
    int fd = dial();
    put(fd, "{\"verb\":\"reload\"}\n");
    turns(10);
    CHECK_TEXT(rig.verb, "reload");
    control_role.master_said(rig.role, rig.asked_master, false, SPAN("f:1:1: bad\nf:2:1: bad\n"));
    CHECK_TEXT(take(fd), "{\"end\":\"error\",\"text\":\"f:1:1: bad\\u000af:2:1: bad\\u000a\","
                         "\"exit\":78}\nclosed");
    close(fd);
    fd = dial();
    put(fd, "{\"verb\":\"stop\"}\n");
    turns(10);
    CHECK_TEXT(rig.verb, "stop");
    control_role.master_said(rig.role, rig.asked_master, true, SPAN("stopping"));
    control_role.finish(rig.role, 1000);
    CHECK(!rig.done); /* its answer is not out yet */
    CHECK_TEXT(take(fd), "{\"text\":\"stopping\"}\n{\"end\":\"ok\"}\nclosed");
    CHECK(rig.done);
    close(fd);
    rig_down();
}

/* As root: a child that is somebody else is refused before it has asked. */
static void strangers_are_refused(void)
{
    if (geteuid() != 0)
        TEST_SKIP("only root can be somebody else");
    rig_up(true);
    MUST(chmod(rig.dir, 0755) == 0);
    MUST(seteuid(65534) == 0);
    int fd = dial();
    MUST(seteuid(0) == 0);
    put(fd, "{\"verb\":\"list\"}\n");
    CHECK(strstr(take(fd), "only root and the gateway's own user"));
    CHECK_INT(rig.asks, 0);
    close(fd);
    rig_down();
}

static const struct test tests[] = {
    TEST(line_ends),
    TEST(line_limit),
    TEST(good_requests),
    TEST(bad_requests),
    TEST(too_many_args),
    TEST(forwards),
    TEST(every_verb_of_qmgr),
    TEST(errors_have_words),
    TEST(qmgr_away),
    TEST(slices_are_credit),
    TEST(who_leaves_is_forgotten),
    TEST(who_ends_his_side_stops_it),
    TEST(who_never_reads_is_bounded),
    TEST(connections_are_bounded),
    TEST(line_too_long),
    TEST(reload_and_stop),
    TEST(strangers_are_refused),
};
TEST_MAIN(tests)
