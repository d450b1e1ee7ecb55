/* One connection. Bytes come in, are decrypted where TLS stands, and are offered to the server
 * engine; what it says goes out at once, one write for all of it. Reading stays on while an
 * answer is awaited (a client in step sends nothing, and switching costs a system call each
 * way); it is switched off only when bytes come that cannot be consumed. */
#include "smtpd/inside.h"

#include "base/must.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IN_MAX = 256 << 10,
    IN_IDLE_BYTES = 4096,   /* an empty buffer larger than this is given back */
    CLOSING_MS = 30 * 1000, /* for the client to read our last words, at most */
};

struct smtp_server_time session_now(const struct session *s)
{
    return (struct smtp_server_time){ loop_mono_ms(s->d->env->loop),
                                      loop_wall_ms(s->d->env->loop) };
}

static void on_ready(void *ctx, int ready);
static void on_timer(void *ctx);

static void text_of(struct session *s)
{
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    netaddr_put_ip(&b, &s->client);
    snprintf(s->ip, sizeof s->ip, "%.*s", SPAN_ARG(buf_span(&b)));
    buf_free(&b);
}

static bool normalises(const struct session *s)
{
    for (size_t i = 0; i < s->listen->normalise_from.n; i++)
        if (cidr_match(&s->listen->normalise_from.v[i], &s->client))
            return true;
    return false;
}

void session_new(struct smtpd *d, int fd, const struct netaddr *peer,
                 const struct config_listen *listen, size_t section, struct client_count *count,
                 const struct session_user *user)
{
    struct session *s = NEW(struct session);
    s->d = d;
    s->gen = generation_hold(d->gen);
    s->listen = listen;
    s->fd = fd;
    s->client = *peer;
    s->count = count;
    if (user)
        snprintf(s->user, sizeof s->user, "%.*s", SPAN_ARG(user->name));
    else
        text_of(s);
    s->trusted = user && user->trusted;
    buf_init(&s->in, IN_MAX);
    size_t held_max = rewrite_wanted(s->gen->config) ? REWRITE_BYTES : 0;
    buf_init(&s->content, s->gen->config->spool.inline_max_bytes + READ_BYTES + IN_MAX + held_max);
    list_init(&s->credit_node);
    list_append(&d->sessions, &s->node);
    d->session_count++;
    loop_timer_init(&s->timer, on_timer, s);
    loop_timer_init(&s->pause, ask_pause_over, s);
    loop_io_add(d->env->loop, &s->io, fd, LOOP_READ, on_ready, s);
    say_connected(s);
    struct smtp_server_client facts = { .ip = span_str(s->ip),
                                        .user = span_str(s->user),
                                        .normalise = normalises(s) };
    s->busy = true;
    s->server = smtp_server_new(&s->gen->servers[section], &facts, &session_ops, s,
                                session_now(s));
    s->busy = false;
    session_run(s);
}

void session_free(struct session *s)
{
    struct smtpd *d = s->d;
    smtp_server_free(&s->server);
    backend_forget(s);
    tls_free(&s->tls);
    loop_timer_stop(d->env->loop, &s->timer);
    loop_timer_stop(d->env->loop, &s->pause);
    loop_io_del(d->env->loop, &s->io);
    loop_close(d->env->loop, s->fd);
    client_uncount(d, &s->count);
    generation_drop(&s->gen);
    buf_free(&s->in);
    buf_free(&s->content);
    list_remove(&s->node);
    list_remove(&s->credit_node);
    d->session_count--;
    free(s);
    if (d->finishing && list_empty(&d->sessions))
        d->env->done(d->env);
}

/* --- out --- */

