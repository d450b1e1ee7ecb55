/* What was refused for good is reported to its sender, through the same door: the report becomes a
 * file of the submission spool before the message's own goes. */
#include "pickup/inside.h"

#include "base/must.h"
#include "dsn/dsn.h"
#include "submit/where.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Those from *at on; *at moves on behind the last one looked at. */
static size_t collect(const struct mail *m, size_t *at, struct dsn_rcpt *out, size_t max)
{
    size_t n = 0;
    for (; *at < m->file.rcpt_count && n < max; (*at)++) {
        size_t i = *at;
        if (m->state[i] != MAIL_FAILED || (m->file.rcpts[i].notify & NOTIFY_NEVER))
            continue;
        struct span status = m->reply[i];
        span_word(&status); /* "550 5.1.1 text" */
        struct span code = span_word(&status);
        out[n++] = (struct dsn_rcpt){ .rcpt = &m->file.rcpts[i],
                                      .status = code,
                                      .reply = m->reply[i],
                                      .local = true,
                                      .attempts = 1,
                                      .last_attempt_ms = loop_wall_ms(m->p->env->loop) };
    }
    return n;
}

static bool compose(struct mail *m, const struct dsn_rcpt *rcpts, size_t n, struct buf *out)
{
    const struct config *cfg = m->p->config;
    struct loop *l = m->p->env->loop;
    struct envelope env = { .received_ms = (int64_t)m->st.st_mtim.tv_sec * 1000,
                            .sender = m->file.sender,
                            .envid = m->file.envid,
                            .rcpts = m->file.rcpts,
                            .rcpt_count = m->file.rcpt_count };
    char header[DSN_HEADER_MAX];
    ssize_t got = pread(m->fd, header, sizeof header, (off_t)m->head_bytes);
    struct span text = span_of(header, got > 0 ? (size_t)got : 0);
    const char *end = text.n ? memmem(text.p, text.n, "\r\n\r\n", 4) : NULL;
    if (end)
        text.n = (size_t)(end - text.p) + 2;
    struct dsn_report r = { .kind = DSN_FAILURE,
                            .env = &env,
                            .to = m->file.sender,
                            .id = queueid_make(1, loop_wall_ms(l)),
                            .hostname = cfg->hostname,
                            .postmaster = cfg->postmaster,
                            .rcpts = rcpts,
                            .rcpt_count = n,
                            .header = text,
                            .now_ms = loop_wall_ms(l),
                            .random = loop_random_u64(l) };
    struct buf body;
    uint32_t flags = 0;
    buf_init(&body, DSN_OUT_MAX);
    bool ok = dsn_compose(&r, &body, &flags);
    struct envelope_rcpt to = { .addr = m->file.sender, .notify = NOTIFY_NEVER };
    struct submit_file f = { .flags = flags & (ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8),
                             .rcpts = &to,
                             .rcpt_count = 1,
                             .size_bytes = body.len };
    ok = ok && submit_file_put(out, &f) && buf_puts(out, buf_span(&body));
    buf_free(&body);
    return ok;
}

static bool write_file(struct pickup *p, struct span bytes)
{
    struct buf path;
    struct err err;
    buf_init(&path, CONFIG_TEXT_MAX);
    submit_put_directory(&path, p->config);
    int fd = memfd_create("report", MFD_CLOEXEC);
    bool ok = fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n &&
              lseek(fd, 0, SEEK_SET) == 0 && drop_message(buf_cstr(&path), fd, 0, &err);
    if (fd >= 0)
        close(fd);
    buf_free(&path);
    return ok;
}

static void say(struct mail *m)
{
    for (size_t i = 0; i < m->file.rcpt_count; i++) {
        if (m->state[i] != MAIL_FAILED)
            continue;
        struct buf *b = log_begin(m->p->env->events, EVENT_NOTICE);
        buf_printf(b, "submission spool: %s: to=<", m->name);
        log_text(b, m->file.rcpts[i].addr, 256);
        buf_putz(b, "> refused: ");
        log_text(b, m->reply[i], 512);
        log_end(m->p->env->events);
    }
}

bool report_failures(struct mail *m)
{
    struct dsn_rcpt *rcpts = must_calloc(DSN_RCPTS_MAX, sizeof *rcpts);
    size_t at = 0, n;
    struct buf out;
    bool ok = true;
    say(m);
    buf_init(&out, DSN_OUT_MAX + 8192);
    /* The null sender is told nothing (RFC 5321 4.5.5); the log has it. */
    while (ok && m->file.sender.n && (n = collect(m, &at, rcpts, DSN_RCPTS_MAX))) {
        buf_reset(&out);
        ok = compose(m, rcpts, n, &out) && write_file(m->p, buf_span(&out));
    }
    buf_free(&out);
    free(rcpts);
    return ok;
}
