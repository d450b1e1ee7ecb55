/* Letters on their way: to alarm.relay at once; when there is none, or it does not take them,
 * through smtpd into our own queue, as mail of this machine. What neither takes waits here. */
#include "watch/inside.h"

#include "alarm/letter.h"
#include "base/must.h"
#include "proto/pickup_smtpd.h"
#include "smtp/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ATTEMPT_MS = 60 * 1000, RELAY_PORT = 25, RCPTS_MAX = 20, TEXT_BYTES = 300,
       AGAIN_FIRST_MS = 30 * 1000 };

struct post {
    struct list node; /* in w->posts */
    struct watch *w;
    struct buf text;
    size_t sent;
    struct where where;
    bool busy, by_relay;
    int fd;
    struct loop_io io;
    struct loop_timer timer;
    struct loop_hook over_hook;
    struct smtp_client_config conf;
    struct smtp_client *client;
    struct netaddr addrs[ADDRS_MAX];
    size_t addr_count, at;
    bool connected, over;
    struct tls *tls;
    bool tls_pending, tls_open, tls_failed, no_tls; /* no_tls: it has failed with this host */
    struct envelope_rcpt rcpts[RCPTS_MAX]; /* who does not have it yet */
    bool has[RCPTS_MAX];                   /* after this session */
    size_t rcpt_count, taken;
    char why[TEXT_BYTES], refusal[TEXT_BYTES]; /* last words; those of a recipient's refusal */
};

static void connect_relay(struct post *p);
static void through_queue(struct post *p);

static int64_t now_of(const struct post *p) { return loop_mono_ms(p->w->env->loop); }

static void keep_words(char to[TEXT_BYTES], struct span s)
{
    s = span_to(s, TEXT_BYTES - 1);
    if (s.n)
        memcpy(to, s.p, s.n);
    to[s.n] = '\0';
}

static void hang_up(struct post *p)
{
    struct loop *l = p->w->env->loop;
    smtp_client_free(&p->client);
    tls_free(&p->tls);
    loop_timer_stop(l, &p->timer);
    loop_io_del(l, &p->io);
    if (p->fd >= 0)
        loop_close(l, p->fd);
    p->fd = -1;
}

static void post_free(struct post *p)
{
    hang_up(p);
    where_stop(&p->where);
    loop_hook_cancel(&p->over_hook);
    list_remove(&p->node);
    p->w->post_count--;
    for (size_t i = 0; i < p->rcpt_count; i++)
        free((char *)p->rcpts[i].addr.p);
    buf_free(&p->text);
    free(p);
}

/* Of those who have it now, or of those who have not. */
static void say(struct post *p, bool mailed)
{
    struct events *e = p->w->env->events;
    const char *why = !mailed && p->refusal[0] ? p->refusal : p->why;
    struct buf to;
    buf_init(&to, RCPTS_MAX * ENVELOPE_ADDR_MAX);
    for (size_t i = 0; i < p->rcpt_count; i++) {
        if (p->has[i] != mailed)
            continue;
        buf_putz(&to, to.len ? ", " : "");
        buf_puts(&to, p->rcpts[i].addr);
    }
    event_begin(e, mailed ? EVENT_alarm_mailed : EVENT_alarm_not_mailed);
    event_str(e, FIELD_to, buf_span(&to));
    event_str(e, FIELD_relay, p->by_relay ? p->w->config->alarm.relay : SPAN("queue"));
    event_str(e, FIELD_text, span_str(why));
    event_end(e);
    if (!mailed)
        log_line(e, EVENT_WARNING, "mail about alarms for %s is not taken by %s: %s",
                 buf_cstr(&to), p->by_relay ? "alarm.relay" : "our own queue", why);
    buf_free(&to);
}

/* --- the session's end --- */

/* Neither way is open: all that wait, wait. */
static void put_off(struct watch *w)
{
    again_later(&w->again, loop_mono_ms(w->env->loop), AGAIN_FIRST_MS);
}

/* Only the others are left to be told. */
static void forget_taken(struct post *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->rcpt_count; i++) {
        if (p->has[i])
            free((char *)p->rcpts[i].addr.p);
        else
            p->rcpts[n++] = p->rcpts[i];
    }
    p->rcpt_count = n;
    p->taken = 0; /* of them; the next session may not come about */
    memset(p->has, 0, sizeof p->has);
}

