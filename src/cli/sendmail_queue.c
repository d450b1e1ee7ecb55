/* Queue runs: -q, and -v for what is said in them, in sendmail's words. Without -v the gateway is
 * told and goes on by itself, as sendmail's background run would. */
#include "cli/sendmail_queue.h"

#include "cli/ask.h"
#include "cli/live.h"
#include "cli/term.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* --- the gateway --- */

static int cannot_connect(struct queue_asker *k, const char *path)
{
    if (errno == EACCES || errno == EPERM) {
        k->ctl.exit = EX_NOPERM;
        return sendmail_queue_failed(k);
    }
    k->away = errno == ENOENT || errno == ECONNREFUSED;
    if (k->away)
        fprintf(stderr, "%s: no gateway answers on %s: it does not run, or with another "
                        "configuration\n", k->args.verb, path);
    else
        fprintf(stderr, "%s: %s: %s\n", k->args.verb, path, strerror(errno));
    return EX_UNAVAILABLE;
}

int sendmail_queue_open(struct queue_asker *k, const struct sendmail_flags *f, const char *denied)
{
    struct buf path;
    *k = (struct queue_asker){ .denied = denied, .ctl = { .fd = -1 },
                               .to_stdout = f->mode == SENDMAIL_QUEUE };
    k->args = (struct cli_args){ .verb = f->name,
                                 .config = f->config ? f->config : CLI_CONFIG_FILE };
    int rc = cli_load(&k->args, &k->config);
    if (rc != EX_OK)
        return rc;
    buf_init(&path, CONFIG_TEXT_MAX + 1);
    buf_puts(&path, k->config->control.socket);
    if (!ctl_try(&k->ctl, &k->args, buf_cstr(&path)))
        rc = cannot_connect(k, buf_cstr(&path));
    buf_free(&path);
    return rc;
}

void sendmail_queue_close(struct queue_asker *k)
{
    ctl_close(&k->ctl);
    config_free(&k->config);
}

static void say_failed(struct queue_asker *k)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    term_put_text(&b, buf_span(&k->ctl.text));
    fprintf(stderr, "%s: %s\n", k->args.verb, buf_cstr(&b));
    buf_free(&b);
}

int sendmail_queue_failed(struct queue_asker *k)
{
    if (k->ctl.exit == EX_NOPERM)
        fprintf(k->to_stdout ? stdout : stderr, "%s\n", k->denied);
    else
        say_failed(k);
    return k->ctl.exit;
}

/* The messages that -q[!]R and the like mean, in the words of queue/filter.h. */
static void sendmail_queue_matches(struct queue_args *a, const struct sendmail_flags *f)
{
    a->n = 0;
    for (unsigned i = 0; i < f->match_count; i++) {
        const struct sendmail_match *m = &f->matches[i];
        const char *field = m->what == 'R'   ? "to"
                            : m->what == 'S' ? "from"
                            : m->what == 'I' ? "id"
                                             : "reason";
        snprintf(a->texts[i], sizeof a->texts[i], "any.%s%s%s", m->not ? "!" : "", field,
                 m->text[0] ? "~" : "=*"); /* in every text there is an empty one */
        size_t n = strlen(a->texts[i]);
        snprintf(a->texts[i] + n, sizeof a->texts[i] - n, "%s", m->text);
        a->v[a->n++] = a->texts[i];
    }
    if (f->run_quarantined)
        a->v[a->n++] = "state=held,quarantined";
}

void sendmail_queue_listed(struct queue_args *a, const struct sendmail_flags *f)
{
    sendmail_queue_matches(a, f);
    if (!f->run_quarantined)
        a->v[a->n++] = "!state=held,quarantined";
}

/* --- sendmail's words --- */

struct words {
    char directory[1024];
};

static void on_total(void *ctx, const json_t *row, struct buf *out)
{
    struct words *w = ctx;
    struct span d = row_text(row, "directory");
    (void)out;
    snprintf(w->directory, sizeof w->directory, "%.*s", SPAN_ARG(d));
}

static void on_run(void *ctx, const json_t *row, struct buf *out)
{
    const struct words *w = ctx;
    buf_printf(out, "\nRunning %s/", w->directory);
    term_put_text(out, row_text(row, "id"));
    buf_printf(out, " (sequence %lld of %lld)\n", (long long)row_int(row, "run"),
               (long long)row_int(row, "of"));
}

