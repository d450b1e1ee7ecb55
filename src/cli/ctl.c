#include "cli/ctl.h"

#include "base/json.h"
#include "base/num.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16 << 20, READ_BYTES = 64 << 10, ANSWER_MS = 90 * 1000, STOP_MS = 3000 };

/* --- connecting --- */

static int cannot_connect(const struct cli_args *a, const char *path)
{
    if (errno == EACCES || errno == EPERM)
        return cli_fail(a, EX_NOPERM, "%s: " CTL_DENIED, path);
    if (errno == ENOENT || errno == ECONNREFUSED)
        return cli_fail(a, EX_UNAVAILABLE,
                        "no gateway answers on %s: it does not run, or with another configuration",
                        path);
    return cli_fail(a, EX_UNAVAILABLE, "%s: %s", path, strerror(errno));
}

static void begin(struct ctl *c, const struct cli_args *args)
{
    *c = (struct ctl){ .args = args, .fd = -1, .stop_fd = -1 };
    buf_init(&c->in, LINE_MAX_BYTES);
    buf_init(&c->text, LINE_MAX_BYTES);
}

/* False: errno says why. */
static bool try_path(struct ctl *c, const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    size_t n = strlen(path);
    if (n >= sizeof sa.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(sa.sun_path, path, n + 1);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return c->fd >= 0 && connect(c->fd, (struct sockaddr *)&sa, sizeof sa) == 0;
}

bool ctl_try(struct ctl *c, const struct cli_args *args, const char *path)
{
    begin(c, args);
    return try_path(c, path);
}

static int connect_to(struct ctl *c, const char *path)
{
    bool good = try_path(c, path);
    if (!good && errno == ENAMETOOLONG)
        return cli_fail(c->args, EX_USAGE, "%s: longer than a socket's path may be", path);
    if (!good)
        return cannot_connect(c->args, path);
    /* For a listening socket the kernel remembers who called listen: master. */
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
        c->master = cred.pid;
    return EX_OK;
}

int ctl_open(struct ctl *c, const struct cli_args *args)
{
    struct config *cfg = NULL;
    struct buf path;
    begin(c, args);
    if (args->socket)
        return connect_to(c, args->socket);
    int rc = cli_load(args, &cfg);
    if (rc != EX_OK)
        return rc;
    buf_init(&path, CONFIG_TEXT_MAX + 1);
    buf_puts(&path, cfg->control.socket);
    rc = connect_to(c, buf_cstr(&path));
    buf_free(&path);
    config_free(&cfg);
    return rc;
}

void ctl_close(struct ctl *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_free(&c->in);
    buf_free(&c->text);
}

/* --- asking --- */

static bool broken(struct ctl *c, const char *what)
{
    buf_reset(&c->text);
    buf_putz(&c->text, what);
    c->exit = EX_TEMPFAIL;
    return false;
}

bool ctl_is_utf8(const char *text)
{
    struct span s = span_str(text);
    for (size_t one; s.n && (one = utf8_length(s)) > 0;)
        s = span_from(s, one);
    return s.n == 0;
}

bool ctl_ask(struct ctl *c, const char *verb, const char *const *args, size_t n)
{
    struct buf b;
    for (size_t i = 0; i < n; i++)
        if (!ctl_is_utf8(args[i])) {
            broken(c, CTL_NOT_UTF8);
            c->exit = EX_USAGE;
            return false;
        }
    buf_init(&b, LINE_MAX_BYTES);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "verb", span_str(verb));
    json_open_array(&j, "args");
    for (size_t i = 0; i < n; i++)
        json_str(&j, NULL, span_str(args[i]));
    json_close_array(&j);
    json_close(&j);
    buf_putc(&b, '\n');
    bool good = !b.failed;
    while (good && b.len) {
        struct span s = buf_span(&b);
        ssize_t sent = send(c->fd, s.p, s.n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        /* Who is refused is told so before the question is read: the answer says it better. */
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            break;
        good = sent >= 0;
        buf_take(&b, sent > 0 ? (size_t)sent : 0);
    }
    buf_free(&b);
    return good || broken(c, "the question could not be sent");
}

int64_t ctl_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int patience_ms(const struct ctl *c)
{
    int64_t left_ms = c->until_ms - ctl_now_ms();
    return !c->until_ms || left_ms > ANSWER_MS ? ANSWER_MS : left_ms < 0 ? 0 : (int)left_ms;
}

/* False: now it is enough. */
static bool ask_to_stop(struct ctl *c)
{
    struct signalfd_siginfo one;
    while (read(c->stop_fd, &one, sizeof one) > 0)
        ;
    if (c->stopping)
        return false;
    c->stopping = true;
    c->until_ms = ctl_now_ms() + STOP_MS;
    return shutdown(c->fd, SHUT_WR) == 0; /* control/request.h */
}

static bool read_more(struct ctl *c)
{
    struct pollfd p[2] = { { .fd = c->fd, .events = POLLIN },
                           { .fd = c->stop_fd, .events = POLLIN } };
    int ready;
    do
        ready = poll(p, 2, patience_ms(c));
    while ((ready < 0 && errno == EINTR) ||
           (ready > 0 && p[1].revents & POLLIN && ask_to_stop(c)));
    c->stopped = (ready > 0 && p[1].revents & POLLIN) || (ready == 0 && c->stopping);
    if (c->stopped)
        return broken(c, "");
    c->late = ready == 0 && c->until_ms != 0;
    if (ready <= 0)
        return broken(c, "the gateway does not answer");
    char *to = buf_space(&c->in, READ_BYTES);
    if (!to)
        return broken(c, "a line of the answer is too long");
    ssize_t n;
    do
        n = read(c->fd, to, READ_BYTES);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return broken(c, "the gateway closed the connection before the end of its answer");
    buf_added(&c->in, (size_t)n);
    return true;
}

/* --- the last line --- */

/* The text of a JSON string at the start of s; our own writer's escapes only. */
static void unescape(struct buf *to, struct span s)
{
    for (size_t i = 0; i < s.n && s.p[i] != '"'; i++) {
        if (s.p[i] != '\\' || i + 1 >= s.n) {
            buf_putc(to, s.p[i]);
            continue;
        }
        char c = s.p[++i];
        if (c != 'u') {
            buf_putc(to, c);
            continue;
        }
        unsigned char byte = 0;
        bool c1 = i + 1 < s.n && s.p[i + 1] == '0';
        for (size_t k = i + 3; k < i + 5 && k < s.n; k++)
            byte = (unsigned char)(byte << 4 | (s.p[k] <= '9' ? s.p[k] - '0' : (s.p[k] & 7) + 9));
        if (c1 && byte >= 0x80) /* U+0080 to U+009F */
            buf_putc(to, (char)0xc2);
        buf_putc(to, (char)byte);
        i += 4;
    }
}

static size_t find(struct span s, struct span what)
{
    for (size_t i = 0; i + what.n <= s.n; i++)
        if (memcmp(s.p + i, what.p, what.n) == 0)
            return i;
    return s.n;
}

/* {"end":"ok"} or {"end":"error","text":"...","exit":N}, as control_put_end writes it. */
static enum ctl_got take_end(struct ctl *c, struct span line)
{
    static const char text[] = "\"text\":\"", exit[] = "\"exit\":";
    if (span_starts(line, SPAN("{\"end\":\"ok\"")))
        return CTL_OK;
    uint64_t code = EX_SOFTWARE;
    size_t at = find(line, span_str(exit));
    struct span digits = span_from(line, at + strlen(exit));
    num_upto(span_to(digits, span_find(digits, '}')), 255, &code);
    buf_reset(&c->text);
    at = find(line, span_str(text));
    unescape(&c->text, span_from(line, at + strlen(text)));
    c->exit = code ? (int)code : EX_SOFTWARE;
    return CTL_ERROR;
}

enum ctl_got ctl_next(struct ctl *c, struct span *row_r)
{
    size_t n;
    buf_take(&c->in, c->taken);
    c->taken = 0;
    for (size_t looked = 0;;) {
        struct span rest = span_from(buf_span(&c->in), looked);
        n = span_find(rest, '\n');
        if (n < rest.n) {
            n += looked;
            break;
        }
        looked = c->in.len;
        if (!read_more(c))
            return CTL_ERROR;
    }
    c->taken = n + 1;
    *row_r = span_to(buf_span(&c->in), n);
    return span_starts(*row_r, SPAN("{\"end\":\"")) ? take_end(c, *row_r) : CTL_ROW;
}

int ctl_run(struct ctl *c, const char *verb, const char *const *args, size_t n,
            void (*row)(void *ctx, struct span json), void *ctx)
{
    struct span line;
    enum ctl_got got = ctl_ask(c, verb, args, n) ? CTL_ROW : CTL_ERROR;
    while (got == CTL_ROW && (got = ctl_next(c, &line)) == CTL_ROW)
        if (row)
            row(ctx, line);
    if (got == CTL_OK)
        return EX_OK;
    return c->stopped ? c->exit : cli_fail(c->args, c->exit, "%s", buf_cstr(&c->text));
}

int ctl_once(const struct cli_args *a, const char *verb, const char *const *args, size_t n,
             void (*row)(void *ctx, struct span json), void *ctx)
{
    struct ctl c;
    int rc = ctl_open(&c, a);
    if (rc == EX_OK)
        rc = ctl_run(&c, verb, args, n, row, ctx);
    ctl_close(&c);
    return rc;
}

void ctl_readable(struct buf *to, struct span json)
{
    for (size_t i = 0; i < json.n; i++) {
        buf_putc(to, json.p[i]);
        if (json.p[i] != '\\' || i + 1 >= json.n)
            continue;
        struct span escape = span_from(json, i + 1);
        if (escape.n >= 5 && span_istarts(escape, SPAN("udc"))) {
            buf_putz(to, "\\x");
            buf_put(to, escape.p + 3, 2);
            i += 5;
        } else {
            buf_putc(to, json.p[++i]);
        }
    }
}

struct json_t *ctl_json(struct span row, size_t max_bytes)
{
    struct buf b;
    buf_init(&b, max_bytes);
    ctl_readable(&b, row);
    json_t *o = json_loadb(buf_cstr(&b), b.len, 0, NULL);
    buf_free(&b);
    return o;
}

void ctl_put_json(struct buf *to, const struct json_t *row)
{
    char *text = json_dumps(row, JSON_COMPACT | JSON_PRESERVE_ORDER);
    for (const char *at = text ? text : "{}"; *at; at++) {
        unsigned char next = (unsigned char)at[1];
        if ((unsigned char)*at == 0xc2 && next < 0xa0)
            buf_printf(to, "\\u%04x", *(const unsigned char *)++at);
        else if (*at == 0x7f)
            buf_putz(to, "\\u007f");
        else
            buf_putc(to, *at);
    }
    buf_putc(to, '\n');
    free(text);
}

struct span row_text(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    if (!v || !json_is_string(v))
        return SPAN_NONE;
    return span_of(json_string_value(v), json_string_length(v));
}

int64_t row_int(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

bool row_true(const json_t *row, const char *key)
{
    return json_is_true(json_object_get(row, key));
}
