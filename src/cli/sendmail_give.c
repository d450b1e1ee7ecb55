/* A letter goes over the gateway's submission socket: SMTP, and the kernel says who we are. */
#include "cli/sendmail_letter.h"

#include "base/must.h"
#include "smtp/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* A gateway that hangs is left, and the message goes into the submission spool. */
enum { PATIENCE_MS = 60 * 1000, ROUNDS_MAX = 64, PIECE_BYTES = 64 << 10 };

struct give {
    struct letter *l;
    struct smtp_client *client;
    struct smtp_client_config conf;
    struct envelope_rcpt *now; /* of this round, and where each stands in l->rcpts */
    size_t *at, count;
    uint64_t sent, size;
    bool over, again, taken;
    int fd;
    FILE *traffic;
    struct loop_io io;
    struct loop_timer timer;
};

static int64_t now_of(const struct give *g) { return loop_mono_ms(g->l->loop); }

/* Section 4.2's habit: 550 is a user that is not known, all else is unavailable. */
static int exit_of(const struct smtp_outcome *o)
{
    if (o->code == 550 && !span_starts(o->enhanced, SPAN("5.7")))
        return EX_NOUSER;
    if (span_eq(o->enhanced, SPAN("5.1.2")))
        return EX_NOHOST;
    if (o->cause == SMTP_CAUSE_LOCAL)
        return EX_DATAERR;
    return EX_UNAVAILABLE;
}

/* --- the engine's events --- */

static void on_want(void *ctx, size_t budget)
{
    struct give *g = ctx;
    char bytes[PIECE_BYTES];
    do {
        size_t most = budget < sizeof bytes ? budget : sizeof bytes;
        ssize_t n = letter_read(g->l, g->sent, bytes, most);
        if (n < 0 || (n == 0 && g->sent < g->size)) {
            smtp_client_content_failed(g->client, SPAN("it cannot be read"), now_of(g));
            return;
        }
        g->sent += (uint64_t)n;
        budget -= (size_t)n;
        smtp_client_content(g->client, span_of(bytes, (size_t)n), g->sent == g->size, now_of(g));
    } while (budget && g->sent < g->size);
}

static void on_rcpt_done(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct give *g = ctx;
    struct letter_rcpt *r = &g->l->rcpts[g->at[i]];
    struct span reply = o->reply.n ? o->reply : o->text;
    if (o->result == SMTP_DELIVERED) {
        r->state = LETTER_TAKEN;
        r->reply = arena_dup(g->l->arena, o->text);
        g->taken = true;
    } else if (o->result == SMTP_FAILED) {
        r->state = LETTER_FAILED;
        r->exit = exit_of(o);
        r->reply = arena_dup(g->l->arena, reply);
    } else {
        r->reply = arena_dup(g->l->arena, reply);
        g->again = g->again || o->again;
    }
}

static void on_message_done(void *ctx) { (void)ctx; }

static void on_closed(void *ctx, const struct smtp_outcome *why)
{
    struct give *g = ctx;
    (void)why;
    g->over = true;
}

static void on_trace(void *ctx, bool ours, struct span line)
{
    struct give *g = ctx;
    if (g->l->f->verbose)
        printf("%s%.*s\n", ours ? ">>> " : "", SPAN_ARG(line));
    if (g->traffic)
        fprintf(g->traffic, "%05d %s %.*s\n", (int)getpid(), ours ? ">>>" : "<<<", SPAN_ARG(line));
}

static const struct smtp_client_ops ops = { .want_content = on_want,
                                            .rcpt_done = on_rcpt_done,
                                            .message_done = on_message_done,
                                            .closed = on_closed,
                                            .trace = on_trace };

/* --- the socket --- */

static void pump(struct give *g)
{
    struct loop *l = g->l->loop;
    while (!g->over) {
        struct span out = smtp_client_output(g->client);
        ssize_t n = out.n ? loop_write(l, g->fd, out.p, out.n) : 0;
        if (!out.n || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)))
            break;
        if (n < 0)
            smtp_client_eof(g->client, span_str(strerror(errno)), now_of(g));
        else
            smtp_client_sent(g->client, (size_t)n, now_of(g));
    }
    if (g->over) {
        loop_stop(l);
        return;
    }
    bool more = smtp_client_output(g->client).n > 0;
    loop_io_want(l, &g->io, LOOP_READ | (more ? LOOP_WRITE : 0));
    int64_t at = smtp_client_deadline(g->client);
    if (at != INT64_MAX)
        loop_timer_at(l, &g->timer, at);
}

