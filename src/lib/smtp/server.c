/* The session: its life, its input loop and its clocks. */
#include "smtp/server_int.h"

#include "smtp/line.h"

#include <stdlib.h>

void smtp_server_config_init(struct smtp_server_config *c)
{
    *c = (struct smtp_server_config){
        .greeting = SPAN("ESMTP Postern"),
        .pipelining = true, .chunking = true, .smtputf8 = true, .eightbitmime = true, .dsn = true,
        .bare_newline = DATA_REJECT,
        .message_bytes = 50 << 20,
        .envelope_bytes = 512 * 1024,
        .command_bytes = 2048,
        .recipients = 1000,
        .bad_commands = 25,
        .received_max = 25,
        .ours_max = 2,
        .command_ms = 5 * 60 * 1000,
        .transaction_ms = 30 * 60 * 1000,
        .answer_ms = 30 * 1000,
        .commit_ms = 60 * 1000,
    };
}

struct smtp_server *smtp_server_new(const struct smtp_server_config *config,
                                    const struct smtp_server_client *client,
                                    const struct smtp_server_ops *ops, void *ctx,
                                    struct smtp_server_time now)
{
    MUST(config->hostname.n > 0 && headerwalk_instance_ok(config->instance));
    MUST(config->recipients > 0 && config->recipients <= ENVELOPE_RCPTS_MAX);
    MUST(config->command_bytes >= REPLY_LINE_MAX);
    struct smtp_server *s = NEW(struct smtp_server);
    s->config = config;
    s->ops = ops;
    s->ctx = ctx;
    s->now = now;
    s->stage = "startup";
    s->progress_ms = now.mono_ms;
    s->normalise = client->normalise || config->bare_newline == DATA_NORMALISE;
    buf_init(&s->part, config->command_bytes);
    buf_init(&s->out, OUT_MAX_BYTES);
    server_set(&s->ip, client->ip);
    server_set(&s->name, client->name);
    server_set(&s->auth, client->user);
    s->local = client->user.n > 0;
    if (client->tls) {
        server_set(&s->tls_version, client->tls->version);
        server_set(&s->tls_cipher, client->tls->cipher);
        s->tls_bits = client->tls->bits;
    }
    return s;
}

void smtp_server_free(struct smtp_server **ps)
{
    struct smtp_server *s = *ps;
    if (!s)
        return;
    *ps = NULL;
    server_close(s);
    char *texts[] = { s->ip, s->name, s->helo, s->auth, s->tls_version, s->tls_cipher };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    buf_free(&s->part);
    buf_free(&s->out);
    free(s);
}

void server_close(struct smtp_server *s)
{
    bool committing = s->state == STATE_COMMIT;
    s->state = STATE_CLOSED;
    s->question.id = 0;
    s->stalled = s->held = false;
    buf_reset(&s->part);
    server_txn_end(s, committing ? SMTP_END_UNKNOWN : SMTP_END_ABORTED);
}

bool smtp_server_closing(const struct smtp_server *s) { return s->state == STATE_CLOSED; }

void smtp_server_lost(struct smtp_server *s)
{
    if (s->state == STATE_CLOSED)
        return;
    server_event(s, SMTP_EVENT_LOST, SPAN(""), SPAN(""));
    buf_reset(&s->out);
    server_close(s);
}

void smtp_server_shutdown(struct smtp_server *s)
{
    s->shutdown = true;
    if (s->state != STATE_COMMIT && s->state != STATE_CLOSED)
        server_say_bye(s, "4.3.2", "Service shutting down, closing connection", false);
}

bool server_waiting(const struct smtp_server *s)
{
    return s->question.id || s->state == STATE_COMMIT || s->state == STATE_TLS || s->stalled;
}

bool smtp_server_blocked(const struct smtp_server *s)
{
    return s->state != STATE_CLOSED && (server_waiting(s) || s->out.len > OUT_HIGH_BYTES);
}

/* Runs one line: the one put by, else the next of the input. False: there is none yet. */
static bool line_step(struct smtp_server *s, struct span in, size_t *used_r)
{
    struct span line;
    if (s->held) {
        s->held = false;
        line = buf_span(&s->part);
    } else {
        if (in.n == 0 || s->out.len > OUT_HIGH_BYTES)
            return false;
        int r = line_take(&s->part, in, used_r, &line);
        if (r < 0) {
            server_event(s, SMTP_EVENT_LINE_TOO_LONG, SPAN(""), SPAN(""));
            server_say_bye(s, "4.7.0", "Command too long, possible attack", true);
            return true;
        }
        if (r == 0)
            return false;
    }
    server_line(s, line, in.n > *used_r);
    if (!s->held && s->part.mem)
        buf_free(&s->part); /* an idle session keeps no buffer */
    return true;
}

