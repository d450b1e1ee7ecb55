/* The SMTP server: its parts against plain models, and every state against every event. */
#include "../dialog/bed.h"
#include "base/must.h"
#include "receipt/mint.h"
#include "smtp/command.h"
#include "smtp/line.h"
#include "test.h"

/* ---- data: all short strings, cut anywhere, against a byte-by-byte model ---- */

struct model {
    char out[256];
    size_t n, used;
    bool bad, end;
};

static void model_put(struct model *m, const char *text, size_t n)
{
    memcpy(m->out + m->n, text, n);
    m->n += n;
}

/* The whole input at once, stopping where the meaning of the next byte is not known yet. */
static struct model data_model(const char *in, size_t n)
{
    enum { NOT, WEAK, STRONG } bol = STRONG;
    struct model m = { .n = 0 };
    size_t i = 0;
    while (i < n) {
        char c = in[i], next = i + 1 < n ? in[i + 1] : 0;
        if (c == '.' && bol != NOT) {
            if (i + 1 == n || (next == '\r' && i + 2 == n))
                break;
            if (next == '\r' && in[i + 2] == '\n' && bol == STRONG) {
                m.end = true;
                i += 3;
                break;
            }
            bool lone = next == '\r' || next == '\n';
            if (lone || (bol == WEAK && next != '.'))
                model_put(&m, ".", 1);
            else if (next == '.') { /* undoubled: the second is content, whatever follows it */
                model_put(&m, ".", 1);
                i++;
            }
            bol = NOT;
            i++;
        } else if (c == '\r') {
            if (i + 1 == n)
                break;
            m.bad |= next != '\n';
            model_put(&m, "\r\n", 2);
            bol = next == '\n' ? STRONG : WEAK;
            i += next == '\n' ? 2 : 1;
        } else if (c == '\n') {
            m.bad = true;
            model_put(&m, "\r\n", 2);
            bol = WEAK;
            i++;
        } else {
            model_put(&m, &c, 1);
            bol = NOT;
            i++;
        }
    }
    m.used = i;
    return m;
}

static void scan_piece(struct data_scan *d, const char *in, size_t n, struct model *m)
{
    struct span rest = span_of(in, n);
    int stuck = 0;
    while (rest.n > 0 && !m->end) {
        size_t used;
        struct span out;
        m->end = data_scan_next(d, rest, &used, &out);
        MUST(stuck++ < 64 && m->n + out.n < sizeof m->out);
        model_put(m, out.p, out.n);
        m->used += used;
        rest = span_from(rest, used);
    }
}

static bool same_as_model(const char *in, size_t n, size_t cut, enum data_policy policy)
{
    struct model want = data_model(in, n), got = { .n = 0 };
    struct data_scan d;
    data_scan_init(&d, policy, true);
    scan_piece(&d, in, cut, &got);
    if (!got.end)
        scan_piece(&d, in + cut, n - cut, &got);
    /* A CR or LF of its own may be known one byte earlier than the model knows it. */
    if (got.end != want.end || (want.end && (got.used != want.used || d.bad != want.bad)))
        return false;
    if (!want.end && want.bad && !d.bad)
        return false;
    if (policy == DATA_REJECT)
        return d.bad || want.bad || (got.n >= want.n && memcmp(got.out, want.out, want.n) == 0);
    return got.n == want.n && memcmp(got.out, want.out, got.n) == 0;
}

static void data_agrees_with_a_model(void)
{
    static const char alphabet[] = "a.\r\n";
    enum { LEN = 8 };
    for (size_t n = 1; n <= LEN; n++) {
        for (size_t word = 0; word < (size_t)1 << (2 * n); word++) {
            char in[LEN];
            for (size_t i = 0; i < n; i++)
                in[i] = alphabet[word >> (2 * i) & 3];
            for (size_t cut = 0; cut < n; cut += cut + 1 < n && n == LEN ? 2 : 1)
                for (int policy = DATA_REJECT; policy <= DATA_NORMALISE; policy++)
                    if (!same_as_model(in, n, cut, policy))
                        TEST_FAIL("word %zx of %zu, cut %zu, policy %d", word, n, cut, policy);
        }
    }
}