/* Writes what stands in b; false: the connection is broken. */
static bool write_buf(struct session *s, struct buf *b)
{
    while (b->len) {
        struct span out = buf_span(b);
        ssize_t put = loop_write(s->d->env->loop, s->fd, out.p, out.n);
        if (put < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        buf_take(b, (size_t)put);
    }
    return true;
}

static bool write_plain(struct session *s)
{
    for (;;) {
        struct span out = smtp_server_output(s->server);
        if (!out.n)
            return true;
        ssize_t put = loop_write(s->d->env->loop, s->fd, out.p, out.n);
        if (put < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        smtp_server_sent(s->server, (size_t)put);
    }
}

/* Our last words are followed by close_notify, in the same write. */
static bool write_tls(struct session *s)
{
    for (;;) {
        struct span out = smtp_server_output(s->server);
        size_t took = out.n ? tls_write(s->tls, out) : 0;
        if (took)
            smtp_server_sent(s->server, took);
        if (smtp_server_closing(s->server) && took == out.n)
            tls_close(s->tls);
        if (!write_buf(s, tls_output(s->tls)))
            return false;
        if (!took || tls_output(s->tls)->len)
            return true;
    }
}

static bool write_out(struct session *s)
{
    return s->tls ? write_tls(s) : write_plain(s);
}

static bool out_waits(const struct session *s)
{
    return smtp_server_output(s->server).n || (s->tls && tls_output(s->tls)->len);
}

/* --- TLS --- */

/* The 220 has left: from here on bytes belong to the handshake. What was read before it in
 * plain text has been refused or is thrown away (RFC 3207 4.2). */
static void begin_tls(struct session *s)
{
    s->tls_pending = false;
    buf_reset(&s->in);
    s->tls = tls_server_new(s->gen->tls, s);
    s->tls_until_ms = loop_mono_ms(s->d->env->loop) + s->gen->config->server.starttls_ms;
}

static bool end_handshake(struct session *s)
{
    if (tls_state(s->tls) == TLS_FAILED) {
        say_tls_failed(s);
        write_buf(s, tls_output(s->tls));
        return false;
    }
    if (tls_state(s->tls) == TLS_OPEN && !s->tls_told) {
        struct tls_info i = tls_info(s->tls);
        struct smtp_server_tls t = { .version = span_str(i.version),
                                     .cipher = span_str(i.cipher),
                                     .bits = (unsigned)i.bits };
        s->tls_told = true;
        say_tls(s);
        smtp_server_tls_done(s->server, &t, session_now(s));
    }
    return true;
}

static void decrypt(struct session *s)
{
    char plain[16384];
    ssize_t got;
    while (buf_room(&s->in) >= sizeof plain && (got = tls_read(s->tls, plain, sizeof plain)) > 0)
        buf_put(&s->in, plain, (size_t)got);
}

/* --- in --- */

/* Offers what was read; what is not consumed is kept. */
static bool feed(struct session *s)
{
    struct span in = buf_span(&s->in);
    size_t used = smtp_server_input(s->server, in, session_now(s));
    buf_take(&s->in, used);
    return used > 0;
}

/* While the process finishes: who is within a message may end it, then it is 421 for all. */
static void shut_when_free(struct session *s)
{
    if (!s->d->finishing || s->txn || s->shut)
        return;
    s->shut = true;
    smtp_server_shutdown(s->server);
}

/* What is within TLS; false when it has failed. After close_notify the client may still read. */
static bool run_tls(struct session *s)
{
    if (!end_handshake(s))
        return false;
    decrypt(s);
    s->eof |= tls_state(s->tls) == TLS_CLOSED;
    return end_handshake(s);
}

/* A client that has said all it will (shutdown, nc -N) is owed its answers. */
static bool goes_on(struct session *s)
{
    bool shaking = s->tls && !s->tls_told;
    if (!s->eof || (smtp_server_blocked(s->server) && !shaking))
        return true;
    if (s->tls) {
        tls_close(s->tls);
        write_buf(s, tls_output(s->tls));
    }
    return false;
}

/* Moves bytes until nothing moves: what was written may have made room for a reply, and with it
 * for a command that waits inside the engine (smtp/server.h: call input again after sent). False:
 * the connection is of no more use. */
static bool step(struct session *s)
{
    for (;;) {
        if (s->gone || (s->tls && !run_tls(s)))
            return false;
        bool moved = feed(s);
        shut_when_free(s);
        moved |= smtp_server_output(s->server).n > 0;
        if (!write_out(s))
            return false;
        if (smtp_server_closing(s->server))
            return out_waits(s);
        if (out_waits(s))
            return true;
        if (s->tls_pending)
            begin_tls(s);
        else if (!moved || smtp_server_blocked(s->server))
            return goes_on(s);
    }
}

static int64_t deadline(const struct session *s)
{
    if (s->tls && !s->tls_told)
        return s->tls_until_ms;
    return smtp_server_closing(s->server) ? s->closing_until_ms : smtp_server_timer(s->server);
}

static int64_t closing_ms(const struct session *s)
{
    int64_t patience = s->gen->config->server.command_ms;
    return patience < CLOSING_MS ? patience : CLOSING_MS;
}

static void set_timer(struct session *s)
{
    /* Who does not read what we said last must not keep his place for ever. */
    if (smtp_server_closing(s->server) && !s->closing_until_ms)
        s->closing_until_ms = loop_mono_ms(s->d->env->loop) + closing_ms(s);
    int64_t at = deadline(s);
    if (at < 0)
        return;
    /* An earlier alarm than needed is cheaper than moving it at each command. */
    if (!loop_timer_set(&s->timer) || at < s->timer.node.key)
        loop_timer_at(s->d->env->loop, &s->timer, at);
}

void session_run(struct session *s)
{
    if (s->busy)
        return;
    s->busy = true;
    s->gone = !step(s);
    /* A commit under way is waited for all the same, so that what was accepted is logged as such;
     * only nobody hears the 250. */
    if (s->gone && !s->committing) {
        smtp_server_lost(s->server);
        s->dead = true;
    }
    s->busy = false;
    if (s->dead) {
        session_free(s);
        return;
    }
    if (!s->in.len && s->in.cap > IN_IDLE_BYTES)
        buf_free(&s->in);
    bool hold = (s->in.len && smtp_server_blocked(s->server)) || s->no_credit;
    bool read = !hold && buf_room(&s->in) >= READ_BYTES && !s->eof && !s->gone;
    int want = (read ? LOOP_READ : 0) | (out_waits(s) && !s->gone ? LOOP_WRITE : 0);
    loop_io_want(s->d->env->loop, &s->io, want);
    set_timer(s);
}

static void on_timer(void *ctx)
{
    struct session *s = ctx;
    int64_t at = deadline(s);
    bool due = at >= 0 && at <= loop_mono_ms(s->d->env->loop);
    if (due && s->tls && !s->tls_told) {
        say_tls_failed(s);
        s->dead = true;
    } else if (due && smtp_server_closing(s->server)) {
        s->dead = true;
    } else if (due) {
        s->busy = true;
        smtp_server_tick(s->server, session_now(s));
        s->busy = false;
    }
    session_run(s);
}

static void take_input(struct session *s, struct span bytes)
{
    if (s->tls) {
        /* Room: TLS_INPUT_MAX is what one read brings at most. */
        while (bytes.n) {
            size_t used = tls_input(s->tls, bytes);
            bytes = span_from(bytes, used);
            if (!used || bytes.n)
                decrypt(s);
            if (!used && !tls_input_room(s->tls)) {
                s->dead = true;
                return;
            }
        }
        return;
    }
    /* The common case copies nothing: the engine eats the read as it is. */
    size_t used = 0;
    if (!s->in.len) {
        s->busy = true;
        used = smtp_server_input(s->server, bytes, session_now(s));
        s->busy = false;
    }
    buf_puts(&s->in, span_from(bytes, used));
}

/* Whoever is in the middle of a large message has his share of a turn: the rest stays in the
 * sockets until the next one, so that small mail does not wait for the reading of all of it. */
static bool turn_is_full(struct session *s, size_t will_read)
{
    struct smtpd *d = s->d;
    if (s->content.len < LARGE_BYTES && !s->streamed_bytes)
        return false;
    if (d->turn_bytes >= TURN_BYTES)
        return true;
    d->turn_bytes += will_read;
    loop_hook_ask(d->env->loop, &d->turn_over);
    return false;
}

static void on_readable(struct session *s)
{
    struct smtpd *d = s->d;
    size_t want = s->tls ? tls_input_room(s->tls) : READ_BYTES;
    if (want > READ_BYTES)
        want = READ_BYTES;
    if (turn_is_full(s, want))
        return;
    buf_reset(&d->read_buf);
    char *to = buf_space(&d->read_buf, READ_BYTES);
    ssize_t got = loop_read(d->env->loop, s->fd, to, want);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (got > 0) {
        take_input(s, span_of(to, (size_t)got));
        return;
    }
    s->eof = true;
    s->gone = got < 0 || s->tls; /* TLS ends by close_notify: without it, it was cut */
}

static void on_ready(void *ctx, int ready)
{
    struct session *s = ctx;
    if (ready & LOOP_READ)
        on_readable(s);
    session_run(s);
}
