/* Replies and events. */
#include "smtp/server_int.h"

#include "mail/received.h"

void server_say(struct smtp_server *s, unsigned code, const char *enhanced, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    reply_vprintf(&s->out, code, enhanced, fmt, ap);
    va_end(ap);
}

static bool utf8_allowed(const struct smtp_server *s)
{
    return s->txn && s->txn->env.flags & ENVELOPE_SMTPUTF8;
}

void server_put_reply(struct smtp_server *s, const struct reply *r, struct span typed)
{
    struct reply said = *r;
    struct buf text;
    buf_init(&text, typed.n + r->text.n + 8);
    if (r->about_address) {
        buf_puts(&text, typed);
        buf_putz(&text, "... ");
        buf_puts(&text, r->text);
        said.text = buf_span(&text);
    }
    size_t before = s->out.len;
    reply_put(&s->out, &said, utf8_allowed(s));
    if (!reply_positive(r)) {
        struct span line = span_trim_lines(span_from(buf_span(&s->out), before));
        server_event(s, SMTP_EVENT_REJECTED, typed, line);
    }
    buf_free(&text);
}

void server_say_reply(struct smtp_server *s, const struct reply *r, struct span typed)
{
    bool last = r->code == 421;
    server_put_reply(s, r, typed);
    if (last)
        server_close(s);
}

void server_say_bye(struct smtp_server *s, const char *enhanced, const char *text, bool client)
{
    struct buf who;
    buf_init(&who, 1024);
    if (client)
        received_put_client(&who, span_str(s->name), span_str(s->ip));
    server_say(s, 421, enhanced, "%.*s %s%s%.*s", SPAN_ARG(s->config->hostname), text,
               client ? " " : "", SPAN_ARG(buf_span(&who)));
    buf_free(&who);
    server_close(s);
}

void server_event(struct smtp_server *s, enum smtp_server_event_kind kind, struct span address,
                  struct span reply)
{
    struct smtp_server_event e = { .kind = kind, .stage = s->stage, .address = address,
                                   .reply = reply, .envelope = s->txn ? &s->txn->env : NULL };
    s->ops->event(s->ctx, &e);
}

void server_bad(struct smtp_server *s)
{
    if (s->state == STATE_CLOSED || ++s->bad <= s->config->bad_commands)
        return;
    server_event(s, SMTP_EVENT_BAD_COMMANDS, SPAN(""), SPAN(""));
    server_say_bye(s, "4.7.0", "Too many bad commands; closing connection", false);
}

const char *smtp_server_event_name(enum smtp_server_event_kind kind)
{
    static const char *const names[SMTP_EVENTS] = {
        [SMTP_EVENT_REJECTED] = "rejected",
        [SMTP_EVENT_BAD_COMMANDS] = "bad_commands",
        [SMTP_EVENT_LINE_TOO_LONG] = "line_too_long",
        [SMTP_EVENT_NOT_SMTP] = "not_smtp",
        [SMTP_EVENT_EARLY_TALK] = "early_talk",
        [SMTP_EVENT_BARE_NEWLINE] = "bare_newline",
        [SMTP_EVENT_LOOP] = "loop",
        [SMTP_EVENT_TIMEOUT] = "timeout",
        [SMTP_EVENT_NO_ANSWER] = "no_answer",
        [SMTP_EVENT_LOST] = "lost",
    };
    MUST(kind < SMTP_EVENTS);
    return names[kind];
}
