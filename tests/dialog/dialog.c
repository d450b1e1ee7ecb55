/* Runs the dialogues in a directory, each against a fresh SMTP server session. One file, one
 * point; one line each:
 *
 *   C: text     one packet, CRLF added        C+ text    the same, joined to the next packet
 *   X: bytes    one packet, escapes undone    X+ bytes   the same, joined
 *   S: text     the next line the server says; a "*" at the end stands for anything
 *   # text      a comment                     @word ...  see `directives`
 *
 * Before each packet, and at the end, nothing said may be left unread. Each file is run again
 * with its bytes arriving one at a time, unless it says @packets (where they end matters).  */
#include "bed.h"

#include "base/must.h"
#include "base/num.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

struct run {
    struct bed bed;
    struct buf packet;
    bool started, packets_matter;
    char wrong[1024];
};

static bool fail(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct run *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->wrong, sizeof r->wrong, fmt, ap);
    va_end(ap);
    return false;
}

static int hex(char c)
{
    c = ascii_lower(c);
    return ascii_isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \r \n \t \0 \\ \s (blank) \xHH, and \{N}c: N times the character c */
static void put_escaped(struct buf *b, struct span s)
{
    static const char from[] = "rnt0\\s", to[] = "\r\n\t\0\\ ";
    for (size_t i = 0; i < s.n; i++) {
        const char *at;
        if (s.p[i] != '\\' || i + 1 == s.n) {
            buf_putc(b, s.p[i]);
        } else if (s.p[i + 1] == 'x' && i + 3 < s.n) {
            buf_putc(b, (char)(hex(s.p[i + 2]) * 16 + hex(s.p[i + 3])));
            i += 3;
        } else if (s.p[i + 1] == '{') {
            uint64_t count = 0;
            size_t close = i + span_find(span_from(s, i), '}');
            num_upto(span_to(span_from(s, i + 2), close - i - 2), 1 << 24, &count);
            while (count-- > 0 && close + 1 < s.n)
                buf_putc(b, s.p[close + 1]);
            i = close + 1;
        } else if ((at = strchr(from, s.p[++i]))) {
            buf_putc(b, to[at - from]);
        }
    }
}

/* ---- directives ---- */

static bool hooks_of(struct span arg, unsigned *mask)
{
    for (struct span w; (w = span_word(&arg)).n > 0;) {
        bool known = false;
        for (int h = 0; h < SMTP_HOOKS; h++) {
            bool is = span_eq(w, span_str(smtp_server_hook_name(h)));
            if (is || span_eq(w, SPAN("all")))
                *mask |= SMTP_ASK(h);
            known |= is || span_eq(w, SPAN("all"));
        }
        if (!known)
            return false;
    }
    return true;
}

static bool d_ask(struct run *r, struct span arg) { return hooks_of(arg, &r->bed.config.ask); }

static bool d_late(struct run *r, struct span arg)
{
    r->bed.late = 0;
    return hooks_of(arg, &r->bed.late) && hooks_of(arg, &r->bed.config.ask);
}

static bool d_config(struct run *r, struct span arg)
{
    struct smtp_server_config *c = &r->bed.config;
    struct span name = span_word(&arg), value = span_word(&arg);
    uint64_t n = 0;
    bool on = span_eq(value, SPAN("on"));
    struct {
        const char *name;
        bool *flag;
    } flags[] = { { "starttls", &c->starttls }, { "starttls_required", &c->starttls_required },
                  { "pipelining", &c->pipelining }, { "chunking", &c->chunking },
                  { "smtputf8", &c->smtputf8 }, { "dsn", &c->dsn },
                  { "eightbitmime", &c->eightbitmime }, { "need_helo", &c->need_helo },
                  { "normalise", &r->bed.client.normalise } };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (span_eq(name, span_str(flags[i].name))) {
            *flags[i].flag = on;
            return true;
        }
    }
    if (span_eq(name, SPAN("auth"))) {
        c->auth = SPAN("PLAIN LOGIN");
        c->ask |= SMTP_ASK(SMTP_HOOK_AUTH);
        return true;
    }
    if (!num_u64(value, &n))
        return false;
    if (span_eq(name, SPAN("line_bytes")))
        c->line_bytes = n;
    else if (span_eq(name, SPAN("message_bytes")))
        c->message_bytes = n;
    else if (span_eq(name, SPAN("recipients")))
        c->recipients = (unsigned)n;
    else if (span_eq(name, SPAN("bad_commands")))
        c->bad_commands = (unsigned)n;
    else if (span_eq(name, SPAN("received_max")))
        c->received_max = (unsigned)n;
    else if (span_eq(name, SPAN("ours_max")))
        c->ours_max = (unsigned)n;
    else if (span_eq(name, SPAN("envelope_bytes")))
        c->envelope_bytes = n;
    else
        return false;
    return true;
}

