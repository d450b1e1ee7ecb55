/* The client: every state against every event, content under random packet boundaries, the reply
 * parser at its limits, and dot-stuffing against its obvious form. */
#include "test.h"

#include "../dialog_client/rig.h"
#include "smtp/dotstuff.h"
#include "smtp/reply_parse.h"

/* --- every state x every event --- */

/* A script: steps divided by '|'. A step is a line the server says, or
 * >send >give (all content) >half (some of it) >tls >quit; all output is taken as sent after each
 * step, but not behind a step that ends in '~'. */
struct state {
    const char *name, *set, *script;
    const char *want; /* one letter for each event, in the order of `events` */
};

#define HI "220 hi|"
#define EHLO HI "250 hi|"
#define PIPE HI "250-hi\r\n250 PIPELINING|"
#define BDAT HI "250-hi\r\n250-PIPELINING\r\n250 CHUNKING|"
#define KEPT EHLO ">send|550 no|" /* has served: MAIL was answered */
#define TO_DATA EHLO ">send|250 ok|250 ok|250 ok|"
#define TO_LMTP PIPE ">send|250 ok|250 ok|250 ok|354 go|>give|"

/* What the first recipient learns from the event:
 * . nothing yet   D delivered   T deferred   N deferred, next MX   F failed   f failed, next MX
 * U unknown   S stale; in small states without a message: c the session closed, - it goes on */
static const char *const events[] = {
    "250 ok", "354 go", "451 later", "421 bye", "550 no", "!differ", "!garbage", "!long", "!three",
    "!part", "!eof", "!timeout", "!attempt", "!abort", "!give", "!half", "!bare", "!unreadable",
    "!sent", "!tls", "!send", "!quit",
};

