/* rig: a client with an owner that writes down every event as one line and checks the promises
 * that hold whatever a server does: each recipient gets exactly one outcome, all before
 * message_done; nothing is unknown before the end of content was sent, nothing is repeatable
 * after it; nothing happens after closed. */
#ifndef POSTERN_TESTS_DIALOG_CLIENT_RIG_H
#define POSTERN_TESTS_DIALOG_CLIENT_RIG_H

#include "base/must.h"
#include "smtp/client.h"

enum { RIG_RCPTS_MAX = 512 };

struct rig {
    struct smtp_client_config conf;
    struct smtp_client *c;
    int64_t now;
    struct buf log;           /* events, one per line, not yet looked at */
    struct smtp_message m;
    struct envelope_rcpt rcpts[RIG_RCPTS_MAX];
    struct smtp_outcome last; /* its spans are not valid */
    int results[RIG_RCPTS_MAX]; /* enum smtp_result, -1 = none yet */
    size_t outcomes;
    struct span content;      /* what is left to give */
    size_t piece;             /* at most so many bytes at a time; 0 = no limit */
    bool hold;                /* answer no want_content */
    size_t budget;
    bool in_message, given_last, closed, ready;
    unsigned done, start_tls;
    bool promise_broken;
};

static inline void rig_broken(struct rig *r, const char *what)
{
    buf_printf(&r->log, "BROKEN %s\n", what);
    r->promise_broken = true;
}

static inline void rig_ready(void *ctx)
{
    struct rig *r = ctx;
    r->ready = true;
    buf_putz(&r->log, "ready\n");
}

static inline void rig_start_tls(void *ctx)
{
    struct rig *r = ctx;
    r->start_tls++;
    buf_putz(&r->log, "start_tls\n");
}

/* Gives what is allowed and wanted. */
static inline void rig_give(struct rig *r)
{
    while (!r->hold && r->in_message && !r->given_last && (r->budget || !r->content.n)) {
        size_t n = r->content.n < r->budget ? r->content.n : r->budget;
        if (r->piece && n > r->piece)
            n = r->piece;
        struct span s = span_to(r->content, n);
        r->content = span_from(r->content, n);
        r->budget -= n;
        r->given_last = r->content.n == 0;
        smtp_client_content(r->c, s, r->given_last, r->now);
    }
}

static inline void rig_want_content(void *ctx, size_t budget)
{
    struct rig *r = ctx;
    if (!r->in_message || r->given_last || r->closed)
        rig_broken(r, "content wanted at the wrong time");
    r->budget += budget;
    if (r->budget > r->conf.window_bytes)
        rig_broken(r, "more content wanted than the window holds");
    rig_give(r);
}

static inline void rig_rcpt_done(void *ctx, size_t i, const struct smtp_outcome *o)
{
    static const char *const words[] = { "delivered", "deferred", "failed", "unknown", "stale" };
    struct rig *r = ctx;
    if (!r->in_message || i >= r->m.rcpt_count || r->results[i] >= 0 || r->closed)
        rig_broken(r, "an outcome too many");
    else
        r->results[i] = o->result;
    if (o->enhanced.n < 5 || o->text.n > SMTP_CLIENT_TEXT_MAX || o->reply.n > SMTP_CLIENT_TEXT_MAX)
        rig_broken(r, "an outcome without a code or with too much text");
    if ((o->result == SMTP_DELIVERED || o->result == SMTP_UNKNOWN) && (o->next_mx || o->again))
        rig_broken(r, "repeated although it may have arrived");
    for (size_t k = 0; k < o->text.n; k++)
        if ((unsigned char)o->text.p[k] < 0x20)
            rig_broken(r, "a control byte in a text");
    r->outcomes++;
    r->last = *o;
    buf_printf(&r->log, "rcpt %zu %s%s%s%s%s %s %d %.*s: %.*s\n", i, words[o->result],
               o->next_mx ? " next_mx" : "", o->again ? " again" : "",
               o->dsn_due ? " dsn_due" : "", o->eightbit ? " eightbit" : "",
               smtp_stage_name(o->stage, r->conf.lmtp), o->code, SPAN_ARG(o->enhanced),
               SPAN_ARG(o->text));
}

static inline void rig_message_done(void *ctx)
{
    struct rig *r = ctx;
    if (!r->in_message || r->outcomes != r->m.rcpt_count || r->closed)
        rig_broken(r, "done without all outcomes");
    r->in_message = false;
    r->done++;
    buf_putz(&r->log, "done\n");
}

static inline void rig_closed(void *ctx, const struct smtp_outcome *why)
{
    struct rig *r = ctx;
    if (r->in_message || r->closed)
        rig_broken(r, "closed with a message open, or twice");
    r->closed = true;
    buf_printf(&r->log, "closed%s%.*s\n", why ? " " : "", SPAN_ARG(why ? why->text : SPAN_NONE));
}

static const struct smtp_client_ops rig_ops = {
    .ready = rig_ready, .start_tls = rig_start_tls, .want_content = rig_want_content,
    .rcpt_done = rig_rcpt_done, .message_done = rig_message_done, .closed = rig_closed,
};

static inline void rig_init(struct rig *r)
{
    *r = (struct rig){ .now = 1000 };
    smtp_client_defaults(&r->conf);
    r->conf.hostname = SPAN("me.test");
    r->conf.tls = SMTP_TLS_OFF;
    buf_init(&r->log, 16 << 20);
}

static inline void rig_free(struct rig *r)
{
    smtp_client_free(&r->c);
    buf_free(&r->log);
}

static inline void rig_start(struct rig *r)
{
    r->c = smtp_client_new(&r->conf, SPAN("mx.test"), &rig_ops, r, r->now);
}

/* Sends r->m (sender, rcpts and content set before). */
static inline bool rig_send(struct rig *r, struct span content)
{
    r->m.rcpts = r->rcpts;
    r->content = content;
    r->budget = r->outcomes = 0;
    r->given_last = false;
    for (size_t i = 0; i < RIG_RCPTS_MAX; i++)
        r->results[i] = -1;
    r->in_message = true;
    if (!smtp_client_send(r->c, &r->m, r->now)) {
        r->in_message = false;
        return false;
    }
    return true;
}

static inline void rig_say(struct rig *r, const char *bytes)
{
    smtp_client_input(r->c, span_str(bytes), r->now);
}

/* Takes all output away as sent; it is added to `to` when that is not NULL. */
static inline void rig_drain(struct rig *r, struct buf *to)
{
    for (struct span out; (out = smtp_client_output(r->c)).n;) {
        if (to)
            buf_puts(to, out);
        smtp_client_sent(r->c, out.n, r->now);
        if (!r->closed)
            continue;
        return;
    }
}

#endif
