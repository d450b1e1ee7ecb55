#include "cli/sink_server.h"

#include "base/must.h"
#include "base/num.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192, RCPTS_MAX_BYTES = 1 << 20, OUT_HIGH_BYTES = 64 << 10 };

enum mode { MODE_COMMAND, MODE_DATA, MODE_BDAT, MODE_STALLED };

struct conn {
    struct list node;
    struct sink *sink;
    struct loop_io io;
    enum mode mode;
    struct buf in, out; /* what is left of the last read; what could not be written yet */
    bool closing;       /* once `out` is written */
    bool deaf;          /* nothing more is read */
    struct buf sender, rcpts;
    unsigned rcpt_count;
    bool have_mail;
    bool bol, cr;       /* DATA: at the start of a line; the last byte was a CR */
    uint64_t left;      /* BDAT: octets to come */
    bool last, bdat, skip;
    uint64_t bytes;
    FILE *file;
    char *path;         /* without its ending */
};

static void conn_ready(void *ctx, int ready);

static void say(struct conn *c, const char *line)
{
    buf_putz(&c->out, line);
    buf_putz(&c->out, "\r\n");
}

/* --- the message's file: written under another name, then renamed --- */

static void file_drop(struct conn *c)
{
    if (c->file) {
        char part[4096];
        fclose(c->file);
        snprintf(part, sizeof part, "%s.part", c->path);
        unlink(part);
    }
    c->file = NULL;
    free(c->path);
    c->path = NULL;
}

static void file_open(struct conn *c)
{
    struct sink *s = c->sink;
    if (!s->opt->dir || c->file || c->skip)
        return;
    char path[4096];
    snprintf(path, sizeof path - 8, "%s/%lld-%06llu", s->opt->dir, (long long)s->started_ms,
             (unsigned long long)++s->files);
    c->path = must_strndup(path, strlen(path));
    memcpy(path + strlen(path), ".part", 6);
    c->file = fopen(path, "wbe");
    if (!c->file)
        s->trouble(s, path);
}

static bool file_done(struct conn *c, char *final, size_t size)
{
    char part[4096];
    if (!c->file)
        return c->sink->opt->dir == NULL;
    snprintf(part, sizeof part, "%s.part", c->path);
    snprintf(final, size, "%s.eml", c->path);
    bool good = !ferror(c->file); /* the disk may have had no room for a part of it */
    good &= fclose(c->file) == 0;
    c->file = NULL;
    good = good && rename(part, final) == 0;
    if (!good)
        c->sink->trouble(c->sink, final);
    free(c->path);
    c->path = NULL;
    return good;
}

static void content(struct conn *c, const char *p, size_t n)
{
    c->bytes += n;
    if (c->file && fwrite(p, 1, n, c->file) != n)
        c->sink->trouble(c->sink, c->path);
}

/* --- the transaction --- */

static void reset(struct conn *c)
{
    file_drop(c);
    buf_reset(&c->sender);
    buf_reset(&c->rcpts);
    c->have_mail = c->skip = c->bdat = false;
    c->rcpt_count = 0;
    c->bytes = 0;
}

/* What was ordered for this stage happens; true: the usual answer is not given. */
static bool fault(struct conn *c, enum sink_stage stage)
{
    static const char *const texts[SINK_STAGES] = {
        "no service here", "no service here", "hello refused", "sender refused",
        "recipient refused", "no data now", "content refused", "message refused", "stay",
    };
    int code = c->sink->opt->at[stage].code;
    switch (c->sink->opt->at[stage].fault) {
    case SINK_STALL:
        c->mode = MODE_STALLED;
        c->deaf = stage == SINK_BODY; /* so that the sender's writing stalls as well */
        return true;
    case SINK_DROP:
        c->closing = true;
        c->mode = MODE_STALLED;
        return true;
    case SINK_REFUSE:
        buf_printf(&c->out, "%d %d.0.0 %s\r\n", code, code / 100, texts[stage]);
        c->closing = c->closing || code == 421;
        return true;
    default:
        return false;
    }
}

