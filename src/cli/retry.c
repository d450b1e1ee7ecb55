#include "cli/retry.h"

#include "base/num.h"
#include "cli/args.h"
#include "cli/ask.h"
#include "cli/live.h"
#include "cli/queue_act.h"
#include "cli/queue_words.h"
#include "cli/term.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: postern retry [-v] [--each] [--json] [--all] [FILTER...] [DOMAIN | ADDRESS | ID |\n"
    "                     DESTINATION | SITE...]\n"
    "\n"
    "Tries now what waits for it, past any back-off, and shows what happens. What it is to know\n"
    "ends with Ctrl-C; the deliveries go on.\n"
    "\n"
    "  -v, --verbose  the dialogue with the next hops, as it goes\n"
    "  --each         a connection for each message, however often nobody answers (without it the\n"
    "                 rest waits with its site after three that reached nobody)\n"
    "  --json         JSON objects, one a line: each message, each recipient's result, the\n"
    "                 summary; with -v the dialogue\n"
    "  -C FILE        the configuration that names the socket (" CLI_CONFIG_FILE ")\n"
    "  --socket PATH  the gateway's admin socket\n"
    "\n"
    QUEUE_WORDS_HELP
    "  --all          every message\n"
    "What is held is tried only where --state asks for it.\n"
    "\n"
    "exit status: 0 all was sent, 66 nothing waits for it, 69 some failed for good (or no gateway\n"
    "answers), 75 some is put off, 77 not allowed, 64 usage\n";

enum { REASONS_MAX = 200, REASONS_SHOWN = 20, REASON_BYTES = 200, AT_ONCE = 8,
       ROW_MAX_BYTES = 1 << 20 };

struct reason {
    char text[REASON_BYTES];
    uint64_t n;
};

struct retry {
    const char *what; /* NULL: filters say it, or several names */
    size_t names;
    struct queue_words words;
    bool verbose, each, all;
    uint64_t total;
    struct reason reasons[REASONS_MAX];
    size_t reason_count;
    uint64_t other_reasons;
    bool any_deferred, any_failed, any_frozen;
    bool waiting; /* said last */
};

/* --- what is said --- */

static void on_total(void *ctx, const json_t *row, struct buf *out)
{
    struct retry *r = ctx;
    r->total = (uint64_t)row_int(row, "total");
    if (r->total) {
        term_put_counted(out, r->total, "message");
        buf_putz(out, r->what ? " for " : "");
        term_put_text(out, span_str(r->what));
        buf_putz(out, r->total == 1 ? " waits\n" : " wait\n");
    }
}

static void put_progress(struct buf *out, const json_t *row, const char *name)
{
    buf_printf(out, "[%lld/%lld] ", (long long)row_int(row, name), (long long)row_int(row, "of"));
    term_put_text(out, row_text(row, "id"));
}

static void on_run(void *ctx, const json_t *row, struct buf *out)
{
    (void)ctx;
    put_progress(out, row, "run");
    buf_putz(out, "  ");
    num_put_size(out, (uint64_t)row_int(row, "size"));
    buf_putz(out, ", ");
    term_put_age(out, row_int(row, "age_ms"));
    buf_putz(out, " old, from <");
    term_put_text(out, row_text(row, "sender"));
    buf_putz(out, row_true(row, "under_way")       ? ">, is being tried already\n"
                  : row_true(row, "asked_already") ? ">, another retry waits for it already\n"
                                                   : ">\n");
}

static void on_again(void *ctx, const json_t *row, struct buf *out)
{
    (void)ctx;
    put_progress(out, row, "run");
    buf_putz(out, "  more of it\n");
}

static void put_place(struct buf *out, const json_t *row)
{
    struct span host = row_text(row, "host"), at = row_text(row, "at");
    term_put_text(out, host);
    if (at.n) {
        buf_putz(out, " at ");
        term_put_text(out, at);
    }
}

