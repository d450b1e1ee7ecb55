/* Those who send: each connects, hands over one message or several, and believes what it is
 * told. A message that was not acknowledged is sent again later. */
#include "world.h"

#include "base/must.h"
#include "smtp/reply_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    OUT_MAX = 1 << 20,
    TOKENS_MAX = 16,
    PATIENCE_MS = 20 * MINUTE_MS, /* above every clock of the server together */
    AGAIN_MIN_MS = 20 * SECOND_MS,
    AGAIN_MAX_MS = 4 * MINUTE_MS,
    READ_BYTES = 4096,
};

/* What the replies that are due answer. */
enum token { T_GREETING, T_EHLO, T_MAIL, T_RCPT, T_DATA, T_END, T_RSET, T_QUIT };

struct client {
    struct world *w;
    struct netaddr from;
    int fd; /* -1: none */
    struct loop_io io;
    struct loop_timer timer; /* idle: the next connection; else patience */
    struct reply_parser parser;
    struct buf out, content;
    enum token tokens[TOKENS_MAX];
    size_t token_count, replies;
    size_t next_rcpt, rcpt_reply; /* in m->rcpts: to be sent; to be answered */
    struct message *m;
    bool pipelined, bdat, dsn, bye, mute, refused;
    bool leaves;         /* at once when its message is out */
    bool content_out;
    bool ok[RCPTS_MAX];
    unsigned left;       /* messages of this session, this one included */
    size_t abandon_at;   /* replies; 0: never */
    int64_t dialled_ms;
    bool connected;
};

static void on_ready(void *ctx, int ready);

/* --- the end of a session --- */

static void put_back(struct client *c)
{
    if (!c->m)
        return;
    c->m->in_hand = false;
    c->m->due_ms = loop_mono_ms(c->w->l) + AGAIN_MIN_MS +
                   (int64_t)chance(c->w, AGAIN_MAX_MS - AGAIN_MIN_MS);
    c->m = NULL;
}

static void hang_up(struct client *c)
{
    struct loop *l = c->w->l;
    put_back(c);
    loop_io_del(l, &c->io);
    loop_close(l, c->fd);
    c->fd = -1;
    reply_parser_free(&c->parser);
    buf_reset(&c->out);
    loop_timer_in(l, &c->timer, 1 + (int64_t)chance(c->w, (uint64_t)c->w->temper.client_idle_ms));
}

/* Whether something other than the gateway explains that this session went wrong. */
static bool explained(const struct client *c)
{
    return c->w->smtpd_died_ms >= c->dialled_ms || loop_sim_struck(c->w->l, c->fd) ||
           c->w->stopping;
}

static const char *waiting_for(const struct client *c)
{
    static const char *const names[] = { "the greeting", "EHLO", "MAIL", "RCPT",
                                         "DATA", "the end of data", "RSET", "QUIT" };
    return c->token_count ? names[c->tokens[0]] : "nothing";
}

static void lost(struct client *c)
{
    if (!c->bye && !explained(c))
        fail(c->w, "client %d: the session was closed while it waited for %s",
             c->from.ip[3], waiting_for(c));
    hang_up(c);
}

/* --- saying things --- */

static void expect(struct client *c, enum token t)
{
    MUST(c->token_count < TOKENS_MAX);
    c->tokens[c->token_count++] = t;
}

static void put_rcpt(struct client *c)
{
    const struct rcpt *r = &c->m->rcpts[c->next_rcpt++];
    buf_printf(&c->out, "RCPT TO:<%s>", r->named);
    if (c->dsn && c->m->notify)
        buf_printf(&c->out, " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;%s", r->named);
    buf_putz(&c->out, "\r\n");
    expect(c, T_RCPT);
}

static bool is_said(const struct rcpt *r) { return !r->acks && r->named[0]; }

static void skip_taken(struct client *c)
{
    while (c->next_rcpt < c->m->rcpt_count && !is_said(&c->m->rcpts[c->next_rcpt]))
        c->next_rcpt++;
}

/* From now on the server may take it whatever becomes of the reply. */
static void count_sent(struct client *c)
{
    c->content_out = true;
    for (size_t i = 0; i < c->m->rcpt_count; i++)
        if (!c->m->rcpts[i].acks)
            c->m->rcpts[i].sent++;
}

static void put_stuffed(struct client *c)
{
    struct span s = buf_span(&c->content);
    while (s.n) {
        struct span line = span_to(s, span_find(s, '\n') + 1);
        if (line.p[0] == '.')
            buf_putc(&c->out, '.');
        buf_puts(&c->out, line);
        s = span_from(s, line.n);
    }
    buf_putz(&c->out, ".\r\n");
}

static void put_content(struct client *c)
{
    bool any = false;
    for (size_t i = 0; i < RCPTS_MAX; i++)
        any = any || c->ok[i];
    if (any)
        put_stuffed(c);
    else
        buf_putz(&c->out, ".\r\n");
    if (any)
        count_sent(c);
    expect(c, T_END);
}

