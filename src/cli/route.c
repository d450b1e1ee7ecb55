#include "cli/route.h"

#include "base/netaddr.h"
#include "cli/args.h"
#include "cli/ctl.h"
#include "config/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static const char usage[] =
    "usage: postern route [--from SENDER] [--client IP] [--listener NAME] [--json] [-C FILE]\n"
    "                     RECIPIENT...\n"
    "\n"
    "Says step by step where mail to an address will go and why: what the tables say, with file\n"
    "and line, what the address becomes, what the DNS says, and the hosts in the order in which\n"
    "they are tried. The running gateway is asked for its own tables and its cache; when none\n"
    "answers, the files of the configuration and its name servers.\n"
    "\n"
    "  --from SENDER  the envelope sender (the null sender)\n"
    "  --client IP    as if this client sent it (a program of this host)\n"
    "  --listener N   as if it came in by the listener of this name, for delivery_rules that name\n"
    "                 one (what there is to tell from --client)\n"
    "  -C FILE        the configuration (" CLI_CONFIG_FILE ")\n"
    "  --socket PATH  the gateway's admin socket\n"
    "  --json         a JSON object for each recipient, one a line\n"
    "\n"
    "exit status: 0 it can be delivered; else of the worst recipient: 64 the address makes no\n"
    "sense, 65 refused, 67 no such user, 68 no such host, 69 refused otherwise, 75 put off,\n"
    "78 the configuration is wrong; 64 usage, 66 no configuration\n";

enum { RCPTS_MAX = 1000, ADDR_MAX = 1000 };

struct request {
    struct cli_args a;
    struct story_question q;
    const char *rcpts[RCPTS_MAX];
    size_t n;
};

/* "<user@dom>" may be written with its brackets; the caller frees. */
static char *bare(const char *addr)
{
    struct span s = span_trim(span_str(addr));
    if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
        s = span_of(s.p + 1, s.n - 2);
    return strndup(s.p, s.n);
}

static int take_word(struct request *rq, const char *arg)
{
    if (arg[0] == '-')
        return cli_usage_error(&rq->a, "unknown option", arg);
    if (rq->n == RCPTS_MAX || strlen(arg) > ADDR_MAX)
        return cli_usage_error(&rq->a, "too long, or too many", arg);
    rq->rcpts[rq->n++] = arg;
    return EX_OK;
}

static int read_args(struct request *rq, int argc, char **argv)
{
    struct netaddr ip;
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        const char *arg = argv[i];
        bool from = strcmp(arg, "--from") == 0, client = strcmp(arg, "--client") == 0;
        bool listener = strcmp(arg, "--listener") == 0;
        if (cli_common(&rq->a, argc, argv, &i, &rc))
            continue;
        if (!from && !client && !listener)
            rc = take_word(rq, arg);
        else if (++i >= argc || strlen(argv[i]) > ADDR_MAX)
            rc = cli_usage_error(&rq->a, "a value is missing", arg);
        else if (from)
            rq->q.sender = argv[i];
        else if (listener)
            rq->q.listener = argv[i];
        else if (netaddr_parse_ip(span_str(argv[i]), &ip))
            rq->q.client = argv[i];
        else
            rc = cli_usage_error(&rq->a, "not an IP address", argv[i]);
    }
    if (rc == EX_OK && !rq->a.help && rq->n == 0)
        rc = cli_usage_error(&rq->a, "whose route? a recipient is missing", NULL);
    return rc;
}

static int show_one(struct request *rq, struct ask *k, const char *rcpt)
{
    struct story s;
    struct buf out;
    char *addr = bare(rcpt);
    struct story_question q = rq->q;
    q.rcpt = addr;
    bool good = story_ask(k, &rq->a, &q, &s);
    int rc = good ? s.exit : ask_exit(k);
    buf_init(&out, 16 << 20);
    if (good && rq->a.json) {
        json_t *row = route_show_json(&s, &q, k);
        ctl_put_json(&out, row);
        json_decref(row);
    } else if (good) {
        route_show(&out, &s, &q, k);
    }
    if (!cli_print(&out))
        rc = cli_fail(&rq->a, EX_IOERR, "the output cannot be written");
    buf_free(&out);
    story_free(&s);
    free(addr);
    return rc;
}

/* A name that is wrong would mean nothing, without a word. */
static int check_listener(const struct request *rq, const struct config *cfg)
{
    if (!rq->q.listener)
        return EX_OK;
    struct span name = span_str(rq->q.listener);
    bool known = span_eq(name, SPAN("submit"));
    for (size_t i = 0; i < cfg->n_listens && !known; i++)
        known = span_eq(name, cfg->listens[i].name);
    if (known)
        return EX_OK;
    const char *like = config_suggest_listener(cfg, name);
    return cli_fail(&rq->a, EX_USAGE, "there is no listener \"%s\"%s%s%s", rq->q.listener,
                    like ? "; did you mean \"" : "", like ? like : "", like ? "\"?" : "");
}

int cli_route(int argc, char **argv)
{
    struct request rq = {
        .a = { .verb = "route", .usage = usage, .config = CLI_CONFIG_FILE },
        .q = { .sender = "" },
    };
    struct ask *k = NULL;
    int rc = read_args(&rq, argc, argv);
    if (rc != EX_OK)
        return rc;
    if (rq.a.help) {
        fputs(usage, stdout);
        return EX_OK;
    }
    char *sender = bare(rq.q.sender);
    rq.q.sender = sender;
    rc = ask_open(&k, &rq.a);
    if (rc == EX_OK)
        rc = check_listener(&rq, ask_config(k));
    if (rc == EX_OK)
        rq.q.listener = route_listener(ask_config(k), &rq.q);
    for (size_t i = 0, opened = rc == EX_OK; opened && i < rq.n; i++) {
        int one = show_one(&rq, k, rq.rcpts[i]);
        rc = one > rc ? one : rc;
    }
    ask_close(&k);
    free(sender);
    return rc;
}
