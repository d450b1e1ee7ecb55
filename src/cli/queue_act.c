#include "cli/queue_act.h"

#include "base/num.h"
#include "cli/ctl.h"
#include "cli/queue_show.h"
#include "cli/term.h"

#include <jansson.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { PREVIEW_ROWS = 5, OUT_MAX_BYTES = 64 << 20 };

static json_int_t int_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* --- before --- */

struct counted {
    long long messages, recipients, bytes;
    bool at_most;
};

static void on_count(void *ctx, struct span row)
{
    struct counted *c = ctx;
    json_t *o = ctl_json(row, OUT_MAX_BYTES);
    c->messages = (long long)int_of(o, "messages");
    c->recipients = (long long)int_of(o, "matching");
    c->bytes = (long long)int_of(o, "bytes");
    c->at_most = json_is_true(json_object_get(o, "messages_at_most"));
    json_decref(o);
}

struct preview {
    struct queue_show *show;
    struct buf out, err;
};

static void on_preview(void *ctx, struct span row)
{
    struct preview *p = ctx;
    queue_show_row(p->show, row, &p->out, &p->err);
}

static int ask(const struct cli_args *a, const char *verb, const struct queue_words *w,
               void (*row)(void *ctx, struct span json), void *ctx)
{
    struct ctl c;
    int rc = ctl_open(&c, a);
    if (rc == EX_OK)
        rc = ctl_run(&c, verb, w->v, w->n, row, ctx);
    ctl_close(&c);
    return rc;
}

static int preview(const struct cli_args *a, const struct queue_words *words)
{
    struct queue_words first = { .n = 0 };
    struct preview p = { .show = queue_show_new(QUEUE_LIST, term_width(STDERR_FILENO),
                                                term_colour(STDERR_FILENO),
                                                (int64_t)time(NULL) * 1000) };
    for (size_t i = 0; i < words->n; i++)
        queue_words_plain(&first, words->v[i]);
    buf_init(&p.out, OUT_MAX_BYTES);
    buf_init(&p.err, OUT_MAX_BYTES);
    queue_words_plain(&first, "limit=5");
    int rc = ask(a, "list", &first, on_preview, &p);
    queue_show_rest(p.show, &p.out);
    if (rc == EX_OK)
        fputs(buf_cstr(&p.out), stderr);
    queue_show_free(&p.show);
    buf_free(&p.out);
    buf_free(&p.err);
    return rc;
}

static void say_count(const struct counted *c, FILE *to)
{
    struct buf b;
    buf_init(&b, 256);
    buf_printf(&b, "%s%lld message%s, ", c->at_most ? "at most " : "", c->messages,
               c->messages == 1 ? "" : "s");
    if (c->recipients)
        buf_printf(&b, "%lld recipient%s, ", c->recipients, c->recipients == 1 ? "" : "s");
    num_put_size(&b, (uint64_t)c->bytes);
    fputs(buf_cstr(&b), to);
    buf_free(&b);
}

static bool answered_yes(void)
{
    char line[16];
    fflush(stderr);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

int queue_act_confirm(const struct cli_args *a, const struct queue_words *words, const char *verb,
                      bool yes, bool *nothing_r)
{
    struct counted c = { 0 };
    if (!yes && !isatty(STDIN_FILENO))
        return cli_fail(a, EX_USAGE, "%s of all that a filter means is asked about first: there is "
                        "no terminal to ask on, so say --yes (and `queue count` with the same "
                        "filter to see how many)", verb);
    int rc = ask(a, "count", words, on_count, &c);
    if (rc != EX_OK)
        return rc;
    *nothing_r = c.messages == 0;
    if (*nothing_r) {
        fputs("nothing in the queue is meant by that\n", stderr);
        return EX_OK;
    }
    if (yes)
        return EX_OK;
    rc = preview(a, words);
    if (rc != EX_OK)
        return rc;
    if (c.messages > PREVIEW_ROWS)
        fputs("...\n", stderr);
    say_count(&c, stderr);
    fprintf(stderr, ": %s? [y/N] ", verb);
    if (answered_yes())
        return EX_OK;
    *nothing_r = true;
    fputs("nothing was changed\n", stderr);
    return EX_OK;
}

/* --- doing it --- */

struct doing {
    bool json, terminal, shown;
    bool changed;
};

static void clear(struct doing *d)
{
    if (d->shown)
        fputs("\r\033[K", stderr);
    d->shown = false;
}

static void on_progress(struct doing *d, const json_t *o)
{
    if (!d->terminal)
        return;
    fprintf(stderr, "\r%lld of %lld looked at, %lld changed ", (long long)int_of(o, "looked"),
            (long long)int_of(o, "of"), (long long)int_of(o, "progress"));
    fflush(stderr);
    d->shown = true;
}

static void put_text(FILE *to, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    struct buf b;
    buf_init(&b, OUT_MAX_BYTES);
    if (json_is_string(v))
        term_put_text(&b, span_of(json_string_value(v), json_string_length(v)));
    fputs(buf_cstr(&b), to);
    buf_free(&b);
}

static void say_done(const json_t *o)
{
    long long n = (long long)int_of(o, "messages"), r = (long long)int_of(o, "recipients");
    put_text(stdout, o, "action");
    printf(": %lld message%s, %lld recipient%s\n", n, n == 1 ? "" : "s", r, r == 1 ? "" : "s");
    if (int_of(o, "in_session"))
        printf("%lld recipients are being delivered now and were left alone: run it again\n",
               (long long)int_of(o, "in_session"));
    if (int_of(o, "after_attempt"))
        printf("%lld of them are being delivered now: when that attempt ends, unless it succeeds\n",
               (long long)int_of(o, "after_attempt"));
    if (json_object_get(o, "note")) {
        put_text(stdout, o, "note");
        putchar('\n');
    }
}

static void on_done(void *ctx, struct span row)
{
    struct doing *d = ctx;
    json_t *o = ctl_json(row, OUT_MAX_BYTES);
    d->changed |= int_of(o, "messages") > 0;
    if (json_object_get(o, "progress")) {
        on_progress(d, o);
    } else if (d->json) {
        printf("%.*s\n", SPAN_ARG(row));
    } else if (json_object_get(o, "error")) {
        clear(d);
        put_text(stderr, o, "id");
        fputs(": ", stderr);
        put_text(stderr, o, "error");
        fputc('\n', stderr);
    } else {
        clear(d);
        say_done(o);
    }
    json_decref(o);
}

int queue_act_run(const struct cli_args *a, const struct queue_words *words, bool some)
{
    struct doing d = { .json = a->json, .terminal = !a->json && isatty(STDERR_FILENO) };
    int rc = ask(a, "act", words, on_done, &d);
    clear(&d);
    if (rc == EX_OK && some && !d.changed)
        return cli_fail(a, EX_NOINPUT, "nothing in the queue was concerned by that");
    return rc;
}
