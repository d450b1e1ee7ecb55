#include "cli/queue_act.h"

#include "base/num.h"
#include "cli/ctl.h"
#include "cli/queue_show.h"
#include "cli/term.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { PREVIEW_ROWS = 5, OUT_MAX_BYTES = 64 << 20, ID_MAX_BYTES = 256 };

/* --- before --- */

struct counted {
    long long messages, bytes, upto, unsited;
    long long recipients; /* -1: nothing was asked about them, and they were not counted */
};

static long long recipients_of(const json_t *o)
{
    const char *state;
    const json_t *n;
    json_t *states = json_object_get(o, "recipients");
    long long sum = 0;
    if (json_is_integer(states))
        return (long long)json_integer_value(states);
    json_object_foreach(states, state, n)
        sum += (long long)json_integer_value(n);
    return states ? sum : -1;
}

static void on_count(void *ctx, struct span row)
{
    struct counted *c = ctx;
    json_t *o = ctl_json(row, OUT_MAX_BYTES);
    c->messages = (long long)row_int(o, "messages");
    c->recipients = recipients_of(o);
    c->bytes = (long long)row_int(o, "bytes");
    c->upto = (long long)row_int(o, "upto");
    c->unsited = (long long)row_int(o, "site_unknown");
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

/* Borrowed, to add some. */
static void copy_words(struct queue_words *to, const struct queue_words *from)
{
    to->n = to->filters = to->used = 0;
    for (size_t i = 0; i < from->n; i++)
        queue_words_plain(to, from->v[i]);
}

static int preview(const struct cli_args *a, const struct queue_words *words, FILE *to)
{
    struct queue_words first;
    struct preview p = { .show = queue_show_new(QUEUE_LIST, term_width(fileno(to)),
                                                term_colour(fileno(to)),
                                                (int64_t)time(NULL) * 1000) };
    copy_words(&first, words);
    buf_init(&p.out, OUT_MAX_BYTES);
    buf_init(&p.err, OUT_MAX_BYTES);
    queue_words_plain(&first, "limit=5");
    int rc = ctl_once(a, "list", first.v, first.n, on_preview, &p);
    queue_show_rest(p.show, &p.out);
    if (rc == EX_OK)
        fputs(buf_cstr(&p.out), to);
    queue_show_free(&p.show);
    buf_free(&p.out);
    buf_free(&p.err);
    return rc;
}

static void say_count(const struct counted *c, FILE *to)
{
    struct buf b;
    buf_init(&b, 256);
    term_put_counted(&b, (uint64_t)c->messages, "message");
    buf_putz(&b, ", ");
    if (c->recipients >= 0) {
        term_put_counted(&b, (uint64_t)c->recipients, "recipient");
        buf_putz(&b, ", ");
    }
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

static void say_unsited(const struct counted *c, const struct queue_words *words)
{
    struct buf b;
    buf_init(&b, 256);
    if (queue_words_by_site(words))
        term_put_unsited(&b, c->unsited);
    fputs(buf_cstr(&b), stderr);
    buf_free(&b);
}

/* Counts; nothing to do is said. Without a filter there is nothing to be unsure of. */
static int count(const struct cli_args *a, const struct queue_words *words, struct counted *c)
{
    struct queue_words w;
    copy_words(&w, words);
    if (w.n)
        queue_words_plain(&w, "sure");
    int rc = ctl_once(a, "count", w.v, w.n, on_count, c);
    if (rc == EX_OK && c->messages == 0)
        fputs("nothing in the queue is meant by that\n", stderr);
    if (rc == EX_OK)
        say_unsited(c, words);
    return rc;
}

static int show(const struct cli_args *a, const struct queue_words *words, const struct counted *c,
                FILE *to)
{
    int rc = preview(a, words, to);
    if (rc == EX_OK && c->messages > PREVIEW_ROWS)
        fputs("...\n", to);
    return rc;
}

/* What was asked for is to be seen. */
static int shown(const struct cli_args *a)
{
    return fflush(stdout) == 0 && !ferror(stdout)
               ? EX_OK
               : cli_fail(a, EX_IOERR, "the output cannot be written");
}

int queue_act_dry_run(const struct cli_args *a, const struct queue_words *words, const char *verb)
{
    struct counted c = { 0 };
    int rc = count(a, words, &c);
    if (rc == EX_OK && c.messages && !a->json)
        rc = show(a, words, &c, stdout);
    if (rc != EX_OK || (!c.messages && !a->json))
        return rc;
    if (a->json) {
        printf("{\"dry_run\":\"%s\",\"messages\":%lld,", verb, c.messages);
        if (c.recipients >= 0)
            printf("\"recipients\":%lld,", c.recipients);
        printf("\"bytes\":%lld}\n", c.bytes);
        return shown(a);
    }
    say_count(&c, stdout);
    printf(": what %s would %s; nothing was changed\n", verb,
           strcmp(verb, "reroute --back") == 0 ? "look at: of these, what is rerouted"
                                               : "be about");
    return shown(a);
}

static int refuse(const struct cli_args *a, const struct counted *c, const char *verb)
{
    say_count(c, stderr);
    fputs(" are meant\n", stderr);
    return cli_fail(a, EX_USAGE, "%s of all that a filter means is asked about first: there is "
                    "no terminal to ask on, so say --yes (or --dry-run to see which)", verb);
}

/* What comes while it is being asked is nothing that was agreed to. */
static bool put_moment(struct queue_words *words, const struct counted *c)
{
    char age[24];
    snprintf(age, sizeof age, "%lld", c->upto);
    return queue_words_add(words, "upto", age);
}

int queue_act_confirm(const struct cli_args *a, struct queue_words *words, const char *verb,
                      bool yes, bool *nothing_r)
{
    struct counted c = { 0 };
    int rc = count(a, words, &c);
    *nothing_r = c.messages == 0;
    if (rc != EX_OK || *nothing_r || yes)
        return rc;
    if (!isatty(STDIN_FILENO))
        return refuse(a, &c, verb);
    rc = show(a, words, &c, stderr);
    if (rc != EX_OK)
        return rc;
    say_count(&c, stderr);
    fprintf(stderr, ": %s%s? [y/N] ", verb, strcmp(verb, "reroute") == 0
                                               ? " (what that next hop refuses is returned)" : "");
    if (answered_yes())
        return put_moment(words, &c) ? EX_OK : cli_fail(a, EX_USAGE, "too many arguments");
    *nothing_r = true;
    fputs("nothing was changed\n", stderr);
    return EX_OK;
}

/* --- why nothing happens --- */

void queue_act_put_frozen(struct buf *out, struct span name, struct span who, int64_t since_ms)
{
    term_put_text(out, name);
    buf_putz(out, " is frozen");
    if (who.n) {
        buf_putz(out, " by ");
        term_put_text(out, who);
        buf_putz(out, " since ");
        term_put_when(out, since_ms);
    }
    buf_putz(out, ": nothing is started for it until postern queue thaw ");
    term_put_text(out, name);
    buf_putc(out, '\n');
}

struct held {
    struct buf id, reason;
    long long messages;
};

static void on_held(void *ctx, struct span row)
{
    struct held *h = ctx;
    json_t *o = ctl_json(row, OUT_MAX_BYTES);
    const json_t *r = json_array_get(json_object_get(o, "recipients"), 0);
    const char *id = json_string_value(json_object_get(o, "id"));
    const char *reason = json_string_value(json_object_get(r, "reason"));
    if (h->messages++ == 0) {
        term_put_text(&h->id, span_str(id ? id : ""));
        term_put_text(&h->reason, span_str(reason ? reason : ""));
    }
    json_decref(o);
}

static bool is_of_action(const char *word)
{
    static const char *const names[] = { "action=", "nexthop=", "upto=" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(word, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* What was asked about, without what was to be done to it. */
static void copy_asked(struct queue_words *to, const struct queue_words *from)
{
    to->n = to->filters = to->used = 0;
    for (size_t i = 0; i < from->n; i++)
        if (!is_of_action(from->v[i]))
            queue_words_plain(to, from->v[i]);
}

/* The filter for all that was asked about, where that is one name; else the one message. */
static void put_chosen(struct buf *out, const struct queue_words *w, const struct held *h)
{
    static const struct {
        const char *word, *option;
    } table[] = { { "domain=", "--domain" }, { "site=", "--site" }, { "to=", "--to" },
                  { "target=", NULL } };
    const char *option = NULL, *value = NULL;
    for (size_t i = 0; i < w->n; i++) {
        for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
            size_t n = strlen(table[k].word);
            if (strncmp(w->v[i], table[k].word, n) != 0)
                continue;
            value = value ? "" : w->v[i] + n; /* of two names: neither */
            option = table[k].option;
        }
    }
    if (value && !option)
        option = strchr(value, '@') ? "--to" : strchr(value, ':') ? "--site" : "--domain";
    if (h->messages < 2 || !value || !strchr(value, '.')) {
        buf_puts(out, buf_span(&h->id));
        return;
    }
    buf_printf(out, "%s ", option);
    term_put_shell(out, span_str(value));
}

bool queue_act_held(const struct cli_args *a, const struct queue_words *words)
{
    struct queue_words w;
    struct held h = { .messages = 0 };
    copy_asked(&w, words);
    buf_init(&h.id, ID_MAX_BYTES);
    buf_init(&h.reason, OUT_MAX_BYTES);
    bool asked = queue_words_plain(&w, "state=held,quarantined") &&
                 queue_words_plain(&w, "limit=2") &&
                 ctl_once(a, "list", w.v, w.n, on_held, &h) == EX_OK;
    bool any = asked && h.messages > 0;
    struct buf chosen;
    buf_init(&chosen, OUT_MAX_BYTES);
    put_chosen(&chosen, words, &h);
    if (any)
        cli_fail(a, EX_NOINPUT, "%s%s is held%s%s: postern queue release %s", buf_cstr(&h.id),
                 h.messages > 1 ? ", with others," : "", h.reason.len ? ": " : "",
                 buf_cstr(&h.reason), buf_cstr(&chosen));
    buf_free(&chosen);
    buf_free(&h.id);
    buf_free(&h.reason);
    return any;
}

void queue_act_unsited(const struct cli_args *a, const struct queue_words *words)
{
    struct queue_words w;
    struct counted c = { 0 };
    copy_asked(&w, words);
    if (queue_words_by_site(&w) && ctl_once(a, "count", w.v, w.n, on_count, &c) == EX_OK)
        say_unsited(&c, &w);
}

/* --- doing it --- */

struct doing {
    bool json, terminal, shown;
    bool some; /* that nothing was changed is told otherwise */
    bool changed, frozen, in_session;
    bool stopped; /* in the middle: what was done by then is told */
    long long done, of; /* as far as it was told */
};

static void clear(struct doing *d)
{
    if (d->shown)
        fputs("\r\033[K", stderr);
    d->shown = false;
}

static void on_progress(struct doing *d, const json_t *o)
{
    d->done = (long long)row_int(o, "progress");
    d->of = (long long)row_int(o, "of");
    if (!d->terminal)
        return;
    struct buf b;
    buf_init(&b, 256);
    term_put_count(&b, (uint64_t)row_int(o, "looked"));
    buf_putz(&b, " of ");
    term_put_count(&b, (uint64_t)row_int(o, "of"));
    buf_putz(&b, " looked at, ");
    term_put_count(&b, (uint64_t)row_int(o, "progress"));
    fprintf(stderr, "\r%s changed ", buf_cstr(&b));
    buf_free(&b);
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

static void say_frozen(const json_t *o)
{
    struct buf b;
    buf_init(&b, OUT_MAX_BYTES);
    queue_act_put_frozen(&b, row_text(o, "frozen_as"), row_text(o, "who"), row_int(o, "since_ms"));
    fputs(buf_cstr(&b), stderr);
    buf_free(&b);
}

static void say_number(int64_t n, const char *one, const char *more)
{
    struct buf b;
    buf_init(&b, 64);
    term_put_count(&b, (uint64_t)n);
    printf("%s%s\n", buf_cstr(&b), n == 1 ? one : more);
    buf_free(&b);
}

static void say_done(const struct doing *d, const json_t *o)
{
    long long n = (long long)row_int(o, "messages"), r = (long long)row_int(o, "recipients");
    long long frozen = (long long)row_int(o, "frozen");
    if (n || (!frozen && !d->some && !d->stopped)) {
        struct buf b;
        buf_init(&b, 256);
        term_put_counted(&b, (uint64_t)n, "message");
        buf_putz(&b, ", ");
        term_put_counted(&b, (uint64_t)r, "recipient");
        put_text(stdout, o, "action");
        printf(": %s%s\n", buf_cstr(&b), n || row_int(o, "in_session") > 0 ? ""
                                         : " (nothing was left to change)");
        buf_free(&b);
    }
    if (row_int(o, "untold"))
        say_number(row_int(o, "untold"), " of them: nobody is told, as its sender asked",
                   " of them: nobody is told, as their senders asked");
    if (row_int(o, "to_postmaster"))
        say_number(row_int(o, "to_postmaster"),
                   " of them: the postmaster is told, as it has no sender",
                   " of them: the postmaster is told, as they have no sender");
    if (frozen)
        say_frozen(o);
    if (row_int(o, "in_session"))
        say_number(row_int(o, "in_session"),
                   " recipient is being delivered now and was left alone: run it again",
                   " recipients are being delivered now and were left alone: run it again");
    if (json_is_true(json_object_get(o, "since")))
        puts("what has come since was left alone");
    if (row_int(o, "after_attempt"))
        say_number(row_int(o, "after_attempt"),
                   " of them is being delivered now: when that attempt ends, unless it succeeds",
                   " of them are being delivered now: when that attempt ends, unless it succeeds");
    if (json_object_get(o, "note")) {
        put_text(stdout, o, "note");
        putchar('\n');
    }
}

static void on_done(void *ctx, struct span row)
{
    struct doing *d = ctx;
    json_t *o = ctl_json(row, OUT_MAX_BYTES);
    d->changed |= row_int(o, "messages") > 0;
    d->frozen |= row_int(o, "frozen") > 0;
    d->in_session |= row_int(o, "in_session") > 0;
    d->stopped |= row_true(o, "stopped");
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
        say_done(d, o);
    }
    json_decref(o);
}

/* What is interrupted between two messages can be begun again. */
static int say_interrupted(const struct doing *d)
{
    fflush(stdout); /* what was done, first */
    if (d->stopped)
        fputs("interrupted: the same command does the rest\n", stderr);
    else if (d->of)
        fprintf(stderr, "interrupted: about %lld of %lld messages were changed; the same command "
                        "does the rest\n", d->done, d->of);
    else
        fputs("interrupted: the same command does what was not done\n", stderr);
    return 128 + SIGINT;
}

/* A descriptor that is readable after Ctrl-C, instead of the signal; -1: that ends us as ever. */
static int catch_interrupt(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, before);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        sigprocmask(SIG_SETMASK, before, NULL);
    return fd;
}

/* What has come in meanwhile has been said, or came too late. */
static void forget_interrupt(int fd)
{
    struct signalfd_siginfo one;
    while (fd >= 0 && read(fd, &one, sizeof one) > 0)
        ;
    if (fd >= 0)
        close(fd);
}

/* It concerns every message there is. */
static bool ends_mail(const struct queue_words *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->v[i], "action=bounce") == 0 || strcmp(w->v[i], "action=expire") == 0)
            return true;
    return false;
}

int queue_act_run(const struct cli_args *a, const struct queue_words *words, bool some)
{
    struct doing d = { .json = a->json, .some = some,
                       .terminal = !a->json && isatty(STDERR_FILENO) };
    struct ctl c;
    sigset_t before;
    int rc = ctl_open(&c, a);
    if (rc == EX_OK) {
        c.stop_fd = catch_interrupt(&before);
        rc = ctl_run(&c, "act", words->v, words->n, on_done, &d);
        clear(&d);
        if (c.stopped || d.stopped)
            rc = say_interrupted(&d);
        forget_interrupt(c.stop_fd);
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    ctl_close(&c);
    if (rc == EX_OK && (d.frozen || (d.in_session && !d.changed)))
        return EX_TEMPFAIL;
    if (rc == EX_OK && some && !d.changed && !queue_act_held(a, words))
        return cli_fail(a, EX_NOINPUT, ends_mail(words)
                                           ? "there is no such message in the queue"
                                           : "nothing in the queue was concerned by that");
    return rc == EX_OK && some && !d.changed ? EX_NOINPUT : rc;
}
