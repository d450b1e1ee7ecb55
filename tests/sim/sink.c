/* The next hops: small SMTP servers, each with other extensions, that may refuse, drop or stall
 * at any stage while faults go on. What one takes stands in the ledger before it says so. */
#include "world.h"

#include "base/must.h"
#include "base/num.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HOP_IN_MAX = 1 << 20,
    HOP_RCPTS_MAX = 16,
    HOP_READ_BYTES = 8192,
    HOP_PATIENCE_MS = 40 * MINUTE_MS,
};

enum stage { AT_CONNECT, AT_HELO, AT_MAIL, AT_RCPT, AT_DATA, AT_END, AT_TAKEN, STAGES };
enum deed { DEED_NONE, DEED_LATER, DEED_NEVER, DEED_BYE, DEED_DROP, DEED_STALL, DEEDS };

struct sink {
    struct world *w;
    int number, fd;
    struct loop_io io;
    struct list hops;
};

/* One session. */
struct hop {
    struct list node;
    struct sink *sink;
    int fd;
    struct loop_io io;
    struct loop_timer timer, thought;
    struct buf in, out, content;
    bool in_mail, in_data, stalled, closing, rude;
    bool thinks; /* what it has to say waits */
    size_t chunk_left;
    bool in_chunk, chunk_last;
    char sender[256];
    char rcpts[HOP_RCPTS_MAX][ADDRESS_MAX];
    size_t rcpt_count;
    enum stage stage;
    enum deed deed;
};

static const char *const extensions[SINKS] = {
    "250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-DSN\r\n250 SIZE\r\n",
    NULL, /* HELO only */
    "250-PIPELINING\r\n250 8BITMIME\r\n",
    "250-8BITMIME\r\n250 CHUNKING\r\n",
    "250 SIZE 10000000\r\n",
    "250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
};

void sinks_zone(struct buf *zone)
{
    for (int i = 1; i <= SINKS; i++)
        buf_printf(zone, "mx%d.example A 10.1.0.%d\n", i, i);
    buf_putz(zone, "gone.example A 10.1.9.9\n"
                   "a.example MX 10 mx1.example\n"
                   "b.example MX 10 mx2.example\nb.example MX 20 mx3.example\n"
                   "c.example MX 10 gone.example\nc.example MX 20 mx4.example\n"
                   "d.example A 10.1.0.5\n"
                   "src.example MX 10 mx6.example\n"
                   "refused.example MX 10 mx1.example\n"
                   "late.example MX 10 mx3.example\n"
                   "dead.example A 10.1.9.9\n"
                   "mute.example TIMEOUT\n");
}

static void hop_free(struct hop *h)
{
    struct loop *l = h->sink->w->l;
    loop_timer_stop(l, &h->timer);
    loop_timer_stop(l, &h->thought);
    loop_io_del(l, &h->io);
    loop_close(l, h->fd);
    list_remove(&h->node);
    buf_free(&h->in);
    buf_free(&h->out);
    buf_free(&h->content);
    free(h);
}

/* --- misdeeds --- */

static void answer(struct hop *h, const char *text) { buf_putz(&h->out, text); }

static void plan(struct hop *h)
{
    struct world *w = h->sink->w;
    h->deed = DEED_NONE;
    if (!fault_on(w, FAULT_SINKS) || !one_in(w, 3))
        return;
    h->stage = (enum stage)chance(w, STAGES);
    h->deed = (enum deed)(1 + chance(w, DEEDS - 1));
    /* A report that is refused for good is for the postmaster's eyes and not of this ledger,
     * and before RCPT nobody knows yet who is refused. */
    if (h->deed == DEED_NEVER && h->stage < AT_RCPT)
        h->deed = DEED_LATER;
    if (h->stage == AT_TAKEN && h->deed != DEED_STALL)
        h->deed = DEED_DROP;
    h->rude = one_in(w, 4);
}

static void refused(struct hop *h, enum stage at)
{
    for (size_t i = at == AT_RCPT ? h->rcpt_count - 1 : 0; i < h->rcpt_count; i++)
        ledger_refused(h->sink->w, h->rcpts[i]);
    answer(h, "550 5.7.1 not here\r\n");
}

