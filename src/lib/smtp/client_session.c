/* From the greeting to the first message, and the goodbye. */
#include "smtp/client_private.h"

#include "base/must.h"

static void say_hello(struct smtp_client *c, const char *verb, enum smtp_stage stage)
{
    size_t start = client_cmd_begin(c);
    buf_putz(&c->out, verb);
    buf_puts(&c->out, c->conf->hostname);
    client_cmd_end(c, start, stage, 0);
}

static void session_start(struct smtp_client *c)
{
    say_hello(c, c->conf->lmtp ? "LHLO " : "EHLO ", SMTP_STAGE_EHLO);
}

/* The host does not want this session: another one may. */
static void refused(struct smtp_client *c, enum smtp_stage stage, const struct smtp_reply *r)
{
    if (r->code < 400) {
        client_protocol_error(c, stage, "a reply of the wrong kind");
        return;
    }
    struct smtp_outcome o = outcome_of_reply(c, stage, r);
    o.next_mx = true;
    client_end(c, o);
}

/* That a peer greets with our own name is no error: loops are found by other means. */
void session_greeting(struct smtp_client *c, const struct smtp_reply *r)
{
    if (r->code / 100 == 2)
        session_start(c);
    else
        refused(c, SMTP_STAGE_GREETING, r);
}

static void session_up(struct smtp_client *c)
{
    c->state = ST_IDLE;
    c->pending |= PEND_READY;
    if (c->tx.active)
        message_begin(c);
}

static void no_tls(struct smtp_client *c, enum smtp_stage stage)
{
    struct smtp_outcome o = outcome_local(c, SMTP_DEFERRED, stage, SPAN("4.7.4"),
                                          "TLS is required, %s does not offer it", c->peer);
    o.next_mx = true;
    client_end(c, o);
}

/* EHLO or HELO was accepted, capabilities are known. */
static void greeted(struct smtp_client *c, enum smtp_stage stage)
{
    enum smtp_client_tls want = c->tls ? SMTP_TLS_OFF : c->conf->tls;
    if (want != SMTP_TLS_OFF && (c->caps & SMTP_EXT_STARTTLS)) {
        size_t start = client_cmd_begin(c);
        buf_putz(&c->out, "STARTTLS");
        client_cmd_end(c, start, SMTP_STAGE_STARTTLS, 0);
    } else if (want == SMTP_TLS_REQUIRE) {
        no_tls(c, stage);
    } else {
        session_up(c);
    }
}

void session_ehlo(struct smtp_client *c, const struct smtp_reply *r)
{
    if (r->code / 100 == 2) {
        client_caps_read(c, r->text);
        greeted(c, SMTP_STAGE_EHLO);
    } else if (r->code >= 500 && !c->conf->lmtp) {
        say_hello(c, "HELO ", SMTP_STAGE_HELO); /* RFC 5321 3.2 */
    } else {
        refused(c, SMTP_STAGE_EHLO, r);
    }
}

void session_helo(struct smtp_client *c, const struct smtp_reply *r)
{
    if (r->code / 100 != 2) {
        refused(c, SMTP_STAGE_HELO, r);
        return;
    }
    c->caps = 0;
    greeted(c, SMTP_STAGE_HELO);
}

void session_starttls(struct smtp_client *c, const struct smtp_reply *r)
{
    if (r->code / 100 == 2) {
        c->state = ST_TLS;
        c->pending |= PEND_TLS;
    } else if (r->code < 400) {
        refused(c, SMTP_STAGE_STARTTLS, r);
    } else if (c->conf->tls == SMTP_TLS_REQUIRE) {
        struct smtp_outcome o = outcome_of_reply(c, SMTP_STAGE_STARTTLS, r);
        o.result = SMTP_DEFERRED; /* of this session, not of the message */
        o.enhanced = SPAN("4.7.4");
        o.next_mx = true;
        client_end(c, o);
    } else {
        c->caps &= ~(uint32_t)SMTP_EXT_STARTTLS;
        session_up(c);
    }
}

/* RFC 3207 4.2: what was learned in the clear is forgotten. */
void smtp_client_tls_done(struct smtp_client *c, int64_t now)
{
    client_enter(c, now);
    if (c->state == ST_TLS) { /* not when it was aborted meanwhile */
        MUST(c->out.len == 0);
        c->tls = true;
        c->caps = 0;
        c->size_limit = 0;
        c->state = ST_SESSION;
        session_start(c);
    }
    client_leave(c);
}

void client_put_quit(struct smtp_client *c)
{
    size_t start = client_cmd_begin(c);
    buf_putz(&c->out, "QUIT");
    client_cmd_end(c, start, SMTP_STAGE_QUIT, 0);
}

void smtp_client_quit(struct smtp_client *c, int64_t now)
{
    MUST(!c->tx.active);
    client_enter(c, now);
    if (c->state == ST_IDLE) {
        client_put_quit(c);
        c->state = ST_QUIT;
    } else if (c->state != ST_QUIT) {
        client_end(c, outcome_of_cause(c, SMTP_CAUSE_ABORT, client_stage(c), SPAN_NONE));
    }
    client_leave(c);
}

void session_quit(struct smtp_client *c, const struct smtp_reply *r)
{
    struct smtp_outcome o = outcome_of_reply(c, SMTP_STAGE_QUIT, r);
    o.result = SMTP_DELIVERED; /* whatever its code: goodbye */
    client_end(c, o);
}
