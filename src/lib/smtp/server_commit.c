/* The end of a message: the last checks, the commit, and the only 250 there is for it. */
#include "smtp/server_int.h"

#include "mail/received.h"

/* Ends the transaction with a reply that is not the 250. */
static void fail(struct smtp_server *s, const struct reply *r, enum smtp_server_end how)
{
    bool last = r->code == 421 || s->shutdown;
    s->state = STATE_COMMAND;
    server_put_reply(s, r, SPAN(""));
    server_txn_end(s, how); /* r's text may have been the transaction's */
    if (last)
        server_close(s);
}

static void refuse_with(struct smtp_server *s, unsigned short code, const char *enhanced,
                        struct span text)
{
    struct reply r = { .code = code, .text = text };
    memcpy(r.enhanced, enhanced, strlen(enhanced) + 1);
    server_txn_refuse(s, &r);
}

/* RFC 5321 6.3, and our own instance id, which no host name can imitate by accident. */
static void check_loop(struct smtp_server *s)
{
    const struct smtp_server_config *c = s->config;
    const struct headerwalk *h = &s->txn->header;
    if (h->received <= c->received_max && h->ours <= c->ours_max)
        return;
    struct buf text;
    buf_init(&text, 256);
    if (h->received > c->received_max)
        buf_printf(&text, "Too many hops %u (%u max)", h->received, c->received_max);
    else
        buf_printf(&text, "Mail loop detected: passed this system %u times", h->ours);
    server_event(s, SMTP_EVENT_LOOP, SPAN(""), buf_span(&text));
    refuse_with(s, 554, "5.4.6", buf_span(&text));
    buf_free(&text);
}

void server_finish(struct smtp_server *s)
{
    struct txn *t = s->txn;
    s->stage = t->by == BY_DATA ? "end of data" : "bdat last";
    if (t->scan.bad) {
        server_event(s, SMTP_EVENT_BARE_NEWLINE, SPAN(""), SPAN(""));
        if (!s->normalise)
            refuse_with(s, 550, "5.6.0", SPAN("Bare carriage return or linefeed in message"));
    }
    if (t->pipelined_end && !(s->esmtp && s->config->pipelining)) {
        server_event(s, SMTP_EVENT_EARLY_TALK, SPAN(""), SPAN(""));
        refuse_with(s, 554, "5.5.0", SPAN("SMTP protocol error"));
        s->rejecting = true;
    }
    check_loop(s);
    if (t->refused.code) {
        struct reply r = t->refused; /* its text is the transaction's, which fail ends last */
        fail(s, &r, SMTP_END_ABORTED);
        return;
    }
    MUST(!t->end_asked);
    t->end_asked = true;
    server_ask(s, &(struct smtp_server_question){ .hook = SMTP_HOOK_END });
}

static void put_received(struct smtp_server *s, struct buf *b)
{
    const struct envelope *e = &s->txn->env;
    struct queueid id = envelope_id(e);
    struct received r = {
        .helo = e->helo, .name = e->client_name, .ip = e->client_ip,
        .host = s->config->hostname, .instance = s->config->instance, .proto = e->proto,
        .queue_id = span_of(id.text, QUEUEID_LEN),
        .tls_version = span_str(s->tls_version), .tls_cipher = span_str(s->tls_cipher),
        .tls_bits = s->tls_bits, .user = s->local ? e->auth : SPAN_NONE,
        .rcpt = e->rcpt_count == 1 ? e->rcpts[0].addr : SPAN(""),
        .wall_ms = s->now.wall_ms, .zone_min = s->config->zone_min,
    };
    MUST(received_put(b, &r));
}

void server_end_verdict(struct smtp_server *s, const struct smtp_server_verdict *v)
{
    struct reply r = server_verdict(v, 0);
    if (!reply_positive(&r)) {
        fail(s, &r, SMTP_END_ABORTED);
        return;
    }
    struct txn *t = s->txn;
    struct buf head;
    buf_init(&head, RECEIVED_MAX);
    put_received(s, &head);
    s->state = STATE_COMMIT;
    s->commit_deadline_ms = s->now.mono_ms + s->config->commit_ms;
    struct smtp_server_commit c = { .txn = t->id, .envelope = &t->env, .head = buf_span(&head),
                                    .content_bytes = t->bytes, .header = &t->header };
    s->ops->commit(s->ctx, &c);
    buf_free(&head);
}

static void accepted(struct smtp_server *s, struct smtp_server_time now, enum smtp_server_end how)
{
    s->now = now;
    s->progress_ms = now.mono_ms;
    s->state = STATE_COMMAND;
    s->bad = 0;
    server_say(s, 250, "2.0.0", "%s Message accepted for delivery", envelope_id(&s->txn->env).text);
    server_txn_end(s, how);
    if (s->shutdown)
        smtp_server_shutdown(s);
}

bool smtp_server_committed(struct smtp_server *s, const struct receipt *receipt,
                           struct smtp_server_time now)
{
    if (s->state != STATE_COMMIT || receipt_txn(receipt) != s->txn->id)
        return false;
    MUST(receipt_seq(receipt) == s->txn->env.seq);
    accepted(s, now, SMTP_END_COMMITTED);
    return true;
}

bool smtp_server_discarded(struct smtp_server *s, uint64_t txn, struct smtp_server_time now)
{
    if (s->state != STATE_COMMIT || txn != s->txn->id)
        return false;
    accepted(s, now, SMTP_END_ABORTED);
    return true;
}

bool smtp_server_refused(struct smtp_server *s, uint64_t txn, const struct reply *why,
                         struct smtp_server_time now)
{
    if (s->state != STATE_COMMIT || txn != s->txn->id)
        return false;
    MUST(!reply_positive(why));
    s->now = now;
    s->progress_ms = now.mono_ms;
    fail(s, why, SMTP_END_REFUSED);
    return true;
}
