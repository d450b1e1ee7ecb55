/* mailq, and sendmail -bp: the queue in sendmail's columns. Messages are printed as they come;
 * none is kept. */
#include "cli/mailq.h"

#include "base/num.h"
#include "cli/ask.h"
#include "cli/sendmail_queue.h"
#include "cli/term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

enum {
    ROW_MAX_BYTES = 16 << 20,
    FLUSH_BYTES = 64 << 10,
    REASON_CUT = 60,
    REASON_CUT_MORE = 62, /* of one recipient */
    PER_RCPT = 30000,     /* of sendmail's priority */
    PER_ATTEMPT = 90000,
};

struct listing {
    bool verbose, held;
    uint64_t total;
    char directory[1024];
    struct buf out, last_reason;
};

static void heading(struct listing *l)
{
    if (!l->total) {
        buf_printf(&l->out, "%s is empty\n", l->directory);
        return;
    }
    buf_printf(&l->out, "\t\t%s (%llu request%s)\n", l->directory, (unsigned long long)l->total,
               l->total == 1 ? "" : "s");
    buf_putz(&l->out, l->verbose ? "-----Q-ID----- --Size-- -Priority- ---Q-Time--- "
                                   "--------Sender/Recipient--------\n"
                                 : "-----Q-ID----- --Size-- -----Q-Time----- "
                                   "------------Sender/Recipient-----------\n");
}

static void put_address(struct buf *out, struct span addr, unsigned columns)
{
    struct buf b;
    buf_init(&b, 8192);
    buf_putc(&b, '<');
    term_put_text(&b, addr);
    buf_putc(&b, '>');
    buf_puts(out, columns ? term_cut(buf_span(&b), columns) : buf_span(&b));
    buf_free(&b);
}

static void put_reason(struct buf *out, struct span state, struct span reason, unsigned columns)
{
    struct buf b;
    buf_init(&b, 8192);
    if (span_eq(state, SPAN("deferred")) || span_eq(state, SPAN("ready")) ||
        span_eq(state, SPAN("frozen")))
        buf_putz(&b, "Deferred: ");
    term_put_text(&b, reason);
    buf_puts(out, term_cut(buf_span(&b), columns));
    buf_free(&b);
}

static bool shown(const struct listing *l, const json_t *rcpt)
{
    struct span state = row_text(rcpt, "state");
    return (span_eq(state, SPAN("held")) || span_eq(state, SPAN("quarantined"))) == l->held;
}

/* '*': being worked on; '-': too young to have been tried; else a blank. */
static char state_of(const struct listing *l, const json_t *rcpts)
{
    char c = ' ';
    for (size_t i = 0; i < json_array_size(rcpts); i++) {
        const json_t *r = json_array_get(rcpts, i);
        struct span s = row_text(r, "state");
        if (!shown(l, r))
            continue;
        if (span_eq(s, SPAN("active")))
            return '*';
        if (span_eq(s, SPAN("ready")) && !row_int(r, "attempts"))
            c = '-';
    }
    return c;
}

static void put_time(struct listing *l, int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    if (localtime_r(&t, &tm) &&
        strftime(text, sizeof text, l->verbose ? "%b %e %H:%M" : "%a %b %e %H:%M", &tm))
        buf_putz(&l->out, text);
}

static void put_priority(struct listing *l, const json_t *m)
{
    const json_t *rcpts = json_object_get(m, "recipients");
    int64_t attempts = 0;
    bool warned = false;
    for (size_t i = 0; i < json_array_size(rcpts); i++) {
        const json_t *r = json_array_get(rcpts, i);
        int64_t n = row_int(r, "attempts");
        attempts = n > attempts ? n : attempts;
        warned |= row_true(r, "warned");
    }
    buf_printf(&l->out, " %10lld%c",
               (long long)(row_int(m, "size") + row_int(m, "rcpts") * PER_RCPT +
                           attempts * PER_ATTEMPT),
               warned ? '+' : ' ');
}

static const json_t *first_reason(const struct listing *l, const json_t *rcpts)
{
    for (size_t i = 0; i < json_array_size(rcpts); i++) {
        const json_t *r = json_array_get(rcpts, i);
        if (shown(l, r) && row_text(r, "reason").n)
            return r;
    }
    return NULL;
}

static void message_line(struct listing *l, const json_t *m)
{
    const json_t *rcpts = json_object_get(m, "recipients"), *why = first_reason(l, rcpts);
    struct buf *out = &l->out;
    term_put_text(out, row_text(m, "id"));
    buf_printf(out, "%c%8lld", state_of(l, rcpts), (long long)row_int(m, "size"));
    if (l->verbose)
        put_priority(l, m);
    else
        buf_putc(out, ' ');
    put_time(l, row_int(m, "received_ms"));
    buf_putc(out, ' ');
    put_address(out, row_text(m, "sender"), 0);
    buf_putc(out, '\n');
    if (row_true(m, "eightbit"))
        buf_putz(out, "      8BITMIME\n");
    struct span reason = why ? row_text(why, "reason") : SPAN_NONE;
    buf_reset(&l->last_reason);
    buf_puts(&l->last_reason, reason);
    if (l->held) {
        buf_putz(out, "     QUARANTINE: ");
        put_reason(out, SPAN_NONE, reason, l->verbose ? 100 : REASON_CUT);
        buf_putc(out, '\n');
    } else if (reason.n) {
        buf_putz(out, "                 (");
        put_reason(out, row_text(why, "state"), reason, REASON_CUT);
        buf_putz(out, ")\n");
    }
}

