/* The connections to the admin socket. Whoever connects is asked of the kernel, and everything
 * about a connection is bounded: how many, the request, how long it may take to write it, and how
 * long not to read the answer. */
#include "control/inside.h"

#include "base/must.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

static void caller_free(struct caller *cl)
{
    struct control *c = cl->c;
    struct loop *l = c->env->loop;
    loop_io_del(l, &cl->io);
    loop_hook_cancel(&cl->write);
    loop_timer_stop(l, &cl->deadline);
    loop_close(l, cl->fd);
    list_remove(&cl->node);
    c->client_count--;
    buf_free(&cl->in);
    buf_free(&cl->out);
    free(cl);
    if (!c->listening && c->listen_fd >= 0 && !c->finishing) {
        c->listening = true;
        loop_io_want(l, &c->listen_io, LOOP_READ);
    }
    control_check_finished(c);
}

void caller_drop(struct caller *cl, const char *why)
{
    struct control *c = cl->c;
    if (why) {
        event_begin(c->env->events, EVENT_limit_reached);
        event_str(c->env->events, FIELD_text, span_str(why));
        event_str(c->env->events, FIELD_client, span_str(cl->who));
        event_end(c->env->events);
        log_line(c->env->events, EVENT_NOTICE, "admin socket: connection of %s dropped: %s",
                 cl->who, why);
    }
    if (cl->asked && !cl->ended)
        control_forget(c, cl);
    caller_free(cl);
}

struct caller *caller_find(struct control *c, uint64_t q)
{
    LIST_EACH(n, &c->clients) {
        struct caller *cl = CONTAINER(n, struct caller, node);
        if (cl->asked && !cl->ended && cl->q == q)
            return cl;
    }
    return NULL;
}

/* --- out --- */

static int want_of(const struct caller *cl)
{
    return (cl->ended || cl->eof ? 0 : LOOP_READ) | (cl->out.len ? LOOP_WRITE : 0);
}

static void ask_more(struct caller *cl)
{
    struct channel *ch = cl->c->peers[cl->at];
    struct msg_admin_more m = { .q = cl->q };
    cl->owes_more = false;
    if (ch)
        send_admin_more(ch, &m);
}

static void write_out(struct caller *cl)
{
    struct loop *l = cl->c->env->loop;
    while (cl->out.len) {
        struct span s = buf_span(&cl->out);
        ssize_t n = loop_write(l, cl->fd, s.p, s.n);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            caller_drop(cl, NULL); /* it has gone: its own affair */
            return;
        }
        buf_take(&cl->out, (size_t)n);
        loop_timer_in(l, &cl->deadline, cl->out.len ? WRITE_MS : ANSWER_MS);
    }
    if (cl->ended && !cl->out.len) {
        caller_free(cl);
        return;
    }
    loop_io_want(l, &cl->io, want_of(cl));
    if (cl->owes_more && cl->out.len < OUT_LOW)
        ask_more(cl);
}

static void on_write_hook(void *ctx) { write_out(ctx); }

void caller_alive(struct caller *cl)
{
    if (!cl->out.len)
        loop_timer_in(cl->c->env->loop, &cl->deadline, ANSWER_MS);
}

void caller_row(struct caller *cl, struct span json)
{
    buf_puts(&cl->out, json);
    buf_putc(&cl->out, '\n');
    if (cl->out.failed)
        caller_drop(cl, "its answer is longer than what may wait for it");
    else
        loop_hook_ask(cl->c->env->loop, &cl->write);
}

void caller_end(struct caller *cl, int exit, struct span text)
{
    if (cl->ended)
        return;
    cl->ended = true;
    control_put_end(&cl->out, exit, text);
    if (cl->out.failed) {
        caller_drop(cl, "its answer is longer than what may wait for it");
        return;
    }
    loop_timer_in(cl->c->env->loop, &cl->deadline, WRITE_MS);
    loop_hook_ask(cl->c->env->loop, &cl->write);
}

void caller_slice_over(struct caller *cl)
{
    cl->owes_more = true;
    loop_hook_ask(cl->c->env->loop, &cl->write);
}

/* --- in --- */

static void take_request(struct caller *cl)
{
    struct span line;
    struct control_request r;
    struct err e = { "" };
    int got = control_line(buf_span(&cl->in), &line);
    if (got == 0 && cl->eof)
        caller_drop(cl, NULL);
    if (got == 0)
        return;
    if (got < 0) {
        caller_end(cl, EX_USAGE, SPAN("the request is longer than 64 KiB"));
        return;
    }
    if (control_request_get(line, &r, &e))
        control_ask(cl->c, cl, &r);
    else
        caller_end(cl, EX_USAGE, span_str(e.text));
    control_request_free(&r);
}

