/* What smtpd says: sendmail's lines for people and their scripts, the events for programs. */
#include "smtpd/inside.h"

#include <stdio.h>

enum { ADDRESS_SHOWN = 256, TEXT_SHOWN = 512, RELAY_MAX = 384 };

static struct span stage_span(const char *stage) { return span_str(stage ? stage : ""); }

/* "[192.0.2.1]", "name [192.0.2.1]", or "joe@localhost" of a user of this machine. */
static struct span relay_text(const struct session *s, char text[RELAY_MAX])
{
    if (s->user[0])
        snprintf(text, RELAY_MAX, "%s@localhost", s->user);
    else
        snprintf(text, RELAY_MAX, "%s%s[%s]", s->name ? s->name : "", s->name ? " " : "", s->ip);
    return span_str(text);
}

static void event_client(struct session *s)
{
    struct events *e = s->d->env->events;
    char client[RELAY_MAX];
    event_str(e, FIELD_client, s->user[0] ? relay_text(s, client) : span_str(s->ip));
    event_str(e, FIELD_listener, s->listen->name);
}

void say_connected(struct session *s)
{
    struct events *e = s->d->env->events;
    event_begin(e, EVENT_connected);
    event_client(s);
    event_end(e);
}

void say_refused(struct smtpd *d, const struct netaddr *client, struct span listener,
                 struct span check, struct span reply)
{
    struct events *e = d->env->events;
    struct buf ip;
    buf_init(&ip, NETADDR_TEXT_MAX);
    netaddr_put_ip(&ip, client);
    reply = span_trim_lines(reply);
    event_begin(e, EVENT_refused);
    event_str(e, FIELD_client, buf_span(&ip));
    event_str(e, FIELD_listener, listener);
    if (check.n)
        event_str(e, FIELD_check, check);
    event_str(e, FIELD_reply, reply);
    event_end(e);
    log_line(e, EVENT_NOTICE, "rejecting connection from [%.*s] on %.*s%s%.*s: %.*s",
             SPAN_ARG(buf_span(&ip)), SPAN_ARG(listener), check.n ? ", check " : "",
             SPAN_ARG(check), SPAN_ARG(reply));
    buf_free(&ip);
}

static struct span sender_in(struct buf *b, struct span sender)
{
    buf_putc(b, '<');
    log_text(b, sender, ADDRESS_SHOWN);
    buf_putc(b, '>');
    return buf_span(b);
}

/* The same for a client whom policy does not let in. */
void say_client_refused(struct session *s, unsigned code, struct span text)
{
    struct events *e = s->d->env->events;
    char reply[TEXT_SHOWN], relay[RELAY_MAX];
    snprintf(reply, sizeof reply, "%u %.*s", code, SPAN_ARG(text));
    event_begin(e, EVENT_refused);
    event_client(s);
    event_str(e, FIELD_reason, SPAN("access"));
    event_str(e, FIELD_reply, span_str(reply));
    event_end(e);
    struct buf *b = log_begin(e, EVENT_NOTICE);
    buf_printf(b, "ruleset=check_relay, arg1=%s, arg2=%s, relay=%.*s, reject=",
               s->name ? s->name : s->ip, s->ip, SPAN_ARG(relay_text(s, relay)));
    log_text(b, span_str(reply), TEXT_SHOWN);
    log_end(e);
}

void say_discarded(struct session *s)
{
    struct events *e = s->d->env->events;
    const struct envelope *env = smtp_server_envelope(s->server);
    char relay[RELAY_MAX];
    if (!env)
        return;
    struct queueid id = queueid_make(s->seq, env->received_ms);
    event_begin(e, EVENT_discarded);
    event_str(e, FIELD_id, span_str(id.text));
    event_client(s);
    event_str(e, FIELD_from, env->sender);
    event_int(e, FIELD_size, (int64_t)s->size_bytes);
    event_int(e, FIELD_nrcpts, (int64_t)env->rcpt_count);
    event_end(e);
    struct buf *b = log_begin(e, EVENT_INFO);
    buf_printf(b, "%s: from=", id.text);
    sender_in(b, env->sender);
    buf_printf(b, ", size=%llu, nrcpts=%zu, relay=%.*s, stat=discarded",
               (unsigned long long)s->size_bytes, env->rcpt_count,
               SPAN_ARG(relay_text(s, relay)));
    log_end(e);
}