static bool d_client(struct run *r, struct span arg)
{
    r->bed.client.ip = span_word(&arg); /* the file's text outlives the run */
    r->bed.client.name = span_word(&arg);
    return r->bed.client.ip.n > 0;
}

static bool d_rule(struct run *r, struct span arg)
{
    struct span key = span_word(&arg);
    if (span_eq(key, SPAN("auth"))) { /* auth WORD WORD -> reply */
        size_t at = span_find(arg, '>');
        struct buf whole;
        buf_init(&whole, 1024);
        buf_printf(&whole, "auth %.*s", SPAN_ARG(span_trim(span_to(arg, at))));
        bool ok = bed_rule_add(&r->bed, buf_span(&whole), span_from(arg, at + 1));
        buf_free(&whole);
        return ok;
    }
    return bed_rule_add(&r->bed, span_eq(key, SPAN("<>")) ? SPAN("") : key, arg);
}

static bool d_lease(struct run *r, struct span arg)
{
    r->bed.no_lease = span_eq(arg, SPAN("no"));
    return true;
}

static bool d_commit(struct run *r, struct span arg)
{
    r->bed.hold_commit = span_eq(arg, SPAN("hold"));
    r->bed.refuse_commit.reply.code = 0;
    if (r->bed.hold_commit || span_eq(arg, SPAN("ok")))
        return true;
    return bed_rule_set(&r->bed.refuse_commit, SPAN(""), arg);
}

static bool d_committed(struct run *r, struct span arg)
{
    bool taken = bed_committed(&r->bed);
    bed_pump(&r->bed);
    return taken == !span_eq(arg, SPAN("late")) || fail(r, "receipt taken: %d", taken);
}

static bool d_refused(struct run *r, struct span arg)
{
    struct bed_rule why;
    if (!bed_rule_set(&why, SPAN(""), arg))
        return false;
    bool taken = bed_refused(&r->bed, &why);
    bed_pump(&r->bed);
    return taken || fail(r, "refusal not taken");
}

static bool d_answer(struct run *r, struct span arg)
{
    uint64_t id = r->bed.question;
    bool want = arg.n == 0;
    if (span_eq(arg, SPAN("unknown")))
        id += 7;
    else if (span_eq(arg, SPAN("older")))
        id--;
    bool taken = bed_answer(&r->bed, id);
    return taken == want || fail(r, "answer taken: %d", taken);
}

static bool d_question(struct run *r, struct span arg)
{
    struct span hook = span_word(&arg), count = span_word(&arg);
    uint64_t n = 1;
    if (count.n && !num_u64(count, &n))
        return false;
    const char *now = smtp_server_hook_name(r->bed.hook);
    return (span_eq(hook, span_str(now)) && n == r->bed.items) ||
           fail(r, "the question is %s with %zu items", now, r->bed.items);
}

static bool d_asked(struct run *r, struct span arg)
{
    struct span hook = span_word(&arg), count = span_word(&arg);
    uint64_t n = 0;
    unsigned mask = 0;
    if (!hooks_of(hook, &mask) || !num_u64(count, &n))
        return false;
    for (int h = 0; h < SMTP_HOOKS; h++)
        if (mask & SMTP_ASK(h) && r->bed.asked[h] != n)
            return fail(r, "asked %u times", r->bed.asked[h]);
    return true;
}