static const struct state states[] = {
    { "greeting", "", ">send",
      ".NNNfNNNN.NNTT...T...." },
    { "greeting, no message", "", "",
      "-cccccccc-cccc-------c" },
    { "ehlo", "", ">send|" HI,
      ".NNN.NNNN.NNTT...T...." },
    { "ehlo unsent", "", ">send|220 hi~",
      "NNNNNNNNN.NNTT...T...." },
    { "lhlo", "lmtp", ">send|" HI,
      ".NNNfNNNN.NNTT...T...." },
    { "helo", "", ">send|" HI "500 what|",
      ".NNNfNNNN.NNTT...T...." },
    { "starttls", "tls", ">send|" HI "250-hi\r\n250 STARTTLS|",
      ".N.N.NNNN.NNTT...T...." },
    { "handshake", "tls", ">send|" HI "250-hi\r\n250 STARTTLS|220 go|",
      "NNNNNNNNNNNNTT...T...." },
    { "ehlo in tls", "tls", ">send|" HI "250-hi\r\n250 STARTTLS|220 go|>tls|",
      ".NNN.NNNN.NNTT...T...." },
    { "idle", "", EHLO,
      "ccccccccc-c--c--------" },
    { "idle, kept", "", KEPT,
      "ccccccccc-c--c--------" },
    { "mail", "", EHLO ">send|",
      ".NTNFNNNN.NNTT...T...." },
    { "mail, kept", "", KEPT ">send|",
      ".NTSFSSSN.SNTT...S...." },
    { "mail unsent", "", EHLO ">send~",
      "NNNNNNNNN.NNTT...T...." },
    { "rset, kept", "", EHLO ">send|250 ok|550 no|550 no|>send|",
      ".SSSSSSSS.SNTT...S...." },
    { "rcpt 1", "", EHLO ">send|250 ok|",
      ".NTNFNNNN.NNTT...T...." },
    { "rcpt 2", "", EHLO ">send|250 ok|250 ok|",
      ".N.N.NNNN.NNTT...T...." },
    { "data", "", TO_DATA,
      "N.TNFNNNN.NNTT...T...." },
    { "flight", "", PIPE ">send|",
      ".NTNFNNN..NNTT...T...." },
    { "flight, kept", "", PIPE ">send|550 no|503 no|503 no|503 no|>send|",
      ".NTSFSSS..SNTT...S...." },
    { "flight, rcpt 1", "", PIPE ">send|250 ok|",
      ".NTNFNNNN.NNTT...T...." },
    { "flight, data", "", PIPE ">send|250 ok|250 ok|250 ok|",
      "N.TNFNNNN.NNTT...T...." },
    { "flight, nobody, data", "", PIPE ">send|250 ok|550 no|550 no|",
      "c..c.cccc.cccc...c...." },
    { "lone dot", "", PIPE ">send|250 ok|550 no|550 no|354 go|",
      ".....cccc.cccc...c...." },
    { "content, none yet", "", TO_DATA "354 go|",
      "NNTNFNNNN.NTTT..FT...." },
    { "content, half", "", TO_DATA "354 go|>half|",
      "NNTNFNNNN.NTTT..FT...." },
    { "content, half unsent", "", TO_DATA "354 go|>half~",
      "NNTNFNNNN.NNTT..FT...." },
    { "dot unsent", "", TO_DATA "354 go|>give~",
      "NNTNFNNNN.NNTT...T...." },
    { "final", "", TO_DATA "354 go|>give|",
      "DUTTFUUUD.UUUU...U...." },
    { "final, quit behind", "quit", PIPE ">send|250 ok|250 ok|250 ok|354 go|>give|",
      "DUTTFUUUD.UUUU...U...." },
    { "lmtp data", "lmtp", PIPE ">send|250 ok|250 ok|250 ok|",
      "N.TNFNNNN.NNTT...T...." },
    { "lmtp final 1", "lmtp", TO_LMTP,
      "DUTTFUUUD.UUUU...U...." },
    { "lmtp final 2", "lmtp", TO_LMTP "250 one|",
      ".c.c.cccc.cccc...c...." },
    { "lmtp nobody, data", "lmtp", PIPE ">send|250 ok|550 no|550 no|",
      "cc.c.cccc.cccc...c...." },
    { "bdat, none yet", "", BDAT ">send|250 ok|250 ok|250 ok|",
      "NNTNFNNNN.NTTT..FT...." },
    { "bdat, chunk", "", BDAT ">send|250 ok|250 ok|250 ok|>half|",
      ".NTNFNNNN.NNTT..FT...." },
    { "bdat, chunk answered", "", BDAT ">send|250 ok|250 ok|250 ok|>half|250 ok|",
      "NNTNFNNNN.NTTT..FT...." },
    { "bdat, last unsent", "", BDAT ">send|250 ok|250 ok|250 ok|>half|250 ok|>give~",
      "NNTNFNNNN.NNTT...T...." },
    { "bdat, chunk and last", "", BDAT ">send|250 ok|250 ok|250 ok|>half|>give|",
      ".UTTFUUUD.UUUU...U...." },
    { "bdat, final", "", BDAT ">send|250 ok|250 ok|250 ok|>half|250 ok|>give|250 ok|",
      "DUTTFUUUD.UUUU...U...." },
    { "bdat, refused", "", BDAT ">send|250 ok|250 ok|250 ok|>half|>give|451 no|",
      "...c.cccc.cccc...c...." },
    { "lmtp bdat", "lmtp", BDAT ">send|250 ok|250 ok|250 ok|>half|",
      ".NTNFNNNN.NNTT..FT...." },
    { "quit", "", EHLO ">quit|",
      "ccccccccc-cc-c--------" },
    { "closed", "", "554 no|",
      "cccccccccccccccccccccc" },
};

static void send_two(struct rig *r)
{
    if (r->in_message)
        return;
    r->rcpts[0] = (struct envelope_rcpt){ .addr = SPAN("b@there.test") };
    r->rcpts[1] = (struct envelope_rcpt){ .addr = SPAN("c@there.test") };
    r->m.sender = SPAN("a@here.test");
    r->m.rcpt_count = 2;
    rig_send(r, SPAN("Subject: x\r\n\r\n.\r\n"));
}

static void give(struct rig *r, struct span s, bool last)
{
    if (!r->in_message || r->given_last || r->budget < s.n)
        return;
    r->budget -= s.n;
    r->given_last = last;
    smtp_client_content(r->c, s, last, r->now);
}