/* Some have it; a relay that refused others is not asked for them again. */
static void go_on(struct post *p)
{
    struct watch *w = p->w;
    forget_taken(p);
    if (!p->rcpt_count) {
        post_free(p);
    } else if (p->by_relay) {
        through_queue(p);
    } else {
        p->busy = false;
        put_off(w);
        return;
    }
    w->again = (struct again){ 0 };
    posts_again(w); /* the way is open */
    keep_send(w);
}

static void on_over(void *ctx)
{
    struct post *p = ctx;
    hang_up(p);
    if (p->taken)
        say(p, true);
    if (p->taken < p->rcpt_count)
        say(p, false);
    p->refusal[0] = '\0'; /* what comes next may end before anybody says a word */
    if (p->taken) {
        go_on(p);
        return;
    }
    if (p->by_relay && p->tls_failed && !p->no_tls) {
        p->no_tls = true; /* better in plain text than not at all */
        p->tls_failed = false;
        connect_relay(p);
    } else if (p->by_relay && p->at + 1 < p->addr_count) {
        p->at++;
        p->no_tls = false;
        connect_relay(p);
    } else if (p->by_relay) {
        through_queue(p);
    } else {
        p->busy = false;
        put_off(p->w);
    }
}

static void end(struct post *p, struct span why)
{
    if (why.n)
        keep_words(p->why, why);
    p->tls_failed |= p->tls && !p->tls_open;
    p->over = true;
    loop_hook_ask(p->w->env->loop, &p->over_hook);
}

static void on_want(void *ctx, size_t budget)
{
    struct post *p = ctx;
    struct span rest = span_from(buf_span(&p->text), p->sent);
    struct span now = span_to(rest, budget);
    p->sent += now.n;
    smtp_client_content(p->client, now, now.n == rest.n, now_of(p));
}

static void on_rcpt_done(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct post *p = ctx;
    struct span words = o->reply.n ? o->reply : o->text;
    p->has[i] = o->result == SMTP_DELIVERED || o->result == SMTP_UNKNOWN;
    p->taken += p->has[i];
    keep_words(p->has[i] ? p->why : p->refusal, words);
}

static void on_message_done(void *ctx) { end(ctx, SPAN_NONE); }

static void on_closed(void *ctx, const struct smtp_outcome *why)
{
    struct post *p = ctx;
    if (!p->over)
        end(p, why ? why->text : SPAN("the connection was closed"));
}

static void on_start_tls(void *ctx) { ((struct post *)ctx)->tls_pending = true; }

static const struct smtp_client_ops client_ops = { .start_tls = on_start_tls,
                                                   .want_content = on_want,
                                                   .rcpt_done = on_rcpt_done,
                                                   .message_done = on_message_done,
                                                   .closed = on_closed };

/* --- the session --- */

/* False: the connection is broken. */
static bool write_some(struct post *p, struct span out, size_t *put_r)
{
    ssize_t put = out.n ? loop_write(p->w->env->loop, p->fd, out.p, out.n) : 0;
    *put_r = put > 0 ? (size_t)put : 0;
    return put >= 0 || errno == EAGAIN || errno == EWOULDBLOCK;
}

static bool write_tls(struct post *p)
{
    size_t put = 1;
    while (p->tls && tls_output(p->tls)->len && put) {
        if (!write_some(p, buf_span(tls_output(p->tls)), &put))
            return false;
        buf_take(tls_output(p->tls), put);
    }
    return true;
}

static bool write_out(struct post *p)
{
    while (!p->over) {
        if (!write_tls(p))
            return false;
        struct span out = smtp_client_output(p->client);
        size_t put = 0;
        if (out.n && p->tls)
            put = tls_output(p->tls)->len ? 0 : tls_write(p->tls, out);
        else if (!write_some(p, out, &put))
            return false;
        if (!put)
            break;
        smtp_client_sent(p->client, put, now_of(p));
    }
    return true;
}

static bool out_waits(const struct post *p)
{
    return smtp_client_output(p->client).n || (p->tls && tls_output(p->tls)->len);
}

/* As with other mail: whatever certificate there is is better than plain text (RFC 7435). */
static void begin_tls(struct post *p)
{
    struct tls_peer peer = { .trust = TLS_TRUST_ANY };
    struct err e;
    p->tls_pending = false;
    p->tls = tls_client_new(p->w->tls, &peer, p, &e);
    p->tls_failed = !p->tls;
    if (p->tls_failed)
        smtp_client_eof(p->client, span_str(e.text), now_of(p));
    else if (!write_tls(p))
        smtp_client_eof(p->client, span_str(strerror(errno)), now_of(p));
}

