#include "events/events.h"

#include "base/json.h"
#include "base/must.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { PENDING_MAX = 4 << 20, TEXT_MAX = 2048 };

struct row {
    const char *name;
    enum event_severity severity;
    uint64_t fields;
};

#define F(name) | (UINT64_C(1) << FIELD_##name)
#define ROW(name, severity, fields) { #name, severity, 0 fields },
static const struct row rows[EVENT_COUNT] = { EVENT_TABLE(ROW) };
#define FIELD_NAME(name) #name,
static const char *const field_names[EVENT_FIELD_COUNT] = { EVENT_FIELDS(FIELD_NAME) };
_Static_assert(EVENT_FIELD_COUNT <= 64, "a set of fields is 64 bits");

/* One file that is written once a turn. */
struct sink {
    int fd;
    bool may_block; /* a pipe, a terminal: no file */
    bool broken;    /* the last write failed */
    struct buf pending;
    uint64_t lost_bytes;
};

struct events {
    struct loop *loop;
    char *tag, *role, *hostname;
    bool echo, syslog;
    int facility;
    pid_t pid; /* asked once: getpid is a system call */
    struct sink lines, json;
    struct loop_hook hook;
    struct json writer;
    enum event_name now;
    bool in_event;
    size_t event_start, line_start; /* where to cut back to when the memory's limit is met */
    struct buf line; /* the line being made */
    enum event_severity line_severity;
    int64_t stamp_second;
    char stamp[32];  /* "Nov 20 08:46:30 " */
    int64_t time_second;
    char time[40];   /* "2026-11-20T08:46:30.000Z": of time_second, but for the digits behind it */
    size_t time_len;
};

static void on_turn_end(void *ctx);

struct events *events_new(struct loop *l, const struct events_config *c)
{
    struct events *e = NEW(struct events);
    e->loop = l;
    e->tag = must_strndup(c->tag, strlen(c->tag));
    e->role = must_strndup(c->role, strlen(c->role));
    e->hostname = must_strndup(c->hostname, strlen(c->hostname));
    e->echo = c->echo;
    e->facility = c->facility ? c->facility : LOG_MAIL;
    e->pid = getpid();
    buf_init(&e->lines.pending, PENDING_MAX);
    buf_init(&e->json.pending, PENDING_MAX);
    buf_init(&e->line, 64 << 10);
    e->lines.fd = e->json.fd = -1;
    e->stamp_second = e->time_second = -1;
    events_set_files(e, c->line_fd, c->event_fd);
    loop_hook_init(&e->hook, LOOP_STAGE_LOG, on_turn_end, e);
    return e;
}

void events_set_names(struct events *e, struct span tag, struct span hostname, int facility)
{
    e->facility = facility;
    /* openlog() keeps a pointer to the tag it was given. */
    if (!e->syslog && !span_eq(span_str(e->tag), tag)) {
        free(e->tag);
        e->tag = must_strndup(tag.p, tag.n);
    }
    free(e->hostname);
    e->hostname = must_strndup(hostname.p, hostname.n);
}

static void sink_use(struct sink *s, int fd)
{
    enum { MEMORY_DEVICES = 1 }; /* /dev/null */
    struct stat st;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = fd;
    s->broken = false;
    s->may_block = fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) &&
                   !(S_ISCHR(st.st_mode) && major(st.st_rdev) == MEMORY_DEVICES);
}

void events_set_files(struct events *e, int line_fd, int event_fd)
{
    sink_use(&e->lines, line_fd);
    sink_use(&e->json, event_fd);
    e->syslog = line_fd == -2;
    if (e->syslog)
        openlog(e->tag, LOG_PID | LOG_NDELAY, e->facility);
}

/* A pipe whose reader sleeps must not put us to sleep: what it has no room for is lost. POLLOUT
 * promises room for PIPE_BUF bytes. */
static size_t write_piece(const struct sink *s, struct span out)
{
    struct pollfd p = { .fd = s->fd, .events = POLLOUT };
    if (s->may_block && (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT)))
        return 0;
    ssize_t put = write(s->fd, out.p, s->may_block && out.n > PIPE_BUF ? PIPE_BUF : out.n);
    return put > 0 ? (size_t)put : 0;
}

static void sink_write(struct sink *s)
{
    struct span out = buf_span(&s->pending);
    if (s->fd >= 0 && out.n) {
        for (size_t put; out.n && (put = write_piece(s, out)) > 0;)
            out = span_from(out, put);
        s->broken = out.n > 0;
        s->lost_bytes += out.n;
    }
    buf_reset(&s->pending);
}

/* What met the limit on memory is dropped whole, and counted. */
static void drop_partial(struct sink *s, size_t start)
{
    if (!s->pending.failed)
        return;
    s->lost_bytes += s->pending.len - start;
    buf_cut(&s->pending, start);
    s->pending.failed = false;
}

/* Once writing works again: said into a file that takes nothing it would be lost as well, and
 * said again, without end. */
static void say_lost(struct events *e, struct sink *s, const char *which)
{
    if (!s->lost_bytes || s->fd < 0 || s->broken || e->json.broken)
        return;
    uint64_t lost = s->lost_bytes;
    s->lost_bytes = 0;
    event_begin(e, EVENT_log_lost);
    event_str(e, FIELD_path, span_str(which));
    event_int(e, FIELD_bytes, (int64_t)lost);
    event_end(e);
}