static void fire(struct rig *r, const char *e)
{
    struct span s = span_str(e);
    if (span_eq(s, SPAN("!differ")))
        rig_say(r, "250-ok\r\n550 no\r\n");
    else if (span_eq(s, SPAN("!garbage")))
        rig_say(r, "\r\n");
    else if (span_eq(s, SPAN("!three")))
        rig_say(r, "250 ok\r\n250 ok\r\n250 ok\r\n");
    else if (span_eq(s, SPAN("!part")))
        rig_say(r, "250 o");
    else if (span_eq(s, SPAN("!eof")))
        smtp_client_eof(r->c, SPAN_NONE, r->now);
    else if (span_eq(s, SPAN("!timeout")) && smtp_client_deadline(r->c) != INT64_MAX)
        smtp_client_tick(r->c, r->now = smtp_client_deadline(r->c));
    else if (span_eq(s, SPAN("!attempt"))) {
        smtp_client_set_attempt(r->c, ++r->now);
        smtp_client_tick(r->c, r->now);
    } else if (span_eq(s, SPAN("!abort")))
        smtp_client_abort(r->c, SPAN("shutting down"), r->now);
    else if (span_eq(s, SPAN("!give")))
        give(r, SPAN("y\r\n"), true);
    else if (span_eq(s, SPAN("!half")))
        give(r, SPAN("x\r\n.z\r\n"), false);
    else if (span_eq(s, SPAN("!bare")))
        give(r, SPAN("x\ny"), false);
    else if (span_eq(s, SPAN("!unreadable")))
        smtp_client_content_failed(r->c, SPAN("bad checksum"), r->now);
    else if (span_eq(s, SPAN("!sent")))
        rig_drain(r, NULL);
    else if (span_eq(s, SPAN("!tls")))
        smtp_client_tls_done(r->c, r->now);
    else if (span_eq(s, SPAN("!send")))
        send_two(r);
    else if (span_eq(s, SPAN("!quit")) && !r->in_message)
        smtp_client_quit(r->c, r->now);
    else if (e[0] != '!') {
        rig_say(r, e);
        rig_say(r, "\r\n");
    }
}

static void fire_long(struct rig *r)
{
    char line[3000];
    memset(line, 'x', sizeof line);
    smtp_client_input(r->c, SPAN("250 "), r->now);
    smtp_client_input(r->c, span_of(line, sizeof line), r->now);
}

static void reach(struct rig *r, const struct state *s)
{
    rig_init(r);
    r->hold = true;
    r->conf.lmtp = strcmp(s->set, "lmtp") == 0;
    r->conf.tls = strcmp(s->set, "tls") == 0 ? SMTP_TLS_TRY : SMTP_TLS_OFF;
    r->m.quit = strcmp(s->set, "quit") == 0;
    r->conf.chunk_bytes = 4;
    rig_start(r);
    for (struct span rest = span_str(s->script); rest.n;) {
        char step[200];
        size_t n = span_find(rest, '|');
        struct span one = span_to(rest, n);
        rest = span_from(rest, n + 1);
        bool unsent = span_ends(one, SPAN("~"));
        memcpy(step, one.p, one.n);
        step[one.n - unsent] = '\0';
        if (step[0] == '>')
            step[0] = '!';
        fire(r, step);
        if (!unsent)
            rig_drain(r, NULL);
    }
}

static char letter(const struct rig *r, int before, bool had)
{
    static const char letters[] = "DTFUS";
    if (!had)
        return r->closed ? 'c' : '-';
    if (before >= 0 || r->results[0] < 0)
        return r->closed ? 'c' : '.';
    if (r->last.next_mx)
        return r->results[0] == SMTP_FAILED ? 'f' : 'N';
    return letters[r->results[0]];
}

/* The pair itself, then the promises: whatever follows, each recipient ends with one outcome. */
static char try_pair(const struct state *s, const char *event, bool *broken_r)
{
    struct rig r;
    reach(&r, s);
    bool had = r.in_message;
    int before = had ? r.results[0] : -1;
    if (strcmp(event, "!long") == 0)
        fire_long(&r);
    else
        fire(&r, event);
    char got = letter(&r, before, had);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (strcmp(events[i], "!abort") != 0) {
            fire(&r, events[i]);
            rig_drain(&r, NULL);
        }
    if (!r.closed)
        smtp_client_abort(r.c, SPAN_NONE, r.now);
    *broken_r = r.promise_broken || r.in_message || !r.closed;
    rig_free(&r);
    return got;
}

static void every_state_every_event(void)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        const struct state *s = &states[i];
        char got[sizeof events / sizeof *events + 1] = "";
        for (size_t k = 0; k < sizeof events / sizeof *events; k++) {
            bool broken;
            got[k] = try_pair(s, events[k], &broken);
            if (broken)
                TEST_FAIL("a promise is broken in state \"%s\" at \"%s\"", s->name, events[k]);
        }
        if (strcmp(got, s->want) != 0)
            TEST_FAIL("state \"%s\": %s, want %s", s->name, got, s->want);
    }
}

