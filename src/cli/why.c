#include "cli/why.h"

#include "base/domain.h"
#include "base/must.h"
#include "base/netaddr.h"
#include "cli/ctl.h"
#include "cli/term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: postern why [--verbose] [--json] [-C FILE] ID | ADDRESS | DOMAIN | HOST...\n"
    "\n"
    "Says why mail is where it is: one message by its queue id, or all that waits for an address,\n"
    "a domain, or a host or site it is sent to. First in plain words, then the facts: what every\n"
    "kept attempt met, what holds the mail back now, when it is tried next, what would be\n"
    "different if it were tried now (tables and DNS are asked anew), and what can be done. Of\n"
    "what is not in the queue (any more) it shows what the log knows, rotated files included.\n"
    "\n"
    "  -v, --verbose  the whole dialogue of every kept attempt, not of the last one alone, and\n"
    "                 all reasons where there are very many\n"
    "  -C FILE        the configuration that names the socket (" CLI_CONFIG_FILE ")\n"
    "  --socket PATH  the gateway's admin socket\n"
    "  --json         a JSON object for each of them, one a line\n"
    "\n"
    "exit status: 0 it is in the queue, 66 it is not (any more), 69 no gateway answers, 75 try\n"
    "later, 77 not allowed, 64 usage\n";

enum { TARGETS_MAX = 100, TARGET_MAX = 1000, OUT_MAX_BYTES = 64 << 20 };

struct request {
    struct cli_args a;
    const char *targets[TARGETS_MAX];
    size_t n;
    bool verbose;
};

static int read_args(struct request *rq, int argc, char **argv)
{
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        if (cli_common(&rq->a, argc, argv, &i, &rc))
            continue;
        if (strcmp(argv[i], "--verbose") == 0 || strcmp(argv[i], "-v") == 0)
            rq->verbose = true;
        else if (argv[i][0] == '-')
            rc = cli_usage_error(&rq->a, "unknown option", argv[i]);
        else if (rq->n == TARGETS_MAX || strlen(argv[i]) > TARGET_MAX || !argv[i][0])
            rc = cli_usage_error(&rq->a, "too long, empty, or too many", argv[i]);
        else
            rq->targets[rq->n++] = argv[i];
    }
    if (rc == EX_OK && !rq->a.help && rq->n == 0)
        rc = cli_usage_error(&rq->a, "why what? an id, address, domain or host is missing", NULL);
    return rc;
}

/* The caller frees. "@dom" is the domain; of an IP address with a port, as a log has it, that. */
static char *bare(const char *word)
{
    struct span s = domain_bare(span_str(word));
    struct netaddr at;
    s = span_from(s, s.n > 1 && s.p[0] == '@');
    bool bracketed = span_starts(s, SPAN("[")); /* is a next hop as smart_host has it */
    if (bracketed || !netaddr_parse(s, 0, &at, NULL) || !at.port)
        return must_strndup(s.p, s.n);
    return must_strndup(s.p, span_find(s, ':'));
}

/* It can be the name of something: no control characters, and no blanks but within quotes (RFC 5321
 * 4.1.2) and in a place's name as it is printed, with the share of a rule
 * ("mx:mx1.example by:big"). */
static bool is_name(const char *word)
{
    bool place = strstr(word, " by:") || strstr(word, " from:<"), quoted = false;
    for (const char *p = word; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f || (*p == ' ' && !place && !quoted))
            return false;
        if (quoted && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
    }
    return *word != '\0';
}

static unsigned width(void)
{
    enum { NARROWEST = 60, WIDEST = 100 };
    unsigned columns = term_width(STDOUT_FILENO);
    return columns == 0 || columns > WIDEST ? WIDEST : columns < NARROWEST ? NARROWEST : columns;
}

static void put_json(struct buf *out, const struct why *w, const struct ask *k)
{
    json_t *row = why_json(w, k);
    ctl_put_json(out, row);
    json_decref(row);
}

/* One target on its way. */
struct asked {
    struct request *rq;
    struct ask *k;
    struct why w;
    struct buf out;
    struct why_page page;
};

/* The DNS takes its time: what is known is shown. */
static void on_slow(void *ctx)
{
    struct asked *d = ctx;
    d->page.part = WHY_FACTS;
    why_show(&d->out, &d->w, d->k, &d->page);
    cli_print(&d->out);
    d->page.part = WHY_REST;
}

static int one(struct request *rq, struct ask *k, const char *word)
{
    struct asked d = { .rq = rq, .k = k };
    struct buf *out = &d.out;
    struct why *w = &d.w;
    char *target = bare(word);
    if (!is_name(target)) {
        free(target);
        return cli_fail(&rq->a, EX_USAGE, "\"%s\" is no id, address, domain or host", word);
    }
    if (strpbrk(target, "*?")) {
        free(target);
        return cli_fail(&rq->a, EX_USAGE, "\"%s\" is a pattern, and why takes one name after the "
                        "other: postern queue oldest --domain '%s' shows which there are", word,
                        word);
    }
    buf_init(out, OUT_MAX_BYTES);
    d.page = (struct why_page){ .width = width(), .colour = term_colour(STDOUT_FILENO),
                                .verbose = rq->verbose };
    if (why_ask(k, &rq->a, target, w, rq->a.json ? NULL : on_slow, &d)) {
        if (rq->a.json)
            put_json(out, w, k);
        else
            why_show(out, w, k, &d.page);
    }
    int rc = w->exit;
    if (!cli_print(out))
        rc = cli_fail(&rq->a, EX_IOERR, "the output cannot be written");
    buf_free(out);
    why_free(w);
    free(target);
    return rc;
}

int cli_why(int argc, char **argv)
{
    struct request rq = { .a = { .verb = "why", .usage = usage, .config = CLI_CONFIG_FILE } };
    struct ask *k = NULL;
    int rc = read_args(&rq, argc, argv);
    if (rc != EX_OK)
        return rc;
    if (rq.a.help) {
        fputs(usage, stdout);
        return EX_OK;
    }
    rc = ask_open(&k, &rq.a);
    if (rc == EX_OK && !ask_running(k))
        rc = ask_nobody(k);
    for (size_t i = 0, good = rc == EX_OK; good && i < rq.n; i++) {
        int got = one(&rq, k, rq.targets[i]);
        rc = got > rc ? got : rc;
    }
    ask_close(&k);
    return rc;
}