static void on_turn_end(void *ctx)
{
    struct events *e = ctx;
    if (e->echo && e->lines.pending.len) {
        struct span s = buf_span(&e->lines.pending);
        fwrite(s.p, 1, s.n, stderr);
    }
    sink_write(&e->lines);
    sink_write(&e->json);
    say_lost(e, &e->lines, "log.file");
    say_lost(e, &e->json, "log.events");
}

void events_free(struct events **ep)
{
    struct events *e = *ep;
    if (!e)
        return;
    on_turn_end(e);
    loop_hook_cancel(&e->hook);
    events_set_files(e, -1, -1);
    buf_free(&e->lines.pending);
    buf_free(&e->json.pending);
    buf_free(&e->line);
    free(e->tag);
    free(e->role);
    free(e->hostname);
    free(e);
    *ep = NULL;
}

/* --- events --- */

/* All of a second but the milliseconds is made once. */
static void put_time(struct events *e)
{
    enum { DIGITS = 3, BEHIND = 4 }; /* of the milliseconds; with the Z */
    int64_t wall_ms = loop_wall_ms(e->loop) > 0 ? loop_wall_ms(e->loop) : 0;
    int64_t second = wall_ms / 1000, ms = wall_ms % 1000;
    if (second != e->time_second) {
        time_t t = (time_t)second;
        struct tm tm;
        gmtime_r(&t, &tm);
        e->time_len = strftime(e->time, sizeof e->time, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        e->time_second = second;
    }
    char *at = e->time + e->time_len - BEHIND;
    for (int i = DIGITS - 1; i >= 0; i--, ms /= 10)
        at[i] = (char)('0' + ms % 10);
    json_str(&e->writer, "time", span_of(e->time, e->time_len));
}

void event_begin(struct events *e, enum event_name name)
{
    MUST(!e->in_event && name < EVENT_COUNT);
    e->in_event = true;
    e->now = name;
    e->event_start = e->json.pending.len;
    e->writer = json_writer(&e->json.pending);
    json_open(&e->writer, NULL);
    put_time(e);
    json_str(&e->writer, "event", span_str(rows[name].name));
    if (rows[name].severity >= EVENT_WARNING)
        json_str(&e->writer, "severity",
                 rows[name].severity == EVENT_ALARM ? SPAN("alarm") : SPAN("warning"));
    json_str(&e->writer, "process", span_str(e->role));
}

static void check_field(const struct events *e, enum event_field f)
{
    MUST(e->in_event && (rows[e->now].fields >> f & 1));
}

void event_str(struct events *e, enum event_field f, struct span v)
{
    check_field(e, f);
    json_str(&e->writer, field_names[f], span_to(v, TEXT_MAX));
}

void event_int(struct events *e, enum event_field f, int64_t v)
{
    check_field(e, f);
    json_int(&e->writer, field_names[f], v);
}

void event_end(struct events *e)
{
    MUST(e->in_event);
    e->in_event = false;
    json_close(&e->writer);
    buf_putc(&e->json.pending, '\n');
    drop_partial(&e->json, e->event_start);
    loop_hook_ask(e->loop, &e->hook);
}

/* --- lines --- */

static void put_stamp(struct events *e, struct buf *b)
{
    int64_t second = loop_wall_ms(e->loop) / 1000;
    if (second != e->stamp_second) {
        time_t t = (time_t)second;
        struct tm tm;
        localtime_r(&t, &tm);
        strftime(e->stamp, sizeof e->stamp, "%b %e %H:%M:%S ", &tm);
        e->stamp_second = second;
    }
    buf_putz(b, e->stamp);
}

struct buf *log_begin(struct events *e, enum event_severity severity)
{
    buf_reset(&e->line);
    e->line_severity = severity;
    return &e->line;
}

void log_end(struct events *e)
{
    static const int priority[] = { LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ALERT };
    struct span s = buf_span(&e->line);
    if (e->syslog)
        syslog(e->facility | priority[e->line_severity], "%.*s", SPAN_ARG(s));
    if (e->lines.fd >= 0 || e->echo) {
        struct buf *b = &e->lines.pending;
        e->line_start = b->len;
        put_stamp(e, b);
        buf_putz(b, e->hostname);
        buf_putc(b, ' ');
        buf_putz(b, e->tag);
        buf_putc(b, '[');
        buf_putu(b, (uint64_t)e->pid);
        buf_putz(b, "]: ");
        buf_puts(b, s);
        buf_putc(b, '\n');
        drop_partial(&e->lines, e->line_start);
        loop_hook_ask(e->loop, &e->hook);
    }
}

void log_line(struct events *e, enum event_severity severity, const char *fmt, ...)
{
    struct buf *b = log_begin(e, severity);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
    log_end(e);
}

void log_text(struct buf *b, struct span s, size_t max_bytes)
{
    size_t done = 0;
    for (size_t i = 0; i < s.n; done++) {
        if (done >= max_bytes) {
            buf_putz(b, "...");
            return;
        }
        unsigned char c = (unsigned char)s.p[i];
        size_t n = utf8_length(span_from(s, i));
        bool c1 = n == 2 && c == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0; /* terminals obey them */
        if (n == 0 || c < 0x20 || c == 0x7f) {
            buf_printf(b, "\\x%02x", c);
            i++;
        } else if (c1) {
            buf_printf(b, "\\x%02x\\x%02x", c, (unsigned char)s.p[i + 1]);
            i += 2;
        } else {
            if (c == '\\')
                buf_putc(b, '\\');
            buf_put(b, s.p + i, n);
            i += n;
        }
    }
}