/* Where the scan goes by blocks of 64: what matters stands before, on and behind their ends. */
static void data_agrees_over_blocks(void)
{
    static const char alphabet[] = "a.\r\n";
    enum { LEN = 5, TEXT = 200 };
    for (size_t word = 0; word < (size_t)1 << (2 * LEN); word++) {
        for (size_t at = 58; at <= 128; at += at == 65 ? 57 : 1) {
            char in[TEXT];
            memset(in, 'x', sizeof in);
            for (size_t i = 0; i < LEN; i++)
                in[at + i] = alphabet[word >> (2 * i) & 3];
            for (int policy = DATA_REJECT; policy <= DATA_NORMALISE; policy++)
                for (size_t cut = 0; cut <= 66; cut += 33)
                    if (!same_as_model(in, sizeof in, cut, policy))
                        TEST_FAIL("word %zx at %zu, cut %zu, policy %d", word, at, cut, policy);
        }
    }
}

static void data_gives_large_pieces(void)
{
    static char content[64 * 1024 + 5];
    for (size_t i = 0; i + 64 <= 64 * 1024; i += 64) {
        memset(content + i, 'x', 62);
        memcpy(content + i + 62, "\r\n", 2);
    }
    memcpy(content + 64 * 1024, ".\r\nMA", 5);
    struct data_scan d;
    struct span rest = span_of(content, sizeof content), out;
    size_t used, calls = 0, largest = 0;
    int end = 0;
    data_scan_init(&d, DATA_REJECT, true);
    while (!end) {
        end = data_scan_next(&d, rest, &used, &out);
        rest = span_from(rest, used);
        largest = out.n > largest ? out.n : largest;
        calls++;
    }
    CHECK_INT(largest, 64 * 1024);
    CHECK(calls <= 4);
    CHECK_SPAN(rest, SPAN("MA"));
}

static void floods_of_line_ends_stay_linear(void)
{
    /* Would take minutes if each CR or LF of its own looked ahead over the whole piece. */
    enum { N = 8 << 20 };
    char *flood = must_alloc(N);
    for (int c = 0; c < 2; c++) {
        memset(flood, "\r\n"[c], N);
        for (int policy = DATA_REJECT; policy <= DATA_NORMALISE; policy++) {
            struct data_scan d;
            struct span rest = span_of(flood, N), out;
            size_t used;
            data_scan_init(&d, policy, true);
            while (rest.n > 0) {
                CHECK_INT(data_scan_next(&d, rest, &used, &out), 0);
                rest = span_from(rest, used);
            }
            CHECK(d.bad);
        }
    }
    free(flood);
}

/* ---- line, reply, command ---- */

static void lines_cut_anywhere(void)
{
    static const char in[] = "one\r\ntwo\n\r\nfour\r\n";
    for (size_t cut = 0; cut <= sizeof in - 1; cut++) {
        struct buf part, all;
        buf_init(&part, 16);
        buf_init(&all, 256);
        struct span pieces[] = { span_of(in, cut), span_of(in + cut, sizeof in - 1 - cut) };
        for (int p = 0; p < 2; p++) {
            struct span rest = pieces[p], line;
            size_t used;
            while (rest.n > 0 && line_take(&part, rest, &used, &line) >= 0) {
                bool whole = used < rest.n || rest.p[rest.n - 1] == '\n';
                if (whole) {
                    buf_puts(&all, line);
                    buf_putc(&all, '|');
                    buf_reset(&part);
                }
                rest = span_from(rest, used);
            }
        }
        CHECK_SPAN(buf_span(&all), SPAN("one|two||four|"));
        buf_free(&part);
        buf_free(&all);
    }
}

