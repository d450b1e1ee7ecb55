/* Command lines: the table of verbs, and those that touch no message. */
#include "smtp/server_int.h"

#include "mail/date.h"
#include "mail/received.h"
#include "mail/untrusted.h"

enum {
    LAST = 1,     /* must be the last of its group: input behind it is refused */
    TLS_FREE = 2, /* allowed before a required STARTTLS (RFC 3207 4) */
};

static void say_host(struct smtp_server *s, unsigned code, const char *text)
{
    server_say(s, code, "", "%.*s %s", SPAN_ARG(s->config->hostname), text);
}

/* 220, or 554 for a client that talks before it is greeted or that policy refuses. After a 554
 * (RFC 5321 3.1) the client may still QUIT; everything else gets 550. */
void server_greet(struct smtp_server *s, const struct smtp_server_verdict *v)
{
    struct reply r = server_verdict(v, 0);
    s->state = STATE_COMMAND;
    if (v && v->name.n)
        server_set(&s->name, v->name);
    if (s->early) {
        server_event(s, SMTP_EVENT_EARLY_TALK, SPAN(""), SPAN(""));
        say_host(s, 554, "ESMTP not accepting messages");
        s->rejecting = true;
    } else if (!reply_positive(&r) && v->count > 0) {
        server_say_reply(s, &r, SPAN(""));
        s->rejecting = true;
    } else {
        struct buf date;
        s->putting_off = !reply_positive(&r);
        buf_init(&date, 64);
        mail_date_put(&date, s->now.wall_ms, s->config->zone_min);
        server_say(s, 220, "", "%.*s %.*s; %.*s", SPAN_ARG(s->config->hostname),
                   SPAN_ARG(s->config->greeting), SPAN_ARG(buf_span(&date)));
        buf_free(&date);
    }
}

/* ---- HELO and EHLO ---- */

static void capabilities(struct smtp_server *s, struct buf *b)
{
    const struct smtp_server_config *c = s->config;
    const struct {
        bool offered;
        const char *line;
    } caps[] = {
        { true, "ENHANCEDSTATUSCODES" },
        { c->pipelining, "PIPELINING" },
        { c->chunking, "CHUNKING" },
        { c->eightbitmime, "8BITMIME" },
        { c->smtputf8, "SMTPUTF8" },
        { c->dsn, "DSN" },
        { c->starttls && !s->tls_version, "STARTTLS" },
        { s->local, "XDELIVERY" },
    };
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++)
        if (caps[i].offered)
            buf_printf(b, "\n%s", caps[i].line);
    if (c->message_bytes)
        buf_printf(b, "\nSIZE %llu", (unsigned long long)c->message_bytes);
    else
        buf_putz(b, "\nSIZE");
    if (c->auth.n)
        buf_printf(b, "\nAUTH %.*s", SPAN_ARG(c->auth));
    buf_putz(b, "\nHELP");
}

static void say_hello(struct smtp_server *s)
{
    struct buf b;
    struct reply r = { .code = 250 };
    buf_init(&b, 4096);
    buf_printf(&b, "%.*s Hello ", SPAN_ARG(s->config->hostname));
    if (s->local)
        buf_printf(&b, "%s@localhost", s->auth);
    else
        received_put_client(&b, span_str(s->name), span_str(s->ip));
    buf_putz(&b, ", pleased to meet you");
    if (s->esmtp)
        capabilities(s, &b);
    r.text = buf_span(&b);
    reply_put(&s->out, &r, false);
    buf_free(&b);
}

static void hello(struct smtp_server *s, struct span arg, bool ehlo)
{
    if (!arg.n || !address_helo_ok(arg)) {
        if (arg.n)
            server_say(s, 501, "5.0.0", "Invalid domain name");
        else
            server_say(s, 501, "5.0.0", "%s requires domain address", ehlo ? "EHLO" : "HELO");
        server_bad(s);
        return;
    }
    server_txn_end(s, SMTP_END_ABORTED); /* RFC 5321 4.1.4: as RSET */
    server_set(&s->helo, arg);
    s->helo_is_ehlo = ehlo;
    server_ask(s, &(struct smtp_server_question){ .hook = SMTP_HOOK_HELO, .helo = arg,
                                                  .text = arg });
}

void server_helo_verdict(struct smtp_server *s, const struct smtp_server_verdict *v)
{
    struct reply r = server_verdict(v, 0);
    if (!reply_positive(&r)) {
        server_set(&s->helo, SPAN(""));
        s->esmtp = false;
        server_say_reply(s, &r, SPAN(""));
        return;
    }
    s->esmtp = s->helo_is_ehlo;
    say_hello(s);
}

