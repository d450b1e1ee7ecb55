#include "smtp/client_private.h"

#include "base/must.h"

#include <stdlib.h>

void smtp_client_defaults(struct smtp_client_config *conf)
{
    enum { MINUTE = 60 * 1000 };
    *conf = (struct smtp_client_config){
        .tls = SMTP_TLS_TRY,
        .window_bytes = 128 << 10,
        .chunk_bytes = 64 << 10,
        .timeout = {
            .initial_ms = 5 * MINUTE, .helo_ms = 5 * MINUTE, .mail_ms = 5 * MINUTE,
            .rcpt_ms = 5 * MINUTE, .data_init_ms = 2 * MINUTE, .data_block_ms = 3 * MINUTE,
            .data_final_ms = 10 * MINUTE, .rset_ms = 1 * MINUTE, .quit_ms = 1 * MINUTE,
            .misc_ms = 1 * MINUTE, .starttls_ms = 5 * MINUTE,
        },
    };
}

struct smtp_client *smtp_client_new(const struct smtp_client_config *conf, struct span peer,
                                    const struct smtp_client_ops *ops, void *ctx, int64_t now)
{
    MUST(conf->window_bytes >= 4096 && conf->window_bytes <= 16 << 20 && conf->chunk_bytes > 0);
    MUST(conf->hostname.n > 0 && ops->rcpt_done && ops->message_done && ops->want_content &&
         ops->closed);
    struct smtp_client *c = NEW(struct smtp_client);
    c->conf = conf;
    c->ops = ops;
    c->ctx = ctx;
    c->now = now;
    c->attempt_ms = INT64_MAX;
    reply_parser_init(&c->parser);
    buf_init(&c->out, 2 * conf->window_bytes + 2 * FLIGHT_BYTES);
    buf_init(&c->chunk, conf->window_bytes + 2);
    buf_init(&c->text, 4 * SMTP_CLIENT_TEXT_MAX);
    reply_clean(&c->text, peer, SMTP_CLIENT_TEXT_MAX / 4);
    c->peer = must_strndup(buf_cstr(&c->text), c->text.len);
    client_expect(c, SMTP_STAGE_GREETING, 0);
    return c;
}

void smtp_client_free(struct smtp_client **c_r)
{
    struct smtp_client *c = *c_r;
    if (!c)
        return;
    MUST(c->depth == 0);
    reply_parser_free(&c->parser);
    buf_free(&c->out);
    buf_free(&c->chunk);
    buf_free(&c->text);
    free(c->rcpts);
    free(c->peer);
    free(c);
    *c_r = NULL;
}

void client_enter(struct smtp_client *c, int64_t now)
{
    c->depth++;
    if (now > c->now)
        c->now = now;
}

/* Tells one thing; false when there is nothing to tell. */
static bool tell(struct smtp_client *c)
{
    unsigned p = c->pending;
    if (p & PEND_DONE) {
        c->pending &= ~(unsigned)PEND_DONE;
        c->ops->message_done(c->ctx);
    } else if (p & PEND_CLOSED) {
        c->pending = 0;
        bool quit = c->why.result == SMTP_DELIVERED;
        c->ops->closed(c->ctx, quit ? NULL : &c->why);
    } else if (p & PEND_TLS) {
        c->pending &= ~(unsigned)PEND_TLS;
        if (c->ops->start_tls)
            c->ops->start_tls(c->ctx);
    } else if (p & PEND_READY) {
        c->pending &= ~(unsigned)PEND_READY;
        if (c->ops->ready)
            c->ops->ready(c->ctx);
    } else {
        return content_grant(c);
    }
    return true;
}

/* Events that may call back are told here, when the state is whole, never from its midst. */
void client_leave(struct smtp_client *c)
{
    if (c->depth == 1)
        do
            content_pump(c);
        while (tell(c));
    c->depth--;
}

void client_expect(struct smtp_client *c, enum smtp_stage stage, size_t rcpt)
{
    MUST(c->count < EXPECT_MAX);
    if (c->count == 0)
        c->since_ms = c->now;
    c->ring[(c->head + c->count++) % EXPECT_MAX] = (struct expect){
        .end = c->sent + c->out.len, .rcpt = (uint32_t)rcpt, .stage = (uint8_t)stage,
    };
}

void client_trace(struct smtp_client *c, bool ours, struct span line)
{
    if (ours && c->ops->record)
        c->ops->record(c->ctx, 0, line);
    if (!c->ops->trace)
        return;
    struct buf clean;
    buf_init(&clean, REPLY_TEXT_MAX);
    reply_clean(&clean, line, REPLY_TEXT_MAX);
    c->ops->trace(c->ctx, ours, buf_span(&clean));
    buf_free(&clean);
}

size_t client_cmd_begin(struct smtp_client *c) { return c->out.len; }

