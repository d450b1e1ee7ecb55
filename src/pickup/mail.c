/* One file of the submission spool on its way to smtpd. It is removed when each of its recipients
 * was taken or reported, and not before. */
#include "pickup/inside.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_MAX = 64 << 20, REPLY_MAX = 1000 };

static int64_t now_of(const struct mail *m) { return loop_mono_ms(m->p->env->loop); }

static void hang_up(struct mail *m)
{
    struct loop *l = m->p->env->loop;
    smtp_client_free(&m->client);
    loop_timer_stop(l, &m->timer);
    loop_io_del(l, &m->io);
    if (m->socket >= 0)
        loop_close(l, m->socket);
    m->socket = -1;
}

void mail_free(struct mail *m)
{
    hash_remove(&m->p->names, &m->by_name);
    hang_up(m);
    if (m->fd >= 0)
        close(m->fd);
    arena_free(&m->arena);
    buf_free(&m->head);
    free(m->state);
    free(m->reply);
    free(m->now);
    free(m->at);
    free(m);
}

/* Out of the list of those on their way; freed when nothing looks at it any more. */
static void end(struct mail *m)
{
    struct pickup *p = m->p;
    list_remove(&m->node);
    p->sending_count--;
    list_append(&p->ended, &m->node);
    pickup_work(p);
}

/* It stays on disk. What is known about its recipients is kept, within bounds. */
static void put_off(struct mail *m)
{
    struct pickup *p = m->p;
    hang_up(m);
    p->retry_ms = !p->retry_ms ? AWAY_MS : p->retry_ms < SCAN_MS / 2 ? 2 * p->retry_ms : SCAN_MS;
    loop_timer_in(p->env->loop, &p->scan, p->retry_ms);
    if (!m->partly || p->partly_count >= PARTLY_MAX) {
        end(m);
        return;
    }
    list_remove(&m->node);
    p->sending_count--;
    list_append(&p->partly, &m->node);
    p->partly_count++;
    pickup_work(p);
}

static void set_aside(struct mail *m, const char *why)
{
    scan_set_aside(m->p, m->name, why);
    end(m);
}

/* --- reading the file --- */

static int read_head(struct mail *m, const char **why_r)
{
    buf_init(&m->head, SUBMIT_HEAD_MAX + CONTENT_BYTES);
    m->arena = arena_new(ARENA_MAX);
    for (;;) {
        char *to = buf_space(&m->head, CONTENT_BYTES);
        ssize_t n = to ? read(m->fd, to, CONTENT_BYTES) : 0;
        if (n <= 0) {
            *why_r = n < 0 ? "cannot be read" : "its head does not end";
            return -1;
        }
        buf_added(&m->head, (size_t)n);
        arena_reset(m->arena);
        int got = submit_file_get(buf_span(&m->head), m->arena, &m->file, &m->head_bytes, why_r);
        if (got != 0)
            return got;
    }
}

