/* One connection out. The client engine says what to write; whatever is read goes to it. */
#include "deliver/inside.h"

#include "base/must.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t now_of(const struct conn *c) { return loop_mono_ms(c->d->env->loop); }

static void on_ready(void *ctx, int ready);
static void on_timer(void *ctx);

/* --- the engine's events --- */

static void on_start_tls(void *ctx) { ((struct conn *)ctx)->tls_pending = true; }

static void on_want_content(void *ctx, size_t budget_bytes)
{
    struct conn *c = ctx;
    if (c->job)
        job_want(c->job, budget_bytes);
}

static void on_rcpt_done(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct conn *c = ctx;
    if (c->job)
        job_rcpt_done(c->job, i, o);
}

/* Acted upon when the engine's call has returned: the job may open another connection then. */
static void on_message_done(void *ctx) { ((struct conn *)ctx)->messages++; }

static void say_tls_failed(struct conn *c, struct span why)
{
    c->tls_failed = c->tls_told = true;
    talk_say(c, TALK_NOTE, SPAN("the TLS handshake failed"));
    if (why.n && !c->ended) /* else it stands there as what ended the connection */
        talk_say(c, TALK_NOTE, why);
    event_begin(c->d->env->events, EVENT_tls_failed);
    event_str(c->d->env->events, FIELD_host, span_str(c->host));
    event_str(c->d->env->events, FIELD_text, why);
    event_end(c->d->env->events);
}

/* A handshake may also fail by ending: dropped, or its time is over. */
static void on_closed(void *ctx, const struct smtp_outcome *why)
{
    struct conn *c = ctx;
    if (c->tls && !c->tls_told)
        say_tls_failed(c, why ? why->text : SPAN_NONE);
    c->closed = true;
}

static const struct smtp_client_ops client_ops = {
    .start_tls = on_start_tls,
    .want_content = on_want_content,
    .rcpt_done = on_rcpt_done,
    .message_done = on_message_done,
    .closed = on_closed,
    .record = record_line,
};

/* Watched from its beginning: lines cost something. */
static const struct smtp_client_ops watched_ops = {
    .start_tls = on_start_tls,
    .want_content = on_want_content,
    .rcpt_done = on_rcpt_done,
    .message_done = on_message_done,
    .closed = on_closed,
    .trace = talk_line,
    .record = record_line,
};

/* A line costs something: only who is looked on at tells it. */
static const struct smtp_client_ops *ops_of(const struct conn *c)
{
    return c->talk.watch ? &watched_ops : &client_ops;
}

void conn_watch(struct conn *c, struct job *j)
{
    talk_take(c, j);
    if (c->client)
        smtp_client_set_ops(c->client, ops_of(c));
}

/* --- opening --- */

const struct netaddr *conn_source(const struct job *j, const struct netaddr *to)
{
    for (size_t i = 0; i < 2; i++)
        if (j->source[i].family == to->family)
            return &j->source[i];
    return NULL;
}

static struct conn *conn_new(struct deliver *d, struct job *j, int fd)
{
    struct conn *c = NEW(struct conn);
    c->d = d;
    c->fd = fd;
    c->job = j;
    c->messages_max = j->messages_max;
    c->opened_ms = now_of(c);
    c->configured = d->configured;
    c->once = j->once || j->probe;
    c->probe = j->probe;
    j->conn = c;
    list_append(&d->conns, &c->node);
    loop_timer_init(&c->timer, on_timer, c);
    attempt_log_init(&c->log, j->log.max_bytes);
    talk_take(c, j);
    return c;
}

/* A connection is not kept for longer than what led to it stays true: a host that moves is found
 * again when its TTL says so, though not at each message. One that is not the first choice
 * (RFC 5321 5.1) is kept for a while when those before it cannot be reached; when one of them is
 * there, and only this message was lost there, it is not. */