static void put_data(struct client *c)
{
    if (!c->bdat) {
        buf_putz(&c->out, "DATA\r\n");
        expect(c, T_DATA);
        return;
    }
    buf_printf(&c->out, "BDAT %zu LAST\r\n", c->content.len);
    buf_puts(&c->out, buf_span(&c->content));
    count_sent(c);
    expect(c, T_END);
}

static void begin_message(struct client *c)
{
    memset(c->ok, 0, sizeof c->ok);
    c->refused = c->content_out = false;
    c->next_rcpt = 0;
    skip_taken(c);
    c->rcpt_reply = c->next_rcpt;
    message_content(c->m, &c->content);
    buf_printf(&c->out, "MAIL FROM:<%s> SIZE=%zu%s", c->m->sender, c->content.len,
               c->m->eightbit ? " BODY=8BITMIME" : "");
    if (c->dsn && c->m->notify)
        buf_printf(&c->out, " RET=%s ENVID=sim%u", c->m->n % 2 ? "HDRS" : "FULL", c->m->n);
    buf_putz(&c->out, "\r\n");
    expect(c, T_MAIL);
    c->w->tries++;
    if (!c->pipelined)
        return;
    while (c->next_rcpt < c->m->rcpt_count) {
        put_rcpt(c);
        skip_taken(c);
    }
    put_data(c);
}

static void quit(struct client *c)
{
    put_back(c);
    buf_putz(&c->out, "QUIT\r\n");
    expect(c, T_QUIT);
}

static void next_message(struct client *c, bool clean)
{
    put_back(c);
    c->m = --c->left ? ledger_next(c->w) : NULL;
    if (!c->m) {
        quit(c);
        return;
    }
    c->m->in_hand = true;
    if (clean) {
        begin_message(c);
        return;
    }
    buf_putz(&c->out, "RSET\r\n");
    expect(c, T_RSET);
}

/* --- hearing things --- */

static void on_ehlo(struct client *c, struct span text)
{
    c->dsn = memmem(text.p, text.n, "\nDSN", 4) != NULL;
    c->bdat = c->bdat && memmem(text.p, text.n, "CHUNKING", 8);
    c->pipelined = c->pipelined && memmem(text.p, text.n, "PIPELINING", 10);
    begin_message(c);
}

static size_t next_asked(const struct client *c)
{
    size_t i = c->rcpt_reply;
    while (i < c->m->rcpt_count && !is_said(&c->m->rcpts[i]))
        i++;
    return i;
}

static void on_rcpt(struct client *c, int code)
{
    size_t i = next_asked(c);
    MUST(i < c->m->rcpt_count);
    c->ok[i] = code / 100 == 2;
    for (size_t k = i + 1; k < c->m->rcpt_count && !c->m->rcpts[k].named[0]; k++)
        c->ok[k] = c->ok[i];
    c->rcpt_reply = i + 1;
    c->refused = c->refused || code / 100 == 4;
    if (code / 100 == 5 && !c->refused)
        fail(c->w, "message %u to %s was refused with %d", c->m->n, c->m->rcpts[i].address, code);
    skip_taken(c);
    if (c->pipelined)
        return;
    if (code / 100 != 2)
        next_message(c, false);
    else if (c->next_rcpt < c->m->rcpt_count)
        put_rcpt(c);
    else
        put_data(c);
}

static void on_end(struct client *c, int code, struct span text)
{
    bool any = false;
    for (size_t i = 0; i < c->m->rcpt_count; i++) {
        any = any || c->ok[i];
        if (code / 100 == 2 && c->ok[i])
            c->m->rcpts[i].acks++;
    }
    say(c->w, "message %u: %d %.*s", c->m->n, code, SPAN_ARG(text));
    if (code / 100 == 5 && any && !c->refused)
        fail(c->w, "message %u was refused with %d %.*s", c->m->n, code, SPAN_ARG(text));
    if (code / 100 == 2 && !any)
        fail(c->w, "message %u was accepted for nobody", c->m->n);
    next_message(c, any); /* BDAT for nobody leaves the transaction as it was */
}

static void on_mail(struct client *c, int code)
{
    c->refused = c->refused || code / 100 == 4;
    if (code / 100 == 5)
        fail(c->w, "message %u: MAIL was refused with %d", c->m->n, code);
    if (c->pipelined)
        return;
    if (code / 100 == 2)
        put_rcpt(c);
    else
        next_message(c, false);
}

/* False: the session is over. */
static bool on_reply(struct client *c, const struct smtp_reply *r)
{
    MUST(c->token_count);
    enum token t = c->tokens[0];
    c->token_count--;
    memmove(&c->tokens[0], &c->tokens[1], c->token_count * sizeof c->tokens[0]);
    c->bye = c->bye || r->code == 421 || t == T_QUIT || (t == T_GREETING && r->code != 220);
    if (c->bye || (c->abandon_at && ++c->replies == c->abandon_at))
        return false;
    switch (t) {
    case T_GREETING:
        buf_putz(&c->out, "EHLO client.example\r\n");
        expect(c, T_EHLO);
        break;
    case T_EHLO: on_ehlo(c, r->text); break;
    case T_MAIL: on_mail(c, r->code); break;
    case T_RCPT: on_rcpt(c, r->code); break;
    case T_DATA:
        if (r->code == 354)
            put_content(c);
        else
            next_message(c, false);
        break;
    case T_END: on_end(c, r->code, r->text); break;
    case T_RSET: begin_message(c); break;
    case T_QUIT: break;
    }
    return true;
}