/* True: this stage was answered by a misdeed. */
static bool misdeed(struct hop *h, enum stage at)
{
    if (h->deed == DEED_NONE || h->stage != at)
        return false;
    enum deed d = h->deed == DEED_NEVER && !h->sender[0] ? DEED_LATER : h->deed;
    h->deed = DEED_NONE;
    if (at >= AT_END)
        ledger_excuse(h->sink->w);
    switch (d) {
    case DEED_LATER: answer(h, "451 4.2.0 not now\r\n"); break;
    case DEED_NEVER: refused(h, at); break;
    case DEED_BYE:
        answer(h, "421 4.3.2 closing\r\n");
        h->closing = true;
        break;
    case DEED_STALL: h->stalled = true; break;
    default: h->stalled = h->closing = true; break;
    }
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
    const char *ext = extensions[h->sink->number - 1];
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
    if (span_iends(to, SPAN("@refused.example"))) {
        answer(h, "550 5.1.1 nobody of that name\r\n");
        return;
    }
    if (span_iends(to, SPAN("@late.example"))) {
        answer(h, "450 4.2.1 come back later\r\n");
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
        ledger_arrived(h->sink->w, span_str(h->sender), h->rcpts, h->rcpt_count,
                       buf_span(&h->content));
        if (!misdeed(h, AT_TAKEN))
            answer(h, "250 2.0.0 taken\r\n");
    }
    forget(h);
    h->closing = h->closing || h->rude; /* gone without a word; nothing was under way */
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
        fail(h->sink->w, "sink %d got \"%.*s\"", h->sink->number, SPAN_ARG(line));
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
        ssize_t put = loop_write(h->sink->w->l, h->fd, out.p, out.n);
        if (put < 0)
            return errno == EAGAIN;
        buf_take(&h->out, (size_t)put);
    }
    return true;
}

static bool read_in(struct hop *h)
{
    char p[HOP_READ_BYTES];
    ssize_t got = loop_read(h->sink->w->l, h->fd, p, sizeof p);
    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0)
        return false;
    if (!h->stalled)
        MUST(buf_put(&h->in, p, (size_t)got));
    return true;
}

/* At times, before an answer. */
static void think(struct hop *h)
{
    struct world *w = h->sink->w;
    if (!w->temper.sink_think_ms || !h->out.len || !one_in(w, 4))
        return;
    h->thinks = true;
    loop_timer_in(w->l, &h->thought, 1 + (int64_t)chance(w, (uint64_t)w->temper.sink_think_ms));
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
    bool writes = h->out.len && !h->thinks;
    loop_io_want(h->sink->w->l, &h->io, LOOP_READ | (writes ? LOOP_WRITE : 0));
}

static void on_thought(void *ctx)
{
    struct hop *h = ctx;
    h->thinks = false;
    on_ready(h, 0);
}

static void on_late(void *ctx) { hop_free(ctx); }

static void on_connection(void *ctx, int ready)
{
    struct sink *k = ctx;
    int fd = loop_accept(k->w->l, k->fd, NULL);
    (void)ready;
    if (fd < 0)
        return;
    struct hop *h = NEW(struct hop);
    h->sink = k;
    h->fd = fd;
    buf_init(&h->in, HOP_IN_MAX);
    buf_init(&h->out, HOP_IN_MAX);
    buf_init(&h->content, HOP_IN_MAX);
    list_append(&k->hops, &h->node);
    loop_timer_init(&h->timer, on_late, h);
    loop_timer_init(&h->thought, on_thought, h);
    loop_timer_in(k->w->l, &h->timer, HOP_PATIENCE_MS);
    loop_io_add(k->w->l, &h->io, fd, LOOP_READ, on_ready, h);
    plan(h);
    if (misdeed(h, AT_CONNECT))
        h->closing = h->closing || !h->stalled;
    else
        answer(h, "220 sink.example ESMTP\r\n");
    on_ready(h, 0);
}

void sinks_make(struct world *w)
{
    w->sinks = must_calloc(SINKS, sizeof *w->sinks);
    for (int i = 0; i < SINKS; i++) {
        struct sink *k = &w->sinks[i];
        struct netaddr at = { .family = NETADDR_V4, .ip = { 10, 1, 0, (uint8_t)(i + 1) },
                              .port = 25 };
        struct err e;
        k->w = w;
        k->number = i + 1;
        list_init(&k->hops);
        k->fd = loop_listen(w->l, &at, 64, &e);
        MUST(k->fd >= 0);
        loop_io_add(w->l, &k->io, k->fd, LOOP_READ, on_connection, k);
    }
}

void sinks_free(struct world *w)
{
    for (int i = 0; i < SINKS; i++) {
        struct sink *k = &w->sinks[i];
        LIST_EACH(n, &k->hops)
            hop_free(CONTAINER(n, struct hop, node));
        loop_io_del(w->l, &k->io);
        loop_close(w->l, k->fd);
    }
    free(w->sinks);
}
