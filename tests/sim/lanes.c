/* Those who send in these days: plain clients, one message after the other, each sent again a
 * minute later when it was not taken. */
#include "days.h"

#include "base/must.h"
#include "smtp/reply_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { OUT_MAX = 1 << 20, PER_SESSION = 50, AGAIN_MS = MINUTE_MS, PATIENCE_MS = 30 * MINUTE_MS,
       LOOK_MS = SECOND_MS, IDLE_MS = 20 * SECOND_MS };

enum step { GREETING, EHLO, MAIL, RCPT, DATA, END, QUIT };

struct lane {
    struct days *d;
    struct netaddr from;
    int fd; /* -1: none */
    struct loop_io io;
    struct loop_timer timer;
    struct reply_parser parser;
    struct buf out;
    enum step step;
    struct mail *m;
    unsigned left;
    bool connected, stranger;
    int64_t asked_ms;
};

static struct mail *next_due(struct lane *c)
{
    struct days *d = c->d;
    struct mail *best = NULL;
    for (unsigned i = 0; i < d->count; i++) {
        struct mail *m = &d->mails[i];
        bool finished = m->acks || (m->unknown && m->code == 550);
        if (!m->in_hand && !finished && m->due_ms <= since(d) && m->stranger == c->stranger &&
            (!best || m->due_ms < best->due_ms))
            best = m;
    }
    return best;
}

static void put_back(struct lane *c, bool taken)
{
    if (c->m) {
        c->m->in_hand = false;
        if (!taken)
            c->m->due_ms = since(c->d) + AGAIN_MS;
    }
    c->m = NULL;
}

static void hang_up(struct lane *c)
{
    struct loop *l = c->d->w.l;
    put_back(c, false);
    loop_io_del(l, &c->io);
    loop_close(l, c->fd);
    c->fd = -1;
    reply_parser_free(&c->parser);
    buf_reset(&c->out);
    loop_timer_in(l, &c->timer, LOOK_MS);
}

static void put_mail(struct lane *c)
{
    c->m->in_hand = true;
    buf_putz(&c->out, "MAIL FROM:<");
    mail_sender(c->m, &c->out);
    buf_putz(&c->out, ">\r\n");
    c->step = MAIL;
}

static void put_rcpt(struct lane *c)
{
    static const char *const words[NOTIFIES] = {
        "", " NOTIFY=NEVER", " NOTIFY=FAILURE", " NOTIFY=DELAY", " NOTIFY=SUCCESS,FAILURE",
    };
    buf_putz(&c->out, "RCPT TO:<");
    mail_to(c->m, &c->out);
    buf_printf(&c->out, ">%s\r\n", words[c->m->notify]);
    c->step = RCPT;
    c->asked_ms = since(c->d);
}

static void next_mail(struct lane *c, bool taken)
{
    put_back(c, taken);
    c->m = c->left-- ? next_due(c) : NULL;
    if (c->m) {
        buf_putz(&c->out, "RSET\r\n");
        c->step = EHLO;
        c->m->in_hand = true;
        return;
    }
    buf_putz(&c->out, "QUIT\r\n");
    c->step = QUIT;
}

static void on_end(struct lane *c, int code)
{
    struct mail *m = c->m;
    if (code == 250 && !m->acks++)
        m->accepted_ms = since(c->d);
    next_mail(c, code == 250);
}

static void on_reply(struct lane *c, int code)
{
    switch (c->step) {
    case GREETING:
        buf_putz(&c->out, "EHLO client.example\r\n");
        c->step = EHLO;
        break;
    case EHLO: put_mail(c); break;
    case MAIL:
        if (code == 250)
            put_rcpt(c);
        else
            next_mail(c, false);
        break;
    case RCPT:
        c->m->code = code;
        c->m->rcpt_said_ms = since(c->d) - c->asked_ms;
        if (code == 250)
            buf_putz(&c->out, "DATA\r\n");
        else
            next_mail(c, false);
        if (code == 250)
            c->step = DATA;
        break;
    case DATA:
        if (code != 354) {
            next_mail(c, false);
            break;
        }
        mail_content(c->m, &c->out);
        c->m->contents++;
        buf_putz(&c->out, ".\r\n");
        c->step = END;
        break;
    case END: on_end(c, code); break;
    case QUIT: break;
    }
}

