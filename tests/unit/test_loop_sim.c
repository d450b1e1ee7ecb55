/* The simulated loop: what a seed gives twice, time that jumps, streams that keep their bytes
 * through any cutting, and each fault a connection can meet. */
#include "base/must.h"
#include "ipc/channel.h"
#include "ipc/proto.h"
#include "loop/sim.h"
#include "test.h"

#include <errno.h>

enum { WALL_MS = 1700000000, BYTES = 300000 };

static const struct loop_sim_link rough = { .part = 500, .latency_min_us = 10,
                                            .latency_max_us = 90000, .buffer_min = 1,
                                            .buffer_max = 5000 };

static struct netaddr addr(const char *text)
{
    struct netaddr a;
    MUST(netaddr_parse(span_str(text), 25, &a, NULL));
    return a;
}

/* One end that writes numbered bytes and checks those it reads. */
struct end {
    struct loop *l;
    struct loop_io io;
    int fd, error;
    size_t sent, got, want;
    bool bad, eof, close_when_sent;
};

static char byte_at(size_t i) { return (char)(i * 31 + (i >> 8)); }

static void end_shut(struct end *e)
{
    loop_io_del(e->l, &e->io);
    loop_close(e->l, e->fd);
    e->fd = -1;
}

static void end_write(struct end *e)
{
    char p[4000];
    size_t n = e->want - e->sent < sizeof p ? e->want - e->sent : sizeof p;
    for (size_t i = 0; i < n; i++)
        p[i] = byte_at(e->sent + i);
    ssize_t put = loop_write(e->l, e->fd, p, n);
    if (put < 0 && errno != EAGAIN)
        e->error = errno;
    e->sent += put > 0 ? (size_t)put : 0;
    if (e->sent == e->want || e->error)
        loop_io_want(e->l, &e->io, LOOP_READ);
    if (e->sent == e->want && e->close_when_sent)
        end_shut(e);
}

static void end_ready(void *ctx, int ready)
{
    struct end *e = ctx;
    char p[3000];
    ssize_t got;
    if (ready & LOOP_READ) {
        got = loop_read(e->l, e->fd, p, sizeof p);
        if (got < 0 && errno != EAGAIN)
            e->error = errno;
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            e->eof = got == 0;
            end_shut(e);
            return;
        }
        for (ssize_t i = 0; i < got; i++)
            e->bad |= p[i] != byte_at(e->got++);
    }
    if (ready & LOOP_WRITE)
        end_write(e);
}

static void end_begin(struct end *e, struct loop *l, int fd, size_t want)
{
    *e = (struct end){ .l = l, .fd = fd, .want = want };
    loop_io_add(l, &e->io, fd, LOOP_READ | LOOP_WRITE, end_ready, e);
}

/* A listener that makes an end of whoever comes. */
struct door {
    struct loop *l;
    struct loop_io io;
    int fd, count;
    struct end end;
};

static void door_ready(void *ctx, int ready)
{
    struct door *d = ctx;
    struct netaddr peer;
    (void)ready;
    int fd = loop_accept(d->l, d->fd, &peer);
    if (fd < 0)
        return;
    d->count++;
    end_begin(&d->end, d->l, fd, d->end.want);
}

static void door_open(struct door *d, struct loop *l, const char *at)
{
    struct netaddr a = addr(at);
    struct err e;
    *d = (struct door){ .l = l };
    d->fd = loop_listen(l, &a, 10, &e);
    loop_io_add(l, &d->io, d->fd, LOOP_READ, door_ready, d);
}

static void door_close(struct door *d)
{
    loop_io_del(d->l, &d->io);
    loop_close(d->l, d->fd);
}

static int dial(struct loop *l, const char *to)
{
    struct netaddr a = addr(to);
    return loop_connect(l, &a, NULL);
}

static void run_for(struct loop *l, int ms)
{
    int64_t until = loop_mono_ms(l) + ms;
    while (loop_mono_ms(l) < until)
        MUST(loop_turn(l, (int)(until - loop_mono_ms(l))));
}

/* --- tests --- */

static uint64_t run_pair(uint64_t seed, bool *good)
{
    struct loop *l = loop_sim_new(seed, WALL_MS);
    int fds[2];
    struct end a, b;
    loop_sim_link(l, &rough);
    *good = loop_pair(l, fds) == 0;
    end_begin(&a, l, fds[0], BYTES);
    end_begin(&b, l, fds[1], BYTES / 2);
    loop_run(l); /* ends: nothing can happen any more */
    *good = *good && !a.bad && !b.bad && a.got == BYTES / 2 && b.got == BYTES;
    end_shut(&a);
    end_shut(&b);
    *good = *good && loop_sim_open(l) == 0;
    uint64_t trace = loop_sim_trace(l);
    loop_free(&l);
    return trace;
}