/* --- content and a scripted server under random packet boundaries --- */

static uint64_t random_state;

static unsigned rnd(unsigned below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % below;
}

/* The smallest server that answers right: takes what the client sends, a byte at a time. */
struct fake {
    struct buf in, say, got; /* unread bytes, replies not delivered yet, content un-stuffed */
    bool lmtp, pipelining, chunking, data, lf;
    unsigned rcpts, accepted, refuse_every, line, octets, messages;
    bool last;
};

static void fake_end(struct fake *f)
{
    for (unsigned i = 0; i < (f->lmtp ? f->accepted : 1); i++)
        buf_putz(&f->say, "250 2.0.0 taken\r\n");
    f->messages++;
    f->rcpts = f->accepted = 0;
    f->data = false;
}

static void fake_command(struct fake *f, struct span l)
{
    if (span_starts(l, SPAN("EHLO ")) || span_starts(l, SPAN("LHLO "))) {
        buf_putz(&f->say, f->pipelining ? "250-hi\r\n250-PIPELINING\r\n" : "250-hi\r\n");
        buf_putz(&f->say, f->chunking ? "250 CHUNKING\r\n" : "250 X-OTHER\r\n");
    } else if (span_starts(l, SPAN("RCPT"))) {
        bool no = f->refuse_every && ++f->rcpts % f->refuse_every == 0;
        f->accepted += !no;
        buf_putz(&f->say, no ? "550-no\r\n550 no\r\n" : "250 ok\r\n");
    } else if (span_eq(l, SPAN("DATA"))) {
        f->data = f->accepted > 0;
        buf_putz(&f->say, f->data ? "354 go\r\n" : "503 nobody\r\n");
    } else if (span_starts(l, SPAN("BDAT "))) {
        f->octets = (unsigned)strtoul(l.p + 5, NULL, 10);
        f->last = span_ends(l, SPAN(" LAST"));
        if (!f->octets && f->last)
            fake_end(f);
    } else {
        buf_putz(&f->say, span_eq(l, SPAN("QUIT")) ? "221 bye\r\n" : "250 ok\r\n");
    }
}

static bool fake_line(struct fake *f)
{
    struct span in = buf_span(&f->in);
    size_t n = span_find(in, '\n');
    if (n >= in.n)
        return false;
    struct span l = span_to(in, n - 1);
    if (f->data && span_eq(l, SPAN(".")))
        fake_end(f);
    else if (f->data)
        buf_puts(&f->got, span_from(span_to(in, n + 1), l.n && l.p[0] == '.'));
    else
        fake_command(f, l);
    buf_take(&f->in, n + 1);
    return true;
}

static void fake_run(struct fake *f)
{
    for (;;) {
        if (f->octets) {
            size_t n = f->in.len < f->octets ? f->in.len : f->octets;
            buf_puts(&f->got, span_to(buf_span(&f->in), n));
            buf_take(&f->in, n);
            f->octets -= (unsigned)n;
            if (f->octets || !n)
                return;
            if (f->last)
                fake_end(f);
            else
                buf_putz(&f->say, "250 more\r\n");
        }
        if (!fake_line(f))
            return;
    }
}

/* One step of the wire: some bytes one way or the other. False when nothing is left to move. */
static bool wire_step(struct rig *r, struct fake *f)
{
    struct span out = smtp_client_output(r->c);
    if (!out.n && !f->say.len)
        return false;
    if (out.n && (!f->say.len || rnd(2))) {
        size_t n = 1 + rnd(rnd(3) ? 40 : (unsigned)out.n);
        n = n < out.n ? n : out.n;
        buf_put(&f->in, out.p, n);
        smtp_client_sent(r->c, n, r->now);
        fake_run(f);
    } else {
        char bytes[4096];
        size_t n = 1 + rnd(rnd(3) ? 7 : (unsigned)f->say.len);
        n = n < f->say.len ? n : f->say.len;
        n = n < sizeof bytes ? n : sizeof bytes;
        memcpy(bytes, buf_span(&f->say).p, n);
        buf_take(&f->say, n);
        smtp_client_input(r->c, span_of(bytes, n), r->now);
    }
    return true;
}

static struct span random_content(struct buf *b)
{
    static const char *const pieces[] = {
        "\r\n", ".", "\r\n.\r\n", "..\r\n", "x", "MAIL FROM:<a@b>\r\n", "long long long ",
        "\r\n\r\n", "\xff\x00" };
    buf_reset(b);
    for (unsigned n = rnd(rnd(20) ? 60 : 6000); n > 0; n--)
        buf_putz(b, pieces[rnd(9)]);
    return buf_span(b);
}

