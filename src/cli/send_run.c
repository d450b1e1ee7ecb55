#include "cli/send_run.h"

#include "base/must.h"
#include "loop/loop.h"
#include "tls/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct run {
    const struct send_options *o;
    struct send_result *results;
    struct json *steps;
    struct loop *loop;
    struct loop_io io;
    struct loop_timer timer;
    int fd;
    size_t at;       /* of the addresses */
    bool connecting, over;
    struct smtp_client_config conf;
    struct smtp_client *client;
    struct tls_client_ctx *tls_ctx;
    struct tls *tls;
    bool handshake;
    struct span content;
    int64_t last_ns;
};

static void pump(struct run *r);
static void try_connect(struct run *r);

/* One line of the dialogue, with the time since the line before it. */
static void step(struct run *r, const char *mark, struct span line)
{
    int64_t now = loop_fresh_ns(r->loop);
    double ms = r->last_ns ? (double)(now - r->last_ns) / 1e6 : 0;
    r->last_ns = now;
    if (!r->o->quiet && !r->o->json)
        printf("%9.2f ms  %s %.*s\n", ms, mark, SPAN_ARG(line));
    if (!r->o->json)
        return;
    json_open(r->steps, NULL);
    json_str(r->steps, "who", mark[0] == '>' ? SPAN("us") : mark[0] == '<' ? SPAN("peer")
                                                                            : SPAN("note"));
    json_str(r->steps, "line", line);
    json_int(r->steps, "after_us", (int64_t)(ms * 1000));
    json_close(r->steps);
}

static void note(struct run *r, const char *what, const char *arg)
{
    char line[1024];
    snprintf(line, sizeof line, "%s%s", what, arg);
    step(r, "---", span_str(line));
}

static void set_result(struct run *r, size_t i, enum smtp_result result, int code,
                       struct span text)
{
    free(r->results[i].text);
    r->results[i] = (struct send_result){
        .result = result, .code = code, .text = must_strndup(text.p ? text.p : "", text.n),
    };
}

static void over(struct run *r)
{
    r->over = true;
    loop_stop(r->loop);
}

/* --- what the client tells --- */

static void on_want(void *ctx, size_t budget)
{
    struct run *r = ctx;
    struct span piece = span_to(r->content, budget);
    r->content = span_from(r->content, budget);
    smtp_client_content(r->client, piece, r->content.n == 0, loop_mono_ms(r->loop));
}

static void on_rcpt(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct run *r = ctx;
    set_result(r, i, o->result, o->code, o->reply.n ? o->reply : o->text);
}

static void on_message(void *ctx) { (void)ctx; }

static void on_closed(void *ctx, const struct smtp_outcome *why)
{
    struct run *r = ctx;
    if (why && why->cause != SMTP_CAUSE_REPLY)
        step(r, "---", why->text);
    over(r);
}

static void on_trace(void *ctx, bool ours, struct span line)
{
    struct run *r = ctx;
    char text[80];
    if (ours && span_eq(line, SPAN("."))) {
        snprintf(text, sizeof text, "(the message, %zu bytes)", r->o->content.n);
        step(r, ">>>", span_str(text));
    }
    step(r, ours ? ">>>" : "<<<", line);
}

static void on_start_tls(void *ctx)
{
    struct run *r = ctx;
    struct tls_peer peer = { .name = span_str(r->o->host), .trust = TLS_TRUST_ANY };
    struct netaddr ip;
    struct err e;
    if (netaddr_parse_ip(peer.name, &ip))
        peer.name = SPAN_NONE;
    r->tls = tls_client_new(r->tls_ctx, &peer, r, &e);
    r->handshake = true;
    if (!r->tls)
        smtp_client_abort(r->client, span_str(e.text), loop_mono_ms(r->loop));
}

static const struct smtp_client_ops ops = {
    .start_tls = on_start_tls, .want_content = on_want, .rcpt_done = on_rcpt,
    .message_done = on_message, .closed = on_closed, .trace = on_trace,
};

/* --- the socket --- */

static void disconnect(struct run *r)
{
    if (r->fd < 0)
        return;
    loop_io_del(r->loop, &r->io);
    loop_close(r->loop, r->fd);
    r->fd = -1;
    tls_free(&r->tls);
    r->handshake = false;
}

static void lost(struct run *r, int error)
{
    if (!r->over)
        smtp_client_eof(r->client, error ? span_str(strerror(error)) : SPAN_NONE,
                        loop_mono_ms(r->loop));
}