static void a_seed_gives_a_run_twice(void)
{
    bool good;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t once = run_pair(seed, &good);
        CHECK(good);
        CHECK(once == run_pair(seed, &good));
        CHECK(once != run_pair(seed + 1000, &good));
    }
}

static int fired[3];
static int64_t fired_ms[3];
static struct loop *timed;

static void on_timer(void *ctx)
{
    int i = *(int *)ctx;
    fired[i]++;
    fired_ms[i] = loop_mono_ms(timed);
}

static void time_jumps_and_the_wall_is_set(void)
{
    static int number[] = { 0, 1, 2 };
    struct loop_timer t[3];
    struct loop *l = timed = loop_sim_new(7, WALL_MS);
    int64_t begun = loop_mono_ms(l), wait[] = { 3600 * 1000, 5, 5 };
    CHECK_INT(loop_wall_ms(l), WALL_MS);
    for (int i = 0; i < 3; i++) {
        loop_timer_init(&t[i], on_timer, &number[i]);
        loop_timer_in(l, &t[i], wait[i]);
    }
    CHECK(loop_turn(l, 2));
    CHECK_INT(loop_mono_ms(l), begun + 2);
    loop_run(l);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(fired[i], 1);
        CHECK_INT(fired_ms[i], begun + wait[i]);
    }
    CHECK_INT(loop_wall_ms(l), WALL_MS + 3600 * 1000);
    loop_sim_jump_wall(l, -5000);
    CHECK_INT(loop_wall_ms(l), WALL_MS + 3595 * 1000);
    CHECK_INT(loop_mono_ms(l), begun + 3600 * 1000);
    loop_free(&l);
}

static struct loop_timer restless_timer;
static void on_restless(void *ctx) { loop_timer_in(ctx, &restless_timer, 0); }

static void a_restless_timer_starves_nobody(void)
{
    struct loop *l = loop_sim_new(2, WALL_MS);
    int fds[2];
    struct end a, b;
    CHECK(loop_pair(l, fds) == 0);
    end_begin(&a, l, fds[0], 10);
    end_begin(&b, l, fds[1], 10);
    loop_timer_init(&restless_timer, on_restless, l);
    loop_timer_in(l, &restless_timer, 0);
    for (int i = 0; i < 200; i++)
        CHECK(loop_turn(l, 10));
    CHECK_INT(a.got, 10);
    CHECK_INT(b.got, 10);
    end_shut(&a);
    end_shut(&b);
    loop_free(&l);
}

static void a_connection_keeps_its_bytes(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct loop *l = loop_sim_new(seed, WALL_MS);
        struct door d;
        struct end c;
        loop_sim_link(l, &rough);
        door_open(&d, l, "10.0.0.1:25");
        d.end.want = 100;
        int fd = dial(l, "10.0.0.1:25");
        end_begin(&c, l, fd, BYTES);
        loop_run(l);
        CHECK_INT(d.count, 1);
        CHECK(!d.end.bad && !c.bad);
        CHECK_INT(d.end.got, BYTES);
        CHECK_INT(c.got, 100);
        CHECK(!loop_sim_struck(l, fd));
        end_shut(&c);
        end_shut(&d.end);
        door_close(&d);
        CHECK_INT(loop_sim_open(l), 0);
        loop_free(&l);
    }
}

static void the_end_comes_behind_the_bytes(void)
{
    struct loop *l = loop_sim_new(3, WALL_MS);
    struct door d;
    struct end c;
    loop_sim_link(l, &rough);
    door_open(&d, l, "10.0.0.1:25");
    end_begin(&c, l, dial(l, "10.0.0.1:25"), 20000);
    c.close_when_sent = true;
    loop_run(l);
    CHECK_INT(c.fd, -1);
    CHECK_INT(d.end.got, 20000);
    CHECK(d.end.eof && !d.end.error);
    door_close(&d);
    loop_free(&l);
}

static void unread_bytes_make_a_reset(void)
{
    struct loop *l = loop_sim_new(3, WALL_MS);
    int fds[2];
    char p[10];
    CHECK(loop_pair(l, fds) == 0);
    CHECK_INT(loop_write(l, fds[0], "hello", 5), 5);
    loop_close(l, fds[1]);
    loop_sim_advance(l, 1000000);
    CHECK_INT(loop_read(l, fds[0], p, sizeof p), -1);
    CHECK_INT(errno, ECONNRESET);
    CHECK_INT(loop_read(l, fds[0], p, sizeof p), 0);
    CHECK_INT(loop_write(l, fds[0], "x", 1), -1);
    CHECK_INT(errno, EPIPE);
    loop_close(l, fds[0]);
    loop_free(&l);
}

