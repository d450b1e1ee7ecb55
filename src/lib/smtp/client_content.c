/* The message itself: behind 354 with dots doubled, or in BDAT chunks (RFC 3030). Bytes are
 * asked of the owner by credit, so that a slow peer holds back the spool, not fills memory. */
#include "smtp/client_private.h"

#include "base/must.h"

void content_begin(struct smtp_client *c)
{
    c->state = ST_CONTENT;
    c->since_ms = c->now;
    c->tx.stuff = dotstuff_start(c->tx.bdat);
}

bool content_grant(struct smtp_client *c)
{
    struct client_tx *tx = &c->tx;
    size_t window = c->conf->window_bytes, used = c->out.len + c->chunk.len + tx->credit;
    if (c->state != ST_CONTENT || tx->last || used > window / 2)
        return false;
    tx->credit += window - used;
    c->ops->want_content(c->ctx, window - used);
    return true;
}

/* The end of all content stands at the end of the output. */
static void final_queued(struct smtp_client *c)
{
    client_expect(c, SMTP_STAGE_FINAL, 0);
    c->since_ms = c->now;
    c->tx.final_queued = true;
    c->tx.final_end = c->sent + c->out.len;
    c->state = ST_FINAL;
    if (c->tx.m.quit && (c->caps & SMTP_EXT_PIPELINING)) {
        c->tx.quit_queued = true;
        client_put_quit(c);
    }
}

/* Mid-content the only way to stop is to hang up: a dot would complete the message. */
static void unsendable(struct smtp_client *c)
{
    client_end(c, outcome_local(c, SMTP_FAILED, SMTP_STAGE_BLOCK, SPAN("5.6.0"),
                                "the content has a bare CR or LF, which is never sent"));
}

static void put_raw(struct smtp_client *c, struct span content, bool last)
{
    struct dotstuff *d = &c->tx.stuff;
    buf_puts(&c->out, content);
    if (content.n) {
        bool cr = content.n > 1 ? content.p[content.n - 2] == '\r' : d->cr;
        char end = content.p[content.n - 1];
        d->midline = !(cr && end == '\n');
        d->cr = end == '\r';
    }
    if (last)
        buf_putz(&c->out, d->midline ? "\r\n.\r\n" : ".\r\n");
}

static void put_data(struct smtp_client *c, struct span content, bool last)
{
    struct dotstuff *d = &c->tx.stuff;
    buf_space(&c->out, content.n + content.n / 16 + 64); /* grow once, not by doubling */
    if (c->tx.m.raw) {
        put_raw(c, content, last);
    } else if (!dotstuff_put(d, &c->out, content) || (last && !dotstuff_end(d, &c->out))) {
        unsendable(c);
        return;
    }
    MUST(!c->out.failed); /* the credit leaves room for every doubled dot */
    if (last) {
        client_trace(c, true, SPAN("."));
        final_queued(c);
    }
}

void smtp_client_content(struct smtp_client *c, struct span content, bool last, int64_t now)
{
    client_enter(c, now);
    if (c->state == ST_CONTENT && !c->tx.last) {
        MUST(content.n <= c->tx.credit);
        c->tx.credit -= content.n;
        c->tx.last = last;
        if (c->out.len == 0 && c->chunk.len == 0)
            c->since_ms = c->now; /* the wait was for the owner */
        if (!c->tx.bdat)
            put_data(c, content, last);
        else if (!dotstuff_put(&c->tx.stuff, &c->chunk, content) ||
                 (last && !dotstuff_end(&c->tx.stuff, &c->chunk)))
            unsendable(c);
    }
    client_leave(c);
}

void smtp_client_content_failed(struct smtp_client *c, struct span why, int64_t now)
{
    client_enter(c, now);
    if (c->tx.active)
        client_end(c, outcome_local(c, SMTP_DEFERRED, client_stage(c), SPAN("4.3.0"),
                                    "the message cannot be read: %.*s", SPAN_ARG(why)));
    client_leave(c);
}