static bool one_message(struct rig *r, struct fake *f, struct buf *content)
{
    struct span s = random_content(content);
    static char addr[] = "somebody@there.test";
    r->m.sender = SPAN("a@here.test");
    r->m.rcpt_count = 1 + rnd(rnd(4) ? 5 : 300);
    for (size_t i = 0; i < r->m.rcpt_count; i++)
        r->rcpts[i] = (struct envelope_rcpt){ .addr = span_str(addr) };
    f->rcpts = f->accepted = 0;
    buf_reset(&f->got);
    if (!rig_send(r, s))
        return false;
    while (wire_step(r, f) || r->in_message)
        if (!smtp_client_output(r->c).n && !f->say.len && r->in_message)
            return false; /* stuck */
    struct span got = buf_span(&f->got);
    bool ended = s.n == 0 || span_ends(s, SPAN("\r\n"));
    size_t delivered = 0;
    for (size_t i = 0; i < r->m.rcpt_count; i++) {
        bool refused = f->refuse_every && (i + 1) % f->refuse_every == 0;
        if (r->results[i] != (refused ? SMTP_FAILED : SMTP_DELIVERED))
            return false;
        delivered += !refused;
    }
    if (!delivered)
        return got.n == 0;
    return span_eq(span_to(got, s.n), s) && got.n == s.n + (ended ? 0 : 2);
}

static void random_boundaries(void)
{
    for (unsigned seed = 1; seed <= 400; seed++) {
        random_state = seed * 7919u;
        struct fake f = { .lmtp = rnd(2), .pipelining = rnd(2), .chunking = rnd(2),
                          .refuse_every = rnd(2) ? 0 : 1 + rnd(4) };
        struct rig r;
        struct buf content;
        buf_init(&f.in, 1 << 20);
        buf_init(&f.say, 1 << 20);
        buf_init(&f.got, 1 << 20);
        buf_init(&content, 1 << 20);
        rig_init(&r);
        r.conf.lmtp = f.lmtp;
        r.conf.window_bytes = 4096 << rnd(4);
        r.conf.chunk_bytes = 1 + rnd(9000);
        r.piece = rnd(2) ? 0 : 1 + rnd(100);
        rig_start(&r);
        buf_putz(&f.say, "220-hello\r\n220 there\r\n");
        while (wire_step(&r, &f))
            ;
        bool ok = r.ready;
        for (unsigned n = 1 + rnd(4); ok && n > 0; n--)
            ok = one_message(&r, &f, &content);
        ok = ok && !r.promise_broken && !r.closed && smtp_client_idle(r.c);
        rig_free(&r);
        buf_free(&f.in);
        buf_free(&f.say);
        buf_free(&f.got);
        buf_free(&content);
        if (!ok)
            TEST_FAIL("seed %u", seed);
    }
}

/* --- dot-stuffing --- */

/* The obvious form. False: a bare CR or LF. */
static bool stuff_plainly(struct span s, bool plain, struct buf *out)
{
    bool bol = true;
    for (size_t i = 0; i < s.n; i++) {
        bool cr_before = i > 0 && s.p[i - 1] == '\r';
        if ((s.p[i] == '\n') != cr_before)
            return false;
        if (bol && s.p[i] == '.' && !plain)
            buf_putc(out, '.');
        buf_putc(out, s.p[i]);
        bol = s.p[i] == '\n';
    }
    if (s.n && s.p[s.n - 1] == '\r')
        return false;
    if (!bol)
        buf_putz(out, "\r\n");
    if (!plain)
        buf_putz(out, ".\r\n");
    return true;
}

static bool stuff_in_pieces(struct span s, bool plain, struct buf *out)
{
    struct dotstuff d = dotstuff_start(plain);
    while (s.n) {
        size_t n = 1 + rnd(rnd(2) ? 200 : 3);
        n = n < s.n ? n : s.n;
        if (!dotstuff_put(&d, out, span_to(s, n)))
            return false;
        s = span_from(s, n);
    }
    return dotstuff_end(&d, out);
}