void client_cmd_end(struct smtp_client *c, size_t start, enum smtp_stage stage, size_t rcpt)
{
    client_trace(c, true, span_from(buf_span(&c->out), start));
    buf_put(&c->out, "\r\n", 2);
    MUST(!c->out.failed); /* flights stop at FLIGHT_BYTES, content at the window */
    client_expect(c, stage, rcpt);
}

enum smtp_stage client_stage(const struct smtp_client *c)
{
    if (c->state == ST_TLS)
        return SMTP_STAGE_STARTTLS;
    if (c->count) {
        const struct expect *e = &c->ring[c->head];
        return e->stage == SMTP_STAGE_FINAL && c->sent < e->end ? SMTP_STAGE_BLOCK : e->stage;
    }
    return c->state == ST_CONTENT ? SMTP_STAGE_BLOCK : SMTP_STAGE_IDLE;
}

void client_end(struct smtp_client *c, struct smtp_outcome o)
{
    if (c->state == ST_CLOSED)
        return;
    bool polite = c->state == ST_SESSION && c->count == 0 &&
                  (o.cause == SMTP_CAUSE_REPLY || o.cause == SMTP_CAUSE_LOCAL);
    if (c->tx.active) {
        if (client_final_sent(c) && o.cause != SMTP_CAUSE_REPLY) {
            o.result = SMTP_UNKNOWN;
            o.next_mx = false;
        } else if (c->served && !c->tx.mail_replied && o.cause != SMTP_CAUSE_ABORT &&
                   o.cause != SMTP_CAUSE_TIMEOUT && o.cause != SMTP_CAUSE_ATTEMPT) {
            o.result = SMTP_STALE;
            o.next_mx = false;
        }
        message_all_done(c, o, false);
        c->tx = (struct client_tx){ 0 };
        c->pending |= PEND_DONE;
    }
    c->why = o;
    c->state = ST_CLOSED;
    c->pending |= PEND_CLOSED;
    c->count = 0;
    buf_reset(&c->out);
    buf_reset(&c->chunk);
    if (polite) /* RFC 5321 3.1; the owner may write it before it closes */
        buf_putz(&c->out, "QUIT\r\n");
}

/* A reply before what it answers was sent. To content a server may object at once (and close);
 * anything else is not SMTP. */
static void early_reply(struct smtp_client *c, const struct smtp_reply *r)
{
    enum smtp_stage stage = client_stage(c);
    bool objection = r->code >= 400 && (stage == SMTP_STAGE_BLOCK || r->code == 421);
    if (!objection) {
        client_protocol_error(c, client_stage(c), "a reply to what was not said");
        return;
    }
    struct smtp_outcome o = outcome_of_reply(c, stage, r);
    o.next_mx = r->code == 421;
    client_end(c, o);
}

static void dispatch(struct smtp_client *c, const struct smtp_reply *r, struct expect e)
{
    switch ((enum smtp_stage)e.stage) {
    case SMTP_STAGE_GREETING: session_greeting(c, r); break;
    case SMTP_STAGE_EHLO: session_ehlo(c, r); break;
    case SMTP_STAGE_HELO: session_helo(c, r); break;
    case SMTP_STAGE_STARTTLS: session_starttls(c, r); break;
    case SMTP_STAGE_RSET: message_on_rset(c, r); break;
    case SMTP_STAGE_MAIL: message_on_mail(c, r); break;
    case SMTP_STAGE_RCPT: message_on_rcpt(c, r, e.rcpt); break;
    case SMTP_STAGE_DATA: message_on_data(c, r); break;
    case SMTP_STAGE_BLOCK: content_on_chunk(c, r); break;
    case SMTP_STAGE_FINAL: content_on_final(c, r); break;
    case SMTP_STAGE_QUIT: session_quit(c, r); break;
    default: MUST(!"a stage that has no reply");
    }
    message_step(c);
}

static void trace_reply(struct smtp_client *c, const struct smtp_reply *r)
{
    if (c->ops->record)
        c->ops->record(c->ctx, r->code, r->text);
    if (!c->ops->trace)
        return;
    struct span rest = r->text;
    struct buf line;
    buf_init(&line, REPLY_LINE_MAX + 8);
    for (bool more = true; more;) {
        size_t n = span_find(rest, '\n');
        more = n < rest.n;
        buf_reset(&line);
        buf_printf(&line, "%d%c", r->code, more ? '-' : ' ');
        buf_puts(&line, span_to(rest, n));
        client_trace(c, false, buf_span(&line));
        rest = span_from(rest, n + 1);
    }
    buf_free(&line);
}

static void take_reply(struct smtp_client *c, const struct smtp_reply *r)
{
    trace_reply(c, r);
    if (c->count == 0 && c->state != ST_CONTENT) { /* "421 idle too long", mostly */
        if (r->code == 421)
            client_end(c, outcome_of_reply(c, SMTP_STAGE_IDLE, r));
        else
            client_protocol_error(c, client_stage(c), "a reply to what was not said");
        return;
    }
    struct expect e = c->ring[c->head];
    if (c->count == 0 || c->sent < e.end) {
        early_reply(c, r);
        return;
    }
    c->head = (c->head + 1) % EXPECT_MAX;
    c->count--;
    c->since_ms = c->now;
    if (r->code == 421 && e.stage != SMTP_STAGE_FINAL && e.stage != SMTP_STAGE_QUIT) {
        struct smtp_outcome o = outcome_of_reply(c, e.stage, r);
        o.next_mx = !client_final_sent(c);
        client_end(c, o);
        return;
    }
    dispatch(c, r, e);
}

