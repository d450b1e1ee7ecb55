/* Plays dialogue files (*.smtp) against the client. One directive a line:
 *   set WORD ...          lmtp, tls=try, tls=require, eightbit=bounce, window=N, chunk=N,
 *                         no=CHUNKING (any extension)
 *   message sender=A rcpt=B[,success][,never][,orcpt=X] ... [size=N] [8bit] [utf8] [quit] [raw]
 *           [ret=full|hdrs] [envid=X]      then `content "..."` with C escapes, then `send`
 *   S: LINE               the server says LINE CRLF          S! BYTES   as they are, with escapes
 *   C: LINE               the next line the client says      C! BYTES   its next bytes, escaped
 *   C-                    it says nothing more
 *   E: TEXT               the next event begins with TEXT    E-         no event is left
 *   eof [WHY] | wait MS | abort WHY | tlsdone | quit | attempt MS | hold | give
 * At the end nothing the client said or told may be left over. */
#include "rig.h"

#include "base/num.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

struct play {
    struct rig rig;
    struct arena *mem;
    struct span content;
    const char *why; /* what went wrong */
    struct buf detail;
};

static struct span unescape(struct play *p, struct span s)
{
    struct span d = arena_dup(p->mem, s);
    char *to = (char *)(uintptr_t)d.p;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' && i + 1 < s.n) {
            c = s.p[++i];
            if (c == 'x' && i + 2 < s.n) {
                char hex[3] = { s.p[i + 1], s.p[i + 2], 0 };
                c = (char)strtol(hex, NULL, 16);
                i += 2;
            } else {
                c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c;
            }
        }
        to[n++] = c;
    }
    return span_of(to, n);
}

static void fail(struct play *p, const char *why, struct span detail)
{
    p->why = why;
    buf_reset(&p->detail);
    buf_puts(&p->detail, detail);
}

static bool value(struct span word, const char *key, struct span *v_r)
{
    if (!span_starts(word, span_str(key)))
        return false;
    *v_r = span_from(word, strlen(key));
    return true;
}

static size_t number(struct span s)
{
    uint64_t v = 0;
    MUST(num_u64(s, &v));
    return v;
}

static void set(struct play *p, struct span word)
{
    static const struct { const char *name; uint32_t bit; } exts[] = {
        { "PIPELINING", SMTP_EXT_PIPELINING }, { "CHUNKING", SMTP_EXT_CHUNKING },
        { "DSN", SMTP_EXT_DSN }, { "SIZE", SMTP_EXT_SIZE },
    };
    struct smtp_client_config *c = &p->rig.conf;
    struct span v;
    if (span_eq(word, SPAN("lmtp")))
        c->lmtp = true;
    else if (value(word, "tls=", &v))
        c->tls = span_eq(v, SPAN("try")) ? SMTP_TLS_TRY : SMTP_TLS_REQUIRE;
    else if (value(word, "eightbit=", &v))
        c->eightbit = SMTP_EIGHTBIT_BOUNCE;
    else if (value(word, "window=", &v))
        c->window_bytes = number(v);
    else if (value(word, "chunk=", &v))
        c->chunk_bytes = number(v);
    else if (value(word, "no=", &v))
        for (size_t i = 0; i < sizeof exts / sizeof *exts; i++)
            c->disable |= span_eq(v, span_str(exts[i].name)) ? exts[i].bit : 0;
    else
        fail(p, "unknown setting", word);
}

static void add_rcpt(struct play *p, struct span v)
{
    struct envelope_rcpt *r = &p->rig.rcpts[p->rig.m.rcpt_count++];
    *r = (struct envelope_rcpt){ 0 };
    size_t n = span_find(v, ',');
    r->addr = unescape(p, span_to(v, n));
    while (n < v.n) {
        v = span_from(v, n + 1);
        n = span_find(v, ',');
        struct span w = span_to(v, n);
        if (span_eq(w, SPAN("success")))
            r->notify |= NOTIFY_SUCCESS;
        else if (span_eq(w, SPAN("failure")))
            r->notify |= NOTIFY_FAILURE;
        else if (span_eq(w, SPAN("never")))
            r->notify |= NOTIFY_NEVER;
        else if (!value(w, "orcpt=", &r->orcpt))
            fail(p, "unknown recipient option", w);
        r->orcpt = arena_dup(p->mem, r->orcpt);
    }
}