static void on_talk(void *ctx, const json_t *row, const json_t *job, bool over, struct buf *out)
{
    struct span kind = row_text(row, "talk"), text = row_text(row, "text");
    (void)job;
    (void)over;
    ((struct retry *)ctx)->waiting = false;
    if (span_eq(kind, SPAN("closed")))
        return;
    buf_putz(out, "    ");
    if (span_eq(kind, SPAN("ours")) || span_eq(kind, SPAN("peer"))) {
        buf_putz(out, kind.p[0] == 'o' ? "> " : "< ");
        term_put_text(out, text);
    } else if (span_eq(kind, SPAN("note"))) {
        buf_putz(out, "- ");
        term_put_text(out, text);
    } else {
        buf_putz(out, span_eq(kind, SPAN("connecting")) ? "- connecting to "
                      : span_eq(kind, SPAN("cached"))   ? "- over the open connection to "
                                                        : "- closing the connection to ");
        put_place(out, row);
    }
    buf_putc(out, '\n');
}

static void count_reason(struct retry *r, struct span words)
{
    char text[REASON_BYTES];
    size_t n = words.n < sizeof text ? words.n : sizeof text - 1;
    while (n < words.n && n && ((unsigned char)words.p[n] & 0xc0) == 0x80)
        n--; /* not within a character */
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(span_to(words, n)));
    for (size_t i = 0; i < r->reason_count; i++) {
        if (strcmp(r->reasons[i].text, text) == 0) {
            r->reasons[i].n++;
            return;
        }
    }
    if (r->reason_count == REASONS_MAX) {
        r->other_reasons++;
        return;
    }
    struct reason *at = &r->reasons[r->reason_count++];
    memcpy(at->text, text, sizeof text);
    at->n = 1;
}

static void note_result(struct retry *r, struct span what)
{
    r->any_deferred |= span_eq(what, SPAN("deferred")) || span_eq(what, SPAN("unknown"));
    r->any_failed |= span_eq(what, SPAN("failed")) || span_eq(what, SPAN("expired"));
    r->any_frozen |= span_eq(what, SPAN("frozen"));
}

static void on_result(void *ctx, const json_t *row, struct buf *out)
{
    struct retry *r = ctx;
    struct span what = row_text(row, "result"), reply = row_text(row, "reply");
    struct span words = reply.n ? reply : row_text(row, "text");
    words = span_eq(words, what) ? SPAN_NONE : words;
    bool sent = span_eq(what, SPAN("sent"));
    r->waiting = false;
    note_result(r, what);
    if (!sent) {
        struct buf b;
        buf_init(&b, 4096);
        buf_puts(&b, span_eq(what, SPAN("unknown")) ? SPAN("deferred, perhaps delivered") : what);
        buf_putz(&b, words.n ? ": " : "");
        buf_puts(&b, words);
        count_reason(r, buf_span(&b));
        buf_free(&b);
    }
    buf_putz(out, "    ");
    struct span to = row_text(row, "to");
    term_put_text(out, to);
    buf_putz(out, to.n ? ": " : "");
    term_put_text(out, span_eq(what, SPAN("gone")) ? SPAN("gone from the queue") : what);
    if (row_true(row, "untried"))
        buf_putz(out, ", not tried");
    buf_putz(out, words.n ? ": " : "");
    term_put_text(out, words);
    if (!row_true(row, "untried") && row_int(row, "ms") >= 0) {
        buf_putz(out, "  (");
        buf_printf(out, "%lld.%01lld s)", (long long)(row_int(row, "ms") / 1000),
                   (long long)(row_int(row, "ms") / 100 % 10));
    }
    buf_putc(out, '\n');
}

static int by_number(const void *a, const void *b)
{
    const struct reason *x = a, *y = b;
    return x->n < y->n ? 1 : x->n > y->n ? -1 : strcmp(x->text, y->text);
}

static void put_reasons(struct retry *r, struct buf *out)
{
    qsort(r->reasons, r->reason_count, sizeof *r->reasons, by_number);
    for (size_t i = 0; i < r->reason_count; i++) {
        if (i >= REASONS_SHOWN) {
            r->other_reasons += r->reasons[i].n;
            continue;
        }
        buf_printf(out, "%6llu  ", (unsigned long long)r->reasons[i].n);
        term_put_text(out, span_str(r->reasons[i].text));
        buf_putc(out, '\n');
    }
    if (r->other_reasons)
        buf_printf(out, "%6llu  with other reasons\n", (unsigned long long)r->other_reasons);
}

static void put_number(struct buf *out, const json_t *row, const char *name, const char *word,
                       bool always)
{
    int64_t n = row_int(row, name);
    if (n <= 0 && !always)
        return;
    buf_putz(out, ", ");
    term_put_count(out, n > 0 ? (uint64_t)n : 0);
    buf_printf(out, " %s", word);
}