void smtp_client_input(struct smtp_client *c, struct span in, int64_t now)
{
    client_enter(c, now);
    MUST(c->depth == 1);
    while (in.n && c->state != ST_CLOSED) {
        if (c->state == ST_TLS) { /* RFC 3207 6: nothing said in the clear may count later */
            client_protocol_error(c, client_stage(c), "plain text behind its reply to STARTTLS");
            break;
        }
        struct smtp_reply r;
        int rc = reply_parse(&c->parser, &in, &r);
        if (rc < 0)
            client_protocol_error(c, client_stage(c), c->parser.why);
        if (rc <= 0)
            break;
        take_reply(c, &r);
    }
    client_leave(c);
}

struct span smtp_client_output(const struct smtp_client *c) { return buf_span(&c->out); }

void smtp_client_sent(struct smtp_client *c, size_t n, int64_t now)
{
    client_enter(c, now);
    bool writing = client_stage(c) == SMTP_STAGE_BLOCK;
    buf_take(&c->out, n);
    c->sent += n;
    if (writing && n)
        c->since_ms = c->now;
    message_flight(c);
    client_leave(c);
}

void smtp_client_eof(struct smtp_client *c, struct span why, int64_t now)
{
    client_enter(c, now);
    struct smtp_outcome o = outcome_of_cause(c, SMTP_CAUSE_LOST, client_stage(c), why);
    if (c->state == ST_QUIT && !c->tx.active)
        o.result = SMTP_DELIVERED; /* as good as 221 */
    client_end(c, o);
    client_leave(c);
}

static int64_t stage_timeout(const struct smtp_client *c)
{
    const struct smtp_client_timeouts *t = &c->conf->timeout;
    switch (client_stage(c)) {
    case SMTP_STAGE_GREETING: return t->initial_ms;
    case SMTP_STAGE_EHLO:
    case SMTP_STAGE_HELO: return t->helo_ms;
    case SMTP_STAGE_STARTTLS: return t->starttls_ms;
    case SMTP_STAGE_MAIL: return t->mail_ms;
    case SMTP_STAGE_RCPT: return t->rcpt_ms;
    case SMTP_STAGE_DATA: return t->data_init_ms;
    case SMTP_STAGE_BLOCK: return t->data_block_ms;
    case SMTP_STAGE_FINAL: return t->data_final_ms;
    case SMTP_STAGE_RSET: return t->rset_ms;
    case SMTP_STAGE_QUIT: return t->quit_ms;
    default: return t->misc_ms;
    }
}

int64_t smtp_client_deadline(const struct smtp_client *c)
{
    if (c->state == ST_CLOSED || c->state == ST_IDLE)
        return INT64_MAX;
    int64_t at = c->since_ms + stage_timeout(c);
    bool attempt = c->state != ST_QUIT && c->attempt_ms < at;
    return attempt ? c->attempt_ms : at;
}

void smtp_client_tick(struct smtp_client *c, int64_t now)
{
    if (now < smtp_client_deadline(c))
        return;
    client_enter(c, now);
    bool attempt = c->state != ST_QUIT && c->attempt_ms <= c->now;
    bool ours = c->state == ST_CONTENT && c->count == 0 && c->out.len == 0;
    if (!attempt && ours)
        client_end(c, outcome_local(c, SMTP_DEFERRED, SMTP_STAGE_BLOCK, SPAN("4.3.0"),
                                    "the message's content did not come in time"));
    else
        client_end(c, outcome_of_cause(c, attempt ? SMTP_CAUSE_ATTEMPT : SMTP_CAUSE_TIMEOUT,
                                       client_stage(c), SPAN_NONE));
    client_leave(c);
}

void smtp_client_set_attempt(struct smtp_client *c, int64_t deadline_ms)
{
    c->attempt_ms = deadline_ms;
}

void smtp_client_abort(struct smtp_client *c, struct span why, int64_t now)
{
    client_enter(c, now);
    client_end(c, outcome_of_cause(c, SMTP_CAUSE_ABORT, client_stage(c), why));
    client_leave(c);
}

enum smtp_stage smtp_client_waits(const struct smtp_client *c, int64_t *since_ms)
{
    *since_ms = c->since_ms;
    return client_stage(c);
}

void smtp_client_set_ops(struct smtp_client *c, const struct smtp_client_ops *ops)
{
    c->ops = ops;
}

bool smtp_client_idle(const struct smtp_client *c)
{
    return c->state == ST_IDLE && !c->tx.active;
}