/* Behind the question nothing is said but its end. */
static void take_stop(struct caller *cl, size_t n)
{
    cl->eof = n == 0;
    if (!cl->eof)
        return;
    control_stop(cl->c, cl);
    loop_hook_ask(cl->c->env->loop, &cl->write); /* settles what is waited for */
}

static void on_ready(void *ctx, int ready)
{
    struct caller *cl = ctx;
    struct loop *l = cl->c->env->loop;
    if (ready & LOOP_WRITE)
        loop_hook_ask(l, &cl->write);
    if (!(ready & LOOP_READ) || cl->eof || cl->ended)
        return;
    if (cl->asked)
        buf_reset(&cl->in);
    size_t room = CONTROL_LINE_MAX + 1 - cl->in.len;
    ssize_t n = loop_read(l, cl->fd, buf_space(&cl->in, room), room);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n < 0) {
        caller_drop(cl, NULL);
        return;
    }
    buf_added(&cl->in, (size_t)n);
    if (cl->asked) {
        take_stop(cl, (size_t)n);
        return;
    }
    cl->eof = n == 0;
    take_request(cl); /* cl may be gone */
}

static void on_deadline(void *ctx)
{
    struct caller *cl = ctx;
    if (cl->out.len || cl->ended)
        caller_drop(cl, "it did not read its answer for ten minutes");
    else if (!cl->asked)
        caller_drop(cl, "it sent no request within 10 seconds");
    else {
        control_forget(cl->c, cl);
        caller_end(cl, EX_TEMPFAIL, SPAN("no answer within a minute; the gateway may be busy"));
    }
}

/* --- who --- */

static bool may_ask(struct caller *cl)
{
    struct control *c = cl->c;
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(cl->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        snprintf(cl->who, sizeof cl->who, "somebody unknown");
        return false;
    }
    bool own = cred.uid == c->allowed[0];
    if (cred.uid == 0 || (own && c->user[0]))
        snprintf(cl->who, sizeof cl->who, "%s (pid %d)", cred.uid == 0 ? "root" : c->user,
                 (int)cred.pid);
    else
        snprintf(cl->who, sizeof cl->who, "uid %u (pid %d)", (unsigned)cred.uid, (int)cred.pid);
    return cred.uid == 0 || own || cred.uid == c->allowed[1];
}

static void refuse(struct caller *cl)
{
    struct control *c = cl->c;
    event_begin(c->env->events, EVENT_refused);
    event_str(c->env->events, FIELD_client, span_str(cl->who));
    event_str(c->env->events, FIELD_listener, SPAN("admin socket"));
    event_str(c->env->events, FIELD_reason, SPAN("not root and not the gateway's user"));
    event_end(c->env->events);
    log_line(c->env->events, EVENT_WARNING, "admin socket: %s is refused", cl->who);
    caller_end(cl, EX_NOPERM, SPAN("only root and the gateway's own user may do this"));
}

static void caller_new(struct control *c, int fd)
{
    struct caller *cl = NEW(struct caller);
    struct loop *l = c->env->loop;
    cl->c = c;
    cl->fd = fd;
    buf_init(&cl->in, CONTROL_LINE_MAX + 1);
    buf_init(&cl->out, OUT_MAX);
    loop_hook_init(&cl->write, LOOP_STAGE_CHANNEL, on_write_hook, cl);
    loop_timer_init(&cl->deadline, on_deadline, cl);
    loop_timer_in(l, &cl->deadline, REQUEST_MS);
    list_append(&c->clients, &cl->node);
    c->client_count++;
    loop_io_add(l, &cl->io, fd, LOOP_READ, on_ready, cl);
    if (!may_ask(cl))
        refuse(cl);
}

void callers_accept(struct control *c)
{
    int fd;
    while (c->client_count < CLIENTS_MAX &&
           (fd = loop_accept(c->env->loop, c->listen_fd, NULL)) >= 0)
        caller_new(c, fd);
    if (c->client_count < CLIENTS_MAX)
        return;
    /* The others wait in the kernel's queue: it is bounded too, and these deadlines are short. */
    event_begin(c->env->events, EVENT_limit_reached);
    event_str(c->env->events, FIELD_text, SPAN("connections to the admin socket; others wait"));
    event_int(c->env->events, FIELD_count, CLIENTS_MAX);
    event_end(c->env->events);
    c->listening = false;
    loop_io_want(c->env->loop, &c->listen_io, 0);
}
