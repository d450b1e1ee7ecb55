/* The log never stalls mail: files that take nothing, pipes that nobody reads, and what is said
 * about it once writing works again. */
#include "events/events.h"
#include "loop/sim.h"
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

static struct events *events_for(struct loop *l, int lines, int json)
{
    struct events_config c = { .tag = "postern", .role = "test", .hostname = "h.example",
                               .line_fd = lines, .event_fd = json };
    return events_new(l, &c);
}

static void say(struct events *e, size_t bytes)
{
    static char text[2000];
    memset(text, 'x', sizeof text);
    for (size_t said = 0; said < bytes; said += sizeof text) {
        event_begin(e, EVENT_gateway_stopping);
        event_str(e, FIELD_text, span_of(text, sizeof text));
        event_end(e);
        log_line(e, EVENT_INFO, "%.*s", (int)sizeof text, text);
    }
}

static void a_full_disk_ends_no_turn(void)
{
    struct loop *l = loop_new();
    alarm(100); /* a turn that does not end would hang here */
    struct events *e = events_for(l, open("/dev/full", O_WRONLY), open("/dev/full", O_WRONLY));
    for (int i = 0; i < 3; i++) {
        say(e, 1);
        loop_turn(l, 0);
    }
    events_free(&e);
    alarm(0);
    loop_free(&l);
}

static size_t read_all(int fd, char *to, size_t max)
{
    size_t n = 0;
    for (ssize_t got; n < max && (got = read(fd, to + n, max - n)) > 0;)
        n += (size_t)got;
    to[n] = '\0';
    return n;
}

static void a_pipe_that_nobody_reads_holds_nobody_up(void)
{
    static char text[1 << 20];
    struct loop *l = loop_new();
    int p[2];
    CHECK(pipe(p) == 0);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    alarm(100);
    struct events *e = events_for(l, -1, p[1]);
    say(e, 500000);
    loop_turn(l, 0);
    CHECK(read_all(p[0], text, sizeof text - 1) > 4096);
    say(e, 1);
    loop_turn(l, 0);
    loop_turn(l, 0);
    read_all(p[0], text, sizeof text - 1);
    CHECK(strstr(text, "log_lost"));
    events_free(&e);
    alarm(0);
    close(p[0]);
    loop_free(&l);
}

static void each_event_has_its_own_time(void)
{
    static const struct {
        int64_t wall_ms;
        const char *time;
    } rows[] = { { 1795162590007, "2026-11-20T08:16:30.007Z" },
                 { 1795162590040, "2026-11-20T08:16:30.040Z" },
                 { 1795162590999, "2026-11-20T08:16:30.999Z" },
                 { 1795162591000, "2026-11-20T08:16:31.000Z" },
                 { 1795162590500, "2026-11-20T08:16:30.500Z" }, /* set back */
                 { 253402300800000, "10000-01-01T00:00:00.000Z" },
                 { -5, "1970-01-01T00:00:00.000Z" } };
    struct loop *l = loop_sim_new(1, rows[0].wall_ms);
    int p[2];
    CHECK(pipe(p) == 0);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    struct events *e = events_for(l, -1, p[1]);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[4096];
        loop_sim_jump_wall(l, rows[i].wall_ms - loop_wall_ms(l));
        say(e, 1);
        loop_turn(l, 0);
        read_all(p[0], text, sizeof text - 1);
        CHECK(strstr(text, rows[i].time));
    }
    events_free(&e);
    close(p[0]);
    loop_free(&l);
}

/* U+009B is to a terminal what ESC [ is. */
static void text_of_strangers_is_made_harmless(void)
{
    struct buf b;
    buf_init(&b, 1000);
    log_text(&b, SPAN("a\x1b[2J\xff\\ \xc2\x9b" "2J \xc3\xa9\n"), 100);
    CHECK_SPAN(buf_span(&b), SPAN("a\\x1b[2J\\xff\\\\ \\xc2\\x9b2J \xc3\xa9\\x0a"));
    buf_free(&b);
}

static const struct test tests[] = { TEST(text_of_strangers_is_made_harmless),
                                     TEST(each_event_has_its_own_time),
                                     TEST(a_full_disk_ends_no_turn),
                                     TEST(a_pipe_that_nobody_reads_holds_nobody_up) };
TEST_MAIN(tests)