static bool d_credit(struct run *r, struct span arg)
{
    uint64_t n;
    bool ok = num_u64(arg, &n);
    r->bed.credit_bytes = ok ? n : SIZE_MAX;
    return ok || span_eq(arg, SPAN("all"));
}

static bool d_resume(struct run *r, struct span arg)
{
    bool taken = bed_resume(&r->bed);
    return taken == !span_eq(arg, SPAN("late")) || fail(r, "resume taken: %d", taken);
}

static bool d_clock(struct run *r, struct span arg)
{
    int64_t ms;
    if (!num_duration_ms(arg, &ms))
        return false;
    bed_clock(&r->bed, ms);
    return true;
}

static bool d_tls(struct run *r, struct span arg)
{
    (void)arg;
    return bed_tls(&r->bed) || fail(r, "no handshake awaited");
}

static bool d_eof(struct run *r, struct span arg)
{
    (void)arg;
    smtp_server_lost(r->bed.s);
    bed_pump(&r->bed);
    return true;
}

static bool d_shutdown(struct run *r, struct span arg)
{
    (void)arg;
    smtp_server_shutdown(r->bed.s);
    bed_pump(&r->bed);
    return true;
}

static bool d_blocked(struct run *r, struct span arg)
{
    bool now = smtp_server_blocked(r->bed.s);
    return now == !span_eq(arg, SPAN("no")) || fail(r, "blocked: %d", now);
}

static bool d_closing(struct run *r, struct span arg)
{
    bool now = smtp_server_closing(r->bed.s);
    return now == !span_eq(arg, SPAN("no")) || fail(r, "closing: %d", now);
}

static bool is_text(struct run *r, struct span got, struct span want, bool part)
{
    struct buf b;
    buf_init(&b, 32 << 20);
    put_escaped(&b, want);
    bool ok = part ? got.n >= b.len && memmem(got.p, got.n, buf_span(&b).p, b.len) != NULL
                   : span_eq(got, buf_span(&b));
    if (!ok)
        fail(r, "it is \"%.*s\"", got.n < 800 ? (int)got.n : 800, got.p ? got.p : "");
    buf_free(&b);
    return ok;
}

static bool d_content(struct run *r, struct span arg)
{
    return is_text(r, buf_span(&r->bed.content), arg, false);
}

static bool d_head(struct run *r, struct span arg)
{
    return is_text(r, buf_span(&r->bed.head), arg, true);
}

static bool d_event(struct run *r, struct span arg)
{
    struct span events = buf_span(&r->bed.events);
    size_t n = span_find(events, '\n');
    if (!span_eq(span_to(events, n), arg))
        return fail(r, "the next event is \"%.*s\"", SPAN_ARG(span_to(events, n)));
    buf_take(&r->bed.events, n < events.n ? n + 1 : n);
    return true;
}

static bool d_accepted(struct run *r, struct span arg)
{
    uint64_t n;
    return num_u64(arg, &n) && (n == r->bed.accepted || fail(r, "accepted %u", r->bed.accepted));
}

static bool d_txn(struct run *r, struct span arg)
{
    const struct envelope *e = smtp_server_envelope(r->bed.s);
    if (span_eq(arg, SPAN("none")))
        return !e || fail(r, "a transaction is open");
    struct buf b;
    buf_init(&b, 64 << 10);
    for (size_t i = 0; e && i < e->rcpt_count; i++)
        buf_printf(&b, "%s%.*s", i ? " " : "", SPAN_ARG(e->rcpts[i].addr));
    bool ok = e && is_text(r, buf_span(&b), arg, false);
    buf_free(&b);
    return ok || (!r->wrong[0] && fail(r, "no transaction"));
}

