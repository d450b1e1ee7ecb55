/* -bs: SMTP on standard input and output, spoken by the gateway behind its submission socket. We
 * pass commands on one at a time, each when the one before was answered: so a dialogue that comes
 * all at once from a file works (sendmail refuses it), lines may end in LF, and the message ends at
 * a line of a single dot. When the gateway is away a small server of our own takes the mail into
 * the submission spool (sendmail_bs_away.c). */
#include "cli/sendmail_bs.h"
#include "cli/sendmail_letter.h"

#include "base/num.h"
#include "smtp/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 20 };

static bool write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno != EINTR)
            return false;
        p += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

static void flush_out(struct talk *t)
{
    t->gone = t->gone || !write_all(t->fd, t->out.bytes, t->out.n);
    t->out.n = 0;
}

static void put(struct talk *t, struct span s)
{
    while (s.n) {
        size_t n = sizeof t->out.bytes - t->out.n;
        n = s.n < n ? s.n : n;
        memcpy(t->out.bytes + t->out.n, s.p, n);
        t->out.n += n;
        s = span_from(s, n);
        if (t->out.n == sizeof t->out.bytes)
            flush_out(t);
    }
}

/* Shows a whole reply and notes its code; false: there is none any more. */
static bool hear(struct talk *t)
{
    for (;;) {
        struct span have = buf_span(&t->reply);
        size_t lf = span_find(have, '\n');
        if (lf < have.n) {
            struct span line = span_to(have, lf + 1);
            uint64_t code = 0;
            bool last = !num_u64(span_to(line, 3), &code) || line.n < 4 || line.p[3] != '-';
            t->gone = t->gone || !write_all(STDOUT_FILENO, line.p, line.n);
            buf_take(&t->reply, lf + 1);
            if (!last)
                continue;
            t->code = (int)code;
            return true;
        }
        char bytes[READ_BYTES];
        ssize_t n = read(t->fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !buf_put(&t->reply, bytes, (size_t)n))
            return false;
    }
}

static bool more_input(struct talk *t)
{
    char bytes[READ_BYTES];
    ssize_t n;
    do
        n = read(STDIN_FILENO, bytes, sizeof bytes);
    while (n < 0 && errno == EINTR);
    t->eof = n <= 0;
    return !t->eof && buf_put(&t->in, bytes, (size_t)n);
}

bool bs_line(struct talk *t, struct span *line_r, size_t *taken_r)
{
    size_t lf;
    while ((lf = span_find(buf_span(&t->in), '\n')) == t->in.len)
        if (t->eof || !more_input(t)) {
            if (!t->in.len)
                return false;
            break;
        }
    *taken_r = lf < t->in.len ? lf + 1 : lf;
    struct span line = span_to(buf_span(&t->in), lf);
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    *line_r = line;
    return true;
}

static void pass_content(struct talk *t)
{
    struct span line;
    size_t taken;
    bool dot = false;
    while (!dot && !t->gone && bs_line(t, &line, &taken)) {
        dot = span_eq(line, SPAN("."));
        put(t, line);
        put(t, SPAN("\r\n"));
        buf_take(&t->in, taken);
    }
    t->gone = t->gone || !dot; /* an input that breaks off is no message */
    flush_out(t);
}

static void pass_chunk(struct talk *t, uint64_t left)
{
    while (left && !t->gone) {
        if (!t->in.len && !more_input(t)) {
            t->gone = true;
            return;
        }
        struct span some = span_to(buf_span(&t->in), left);
        put(t, some);
        left -= some.n;
        buf_take(&t->in, some.n);
    }
    flush_out(t);
}

static void converse(struct talk *t)
{
    struct span line;
    size_t taken;
    bool quit = false;
    if (!hear(t) || t->code / 100 != 2)
        return;
    while (!quit && !t->gone && bs_line(t, &line, &taken)) {
        struct command c = command_read(line);
        uint64_t octets = 0;
        bool last, chunk = c.verb == COMMAND_BDAT && command_bdat(c.arg, &octets, &last) > 0;
        quit = c.verb == COMMAND_QUIT;
        put(t, line);
        put(t, SPAN("\r\n"));
        flush_out(t);
        buf_take(&t->in, taken);
        if (chunk)
            pass_chunk(t, octets);
        if (t->gone || !hear(t)) /* of a chunk that broke off nothing is heard */
            return;
        if (c.verb == COMMAND_DATA && t->code == 354) {
            pass_content(t);
            if (t->gone || !hear(t))
                return;
        }
        quit = quit || t->code == 421;
    }
}

static int connect_to(const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    size_t n = strlen(path);
    int fd = n < sizeof sa.sun_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return -1;
    memcpy(sa.sun_path, path, n + 1);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    close(fd);
    return -1;
}

int sendmail_bs(const struct sendmail_flags *f)
{
    struct sendmail_conf conf;
    struct talk t = { .fd = -1 };
    int rc = sendmail_conf_load(&conf, f);
    if (rc != EX_OK)
        return rc;
    buf_init(&t.in, LINE_MAX_BYTES);
    buf_init(&t.reply, LINE_MAX_BYTES);
    t.fd = connect_to(conf.socket);
    if (t.fd < 0)
        bs_away(&t, f, &conf);
    else
        converse(&t);
    fflush(stdout);
    if (t.fd >= 0)
        close(t.fd);
    buf_free(&t.in);
    buf_free(&t.reply);
    sendmail_conf_free(&conf);
    return EX_OK;
}
