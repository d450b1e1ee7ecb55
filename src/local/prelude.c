/* What a final delivery puts in front of a message, and what it looks for in it. */
#include "local/inside.h"

#include "mail/date.h"

#include <time.h>

/* What stands in the way of a line is not put into one. */
static void put_clean(struct buf *b, struct span s, bool blanks)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool bad = c < 0x20 || c == 0x7f || (c == ' ' && !blanks);
        buf_putc(b, bad ? '_' : (char)c);
    }
}

static void put_field(struct buf *b, const char *name, struct span value)
{
    buf_putz(b, name);
    buf_putz(b, ": ");
    put_clean(b, value, true);
    buf_putc(b, '\n');
}

/* RFC 5321 4.4: final delivery keeps the reverse path. */
void prelude_put(struct local *l, struct buf *b)
{
    buf_putz(b, "Return-Path: <");
    put_clean(b, span_str(l->sender), true);
    buf_putz(b, ">\n");
    if (l->job.original.n && !span_eq(l->job.original, l->job.rcpt))
        put_field(b, "X-Original-To", l->job.original);
    put_field(b, "Delivered-To", l->job.rcpt);
}

/* "From sender Fri Nov 20 08:46:30 2026", local time, as asctime has it. */
void prelude_from_line(struct local *l, struct buf *b)
{
    time_t now = (time_t)(loop_wall_ms(l->env->loop) / 1000);
    struct tm tm;
    char date[64];
    struct span sender = span_str(l->sender);
    localtime_r(&now, &tm);
    strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm);
    buf_putz(b, "From ");
    put_clean(b, sender.n ? sender : SPAN("MAILER-DAEMON"), false);
    buf_printf(b, " %s\n", date);
}

/* Our own mark: a forwarding circle through this mailbox. */
bool prelude_seen(const struct local *l, struct span header)
{
    static const struct span field = { "Delivered-To:", 13 };
    while (header.n) {
        size_t n = span_find(header, '\n');
        struct span line = span_to(header, n);
        if (line.n == 0)
            return false;
        if (span_istarts(line, field) &&
            span_ieq(span_trim_lines(span_from(line, field.n)), l->job.rcpt))
            return true;
        header = span_from(header, n + 1);
    }
    return false;
}

static void set(struct local *l, size_t *n, const char *name, struct span value)
{
    struct buf b;
    buf_init(&b, PRELUDE_MAX);
    buf_putz(&b, name);
    buf_putc(&b, '=');
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i])
            buf_putc(&b, value.p[i]);
    l->environ[(*n)++] = arena_dup(l->arena, buf_span(&b)).p;
    buf_free(&b);
}

/* All a program sees of where it was started from. */
void prelude_environment(struct local *l)
{
    size_t n = 0;
    set(l, &n, "PATH", SPAN("/usr/local/bin:/usr/bin:/bin"));
    set(l, &n, "HOME", span_str(l->user.home));
    set(l, &n, "USER", span_str(l->user.name));
    set(l, &n, "LOGNAME", span_str(l->user.name));
    set(l, &n, "SHELL", SPAN("/bin/sh"));
    set(l, &n, "SENDER", span_str(l->sender));
    set(l, &n, "RECIPIENT", l->job.rcpt);
    set(l, &n, "ORIGINAL_RECIPIENT", l->job.original.n ? l->job.original : l->job.rcpt);
    set(l, &n, "EXTENSION", l->job.detail);
    l->environ[n] = NULL;
}