static void on_summary(void *ctx, const json_t *row, struct buf *out)
{
    struct retry *r = ctx;
    if (!row_int(row, "messages"))
        return;
    buf_putc(out, '\n');
    term_put_counted(out, (uint64_t)row_int(row, "messages"), "message");
    buf_putz(out, ": ");
    term_put_counted(out, (uint64_t)row_int(row, "sent"), "recipient");
    buf_putz(out, " sent");
    put_number(out, row, "deferred", "deferred", true);
    put_number(out, row, "failed", "failed", true);
    put_number(out, row, "other", "otherwise", false);
    put_number(out, row, "frozen", "frozen", false);
    buf_putc(out, '\n');
    put_reasons(r, out);
    if (row_true(row, "gave_up"))
        buf_putz(out, "nobody was reached three times in a row: what was not tried waits with its "
                      "site (--each tries it)\n");
    if (row_int(row, "left_out"))
        buf_printf(out, "%lld lines of dialogue were not shown: they came faster than they were "
                        "read\n",
                   (long long)row_int(row, "left_out"));
}

/* Once, until something else is said. */
static void on_alive(void *ctx, struct buf *out)
{
    struct retry *r = ctx;
    if (r->verbose && !r->waiting)
        buf_putz(out, "    - waiting ...\n");
    r->waiting = true;
}

static void on_notice(void *ctx, const json_t *row, struct buf *out)
{
    struct retry *r = ctx;
    struct span name = row_text(row, "name"), why = row_text(row, "why");
    if (span_eq(row_text(row, "notice"), SPAN("frozen"))) {
        r->any_frozen = true;
        queue_act_put_frozen(out, name, row_text(row, "who"), row_int(row, "since_ms"));
        return;
    }
    r->waiting = true;
    if (span_eq(row_text(row, "notice"), SPAN("asking"))) {
        bool mx = span_starts(name, SPAN("mx:"));
        buf_printf(out, "    - asking the DNS for %s", mx ? "the MX of " : "");
        term_put_text(out, span_from(name, mx ? 3 : 0));
        buf_putc(out, '\n');
        return;
    }
    buf_putz(out, "    - ");
    term_put_text(out, name);
    buf_putz(out, " is given one message each ");
    term_put_age(out, row_int(row, "one_in_ms"));
    if (why.n) {
        buf_putz(out, " (");
        term_put_text(out, why);
        buf_putc(out, ')');
    }
    buf_putz(out, ": the next one in ");
    term_put_age(out, row_int(row, "wait_ms"));
    if (row_int(row, "ready_there")) {
        buf_putz(out, "; ");
        term_put_counted(out, (uint64_t)row_int(row, "ready_there"), "recipient");
        buf_putz(out, " take turns there, the last is due in about ");
        term_put_age(out, row_int(row, "last_wait_ms"));
    }
    buf_putc(out, '\n');
}

static const struct live_voice voice = {
    .total = on_total,     .run = on_run,     .talk = on_talk,   .result = on_result,
    .summary = on_summary, .alive = on_alive, .again = on_again, .notice = on_notice,
};

/* --- in JSON: as the gateway says it, without what only holds the rows together --- */

/* What the manual does not name: a delivery has a number where its dialogue has it too. */
static void put_json(const struct retry *r, json_t *row)
{
    static const char *const inner[] = { "directory", "result_of", "run_number" };
    struct buf b;
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
        json_object_del(row, inner[i]);
    if (!r->verbose)
        json_object_del(row, "job");
    buf_init(&b, ROW_MAX_BYTES);
    ctl_put_json(&b, row);
    cli_print(&b);
    buf_free(&b);
}

static void on_json(void *ctx, struct span line)
{
    static const char *const left_out[] = { "alive", "ran", "over" };
    struct retry *r = ctx;
    json_t *row = ctl_json(line, ROW_MAX_BYTES);
    bool shown = row != NULL;
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        shown = shown && !json_object_get(row, left_out[i]);
    if (json_object_get(row, "total"))
        r->total = (uint64_t)row_int(row, "total");
    r->any_frozen |= span_eq(row_text(row, "notice"), SPAN("frozen"));
    if (json_object_get(row, "result"))
        note_result(r, row_text(row, "result"));
    if (shown)
        put_json(r, row);
    json_decref(row);
}