static void on_locked(void *ctx, const json_t *row, struct buf *out)
{
    (void)ctx;
    buf_putc(out, '\n');
    term_put_text(out, row_text(row, "id"));
    buf_putz(out, ": locked\n");
}

static void put_host(struct buf *out, const json_t *row)
{
    struct span host = row_text(row, "host");
    term_put_text(out, host);
    if (host.n && host.p[0] != '[' && host.p[0] != '/' && host.p[host.n - 1] != '.')
        buf_putc(out, '.');
}

static void put_recipients(struct buf *out, const json_t *job)
{
    const json_t *to = json_object_get(job, "to");
    for (size_t i = 0; i < json_array_size(to); i++) {
        if (i)
            buf_putc(out, ',');
        term_put_text(out, span_str(json_string_value(json_array_get(to, i))));
    }
    buf_putz(out, "... ");
}

static void on_talk(void *ctx, const json_t *row, const json_t *job, bool over, struct buf *out)
{
    struct span kind = row_text(row, "talk"), text = row_text(row, "text");
    (void)ctx;
    if (span_eq(kind, SPAN("ours")) || span_eq(kind, SPAN("peer"))) {
        buf_putz(out, kind.p[0] == 'o' ? ">>> " : "");
        term_put_text(out, text);
        buf_putc(out, '\n');
    } else if (span_eq(kind, SPAN("closing"))) {
        if (!over)
            put_recipients(out, job);
        buf_putz(out, "Closing connection to ");
        put_host(out, row);
        buf_putc(out, '\n');
    } else if (span_eq(kind, SPAN("connecting")) || span_eq(kind, SPAN("cached"))) {
        put_recipients(out, job);
        buf_putz(out, kind.p[1] == 'o' ? "Connecting to " : "Using cached ESMTP connection to ");
        put_host(out, row);
        buf_putz(out, " via ");
        term_put_text(out, row_text(job, "mailer"));
        buf_putz(out, "...\n");
    }
}

static void on_result(void *ctx, const json_t *row, struct buf *out)
{
    struct span what = row_text(row, "result"), text = row_text(row, "text");
    struct span reply = row_text(row, "reply"), words = reply.n ? reply : text;
    (void)ctx;
    term_put_text(out, row_text(row, "to"));
    buf_putz(out, "... ");
    if (span_eq(what, SPAN("sent"))) {
        buf_putz(out, "Sent (");
        term_put_text(out, text);
        buf_putz(out, ")\n");
        return;
    }
    if (span_eq(what, SPAN("failed"))) {
        term_put_text(out, text);
    } else if (span_eq(what, SPAN("deferred")) || span_eq(what, SPAN("unknown"))) {
        buf_putz(out, what.p[0] == 'd' ? "Deferred" : "Deferred (possible duplicate)");
        buf_putz(out, words.n ? ": " : "");
        term_put_text(out, words);
    } else if (span_eq(what, SPAN("expired"))) {
        buf_putz(out, "Cannot send message for too long");
    } else {
        term_put_text(out, span_eq(what, SPAN("waits")) ? SPAN("queued") : what);
        if (text.n && !span_eq(text, what)) {
            buf_putz(out, ": ");
            term_put_text(out, text);
        }
    }
    buf_putc(out, '\n');
}

static const struct live_voice sendmail_voice = { .total = on_total, .run = on_run,
                                                  .locked = on_locked, .talk = on_talk,
                                                  .result = on_result };
static const struct live_voice no_voice = { 0 };

/* --- the run --- */

int sendmail_queue_run(const struct sendmail_flags *f)
{
    struct queue_asker k;
    struct queue_args a;
    struct words words = { "" };
    if (f->run_group && strcmp(f->run_group, "mqueue") != 0) {
        printf("Queue group %s unknown\n", f->run_group); /* all mail is in one */
        return EX_OK;
    }
    int rc = sendmail_queue_open(&k, f, "You do not have permission to process the queue");
    sendmail_queue_matches(&a, f);
    if (f->match_count) /* who asks for these wants to see them tried */
        a.v[a.n++] = "always";
    a.v[a.n++] = "patient";
    if (!f->verbose)
        a.v[a.n++] = f->run_foreground ? "silent" : "background";
    if (rc == EX_OK && (rc = cli_live(&k.ctl, a.v, a.n,
                                        f->verbose ? &sendmail_voice : &no_voice, &words)))
        rc = sendmail_queue_failed(&k);
    sendmail_queue_close(&k);
    return rc;
}
