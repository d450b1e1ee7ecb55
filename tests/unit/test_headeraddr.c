/* The addresses of a header, found where they stand: each is replaced by its number in [], and all
 * else is to be as it was. */
#include "test.h"

#include "base/must.h"
#include "mail/headeraddr.h"

static struct buf out, said;

/* The header with "[1]", "[2]" ... where addresses were; the addresses, "1:S:a@x 2:R:b@y ". */
static void number(const char *header, bool rcpts)
{
    struct headeraddr w;
    struct span text = span_str(header);
    size_t done = 0;
    unsigned n = 0;
    buf_reset(&out);
    buf_reset(&said);
    headeraddr_init(&w, text, rcpts);
    while (headeraddr_next(&w)) {
        size_t at = (size_t)(w.at.p - text.p);
        MUST(at >= done && w.at.n && at + w.at.n <= text.n);
        buf_puts(&out, span_from(span_to(text, at), done));
        buf_printf(&out, "[%u]", ++n);
        buf_printf(&said, "%u:%c:%.*s ", n, w.rcpt ? 'R' : 'S', SPAN_ARG(w.addr));
        done = at + w.at.n;
    }
    headeraddr_free(&w);
    buf_puts(&out, span_from(text, done));
    MUST(!out.failed && !said.failed);
}

struct row {
    const char *in, *out, *said;
};

static void check(const struct row *rows, size_t n, bool rcpts)
{
    for (size_t i = 0; i < n; i++) {
        number(rows[i].in, rcpts);
        CHECK_SPAN(buf_span(&out), span_str(rows[i].out));
        CHECK_SPAN(buf_span(&said), span_str(rows[i].said));
    }
}
#define ROWS(list, rcpts) check(list, sizeof list / sizeof *(list), rcpts)

static void forms(void)
{
    static const struct row rows[] = {
        { "From: a@x\r\n", "From: [1]\r\n", "1:S:a@x " },
        { "from:a@x\r\n", "from:[1]\r\n", "1:S:a@x " },
        { "FROM \t: <a@x>\r\n", "FROM \t: <[1]>\r\n", "1:S:a@x " },
        { "From: \"B, <c@d>\" (e@f) <a@x> (g)\r\n", "From: \"B, <c@d>\" (e@f) <[1]> (g)\r\n",
          "1:S:a@x " },
        { "From: (c (d) \\) e@f)a@x(g)\r\n", "From: (c (d) \\) e@f)[1](g)\r\n", "1:S:a@x " },
        { "From: a@x,\r\n b@y ,,\r\n\tC <c@z>\r\n", "From: [1],\r\n [2] ,,\r\n\tC <[3]>\r\n",
          "1:S:a@x 2:S:b@y 3:S:c@z " },
        { "From: G: a@x, B <b@y>;, c@z\r\n", "From: G: [1], B <[2]>;, [3]\r\n",
          "1:S:a@x 2:S:b@y 3:S:c@z " },
        { "From: \"a b\"@x\r\n", "From: [1]\r\n", "1:S:\"a b\"@x " },
        { "From: a@[192.0.2.1]\r\n", "From: [1]\r\n", "1:S:a@[192.0.2.1] " },
        { "From: J. R. Doe <a@x>\r\n", "From: J. R. Doe <[1]>\r\n", "1:S:a@x " },
        { "From: =?utf-8?q?A=2C_B?= <a@x>\r\n", "From: =?utf-8?q?A=2C_B?= <[1]>\r\n", "1:S:a@x " },
        { "From: \xc3\xa4 <\xc3\xb6@\xc3\xbc.test>\r\n", "From: \xc3\xa4 <[1]>\r\n",
          "1:S:\xc3\xb6@\xc3\xbc.test " },
        { "From: < a@x >\r\n", "From: < [1] >\r\n", "1:S:a@x " },
        { "From: a (b) @ x (c)\r\n", "From: [1] (c)\r\n", "1:S:a@x " },
        { "From: <a@\r\n x>\r\n", "From: <[1]>\r\n", "1:S:a@x " },
        { "From: a@x", "From: [1]", "1:S:a@x " },
        { "From: a@x\r\n\r\nFrom: b@y\r\n", "From: [1]\r\n\r\nFrom: b@y\r\n", "1:S:a@x " },
    };
    ROWS(rows, false);
}

static void without_domain(void)
{
    static const struct row rows[] = {
        { "From: root\r\n", "From: [1]\r\n", "1:S:root " },
        { "From: root (Cron Daemon)\r\n", "From: [1] (Cron Daemon)\r\n", "1:S:root " },
        { "From: Root <root>, a@x\r\n", "From: Root <[1]>, [2]\r\n", "1:S:root 2:S:a@x " },
        { "From: Doe, John <j@x>\r\n", "From: Doe, John <[1]>\r\n", "1:S:j@x " },
        { "From: G: root;\r\n", "From: G: root;\r\n", "" },
        { "From: \"John Doe\"\r\n", "From: \"John Doe\"\r\n", "" },
        { "From: John Doe\r\n", "From: John Doe\r\n", "" },
    };
    ROWS(rows, false);
}