static void replies_keep_to_their_lines(void)
{
    struct buf b;
    char text[2000];
    buf_init(&b, 1 << 16);
    struct reply r = { .code = 550, .enhanced = "5.7.1", .text = SPAN("one\ntwo\r\x1b\nthree") };
    reply_put(&b, &r, false);
    CHECK_SPAN(buf_span(&b), SPAN("550-5.7.1 one\r\n550-5.7.1 two??\r\n550 5.7.1 three\r\n"));
    buf_reset(&b);
    memset(text, 'x', sizeof text);
    r.text = span_of(text, sizeof text);
    reply_put(&b, &r, false);
    CHECK_INT(b.len, REPLY_LINE_MAX);
    buf_reset(&b);
    memset(text, '\n', sizeof text);
    reply_put(&b, &r, false);
    CHECK_INT(b.len, REPLY_LINES_MAX * strlen("550-5.7.1 \r\n"));
    CHECK(span_ends(buf_span(&b), SPAN("550 5.7.1 \r\n")));
    buf_reset(&b);
    reply_printf(&b, 250, "2.0.0", "%s", "a\r\n250 b\xc3\xb6");
    CHECK_SPAN(buf_span(&b), SPAN("250 2.0.0 a??250 b??\r\n"));
    buf_free(&b);
}