static int64_t valid_until(const struct conn *c, const struct job *j, bool best)
{
    int64_t ms = (int64_t)j->plan.ttl_s * 1000;
    if (best && j->plan.ttl_s == DNS_TTL_FOREVER)
        return INT64_MAX;
    if (ms < KEEP_MIN_MS)
        ms = KEEP_MIN_MS;
    if (!best && ms > KEEP_SPARE_MS)
        ms = KEEP_SPARE_MS;
    return now_of(c) + (best || !j->reached ? ms : 0);
}

struct conn *conn_open(struct deliver *d, struct job *j, const struct dns_plan_addr *a)
{
    int fd = loop_connect(d->env->loop, &a->addr, conn_source(j, &a->addr));
    if (fd < 0)
        return NULL;
    struct conn *c = conn_new(d, j, fd);
    c->state = CONN_CONNECTING;
    c->addr = a->addr;
    snprintf(c->host, sizeof c->host, "%.*s", SPAN_ARG(j->plan.hosts[a->host].name));
    snprintf(c->site, sizeof c->site, "%.*s", SPAN_ARG(j->plan.site));
    snprintf(j->last_host, sizeof j->last_host, "%s", c->host);
    j->last_addr = a->addr;
    talk_say(c, TALK_CONNECTING, SPAN_NONE);
    bool best = a->host < j->plan.best_hosts;
    c->under = best ? j->plan.order.best : j->plan.order.all;
    c->valid_until_ms = valid_until(c, j, best);
    loop_io_add(d->env->loop, &c->io, fd, LOOP_WRITE, on_ready, c);
    int64_t until = now_of(c) + d->config->timeout.connect_ms;
    c->connect_until_ms = until < j->deadline_ms ? until : j->deadline_ms;
    loop_timer_at(d->env->loop, &c->timer, c->connect_until_ms);
    return c;
}

void conn_free(struct conn *c)
{
    struct deliver *d = c->d;
    if (c->state != CONN_CONNECTING)
        talk_closing(c);
    talk_say(c, TALK_CLOSED, SPAN_NONE);
    if (c->keeper)
        upstream_unkept(c);
    conn_unname(c);
    struct job *heir = c->heir;
    if (c->job)
        c->job->conn = NULL;
    smtp_client_free(&c->client);
    tls_free(&c->tls);
    attempt_log_free(&c->log);
    loop_timer_stop(d->env->loop, &c->timer);
    loop_io_del(d->env->loop, &c->io);
    loop_close(d->env->loop, c->fd);
    list_remove(&c->node);
    free(c);
    if (heir) {
        heir->waits = NULL;
        upstream_ask(heir);
    }
    deliver_check_finished(d);
}

static void failed_to_connect(struct conn *c, int error, bool timeout)
{
    struct job *j = c->job;
    char text[400];
    snprintf(text, sizeof text, "%s %s %s.",
             timeout ? "Connection timed out" : strerror(error), timeout ? "with" : "by", c->host);
    struct smtp_outcome o = { .result = SMTP_DEFERRED,
                              .cause = timeout ? SMTP_CAUSE_TIMEOUT : SMTP_CAUSE_LOST,
                              .stage = SMTP_STAGE_CONNECT,
                              .enhanced = SPAN("4.4.1"),
                              .text = span_str(text) };
    talk_say(c, TALK_NOTE, span_str(text));
    if (j)
        record_keep(j, c);
    c->job = NULL;
    conn_free(c);
    if (j)
        job_no_connection(j, &o);
}

/* --- messages --- */

static void begin_message(struct conn *c, struct job *j)
{
    job_rewind(j);
    struct smtp_message m = { .sender = j->sender,
                              .rcpts = j->now_rcpts,
                              .rcpt_count = j->now_count,
                              .size_bytes = j->size_bytes,
                              .flags = j->flags,
                              .envid = j->envid,
                              .probe = j->probe };
    smtp_client_set_attempt(c->client, j->deadline_ms);
    MUST(smtp_client_send(c->client, &m, now_of(c)));
}