static int64_t ms_since(const struct session *s, int64_t then_ns)
{
    return (loop_fresh_ns(s->d->env->loop) - then_ns) / 1000000;
}

static void received_line(struct session *s, const struct envelope *env)
{
    struct events *e = s->d->env->events;
    struct buf *b = log_begin(e, EVENT_INFO);
    buf_putz(b, queueid_make(s->seq, env->received_ms).text);
    buf_putz(b, ": from=");
    sender_in(b, env->sender);
    buf_putz(b, ", size=");
    buf_putu(b, s->size_bytes);
    buf_putz(b, ", class=0, nrcpts=");
    buf_putu(b, s->rcpt_count);
    if (s->msgid_len) {
        buf_putz(b, ", msgid=");
        log_text(b, span_of(s->msgid, s->msgid_len), ADDRESS_SHOWN);
    }
    if (env->flags & ENVELOPE_8BITMIME)
        buf_putz(b, ", bodytype=8BITMIME");
    buf_putz(b, ", proto=");
    buf_puts(b, env->proto);
    buf_putz(b, ", daemon=");
    buf_puts(b, s->listen->name);
    char relay[RELAY_MAX];
    buf_putz(b, ", relay=");
    buf_puts(b, relay_text(s, relay));
    log_end(e);
}

static void say_rewritten(struct session *s, const char *id)
{
    struct events *e = s->d->env->events;
    struct span note = rewrite_note(s);
    while (note.n) {
        size_t end = span_find(note, '\n');
        struct span line = span_to(note, end);
        note = span_from(note, end + 1);
        event_begin(e, EVENT_rewritten);
        event_str(e, FIELD_id, span_str(id));
        event_str(e, FIELD_text, line);
        event_end(e);
        struct buf *b = log_begin(e, EVENT_INFO);
        buf_printf(b, "%s: ", id);
        log_text(b, line, TEXT_SHOWN);
        log_end(e);
    }
}

void say_received(struct session *s)
{
    struct events *e = s->d->env->events;
    const struct envelope *env = smtp_server_envelope(s->server);
    if (!env)
        return;
    struct queueid id = queueid_make(s->seq, env->received_ms);
    received_line(s, env);
    event_begin(e, EVENT_received);
    event_str(e, FIELD_id, span_str(id.text));
    event_str(e, FIELD_from, env->sender);
    event_int(e, FIELD_size, (int64_t)s->size_bytes);
    event_int(e, FIELD_stored, (int64_t)s->stored_bytes);
    event_int(e, FIELD_nrcpts, (int64_t)s->rcpt_count);
    event_str(e, FIELD_proto, env->proto);
    event_str(e, FIELD_helo, env->helo);
    event_client(s);
    if (s->tls)
        event_str(e, FIELD_tls, span_str(tls_info(s->tls).version));
    event_int(e, FIELD_ms, ms_since(s, s->begun_ns));
    event_int(e, FIELD_commit_ms, ms_since(s, s->commit_ns));
    event_end(e);
    say_rewritten(s, id.text);
}

void say_not_received(struct session *s, unsigned code, struct span text)
{
    struct events *e = s->d->env->events;
    const struct envelope *env = smtp_server_envelope(s->server);
    char reply[TEXT_SHOWN];
    if (!env)
        return;
    snprintf(reply, sizeof reply, "%u %.*s", code, SPAN_ARG(text));
    struct queueid id = queueid_make(s->seq, env->received_ms);
    event_begin(e, EVENT_not_received);
    event_str(e, FIELD_id, span_str(id.text));
    event_str(e, FIELD_from, env->sender);
    event_int(e, FIELD_size, (int64_t)s->size_bytes);
    event_int(e, FIELD_nrcpts, (int64_t)env->rcpt_count);
    event_client(s);
    event_str(e, FIELD_reply, span_str(reply));
    event_end(e);
    log_line(e, EVENT_WARNING, "%s: not accepted: %s", id.text, reply);
}

