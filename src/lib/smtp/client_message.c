/* One transaction: MAIL, RCPTs and DATA, in one flight where the peer knows PIPELINING.
 *
 * Facts the flight relies on (RFC 2920): replies come in the order of the commands, one each;
 * DATA ends a group, since what follows depends on its reply; a refused MAIL or RCPT does not
 * stop the commands behind it, so DATA may meet 354 with no recipient left (then a lone dot is
 * sent, 3.1) or be refused with 503. Both sides may be writing at once: the owner must go on
 * reading while it writes, or a long flight and its replies would block each other. */
#include "smtp/client_private.h"

#include "base/must.h"

#include <stdlib.h>

void message_rcpt_done(struct smtp_client *c, size_t i, struct smtp_outcome o)
{
    if (c->rcpts[i] == RCPT_DONE)
        return;
    c->tx.live -= c->rcpts[i] == RCPT_LIVE;
    c->rcpts[i] = RCPT_DONE;
    c->tx.open--;
    if (o.result == SMTP_DELIVERED && !c->tx.m.probe) {
        o.dsn_due = (c->tx.m.rcpts[i].notify & NOTIFY_SUCCESS) && !(c->caps & SMTP_EXT_DSN);
        o.eightbit = (c->tx.m.flags & ENVELOPE_8BITMIME) && !(c->caps & SMTP_EXT_8BITMIME);
    }
    c->ops->rcpt_done(c->ctx, i, &o);
}

void message_all_done(struct smtp_client *c, struct smtp_outcome o, bool live_only)
{
    for (size_t i = 0; c->tx.open && i < c->tx.m.rcpt_count; i++)
        if (!live_only || c->rcpts[i] == RCPT_LIVE)
            message_rcpt_done(c, i, o);
}

void message_over(struct smtp_client *c)
{
    MUST(c->tx.open == 0 && c->tx.active);
    bool quit = c->tx.m.quit, said = c->tx.quit_queued;
    c->tx = (struct client_tx){ 0 };
    buf_reset(&c->chunk);
    c->pending |= PEND_DONE;
    c->state = quit ? ST_QUIT : ST_IDLE;
    if (quit && !said)
        client_put_quit(c);
    if (c->out.len == 0 && c->out.cap > FLIGHT_BYTES)
        buf_free(&c->out); /* an idle connection keeps little */
}

bool smtp_client_send(struct smtp_client *c, const struct smtp_message *m, int64_t now)
{
    MUST(m->rcpt_count > 0 && m->rcpt_count <= SMTP_CLIENT_RCPTS_MAX);
    if (c->tx.active || c->state == ST_CLOSED || c->state == ST_QUIT)
        return false;
    client_enter(c, now);
    c->tx = (struct client_tx){ .m = *m, .active = true, .open = m->rcpt_count };
    if (c->rcpts_cap < m->rcpt_count) {
        free(c->rcpts);
        c->rcpts = must_alloc(m->rcpt_count);
        c->rcpts_cap = m->rcpt_count;
    }
    memset(c->rcpts, RCPT_OPEN, m->rcpt_count);
    if (c->state == ST_IDLE)
        message_begin(c);
    client_leave(c);
    return true;
}

static void all_failed(struct smtp_client *c, struct span enhanced, const char *text)
{
    message_all_done(c, outcome_local(c, SMTP_FAILED, SMTP_STAGE_MAIL, enhanced, "%s%s", c->peer,
                                      text), false);
}

/* What this peer cannot take is refused here, without a word to it. */
static void check_message(struct smtp_client *c)
{
    const struct smtp_message *m = &c->tx.m;
    enum path_class sender = client_path_check(m->sender);
    c->tx.utf8 = (m->flags & ENVELOPE_SMTPUTF8) || sender == PATH_UTF8;
    if (c->size_limit && m->size_bytes > c->size_limit)
        all_failed(c, SPAN("5.3.4"), " does not take messages of this size");
    else if (sender == PATH_BAD)
        all_failed(c, SPAN("5.1.7"), " cannot be given this sender address");
    else if (c->tx.utf8 && !(c->caps & SMTP_EXT_SMTPUTF8))
        all_failed(c, SPAN("5.6.7"), " does not know SMTPUTF8, which the message needs");
    else if ((m->flags & ENVELOPE_8BITMIME) && !(c->caps & SMTP_EXT_8BITMIME) &&
             c->conf->eightbit == SMTP_EIGHTBIT_BOUNCE)
        all_failed(c, SPAN("5.6.3"), " does not know 8BITMIME, which the message needs");
}

static void check_rcpts(struct smtp_client *c)
{
    for (size_t i = 0; c->tx.open && i < c->tx.m.rcpt_count; i++) {
        struct span addr = c->tx.m.rcpts[i].addr;
        enum path_class class = client_path_check(addr);
        if (class == PATH_BAD || addr.n == 0)
            message_rcpt_done(c, i, outcome_local(c, SMTP_FAILED, SMTP_STAGE_RCPT, SPAN("5.1.3"),
                                                  "this recipient address cannot be sent"));
        else if (class == PATH_UTF8 && !(c->caps & SMTP_EXT_SMTPUTF8))
            message_rcpt_done(c, i, outcome_local(c, SMTP_FAILED, SMTP_STAGE_RCPT, SPAN("5.6.7"),
                                                  "%s does not know SMTPUTF8, which this "
                                                  "address needs", c->peer));
        else if (class == PATH_UTF8)
            c->tx.utf8 = true;
    }
}