void conn_send(struct conn *c, struct job *j)
{
    conn_unname(c);
    c->state = CONN_TALKING;
    c->job = j;
    j->conn = c;
    conn_watch(c, j);
    talk_say(c, TALK_CACHED, SPAN_NONE);
    loop_timer_stop(c->d->env->loop, &c->timer);
    c->busy = true;
    begin_message(c, j);
    c->busy = false;
    conn_run(c);
}

bool conn_may_keep(const struct conn *c)
{
    const struct config_deliver *cfg = &c->d->config->deliver;
    return !c->closed && !c->once && !c->d->finishing && cfg->idle_ms > 0 &&
           c->configured == c->d->configured && c->d->kept.n < cfg->connections &&
           c->messages < c->messages_max && now_of(c) < c->valid_until_ms &&
           smtp_client_idle(c->client);
}

void conn_name(struct conn *c)
{
    c->keeper = ++c->d->next_keeper;
    hash_add(&c->d->kept, &c->keeper_node, span_of(&c->keeper, sizeof c->keeper));
}

void conn_unname(struct conn *c)
{
    if (c->keeper)
        hash_remove(&c->d->kept, &c->keeper_node);
    c->keeper = 0;
}

void conn_keep(struct conn *c)
{
    c->state = CONN_KEPT;
    conn_name(c);
    int64_t until = now_of(c) + c->d->config->deliver.idle_ms;
    if (until > c->valid_until_ms)
        until = c->valid_until_ms;
    loop_timer_at(c->d->env->loop, &c->timer, until);
}

/* --- bytes --- */

static bool write_some(struct conn *c, struct span out, size_t *put_r)
{
    ssize_t put = loop_write(c->d->env->loop, c->fd, out.p, out.n);
    *put_r = put > 0 ? (size_t)put : 0;
    return put >= 0 || errno == EAGAIN || errno == EWOULDBLOCK;
}

static bool write_tls(struct conn *c)
{
    struct buf *b = tls_output(c->tls);
    while (b->len) {
        size_t put;
        if (!write_some(c, buf_span(b), &put))
            return false;
        if (!put)
            break;
        buf_take(b, put);
    }
    return true;
}

/* What the engine says goes out at once. It may say more for having been relieved: again. */
static bool write_out(struct conn *c)
{
    for (;;) {
        if (c->tls && !write_tls(c))
            return false;
        struct span out = smtp_client_output(c->client);
        size_t put = 0;
        if (out.n && c->tls)
            put = tls_output(c->tls)->len ? 0 : tls_write(c->tls, out);
        else if (out.n && !write_some(c, out, &put))
            return false;
        if (!put)
            return true;
        smtp_client_sent(c->client, put, now_of(c));
    }
}

static bool out_waits(const struct conn *c)
{
    return (c->client && smtp_client_output(c->client).n) ||
           (c->tls && tls_output(c->tls)->len);
}

/* The client has closed: so that the peer knows that nobody cut it short (RFC 8446 6.1). What does
 * not leave at once is not waited for. */
static void end_tls(struct conn *c)
{
    if (!c->tls || c->eof || out_waits(c))
        return;
    tls_close(c->tls);
    write_tls(c);
}

static void begin_tls(struct conn *c)
{
    char session[600];
    struct err e;
    snprintf(session, sizeof session, "%s %.*s", c->host, SPAN_ARG(c->conf.hostname));
    bool literal = c->host[0] == '[';
    struct tls_peer peer = { .name = literal ? SPAN_NONE : span_str(c->host),
                             .session = span_str(session),
                             .trust = TLS_TRUST_ANY };
    c->tls_pending = false;
    c->tls = tls_client_new(c->d->tls, &peer, c, &e);
    if (!c->tls) {
        c->tls_failed = true;
        smtp_client_eof(c->client, span_str(e.text), now_of(c));
    }
}

