/* Loop and channel against the kernel: timers in order, hooks once a turn, messages whole and
 * in order through any fragmentation, descriptors with their message, back-pressure. */
#include "base/must.h"
#include "ipc/channel.h"
#include "ipc/proto.h"
#include "test.h"

#include <sys/socket.h>
#include <unistd.h>

#define PING_FIELDS(F) F(U32, number) F(BYTES, body)
#define TEST_PAIR(M) M(0x7001, ping, PING_FIELDS)
PROTO_DECLARE(TEST_PAIR)

struct side {
    struct loop *loop;
    uint32_t next, bad, closed;
    int fd;
    bool drained;
};

static void on_ping(struct side *s, struct channel *ch, const struct msg_ping *m)
{
    (void)ch;
    if (m->number != s->next || m->body.n != m->number % 3000)
        s->bad++;
    s->next++;
}
PROTO_HANDLER(ping, struct side *, on_ping)

static bool handle_fd(void *ctx, struct channel *ch, struct span body, int fd)
{
    struct side *s = ctx;
    (void)ch;
    (void)body;
    s->fd = fd;
    return true;
}

static void on_closed(void *ctx, struct channel *ch, const char *why)
{
    (void)ch;
    (void)why;
    ((struct side *)ctx)->closed++;
}
static void on_drained(void *ctx, struct channel *ch)
{
    (void)ch;
    ((struct side *)ctx)->drained = true;
}

static const struct channel_type types[] = { PROTO_TYPE(ping), { 0x7002, "fd", handle_fd } };
static const struct channel_ops ops = { types, 2, on_closed, on_drained };

static int order[3], ordered;
static void first(void *ctx) { (void)ctx; order[ordered++] = 1; }
static void second(void *ctx) { (void)ctx; order[ordered++] = 2; }

static void timers_fire_in_order(void)
{
    struct loop *l = loop_new();
    struct loop_timer a, b;
    loop_timer_init(&a, second, NULL);
    loop_timer_init(&b, first, NULL);
    loop_timer_in(l, &a, 20);
    loop_timer_in(l, &b, 5);
    int64_t start = loop_mono_ms(l);
    while (ordered < 2)
        loop_turn(l, 100);
    CHECK(order[0] == 1 && order[1] == 2);
    CHECK(loop_mono_ms(l) - start >= 19);
    loop_free(&l);
}

static void channel_keeps_messages_whole(void)
{
    struct loop *l = loop_new();
    int fds[2];
    CHECK(loop_pair(l, fds) == 0);
    struct side a = { .loop = l }, b = { .loop = l };
    struct channel *ca = channel_new(l, fds[0], "b", &ops, &a);
    struct channel *cb = channel_new(l, fds[1], "a", &ops, &b);
    static char body[3000];
    uint32_t sent = 0;
    bool was_full = false;
    while (b.next < 5000) {
        while (sent < 5000 && !channel_full(ca)) {
            struct msg_ping m = { .number = sent, .body = span_of(body, sent % 3000) };
            send_ping(ca, &m);
            sent++;
        }
        was_full |= channel_full(ca);
        loop_turn(l, 1000);
    }
    CHECK_INT(b.bad, 0);
    CHECK(was_full && a.drained);
    int p[2];
    CHECK(pipe(p) == 0);
    channel_begin(ca, 0x7002);
    channel_end_fd(ca, p[0]);
    struct msg_ping after = { .number = 5000, .body = span_of(body, 5000 % 3000) };
    send_ping(ca, &after);
    while (b.next < 5001)
        loop_turn(l, 1000);
    CHECK(b.fd > 0 && write(p[1], "x", 1) == 1);
    char c;
    CHECK(read(b.fd, &c, 1) == 1 && c == 'x');
    CHECK_INT(b.bad, 0);
    close(b.fd);
    close(p[1]);
    wire_put_u8(channel_begin(ca, MSG_ping), 1); /* cut short: b closes */
    channel_end(ca);
    while (!b.closed || !a.closed)
        loop_turn(l, 1000);
    channel_free(&ca);
    channel_free(&cb);
    loop_free(&l);
}