static bool write_out(struct lane *c)
{
    while (c->out.len) {
        struct span out = buf_span(&c->out);
        ssize_t put = loop_write(c->d->w.l, c->fd, out.p, out.n);
        if (put < 0)
            return errno == EAGAIN;
        buf_take(&c->out, (size_t)put);
    }
    return true;
}

/* False: it is over. */
static bool read_in(struct lane *c)
{
    char p[4096];
    ssize_t got = loop_read(c->d->w.l, c->fd, p, sizeof p);
    struct smtp_reply r;
    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0)
        return false;
    struct span in = span_of(p, (size_t)got);
    while (reply_parse(&c->parser, &in, &r) > 0) {
        if (r.code == 421 || c->step == QUIT || (c->step == GREETING && r.code != 220))
            return false;
        on_reply(c, r.code);
    }
    return true;
}

static void on_ready(void *ctx, int ready)
{
    struct lane *c = ctx;
    int error = c->connected ? 0 : loop_connect_result(c->d->w.l, c->fd);
    c->connected = true;
    if (error || ((ready & LOOP_READ) && !read_in(c)) || !write_out(c)) {
        hang_up(c);
        return;
    }
    loop_timer_in(c->d->w.l, &c->timer, PATIENCE_MS);
    loop_io_want(c->d->w.l, &c->io, LOOP_READ | (c->out.len ? LOOP_WRITE : 0));
}

static int64_t next_look_ms(const struct lane *c)
{
    int64_t wait = INT64_MAX, now = since(c->d);
    for (unsigned i = 0; i < c->d->count; i++) {
        const struct mail *m = &c->d->mails[i];
        if (!m->acks && !m->in_hand && m->stranger == c->stranger && m->due_ms - now < wait)
            wait = m->due_ms - now;
    }
    return wait < LOOK_MS ? LOOK_MS : wait < IDLE_MS ? wait : wait < HOUR_MS ? wait : HOUR_MS;
}

static void connect_now(struct lane *c)
{
    struct days *d = c->d;
    c->m = next_due(c);
    if (!c->m) {
        loop_timer_in(d->w.l, &c->timer, next_look_ms(c));
        return;
    }
    c->m->in_hand = true;
    c->fd = loop_connect(d->w.l, &d->w.address, &c->from);
    c->left = PER_SESSION;
    c->step = GREETING;
    c->connected = false;
    d->w.sessions++;
    reply_parser_init(&c->parser);
    loop_timer_in(d->w.l, &c->timer, PATIENCE_MS);
    loop_io_add(d->w.l, &c->io, c->fd, LOOP_WRITE | LOOP_READ, on_ready, c);
}

static void on_timer(void *ctx)
{
    struct lane *c = ctx;
    if (c->fd < 0) {
        connect_now(c);
        return;
    }
    fail(&c->d->w, "a client waited %d minutes for an answer", PATIENCE_MS / MINUTE_MS);
    hang_up(c);
}

/* The last of them are strangers. */
void lanes_make(struct days *d)
{
    d->lanes = must_calloc(LANES, sizeof *d->lanes);
    for (int i = 0; i < LANES; i++) {
        struct lane *c = &d->lanes[i];
        c->d = d;
        c->fd = -1;
        c->stranger = i >= LANES / 2;
        c->from = (struct netaddr){ .family = NETADDR_V4,
                                    .ip = { 10, c->stranger ? 3 : 2, 0, (uint8_t)(i + 1) } };
        buf_init(&c->out, OUT_MAX);
        loop_timer_init(&c->timer, on_timer, c);
        loop_timer_in(d->w.l, &c->timer, LOOK_MS);
    }
}

void lanes_free(struct days *d)
{
    for (int i = 0; i < LANES; i++) {
        struct lane *c = &d->lanes[i];
        if (c->fd >= 0)
            hang_up(c);
        loop_timer_stop(d->w.l, &c->timer);
        buf_free(&c->out);
    }
    free(d->lanes);
}