static bool open_file(struct mail *m, const char **why_r)
{
    m->fd = openat(m->p->dir, m->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (m->fd < 0 || fstat(m->fd, &m->st) != 0) {
        *why_r = errno == ENOENT ? NULL : strerror(errno);
        return false;
    }
    if (!S_ISREG(m->st.st_mode) || m->st.st_nlink != 1) {
        *why_r = "not a file of its own";
        return false;
    }
    if (read_head(m, why_r) < 0)
        return false;
    if ((uint64_t)m->st.st_size != m->head_bytes + m->file.size_bytes) {
        *why_r = "its size is not what it says";
        return false;
    }
    size_t n = m->file.rcpt_count;
    m->state = must_calloc(n, sizeof *m->state);
    m->reply = must_calloc(n, sizeof *m->reply);
    m->now = must_calloc(n, sizeof *m->now);
    m->at = must_calloc(n, sizeof *m->at);
    return true;
}

/* --- the engine's events --- */

static void on_want(void *ctx, size_t budget)
{
    struct mail *m = ctx;
    char bytes[CONTENT_BYTES];
    uint64_t left = m->file.size_bytes - m->sent_bytes;
    do {
        size_t n = budget < sizeof bytes ? budget : sizeof bytes;
        n = left < n ? (size_t)left : n;
        ssize_t got = pread(m->fd, bytes, n, (off_t)(m->head_bytes + m->sent_bytes));
        if (got < 0 || (got == 0 && n)) {
            smtp_client_content_failed(m->client, SPAN("the file cannot be read"), now_of(m));
            return;
        }
        m->sent_bytes += (uint64_t)got;
        left -= (uint64_t)got;
        budget -= (size_t)got;
        smtp_client_content(m->client, span_of(bytes, (size_t)got), left == 0, now_of(m));
    } while (left && budget);
}

static void say_later(struct mail *m, const struct smtp_outcome *o)
{
    struct buf *b = log_begin(m->p->env->events, EVENT_NOTICE);
    buf_printf(b, "submission spool: %s waits: ", m->name);
    log_text(b, o->reply.n ? o->reply : o->text, REPLY_MAX);
    log_end(m->p->env->events);
}

static void on_rcpt_done(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct mail *m = ctx;
    size_t at = m->at[i];
    if (o->result == SMTP_DELIVERED) {
        m->state[at] = MAIL_DONE;
        m->partly = true;
    } else if (o->result == SMTP_FAILED) {
        m->state[at] = MAIL_FAILED;
        m->reply[at] = arena_dup(m->arena, span_to(o->reply.n ? o->reply : o->text, REPLY_MAX));
        m->partly = true;
    } else if (o->again) {
        m->again = true;
    } else {
        m->later = true;
        say_later(m, o);
    }
}

static void on_message_done(void *ctx) { ((struct mail *)ctx)->over = true; }

static void on_closed(void *ctx, const struct smtp_outcome *why)
{
    struct mail *m = ctx;
    m->later = m->later || (why && !m->over);
    m->over = true;
}

static const struct smtp_client_ops client_ops = { .want_content = on_want,
                                                   .rcpt_done = on_rcpt_done,
                                                   .message_done = on_message_done,
                                                   .closed = on_closed };

/* --- the session --- */

static bool any_open(const struct mail *m)
{
    for (size_t i = 0; i < m->file.rcpt_count; i++)
        if (m->state[i] == MAIL_OPEN)
            return true;
    return false;
}

/* Reports first, the file's end then: a crash between costs a second report, never a word. */
static void settle(struct mail *m)
{
    struct pickup *p = m->p;
    hang_up(m);
    if (any_open(m) && m->again && !m->later) {
        mail_begin(m);
        return;
    }
    if (any_open(m) || !report_failures(m)) {
        put_off(m);
        return;
    }
    if (unlinkat(p->dir, m->name, 0) != 0 && errno != ENOENT)
        log_line(p->env->events, EVENT_ALARM, "submission spool: %s cannot be removed: %s",
                 m->name, strerror(errno));
    else
        fsync(p->dir); /* or it may come back and be sent once more */
    p->retry_ms = 0;
    end(m);
}

static void pump(struct mail *m)
{
    struct loop *l = m->p->env->loop;
    for (;;) {
        struct span out = smtp_client_output(m->client);
        if (!out.n || m->over)
            break;
        ssize_t n = loop_write(l, m->socket, out.p, out.n);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0)
            smtp_client_eof(m->client, span_str(strerror(errno)), now_of(m));
        else
            smtp_client_sent(m->client, (size_t)n, now_of(m));
    }
    if (m->over) {
        settle(m);
        return;
    }
    bool more = smtp_client_output(m->client).n > 0;
    loop_io_want(l, &m->io, LOOP_READ | (more ? LOOP_WRITE : 0));
    int64_t at = smtp_client_deadline(m->client);
    if (at != INT64_MAX)
        loop_timer_at(l, &m->timer, at);
}

static void on_ready(void *ctx, int ready)
{
    struct mail *m = ctx;
    char bytes[16384];
    if (ready & LOOP_READ) {
        ssize_t n = loop_read(m->p->env->loop, m->socket, bytes, sizeof bytes);
        if (n > 0)
            smtp_client_input(m->client, span_of(bytes, (size_t)n), now_of(m));
        else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            smtp_client_eof(m->client, SPAN_NONE, now_of(m));
    }
    pump(m);
}

static void on_timer(void *ctx)
{
    struct mail *m = ctx;
    smtp_client_tick(m->client, now_of(m));
    pump(m);
}

static void connect_to_smtpd(struct mail *m)
{
    struct pickup *p = m->p;
    int fds[2];
    if (loop_pair(p->env->loop, fds) != 0 || !pickup_hand_over(p, fds[1], m->st.st_uid)) {
        put_off(m);
        return;
    }
    m->socket = fds[0];
    loop_timer_init(&m->timer, on_timer, m);
    m->client = smtp_client_new(&p->client, SPAN("smtpd"), &client_ops, m, now_of(m));
    struct smtp_message msg = { .sender = m->file.sender, .rcpts = m->now,
                                .rcpt_count = m->now_count, .size_bytes = m->file.size_bytes,
                                .flags = m->file.flags, .envid = m->file.envid, .quit = true };
    MUST(smtp_client_send(m->client, &msg, now_of(m)));
    loop_io_add(p->env->loop, &m->io, m->socket, LOOP_READ, on_ready, m);
    pump(m);
}

void mail_begin(struct mail *m)
{
    const char *why = NULL;
    if (m->fd < 0 && !open_file(m, &why)) {
        if (why)
            set_aside(m, why);
        else
            end(m);
        return;
    }
    m->over = m->again = m->later = false;
    m->sent_bytes = m->now_count = 0;
    for (size_t i = 0; i < m->file.rcpt_count; i++)
        if (m->state[i] == MAIL_OPEN) {
            m->at[m->now_count] = i;
            m->now[m->now_count++] = m->file.rcpts[i];
        }
    connect_to_smtpd(m);
}
