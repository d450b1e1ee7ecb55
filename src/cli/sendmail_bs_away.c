/* -bs while no gateway listens: as much of SMTP as programs speak on a pipe. Who may send to whom
 * the gateway decides later; what it refuses then is reported to the sender. */
#include "cli/sendmail_bs.h"
#include "cli/sendmail_letter.h"
#include "smtp/command.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARENA_MAX = 64 << 20, SCRATCH_MAX = 8192 };

struct away {
    struct talk *t;
    const struct sendmail_conf *conf;
    struct letter l;
    bool mail; /* a transaction is open */
};

static void say(const char *reply)
{
    printf("%s\r\n", reply);
    fflush(stdout);
}

static void reset(struct away *a)
{
    store_free(&a->l.body);
    store_init(&a->l.body);
    free(a->l.rcpts);
    a->l.rcpts = NULL;
    a->l.rcpt_count = a->l.rcpt_room = 0;
    a->l.flags = 0;
    a->mail = false;
    arena_reset(a->l.arena);
}

static const struct command_caps caps = { .eightbitmime = true, .smtputf8 = true, .dsn = true };

static void say_bad(const struct reply *r)
{
    printf("%u %s %.*s\r\n", r->code, r->enhanced, SPAN_ARG(r->text));
    fflush(stdout);
}

static void on_mail(struct away *a, struct span arg)
{
    struct command_mail m;
    struct reply bad;
    struct buf scratch;
    buf_init(&scratch, SCRATCH_MAX);
    if (a->mail) {
        say("503 5.5.0 Sender already specified");
    } else if (command_mail(arg, &caps, &m, &bad, &scratch) < 0) {
        say_bad(&bad);
    } else {
        a->l.sender = address_normal(a->l.arena, &m.from);
        a->l.envid = arena_dup(a->l.arena, m.envid);
        a->l.flags = m.flags;
        a->mail = true;
        say("250 2.1.0 Sender ok");
    }
    buf_free(&scratch);
}

static void on_rcpt(struct away *a, struct span arg)
{
    struct command_rcpt r;
    struct reply bad;
    struct buf scratch;
    size_t before = a->l.rcpt_count;
    buf_init(&scratch, SCRATCH_MAX);
    if (!a->mail) {
        say("503 5.0.0 Need MAIL before RCPT");
    } else if (command_rcpt(arg, &caps, a->l.flags & ENVELOPE_SMTPUTF8, &r, &bad, &scratch) < 0) {
        say_bad(&bad);
    } else if (!letter_add(&a->l, address_normal(a->l.arena, &r.to), 0, SPAN_NONE)) {
        say("452 4.5.3 Too many recipients");
    } else {
        if (a->l.rcpt_count > before) {
            a->l.rcpts[before].rcpt.notify = r.notify;
            a->l.rcpts[before].rcpt.orcpt = arena_dup(a->l.arena, r.orcpt);
        }
        say("250 2.1.5 Recipient ok");
    }
    buf_free(&scratch);
}

/* False: the input has ended within the message, which is none then. */
static bool take_content(struct away *a, bool *kept_r)
{
    struct span line;
    size_t taken;
    *kept_r = true;
    while (bs_line(a->t, &line, &taken)) {
        bool dot = span_eq(line, SPAN("."));
        if (line.n && line.p[0] == '.')
            line = span_from(line, 1);
        *kept_r = *kept_r && (dot || (store_put(&a->l.body, line) &&
                                      store_put(&a->l.body, SPAN("\r\n"))));
        buf_take(&a->t->in, taken);
        if (dot)
            return true;
    }
    return false;
}

static bool on_data(struct away *a)
{
    struct err err = { "the message cannot be kept" };
    bool kept;
    if (!a->l.rcpt_count) {
        say(a->mail ? "503 5.0.0 Need RCPT (recipient)" : "503 5.0.0 Need MAIL command");
        return true;
    }
    say("354 Enter mail, end with \".\" on a line by itself");
    if (!take_content(a, &kept))
        return false;
    if (kept && letter_drop(&a->l, &err))
        say("250 2.0.0 Message accepted, it waits for the gateway");
    else
        printf("451 4.3.0 %s\r\n", err.text);
    fflush(stdout);
    reset(a);
    return true;
}

static void hello(const struct away *a, bool ehlo)
{
    printf("250%c%.*s Hello, the gateway is not running\r\n", ehlo ? '-' : ' ',
           SPAN_ARG(a->conf->hostname));
    if (ehlo)
        say("250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN");
    fflush(stdout);
}

/* False: it is over. */
static bool answer(struct away *a, const struct command *c)
{
    switch (c->verb) {
    case COMMAND_EHLO:
    case COMMAND_HELO:
        reset(a);
        hello(a, c->verb == COMMAND_EHLO);
        return true;
    case COMMAND_MAIL: on_mail(a, c->arg); return true;
    case COMMAND_RCPT: on_rcpt(a, c->arg); return true;
    case COMMAND_DATA: return on_data(a);
    case COMMAND_RSET:
        reset(a);
        say("250 2.0.0 Reset state");
        return true;
    case COMMAND_NOOP: say("250 2.0.0 OK"); return true;
    case COMMAND_VRFY: say("252 2.5.2 Cannot VRFY user; try RCPT"); return true;
    case COMMAND_QUIT: say("221 2.0.0 closing connection"); return false;
    default: say("502 5.5.1 Command not implemented"); return true;
    }
}

void bs_away(struct talk *t, const struct sendmail_flags *f, const struct sendmail_conf *conf)
{
    struct away a = { .t = t, .conf = conf,
                      .l = { .f = f, .conf = conf, .arena = arena_new(ARENA_MAX) } };
    struct span line;
    size_t taken;
    bool go_on = true;
    buf_init(&a.l.header, 1);
    store_init(&a.l.body);
    printf("220 %.*s ESMTP Postern\r\n", SPAN_ARG(conf->hostname));
    fflush(stdout);
    while (go_on && bs_line(t, &line, &taken)) {
        struct buf copy; /* the message is read into where the line stands */
        buf_init(&copy, line.n + 1);
        buf_puts(&copy, line);
        buf_take(&t->in, taken);
        struct command c = command_read(buf_span(&copy));
        go_on = answer(&a, &c);
        buf_free(&copy);
    }
    reset(&a);
    store_free(&a.l.body);
    buf_free(&a.l.header);
    arena_free(&a.l.arena);
}