/* --- the socket --- */

static bool write_out(struct client *c)
{
    while (c->out.len && !c->mute) {
        struct span out = buf_span(&c->out);
        ssize_t put = loop_write(c->w->l, c->fd, out.p, out.n);
        if (put < 0)
            return errno == EAGAIN;
        buf_take(&c->out, (size_t)put);
    }
    return true;
}

/* False: the connection is gone, or we have had enough. */
static bool read_in(struct client *c)
{
    char p[READ_BYTES];
    ssize_t got = loop_read(c->w->l, c->fd, p, sizeof p);
    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0) {
        lost(c);
        return false;
    }
    struct span in = span_of(p, (size_t)got);
    struct smtp_reply r;
    int done;
    while ((done = reply_parse(&c->parser, &in, &r)) > 0) {
        if (!c->token_count && r.code != 421)
            fail(c->w, "client %d heard %d without having asked", c->from.ip[3], r.code);
        if (c->token_count && on_reply(c, &r))
            continue;
        hang_up(c);
        return false;
    }
    if (done < 0)
        fail(c->w, "client %d: no SMTP reply: %s", c->from.ip[3], c->parser.why);
    return true;
}

static void on_ready(void *ctx, int ready)
{
    struct client *c = ctx;
    int error = c->connected ? 0 : loop_connect_result(c->w->l, c->fd);
    if (error) {
        hang_up(c);
        return;
    }
    c->connected = true;
    if ((ready & LOOP_READ) && !read_in(c))
        return;
    if (!write_out(c)) {
        /* A reply may stand before the end: the reader hears it. */
        buf_reset(&c->out);
    }
    if (c->leaves && c->content_out && !c->out.len) {
        hang_up(c);
        return;
    }
    loop_timer_in(c->w->l, &c->timer, PATIENCE_MS);
    loop_io_want(c->w->l, &c->io, LOOP_READ | (c->out.len && !c->mute ? LOOP_WRITE : 0));
}

static void connect_now(struct client *c)
{
    struct world *w = c->w;
    bool rude = fault_on(w, FAULT_CLIENTS);
    c->m = ledger_next(w);
    if (!c->m) {
        loop_timer_in(w->l, &c->timer, 1 + (int64_t)chance(w, (uint64_t)w->temper.client_idle_ms));
        return;
    }
    c->m->in_hand = true;
    c->fd = loop_connect(w->l, &w->address, &c->from);
    c->left = 1 + (unsigned)chance(w, 4);
    c->pipelined = one_in(w, 2);
    c->bdat = one_in(w, 3);
    c->abandon_at = rude && one_in(w, 5) ? 1 + chance(w, 10) : 0;
    c->mute = rude && one_in(w, 30);
    c->leaves = rude && one_in(w, 8);
    c->content_out = false;
    c->bye = false;
    c->replies = c->token_count = 0;
    c->connected = false;
    c->dialled_ms = loop_mono_ms(w->l);
    w->sessions++;
    reply_parser_init(&c->parser);
    expect(c, T_GREETING);
    loop_timer_in(w->l, &c->timer, PATIENCE_MS);
    loop_io_add(w->l, &c->io, c->fd, LOOP_WRITE | LOOP_READ, on_ready, c);
}

static void on_timer(void *ctx)
{
    struct client *c = ctx;
    if (c->fd < 0) {
        connect_now(c);
        return;
    }
    if (!explained(c) && c->connected)
        fail(c->w, "client %d waited %d minutes for %s", c->from.ip[3], PATIENCE_MS / MINUTE_MS,
             waiting_for(c));
    hang_up(c);
}

void clients_make(struct world *w)
{
    w->clients = must_calloc(CLIENTS, sizeof *w->clients);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &w->clients[i];
        c->w = w;
        c->fd = -1;
        c->from = (struct netaddr){ .family = NETADDR_V4, .ip = { 10, 2, 0, (uint8_t)(i + 1) } };
        buf_init(&c->out, OUT_MAX);
        buf_init(&c->content, OUT_MAX);
        loop_timer_init(&c->timer, on_timer, c);
        loop_timer_in(w->l, &c->timer, 1 + (int64_t)chance(w, (uint64_t)w->temper.client_idle_ms));
    }
}

void clients_free(struct world *w)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (c->fd >= 0)
            hang_up(c);
        loop_timer_stop(w->l, &c->timer);
        buf_free(&c->out);
        buf_free(&c->content);
    }
    free(w->clients);
}
