/* LMTP with deliver, one message for one recipient. Its commands are few because its peer is
 * our own client; its replies are the outcome. Content is held until its header is complete (a
 * loop is found before anything is written), then streamed. */
#include "local/inside.h"

#include "base/must.h"
#include "smtp/line.h"
#include "smtp/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_MAX = 16 << 10, LINE_MAX_BYTES = 4096, READ_BYTES = 32 << 10 };

static void pump(struct local *l);

static void say(struct local *l, unsigned code, const char *enhanced, struct span text)
{
    struct reply r = { .code = (unsigned short)code, .text = text };
    size_t n = strlen(enhanced);
    memcpy(r.enhanced, enhanced, n < sizeof r.enhanced ? n + 1 : 0);
    reply_put(&l->out, &r, true);
}

/* --- the outlet --- */

static struct outlet *make_outlet(struct local *l)
{
    struct loop *loop = l->env->loop;
    struct buf from;
    struct outlet *o;
    buf_init(&from, PRELUDE_MAX);
    prelude_from_line(l, &from);
    if (l->how.kind == DELIVERY_MAILDIR) {
        struct span host = arena_dup(l->arena, l->config->hostname);
        o = maildir_new(loop, l->path.p, host.p);
    } else if (l->how.kind == DELIVERY_MBOX) {
        o = mbox_new(loop, l->path.p, buf_cstr(&from), l->config->local.lock_wait_ms);
    } else {
        prelude_environment(l);
        o = program_new(loop, l->words, l->environ, l->user.home[0] ? l->user.home : "/",
                        arena_dup(l->arena, buf_span(&from)).p);
    }
    buf_free(&from);
    return o;
}

static bool make_words(struct local *l)
{
    struct delivery_names n = { span_str(l->user.name), l->job.detail, span_str(l->user.home),
                                span_str(l->sender) };
    struct err e;
    bool own = l->job.kind == LOCAL_PROGRAM;
    struct span command = own ? l->job.target : l->how.rest;
    if (delivery_command(command, own ? NULL : &n, l->arena, l->words, &e))
        return true;
    local_refuse(l, 550, "5.3.5", "the program cannot be run: %s", e.text);
    return false;
}

static void write_head(struct local *l)
{
    struct buf b;
    buf_init(&b, PRELUDE_MAX);
    prelude_put(l, &b);
    outlet_write(l->outlet, buf_span(&b));
    outlet_write(l->outlet, buf_span(&l->head));
    buf_free(&b);
    buf_free(&l->head);
}

static void on_changed(void *ctx)
{
    struct local *l = ctx;
    if (l->head.len)
        write_head(l);
    if (l->ended && !l->scan.bad)
        outlet_finish(l->outlet);
    pump(l);
}

static void open_outlet(struct local *l)
{
    l->header_over = true;
    if (prelude_seen(l, buf_span(&l->head)))
        local_refuse(l, 554, "5.4.6", "Mail loop: this message has been delivered to <%.*s> before",
                     SPAN_ARG(span_to(l->job.rcpt, 200)));
    if (!l->code && l->how.kind == DELIVERY_PROGRAM)
        make_words(l);
    if (l->code)
        return;
    l->outlet = make_outlet(l);
    l->outlet->changed = on_changed;
    l->outlet->ctx = l;
    outlet_open(l->outlet);
    if (l->outlet->state == OUTLET_OPEN)
        write_head(l);
}

/* --- content --- */

static bool header_complete(const struct buf *head)
{
    struct span s = buf_span(head);
    return head->len >= HEADER_MAX - IN_MAX || span_starts(s, SPAN("\n")) ||
           (s.n && memmem(s.p, s.n, "\n\n", 2));
}

/* SMTP's line ends become those of the system. A CR whose LF is in the next piece is only known
 * then, and data_scan keeps such a pair together. */
static struct span to_lf(struct local *l, struct span piece)
{
    buf_reset(&l->lf);
    while (piece.n) {
        size_t n = span_find(piece, '\r');
        buf_puts(&l->lf, span_to(piece, n));
        piece = span_from(piece, n + 1);
    }
    return buf_span(&l->lf);
}