static void look_at_tls(struct conn *c)
{
    if (tls_state(c->tls) == TLS_FAILED && !c->tls_told) {
        say_tls_failed(c, span_str(tls_why(c->tls)));
        smtp_client_eof(c->client, SPAN("TLS handshake failed"), now_of(c));
    }
    if (tls_state(c->tls) == TLS_OPEN && !c->tls_told) {
        struct tls_info i = tls_info(c->tls);
        c->tls_told = true;
        snprintf(c->tls_text, sizeof c->tls_text, "%s %s", i.version, i.cipher);
        talk_say(c, TALK_NOTE, span_str(c->tls_text));
        event_begin(c->d->env->events, EVENT_tls_started);
        event_str(c->d->env->events, FIELD_host, span_str(c->host));
        event_str(c->d->env->events, FIELD_tls, span_str(c->tls_text));
        event_end(c->d->env->events);
        smtp_client_tls_done(c->client, now_of(c));
    }
}

static void take_input(struct conn *c, struct span in)
{
    if (!c->tls) {
        smtp_client_input(c->client, in, now_of(c));
        return;
    }
    char plain[16384];
    do {
        size_t used = tls_input(c->tls, in);
        in = span_from(in, used);
        look_at_tls(c);
        ssize_t got;
        while (!c->closed && (got = tls_read(c->tls, plain, sizeof plain)) > 0)
            smtp_client_input(c->client, span_of(plain, (size_t)got), now_of(c));
        if (!used)
            break;
    } while (in.n);
    /* It has ended TLS, but not the connection: nothing more comes and nothing can be said. */
    enum tls_state state = tls_state(c->tls);
    if (!c->closed && (state == TLS_CLOSED || state == TLS_FAILED))
        smtp_client_eof(c->client, span_str(tls_why(c->tls)), now_of(c));
}

static void on_readable(struct conn *c)
{
    struct deliver *d = c->d;
    buf_reset(&d->read_buf);
    char *to = buf_space(&d->read_buf, READ_BYTES);
    ssize_t got = loop_read(d->env->loop, c->fd, to, READ_BYTES);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (c->closed) {
        c->eof = got <= 0;
        return;
    }
    if (got > 0) {
        take_input(c, span_of(to, (size_t)got));
        return;
    }
    struct span why = got < 0 ? span_str(strerror(errno)) : SPAN_NONE;
    c->eof = true;
    if (c->tls)
        tls_input_end(c->tls);
    smtp_client_eof(c->client, why, now_of(c));
}

/* What it said before it hung up still counts: a refusal in the middle of the content, say. */
static void write_failed(struct conn *c, int error)
{
    struct buf *b = &c->d->read_buf;
    buf_reset(b);
    char *to = buf_space(b, READ_BYTES);
    ssize_t got = loop_read(c->d->env->loop, c->fd, to, READ_BYTES);
    if (got > 0)
        take_input(c, span_of(to, (size_t)got));
    if (!c->closed)
        smtp_client_eof(c->client, span_str(strerror(error)), now_of(c));
}

/* --- turning --- */

static void set_timer(struct conn *c)
{
    if (c->state == CONN_KEPT)
        return;
    int64_t at = smtp_client_deadline(c->client);
    if ((c->heir || c->closed) && at > c->quit_ms + QUIT_MS)
        at = c->quit_ms + QUIT_MS;
    if (at != INT64_MAX && (!loop_timer_set(&c->timer) || at < c->timer.node.key))
        loop_timer_at(c->d->env->loop, &c->timer, at);
}

/* The reply to QUIT is there. The peer counts the connection until it has closed it, too. */
static bool lingers(const struct conn *c)
{
    return c->state == CONN_ENDING && !c->eof && (c->keeper || c->heir) &&
           now_of(c) < c->quit_ms + QUIT_MS;
}

/* A message has ended inside one of the engine's calls: the job goes on from here. */
static void settle(struct conn *c)
{
    struct job *j = c->job;
    bool ended = c->messages != c->settled;
    c->settled = c->messages;
    if (ended && j)
        job_message_done(j);
    if (c->closed && !lingers(c)) {
        conn_free(c);
        return;
    }
    if (c->state == CONN_TALKING && !c->job) {
        conn_quit(c); /* settles it, and may free it */
        return;
    }
    int want = LOOP_READ | (!c->closed && out_waits(c) ? LOOP_WRITE : 0);
    loop_io_want(c->d->env->loop, &c->io, want);
    set_timer(c);
}