static void left_alone(void)
{
    static const char *const lines[] = {
        "From:", "From: ", "From: <>", "From: <a@x", "From: a@x>", "From: \"a <a@x>", "From: a@",
        "From: @x", "From: a@@x", "From: a b@x", "From: <@r:a@x>", "From: (a <a@x>", "From: a@x..y",
        "From: a@x\x01", "From: <a@x y>", "X-From: a@x", "Froma@x", "Fro m: a@x",
        "Subject: a@x", "Received: from x (a@x)", "Return-Path: <a@x>", " From: a@x", "",
        "Message-Id: <a@x>", "To: a@x", "Cc: a@x", "From: a%0d@\xff",
    };
    char header[64];
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        snprintf(header, sizeof header, "%s\r\n", lines[i]);
        number(header, false);
        CHECK_SPAN(buf_span(&said), SPAN(""));
        CHECK_SPAN(buf_span(&out), span_str(header));
    }
}

static void fields(void)
{
    static const struct row senders[] = {
        { "Sender: a@x\r\nTo: b@y\r\nReply-To: c@z\r\nResent-From: d@x\r\nResent-Sender: e@x\r\n"
          "Resent-Reply-To: f@x\r\nErrors-To: g@x\r\nDisposition-Notification-To: h@x\r\n",
          "Sender: [1]\r\nTo: b@y\r\nReply-To: [2]\r\nResent-From: [3]\r\nResent-Sender: [4]\r\n"
          "Resent-Reply-To: [5]\r\nErrors-To: [6]\r\nDisposition-Notification-To: [7]\r\n",
          "1:S:a@x 2:S:c@z 3:S:d@x 4:S:e@x 5:S:f@x 6:S:g@x 7:S:h@x " },
        { "From: a@x\r\nFrom: b@y\r\n", "From: [1]\r\nFrom: [2]\r\n", "1:S:a@x 2:S:b@y " },
        { "From: a@x\r\nno field\r\nFrom: b@y\r\n", "From: [1]\r\nno field\r\nFrom: b@y\r\n",
          "1:S:a@x " },
        { "From: \"open\r\nReply-To: b@y\r\n", "From: \"open\r\nReply-To: [1]\r\n", "1:S:b@y " },
    };
    static const struct row all[] = {
        { "To: a@x, b\r\nCc: <c>\r\nBcc: d@x\r\nResent-To: e@x\r\nResent-Cc: f@x\r\n"
          "Apparently-To: g@x\r\nX-To: h@x\r\nFrom: i@x\r\n",
          "To: [1], b\r\nCc: <[2]>\r\nBcc: [3]\r\nResent-To: [4]\r\nResent-Cc: [5]\r\n"
          "Apparently-To: [6]\r\nX-To: h@x\r\nFrom: [7]\r\n",
          "1:R:a@x 2:R:c 3:R:d@x 4:R:e@x 5:R:f@x 6:R:g@x 7:S:i@x " },
    };
    ROWS(senders, false);
    ROWS(all, true);
}

/* Openers without an end, commas, groups: the work grows as the header does. */
static void large(void)
{
    static const char *const units[] = { "(", "\"", "<", "[", ",", ":", "a@x,", "<a@x>", "(a)" };
    enum { UNITS = 40000 };
    struct buf b;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        buf_init(&b, 1 << 20);
        buf_putz(&b, "From: ");
        for (size_t n = 0; n < UNITS; n++)
            buf_putz(&b, units[i]);
        struct headeraddr w;
        size_t found = 0;
        headeraddr_init(&w, buf_span(&b), true);
        while (headeraddr_next(&w))
            found++;
        headeraddr_free(&w);
        CHECK_INT(found, strcmp(units[i], "a@x,") == 0 ? UNITS : 0);
        buf_free(&b);
    }
}

static void run(void (*fn)(void))
{
    buf_init(&out, 1 << 16);
    buf_init(&said, 1 << 16);
    fn();
    buf_free(&out);
    buf_free(&said);
}
#define RUN(fn) \
    static void fn##_test(void) { run(fn); }
RUN(forms)
RUN(without_domain)
RUN(left_alone)
RUN(fields)
RUN(large)

static const struct test tests[] = {
    { "forms", forms_test },   { "without_domain", without_domain_test },
    { "left_alone", left_alone_test }, { "fields", fields_test }, { "large", large_test },
};
TEST_MAIN(tests)
