#include "cli/newaliases.h"

#include "base/must.h"
#include "cli/args.h"
#include "maps/map.h"
#include "maps/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: newaliases [-C FILE] [-v] [ALIASES]...\n"
    "\n"
    "Reads the aliases (route.aliases of the configuration, or those named) and says how many\n"
    "there are and which lines are bad. Nothing is built: the gateway reads the text, and takes a\n"
    "changed one by itself as long as every line in it is good.\n"
    "\n"
    "  -C FILE   the configuration (" CLI_CONFIG_FILE ")\n"
    "\n"
    "exit status: 0 good, 70 lines are bad, 66 no such file, 78 none are configured\n";

struct count {
    const struct config *cfg; /* may be NULL */
    const char *name;         /* of the file, for messages */
    size_t aliases, longest, bytes, bad;
};

static bool count_entry(void *ctx, struct span key, struct span value, struct err *e)
{
    struct count *c = ctx;
    (void)e;
    c->aliases++;
    c->bytes += key.n + value.n;
    if (value.n > c->longest)
        c->longest = value.n;
    return true;
}

static bool is_local(void *ctx, struct span domain)
{
    const struct count *c = ctx;
    if (span_ieq(domain, SPAN("localhost")))
        return true;
    if (!c->cfg)
        return false;
    for (size_t i = 0; i < c->cfg->route.local.n; i++)
        if (span_ieq(domain, c->cfg->route.local.v[i]))
            return true;
    return span_ieq(domain, c->cfg->hostname);
}

static void say(void *ctx, struct span source, uint32_t line, bool warning, struct span text)
{
    struct count *c = ctx;
    c->bad += !warning;
    if (line)
        fprintf(stderr, "%.*s: line %u: %.*s\n", SPAN_ARG(source), line, SPAN_ARG(text));
    else
        fprintf(stderr, "%.*s: %.*s\n", SPAN_ARG(source), SPAN_ARG(text));
}

/* spec: a map, or a path as sendmail has it. */
static int check_one(const struct config *cfg, struct span spec)
{
    struct count c = { .cfg = cfg };
    struct map_report r;
    struct map_spec s;
    struct buf full, path;
    struct err e;
    int rc = EX_OK;
    buf_init(&full, CONFIG_TEXT_MAX + 8);
    buf_init(&path, CONFIG_TEXT_MAX + 8);
    if (span_find(spec, ':') == spec.n)
        buf_putz(&full, "text:");
    if (!buf_puts(&full, spec)) {
        fprintf(stderr, "%.*s...: the name is too long\n", SPAN_ARG(span_to(spec, 200)));
        buf_free(&full);
        return EX_NOINPUT;
    }
    struct map_params p = { .format = MAP_FORMAT_ALIASES, .check = count_entry, .check_ctx = &c,
                            .is_local = is_local, .seed = (uint64_t)getpid() };
    map_report_init(&r);
    r.say = say;
    r.say_ctx = &c;
    if (map_spec_parse(buf_span(&full), &s, &e) && s.file)
        map_spec_path(&s, &path);
    bool there = path.len == 0 || access(buf_cstr(&path), F_OK) == 0;
    struct map *m = map_open(buf_span(&full), &p, &r);
    if (!there && !m)
        rc = EX_NOINPUT;
    else if (c.bad)
        rc = EX_SOFTWARE;
    if (rc != EX_NOINPUT)
        printf("%.*s: %zu aliases, longest %zu bytes, %zu bytes total\n",
               SPAN_ARG(path.len ? buf_span(&path) : spec), c.aliases, c.longest, c.bytes);
    fflush(stdout);
    if (rc == EX_SOFTWARE)
        fprintf(stderr, "%.*s: the gateway keeps the aliases it has until these lines are right\n",
                SPAN_ARG(path.len ? buf_span(&path) : spec));
    map_free(&m);
    map_report_free(&r);
    buf_free(&path);
    buf_free(&full);
    return rc;
}

struct request {
    struct cli_args a;
    bool config_named;
    const char **files;
    size_t n;
};

/* -bi is what sendmail was called with; -v and options that matter elsewhere change nothing. */
static int read_args(struct request *rq, int argc, char **argv)
{
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        const char *arg = argv[i];
        rq->config_named |= strncmp(arg, "-C", 2) == 0;
        if (cli_common(&rq->a, argc, argv, &i, &rc) || strcmp(arg, "-bi") == 0 ||
            strcmp(arg, "-v") == 0)
            continue;
        if (strncmp(arg, "-oA", 3) == 0 && arg[3])
            rq->files[rq->n++] = arg + 3;
        else if (strncmp(arg, "-OAliasFile=", 12) == 0 && arg[12])
            rq->files[rq->n++] = arg + 12;
        else if (arg[0] == '-')
            rc = cli_usage_error(&rq->a, "unknown argument", arg);
        else
            rq->files[rq->n++] = arg;
    }
    if (rc == EX_OK && rq->a.help)
        fputs(rq->a.usage, stdout);
    return rc;
}

static int check_all(struct request *rq, const struct config *cfg)
{
    int rc = EX_OK;
    if (rq->n == 0 && (!cfg || !cfg->route.aliases.n))
        return cli_fail(&rq->a, EX_CONFIG, "route.aliases is not set in %s", rq->a.config);
    if (rq->n == 0)
        return check_one(cfg, cfg->route.aliases);
    for (size_t i = 0; i < rq->n; i++) {
        int one = check_one(cfg, span_str(rq->files[i]));
        rc = rc ? rc : one;
    }
    return rc;
}

int cli_newaliases(int argc, char **argv)
{
    struct request rq = { .a = { .verb = "newaliases", .usage = usage,
                                 .config = CLI_CONFIG_FILE } };
    struct config *cfg = NULL;
    rq.files = must_calloc((size_t)argc + 1, sizeof *rq.files);
    int rc = read_args(&rq, argc, argv);
    /* Files that are named need no configuration, but its local names help where there is one. */
    if (rc == EX_OK && !rq.a.help &&
        (rq.n == 0 || rq.config_named || access(rq.a.config, R_OK) == 0))
        rc = cli_load(&rq.a, &cfg);
    if (rc == EX_OK && !rq.a.help)
        rc = check_all(&rq, cfg);
    config_free(&cfg);
    free(rq.files);
    return rc;
}