static bool d_envelope(struct run *r, struct span arg)
{
    const struct envelope *e = smtp_server_envelope(r->bed.s);
    struct buf b;
    if (!e)
        return fail(r, "no transaction");
    buf_init(&b, 64 << 10);
    buf_printf(&b, "sender=%.*s flags=%u envid=%.*s proto=%.*s auth=%.*s", SPAN_ARG(e->sender),
               e->flags, SPAN_ARG(e->envid), SPAN_ARG(e->proto), SPAN_ARG(e->auth));
    for (size_t i = 0; i < e->rcpt_count; i++)
        buf_printf(&b, " %.*s:%u:%.*s", SPAN_ARG(e->rcpts[i].addr), e->rcpts[i].notify,
                   SPAN_ARG(e->rcpts[i].orcpt));
    bool ok = is_text(r, buf_span(&b), arg, false);
    buf_free(&b);
    return ok;
}

static bool d_read(struct run *r, struct span arg)
{
    (void)arg;
    buf_reset(&r->bed.out);
    return true;
}

static bool d_packets(struct run *r, struct span arg)
{
    (void)arg;
    r->packets_matter = true;
    return true;
}

static const struct {
    const char *name;
    bool (*run)(struct run *, struct span arg);
    bool before_start; /* sets the session up; the others act on it */
} directives[] = {
    { "ask", d_ask, true },         /* HOOK...: asked, answered at once by the rules */
    { "late", d_late, true },       /* HOOK...: asked, answered when the dialogue says @answer */
    { "config", d_config, true },   /* NAME VALUE */
    { "client", d_client, true },   /* IP [NAME] */
    { "packets", d_packets, true },
    { "rule", d_rule, true },       /* ADDRESS|HOOK CODE ENHANCED|- TEXT */
    { "commit", d_commit, true },   /* ok | hold | CODE ENHANCED TEXT: from now on */
    { "lease", d_lease, true },     /* no | yes */
    { "credit", d_credit, true },   /* BYTES | all */
    { "committed", d_committed, false }, /* [late]: the receipt arrives (and is not awaited) */
    { "refused", d_refused, false },     /* CODE ENHANCED TEXT */
    { "answer", d_answer, false },  /* [late|unknown|older]: one that must not be taken */
    { "question", d_question, false },   /* HOOK [ITEMS]: the last question was that */
    { "asked", d_asked, false },    /* HOOK TIMES */
    { "resume", d_resume, false },  /* [late] */
    { "clock", d_clock, false },    /* DURATION */
    { "tls", d_tls, false },
    { "read", d_read, false },       /* drops what was said so far: it is not the point */
    { "eof", d_eof, false },
    { "shutdown", d_shutdown, false },
    { "blocked", d_blocked, false }, /* [no] */
    { "closing", d_closing, false }, /* [no] */
    { "content", d_content, false }, /* BYTES: all content of the last transaction */
    { "head", d_head, false },       /* BYTES: part of the header block put in front */
    { "event", d_event, false },     /* NAME STAGE [ADDRESS]: the next event, in order */
    { "accepted", d_accepted, false }, /* N messages so far */
    { "txn", d_txn, false },         /* none | RCPT... */
    { "envelope", d_envelope, false },
};

/* ---- one file ---- */

static bool all_read(struct run *r)
{
    struct span left = buf_span(&r->bed.out);
    return left.n == 0 ||
           fail(r, "unexpected: %.*s", (int)(left.n < 300 ? left.n : 300), left.p);
}

static bool expect(struct run *r, struct span want)
{
    struct span out = buf_span(&r->bed.out);
    size_t n = span_find(out, '\n');
    struct span got = span_trim_lines(span_to(out, n));
    bool starts = want.n > 0 && want.p[want.n - 1] == '*' &&
                  span_starts(got, span_to(want, want.n - 1));
    if (!starts && !span_eq(got, want))
        return fail(r, "said \"%.*s\"", SPAN_ARG(got));
    if (n < out.n && (n == 0 || out.p[n - 1] != '\r'))
        return fail(r, "a reply line without CRLF");
    buf_take(&r->bed.out, n < out.n ? n + 1 : n);
    return true;
}