static void end_of_message(struct conn *c)
{
    struct sink *s = c->sink;
    unsigned replies = s->opt->lmtp ? c->rcpt_count : 1;
    char file[4096] = "";
    c->mode = MODE_COMMAND;
    if (c->skip || c->rcpt_count == 0) {
        say(c, "503 5.5.1 no recipients");
    } else if (s->opt->at[SINK_DOT].fault != SINK_FINE) {
        for (unsigned i = 0; i < replies; i++)
            fault(c, SINK_DOT);
    } else if (!file_done(c, file, sizeof file)) {
        for (unsigned i = 0; i < replies; i++)
            say(c, "451 4.3.0 cannot be written");
    } else {
        s->messages++;
        s->recipients += c->rcpt_count;
        s->bytes += c->bytes;
        for (unsigned i = 0; i < replies; i++)
            buf_printf(&c->out, "250 2.0.0 OK %llu\r\n", (unsigned long long)s->messages);
        struct sink_message m = {
            .number = s->messages, .sender = buf_span(&c->sender), .rcpts = buf_span(&c->rcpts),
            .rcpt_count = c->rcpt_count, .bytes = c->bytes, .file = file[0] ? file : NULL,
            .bdat = c->bdat,
        };
        s->message(s, &m);
    }
    reset(c);
}

/* The path of MAIL or RCPT, as typed, without its brackets. */
static struct span path_of(struct span arg)
{
    size_t open = span_find(arg, '<'), close = span_rfind(arg, '>');
    if (open < close && close < arg.n)
        return span_from(span_to(arg, close), open + 1);
    arg = span_from(arg, span_find(arg, ':') + 1);
    return span_word(&arg);
}

static void on_helo(struct conn *c, struct span arg, bool extended)
{
    (void)arg;
    reset(c);
    if (fault(c, SINK_HELO))
        return;
    if (!extended)
        say(c, "250 sink");
    else
        buf_putz(&c->out, "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
                          "250-CHUNKING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n"
                          "250 SIZE 1073741824\r\n");
}

static void on_mail(struct conn *c, struct span arg)
{
    if (c->have_mail) {
        say(c, "503 5.5.1 nested MAIL");
    } else if (!fault(c, SINK_MAIL)) {
        buf_puts(&c->sender, path_of(arg));
        c->have_mail = true;
        say(c, "250 2.1.0 OK");
    }
}

static void on_rcpt(struct conn *c, struct span arg)
{
    if (!c->have_mail) {
        say(c, "503 5.5.1 MAIL first");
    } else if (!fault(c, SINK_RCPT)) {
        size_t before = c->rcpts.len;
        if (before)
            buf_putc(&c->rcpts, ',');
        buf_putc(&c->rcpts, '<');
        buf_puts(&c->rcpts, path_of(arg));
        buf_putc(&c->rcpts, '>');
        if (c->rcpts.failed) {
            c->rcpts.failed = false;
            buf_cut(&c->rcpts, before);
            say(c, "452 4.5.3 too many recipients");
            return;
        }
        c->rcpt_count++;
        say(c, "250 2.1.5 OK");
    }
}

static void begin_content(struct conn *c, enum mode mode)
{
    c->mode = mode;
    c->bol = true;
    c->cr = false;
    file_open(c);
}

static void on_data(struct conn *c)
{
    if (c->rcpt_count == 0)
        say(c, "503 5.5.1 no recipients");
    else if (!fault(c, SINK_DATA)) {
        say(c, "354 Enter mail, end with \".\" on a line by itself");
        begin_content(c, MODE_DATA);
    }
}

static void on_bdat(struct conn *c, struct span arg)
{
    uint64_t n;
    bool numbered = num_u64(span_word(&arg), &n);
    if (!numbered) { /* where commands begin again cannot be known */
        say(c, "501 5.5.4 how many octets?");
        c->closing = true;
        c->mode = MODE_STALLED;
        return;
    }
    c->left = n;
    c->last = span_ieq(span_trim(arg), SPAN("LAST"));
    c->skip = c->skip || c->rcpt_count == 0;
    c->bdat = true;
    begin_content(c, MODE_BDAT);
}

static void on_quit(struct conn *c)
{
    if (!fault(c, SINK_QUIT)) {
        say(c, "221 2.0.0 bye");
        c->closing = true;
    }
}