static void message_word(struct play *p, struct span w)
{
    struct smtp_message *m = &p->rig.m;
    struct span v;
    if (value(w, "sender=", &v))
        m->sender = unescape(p, v);
    else if (value(w, "rcpt=", &v))
        add_rcpt(p, v);
    else if (value(w, "rcpts=", &v))
        for (size_t n = number(v); n > 0; n--)
            add_rcpt(p, SPAN("many@there.test"));
    else if (value(w, "size=", &v))
        m->size_bytes = number(v);
    else if (value(w, "ret=", &v))
        m->flags |= span_eq(v, SPAN("full")) ? ENVELOPE_RET_FULL : ENVELOPE_RET_HDRS;
    else if (value(w, "envid=", &v))
        m->envid = arena_dup(p->mem, v);
    else if (span_eq(w, SPAN("8bit")))
        m->flags |= ENVELOPE_8BITMIME;
    else if (span_eq(w, SPAN("utf8")))
        m->flags |= ENVELOPE_SMTPUTF8;
    else if (span_eq(w, SPAN("quit")))
        m->quit = true;
    else if (span_eq(w, SPAN("raw")))
        m->raw = true;
    else
        fail(p, "unknown message word", w);
}

static void want_line(struct play *p, struct span want)
{
    struct span out = smtp_client_output(p->rig.c);
    size_t n = span_find(out, '\n');
    struct span got = span_to(out, n && n < out.n ? n - 1 : n);
    if (n >= out.n || out.p[n - 1] != '\r' || !span_eq(got, want)) {
        fail(p, "the client says", out.n ? got : SPAN("(nothing)"));
        return;
    }
    smtp_client_sent(p->rig.c, n + 1, p->rig.now);
}

static void want_bytes(struct play *p, struct span want)
{
    struct span out = smtp_client_output(p->rig.c);
    if (!span_starts(out, want))
        fail(p, "the client says", out);
    else
        smtp_client_sent(p->rig.c, want.n, p->rig.now);
}

static void want_event(struct play *p, struct span want)
{
    struct span log = buf_span(&p->rig.log);
    size_t n = span_find(log, '\n');
    if (!span_starts(span_to(log, n), want))
        fail(p, "the event is", log.n ? span_to(log, n) : SPAN("(none)"));
    else
        buf_take(&p->rig.log, n + 1);
}

static void server_says(struct play *p, struct span bytes)
{
    smtp_client_input(p->rig.c, bytes, p->rig.now);
}

static void act(struct play *p, struct span verb, struct span rest)
{
    struct rig *r = &p->rig;
    if (span_eq(verb, SPAN("eof"))) {
        smtp_client_eof(r->c, rest, r->now);
    } else if (span_eq(verb, SPAN("wait"))) {
        r->now += (int64_t)number(rest);
        smtp_client_tick(r->c, r->now);
    } else if (span_eq(verb, SPAN("abort"))) {
        smtp_client_abort(r->c, rest, r->now);
    } else if (span_eq(verb, SPAN("tlsdone"))) {
        smtp_client_tls_done(r->c, r->now);
    } else if (span_eq(verb, SPAN("quit"))) {
        smtp_client_quit(r->c, r->now);
    } else if (span_eq(verb, SPAN("attempt"))) {
        smtp_client_set_attempt(r->c, r->now + (int64_t)number(rest));
    } else if (span_eq(verb, SPAN("send"))) {
        if (!rig_send(r, p->content))
            fail(p, "send is refused", SPAN_NONE);
    } else if (span_eq(verb, SPAN("hold")) || span_eq(verb, SPAN("give"))) {
        r->hold = verb.p[0] == 'h';
        rig_give(r);
    } else {
        fail(p, "unknown directive", verb);
    }
}