/* Calls what may make the engine act; everything that follows from it is settled after. */
static void drive(struct conn *c, void (*act)(struct conn *c))
{
    if (c->busy)
        return;
    c->busy = true;
    if (act)
        act(c);
    bool written = write_out(c); /* of a client that has closed: its QUIT (RFC 5321 3.1) */
    if (!c->closed && !written)
        write_failed(c, errno);
    if (c->closed && written)
        end_tls(c);
    if (!c->closed && c->tls_pending && !out_waits(c)) {
        begin_tls(c);
        if (c->tls)
            write_tls(c);
    }
    c->busy = false;
    settle(c);
}

void conn_run(struct conn *c) { drive(c, NULL); }

static void act_quit(struct conn *c) { smtp_client_quit(c->client, now_of(c)); }

void conn_quit(struct conn *c)
{
    c->state = CONN_ENDING;
    c->quit_ms = now_of(c);
    talk_closing(c);
    loop_timer_stop(c->d->env->loop, &c->timer);
    drive(c, act_quit);
}

void conn_replace(struct conn *c, struct job *j)
{
    conn_unname(c);
    c->heir = j;
    j->waits = c;
    if (c->state == CONN_KEPT)
        conn_quit(c);
    else
        set_timer(c);
}

static void act_tick(struct conn *c) { smtp_client_tick(c->client, now_of(c)); }

static void on_timer(void *ctx)
{
    struct conn *c = ctx;
    if (c->state == CONN_CONNECTING) {
        failed_to_connect(c, ETIMEDOUT, true);
    } else if (c->state == CONN_KEPT) {
        conn_quit(c);
    } else if (c->state == CONN_ENDING && (c->heir || c->closed) &&
               now_of(c) >= c->quit_ms + QUIT_MS) {
        conn_free(c);
    } else {
        drive(c, act_tick);
    }
}

static void act_begin(struct conn *c) { begin_message(c, c->job); }

static void talk(struct conn *c)
{
    c->state = CONN_TALKING;
    record_open(c);
    loop_timer_stop(c->d->env->loop, &c->timer);
    c->conf = c->d->client_conf;
    snprintf(c->hostname, sizeof c->hostname, "%.*s", SPAN_ARG(c->conf.hostname));
    c->conf.hostname = span_str(c->hostname);
    c->conf.lmtp = c->job->lmtp;
    c->conf.tls = deliver_tls(c->job->tls_mode);
    if (c->job->by_local || c->job->plain_addr == c->job->next_addr)
        c->conf.tls = SMTP_TLS_OFF;
    c->client = smtp_client_new(&c->conf, span_str(c->host),
                                ops_of(c), c, now_of(c));
    drive(c, act_begin);
}

static void connected(struct conn *c)
{
    int error = loop_connect_result(c->d->env->loop, c->fd);
    if (error)
        failed_to_connect(c, error, false);
    else
        talk(c);
}

void conn_adopt(struct deliver *d, struct job *j, int fd)
{
    struct conn *c = conn_new(d, j, fd);
    snprintf(c->host, sizeof c->host, "%.*s",
             SPAN_ARG(j->once ? SPAN("local") : span_to(j->dest.path, sizeof c->host - 1)));
    snprintf(c->site, sizeof c->site, "%s%.*s", j->once ? "" : "lmtp:",
             SPAN_ARG(span_to(j->once ? j->dest.queue : j->dest.path, sizeof c->site - 6)));
    snprintf(j->last_host, sizeof j->last_host, "%s", c->host);
    c->valid_until_ms = INT64_MAX;
    talk_say(c, TALK_CONNECTING, SPAN_NONE);
    loop_io_add(d->env->loop, &c->io, fd, LOOP_READ, on_ready, c);
    talk(c);
}

static void on_ready(void *ctx, int ready)
{
    struct conn *c = ctx;
    if (c->state == CONN_CONNECTING) {
        connected(c);
        return;
    }
    drive(c, ready & LOOP_READ ? on_readable : NULL);
}