static void on_ready(void *ctx, int ready)
{
    struct give *g = ctx;
    char bytes[16384];
    if (ready & LOOP_READ) {
        ssize_t n = loop_read(g->l->loop, g->fd, bytes, sizeof bytes);
        if (n > 0)
            smtp_client_input(g->client, span_of(bytes, (size_t)n), now_of(g));
        else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            smtp_client_eof(g->client, SPAN_NONE, now_of(g));
    }
    pump(g);
}

static void on_timer(void *ctx)
{
    struct give *g = ctx;
    smtp_client_tick(g->client, now_of(g));
    pump(g);
}

/* --- one round --- */

static void configure(struct give *g)
{
    smtp_client_defaults(&g->conf);
    g->conf.hostname = g->l->conf->hostname;
    g->conf.tls = SMTP_TLS_OFF;
    struct smtp_client_timeouts *t = &g->conf.timeout;
    t->initial_ms = t->helo_ms = t->mail_ms = t->misc_ms = t->data_init_ms = PATIENCE_MS;
    t->quit_ms = 1000;
}

static void choose(struct give *g)
{
    struct letter *l = g->l;
    g->count = 0;
    for (size_t i = 0; i < l->rcpt_count; i++)
        if (l->rcpts[i].state == LETTER_OPEN) {
            g->at[g->count] = i;
            g->now[g->count++] = l->rcpts[i].rcpt;
        }
}

static void talk(struct give *g)
{
    struct letter *l = g->l;
    struct smtp_message m = { .sender = l->sender, .rcpts = g->now, .rcpt_count = g->count,
                              .size_bytes = g->size, .flags = l->flags, .envid = l->envid,
                              .quit = true };
    g->over = g->again = g->taken = false;
    g->sent = 0;
    g->client = smtp_client_new(&g->conf, SPAN("the gateway"), &ops, g, now_of(g));
    MUST(smtp_client_send(g->client, &m, now_of(g)));
    loop_timer_init(&g->timer, on_timer, g);
    loop_io_add(l->loop, &g->io, g->fd, LOOP_READ, on_ready, g);
    pump(g);
    if (!g->over)
        loop_run(l->loop);
    loop_timer_stop(l->loop, &g->timer);
    loop_io_del(l->loop, &g->io);
    smtp_client_free(&g->client);
}

static bool round_of(struct give *g)
{
    struct letter *l = g->l;
    struct err e;
    choose(g);
    if (!g->count)
        return false;
    g->fd = loop_connect_unix(l->loop, l->conf->socket, &e);
    if (l->f->verbose)
        printf("%.*s... Connecting to %s via local...%s\n", SPAN_ARG(g->now[0].addr),
               l->conf->socket, g->fd < 0 ? " nobody listens" : "");
    if (g->fd < 0)
        return false;
    if (g->traffic)
        fprintf(g->traffic, "%05d === CONNECT %s\n", (int)getpid(), l->conf->socket);
    talk(g);
    loop_close(l->loop, g->fd);
    return g->again && g->taken;
}

void letter_give(struct letter *l)
{
    struct give g = { .l = l, .size = l->header.len + l->body.size };
    g.now = must_calloc(l->rcpt_count + 1, sizeof *g.now);
    g.at = must_calloc(l->rcpt_count + 1, sizeof *g.at);
    g.traffic = l->f->traffic_log ? fopen(l->f->traffic_log, "ae") : NULL;
    configure(&g);
    for (int i = 0; i < ROUNDS_MAX && round_of(&g); i++)
        continue;
    for (size_t i = 0; l->f->verbose && i < l->rcpt_count; i++)
        if (l->rcpts[i].state == LETTER_TAKEN)
            printf("%.*s... Sent (%.*s)\n", SPAN_ARG(l->rcpts[i].rcpt.addr),
                   SPAN_ARG(l->rcpts[i].reply));
    if (g.traffic)
        fclose(g.traffic);
    free(g.now);
    free(g.at);
}