static bool step(struct smtp_server *s, struct span in, size_t *used_r)
{
    *used_r = 0;
    switch (s->state) {
    case STATE_CLOSED:
        *used_r = in.n;
        return false;
    case STATE_COMMAND:
    case STATE_AUTH:
        return line_step(s, in, used_r);
    case STATE_DATA:
    case STATE_BDAT:
        return server_content_step(s, in, used_r);
    case STATE_SWALLOW:
        return server_swallow_step(s, in, used_r);
    default:
        return false;
    }
}

size_t smtp_server_input(struct smtp_server *s, struct span in, struct smtp_server_time now)
{
    size_t used = 0, n;
    bool more = true;
    s->now = now;
    if (s->state == STATE_NEW || s->state == STATE_GREETING)
        s->early |= in.n > 0;
    if (s->state == STATE_NEW) {
        s->state = STATE_GREETING;
        server_ask(s, &(struct smtp_server_question){ .hook = SMTP_HOOK_CONNECT });
    }
    while (more && !server_waiting(s)) {
        more = step(s, span_from(in, used), &n);
        used += n;
        if (n > 0)
            s->progress_ms = now.mono_ms;
    }
    /* Not put off by a full output: its owner calls again for bytes kept, not for a flight. */
    if (server_flight_pending(s) && !server_waiting(s) && s->state == STATE_COMMAND)
        server_flight_ask(s);
    return used;
}

struct span smtp_server_output(const struct smtp_server *s) { return buf_span(&s->out); }

void smtp_server_sent(struct smtp_server *s, size_t n)
{
    buf_take(&s->out, n);
    if (s->out.len == 0)
        buf_free(&s->out);
}

int64_t smtp_server_timer(const struct smtp_server *s)
{
    if (s->state == STATE_CLOSED)
        return -1;
    if (s->state == STATE_COMMIT)
        return s->commit_deadline_ms;
    int64_t at = server_waiting(s) && s->state != STATE_TLS
                     ? INT64_MAX : s->progress_ms + s->config->command_ms;
    if (s->question.id && s->question.deadline_ms < at)
        at = s->question.deadline_ms;
    if (s->txn && s->txn->deadline_ms < at)
        at = s->txn->deadline_ms;
    return at;
}

void smtp_server_tick(struct smtp_server *s, struct smtp_server_time now)
{
    s->now = now;
    int64_t at = smtp_server_timer(s);
    if (at < 0 || now.mono_ms < at)
        return;
    if (s->state == STATE_COMMIT) {
        server_event(s, SMTP_EVENT_NO_ANSWER, SPAN(""), SPAN(""));
        server_say(s, 451, "4.3.0", "Message not known to be stored, please try again later");
        server_txn_end(s, SMTP_END_UNKNOWN);
        s->state = STATE_COMMAND;
        s->progress_ms = now.mono_ms;
        if (s->shutdown)
            smtp_server_shutdown(s);
    } else if (s->question.id && now.mono_ms >= s->question.deadline_ms) {
        server_event(s, SMTP_EVENT_NO_ANSWER, SPAN(""), SPAN(""));
        server_ask_expire(s);
    } else {
        server_event(s, SMTP_EVENT_TIMEOUT, SPAN(""), SPAN(""));
        server_say_bye(s, "4.4.2", "Timeout waiting for input from", true);
    }
}

bool smtp_server_resume(struct smtp_server *s, struct smtp_server_time now)
{
    if (!s->stalled)
        return false;
    s->now = now;
    s->stalled = false;
    s->progress_ms = now.mono_ms;
    return true;
}

/* RFC 3207 4.2: everything learned before the handshake is forgotten. */
bool smtp_server_tls_done(struct smtp_server *s, const struct smtp_server_tls *tls,
                          struct smtp_server_time now)
{
    if (s->state != STATE_TLS)
        return false;
    MUST(!s->txn && !s->held && s->part.len == 0);
    s->now = now;
    s->progress_ms = now.mono_ms;
    server_set(&s->tls_version, tls->version.n ? tls->version : SPAN("TLS"));
    server_set(&s->tls_cipher, tls->cipher);
    s->tls_bits = tls->bits;
    server_set(&s->helo, SPAN(""));
    server_set(&s->auth, SPAN(""));
    s->esmtp = false;
    s->stage = "starttls";
    s->state = STATE_COMMAND;
    return true;
}

const struct envelope *smtp_server_envelope(const struct smtp_server *s)
{
    return s->txn ? &s->txn->env : NULL;
}