static void content(struct local *l, struct span piece)
{
    struct span text = to_lf(l, piece);
    if (l->header_over) {
        if (l->outlet)
            outlet_write(l->outlet, text);
        return;
    }
    buf_puts(&l->head, text);
    if (header_complete(&l->head))
        open_outlet(l);
}

static void content_over(struct local *l)
{
    l->ended = true;
    l->state = SESSION_WAIT;
    if (l->scan.bad)
        local_refuse(l, 554, "5.6.0", "the content has a bare CR or LF");
    if (!l->header_over)
        open_outlet(l);
    if (l->outlet && !l->scan.bad)
        outlet_finish(l->outlet);
}

static bool may_take(const struct local *l)
{
    return !l->outlet || l->outlet->state == OUTLET_DONE ||
           (l->outlet->state == OUTLET_OPEN && !l->outlet->full);
}

static bool take_content(struct local *l)
{
    size_t used;
    struct span piece;
    if (!l->in.len || !may_take(l))
        return false;
    int rc = data_scan_next(&l->scan, buf_span(&l->in), &used, &piece);
    content(l, piece);
    buf_take(&l->in, used);
    if (rc == 1)
        content_over(l);
    return true;
}

/* RFC 2033 4.2: the one recipient's reply. */
static bool settle(struct local *l)
{
    const struct outlet *o = l->outlet;
    if (l->code)
        say(l, l->code, l->enhanced, span_str(l->text));
    else if (o && o->state == OUTLET_DONE)
        say(l, o->code, o->enhanced, span_str(o->text));
    else
        return false;
    outlet_free(&l->outlet);
    l->have_mail = l->have_rcpt = false;
    l->state = SESSION_COMMANDS;
    if (!l->code) /* one delivery, one process */
        local_refuse(l, 451, "4.3.0", "this process has done its delivery");
    loop_timer_stop(l->env->loop, &l->deadline);
    return true;
}

/* --- commands --- */

static void cmd_lhlo(struct local *l)
{
    buf_putz(&l->out, "250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
                      "250 ENHANCEDSTATUSCODES\r\n");
}

static void cmd_mail(struct local *l, struct span line)
{
    size_t from = span_find(line, '<'), to = span_rfind(line, '>');
    size_t end = span_find(span_from(line, from), '>') + from;
    /* A quoted local part may hold a ">": the path ends at the last one before the parameters. */
    if (to < line.n && to > end && span_find(span_from(line, end), ' ') + end > to)
        end = to;
    if (from >= line.n || end >= line.n || l->have_mail) {
        say(l, 501, "5.5.4", SPAN("MAIL FROM:<address> once"));
        return;
    }
    free(l->sender);
    l->sender = must_strndup(line.p + from + 1, end - from - 1);
    l->have_mail = true;
    say(l, 250, "2.1.0", SPAN("Sender ok"));
}

static void cmd_rcpt(struct local *l)
{
    if (!l->have_mail)
        say(l, 503, "5.5.1", SPAN("MAIL first"));
    else if (l->have_rcpt)
        say(l, 452, "4.5.3", SPAN("One recipient at a time"));
    else if (l->code)
        say(l, l->code, l->enhanced, span_str(l->text));
    else
        say(l, 250, "2.1.5", SPAN("Recipient ok"));
    l->have_rcpt = l->have_rcpt || (l->have_mail && !l->code);
}

static void cmd_data(struct local *l)
{
    if (!l->have_rcpt) {
        say(l, 503, "5.5.1", SPAN("No valid recipients"));
        return;
    }
    data_scan_init(&l->scan, DATA_REJECT, true);
    l->header_over = l->ended = false;
    buf_init(&l->head, HEADER_MAX);
    l->state = SESSION_CONTENT;
    say(l, 354, "", SPAN("Go ahead"));
}

static void command(struct local *l, struct span line)
{
    struct span rest = line, verb = span_word(&rest);
    if (span_ieq(verb, SPAN("LHLO"))) {
        cmd_lhlo(l);
    } else if (span_ieq(verb, SPAN("MAIL"))) {
        cmd_mail(l, line);
    } else if (span_ieq(verb, SPAN("RCPT"))) {
        cmd_rcpt(l);
    } else if (span_ieq(verb, SPAN("DATA"))) {
        cmd_data(l);
    } else if (span_ieq(verb, SPAN("RSET")) || span_ieq(verb, SPAN("NOOP"))) {
        l->have_mail = l->have_mail && span_ieq(verb, SPAN("NOOP"));
        l->have_rcpt = l->have_rcpt && l->have_mail;
        say(l, 250, "2.0.0", SPAN("OK"));
    } else if (span_ieq(verb, SPAN("QUIT"))) {
        say(l, 221, "2.0.0", SPAN("Bye"));
        l->state = SESSION_OVER;
    } else {
        say(l, 500, "5.5.1", SPAN("Command unknown"));
    }
}

