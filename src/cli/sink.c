#include "cli/sink.h"

#include "cli/args.h"
#include "cli/sink_server.h"
#include "cli/term.h"

#include "base/json.h"
#include "base/must.h"
#include "base/num.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>

static const char usage[] =
    "usage: postern sink [-l ADDRESS:PORT] [--dir DIR] [--count N] [--lmtp] [--quiet] [--json]\n"
    "                    [--stall STAGE] [--drop STAGE] [--refuse STAGE[:CODE]] ...\n"
    "\n"
    "An SMTP (or LMTP) server that takes every message, for tests and as a next hop to look at.\n"
    "\n"
    "  -l, --listen ADDRESS:PORT  where (127.0.0.1:2526); port 0: any free one, which is printed\n"
    "  -w, --dir DIR     write each message, byte for byte, to DIR/TIME-NUMBER.eml\n"
    "  -n, --count N     end after N messages\n"
    "  --stall STAGE     say nothing more from there on\n"
    "  --drop STAGE      close the connection there\n"
    "  --refuse STAGE[:CODE]  say CODE there (550; greeting and connect: 554)\n"
    "  -q, --quiet       no line for each message\n"
    "  --json            one JSON object for each line\n"
    "\n"
    "STAGE: connect greeting helo mail rcpt data body dot quit\n"
    "exit status: 0 after N messages or a signal, 64 usage, 69 it cannot listen there\n";

static const char *const stages[SINK_STAGES] = {
    "connect", "greeting", "helo", "mail", "rcpt", "data", "body", "dot", "quit",
};

static int usage_error(const char *what, const char *arg)
{
    return cli_usage_error(&(struct cli_args){ .verb = "sink", .usage = usage }, what, arg);
}

static void put_line(struct buf *b)
{
    struct span s = buf_span(b);
    fwrite(s.p ? s.p : "", 1, s.n, stdout);
    fputc('\n', stdout);
    fflush(stdout);
    buf_free(b);
}

static void message_json(const struct sink_message *m, struct buf *b)
{
    struct json j = json_writer(b);
    json_open(&j, NULL);
    json_str(&j, "event", SPAN("message"));
    json_uint(&j, "number", m->number);
    json_str(&j, "from", m->sender);
    json_open_array(&j, "to");
    for (struct span rest = m->rcpts; rest.n;) {
        size_t n = 1; /* "<a>,<b>": an address may hold a comma, so the end is ">," or the end */
        while (n < rest.n && !(rest.p[n] == '>' && (n + 1 == rest.n || rest.p[n + 1] == ',')))
            n++;
        json_str(&j, NULL, span_from(span_to(rest, n), 1));
        rest = span_from(rest, n + 2);
    }
    json_close_array(&j);
    json_uint(&j, "bytes", m->bytes);
    json_bool(&j, "bdat", m->bdat);
    if (m->file)
        json_str(&j, "file", span_str(m->file));
    json_close(&j);
}

static void on_message(struct sink *s, const struct sink_message *m)
{
    if (s->opt->quiet)
        return;
    struct buf b;
    buf_init(&b, 8 << 20);
    if (s->opt->json) {
        message_json(m, &b);
    } else {
        buf_printf(&b, "message %llu: %llu bytes from <", (unsigned long long)m->number,
                   (unsigned long long)m->bytes);
        term_put_text(&b, m->sender);
        buf_putz(&b, "> to ");
        term_put_text(&b, m->rcpts);
        buf_printf(&b, "%s%s", m->file ? " in " : "", m->file ? m->file : "");
    }
    put_line(&b);
}

static void on_trouble(struct sink *s, const char *what)
{
    (void)s;
    fprintf(stderr, "postern sink: %s: %s\n", what, strerror(errno));
}

static void on_signal(void *ctx)
{
    struct sink *s = ctx;
    loop_stop(s->loop);
}

static void say_listening(struct sink *s)
{
    struct netaddr at = s->opt->listen;
    struct buf b, text;
    buf_init(&b, 512);
    buf_init(&text, NETADDR_TEXT_MAX);
    loop_local_addr(s->loop, s->fd, &at);
    netaddr_put(&text, &at);
    if (s->opt->json) {
        struct json j = json_writer(&b);
        json_open(&j, NULL);
        json_str(&j, "event", SPAN("listening"));
        json_str(&j, "address", buf_span(&text));
        json_close(&j);
    } else {
        buf_printf(&b, "listening on %s", buf_cstr(&text));
    }
    buf_free(&text);
    put_line(&b);
}

static void say_sums(const struct sink *s)
{
    struct buf b;
    buf_init(&b, 512);
    if (s->opt->json) {
        struct json j = json_writer(&b);
        json_open(&j, NULL);
        json_str(&j, "event", SPAN("end"));
        json_uint(&j, "messages", s->messages);
        json_uint(&j, "recipients", s->recipients);
        json_uint(&j, "bytes", s->bytes);
        json_uint(&j, "connections", s->connections);
        json_close(&j);
    } else {
        buf_printf(&b, "%llu messages, %llu recipients, %llu bytes, %llu connections",
                   (unsigned long long)s->messages, (unsigned long long)s->recipients,
                   (unsigned long long)s->bytes, (unsigned long long)s->connections);
    }
    put_line(&b);
}