/* --- the verb --- */

static void on_interrupt(int signo)
{
    static const char words[] = "\nnot shown any more; the deliveries go on (postern queue)\n";
    ssize_t n = write(STDERR_FILENO, words, sizeof words - 1);
    (void)n;
    _exit(128 + signo);
}

static int look_on(const struct cli_args *a, struct retry *r)
{
    struct queue_words *w = &r->words;
    struct ctl c;
    int rc = ctl_open(&c, a);
    if (rc == EX_OK) {
        signal(SIGINT, on_interrupt);
        rc = a->json ? ctl_run(&c, "live", w->v, w->n, on_json, r)
                     : cli_live(&c, w->v, w->n, &voice, r);
        if (rc != EX_OK && !a->json)
            cli_fail(a, rc, "%s", buf_cstr(&c.text));
    }
    ctl_close(&c);
    return rc;
}

/* Why nothing was tried. */
static int say_nothing(const struct cli_args *a, const struct retry *r,
                       const struct queue_words *chosen)
{
    if (!queue_act_held(a, chosen)) {
        if (r->what)
            cli_fail(a, EX_NOINPUT, "nothing waits for %s; what is known of it: postern why '%s'",
                     r->what, r->what);
        else
            cli_fail(a, EX_NOINPUT, "nothing waits for that");
    }
    queue_act_unsited(a, chosen);
    return EX_NOINPUT;
}

static int run(const struct cli_args *a, struct retry *r)
{
    struct queue_words *w = &r->words, chosen;
    char window[32];
    snprintf(window, sizeof window, "window=%d", AT_ONCE);
    chosen = *w;
    bool fits = queue_words_plain(w, "always") && queue_words_plain(w, "follow") &&
           queue_words_plain(w, window) &&
           (!r->each || queue_words_plain(w, "patient")) &&
           (r->verbose || queue_words_plain(w, "silent"));
    if (!fits)
        return cli_usage_error(a, "more arguments than it takes at once", NULL);
    int rc = look_on(a, r);
    if (rc == EX_OK && !r->total)
        rc = say_nothing(a, r, &chosen);
    if (rc == EX_OK && ferror(stdout)) /* the mail is on its way all the same */
        rc = cli_fail(a, EX_IOERR, "the output cannot be written");
    return rc != EX_OK                         ? rc
           : r->any_failed                     ? EX_UNAVAILABLE
           : r->any_deferred || r->any_frozen ? EX_TEMPFAIL : EX_OK;
}

static int take_arg(struct cli_args *a, struct retry *r, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    if (strcmp(arg, "-v") == 0 || strcmp(arg, "--verbose") == 0) {
        r->verbose = true;
        return EX_OK;
    }
    if (strcmp(arg, "--all") == 0) {
        r->all = true;
        return EX_OK;
    }
    if (strcmp(arg, "--each") == 0) {
        r->each = true;
        return EX_OK;
    }
    if (arg[0] == '-') {
        int got = queue_words_option(&r->words, arg, *i + 1 < argc ? argv[*i + 1] : NULL);
        *i += got > 0;
        return got > 0 ? EX_OK
                       : cli_usage_error(a, got ? "a value is missing, or too long"
                                                : "unknown option", arg);
    }
    if (!arg[0])
        return cli_usage_error(a, "a domain, an address or an id is missing", NULL);
    r->what = r->names++ ? NULL : arg;
    return queue_words_add(&r->words, "target", arg)
               ? EX_OK
               : cli_usage_error(a, "more arguments than it takes at once", NULL);
}

int cli_retry(int argc, char **argv)
{
    struct cli_args a = { .verb = "retry", .usage = usage, .config = CLI_CONFIG_FILE };
    struct retry r = { .what = NULL };
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++)
        if (!cli_common(&a, argc, argv, &i, &rc))
            rc = take_arg(&a, &r, argc, argv, &i);
    if (rc == EX_OK && a.help) {
        fputs(usage, stdout);
        return EX_OK;
    }
    if (rc == EX_OK && !r.names && !r.words.filters && !r.all)
        rc = cli_usage_error(&a, "a domain, an address or an id is missing", NULL);
    if (rc == EX_OK && r.all && (r.names || r.words.filters))
        rc = cli_usage_error(&a, "every message, or those of a filter or name", "--all");
    return rc == EX_OK ? run(&a, &r) : rc;
}