/* Opportunistic TLS that fails is no reason to keep the message (RFC 7435): once more, plain. */
static void handshake_failed(struct run *r)
{
    note(r, "TLS: ", tls_why(r->tls)[0] ? tls_why(r->tls) : "the peer hung up");
    if (r->conf.tls == SMTP_TLS_REQUIRE) {
        smtp_client_abort(r->client, SPAN("the TLS handshake failed"), loop_mono_ms(r->loop));
        return;
    }
    step(r, "---", SPAN("once more, without TLS"));
    r->conf.tls = SMTP_TLS_OFF;
    smtp_client_free(&r->client);
    disconnect(r);
    try_connect(r);
}

static void handshake_done(struct run *r)
{
    struct tls_info info = tls_info(r->tls);
    char line[256];
    snprintf(line, sizeof line, "%s, %s, certificate %s", info.version, info.cipher,
             strcmp(info.verify, "OK") == 0 ? "verified" : "not verified");
    step(r, "---", span_str(line));
    r->handshake = false;
    smtp_client_tls_done(r->client, loop_mono_ms(r->loop));
}

static void read_tls(struct run *r, struct span in);

/* What it said before it hung up still counts: a refusal in the middle of the content, say. */
static void write_failed(struct run *r, int error)
{
    char bytes[16384];
    ssize_t n = r->handshake ? 0 : loop_read(r->loop, r->fd, bytes, sizeof bytes);
    if (n > 0 && r->tls)
        read_tls(r, span_of(bytes, (size_t)n));
    else if (n > 0)
        smtp_client_input(r->client, span_of(bytes, (size_t)n), loop_mono_ms(r->loop));
    lost(r, error);
}

/* False when the connection is gone. */
static bool write_some(struct run *r, struct span s, size_t *n_r)
{
    ssize_t n = loop_write(r->loop, r->fd, s.p, s.n);
    *n_r = n > 0 ? (size_t)n : 0;
    if (n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK)
        return true;
    write_failed(r, errno);
    return false;
}

/* What the client says goes into the socket, or into TLS and from there. */
static void pump(struct run *r)
{
    bool moved = true;
    while (moved && r->client && r->fd >= 0) {
        struct span out = smtp_client_output(r->client);
        size_t n = 0;
        moved = false;
        if (out.n && r->tls && !r->handshake)
            n = tls_write(r->tls, out);
        else if (out.n && !r->tls && !write_some(r, out, &n))
            return;
        if (n) {
            smtp_client_sent(r->client, n, loop_mono_ms(r->loop));
            moved = true;
        }
        if (r->tls && tls_output(r->tls)->len) {
            if (!write_some(r, buf_span(tls_output(r->tls)), &n))
                return;
            buf_take(tls_output(r->tls), n);
            moved = moved || n;
        }
    }
    if (r->over || r->fd < 0 || !r->client) /* or it is connecting once more */
        return;
    bool more = r->tls ? tls_output(r->tls)->len : smtp_client_output(r->client).n;
    loop_io_want(r->loop, &r->io, LOOP_READ | (more ? LOOP_WRITE : 0));
    int64_t at = smtp_client_deadline(r->client);
    if (at == INT64_MAX)
        loop_timer_stop(r->loop, &r->timer);
    else
        loop_timer_at(r->loop, &r->timer, at);
}

static void read_tls(struct run *r, struct span in)
{
    char plain[16384];
    while (in.n && r->tls) {
        size_t taken = tls_input(r->tls, in);
        in = span_from(in, taken);
        if (r->handshake && tls_state(r->tls) == TLS_FAILED) {
            handshake_failed(r);
            return;
        }
        if (r->handshake && tls_state(r->tls) == TLS_OPEN)
            handshake_done(r);
        ssize_t n;
        size_t got = 0;
        while (!r->over && (n = tls_read(r->tls, plain, sizeof plain)) > 0) {
            got += (size_t)n;
            smtp_client_input(r->client, span_of(plain, (size_t)n), loop_mono_ms(r->loop));
        }
        if (r->over || (taken == 0 && got == 0))
            return;
    }
    if (r->tls && tls_state(r->tls) >= TLS_CLOSED)
        lost(r, 0);
}

static void input(struct run *r)
{
    char bytes[16384];
    ssize_t n = loop_read(r->loop, r->fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n <= 0 && r->handshake && r->tls) {
        tls_input_end(r->tls);
        handshake_failed(r);
    } else if (n <= 0) {
        lost(r, n < 0 ? errno : 0);
    } else if (r->tls) {
        read_tls(r, span_of(bytes, (size_t)n));
    } else {
        smtp_client_input(r->client, span_of(bytes, (size_t)n), loop_mono_ms(r->loop));
    }
}