static void dotstuff_random(void)
{
    struct buf content, want, got;
    buf_init(&content, 1 << 16);
    buf_init(&want, 1 << 17);
    buf_init(&got, 1 << 17);
    unsigned bad = 0;
    for (unsigned seed = 0; seed < 20000; seed++) {
        random_state = seed;
        buf_reset(&content);
        buf_reset(&want);
        buf_reset(&got);
        for (unsigned n = rnd(40); n > 0; n--) {
            unsigned k = rnd(rnd(40) ? 3 : 5);
            buf_putz(&content, k == 0 ? "\r\n" : k == 1 ? "." : k == 3 ? "\r" : k == 4 ? "\n" : "");
            for (unsigned i = k == 2 ? rnd(90) : 0; i > 0; i--)
                buf_putc(&content, 'x');
        }
        bool plain = rnd(4) == 0;
        bool ok = stuff_plainly(buf_span(&content), plain, &want);
        CHECK_INT(stuff_in_pieces(buf_span(&content), plain, &got), ok);
        if (ok)
            CHECK_SPAN(buf_span(&got), buf_span(&want));
        bad += !ok;
    }
    CHECK(bad > 1000 && bad < 19000);
    buf_free(&content);
    buf_free(&want);
    buf_free(&got);
}

/* --- replies --- */

static void replies(void)
{
    struct reply_parser p;
    struct smtp_reply r;
    reply_parser_init(&p);
    struct span in = SPAN("250-2.1.0 a\r\n250-b\n250 c\r\n"
                          "354 5.1.1 x\r\n450 4.2.1\r\n550 5.1 x\r\n");
    CHECK_INT(reply_parse(&p, &in, &r), 1);
    CHECK_SPAN(r.text, SPAN("2.1.0 a\nb\nc"));
    CHECK_SPAN(r.enhanced, SPAN("2.1.0"));
    CHECK_INT(reply_parse(&p, &in, &r), 1);
    CHECK(r.code == 354 && r.enhanced.n == 0);
    CHECK_INT(reply_parse(&p, &in, &r), 1);
    CHECK_SPAN(r.enhanced, SPAN("4.2.1"));
    CHECK_INT(reply_parse(&p, &in, &r), 1);
    CHECK(r.enhanced.n == 0 && in.n == 0);
    CHECK_INT(reply_parse(&p, &in, &r), 0);
    static const char *const bad[] = { "\r\n", "25\r\n", "150 x\r\n", "650 x\r\n", "2x0 x\r\n",
                                       "250x\r\n", " 250 x\r\n", "250-a\r\n251 b\r\n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        reply_parser_free(&p);
        reply_parser_init(&p);
        in = span_str(bad[i]);
        CHECK_INT(reply_parse(&p, &in, &r), -1);
        CHECK(p.why);
    }
    reply_parser_free(&p);
}

/* A line of the greatest length passes, whole and in two pieces; one byte more does not. */
static void reply_limits(void)
{
    char line[REPLY_LINE_MAX + 1];
    for (int extra = 0; extra < 2; extra++)
        for (size_t cut = 0; cut < 2; cut++) {
            size_t n = REPLY_LINE_MAX + (size_t)extra;
            memset(line, 'x', sizeof line);
            memcpy(line, "250 ", 4);
            memcpy(line + n - 2, "\r\n", 2);
            struct reply_parser p;
            struct smtp_reply r;
            reply_parser_init(&p);
            struct span in = span_of(line, cut ? 1000 : n);
            int rc = reply_parse(&p, &in, &r);
            if (rc == 0) {
                in = span_of(line + 1000, n - 1000);
                rc = reply_parse(&p, &in, &r);
            }
            CHECK_INT(rc, extra ? -1 : 1);
            reply_parser_free(&p);
        }
}

static void cleaning(void)
{
    struct buf b;
    buf_init(&b, 1000);
    reply_clean(&b, SPAN("a\nb\tc\x1b[m\xc3\xa4\xc2\x80\xff\\n\\x"), 100);
    CHECK_SPAN(buf_span(&b), SPAN("a b\\x09c\\x1b[m\xc3\xa4\\xc2\\x80\\xff\\n\\x5cx"));
    buf_reset(&b);
    reply_clean(&b, SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 20);
    CHECK_SPAN(buf_span(&b), SPAN("aaaaaaaaaaaaaa..."));
    buf_free(&b);
}

static const struct test tests[] = {
    TEST(every_state_every_event), TEST(random_boundaries), TEST(dotstuff_random),
    TEST(replies), TEST(reply_limits), TEST(cleaning),
};

TEST_MAIN(tests)