static bool add_fault(struct sink_options *o, enum sink_fault fault, const char *arg)
{
    struct span stage = span_str(arg), code = SPAN_NONE;
    size_t colon = span_find(stage, ':');
    uint64_t n = 0;
    if (fault == SINK_REFUSE && colon < stage.n) {
        code = span_from(stage, colon + 1);
        stage = span_to(stage, colon);
        if (!num_upto(code, 599, &n) || n < 400)
            return false;
    }
    for (int i = 0; i < SINK_STAGES; i++)
        if (span_eq(stage, span_str(stages[i]))) {
            o->at[i].fault = fault;
            o->at[i].code = n ? (int)n : i <= SINK_GREETING ? 554 : 550;
            return true;
        }
    return false;
}

enum { OPT_STALL = 256, OPT_DROP, OPT_REFUSE, OPT_JSON, OPT_LMTP, OPT_HELP };

/* -1: go on; otherwise the exit status. */
static int take_option(struct sink_options *o, int opt, const char *arg)
{
    struct err e;
    switch (opt) {
    case 'l':
        if (!netaddr_parse(span_str(arg), 0, &o->listen, &e))
            return usage_error(e.text, arg);
        return -1;
    case 'w': o->dir = arg; return -1;
    case 'n': return num_u64(span_str(arg), &o->count) ? -1 : usage_error("not a number", arg);
    case 'q': o->quiet = true; return -1;
    case OPT_JSON: o->json = true; return -1;
    case OPT_LMTP: o->lmtp = true; return -1;
    case OPT_STALL:
    case OPT_DROP:
    case OPT_REFUSE: {
        enum sink_fault f = opt == OPT_STALL ? SINK_STALL : opt == OPT_DROP ? SINK_DROP
                                                                            : SINK_REFUSE;
        return add_fault(o, f, arg) ? -1 : usage_error("no such stage or code", arg);
    }
    case OPT_HELP:
        fputs(usage, stdout);
        return EX_OK;
    default: return EX_USAGE;
    }
}

static int read_options(int argc, char **argv, struct sink_options *o)
{
    static const struct option longs[] = {
        { "listen", required_argument, NULL, 'l' }, { "dir", required_argument, NULL, 'w' },
        { "count", required_argument, NULL, 'n' },  { "quiet", no_argument, NULL, 'q' },
        { "stall", required_argument, NULL, OPT_STALL },
        { "drop", required_argument, NULL, OPT_DROP },
        { "refuse", required_argument, NULL, OPT_REFUSE },
        { "json", no_argument, NULL, OPT_JSON },    { "lmtp", no_argument, NULL, OPT_LMTP },
        { "help", no_argument, NULL, OPT_HELP },    { NULL, 0, NULL, 0 },
    };
    netaddr_parse(SPAN("127.0.0.1:2526"), 0, &o->listen, NULL);
    optind = 0;
    opterr = 0;
    for (int opt; (opt = getopt_long(argc, argv, "l:w:n:qh", longs, NULL)) != -1;) {
        if (opt == '?')
            return usage_error("unknown option, or its value is missing", argv[optind - 1]);
        int rc = take_option(o, opt == 'h' ? OPT_HELP : opt, optarg);
        if (rc >= 0)
            return rc;
    }
    if (optind < argc)
        return usage_error("what is this?", argv[optind]);
    if (o->dir && mkdir(o->dir, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "postern sink: %s: %s\n", o->dir, strerror(errno));
        return EX_CANTCREAT;
    }
    return -1;
}

int cli_sink(int argc, char **argv)
{
    struct sink_options opt = { 0 };
    struct loop_signal term, intr;
    struct err e;
    int rc = read_options(argc, argv, &opt);
    if (rc >= 0)
        return rc;
    signal(SIGPIPE, SIG_IGN);
    struct sink *s = NEW(struct sink);
    s->opt = &opt;
    s->message = on_message;
    s->trouble = on_trouble;
    s->loop = loop_new();
    rc = EX_UNAVAILABLE;
    if (!sink_open(s, &e)) {
        fprintf(stderr, "postern sink: %s\n", e.text);
        goto done;
    }
    loop_signal_add(s->loop, &term, SIGTERM, on_signal, s);
    loop_signal_add(s->loop, &intr, SIGINT, on_signal, s);
    say_listening(s);
    loop_run(s->loop);
    say_sums(s);
    loop_signal_del(&term);
    loop_signal_del(&intr);
    sink_close(s);
    rc = EX_OK;
done:
    loop_free(&s->loop);
    free(s);
    return rc;
}
