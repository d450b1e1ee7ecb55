/* The servers' half of SMTP: commands, content, bytes. */
#include "hop.h"

#include "base/must.h"
#include "base/num.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HOP_IN_MAX = 1 << 20,
    HOP_READ_BYTES = 8192,
    HOP_PATIENCE_MS = 40 * MINUTE_MS,
};

static void hop_free(struct hop *h)
{
    struct loop *l = h->server->w->l;
    loop_timer_stop(l, &h->timer);
    loop_timer_stop(l, &h->thought);
    loop_timer_stop(l, &h->sip);
    loop_io_del(l, &h->io);
    loop_close(l, h->fd);
    list_remove(&h->node);
    buf_free(&h->in);
    buf_free(&h->out);
    buf_free(&h->content);
    free(h);
}

static void answer(struct hop *h, const char *text) { buf_putz(&h->out, text); }

/* True: this stage was answered by its owner. */
static bool misdeed(struct hop *h, enum stage at)
{
    struct deed d = { 0 };
    if (!h->server->ops->at(h, at, &d))
        return false;
    if (d.reply)
        answer(h, d.reply);
    h->stalled = h->stalled || d.stall || d.deaf;
    h->deaf = h->deaf || d.deaf;
    h->closing = h->closing || d.close || d.reset;
    if (d.reset)
        loop_sim_reset(h->server->w->l, h->fd);
    return true;
}

/* --- commands --- */

static void forget(struct hop *h)
{
    h->in_mail = h->in_data = h->in_chunk = false;
    h->rcpt_count = 0;
    h->sender[0] = '\0';
    buf_reset(&h->content);
}

static struct span bracketed(struct span line)
{
    struct span rest = span_from(line, span_find(line, '<') + 1);
    return span_to(rest, span_find(rest, '>'));
}

static void on_ehlo(struct hop *h)
{
    const char *ext = h->server->extensions;
    if (misdeed(h, AT_HELO))
        return;
    if (!ext) {
        answer(h, "502 5.5.1 what?\r\n");
        return;
    }
    answer(h, "250-sink.example\r\n");
    answer(h, ext);
}

static void on_mail(struct hop *h, struct span line)
{
    forget(h);
    snprintf(h->sender, sizeof h->sender, "%.*s", SPAN_ARG(bracketed(line)));
    if (misdeed(h, AT_MAIL))
        return;
    h->in_mail = true;
    answer(h, "250 2.1.0 ok\r\n");
}

static void on_rcpt(struct hop *h, struct span line)
{
    struct span to = bracketed(line);
    if (!h->in_mail || h->rcpt_count == HOP_RCPTS_MAX) {
        answer(h, "503 5.5.1 MAIL first\r\n");
        return;
    }
    snprintf(h->rcpts[h->rcpt_count++], ADDRESS_MAX, "%.*s", SPAN_ARG(to));
    if (misdeed(h, AT_RCPT)) {
        h->rcpt_count--;
        return;
    }
    answer(h, "250 2.1.5 ok\r\n");
}

static void on_data(struct hop *h)
{
    if (!h->rcpt_count) {
        answer(h, "503 5.5.1 RCPT first\r\n");
        return;
    }
    if (misdeed(h, AT_DATA)) {
        forget(h);
        return;
    }
    h->in_data = true;
    answer(h, "354 go on\r\n");
}

static void on_bdat(struct hop *h, struct span line)
{
    uint64_t n = 0;
    span_word(&line);
    struct span count = span_word(&line);
    MUST(num_u64(count, &n) && n < HOP_IN_MAX);
    h->in_chunk = true;
    h->chunk_left = n;
    h->chunk_last = span_ieq(span_trim(line), SPAN("LAST"));
}

static void taken(struct hop *h)
{
    if (!misdeed(h, AT_END)) {
        h->server->ops->taken(h);
        if (!misdeed(h, AT_TAKEN))
            answer(h, "250 2.0.0 taken\r\n");
    }
    forget(h);
    h->closing = h->closing || h->leaves;
}

static void on_line(struct hop *h, struct span line)
{
    struct span rest = line, verb = span_word(&rest);
    if (span_ieq(verb, SPAN("EHLO")))
        on_ehlo(h);
    else if (span_ieq(verb, SPAN("HELO")))
        answer(h, "250 sink.example\r\n");
    else if (span_ieq(verb, SPAN("MAIL")))
        on_mail(h, line);
    else if (span_ieq(verb, SPAN("RCPT")))
        on_rcpt(h, line);
    else if (span_ieq(verb, SPAN("DATA")))
        on_data(h);
    else if (span_ieq(verb, SPAN("BDAT")))
        on_bdat(h, line);
    else if (span_ieq(verb, SPAN("RSET"))) {
        forget(h);
        answer(h, "250 2.0.0 ok\r\n");
    } else if (span_ieq(verb, SPAN("QUIT"))) {
        answer(h, "221 2.0.0 bye\r\n");
        h->closing = true;
    } else {
        fail(h->server->w, "the server 10.1.0.%d got \"%.*s\"", h->server->at.ip[3],
             SPAN_ARG(line));
        answer(h, "500 5.5.2 what?\r\n");
    }
}

/* --- bytes --- */

/* One line of content; true at its end. */
static void on_content_line(struct hop *h, struct span line)
{
    if (span_eq(line, SPAN(".\r\n"))) {
        h->in_data = false;
        taken(h);
        return;
    }
    buf_puts(&h->content, span_from(line, line.p[0] == '.'));
}