/* "ID: ruleset=check_rcpt, arg1=<x>, relay=[ip], reject=550 ...": what sendmail's users grep. */
static void rejected_line(struct session *s, const struct smtp_server_event *ev)
{
    struct events *e = s->d->env->events;
    struct buf *b = log_begin(e, EVENT_NOTICE);
    if (ev->envelope && s->seq)
        buf_printf(b, "%s: ", queueid_make(s->seq, ev->envelope->received_ms).text);
    bool rcpt = ev->stage && span_ieq(span_str(ev->stage), SPAN("rcpt"));
    buf_printf(b, "ruleset=%s, arg1=", rcpt ? "check_rcpt" : "check_mail");
    log_text(b, ev->address, ADDRESS_SHOWN);
    char relay[RELAY_MAX];
    buf_printf(b, ", relay=%.*s, reject=", SPAN_ARG(relay_text(s, relay)));
    log_text(b, ev->reply, TEXT_SHOWN);
    log_end(e);
}

static void say_rejected(struct session *s, const struct smtp_server_event *ev)
{
    struct events *e = s->d->env->events;
    event_begin(e, EVENT_rejected);
    if (ev->envelope && s->seq)
        event_str(e, FIELD_id,
                  span_str(queueid_make(s->seq, ev->envelope->received_ms).text));
    event_client(s);
    event_str(e, FIELD_stage, stage_span(ev->stage));
    if (ev->envelope)
        event_str(e, FIELD_from, ev->envelope->sender);
    event_str(e, FIELD_to, ev->address);
    event_str(e, FIELD_reply, ev->reply);
    event_str(e, FIELD_reason, span_str(smtp_server_event_name(ev->kind)));
    event_end(e);
    rejected_line(s, ev);
}

static void say_disconnected(struct session *s, const struct smtp_server_event *ev)
{
    struct events *e = s->d->env->events;
    const char *what = ev->kind == SMTP_EVENT_LOST ? "lost input channel from"
                       : ev->kind == SMTP_EVENT_TIMEOUT ? "timeout waiting for input from"
                                                        : smtp_server_event_name(ev->kind);
    char relay[RELAY_MAX];
    event_begin(e, EVENT_disconnected);
    event_client(s);
    event_str(e, FIELD_stage, stage_span(ev->stage));
    event_str(e, FIELD_text, span_str(smtp_server_event_name(ev->kind)));
    event_int(e, FIELD_count, s->accepted);
    event_end(e);
    log_line(e, EVENT_NOTICE, "%s %.*s to %.*s after %s", what,
             SPAN_ARG(relay_text(s, relay)), SPAN_ARG(s->listen->name),
             ev->stage ? ev->stage : "startup");
}

void say_event(struct session *s, const struct smtp_server_event *ev)
{
    switch (ev->kind) {
    case SMTP_EVENT_REJECTED:
    case SMTP_EVENT_EARLY_TALK:
    case SMTP_EVENT_LOOP:
    case SMTP_EVENT_NO_ANSWER:
    case SMTP_EVENT_BARE_NEWLINE: say_rejected(s, ev); break;
    default: say_disconnected(s, ev); break;
    }
}

void say_tls(struct session *s)
{
    struct events *e = s->d->env->events;
    struct tls_info i = tls_info(s->tls);
    char relay[RELAY_MAX];
    event_begin(e, EVENT_tls_started);
    event_client(s);
    event_str(e, FIELD_tls, span_str(i.version));
    event_end(e);
    log_line(e, EVENT_INFO,
             "STARTTLS=server, relay=%.*s, version=%s, verify=%s, cipher=%s, bits=%d/%d",
             SPAN_ARG(relay_text(s, relay)), i.version, i.verify, i.cipher, i.bits, i.bits);
}

void say_tls_failed(struct session *s)
{
    struct events *e = s->d->env->events;
    char relay[RELAY_MAX];
    const char *why = tls_why(s->tls)[0] ? tls_why(s->tls) : "its time is over";
    event_begin(e, EVENT_tls_failed);
    event_client(s);
    event_str(e, FIELD_text, span_str(why));
    event_end(e);
    log_line(e, EVENT_NOTICE, "STARTTLS=server, relay=%.*s, handshake failed: %s",
             SPAN_ARG(relay_text(s, relay)), why);
}

void say_lost_peer(struct smtpd *d, const char *peer, const char *why)
{
    struct events *e = d->env->events;
    if (d->finishing)
        return;
    event_begin(e, EVENT_peer_lost);
    event_str(e, FIELD_role, span_str(peer));
    event_str(e, FIELD_text, span_str(why));
    event_end(e);
}