/* --- connecting --- */

static void start(struct run *r)
{
    struct smtp_message m = {
        .sender = r->o->sender, .rcpts = r->o->rcpts, .rcpt_count = r->o->rcpt_count,
        .size_bytes = r->o->content.n, .flags = r->o->flags, .quit = true, .raw = r->o->raw,
    };
    r->connecting = false;
    r->content = r->o->content;
    step(r, "---", SPAN("connected"));
    r->client = smtp_client_new(&r->conf, span_str(r->o->host), &ops, r, loop_mono_ms(r->loop));
    smtp_client_send(r->client, &m, loop_mono_ms(r->loop));
    pump(r);
}

static void connect_failed(struct run *r, const char *why)
{
    note(r, why, "");
    disconnect(r);
    r->at++;
    for (size_t i = 0; i < r->o->rcpt_count; i++)
        set_result(r, i, SMTP_DEFERRED, 0, span_str(why));
    try_connect(r);
}

static void on_ready(void *ctx, int ready)
{
    struct run *r = ctx;
    if (r->connecting) {
        int error = loop_connect_result(r->loop, r->fd);
        if (error)
            connect_failed(r, strerror(error));
        else
            start(r);
        return;
    }
    if ((ready & LOOP_READ) && !r->over)
        input(r);
    pump(r);
}

static void on_timer(void *ctx)
{
    struct run *r = ctx;
    if (r->connecting) {
        connect_failed(r, "no answer to the connection");
        return;
    }
    smtp_client_tick(r->client, loop_mono_ms(r->loop));
    pump(r);
}

static void try_connect(struct run *r)
{
    enum { CONNECT_MS = 30 * 1000 };
    if (r->at == r->o->addr_count) {
        over(r);
        return;
    }
    struct buf text;
    buf_init(&text, NETADDR_TEXT_MAX);
    netaddr_put(&text, &r->o->addrs[r->at]);
    note(r, "connecting to ", buf_cstr(&text));
    buf_free(&text);
    r->connecting = true;
    r->fd = loop_connect(r->loop, &r->o->addrs[r->at], NULL);
    if (r->fd < 0) {
        connect_failed(r, strerror(errno));
        return;
    }
    loop_io_add(r->loop, &r->io, r->fd, LOOP_WRITE, on_ready, r);
    loop_timer_in(r->loop, &r->timer,
                  r->o->timeout_ms ? r->o->timeout_ms : CONNECT_MS);
}

static void configure(struct run *r)
{
    const struct send_options *o = r->o;
    smtp_client_defaults(&r->conf);
    r->conf.hostname = o->helo;
    r->conf.lmtp = o->lmtp;
    r->conf.tls = o->tls;
    r->conf.disable = o->bdat ? 0 : SMTP_EXT_CHUNKING;
    r->conf.window_bytes = 1 << 20;
    r->conf.chunk_bytes = 512 << 10;
    if (o->timeout_ms)
        r->conf.timeout = (struct smtp_client_timeouts){
            o->timeout_ms, o->timeout_ms, o->timeout_ms, o->timeout_ms, o->timeout_ms,
            o->timeout_ms, o->timeout_ms, o->timeout_ms, o->timeout_ms, o->timeout_ms,
            o->timeout_ms,
        };
}

void send_run(const struct send_options *o, struct send_result *results, struct json *steps)
{
    struct run r = { .o = o, .results = results, .steps = steps, .fd = -1 };
    struct tls_client_config tls = { 0 };
    struct err e;
    configure(&r);
    r.loop = loop_new();
    loop_timer_init(&r.timer, on_timer, &r);
    if (r.conf.tls != SMTP_TLS_OFF) {
        r.tls_ctx = tls_client_ctx_new(&tls, &e);
        if (!r.tls_ctx) {
            note(&r, "TLS: ", e.text);
            r.conf.tls = r.conf.tls == SMTP_TLS_REQUIRE ? SMTP_TLS_REQUIRE : SMTP_TLS_OFF;
        }
    }
    try_connect(&r);
    if (!r.over)
        loop_run(r.loop);
    loop_timer_stop(r.loop, &r.timer);
    disconnect(&r);
    smtp_client_free(&r.client);
    tls_client_ctx_free(&r.tls_ctx);
    loop_free(&r.loop);
}