static void put_chunk(struct smtp_client *c, size_t n, bool last)
{
    size_t start = client_cmd_begin(c);
    buf_printf(&c->out, "BDAT %zu%s", n, last ? " LAST" : "");
    client_trace(c, true, span_from(buf_span(&c->out), start));
    buf_put(&c->out, "\r\n", 2);
    buf_puts(&c->out, span_to(buf_span(&c->chunk), n));
    buf_take(&c->chunk, n);
    MUST(!c->out.failed);
    if (last)
        final_queued(c);
    else
        client_expect(c, SMTP_STAGE_BLOCK, 0);
}

/* Chunks go out when full or the last; one at a time to a peer without PIPELINING. */
void content_pump(struct smtp_client *c)
{
    size_t full = c->conf->chunk_bytes, half = c->conf->window_bytes / 2;
    unsigned flight = c->caps & SMTP_EXT_PIPELINING ? CHUNKS_IN_FLIGHT : 1;
    if (full > half)
        full = half; /* or the owner's credit would end first */
    while (c->state == ST_CONTENT && c->tx.bdat && c->count < flight &&
           c->out.len <= c->conf->window_bytes) {
        bool last = c->tx.last && c->chunk.len <= full;
        if (!last && c->chunk.len < full)
            return;
        put_chunk(c, last ? c->chunk.len : full, last);
    }
}

void content_on_chunk(struct smtp_client *c, const struct smtp_reply *r)
{
    if (c->state == ST_DRAIN || r->code / 100 == 2)
        return;
    if (r->code < 400) {
        client_protocol_error(c, SMTP_STAGE_BLOCK, "a reply of the wrong kind");
        return;
    }
    struct smtp_outcome o = outcome_of_reply(c, SMTP_STAGE_BLOCK, r);
    message_all_done(c, o, true);
    c->state = ST_DRAIN;
    if (c->conf->lmtp && c->tx.final_queued)
        client_end(c, o); /* how many replies follow is anybody's guess */
}

static bool next_live(const struct smtp_client *c, size_t *i_r)
{
    while (*i_r < c->tx.m.rcpt_count && c->rcpts[*i_r] != RCPT_LIVE)
        ++*i_r;
    return *i_r < c->tx.m.rcpt_count;
}

/* LMTP: one reply for each accepted recipient, in their order (RFC 2033 4.2). */
static void final_for_one(struct smtp_client *c, struct smtp_outcome o)
{
    MUST(next_live(c, &c->tx.lmtp_rcpt));
    message_rcpt_done(c, c->tx.lmtp_rcpt, o);
    if (c->tx.live) { /* the ring's head stays */
        c->head = (c->head + EXPECT_MAX - 1) % EXPECT_MAX;
        c->count++;
    }
}

void content_on_final(struct smtp_client *c, const struct smtp_reply *r)
{
    if (c->state == ST_DRAIN)
        return;
    if (c->state == ST_LONE) {
        c->needs_rset = false;
        message_over(c);
        return;
    }
    if (r->code / 100 == 3) {
        client_protocol_error(c, SMTP_STAGE_FINAL, "a reply of the wrong kind");
        return;
    }
    struct smtp_outcome o = outcome_of_reply(c, SMTP_STAGE_FINAL, r);
    if (c->conf->lmtp)
        final_for_one(c, o);
    else
        message_all_done(c, o, true);
    if (c->tx.live)
        return;
    c->needs_rset = c->tx.bdat && r->code >= 400;
    message_over(c);
    if (r->code == 421)
        client_end(c, o);
}

void content_lone_dot(struct smtp_client *c)
{
    if (c->conf->lmtp) { /* it would get no reply at all */
        client_protocol_error(c, SMTP_STAGE_DATA, "354 without recipients");
        return;
    }
    buf_put(&c->out, ".\r\n", 3);
    client_trace(c, true, SPAN("."));
    client_expect(c, SMTP_STAGE_FINAL, 0);
    c->state = ST_LONE;
}