static void nobody_listens(void)
{
    struct loop *l = loop_sim_new(3, WALL_MS);
    struct loop_sim_link link = { .silent = 1000, .buffer_min = 1, .buffer_max = 1 };
    int fd = dial(l, "10.0.0.9:25");
    struct end c;
    loop_sim_advance(l, 1000000);
    CHECK_INT(loop_connect_result(l, fd), ECONNREFUSED);
    loop_close(l, fd);
    loop_sim_link(l, &link);
    fd = dial(l, "10.0.0.9:25");
    end_begin(&c, l, fd, 10);
    loop_run(l);
    CHECK(c.sent == 0 && !c.error && loop_sim_struck(l, fd));
    end_shut(&c);
    loop_free(&l);
}

static int strikes;
static void on_strike(void *ctx) { (void)ctx, strikes++; }

static void connections_are_reset_and_stall(void)
{
    struct loop_sim_link link = { .reset = 1000, .strike_max_bytes = 5000, .buffer_min = 1000,
                                  .buffer_max = 1000 };
    for (int stall = 0; stall < 2; stall++) {
        struct loop *l = loop_sim_new(3, WALL_MS);
        struct door d;
        struct end c;
        strikes = 0;
        loop_sim_on_strike(l, on_strike, NULL);
        link.reset = stall ? 0 : 1000;
        link.stall = stall ? 1000 : 0;
        loop_sim_link(l, &link);
        door_open(&d, l, "10.0.0.1:25");
        int fd = dial(l, "10.0.0.1:25");
        end_begin(&c, l, fd, BYTES);
        run_for(l, 60000);
        CHECK_INT(strikes, 1);
        CHECK(!d.end.bad && d.end.got < 5000);
        CHECK_INT(c.error, stall ? 0 : ECONNRESET);
        CHECK_INT(d.end.error, stall ? 0 : ECONNRESET);
        if (stall) {
            CHECK(!d.end.eof && c.sent < BYTES && loop_sim_struck(l, fd));
            end_shut(&c);
            run_for(l, 60000);
            CHECK(!d.end.eof); /* the end never arrives either */
            end_shut(&d.end);
        }
        door_close(&d);
        CHECK_INT(loop_sim_open(l), 0);
        loop_free(&l);
    }
}

static void a_cut_holds_everything_back(void)
{
    struct loop *l = loop_sim_new(3, WALL_MS);
    struct door d;
    struct end c;
    struct netaddr ip = addr("10.0.0.1:1");
    int64_t until = loop_mono_ms(l) + 60000;
    door_open(&d, l, "10.0.0.1:25");
    CHECK(loop_sim_cut(l, &ip, until));
    end_begin(&c, l, dial(l, "10.0.0.1:25"), 1000);
    while (loop_mono_ms(l) < until - 1000)
        loop_turn(l, 1000);
    CHECK_INT(d.count, 0);
    CHECK_INT(c.sent, 0);
    CHECK(loop_sim_struck(l, c.fd));
    loop_run(l);
    CHECK_INT(d.end.got, 1000);
    CHECK(loop_mono_ms(l) >= until);
    end_shut(&c);
    end_shut(&d.end);
    door_close(&d);
    loop_free(&l);
}

static void two_share_a_listener(void)
{
    struct loop *l = loop_sim_new(5, WALL_MS);
    struct door d, two;
    struct end c[20];
    door_open(&d, l, "10.0.0.1:25");
    two = (struct door){ .l = l, .fd = loop_sim_dup(l, d.fd) };
    loop_io_add(l, &two.io, two.fd, LOOP_READ, door_ready, &two);
    for (int i = 0; i < 20; i++) {
        end_begin(&c[i], l, dial(l, "10.0.0.1:25"), 10);
        while (d.count + two.count <= i)
            CHECK(loop_turn(l, 1000));
    }
    CHECK(d.count > 2 && two.count > 2);
    door_close(&d);
    end_begin(&c[0], l, dial(l, "10.0.0.1:25"), 10); /* the other still serves */
    while (d.count + two.count <= 20)
        CHECK(loop_turn(l, 1000));
    door_close(&two);
    int fd = dial(l, "10.0.0.1:25");
    loop_sim_advance(l, 1000000);
    CHECK_INT(loop_connect_result(l, fd), ECONNREFUSED);
    loop_free(&l); /* closes what is open */
}

/* --- channels, as roles use them --- */

#define PING_FIELDS(F) F(U32, number) F(BYTES, body)
#define TEST_PAIR(M) M(0x7001, ping, PING_FIELDS)
PROTO_DECLARE(TEST_PAIR)

struct side {
    uint32_t next, bad, closed;
    struct channel *ch;
};