static void bdat_arguments(void)
{
    static const struct {
        const char *arg;
        int result;
        uint64_t octets;
        bool last;
    } cases[] = {
        { "0", 1, 0, false },          { "12 LAST", 1, 12, true },
        { "12 last", 1, 12, true },    { "007", 1, 7, false },
        { "9223372036854775807", 1, INT64_MAX, false },
        { "9223372036854775808", -1, 0, false },
        { "", -1, 0, false },          { "-1", -1, 0, false },
        { "0x10", -1, 0, false },      { "1 LASTX", -1, 0, false },
        { "1 LAST x", -1, 0, false },  { "LAST", -1, 0, false },
        { "1,2", -1, 0, false },       { "+1", -1, 0, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t octets;
        bool last;
        int r = command_bdat(span_str(cases[i].arg), &octets, &last);
        CHECK_INT(r, cases[i].result);
        if (r > 0 && (octets != cases[i].octets || last != cases[i].last))
            TEST_FAIL("BDAT %s", cases[i].arg);
    }
}

/* ---- every state x every event, and one more event after it ---- */

struct table {
    struct bed bed;
    unsigned commands; /* sent where a command may stand; the greeting counts as one */
};

static void say(struct table *t, const char *text)
{
    bed_input(&t->bed, span_str(text));
    t->commands++;
}

static void s_connect(struct table *t) { t->bed.late = SMTP_ASK(SMTP_HOOK_CONNECT); }
static void s_greeted(struct table *t) { (void)t; }
static void s_helo_asked(struct table *t)
{
    t->bed.late = SMTP_ASK(SMTP_HOOK_HELO);
    say(t, "EHLO x\r\n");
}
static void s_ready(struct table *t) { say(t, "EHLO x\r\n"); }
static void s_mail_asked(struct table *t)
{
    s_ready(t);
    t->bed.late = SMTP_ASK(SMTP_HOOK_MAIL);
    say(t, "MAIL FROM:<a@a.test>\r\n");
}
static void s_mail(struct table *t)
{
    s_ready(t);
    say(t, "MAIL FROM:<a@a.test>\r\n");
}
static void s_rcpt_asked(struct table *t)
{
    s_mail(t);
    t->bed.late = SMTP_ASK(SMTP_HOOK_MAIL);
    say(t, "RCPT TO:<b@b.test>\r\n");
}
static void s_rcpt(struct table *t)
{
    s_mail(t);
    say(t, "RCPT TO:<b@b.test>\r\n");
}
static void s_data(struct table *t)
{
    s_rcpt(t);
    say(t, "DATA\r\n");
}
static void s_data_line(struct table *t)
{
    s_data(t);
    bed_input(&t->bed, SPAN("Subject: x\r\n\r\nhalf a"));
}
static void s_data_cr(struct table *t)
{
    s_data(t);
    bed_input(&t->bed, SPAN("x\r\n.\r"));
}
static void s_data_bad(struct table *t)
{
    s_data(t);
    bed_input(&t->bed, SPAN("x\n.\n"));
}
static void s_data_stalled(struct table *t)
{
    s_data(t);
    t->bed.credit_bytes = 1;
    bed_input(&t->bed, SPAN("x\r\ny"));
}
static void s_header_asked(struct table *t)
{
    s_data(t);
    t->bed.late = SMTP_ASK(SMTP_HOOK_HEADER);
    bed_input(&t->bed, SPAN("Subject: x\r\n\r\nbody"));
}
static void s_chunk_asked(struct table *t)
{
    s_data(t);
    t->bed.late = SMTP_ASK(SMTP_HOOK_CHUNK);
    bed_input(&t->bed, SPAN("Subject: x\r\n\r\nbody"));
}
static void s_end_asked(struct table *t)
{
    s_data(t);
    t->bed.late = SMTP_ASK(SMTP_HOOK_END);
    say(t, "x\r\n.\r\n");
}
static void s_committing(struct table *t)
{
    s_data(t);
    t->bed.hold_commit = true;
    say(t, "x\r\n.\r\n");
}
static void s_bdat(struct table *t)
{
    s_rcpt(t);
    say(t, "BDAT 12 LAST\r\nhalf");
}
static void s_bdat_between(struct table *t)
{
    s_rcpt(t);
    say(t, "BDAT 3\r\nx\r\n");
}
static void s_bdat_stalled(struct table *t)
{
    s_rcpt(t);
    t->bed.credit_bytes = 1;
    say(t, "BDAT 12 LAST\r\nhalf");
}
static void s_swallow(struct table *t)
{
    s_ready(t);
    say(t, "BDAT 12 LAST\r\nhalf");
}
static void s_tls(struct table *t)
{
    s_rcpt(t);
    say(t, "STARTTLS\r\n");
}
static void s_tls_done(struct table *t)
{
    s_tls(t);
    bed_tls(&t->bed);
}
static void s_auth_asked(struct table *t)
{
    s_ready(t);
    t->bed.late = SMTP_ASK(SMTP_HOOK_AUTH);
    say(t, "AUTH PLAIN x\r\n");
}
static void s_auth(struct table *t)
{
    s_ready(t);
    say(t, "AUTH LOGIN\r\n");
}
static void s_rejecting(struct table *t)
{
    say(t, "EHLO x\r\nNOOP\r\n");
    t->commands++;
}
static void s_closed(struct table *t) { say(t, "QUIT\r\n"); }

/* What a command line sent in that state is. */
enum kind { LINE, CONTENT, OVER };

static const struct {
    const char *name;
    void (*enter)(struct table *);
    enum kind kind;
} states[] = {
    { "connect asked", s_connect, LINE },
    { "greeted", s_greeted, LINE },
    { "helo asked", s_helo_asked, LINE },
    { "ready", s_ready, LINE },
    { "mail asked", s_mail_asked, LINE },
    { "mail", s_mail, LINE },
    { "rcpt asked", s_rcpt_asked, LINE },
    { "rcpt", s_rcpt, LINE },
    { "data", s_data, CONTENT },
    { "data in a line", s_data_line, CONTENT },
    { "data before LF", s_data_cr, CONTENT },
    { "data with bare LF", s_data_bad, CONTENT },
    { "data without credit", s_data_stalled, CONTENT },
    { "header asked", s_header_asked, CONTENT },
    { "chunk asked", s_chunk_asked, CONTENT },
    { "end asked", s_end_asked, LINE },
    { "committing", s_committing, LINE },
    { "bdat", s_bdat, CONTENT },
    { "between bdats", s_bdat_between, LINE },
    { "bdat without credit", s_bdat_stalled, CONTENT },
    { "swallowing", s_swallow, CONTENT },
    { "handshake", s_tls, LINE },
    { "after the handshake", s_tls_done, LINE },
    { "auth asked", s_auth_asked, LINE },
    { "auth response", s_auth, LINE },
    { "rejecting", s_rejecting, LINE },
    { "closed", s_closed, OVER },
};

static void e_mail(struct table *t) { say(t, "MAIL FROM:<m@a.test>\r\n"); }
static void e_rcpt(struct table *t) { say(t, "RCPT TO:<r@b.test>\r\n"); }
static void e_rcpt_refused(struct table *t) { say(t, "RCPT TO:<no@b.test>\r\n"); }
static void e_rcpt_bad(struct table *t) { say(t, "RCPT TO:<r@>\r\n"); }
static void e_data(struct table *t) { say(t, "DATA\r\n"); }
static void e_bdat(struct table *t) { say(t, "BDAT 6 LAST\r\nQUIT\r\n"); }
static void e_bdat_more(struct table *t) { say(t, "BDAT 6\r\nQUIT\r\n"); }
static void e_bdat_bad(struct table *t) { say(t, "BDAT x\r\n"); }
static void e_rset(struct table *t) { say(t, "RSET\r\n"); }
static void e_quit(struct table *t) { say(t, "QUIT\r\n"); }
static void e_ehlo(struct table *t) { say(t, "EHLO again\r\n"); }
static void e_noop(struct table *t) { say(t, "NOOP\r\n"); }
static void e_starttls(struct table *t) { say(t, "STARTTLS\r\n"); }
static void e_auth(struct table *t) { say(t, "AUTH LOGIN\r\n"); }
static void e_unknown(struct table *t) { say(t, "WHAT\r\n"); }
static void e_empty(struct table *t) { say(t, "\r\n"); }
static void e_get(struct table *t) { say(t, "GET / HTTP/1.1\r\n"); }

static void e_dot(struct table *t) { bed_input(&t->bed, SPAN("\r\n.\r\n")); }
static void e_half(struct table *t) { bed_input(&t->bed, SPAN("NOO")); }
static void e_long(struct table *t)
{
    for (int i = 0; i < 300; i++)
        bed_input(&t->bed, SPAN("xxxxxxxxxxxx"));
}
static void e_lost(struct table *t) { smtp_server_lost(t->bed.s); }
static void e_timeout(struct table *t) { bed_clock(&t->bed, 6 * 60 * 1000); }
static void e_hours(struct table *t) { bed_clock(&t->bed, 5 * 3600 * 1000); }
static void e_answer(struct table *t) { bed_answer(&t->bed, t->bed.question); }
static void e_answer_twice(struct table *t)
{
    uint64_t id = t->bed.question;
    bed_answer(&t->bed, id);
    MUST(!bed_answer(&t->bed, id));
}
static void e_answer_unknown(struct table *t)
{
    MUST(!bed_answer(&t->bed, t->bed.question + 99));
    MUST(!bed_answer(&t->bed, 0));
}
static void answer_all(struct table *t, unsigned short code)
{
    struct reply r[BED_ITEMS_MAX];
    for (int i = 0; i < BED_ITEMS_MAX; i++)
        r[i] = (struct reply){ .code = code, .enhanced = "4.0.0", .text = SPAN("no") };
    struct smtp_server_verdict v = { .replies = r, .count = BED_ITEMS_MAX };
    smtp_server_answer(t->bed.s, t->bed.question, &v, t->bed.now);
    bed_pump(&t->bed);
}
static void e_answer_451(struct table *t) { answer_all(t, 451); }
static void e_answer_421(struct table *t) { answer_all(t, 421); }
static void e_answer_nothing(struct table *t)
{
    struct smtp_server_verdict v = { .count = 0 };
    smtp_server_answer(t->bed.s, t->bed.question, &v, t->bed.now);
    bed_pump(&t->bed);
}
static void e_committed(struct table *t)
{
    bool awaited = t->bed.committing;
    MUST(bed_committed(&t->bed) == awaited);
    bed_pump(&t->bed);
}
static void e_refused(struct table *t)
{
    struct bed_rule why;
    bed_rule_set(&why, SPAN(""), SPAN("452 4.3.1 full"));
    bed_refused(&t->bed, &why);
    bed_pump(&t->bed);
}
static void e_resume(struct table *t)
{
    t->bed.credit_bytes = SIZE_MAX;
    bed_resume(&t->bed);
}
static void e_no_credit(struct table *t) { t->bed.credit_bytes = 1; }
static void e_hold(struct table *t) { t->bed.hold_commit = true; }
static void e_no_lease(struct table *t) { t->bed.no_lease = true; }
static void e_late(struct table *t) { t->bed.late = ~0u; }
static void e_tls(struct table *t) { bed_tls(&t->bed); }
static void e_shutdown(struct table *t)
{
    smtp_server_shutdown(t->bed.s);
    bed_pump(&t->bed);
}
static void e_tick(struct table *t) { bed_clock(&t->bed, 0); }
static void e_gone(struct table *t)
{
    smtp_server_free(&t->bed.s); /* the session ends with whatever is open */
}

static const struct {
    const char *name;
    void (*happen)(struct table *);
    bool is_command;
} events[] = {
    { "MAIL", e_mail, true },
    { "RCPT", e_rcpt, true },
    { "RCPT refused", e_rcpt_refused, true },
    { "RCPT malformed", e_rcpt_bad, true },
    { "DATA", e_data, true },
    { "BDAT LAST", e_bdat, true },
    { "BDAT", e_bdat_more, true },
    { "BDAT malformed", e_bdat_bad, true },
    { "RSET", e_rset, true },
    { "QUIT", e_quit, true },
    { "EHLO", e_ehlo, true },
    { "NOOP", e_noop, true },
    { "STARTTLS", e_starttls, true },
    { "AUTH", e_auth, true },
    { "unknown", e_unknown, true },
    { "empty line", e_empty, true },
    { "GET", e_get, true },
    { "dot", e_dot, false },
    { "half a line", e_half, false },
    { "long line", e_long, false },
    { "lost", e_lost, false },
    { "timeout", e_timeout, false },
    { "hours", e_hours, false },
    { "answer", e_answer, false },
    { "answer twice", e_answer_twice, false },
    { "answer unknown", e_answer_unknown, false },
    { "answer 451", e_answer_451, false },
    { "answer 421", e_answer_421, false },
    { "answer nothing", e_answer_nothing, false },
    { "committed", e_committed, false },
    { "refused", e_refused, false },
    { "resume", e_resume, false },
    { "no credit", e_no_credit, false },
    { "commit held", e_hold, false },
    { "no lease", e_no_lease, false },
    { "late from now on", e_late, false },
    { "handshake done", e_tls, false },
    { "shutdown", e_shutdown, false },
    { "tick", e_tick, false },
    { "freed", e_gone, false },
};

enum { STATES = sizeof states / sizeof *states, EVENTS = sizeof events / sizeof *events };

static void table_begin(struct table *t, size_t state)
{
    *t = (struct table){ .commands = 1 };
    bed_init(&t->bed);
    t->bed.config.ask = ~0u;
    t->bed.config.starttls = true;
    t->bed.config.auth = SPAN("LOGIN");
    bed_rule_add(&t->bed, SPAN("no@b.test"), SPAN("550 5.1.1 User unknown"));
    bed_rule_add(&t->bed, SPAN("auth LOGIN"), SPAN("334 - VXNlcm5hbWU6"));
    if (states[state].enter == s_connect)
        s_connect(t);
    bed_start(&t->bed);
    if (states[state].enter != s_connect)
        states[state].enter(t);
}

/* Whatever is awaited comes now. */
static void resolve(struct table *t)
{
    struct bed *b = &t->bed;
    b->late = 0;
    b->hold_commit = false;
    b->credit_bytes = SIZE_MAX;
    for (int i = 0; i < 20 && smtp_server_blocked(b->s); i++) {
        bed_answer(b, b->question);
        bed_resume(b);
        if (b->committing)
            bed_committed(b);
        bed_pump(b);
        bed_tls(b);
    }
}

/* Last lines of replies: "NNN text", not "NNN-text". */
static unsigned replies(const struct bed *b, const char *with)
{
    unsigned n = 0;
    for (struct span s = buf_span(&b->out); s.n > 0;) {
        size_t end = span_find(s, '\n');
        struct span line = span_to(s, end);
        if (line.n > 3 && line.p[3] != '-' && (!with || memmem(line.p, line.n, with, strlen(with))))
            n++;
        s = span_from(s, end + 1);
    }
    return n;
}

static bool alive(const struct table *t)
{
    return t->bed.s && !smtp_server_closing(t->bed.s);
}

/* From wherever it is, the session comes to answer a command again, or is over. */
static bool recovers(struct table *t)
{
    resolve(t);
    for (int i = 0; i < 6 && alive(t); i++) {
        buf_reset(&t->bed.out);
        bed_input(&t->bed, SPAN("NOOP\r\n"));
        resolve(t);
        if (replies(&t->bed, "2.0.0 OK") || replies(&t->bed, "Command rejected"))
            return replies(&t->bed, NULL) >= 1;
        bed_input(&t->bed, SPAN("\r\n.\r\n"));
        resolve(t);
    }
    return !alive(t);
}

static const char *balance(struct table *t)
{
    unsigned ends = 0;
    struct bed *b = &t->bed;
    smtp_server_free(&b->s);
    for (int i = 0; i < 4; i++)
        ends += b->ended[i];
    if (ends != b->leased)
        return "a transaction is left, or ended twice";
    if (b->ended[SMTP_END_COMMITTED] != b->accepted)
        return "a 250 without a receipt, or the reverse";
    return NULL;
}

/* One reply for each command, once all that was awaited has come. */
static const char *one_reply_each(struct table *t)
{
    unsigned accepted = replies(&t->bed, "accepted for delivery");
    if (accepted != t->bed.accepted)
        return "250s and receipts differ";
    unsigned n = replies(&t->bed, NULL);
    if (alive(t))
        return n == t->commands ? NULL : "not one reply for each command";
    /* 421 may take the place of replies, or follow the last. */
    return n <= t->commands + 1 ? NULL : "more replies than commands";
}

static const char *try_one(size_t state, size_t event)
{
    struct table t;
    const char *wrong = NULL;
    table_begin(&t, state);
    events[event].happen(&t);
    if (t.bed.s) {
        resolve(&t);
        bool counted = states[state].kind == LINE && events[event].is_command;
        if (counted)
            wrong = one_reply_each(&t);
        if (!wrong && !recovers(&t))
            wrong = "it does not answer any more";
    }
    if (!wrong)
        wrong = balance(&t);
    bed_free(&t.bed);
    return wrong;
}

static void every_state_every_event(void)
{
    for (size_t s = 0; s < STATES; s++) {
        for (size_t e = 0; e < EVENTS; e++) {
            const char *wrong = try_one(s, e);
            if (wrong)
                TEST_FAIL("%s x %s: %s", states[s].name, events[e].name, wrong);
        }
    }
}

static const char *try_two(size_t state, size_t first, size_t second)
{
    struct table t;
    const char *wrong = NULL;
    table_begin(&t, state);
    events[first].happen(&t);
    if (t.bed.s)
        events[second].happen(&t);
    if (t.bed.s && !recovers(&t))
        wrong = "it does not answer any more";
    if (!wrong)
        wrong = balance(&t);
    bed_free(&t.bed);
    return wrong;
}

static void every_state_every_two_events(void)
{
    for (size_t s = 0; s < STATES; s++)
        for (size_t e = 0; e < EVENTS; e++)
            for (size_t f = 0; f < EVENTS; f++) {
                const char *wrong = try_two(s, e, f);
                if (wrong)
                    TEST_FAIL("%s x %s x %s: %s", states[s].name, events[e].name, events[f].name,
                              wrong);
            }
}

/* ---- the receipt ---- */

static void a_receipt_serves_its_own_transaction_only(void)
{
    struct bed b;
    const struct reply full = { .code = 452, .enhanced = "4.3.1", .text = SPAN("full") };
    bed_init(&b);
    b.hold_commit = true;
    bed_start(&b);
    for (int i = 0; i < 2; i++) {
        bed_input(&b, SPAN("HELO x\r\n"));
        bed_input(&b, SPAN("MAIL FROM:<a@b>\r\n"));
        bed_input(&b, SPAN("RCPT TO:<c@d>\r\n"));
        bed_input(&b, SPAN("DATA\r\n"));
        bed_input(&b, SPAN(".\r\n"));
        if (i == 0)
            bed_clock(&b, b.config.commit_ms + 1);
    }
    CHECK(b.committing);
    buf_reset(&b.out);
    struct receipt late = receipt_mint(b.txn - 1, b.seq - 1);
    CHECK(!smtp_server_committed(b.s, &late, b.now));
    CHECK(!smtp_server_refused(b.s, b.txn - 1, &full, b.now));
    bed_pump(&b);
    CHECK_INT(b.out.len, 0);
    CHECK(bed_committed(&b));
    CHECK(!bed_committed(&b));
    CHECK_INT(b.ended[SMTP_END_UNKNOWN], 1);
    CHECK_INT(b.ended[SMTP_END_COMMITTED], 1);
    bed_free(&b);
}

/* ---- limits and timers ---- */

static void a_client_that_does_not_read_is_not_answered_further(void)
{
    struct bed b;
    bed_init(&b);
    bed_start(&b);
    struct buf in;
    buf_init(&in, 1 << 20);
    for (int i = 0; i < 20000; i++)
        buf_putz(&in, "NOOP\r\n");
    size_t used = smtp_server_input(b.s, buf_span(&in), b.now);
    CHECK(used < in.len / 2);
    CHECK(smtp_server_output(b.s).n < 10000);
    CHECK(smtp_server_blocked(b.s));
    CHECK_INT(smtp_server_input(b.s, span_from(buf_span(&in), used), b.now), 0);
    smtp_server_sent(b.s, smtp_server_output(b.s).n);
    CHECK(smtp_server_input(b.s, span_from(buf_span(&in), used), b.now) > 0);
    buf_free(&in);
    bed_free(&b);
}

/* An owner that drains all output in one go has no reason to call again without bytes kept. */
static void a_full_output_holds_back_bytes_only(void)
{
    struct bed b;
    struct buf in;
    bed_init(&b);
    b.config.ask = SMTP_ASK(SMTP_HOOK_MAIL);
    bed_start(&b);
    buf_init(&in, 1 << 20);
    buf_putz(&in, "MAIL FROM:<a@b>\r\n");
    for (int i = 0; i < 60; i++)
        buf_printf(&in, "RCPT TO:<%0300d@b>\r\n", i);
    size_t without_data = in.len;
    CHECK_INT(smtp_server_input(b.s, buf_span(&in), b.now), without_data);
    struct span out = smtp_server_output(b.s);
    CHECK(out.n > 8192 && span_ends(out, SPAN("... Recipient ok\r\n")));
    smtp_server_sent(b.s, out.n);
    bed_input(&b, SPAN("RSET\r\n"));
    buf_putz(&in, "DATA\r\n");
    CHECK_INT(smtp_server_input(b.s, buf_span(&in), b.now), in.len);
    CHECK(memmem(smtp_server_output(b.s).p, smtp_server_output(b.s).n, "\r\n354 ", 6));
    buf_free(&in);
    bed_free(&b);
}

static void timer_follows_the_nearest_deadline(void)
{
    struct bed b;
    bed_init(&b);
    bed_start(&b);
    int64_t t0 = b.now.mono_ms;
    CHECK_INT(smtp_server_timer(b.s), t0 + b.config.command_ms);
    b.late = b.config.ask = SMTP_ASK(SMTP_HOOK_MAIL);
    bed_input(&b, SPAN("MAIL FROM:<a@b>\r\n"));
    CHECK_INT(smtp_server_timer(b.s), t0 + b.config.answer_ms);
    bed_answer(&b, b.question);
    CHECK_INT(smtp_server_timer(b.s), t0 + b.config.command_ms);
    bed_input(&b, SPAN("QUIT\r\n"));
    CHECK_INT(smtp_server_timer(b.s), -1);
    bed_free(&b);
}

static const struct test tests[] = {
    TEST(data_agrees_with_a_model), TEST(data_agrees_over_blocks), TEST(data_gives_large_pieces),
    TEST(floods_of_line_ends_stay_linear), TEST(lines_cut_anywhere),
    TEST(replies_keep_to_their_lines), TEST(bdat_arguments), TEST(every_state_every_event),
    TEST(every_state_every_two_events), TEST(a_receipt_serves_its_own_transaction_only),
    TEST(a_client_that_does_not_read_is_not_answered_further),
    TEST(a_full_output_holds_back_bytes_only),
    TEST(timer_follows_the_nearest_deadline),
};

TEST_MAIN(tests)
