#include "cli/queue.h"

#include "base/num.h"
#include "cli/args.h"
#include "cli/ctl.h"
#include "cli/queue_show.h"
#include "cli/term.h"

#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: postern queue [list] [--limit N]\n"
    "       postern queue count\n"
    "       postern queue sites [--limit N]\n"
    "       postern queue run\n"
    "       postern queue hold | release | delete ID...\n"
    "       postern queue retry ID | DOMAIN | DESTINATION\n"
    "\n"
    "list     every message that waits, a line for each recipient: why, and when it is tried\n"
    "count    how many, by state\n"
    "sites    destinations and the sites (MX sets) behind them: those that are down first\n"
    "run      sends what waits for a queue run (listeners with delivery = queue_only)\n"
    "hold     not delivered any more until release; both outlive a restart\n"
    "delete   removes a message for good; its sender is not told\n"
    "retry    now, past any back-off: a message, what goes to a domain or to a destination\n"
    "         as `sites` names it\n"
    "\n"
    "  -C FILE        the configuration that names the socket (" CLI_CONFIG_FILE ")\n"
    "  --socket PATH  the gateway's admin socket\n"
    "  --limit N      so many messages, or destinations and sites (1000)\n"
    "  --json         JSON objects, one a line\n"
    "\n"
    "exit status: 0 done, 66 no such message (some of them), 69 no gateway answers, 75 try\n"
    "later, 77 not allowed, 64 usage\n";

enum { ARGS_MAX = 1000, FLUSH_BYTES = 64 << 10, OUT_MAX_BYTES = 64 << 20 };

static const char *const verbs[] = { "list", "count", "sites", "run", "hold", "release", "delete",
                                     "retry" };
enum { VERBS = sizeof verbs / sizeof *verbs };

struct request {
    struct cli_args a;
    const char *verb;
    char limit[32]; /* "limit=N", or empty */
    const char *args[ARGS_MAX];
    size_t n;
};

struct output {
    bool json;
    struct queue_show *show;
    struct buf out, err;
    bool at_once; /* few rows, each worth telling as it comes */
    bool failed;
};

/* --- arguments --- */

static int take_limit(struct request *rq, const char *value)
{
    uint64_t n;
    if (!value || !num_u64(span_str(value), &n))
        return cli_usage_error(&rq->a, "a number is missing", "--limit");
    snprintf(rq->limit, sizeof rq->limit, "limit=%llu", (unsigned long long)n);
    return EX_OK;
}

static int take_word(struct request *rq, const char *word)
{
    if (word[0] == '-')
        return cli_usage_error(&rq->a, "unknown option", word);
    if (rq->verb) {
        if (rq->n == ARGS_MAX)
            return cli_usage_error(&rq->a, "more arguments than it takes at once", NULL);
        rq->args[rq->n++] = word;
        return EX_OK;
    }
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(word, verbs[i]) == 0)
            rq->verb = verbs[i];
    return rq->verb ? EX_OK : cli_unknown(&rq->a, word, verbs, VERBS);
}

static int check_args(struct request *rq)
{
    const char *v = rq->verb = rq->verb ? rq->verb : "list";
    bool changes = strcmp(v, "hold") == 0 || strcmp(v, "release") == 0 ||
                   strcmp(v, "delete") == 0;
    bool retry = strcmp(v, "retry") == 0;
    bool limited = strcmp(v, "list") == 0 || strcmp(v, "sites") == 0;
    if ((changes || retry) && rq->n == 0)
        return cli_usage_error(&rq->a, changes ? "which message? its id is missing"
                                               : "an id, a domain or a destination is missing", v);
    if (retry ? rq->n > 1 : !changes && rq->n > 0)
        return cli_usage_error(&rq->a, "one word too many", rq->args[retry]);
    if (rq->limit[0] && !limited)
        return cli_usage_error(&rq->a, "takes no --limit", v);
    if (rq->limit[0])
        rq->args[rq->n++] = rq->limit;
    return EX_OK;
}

static int read_args(struct request *rq, int argc, char **argv)
{
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        if (cli_common(&rq->a, argc, argv, &i, &rc))
            continue;
        if (strcmp(argv[i], "--limit") == 0) {
            i++;
            rc = take_limit(rq, i < argc ? argv[i] : NULL);
        } else {
            rc = take_word(rq, argv[i]);
        }
    }
    return rc == EX_OK && !rq->a.help ? check_args(rq) : rc;
}

/* --- output --- */

static void flush(struct output *o)
{
    if (!cli_print(&o->out))
        o->failed = true;
    if (o->err.len)
        fprintf(stderr, "%s", buf_cstr(&o->err));
    buf_reset(&o->err);
}

static void on_row(void *ctx, struct span json)
{
    struct output *o = ctx;
    if (o->json) {
        buf_puts(&o->out, json);
        buf_putc(&o->out, '\n');
    } else {
        queue_show_row(o->show, json, &o->out, &o->err);
    }
    if (o->at_once || o->out.len >= FLUSH_BYTES || o->err.len)
        flush(o);
}

static enum queue_what what_of(const char *verb)
{
    return strcmp(verb, "list") == 0    ? QUEUE_LIST
           : strcmp(verb, "count") == 0 ? QUEUE_COUNT
           : strcmp(verb, "sites") == 0 ? QUEUE_SITES
                                        : QUEUE_ACTIONS;
}

static int ask(struct request *rq)
{
    struct ctl c;
    enum queue_what what = what_of(rq->verb);
    struct output o = { .json = rq->a.json, .at_once = what == QUEUE_ACTIONS };
    int rc = ctl_open(&c, &rq->a);
    buf_init(&o.out, OUT_MAX_BYTES);
    buf_init(&o.err, 1 << 20);
    o.show = queue_show_new(what, term_width(STDOUT_FILENO),
                            term_colour(STDOUT_FILENO), (int64_t)time(NULL) * 1000);
    if (rc == EX_OK) {
        rc = ctl_run(&c, rq->verb, rq->args, rq->n, on_row, &o);
        if (rc == EX_OK && !o.json)
            queue_show_end(o.show, &o.out);
        flush(&o);
        if (rc == EX_OK && o.failed)
            rc = cli_fail(&rq->a, EX_IOERR, "the output cannot be written");
    }
    queue_show_free(&o.show);
    buf_free(&o.out);
    buf_free(&o.err);
    ctl_close(&c);
    return rc;
}

int cli_queue(int argc, char **argv)
{
    struct request rq = {
        .a = { .verb = "queue", .usage = usage, .config = CLI_CONFIG_FILE }
    };
    int rc = read_args(&rq, argc, argv);
    if (rc != EX_OK)
        return rc;
    if (rq.a.help) {
        fputs(usage, stdout);
        return EX_OK;
    }
    return ask(&rq);
}