void message_begin(struct smtp_client *c)
{
    check_message(c);
    check_rcpts(c);
    if (c->tx.open == 0) {
        message_over(c);
        return;
    }
    c->state = ST_FLIGHT;
    c->tx.bdat = c->tx.m.probe || ((c->caps & SMTP_EXT_CHUNKING) && !c->tx.m.raw);
    if (c->needs_rset) {
        size_t start = client_cmd_begin(c);
        buf_putz(&c->out, "RSET");
        client_cmd_end(c, start, SMTP_STAGE_RSET, 0);
        c->needs_rset = false;
    }
    message_flight(c);
}

/* The next command; false when there is none to say (yet). */
static bool say_next(struct smtp_client *c)
{
    struct client_tx *tx = &c->tx;
    if (!tx->mail_queued) {
        tx->mail_queued = true;
        client_put_mail(c);
        return true;
    }
    if (tx->mail_failed || tx->data_queued)
        return false;
    while (tx->next_rcpt < tx->m.rcpt_count && c->rcpts[tx->next_rcpt] == RCPT_DONE)
        tx->next_rcpt++;
    if (tx->next_rcpt < tx->m.rcpt_count) {
        client_put_rcpt(c, tx->next_rcpt++);
        return true;
    }
    if (tx->bdat || (tx->live == 0 && c->count == 0))
        return false;
    tx->data_queued = true;
    size_t start = client_cmd_begin(c);
    buf_putz(&c->out, "DATA");
    client_cmd_end(c, start, SMTP_STAGE_DATA, 0);
    return true;
}

void message_flight(struct smtp_client *c)
{
    if (c->state != ST_FLIGHT)
        return;
    bool pipelining = c->caps & SMTP_EXT_PIPELINING;
    while ((pipelining || c->count == 0) && c->count < EXPECT_MAX - 1 &&
           c->out.len < FLIGHT_BYTES && say_next(c))
        ;
}

void message_step(struct smtp_client *c)
{
    message_flight(c);
    if (c->state == ST_DRAIN && c->count == 0) {
        c->needs_rset = true; /* RFC 3030 4.2 */
        message_over(c);
    }
    if (c->state != ST_FLIGHT || c->count)
        return;
    if (c->tx.live) {
        MUST(c->tx.bdat); /* with DATA, its reply would have led elsewhere */
        content_begin(c);
    } else {
        message_over(c); /* nobody left: no DATA, or DATA refused */
    }
}

void message_on_rset(struct smtp_client *c, const struct smtp_reply *r)
{
    if (r->code / 100 != 2)
        client_protocol_error(c, SMTP_STAGE_RSET, "RSET refused");
}

void message_on_mail(struct smtp_client *c, const struct smtp_reply *r)
{
    c->tx.mail_replied = true;
    c->served = true;
    if (r->code / 100 == 2) {
        c->needs_rset = true; /* until the transaction ends by its content */
    } else if (r->code < 400) {
        client_protocol_error(c, SMTP_STAGE_MAIL, "a reply of the wrong kind");
    } else {
        c->tx.mail_failed = true;
        message_all_done(c, outcome_of_reply(c, SMTP_STAGE_MAIL, r), false);
    }
}

void message_on_rcpt(struct smtp_client *c, const struct smtp_reply *r, size_t i)
{
    if (r->code / 100 == 3) {
        client_protocol_error(c, SMTP_STAGE_RCPT, "a reply of the wrong kind");
    } else if (r->code < 300) {
        c->needs_rset = true;
        if (c->tx.m.probe) {
            message_rcpt_done(c, i, outcome_of_reply(c, SMTP_STAGE_RCPT, r));
        } else if (c->rcpts[i] == RCPT_OPEN) { /* it is done when MAIL was refused */
            c->rcpts[i] = RCPT_LIVE;
            c->tx.live++;
            c->tx.accepted_any = true;
        }
    } else {
        struct smtp_outcome o = outcome_of_reply(c, SMTP_STAGE_RCPT, r);
        if (c->tx.accepted_any && (r->code == 452 || r->code == 552)) {
            o.result = SMTP_DEFERRED; /* RFC 5321 4.5.3.1.10: 552 is meant as 452 */
            o.again = true;
        }
        message_rcpt_done(c, i, o);
    }
}

void message_on_data(struct smtp_client *c, const struct smtp_reply *r)
{
    if (r->code / 100 == 3 && c->tx.live)
        content_begin(c);
    else if (r->code / 100 == 3)
        content_lone_dot(c);
    else if (r->code >= 400)
        message_all_done(c, outcome_of_reply(c, SMTP_STAGE_DATA, r), true);
    else
        client_protocol_error(c, SMTP_STAGE_DATA, "a reply of the wrong kind");
}