static bool feed_chunk(struct hop *h)
{
    struct span in = buf_span(&h->in);
    size_t n = in.n < h->chunk_left ? in.n : h->chunk_left;
    if (h->rcpt_count)
        buf_puts(&h->content, span_to(in, n));
    buf_take(&h->in, n);
    h->chunk_left -= n;
    if (h->chunk_left)
        return false;
    h->in_chunk = false;
    if (!h->rcpt_count)
        answer(h, "503 5.5.1 RCPT first\r\n");
    else if (h->chunk_last)
        taken(h);
    else
        answer(h, "250 2.0.0 more\r\n");
    return true;
}

static bool feed_line(struct hop *h)
{
    struct span in = buf_span(&h->in);
    const char *end = in.n ? memmem(in.p, in.n, "\r\n", 2) : NULL;
    if (!end)
        return false;
    size_t n = (size_t)(end - in.p);
    if (h->in_data)
        on_content_line(h, span_to(in, n + 2));
    else
        on_line(h, span_to(in, n));
    buf_take(&h->in, n + 2);
    return true;
}

static bool write_out(struct hop *h)
{
    while (h->out.len) {
        struct span out = buf_span(&h->out);
        ssize_t put = loop_write(h->server->w->l, h->fd, out.p, out.n);
        if (put < 0)
            return errno == EAGAIN;
        buf_take(&h->out, (size_t)put);
    }
    return true;
}

static bool read_in(struct hop *h)
{
    const struct hop_server *k = h->server;
    char p[HOP_READ_BYTES];
    size_t most = k->sip_bytes && k->sip_bytes < sizeof p ? k->sip_bytes : sizeof p;
    if (h->sips || h->deaf)
        return true;
    ssize_t got = loop_read(k->w->l, h->fd, p, most);
    if (got < 0 && errno == EAGAIN)
        return true;
    if (k->sip_bytes) {
        h->sips = true;
        loop_timer_in(k->w->l, &h->sip, k->sip_ms);
    }
    if (got <= 0)
        return false;
    if (!h->stalled)
        MUST(buf_put(&h->in, p, (size_t)got));
    return true;
}

/* At times, before an answer. */
static void think(struct hop *h)
{
    const struct hop_server *k = h->server;
    int64_t ms = k->ops->think_ms && h->out.len ? k->ops->think_ms(h) : 0;
    if (!ms)
        return;
    h->thinks = true;
    loop_timer_in(k->w->l, &h->thought, ms);
}

static void on_ready(void *ctx, int ready)
{
    struct hop *h = ctx;
    bool alive = !(ready & LOOP_READ) || read_in(h);
    while (alive && !h->stalled && !h->closing && !h->thinks &&
           (h->in_chunk ? feed_chunk(h) : feed_line(h)))
        think(h);
    alive = alive && (h->thinks || write_out(h));
    if (!alive || (h->closing && !h->out.len)) {
        hop_free(h);
        return;
    }
    bool writes = h->out.len && !h->thinks, reads = !h->sips && !h->deaf;
    loop_io_want(h->server->w->l, &h->io,
                 (reads ? LOOP_READ : 0) | (writes ? LOOP_WRITE : 0));
}

static void on_thought(void *ctx)
{
    struct hop *h = ctx;
    h->thinks = false;
    on_ready(h, 0);
}

static void on_sip(void *ctx)
{
    struct hop *h = ctx;
    h->sips = false;
    on_ready(h, 0);
}

static void on_late(void *ctx) { hop_free(ctx); }

static void on_connection(void *ctx, int ready)
{
    struct hop_server *k = ctx;
    int fd = loop_accept(k->w->l, k->fd, NULL);
    (void)ready;
    if (fd < 0)
        return;
    struct hop *h = NEW(struct hop);
    h->server = k;
    h->fd = fd;
    buf_init(&h->in, HOP_IN_MAX);
    buf_init(&h->out, HOP_IN_MAX);
    buf_init(&h->content, HOP_IN_MAX);
    list_append(&k->hops, &h->node);
    loop_timer_init(&h->timer, on_late, h);
    loop_timer_init(&h->thought, on_thought, h);
    loop_timer_init(&h->sip, on_sip, h);
    loop_timer_in(k->w->l, &h->timer, HOP_PATIENCE_MS);
    loop_io_add(k->w->l, &h->io, fd, LOOP_READ, on_ready, h);
    if (k->ops->begin)
        k->ops->begin(h);
    if (misdeed(h, AT_CONNECT))
        h->closing = h->closing || !h->stalled;
    else
        answer(h, "220 sink.example ESMTP\r\n");
    on_ready(h, 0);
}

void hop_server_open(struct hop_server *k, const struct netaddr *at)
{
    struct err e;
    k->at = *at;
    list_init(&k->hops);
    k->fd = loop_listen(k->w->l, at, 64, &e);
    MUST(k->fd >= 0);
    loop_io_add(k->w->l, &k->io, k->fd, LOOP_READ, on_connection, k);
}

void hop_server_close(struct hop_server *k)
{
    if (k->fd < 0)
        return;
    LIST_EACH(n, &k->hops)
        hop_free(CONTAINER(n, struct hop, node));
    loop_io_del(k->w->l, &k->io);
    loop_close(k->w->l, k->fd);
    k->fd = -1;
}

unsigned hop_server_connections(const struct hop_server *k)
{
    unsigned n = 0;
    for (struct list *l = k->hops.next; l != &k->hops; l = l->next)
        n += loop_sim_peer_open(k->w->l, CONTAINER(l, struct hop, node)->fd);
    return n;
}