static void look_at_tls(struct post *p)
{
    enum tls_state state = tls_state(p->tls);
    if (state == TLS_FAILED && !p->tls_open && !p->over)
        smtp_client_eof(p->client, SPAN("TLS handshake failed"), now_of(p));
    if (state == TLS_OPEN && !p->tls_open) {
        p->tls_open = true;
        smtp_client_tls_done(p->client, now_of(p));
    }
}

static void take_input(struct post *p, struct span in)
{
    char plain[4096];
    if (!p->tls) {
        smtp_client_input(p->client, in, now_of(p));
        return;
    }
    for (size_t used = 1; in.n && used && !p->over; in = span_from(in, used)) {
        ssize_t got;
        used = tls_input(p->tls, in);
        look_at_tls(p);
        while (!p->over && (got = tls_read(p->tls, plain, sizeof plain)) > 0)
            smtp_client_input(p->client, span_of(plain, (size_t)got), now_of(p));
    }
    enum tls_state state = tls_state(p->tls);
    if (!p->over && (state == TLS_CLOSED || state == TLS_FAILED))
        smtp_client_eof(p->client, span_str(tls_why(p->tls)), now_of(p));
}

static void pump(struct post *p)
{
    struct loop *l = p->w->env->loop;
    if (!write_out(p))
        smtp_client_eof(p->client, span_str(strerror(errno)), now_of(p));
    if (!p->over && p->tls_pending && !out_waits(p))
        begin_tls(p);
    if (p->over)
        return;
    loop_io_want(l, &p->io, LOOP_READ | (out_waits(p) ? LOOP_WRITE : 0));
    int64_t at = smtp_client_deadline(p->client);
    if (at != INT64_MAX)
        loop_timer_at(l, &p->timer, at);
}

static void begin_session(struct post *p)
{
    struct watch *w = p->w;
    p->connected = true;
    p->sent = 0;
    p->tls_pending = p->tls_open = p->tls_failed = false;
    smtp_client_defaults(&p->conf);
    p->conf.hostname = w->config->hostname;
    p->conf.tls = p->by_relay && !p->no_tls ? SMTP_TLS_TRY : SMTP_TLS_OFF;
    p->client = smtp_client_new(&p->conf, p->by_relay ? w->config->alarm.relay : SPAN("smtpd"),
                                &client_ops, p, now_of(p));
    smtp_client_set_attempt(p->client, now_of(p) + ATTEMPT_MS);
    struct smtp_message m = { .rcpts = p->rcpts, .rcpt_count = p->rcpt_count,
                              .size_bytes = p->text.len, .quit = true };
    MUST(smtp_client_send(p->client, &m, now_of(p)));
    pump(p);
}

static void on_ready(void *ctx, int ready)
{
    struct post *p = ctx;
    char bytes[4096];
    if (p->over)
        return;
    if (!p->connected) {
        int error = loop_connect_result(p->w->env->loop, p->fd);
        if (error)
            end(p, span_str(strerror(error)));
        else
            begin_session(p);
        return;
    }
    if (ready & LOOP_READ) {
        ssize_t n = loop_read(p->w->env->loop, p->fd, bytes, sizeof bytes);
        if (n > 0)
            take_input(p, span_of(bytes, (size_t)n));
        else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            smtp_client_eof(p->client, SPAN_NONE, now_of(p));
    }
    pump(p);
}

static void on_timer(void *ctx)
{
    struct post *p = ctx;
    if (p->over)
        return;
    if (!p->connected) {
        end(p, SPAN("no connection could be made"));
        return;
    }
    smtp_client_tick(p->client, now_of(p));
    pump(p);
}

/* --- the two ways --- */

static void begin_with(struct post *p, int fd, bool connected)
{
    p->fd = fd;
    p->connected = connected;
    p->over = false;
    p->taken = 0;
    memset(p->has, 0, sizeof p->has);
    p->why[0] = '\0';
    if (fd < 0) {
        end(p, span_str(strerror(errno)));
        return;
    }
    loop_io_add(p->w->env->loop, &p->io, fd, connected ? LOOP_READ : LOOP_WRITE, on_ready, p);
    if (connected)
        begin_session(p);
    else
        loop_timer_in(p->w->env->loop, &p->timer, p->w->config->timeout.connect_ms);
}