static void cmd_helo(struct smtp_server *s, struct span arg) { hello(s, arg, false); }
static void cmd_ehlo(struct smtp_server *s, struct span arg) { hello(s, arg, true); }

/* ---- AUTH ---- */

static void cmd_auth(struct smtp_server *s, struct span arg)
{
    if (!s->config->auth.n) {
        server_say(s, 503, "5.3.3", "AUTH not available");
        server_bad(s);
    } else if (s->auth || s->txn || !s->esmtp) { /* RFC 4954 4 */
        server_say(s, 503, "5.5.0", "AUTH not permitted now");
        server_bad(s);
    } else if (!arg.n) {
        server_say(s, 501, "5.5.2", "AUTH mechanism must be specified");
        server_bad(s);
    } else {
        server_ask(s, &(struct smtp_server_question){ .hook = SMTP_HOOK_AUTH, .text = arg });
    }
}

static void auth_response(struct smtp_server *s, struct span line)
{
    s->state = STATE_COMMAND;
    if (span_eq(line, SPAN("*"))) {
        server_say(s, 501, "5.7.0", "AUTH aborted");
        server_bad(s);
        return;
    }
    server_ask(s, &(struct smtp_server_question){ .hook = SMTP_HOOK_AUTH, .text = line });
}

void server_auth_verdict(struct smtp_server *s, const struct smtp_server_verdict *v)
{
    struct reply r = server_verdict(v, 0);
    if (r.code == 0) /* nobody was asked, or nobody knew: never a success */
        r = (struct reply){ .code = 454, .enhanced = "4.7.0",
                            .text = SPAN("Temporary authentication failure") };
    if (r.code == 235)
        server_set(&s->auth, v->identity);
    else if (r.code == 334)
        s->state = STATE_AUTH;
    server_say_reply(s, &r, SPAN(""));
    if (!reply_positive(&r))
        server_bad(s);
}

/* ---- STARTTLS ---- */

static void cmd_starttls(struct smtp_server *s, struct span arg)
{
    if (arg.n) {
        server_say(s, 501, "5.5.2", "Syntax error (no parameters allowed)");
        server_bad(s);
    } else if (s->tls_version) {
        server_say(s, 503, "5.5.0", "TLS already started");
        server_bad(s);
    } else if (!s->config->starttls) {
        server_say(s, 454, "4.3.3", "TLS not available after start");
        server_bad(s);
    } else {
        server_txn_end(s, SMTP_END_ABORTED);
        server_say(s, 220, "2.0.0", "Ready to start TLS");
        s->state = STATE_TLS;
        s->ops->starttls(s->ctx);
    }
}

/* ---- the small ones ---- */

static void cmd_rset(struct smtp_server *s, struct span arg)
{
    (void)arg;
    server_txn_end(s, SMTP_END_ABORTED);
    server_say(s, 250, "2.0.0", "Reset state");
}

static void cmd_noop(struct smtp_server *s, struct span arg)
{
    (void)arg;
    server_say(s, 250, "2.0.0", "OK");
}

static void cmd_quit(struct smtp_server *s, struct span arg)
{
    (void)arg;
    server_say(s, 221, "2.0.0", "%.*s closing connection", SPAN_ARG(s->config->hostname));
    server_close(s);
}

static void cmd_vrfy(struct smtp_server *s, struct span arg)
{
    if (arg.n) {
        server_say(s, 252, "2.5.2", "%s",
                   "Cannot VRFY user; try RCPT to attempt delivery (or try finger)");
    } else {
        server_say(s, 501, "5.5.2", "Argument required");
        server_bad(s);
    }
}

static void cmd_refused(struct smtp_server *s, struct span arg)
{
    (void)arg;
    server_say(s, 502, "5.7.0", "Sorry, we do not allow this operation");
    server_bad(s);
}

static void cmd_help(struct smtp_server *s, struct span arg)
{
    static const char topics[] =
        "This is Postern\n"
        "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS\n"
        "End of HELP info";
    if (arg.n && command_read(arg).verb == COMMAND_UNKNOWN) {
        server_say(s, 504, "5.3.0", "HELP topic \"%.*s\" unknown", SPAN_ARG(arg));
        return;
    }
    struct reply r = { .code = 214, .enhanced = "2.0.0", .text = span_str(topics) };
    reply_put(&s->out, &r, false);
}

