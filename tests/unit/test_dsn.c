/* dsn: who is told what, and the reports, which Python's email package reads back
 * (tests/lib/dsn_check.py), so that not only we understand them. */
#include "test.h"

#include "dsn/dsn.h"

#include <sys/wait.h>
#include <unistd.h>

static const struct span postmaster = { "postmaster@mx1.example.net", 26 };
static const int64_t received_ms = 1790000000000, now_ms = 1790000000000 + 90061000;

static const char header[] = "Received: from a by b;\r\n\tFri, 20 Nov 2026 08:46:30 +0000\r\n"
                             "From: A Sender <a@sender.example>\r\nTo: u@example.com\r\n"
                             "Message-ID: <original@sender.example>\r\nSubject: the plan\r\n\r\n";

struct set {
    struct envelope env;
    struct envelope_rcpt rcpts[3];
    struct dsn_rcpt told[3];
    struct dsn_report report;
};

static void set_up(struct set *s, enum dsn_kind kind, size_t n)
{
    static const char *const addrs[] = { "u@example.com", "v@example.com", "w@elsewhere.example" };
    *s = (struct set){ .env = { .seq = 77, .received_ms = received_ms, .helo = SPAN("client"),
                                .client_name = SPAN("client.sender.example"),
                                .client_ip = SPAN("192.0.2.9"),
                                .sender = SPAN("a@sender.example") } };
    for (size_t i = 0; i < n; i++) {
        s->rcpts[i].addr = span_str(addrs[i]);
        s->told[i] = (struct dsn_rcpt){ .rcpt = &s->rcpts[i], .status = SPAN("5.1.1"),
                                        .reply = SPAN("550 5.1.1 no such user here"),
                                        .host = SPAN("mx.example.com"), .ip = SPAN("192.0.2.1"),
                                        .stage = SPAN("RCPT"), .attempts = 3,
                                        .last_attempt_ms = now_ms - 1000 };
    }
    s->env.rcpts = s->rcpts;
    s->env.rcpt_count = n;
    s->report = (struct dsn_report){ .kind = kind, .env = &s->env, .to = s->env.sender,
                                     .id = queueid_make(78, now_ms),
                                     .hostname = SPAN("mx1.example.net"),
                                     .postmaster = postmaster, .rcpts = s->told,
                                     .rcpt_count = n, .header = span_str(header),
                                     .now_ms = now_ms, .zone_min = 120, .random = 0x1234 };
}

static bool holds(struct span s, const char *what)
{
    return memmem(s.p, s.n, what, strlen(what)) != NULL;
}

static size_t find(struct span s, const char *what)
{
    const char *at = memmem(s.p, s.n, what, strlen(what));
    return at ? (size_t)(at - s.p) : SIZE_MAX;
}

/* --- what is due --- */

struct due_case {
    const char *sender;
    uint32_t flags;
    uint8_t notify;
    const char *rcpt;
    enum dsn_outcome outcome;
    enum dsn_due want;
};