static void connect_relay(struct post *p)
{
    begin_with(p, loop_connect(p->w->env->loop, &p->addrs[p->at], NULL), false);
}

static void on_where(void *ctx, const struct where_found *f)
{
    struct post *p = ctx;
    p->addr_count = f->count;
    p->at = 0;
    p->no_tls = false;
    if (f->count) {
        memcpy(p->addrs, f->addrs, f->count * sizeof *f->addrs);
        connect_relay(p);
    } else {
        end(p, f->why);
    }
}

static struct channel *next_smtpd(struct watch *w)
{
    for (size_t i = 0; i < SMTPDS_MAX; i++) {
        struct channel *ch = w->smtpds[w->smtpd_turn++ % SMTPDS_MAX];
        if (ch && channel_open(ch))
            return ch;
    }
    return NULL;
}

static void through_queue(struct post *p)
{
    struct channel *ch = next_smtpd(p->w);
    int fds[2];
    p->by_relay = false;
    if (!ch || loop_pair(p->w->env->loop, fds) != 0) {
        end(p, ch ? span_str(strerror(errno)) : SPAN("no smtpd is running"));
        return;
    }
    struct msg_local_session m = { .uid = (uint32_t)geteuid(), .trusted = 1,
                                   .user = SPAN("postern") };
    msg_local_session_put(channel_begin(ch, MSG_local_session), &m);
    channel_end_fd(ch, fds[1]);
    begin_with(p, fds[0], true);
}

static void begin(struct post *p)
{
    struct span relay = p->w->config->alarm.relay;
    p->busy = true;
    p->by_relay = relay.n > 0;
    if (relay.n)
        where_ask(p->w, &p->where, relay, RELAY_PORT, on_where, p);
    else
        through_queue(p);
}

/* --- letters --- */

/* A name alone is one of ours. */
static void put_address(const struct watch *w, struct buf *b, struct span addr)
{
    buf_puts(b, addr.n ? addr : SPAN("postmaster"));
    if (span_find(addr, '@') == addr.n)
        buf_printf(b, "@%.*s", SPAN_ARG(w->config->hostname));
}

static size_t to_count(const struct watch *w)
{
    size_t n = w->config->alarm.to.n;
    return n > RCPTS_MAX ? RCPTS_MAX : n ? n : 1;
}

static struct span to_at(const struct watch *w, size_t i)
{
    return w->config->alarm.to.n ? w->config->alarm.to.v[i] : w->config->postmaster;
}

void post_put_to(const struct watch *w, struct buf *b)
{
    for (size_t i = 0; i < to_count(w); i++) {
        buf_putz(b, i ? ",\r\n\t" : "");
        put_address(w, b, to_at(w, i));
    }
}

void post_send(struct watch *w, struct span text)
{
    if (w->post_count >= POSTS_MAX) /* the oldest says least */
        post_free(CONTAINER(list_first(&w->posts), struct post, node));
    struct post *p = NEW(struct post);
    p->w = w;
    p->fd = -1;
    loop_timer_init(&p->timer, on_timer, p);
    loop_hook_init(&p->over_hook, LOOP_STAGE_WORK, on_over, p);
    buf_init(&p->text, ALARM_LETTER_MAX);
    buf_puts(&p->text, text);
    for (size_t i = 0; i < to_count(w); i++) {
        struct buf b;
        buf_init(&b, ENVELOPE_ADDR_MAX);
        put_address(w, &b, to_at(w, i));
        p->rcpts[i].addr = span_of(must_strndup(buf_cstr(&b), b.len), b.len);
        p->rcpts[i].notify = NOTIFY_NEVER;
        p->rcpt_count++;
        buf_free(&b);
    }
    list_append(&w->posts, &p->node);
    w->post_count++;
    begin(p);
}

/* The first that waits; when it is taken, the next. */
void posts_again(struct watch *w)
{
    if (loop_mono_ms(w->env->loop) < w->again.at_ms)
        return;
    LIST_EACH(n, &w->posts) {
        struct post *p = CONTAINER(n, struct post, node);
        if (p->busy)
            continue;
        begin(p);
        return;
    }
}

void posts_reload(struct watch *w)
{
    LIST_EACH(n, &w->posts)
        CONTAINER(n, struct post, node)->conf.hostname = w->config->hostname;
}

void posts_free(struct watch *w)
{
    LIST_EACH(n, &w->posts)
        post_free(CONTAINER(n, struct post, node));
}