/* A sender that stopped at channel_full is told to go on, also when a long tail wrote the queue
 * away before the turn's end did. */
static void drained_comes_after_a_tail_as_well(void)
{
    struct loop *l = loop_new();
    int fds[2], size = 8 << 20;
    CHECK(loop_pair(l, fds) == 0);
    if (setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
        TEST_SKIP("a socket that takes a megabyte at once needs root");
    struct side a = { .loop = l }, b = { .loop = l };
    struct channel *ca = channel_new(l, fds[0], "b", &ops, &a);
    struct channel *cb = channel_new(l, fds[1], "a", &ops, &b);
    static char body[100000];
    uint32_t sent = 0;
    while (!channel_full(ca)) {
        struct msg_ping m = { .number = sent, .body = span_of(body, sent % 3000) };
        send_ping(ca, &m);
        sent++;
    }
    wire_put_u32(channel_begin(ca, MSG_ping), sent);
    channel_end_tail(ca, span_of(body, sizeof body));
    CHECK(!channel_full(ca));
    while (b.next < sent + 1)
        loop_turn(l, 1000);
    CHECK(a.drained);
    channel_free(&ca);
    channel_free(&cb);
    loop_free(&l);
}

/* The owner is in the middle of something while it sends: its channel does not close there. */
static void a_send_never_closes(void)
{
    struct loop *l = loop_new();
    for (int how = 0; how < 2; how++) {
        int fds[2];
        CHECK(loop_pair(l, fds) == 0);
        struct side a = { .loop = l };
        struct channel *ca = channel_new(l, fds[0], "b", &ops, &a);
        static char body[100000];
        if (how == 0) /* the peer has gone */
            close(fds[1]);
        for (int i = 0; i < 1000; i++) { /* else it does not read, until the queue is full */
            wire_put_u32(channel_begin(ca, MSG_ping), 1);
            channel_end_tail(ca, span_of(body, sizeof body));
            channel_begin(ca, 0x7002);
            channel_end_fd(ca, dup(0));
            CHECK_INT(a.closed, 0);
        }
        while (!a.closed)
            loop_turn(l, 1000);
        CHECK_INT(a.closed, 1);
        channel_free(&ca);
        if (how == 1)
            close(fds[1]);
    }
    int next = dup(0);
    close(next);
    CHECK(next < 20); /* the descriptors that were to be passed are closed */
    loop_free(&l);
}

/* master hands a process as many descriptors in a turn as there are listeners and peers. */
static void many_descriptors_in_a_turn(void)
{
    struct loop *l = loop_new();
    int fds[2], got = 0;
    CHECK(loop_pair(l, fds) == 0);
    struct side a = { .loop = l }, b = { .loop = l };
    struct channel *ca = channel_new(l, fds[0], "b", &ops, &a);
    struct channel *cb = channel_new(l, fds[1], "a", &ops, &b);
    for (int i = 0; i < 300; i++) {
        channel_begin(ca, 0x7002);
        channel_end_fd(ca, dup(0));
    }
    for (; got < 300 && !b.closed; got += b.fd > 0) {
        b.fd = 0;
        loop_turn(l, 1000);
        if (b.fd > 0)
            close(b.fd);
    }
    CHECK_INT(got, 300);
    channel_free(&ca);
    channel_free(&cb);
    loop_free(&l);
}

static void own_addresses_are_known(void)
{
    struct loop *l = loop_new();
    struct netaddr a;
    CHECK(netaddr_parse(SPAN("127.0.0.7:25"), 0, &a, NULL) && loop_is_local(l, &a));
    CHECK(netaddr_parse(SPAN("[::1]:25"), 0, &a, NULL) && loop_is_local(l, &a));
    CHECK(netaddr_parse(SPAN("203.0.113.5:25"), 0, &a, NULL) && !loop_is_local(l, &a));
    loop_free(&l);
}

static const struct test tests[] = { TEST(own_addresses_are_known), TEST(timers_fire_in_order),
                                     TEST(channel_keeps_messages_whole),
                                     TEST(drained_comes_after_a_tail_as_well),
                                     TEST(a_send_never_closes),
                                     TEST(many_descriptors_in_a_turn) };
TEST_MAIN(tests)