static void directive(struct play *p, struct span line)
{
    struct span body = span_from(line, 3), rest = line, verb = span_word(&rest);
    rest = span_trim(rest);
    if (span_eq(verb, SPAN("set"))) {
        while (rest.n)
            set(p, span_word(&rest));
        return;
    }
    if (!p->rig.c)
        rig_start(&p->rig);
    if (span_starts(line, SPAN("S:")))
        server_says(p, arena_dup(p->mem, span_of(body.p, body.n + 2))); /* the CRLF is there */
    else if (span_starts(line, SPAN("S!")))
        server_says(p, unescape(p, body));
    else if (span_starts(line, SPAN("C:")))
        want_line(p, body);
    else if (span_starts(line, SPAN("C!")))
        want_bytes(p, unescape(p, body));
    else if (span_starts(line, SPAN("E:")))
        want_event(p, body);
    else if (span_eq(line, SPAN("C-"))) {
        if (smtp_client_output(p->rig.c).n)
            fail(p, "the client says more", smtp_client_output(p->rig.c));
    } else if (span_eq(line, SPAN("E-"))) {
        if (p->rig.log.len)
            fail(p, "an event too many", buf_span(&p->rig.log));
    } else if (span_eq(verb, SPAN("message"))) {
        p->rig.m = (struct smtp_message){ 0 };
        while (rest.n)
            message_word(p, span_word(&rest));
    } else if (span_eq(verb, SPAN("content"))) {
        p->content = unescape(p, span_of(rest.p + 1, rest.n - 2));
    } else {
        act(p, verb, rest);
    }
}

/* The file's lines get CRLF ends, so that a line is what goes over the wire. */
static struct span read_crlf(struct arena *mem, FILE *f)
{
    char line[4096];
    struct buf b;
    buf_init(&b, 1 << 20);
    while (fgets(line, sizeof line, f)) {
        buf_puts(&b, span_to(span_str(line), strcspn(line, "\n")));
        buf_putz(&b, "\r\n");
    }
    struct span s = arena_dup(mem, buf_span(&b));
    buf_free(&b);
    return s;
}

static int play_file(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        printf("not ok %s: cannot be read\n", path);
        return 1;
    }
    struct play p = { .mem = arena_new(8 << 20) };
    buf_init(&p.detail, 1 << 20);
    rig_init(&p.rig);
    struct span text = read_crlf(p.mem, f);
    fclose(f);
    unsigned at = 0;
    while (text.n && !p.why) {
        size_t n = span_find(text, '\r');
        struct span line = span_to(text, n);
        at++;
        if (line.n && line.p[0] != '#')
            directive(&p, line);
        text = span_from(text, n + 2);
    }
    if (!p.why && p.rig.c && smtp_client_output(p.rig.c).n)
        fail(&p, "left over at the end, the client says", smtp_client_output(p.rig.c));
    if (!p.why && p.rig.log.len)
        fail(&p, "left over at the end, an event", buf_span(&p.rig.log));
    if (p.why)
        printf("not ok %s: line %u: %s %.*s\n", path, at, p.why, SPAN_ARG(buf_span(&p.detail)));
    else
        printf("ok %s\n", path);
    rig_free(&p.rig);
    arena_free(&p.mem);
    buf_free(&p.detail);
    return p.why != NULL;
}

static int is_dialogue(const struct dirent *e)
{
    return span_ends(span_str(e->d_name), SPAN(".smtp"));
}

int main(int argc, char **argv)
{
    int bad = 0, ran = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **names;
        int n = scandir(argv[i], &names, is_dialogue, alphasort);
        if (n < 0) {
            bad |= play_file(argv[i]);
            ran++;
        }
        for (int k = 0; k < n; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], names[k]->d_name);
            bad |= play_file(path);
            ran++;
            free(names[k]);
        }
        if (n >= 0)
            free(names);
    }
    return bad || !ran;
}