static void cmd_absent(struct smtp_server *s, struct span arg)
{
    (void)arg;
    struct buf verb; /* the table's spelling: the verb was recognised */
    buf_init(&verb, 32);
    for (const char *p = s->stage; *p; p++)
        buf_putc(&verb, ascii_upper(*p));
    server_say(s, 502, "5.5.1", "Command not implemented: \"%.*s\"", SPAN_ARG(buf_span(&verb)));
    buf_free(&verb);
    server_bad(s);
}

static void cmd_not_smtp(struct smtp_server *s, struct span arg)
{
    (void)arg;
    server_event(s, SMTP_EVENT_NOT_SMTP, SPAN(""), SPAN(""));
    server_say_bye(s, "4.7.0", "Rejecting open proxy", true);
}

static void unrecognized(struct smtp_server *s, struct span line)
{
    server_say(s, 500, "5.5.1", "Command unrecognized: \"%.*s\"", SPAN_ARG(span_to(line, 256)));
    server_bad(s);
}

/* ---- the table ---- */

static const struct {
    void (*run)(struct smtp_server *, struct span arg);
    void (*run_in_flight)(struct smtp_server *, struct span arg, struct span line);
    int flags;
} commands[COMMAND_VERBS] = {
    [COMMAND_EHLO] = { cmd_ehlo, NULL, LAST | TLS_FREE },
    [COMMAND_HELO] = { cmd_helo, NULL, LAST | TLS_FREE },
    [COMMAND_MAIL] = { NULL, server_mail, 0 },
    [COMMAND_RCPT] = { NULL, server_rcpt, 0 },
    [COMMAND_DATA] = { server_data, NULL, LAST },
    [COMMAND_BDAT] = { server_bdat, NULL, TLS_FREE }, /* its octets must be swallowed */
    [COMMAND_RSET] = { cmd_rset, NULL, TLS_FREE },
    [COMMAND_NOOP] = { cmd_noop, NULL, TLS_FREE },
    [COMMAND_QUIT] = { cmd_quit, NULL, TLS_FREE },
    [COMMAND_VRFY] = { cmd_vrfy, NULL, 0 },
    [COMMAND_EXPN] = { cmd_refused, NULL, 0 },
    [COMMAND_HELP] = { cmd_help, NULL, TLS_FREE },
    [COMMAND_STARTTLS] = { cmd_starttls, NULL, LAST | TLS_FREE },
    [COMMAND_AUTH] = { cmd_auth, NULL, LAST },
    [COMMAND_REFUSED] = { cmd_refused, NULL, 0 },
    [COMMAND_ABSENT] = { cmd_absent, NULL, 0 },
    [COMMAND_NOT_SMTP] = { cmd_not_smtp, NULL, TLS_FREE },
};

/* Input stands behind a command whose reply decides what that input is. */
static void spoke_too_soon(struct smtp_server *s, enum command_verb verb)
{
    server_event(s, SMTP_EVENT_EARLY_TALK, SPAN(""), SPAN(""));
    server_say(s, 554, "5.5.0", "SMTP protocol error");
    if (verb == COMMAND_DATA) {
        server_close(s);
        return;
    }
    server_txn_end(s, SMTP_END_ABORTED);
    s->rejecting = true;
}

static void run(struct smtp_server *s, const struct command *c, struct span line)
{
    if (s->rejecting && c->verb != COMMAND_QUIT) {
        server_say(s, 550, "5.0.0", "Command rejected");
        server_bad(s);
    } else if (c->verb == COMMAND_UNKNOWN || (c->verb == COMMAND_BDAT && !s->config->chunking)) {
        unrecognized(s, line);
    } else if (s->config->starttls_required && !s->tls_version &&
               !(commands[c->verb].flags & TLS_FREE)) {
        server_say(s, 530, "5.7.0", "Must issue a STARTTLS command first");
        server_bad(s);
    } else if (commands[c->verb].run) {
        commands[c->verb].run(s, c->arg);
    } else {
        commands[c->verb].run_in_flight(s, c->arg, line);
    }
}

void server_line(struct smtp_server *s, struct span line, bool behind)
{
    if (s->state == STATE_AUTH) {
        auth_response(s, line);
        return;
    }
    struct command c = command_read(line);
    if (c.verb != COMMAND_RCPT && server_flight_first(s, line))
        return;
    if (s->state == STATE_CLOSED) /* the flight's verdict ended the session */
        return;
    s->stage = c.name;
    if (behind && commands[c.verb].flags & LAST && !s->rejecting)
        spoke_too_soon(s, c.verb);
    else
        run(s, &c, line);
}