/* A reason that is not the one shown last stands below its recipient: each keeps its own. */
static void recipient_line(struct listing *l, const json_t *r)
{
    struct span reason = row_text(r, "reason");
    buf_putz(&l->out, l->verbose ? "\t\t\t\t\t\t" : "\t\t\t\t\t ");
    put_address(&l->out, row_text(r, "to"), l->verbose ? 71 : 38);
    buf_putc(&l->out, '\n');
    if (!reason.n || l->held || span_eq(reason, buf_span(&l->last_reason)))
        return;
    buf_putz(&l->out, "\t\t (");
    put_reason(&l->out, row_text(r, "state"), reason, REASON_CUT_MORE);
    buf_putz(&l->out, ")\n");
    buf_reset(&l->last_reason);
    buf_puts(&l->last_reason, reason);
}

static void take(struct listing *l, const json_t *row)
{
    const json_t *rcpts = json_object_get(row, "recipients");
    if (!rcpts) {
        l->total = (uint64_t)row_int(row, "total");
        struct span d = row_text(row, "directory");
        snprintf(l->directory, sizeof l->directory, "%.*s", SPAN_ARG(d));
        heading(l);
        return;
    }
    if (row_int(row, "part") == 0)
        message_line(l, row);
    for (size_t i = 0; i < json_array_size(rcpts); i++)
        if (shown(l, json_array_get(rcpts, i)))
            recipient_line(l, json_array_get(rcpts, i));
}

static void on_line(void *ctx, struct span line)
{
    struct listing *l = ctx;
    json_t *row = ctl_json(line, ROW_MAX_BYTES);
    if (row)
        take(l, row);
    json_decref(row);
    if (l->out.len >= FLUSH_BYTES)
        cli_print(&l->out);
}

static int ask(struct listing *l, struct queue_asker *k, const struct sendmail_flags *f)
{
    struct queue_args a;
    struct span line;
    sendmail_queue_listed(&a, f);
    a.v[a.n++] = "head";
    enum ctl_got got = ctl_ask(&k->ctl, "list", a.v, a.n) ? CTL_ROW : CTL_ERROR;
    while (got == CTL_ROW && (got = ctl_next(&k->ctl, &line)) == CTL_ROW)
        on_line(l, line);
    if (got == CTL_OK)
        return EX_OK;
    cli_print(&l->out);
    return sendmail_queue_failed(k);
}

int sendmail_mailq(const struct sendmail_flags *f)
{
    struct listing l = { .verbose = f->verbose, .held = f->run_quarantined };
    struct queue_asker k;
    buf_init(&l.out, ROW_MAX_BYTES);
    buf_init(&l.last_reason, 4096);
    int rc = sendmail_queue_open(&k, f, "You are not permitted to see the queue");
    if (rc == EX_OK)
        rc = ask(&l, &k, f);
    else if (k.away && mailq_offline(f, k.config, on_line, &l))
        rc = EX_OK; /* what its spool holds */
    if (rc == EX_OK)
        buf_printf(&l.out, "\t\tTotal requests: %llu\n", (unsigned long long)l.total);
    cli_print(&l.out);
    buf_free(&l.out);
    buf_free(&l.last_reason);
    sendmail_queue_close(&k);
    return rc == EX_NOPERM ? EX_OK : rc; /* sendmail's way, when it has said so */
}

/* --- -bP --- */

static void on_count(void *ctx, struct span json)
{
    const char *name = ctx;
    json_t *row = ctl_json(json, ROW_MAX_BYTES);
    struct buf b;
    const char *state;
    json_t *n;
    long long rcpts = 0;
    json_t *states = json_object_get(row, "recipients");
    json_object_foreach(states, state, n) {
        rcpts += json_integer_value(n);
    }
    buf_init(&b, 4096);
    buf_printf(&b, "%s: %lld message%s, ", name, (long long)row_int(row, "messages"),
               row_int(row, "messages") == 1 ? "" : "s");
    num_put_size(&b, (uint64_t)row_int(row, "bytes"));
    buf_printf(&b, ", %lld recipient%s, %lld of them held, %lld deliveries under way; spool ",
               rcpts, rcpts == 1 ? "" : "s",
               (long long)(row_int(states, "held") + row_int(states, "quarantined")),
               (long long)row_int(row, "jobs"));
    num_put_size(&b, (uint64_t)row_int(row, "spool_disk_bytes"));
    buf_printf(&b, " on disk%s\n", row_true(row, "spool_full") ? ", FULL" : "");
    cli_print(&b);
    buf_free(&b);
    json_decref(row);
}

int sendmail_queue_count(const struct sendmail_flags *f)
{
    struct queue_asker k;
    int rc = sendmail_queue_open(&k, f, "You are not permitted to see the queue");
    if (rc == EX_OK)
        rc = ctl_run(&k.ctl, "count", NULL, 0, on_count, (char *)"mqueue");
    sendmail_queue_close(&k);
    return rc;
}