static bool send_packet(struct run *r, char kind, bool join, struct span text)
{
    if (kind == 'X') {
        put_escaped(&r->packet, text);
    } else {
        buf_puts(&r->packet, text);
        buf_putz(&r->packet, "\r\n");
    }
    if (join)
        return true;
    if (!all_read(r))
        return false;
    bed_input(&r->bed, buf_span(&r->packet));
    buf_reset(&r->packet);
    return true;
}

static void start(struct run *r)
{
    if (!r->started)
        bed_start(&r->bed);
    r->started = true;
}

static bool directive(struct run *r, struct span line)
{
    struct span word = span_word(&line);
    for (size_t i = 0; i < sizeof directives / sizeof *directives; i++) {
        if (!span_eq(word, span_str(directives[i].name)))
            continue;
        if (!directives[i].before_start)
            start(r);
        return directives[i].run(r, span_trim(line)) || r->wrong[0] || !fail(r, "malformed");
    }
    return fail(r, "no such directive");
}

static bool one_line(struct run *r, struct span line)
{
    if (line.n == 0 || line.p[0] == '#')
        return true;
    if (line.p[0] == '@')
        return directive(r, span_from(line, 1)) && !r->wrong[0];
    start(r);
    struct span text = span_from(line, line.n > 2 && line.p[2] == ' ' ? 3 : 2);
    if (span_starts(line, SPAN("S:")))
        return expect(r, text);
    if (line.n >= 2 && (line.p[0] == 'C' || line.p[0] == 'X') && strchr(":+", line.p[1]))
        return send_packet(r, line.p[0], line.p[1] == '+', text);
    return fail(r, "what is this?");
}

/* Everything balances once the session is gone, however it went. */
static bool balanced(struct run *r)
{
    unsigned ends = 0;
    smtp_server_free(&r->bed.s);
    for (int i = 0; i < 4; i++)
        ends += r->bed.ended[i];
    return (ends == r->bed.leased && r->bed.ended[SMTP_END_COMMITTED] == r->bed.accepted) ||
           fail(r, "%u transactions begun, %u ended", r->bed.leased, ends);
}

static bool run_text(struct span text, const char *name, bool bytewise, bool *again_r)
{
    struct run r = { 0 };
    unsigned at = 0;
    bool ok = true;
    bed_init(&r.bed);
    buf_init(&r.packet, 32 << 20);
    r.bed.bytewise = bytewise;
    while (ok && text.n > 0) {
        size_t n = span_find(text, '\n');
        at++;
        ok = one_line(&r, span_to(text, n));
        text = span_from(text, n + 1);
    }
    start(&r);
    ok = ok && all_read(&r) && balanced(&r);
    if (!ok)
        printf("not ok %s:%u%s: %s\n", name, at, bytewise ? " (bytewise)" : "", r.wrong);
    *again_r = !r.packets_matter;
    buf_free(&r.packet);
    bed_free(&r.bed);
    return ok;
}

static bool run_file(const char *dir, const char *name)
{
    static char text[1 << 20];
    char path[4096];
    bool again;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    MUST(f);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    bool ok = run_text(span_of(text, n), name, false, &again) &&
              (!again || run_text(span_of(text, n), name, true, &again));
    if (ok)
        printf("ok %s\n", name);
    fflush(stdout);
    return ok;
}

static int is_dialog(const struct dirent *e)
{
    return span_ends(span_str(e->d_name), SPAN(".smtp"));
}

int main(int argc, char **argv)
{
    struct dirent **names;
    int n = argc > 1 ? scandir(argv[1], &names, is_dialog, alphasort) : -1;
    bool ok = n > 0;
    if (!ok)
        printf("not ok dialog: no dialogues in \"%s\"\n", argc > 1 ? argv[1] : "");
    for (int i = 0; i < n; i++) {
        if (argc < 3 || strstr(names[i]->d_name, argv[2]))
            ok &= run_file(argv[1], names[i]->d_name);
        free(names[i]);
    }
    if (n > 0)
        free(names);
    return ok ? 0 : 1;
}