static void on_ping(struct side *s, struct channel *ch, const struct msg_ping *m)
{
    (void)ch;
    s->bad += m->number != s->next++ || m->body.n != m->number % 3000;
}
PROTO_HANDLER(ping, struct side *, on_ping)

static void on_closed(void *ctx, struct channel *ch, const char *why)
{
    (void)ch;
    (void)why;
    struct side *s = ctx;
    s->closed++;
    channel_free(&s->ch);
}

static void channels_run_on_it(void)
{
    static const struct channel_type types[] = { PROTO_TYPE(ping) };
    static const struct channel_ops ops = { types, 1, on_closed, NULL };
    static char body[3000];
    enum { PINGS = 400 };
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct loop *l = loop_sim_new(seed, WALL_MS);
        struct side a = { 0 }, b = { 0 };
        int fds[2];
        loop_sim_link(l, &rough);
        CHECK(loop_pair(l, fds) == 0);
        a.ch = channel_new(l, fds[0], "b", &ops, &a);
        b.ch = channel_new(l, fds[1], "a", &ops, &b);
        for (uint32_t i = 0; i < PINGS; i++) {
            struct msg_ping m = { .number = i, .body = span_of(body, i % 3000) };
            send_ping(a.ch, &m);
            loop_turn(l, 0);
        }
        while (b.next < PINGS && loop_turn(l, 1000))
            ;
        CHECK_INT(b.next, PINGS);
        CHECK_INT(b.bad, 0);
        channel_free(&a.ch);
        loop_run(l);
        CHECK_INT(b.closed, 1);
        CHECK_INT(loop_sim_open(l), 0);
        loop_free(&l);
    }
}

/* A peer that says something and goes while we write to it: it is heard all the same, and its
 * end is told once, in whatever order the loop finds out. */
static void last_words_are_heard(void)
{
    static const struct channel_type types[] = { PROTO_TYPE(ping) };
    static const struct channel_ops ops = { types, 1, on_closed, NULL };
    static char body[200000];
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct loop *l = loop_sim_new(seed, WALL_MS);
        struct side a = { 0 }, b = { 0 };
        int fds[2];
        CHECK(loop_pair(l, fds) == 0);
        a.ch = channel_new(l, fds[0], "b", &ops, &a);
        b.ch = channel_new(l, fds[1], "a", &ops, &b);
        struct msg_ping m = { .number = 0 }, much = { .body = span_of(body, sizeof body) };
        send_ping(b.ch, &m);
        for (int i = 0; i < 4; i++)
            send_ping(a.ch, &much);
        channel_flush(a.ch);
        channel_flush(b.ch);
        channel_free(&b.ch);
        run_for(l, 1000);
        CHECK_INT(a.next, 1);
        CHECK_INT(a.closed, 1);
        CHECK_INT(loop_sim_open(l), 0);
        loop_free(&l);
    }
}

/* One end goes along another connection, under another number; or is lost with it. */
static void a_descriptor_is_passed(void)
{
    for (int taken = 0; taken < 2; taken++) {
        struct loop *l = loop_sim_new(11, WALL_MS);
        int way[2], pair[2], got = -1;
        size_t n = 0;
        char c;
        MUST(loop_pair(l, way) == 0 && loop_pair(l, pair) == 0);
        CHECK_INT(loop_write_fd(l, way[0], "x", 1, pair[1]), 1);
        loop_close(l, pair[1]);
        CHECK_INT(loop_write(l, pair[0], "y", 1), 1);
        loop_turn(l, 1000);
        CHECK_INT(loop_read_fds(l, way[1], &c, taken, &got, 1, &n), taken ? 1 : -1);
        CHECK_INT(n, taken);
        if (taken) {
            CHECK_INT(loop_read(l, got, &c, 1), 1);
            CHECK(c == 'y' && got != pair[1]);
            loop_close(l, got);
        }
        loop_close(l, way[1]);
        loop_turn(l, 1000);
        CHECK(loop_read(l, pair[0], &c, 1) == (taken ? 0 : -1)); /* unread bytes: a reset */
        loop_close(l, pair[0]);
        loop_close(l, way[0]);
        CHECK_INT(loop_sim_open(l), 0);
        loop_free(&l);
    }
}

static const struct test tests[] = {
    TEST(a_descriptor_is_passed),
    TEST(a_seed_gives_a_run_twice),    TEST(time_jumps_and_the_wall_is_set),
    TEST(a_connection_keeps_its_bytes), TEST(the_end_comes_behind_the_bytes),
    TEST(unread_bytes_make_a_reset),   TEST(nobody_listens),
    TEST(connections_are_reset_and_stall), TEST(a_cut_holds_everything_back),
    TEST(two_share_a_listener),        TEST(channels_run_on_it),
    TEST(last_words_are_heard),        TEST(a_restless_timer_starves_nobody),
};
TEST_MAIN(tests)