static bool take_command(struct local *l)
{
    size_t used;
    struct span line;
    if (!l->in.len)
        return false;
    int rc = line_take(&l->line, buf_span(&l->in), &used, &line);
    if (rc < 0) {
        l->state = SESSION_OVER;
        return true;
    }
    if (rc > 0)
        command(l, line);
    buf_take(&l->in, used);
    if (rc > 0)
        buf_reset(&l->line);
    return rc > 0;
}

/* --- bytes --- */

static bool write_out(struct local *l)
{
    while (l->out.len) {
        struct span out = buf_span(&l->out);
        ssize_t n = loop_write(l->env->loop, l->fd, out.p, out.n);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_take(&l->out, (size_t)n);
    }
    return true;
}

static bool step(struct local *l)
{
    switch (l->state) {
    case SESSION_COMMANDS: return take_command(l);
    case SESSION_CONTENT: return take_content(l);
    case SESSION_WAIT: return settle(l);
    default: return false;
    }
}

/* A client that has gone leaves a message whose end never came, or an outcome nobody hears: what
 * a program has been given whole it may still finish. */
static bool is_over(const struct local *l)
{
    if (l->state == SESSION_OVER)
        return l->out.len == 0 || l->peer_gone;
    return l->peer_gone && l->state != SESSION_WAIT;
}

static void pump(struct local *l)
{
    while (step(l))
        ;
    if (!write_out(l))
        l->peer_gone = true;
    if (is_over(l)) {
        local_over(l);
        return;
    }
    bool room = !l->peer_gone && l->in.len < IN_MAX / 2;
    loop_io_want(l->env->loop, &l->io, (room ? LOOP_READ : 0) |
                 (l->out.len && !l->peer_gone ? LOOP_WRITE : 0));
}

static void on_ready(void *ctx, int ready)
{
    struct local *l = ctx;
    char *to = ready & LOOP_READ ? buf_space(&l->in, READ_BYTES) : NULL;
    if (to) {
        ssize_t n = loop_read(l->env->loop, l->fd, to, READ_BYTES);
        if (n > 0)
            buf_added(&l->in, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            l->peer_gone = true;
    }
    pump(l);
}

static void on_deadline(void *ctx)
{
    struct local *l = ctx;
    bool waiting = l->state == SESSION_WAIT;
    outlet_free(&l->outlet);
    local_refuse(l, 451, "4.3.0", "the delivery took longer than local.timeout");
    l->header_over = true;
    if (!waiting) /* its client sends nothing, or not enough */
        l->state = SESSION_OVER;
    pump(l);
}

/* What cannot be delivered is said instead of a greeting: nothing is read then. */
void lmtp_begin(struct local *l)
{
    buf_init(&l->in, IN_MAX);
    buf_init(&l->out, OUT_MAX);
    buf_init(&l->line, LINE_MAX_BYTES);
    buf_init(&l->lf, IN_MAX);
    l->sender = must_strndup("", 0);
    loop_io_add(l->env->loop, &l->io, l->fd, LOOP_READ, on_ready, l);
    loop_timer_init(&l->deadline, on_deadline, l);
    loop_timer_in(l->env->loop, &l->deadline, l->config->local.timeout_ms);
    if (l->code)
        say(l, l->code, l->enhanced, span_str(l->text));
    else
        say(l, 220, "", SPAN("localhost LMTP Postern"));
    if (l->code)
        l->state = SESSION_OVER;
    pump(l);
}

void lmtp_free(struct local *l)
{
    outlet_free(&l->outlet);
    loop_timer_stop(l->env->loop, &l->deadline);
    buf_free(&l->in);
    buf_free(&l->out);
    buf_free(&l->line);
    buf_free(&l->head);
    buf_free(&l->lf);
    free(l->sender);
}