static void what_is_due(void)
{
    static const char us[] = "postmaster@mx1.example.net";
    static const struct due_case cases[] = {
        { "a@x", 0, 0, "u@y", DSN_OUT_FAILED, DSN_TO_SENDER },
        { "a@x", 0, NOTIFY_FAILURE, "u@y", DSN_OUT_FAILED, DSN_TO_SENDER },
        { "a@x", 0, NOTIFY_DELAY, "u@y", DSN_OUT_FAILED, DSN_NONE },
        { "a@x", 0, NOTIFY_SUCCESS, "u@y", DSN_OUT_FAILED, DSN_NONE },
        { "a@x", 0, NOTIFY_NEVER, "u@y", DSN_OUT_FAILED, DSN_NONE },
        { "a@x", 0, 0, us, DSN_OUT_FAILED, DSN_TO_SENDER },
        { "", 0, 0, "u@y", DSN_OUT_FAILED, DSN_TO_POSTMASTER },
        { "", 0, NOTIFY_NEVER, "u@y", DSN_OUT_FAILED, DSN_NONE },
        { "", ENVELOPE_DSN, 0, "u@y", DSN_OUT_FAILED, DSN_TO_POSTMASTER },
        { "", ENVELOPE_DSN, NOTIFY_NEVER, "u@y", DSN_OUT_FAILED, DSN_TO_POSTMASTER },
        { "", ENVELOPE_DSN, 0, us, DSN_OUT_FAILED, DSN_ALARM },
        { "", ENVELOPE_DSN, 0, "PostMaster@MX1.example.net", DSN_OUT_FAILED, DSN_ALARM },
        { "", 0, 0, us, DSN_OUT_FAILED, DSN_ALARM },
        { "a@x", 0, 0, "u@y", DSN_OUT_DELAYED, DSN_TO_SENDER },
        { "a@x", 0, NOTIFY_DELAY | NOTIFY_FAILURE, "u@y", DSN_OUT_DELAYED, DSN_TO_SENDER },
        { "a@x", 0, NOTIFY_FAILURE, "u@y", DSN_OUT_DELAYED, DSN_NONE },
        { "a@x", 0, NOTIFY_NEVER, "u@y", DSN_OUT_DELAYED, DSN_NONE },
        { "", 0, 0, "u@y", DSN_OUT_DELAYED, DSN_NONE },
        { "", ENVELOPE_DSN, 0, "u@y", DSN_OUT_DELAYED, DSN_NONE },
        { "a@x", 0, 0, "u@y", DSN_OUT_DELIVERED, DSN_NONE },
        { "a@x", 0, NOTIFY_SUCCESS, "u@y", DSN_OUT_DELIVERED, DSN_TO_SENDER },
        { "a@x", 0, NOTIFY_SUCCESS, "u@y", DSN_OUT_RELAYED, DSN_TO_SENDER },
        { "a@x", 0, NOTIFY_SUCCESS, "u@y", DSN_OUT_PASSED_ON, DSN_NONE },
        { "a@x", 0, NOTIFY_FAILURE, "u@y", DSN_OUT_RELAYED, DSN_NONE },
        { "", 0, NOTIFY_SUCCESS, "u@y", DSN_OUT_RELAYED, DSN_NONE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct due_case *c = &cases[i];
        struct envelope e = { .sender = span_str(c->sender), .flags = c->flags };
        struct envelope_rcpt r = { .addr = span_str(c->rcpt), .notify = c->notify };
        enum dsn_due got = dsn_due(&e, &r, c->outcome, postmaster);
        if (got != c->want)
            TEST_FAIL("case %zu: %d, want %d", i, got, c->want);
    }
}

static void full_only_of_failures(void)
{
    struct envelope e = { .flags = ENVELOPE_RET_FULL };
    CHECK(dsn_wants_full(&e, DSN_FAILURE, false));
    CHECK(!dsn_wants_full(&e, DSN_SUCCESS, true));
    CHECK(!dsn_wants_full(&e, DSN_DELAY, true));
    e.flags = ENVELOPE_RET_HDRS;
    CHECK(!dsn_wants_full(&e, DSN_FAILURE, true));
    e.flags = 0;
    CHECK(!dsn_wants_full(&e, DSN_FAILURE, false));
    CHECK(dsn_wants_full(&e, DSN_FAILURE, true));
}

static void xtext(void)
{
    static const char *const cases[][2] = {
        { "plain", "plain" }, { "a+2Bb", "a+b" },   { "a+3Db", "a=b" }, { "a+3db", "a=b" },
        { "+", "+" },         { "a+2", "a+2" },     { "a+ZZb", "a+ZZb" }, { "++41", "+A" },
        { "", "" },           { "+41+42", "AB" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 100);
        CHECK(dsn_xtext_decode(&b, span_str(cases[i][0]), 100));
        CHECK_SPAN(buf_span(&b), span_str(cases[i][1]));
        buf_free(&b);
    }
    struct buf b;
    buf_init(&b, 100);
    CHECK(dsn_xtext_decode(&b, SPAN("abcdef"), 3));
    CHECK_SPAN(buf_span(&b), SPAN("abc"));
    buf_free(&b);
}

static void words_for_every_status(void)
{
    CHECK(strstr(dsn_explain(SPAN("5.1.1"), false).what, "no such address"));
    CHECK(strstr(dsn_explain(SPAN("4.1.1"), false).what, "now"));
    CHECK(strstr(dsn_explain(SPAN("5.1.10"), false).what, "takes no mail"));
    CHECK(strstr(dsn_explain(SPAN("4.4.1"), false).what, "answers"));
    CHECK(strstr(dsn_explain(SPAN("4.4.9"), false).what, "reached"));
    CHECK(strstr(dsn_explain(SPAN("4.4.1"), true).advice, "go on trying"));
    CHECK(strstr(dsn_explain(SPAN("5.7.26"), false).what, "policy"));
    CHECK(dsn_explain(SPAN(""), false).what != NULL);
    CHECK(dsn_explain(SPAN("..."), false).what != NULL);
    CHECK(dsn_explain(SPAN("9"), false).advice != NULL);
}

/* --- the report --- */

static void the_diagnosis_comes_first(void)
{
    struct set s;
    struct buf b;
    uint32_t flags;
    buf_init(&b, DSN_OUT_MAX);
    set_up(&s, DSN_FAILURE, 1);
    CHECK(dsn_compose(&s.report, &b, &flags));
    CHECK_INT(flags, ENVELOPE_DSN);
    struct span out = buf_span(&b);
    size_t what = find(out, "Your mail was not delivered, and we have stopped trying:\r\n");
    size_t whom = find(out, "<u@example.com>\r\n");
    size_t why = find(out, "no such address");
    size_t advice = find(out, "typing errors");
    size_t facts = find(out, "550 5.1.1 no such user here");
    size_t fields = find(out, "Reporting-MTA: dns; mx1.example.net\r\n");
    size_t head = find(out, "Subject: the plan\r\n");
    CHECK(what < whom && whom < why && why < advice && advice < facts && facts < fields);
    CHECK(fields < head && head != SIZE_MAX);
    CHECK(holds(out, "Auto-Submitted: auto-replied\r\n"));
    CHECK(holds(out, "In-Reply-To: <original@sender.example>\r\n"));
    CHECK(holds(out, "Diagnostic-Code: smtp; 550 5.1.1 no such user here\r\n"));
    CHECK(holds(out, "mx.example.com [192.0.2.1], at RCPT, "));
    buf_free(&b);
}

/* For people: names of stages only where they are the words of the dialogue. */
static void the_stage_in_words(void)
{
    static const struct {
        const char *stage, *words;
        bool nobody;
    } rows[] = {
        { "connect", "mx.example.com [192.0.2.1], on connecting, ", false },
        { "greeting", "mx.example.com [192.0.2.1], at its greeting, ", false },
        { "EHLO", "mx.example.com [192.0.2.1], at EHLO, ", false },
        { "STARTTLS", "mx.example.com [192.0.2.1], on beginning TLS, ", false },
        { "MAIL", "mx.example.com [192.0.2.1], at MAIL, ", false },
        { "DATA 354", "mx.example.com [192.0.2.1], at DATA, ", false },
        { "message", "mx.example.com [192.0.2.1], while the mail was being sent, ", false },
        { "DATA status", "mx.example.com [192.0.2.1], at the end of the data, ", false },
        { "", "mx.example.com [192.0.2.1], Tue, ", false },
        { "connect", "    mx1.example.net, Tue, ", true },
        { "DNS", "    mx1.example.net, on looking it up in the DNS, ", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct set s;
        struct buf b;
        uint32_t flags;
        buf_init(&b, DSN_OUT_MAX);
        set_up(&s, i % 2 ? DSN_DELAY : DSN_FAILURE, 1);
        s.told[0].stage = span_str(rows[i].stage);
        if (rows[i].nobody)
            s.told[0].host = s.told[0].ip = SPAN_NONE;
        CHECK(dsn_compose(&s.report, &b, &flags));
        if (!holds(buf_span(&b), rows[i].words))
            TEST_FAIL("no \"%s\" in\n%.*s", rows[i].words, SPAN_ARG(buf_span(&b)));
        buf_reset(&b);
        s.told[0].stage = SPAN("DATA status");
        s.told[0].tls = SPAN("TLSv1.3 TLS_AES_256_GCM_SHA384");
        CHECK(dsn_compose(&s.report, &b, &flags));
        CHECK(holds(buf_span(&b), ", over TLSv1.3 TLS_AES_256_GCM_SHA384, "));
        buf_free(&b);
    }
}

static void nothing_when_it_does_not_fit(void)
{
    struct set s;
    struct buf b;
    uint32_t flags;
    set_up(&s, DSN_FAILURE, 1);
    buf_init(&b, 600);
    buf_putz(&b, "before");
    CHECK(!dsn_compose(&s.report, &b, &flags));
    CHECK_SPAN(buf_span(&b), SPAN("before"));
    CHECK(!b.failed);
    s.report.rcpt_count = DSN_RCPTS_MAX + 1;
    CHECK(!dsn_compose(&s.report, &b, &flags));
    s.report.rcpt_count = 0;
    CHECK(!dsn_compose(&s.report, &b, &flags));
    buf_free(&b);
}

/* As many as may be, each as long as may be: it still fits. */
static void the_worst_report_fits(void)
{
    static char reply[8000], addr[ENVELOPE_ADDR_MAX], head[200000];
    static struct dsn_rcpt told[DSN_RCPTS_MAX];
    memset(reply, 'r', sizeof reply);
    for (size_t i = 200; i < sizeof reply; i += 200)
        reply[i] = '\n';
    memset(addr, 'a', sizeof addr);
    memset(head, 'h', sizeof head);
    struct set s;
    set_up(&s, DSN_DELAY, 1);
    s.rcpts[0].addr = span_of(addr, sizeof addr);
    s.rcpts[0].orcpt = SPAN("rfc822;x");
    s.told[0].reply = span_of(reply, sizeof reply);
    for (size_t i = 0; i < DSN_RCPTS_MAX; i++)
        told[i] = s.told[0];
    for (size_t i = 0; i + 1 < sizeof reply; i += 2) /* three bytes each when encoded */
        memcpy(reply + i, "\xc3\xbc", 2);
    for (size_t i = 200; i < sizeof reply; i += 200)
        reply[i] = '\n';
    s.env.flags = ENVELOPE_SMTPUTF8;
    s.report.rcpts = told;
    s.report.rcpt_count = DSN_RCPTS_MAX;
    s.report.header = span_of(head, sizeof head);
    struct buf b;
    uint32_t flags;
    buf_init(&b, DSN_OUT_MAX);
    CHECK(dsn_compose(&s.report, &b, &flags));
    buf_free(&b);
}

static void hostile_bytes_stay_inside(void)
{
    struct set s;
    struct buf b;
    uint32_t flags;
    buf_init(&b, DSN_OUT_MAX);
    set_up(&s, DSN_FAILURE, 1);
    s.rcpts[0].addr = SPAN("u\r\nBcc: victim@example.com");
    s.rcpts[0].orcpt = SPAN("rfc822;a+0D+0AX-Evil: 1");
    s.env.envid = SPAN("e+0D+0AX-Evil: 2");
    s.told[0].reply = SPAN("550 no\r\nX-Evil: 3\r\n\r\nX-Evil: 4");
    s.told[0].status = SPAN("5.1.1\r\nX-Evil: 5");
    s.told[0].host = SPAN("h\r\nX-Evil: 6");
    s.report.header = SPAN("Subject: x\rX-Evil: 7\r\nMessage-ID: <a\rb>\r\n\r\nX-Evil: 8\r\n");
    CHECK(dsn_compose(&s.report, &b, &flags));
    CHECK(!holds(buf_span(&b), "\nX-Evil"));
    CHECK(!holds(buf_span(&b), "\rX-Evil"));
    CHECK(!holds(buf_span(&b), "\nBcc"));
    CHECK(!holds(buf_span(&b), "In-Reply-To"));
    CHECK(holds(buf_span(&b), "Status: 5.0.0\r\n"));
    buf_free(&b);
}

/* RFC 6533 3: encoded in a report that is ASCII, as it is in a global one; what stands for no
 * character that may be shown stays as it came. */
static void utf8_addresses(void)
{
    static const struct {
        const char *orcpt, *ascii, *global;
    } cases[] = {
        { "utf-8;j\\x{F6}rg@x.example", "utf-8;j\\x{F6}rg@x.example",
          "utf-8;j\xc3\xb6rg@x.example" },
        { "utf-8;j\xc3\xb6rg@x.example", "utf-8;j\\x{F6}rg@x.example",
          "utf-8;j\xc3\xb6rg@x.example" },
        { "UTF-8;a\\x{2B}b\\x{1F600}@x", "UTF-8;a\\x{2B}b\\x{1F600}@x",
          "UTF-8;a+b\xf0\x9f\x98\x80@x" },
        { "utf-8;\\x{A}\\x{D800}\\x{110000}\\x{}\\x{7", "utf-8;\\x{5C}x{A}\\x{5C}x{D800}",
          "utf-8;\\x{A}\\x{D800}\\x{110000}\\x{}\\x{7" },
        { "rfc822;a+2Bb@x", "rfc822;a+b@x", "rfc822;a+b@x" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int global = 0; global < 2; global++) {
            struct set s;
            struct buf b, want;
            uint32_t flags;
            buf_init(&b, DSN_OUT_MAX);
            buf_init(&want, 1000);
            set_up(&s, DSN_FAILURE, 1);
            s.env.flags = global ? ENVELOPE_SMTPUTF8 : 0;
            s.rcpts[0].orcpt = span_str(cases[i].orcpt);
            buf_printf(&want, "Original-Recipient: %s",
                       global ? cases[i].global : cases[i].ascii);
            s.report.to = SPAN("\xc3\xbc@x.example"); /* as it is, not encoded */
            CHECK(dsn_compose(&s.report, &b, &flags));
            if (!holds(buf_span(&b), buf_cstr(&want)))
                TEST_FAIL("%s: not %s", cases[i].orcpt, buf_cstr(&want));
            buf_free(&b);
            buf_free(&want);
        }
}

/* --- read by somebody else --- */

static char samples[] = "/tmp/postern-dsn-XXXXXX";

static bool write_sample(const char *name, const struct dsn_report *r, uint32_t want_flags)
{
    struct buf b, path;
    uint32_t flags;
    buf_init(&b, DSN_OUT_MAX);
    buf_init(&path, 200);
    buf_printf(&path, "%s/%s.eml", samples, name);
    bool ok = dsn_compose(r, &b, &flags) && flags == (want_flags | ENVELOPE_DSN);
    FILE *f = fopen(buf_cstr(&path), "wb");
    ok = ok && f && fwrite(buf_span(&b).p, 1, b.len, f) == b.len;
    if (f)
        ok = fclose(f) == 0 && ok;
    buf_free(&b);
    buf_free(&path);
    return ok;
}

static bool write_failures(void)
{
    struct set s;
    set_up(&s, DSN_FAILURE, 3);
    s.env.envid = SPAN("QQ+2B314");
    s.rcpts[0].orcpt = SPAN("rfc822;first+2Blist@example.com");
    s.told[1].reply = SPAN("552-5.2.2 the mailbox\r\n552 5.2.2 is full");
    s.told[1].status = SPAN("5.2.2");
    s.told[2] = (struct dsn_rcpt){ .rcpt = &s.rcpts[2], .status = SPAN("4.4.1"), .expired = true,
                                   .local = true, .attempts = 40, .duplicate = true,
                                   .reply = SPAN("Connection timed out with mx.elsewhere.example."),
                                   .last_attempt_ms = now_ms };
    return write_sample("failure", &s.report, 0);
}

/* What a person ended, what waited too long, and what was never tried. */
static bool write_ends(void)
{
    struct set s;
    set_up(&s, DSN_FAILURE, 3);
    s.told[0].status = SPAN("4.4.7");
    s.told[0].last_status = SPAN("4.2.2");
    s.told[0].reply = SPAN("452 4.2.2 full");
    s.told[0].expired = true;
    s.told[1] = (struct dsn_rcpt){ .rcpt = &s.rcpts[1], .status = SPAN("5.7.1"), .local = true,
                                   .reply = SPAN("returned by an administrator of this host"),
                                   .returned = true };
    s.told[2] = (struct dsn_rcpt){ .rcpt = &s.rcpts[2], .status = SPAN("4.4.7"), .local = true,
                                   .reply = SPAN("frozen by an administrator"), .expired = true,
                                   .untried = true };
    return write_sample("ends", &s.report, 0);
}

static bool write_others(void)
{
    struct set s;
    set_up(&s, DSN_DELAY, 1);
    s.told[0].status = SPAN("4.2.1");
    s.told[0].reply = SPAN("450 4.2.1 busy");
    s.told[0].last_attempt_ms = now_ms - 61000;
    s.told[0].will_retry_until_ms = received_ms + 432000000;
    bool ok = write_sample("delay", &s.report, 0);
    set_up(&s, DSN_SUCCESS, 2);
    s.told[0].status = s.told[1].status = SPAN("2.1.5");
    s.told[0].reply = s.told[1].reply = SPAN("250 2.1.5 ok");
    s.told[1].mailbox = true;
    ok = write_sample("success", &s.report, 0) && ok;
    set_up(&s, DSN_SUCCESS, 2);
    for (size_t i = 0; i < 2; i++)
        s.told[i] = (struct dsn_rcpt){ .rcpt = &s.rcpts[i], .status = SPAN("2.0.0"),
                                       .reply = SPAN("to those it stands for"), .local = true,
                                       .expanded = true, .mailbox = i == 1 };
    ok = write_sample("expanded", &s.report, 0) && ok;
    set_up(&s, DSN_FAILURE, 1);
    s.env.sender = SPAN("");
    s.report.to = postmaster;
    s.report.double_bounce = true;
    return write_sample("double", &s.report, 0) && ok;
}

static bool write_full(void)
{
    struct set s;
    set_up(&s, DSN_FAILURE, 1);
    s.report.content = SPAN("Subject: the plan\r\nFrom: a@b\r\n\r\nbody \xc3\xa4\r\n"
                            "--=_6-K1m0000000000.0\r\nlast line");
    bool ok = write_sample("full", &s.report, ENVELOPE_8BITMIME);
    set_up(&s, DSN_FAILURE, 1);
    s.report.content = SPAN("Subject: the plan\r\n\r\nbare\nfeed\r\n");
    ok = write_sample("notfull", &s.report, 0) && ok;
    set_up(&s, DSN_FAILURE, 1);
    s.report.too_long_bytes = 102400;
    return write_sample("toolong", &s.report, 0) && ok;
}

static bool write_international(void)
{
    struct set s;
    set_up(&s, DSN_FAILURE, 1);
    s.report.header = SPAN("Subject: gr\xfc\xdf Gott\r\nFrom: a@b\r\n\r\n");
    s.told[0].reply = SPAN("550 gr\xfc\xdf Gott");
    bool ok = write_sample("latin1", &s.report, 0);
    set_up(&s, DSN_FAILURE, 1);
    s.env.flags = ENVELOPE_SMTPUTF8;
    s.env.sender = s.report.to = SPAN("gr\xc3\xbc\xc3\x9f@sender.example");
    s.rcpts[0].addr = SPAN("j\xc3\xbcrgen@example.com");
    s.told[0].reply = SPAN("550 5.1.1 j\xc3\xbcrgen is not here");
    s.report.header = SPAN("Subject: gr\xc3\xbc\xc3\x9f Gott\r\nFrom: a@b\r\n\r\n");
    ok = write_sample("utf8", &s.report, ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8) && ok;
    s.env.sender = s.report.to = SPAN("a@sender.example");
    ok = write_sample("utf8seven", &s.report, 0) && ok;
    s.report.content = SPAN("Subject: gr\xc3\xbc\xc3\x9f Gott\r\n\r\nJ\xc3\xbcrgen, = \r\n.\r\n");
    ok = write_sample("utf8full", &s.report, 0) && ok;
    set_up(&s, DSN_FAILURE, 1);
    s.rcpts[0].addr = SPAN("j\xc3\xbcrgen@example.com");
    return write_sample("utf8ascii", &s.report, 0) && ok;
}

static bool says(const struct set *s, const char *what)
{
    struct buf b;
    uint32_t flags;
    buf_init(&b, DSN_OUT_MAX);
    bool yes = dsn_compose(&s->report, &b, &flags) && holds(buf_span(&b), what);
    buf_free(&b);
    return yes;
}

/* A code that our client gives to a bare "550" is no reason to put words into the peer's mouth. */
static void only_what_the_peer_said(void)
{
    static const char no_such[] = "that it has no such address", other[] = "does not take it.";
    struct set s;
    set_up(&s, DSN_FAILURE, 1);
    CHECK(says(&s, no_such) && !says(&s, other));
    s.told[0].reply = SPAN("550 Access denied, 192.0.2.9 is listed");
    CHECK(!says(&s, no_such) && says(&s, other) && says(&s, "Status: 5.1.1\r\n"));
    s.told[0].reply = SPAN("550");
    CHECK(!says(&s, no_such) && says(&s, other));
    s.told[0].reply = SPAN("550-5.1.1 nobody\r\n550 5.1.1 here");
    CHECK(says(&s, no_such));
    s.told[0].reply = SPAN("user unknown");
    s.told[0].local = true;
    CHECK(says(&s, no_such));
    s.told[0].status = SPAN("5.4.4");
    CHECK(says(&s, "No mail server of that domain can be found"));
}

/* Of an alias its sender knows only the alias. */
static void the_address_that_was_written(void)
{
    struct set s;
    set_up(&s, DSN_FAILURE, 1);
    s.rcpts[0].orcpt = SPAN("rfc822;U@Example.com");
    CHECK(!says(&s, "for which"));
    s.rcpts[0].orcpt = SPAN("rfc822;sales+2Bx@from.example");
    CHECK(says(&s, "<u@example.com>,\r\n    for which <sales+x@from.example> stands\r\n"));
    s.rcpts[0].orcpt = SPAN("nonsense");
    CHECK(!says(&s, "for which"));
}

static void what_has_arrived(void)
{
    struct set s;
    set_up(&s, DSN_SUCCESS, 2);
    s.told[0].mailbox = true;
    CHECK(says(&s, "Subject: Your mail was passed on\r\n"));
    s.told[1].mailbox = true;
    CHECK(says(&s, "Subject: Your mail has arrived\r\n"));
}

/* Nobody there said anything yet: what holds it here is the reason. */
static void what_was_never_tried(void)
{
    struct set s;
    set_up(&s, DSN_DELAY, 1);
    s.told[0] = (struct dsn_rcpt){ .rcpt = &s.rcpts[0], .status = SPAN("4.0.0"), .local = true,
                                   .reply = SPAN("only one message in 1h may be sent there"),
                                   .untried = true };
    CHECK(says(&s, "It has not been sent so far. The reason:\r\n    only one message in 1h may"));
    s.report.kind = DSN_FAILURE;
    s.told[0].expired = true;
    s.told[0].waited_ms = 8000;
    CHECK(says(&s, "over for 8s; there was no\r\n    attempt.\r\n    The reason:\r\n    only one"));
    CHECK(says(&s, "Tell our administrator") && !says(&s, "What happened last"));
    s.told[0].reply = SPAN("");
    CHECK(says(&s, "there was no\r\n    attempt.\r\n    Tell our"));
    s.told[0].ended = true;
    s.told[0].reply = SPAN("ended by an administrator of this host");
    CHECK(says(&s, "An administrator of our mail system has ended the time") &&
          says(&s, "for 8s; there was no attempt.\r\n    Ask our") && !says(&s, "The reason"));
    s.told[0].ended = s.told[0].expired = false;
    s.told[0].returned = true;
    CHECK(says(&s, "An administrator of our mail system has sent it back to you."));
}

/* The wall's clock may have been anywhere when it came. */
static void how_long_it_waited(void)
{
    struct set s;
    set_up(&s, DSN_FAILURE, 1);
    s.told[0].expired = true;
    s.told[0].waited_ms = 8000;
    CHECK(says(&s, "Its time was over: it could not be handed over for 8s."));
    s.told[0].limit_ms = 5000;
    CHECK(says(&s, "could not be handed over for 8s, and we try for\r\n    5s."));
    s.told[0].waited_ms = s.told[0].limit_ms = 0;
    s.env.received_ms = now_ms + 86400000;
    CHECK(says(&s, "could not be handed over."));
}

static void python_reads_them(void)
{
    CHECK(mkdtemp(samples) != NULL);
    CHECK(write_failures());
    CHECK(write_ends());
    CHECK(write_others());
    CHECK(write_full());
    CHECK(write_international());
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execlp("python3", "python3", TEST_TOP "/tests/lib/dsn_check.py", samples, (char *)NULL);
        _exit(127);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static const struct test tests[] = {
    TEST(what_is_due),
    TEST(full_only_of_failures),
    TEST(xtext),
    TEST(words_for_every_status),
    TEST(the_diagnosis_comes_first), TEST(the_stage_in_words),
    TEST(nothing_when_it_does_not_fit),
    TEST(the_worst_report_fits),
    TEST(hostile_bytes_stay_inside),
    TEST(utf8_addresses),
    TEST(only_what_the_peer_said), TEST(the_address_that_was_written), TEST(what_has_arrived),
    TEST(how_long_it_waited), TEST(what_was_never_tried),
    TEST(python_reads_them),
};
TEST_MAIN(tests)