static void command(struct conn *c, struct span line)
{
    struct span verb = span_to(line, 4), arg = span_from(line, 5);
    if (span_ieq(verb, SPAN("MAIL")))
        on_mail(c, arg);
    else if (span_ieq(verb, SPAN("RCPT")))
        on_rcpt(c, arg);
    else if (span_ieq(verb, SPAN("DATA")))
        on_data(c);
    else if (span_ieq(verb, SPAN("BDAT")))
        on_bdat(c, arg);
    else if (span_ieq(verb, c->sink->opt->lmtp ? SPAN("LHLO") : SPAN("EHLO")))
        on_helo(c, arg, true);
    else if (span_ieq(verb, SPAN("HELO")) && !c->sink->opt->lmtp)
        on_helo(c, arg, false);
    else if (span_ieq(verb, SPAN("QUIT")))
        on_quit(c);
    else if (span_ieq(verb, SPAN("RSET"))) {
        reset(c);
        say(c, "250 2.0.0 OK");
    } else if (span_ieq(verb, SPAN("NOOP")))
        say(c, "250 2.0.0 OK");
    else if (span_ieq(verb, SPAN("VRFY")))
        say(c, "252 2.1.5 ask it and see");
    else
        say(c, "500 5.5.1 command unrecognized");
}

/* --- bytes: each returns how many of `in` it consumed; 0: more are needed --- */

static size_t take_command(struct conn *c, struct span in)
{
    size_t n = span_find(in, '\n');
    if (n < in.n) {
        size_t end = n && in.p[n - 1] == '\r' ? n - 1 : n;
        command(c, span_to(in, end));
        return n + 1;
    }
    if (in.n > LINE_MAX_BYTES) {
        say(c, "500 5.5.2 line too long");
        c->closing = true;
        c->mode = MODE_STALLED;
        return in.n;
    }
    return 0;
}

/* Up to the next true line end; a dot at the start of a line is one byte less, or the end.
 * Only CRLF makes a line, whatever else goes by. */
static size_t take_line(struct conn *c, struct span in)
{
    size_t skip = 0;
    if (c->bol && in.p[0] == '.') {
        if (in.n < 3 && (in.n < 2 || in.p[1] == '\r'))
            return 0;
        if (in.p[1] == '\r' && in.p[2] == '\n') {
            end_of_message(c);
            return 3;
        }
        skip = 1;
    }
    size_t n = skip;
    bool cr = skip ? false : c->cr, found = false;
    while (!found && n < in.n) {
        n += span_find(span_from(in, n), '\n');
        if (n < in.n) {
            found = n > skip ? in.p[n - 1] == '\r' : cr;
            n++;
        }
    }
    content(c, in.p + skip, n - skip);
    c->bol = found;
    c->cr = n > skip && in.p[n - 1] == '\r';
    return n;
}

static size_t take_octets(struct conn *c, struct span in)
{
    size_t n = in.n < c->left ? in.n : (size_t)c->left;
    content(c, in.p, n);
    c->left -= n;
    return n;
}

static bool body_fault(struct conn *c)
{
    return (c->mode == MODE_DATA || c->left) && c->sink->opt->at[SINK_BODY].fault != SINK_FINE &&
           fault(c, SINK_BODY);
}

static size_t consume(struct conn *c, struct span in)
{
    size_t used = 0;
    while (used < in.n && !c->closing) {
        struct span rest = span_from(in, used);
        size_t n = 0;
        if ((c->mode == MODE_DATA || c->mode == MODE_BDAT) && body_fault(c)) {
            c->closing = c->closing || c->mode != MODE_STALLED; /* a refusal in mid-content */
            return in.n;
        }
        if (c->mode == MODE_COMMAND)
            n = take_command(c, rest);
        else if (c->mode == MODE_DATA)
            n = take_line(c, rest);
        else if (c->mode == MODE_BDAT)
            n = take_octets(c, rest);
        else
            return in.n;
        used += n;
        if (c->mode == MODE_BDAT && c->left == 0 && c->last) {
            end_of_message(c);
        } else if (c->mode == MODE_BDAT && c->left == 0) {
            say(c, c->skip ? "503 5.5.1 no recipients" : "250 2.0.0 octets taken");
            c->mode = MODE_COMMAND;
        } else if (n == 0) {
            break;
        }
    }
    return c->closing ? in.n : used;
}

/* --- connections --- */

static void conn_free(struct conn *c)
{
    struct loop *l = c->sink->loop;
    int fd = c->io.fd;
    loop_io_del(l, &c->io);
    loop_close(l, fd);
    list_remove(&c->node);
    file_drop(c);
    buf_free(&c->in);
    buf_free(&c->out);
    buf_free(&c->sender);
    buf_free(&c->rcpts);
    free(c);
}

/* False: the connection is gone. */
static bool conn_write(struct conn *c)
{
    struct sink *s = c->sink;
    while (c->out.len) {
        struct span o = buf_span(&c->out);
        ssize_t n = loop_write(s->loop, c->io.fd, o.p, o.n);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            conn_free(c);
            return false;
        }
        buf_take(&c->out, (size_t)n);
    }
    bool done = s->opt->count && s->messages >= s->opt->count && c->out.len == 0;
    if (done)
        loop_stop(s->loop);
    if (c->closing && c->out.len == 0) {
        conn_free(c);
        return false;
    }
    int want = (c->out.len ? LOOP_WRITE : 0) |
               (c->out.len < OUT_HIGH_BYTES && !c->closing && !c->deaf ? LOOP_READ : 0);
    if (want != c->io.want)
        loop_io_want(s->loop, &c->io, want);
    return true;
}

static void conn_input(struct conn *c, struct span in)
{
    size_t used;
    if (c->in.len) {
        buf_puts(&c->in, in);
        used = consume(c, buf_span(&c->in));
        buf_take(&c->in, used);
    } else {
        used = consume(c, in);
        buf_puts(&c->in, span_from(in, used));
    }
    MUST(!c->in.failed); /* what is left over is shorter than a command line may be */
}

static void conn_ready(void *ctx, int ready)
{
    struct conn *c = ctx;
    struct sink *s = c->sink;
    if (ready & LOOP_READ) {
        ssize_t n = loop_read(s->loop, c->io.fd, s->input, sizeof s->input);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) {
            conn_free(c);
            return;
        }
        if (n > 0)
            conn_input(c, span_of(s->input, (size_t)n));
    }
    conn_write(c);
}

static void conn_new(struct sink *s, int fd)
{
    struct conn *c = NEW(struct conn);
    c->sink = s;
    buf_init(&c->in, sizeof s->input + LINE_MAX_BYTES + 8);
    buf_init(&c->out, 16 << 20);
    buf_init(&c->sender, LINE_MAX_BYTES);
    buf_init(&c->rcpts, RCPTS_MAX_BYTES);
    list_append(&s->conns, &c->node);
    s->connections++;
    loop_io_add(s->loop, &c->io, fd, LOOP_READ, conn_ready, c);
    if (fault(c, SINK_CONNECT) || fault(c, SINK_GREETING))
        c->closing = c->closing || c->mode != MODE_STALLED;
    else
        say(c, s->opt->lmtp ? "220 sink LMTP" : "220 sink ESMTP");
    conn_write(c);
}

static void accept_ready(void *ctx, int ready)
{
    struct sink *s = ctx;
    (void)ready;
    for (int fd; (fd = loop_accept(s->loop, s->fd, NULL)) >= 0;)
        conn_new(s, fd);
}

bool sink_open(struct sink *s, struct err *e)
{
    list_init(&s->conns);
    s->started_ms = loop_wall_ms(s->loop);
    s->fd = loop_listen(s->loop, &s->opt->listen, 1024, e);
    if (s->fd < 0)
        return false;
    bool deaf = s->opt->at[SINK_CONNECT].fault == SINK_STALL; /* connections pile up unaccepted */
    loop_io_add(s->loop, &s->listener, s->fd, deaf ? 0 : LOOP_READ, accept_ready, s);
    return true;
}

void sink_close(struct sink *s)
{
    LIST_EACH(node, &s->conns)
        conn_free(CONTAINER(node, struct conn, node));
    loop_io_del(s->loop, &s->listener);
    loop_close(s->loop, s->fd);
}
