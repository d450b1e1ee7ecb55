#include "cli/map.h"

#include "base/json.h"
#include "base/must.h"
#include "cli/args.h"
#include "maps/spec.h"
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: postern map get [--as TABLE] [--json] TYPE:FILE KEY...\n"
    "       postern map list [--as TABLE] [--json] TYPE:FILE\n"
    "       postern map check [--as TABLE] [--json] TYPE:FILE\n"
    "\n"
    "get     what stands beside each key\n"
    "list    all entries, KEY<TAB>VALUE, in their order\n"
    "check   reads it and says everything that is wrong, FILE:LINE: error: TEXT\n"
    "\n"
    "TYPE is text, hash (btree, dbm), cdb, regex, cidr or inline: see postern.conf(5).\n"
    "\n"
    "  --as TABLE  read it as that table of the configuration is read, with its checks:\n"
    "              mailertable, access, virtusertable, aliases, smarttable, genericstable ...\n"
    "  --json      one JSON object a line on standard output\n"
    "\n"
    "exit status: 0 found or good, 1 a key is not there, 65 the file is bad, 75 no answer\n"
    "             within the limits of a pattern, 64 usage\n";

enum { NOT_FOUND = 1, OUT_MAX = 1 << 20, OUT_FULL = 1 << 16 };

struct request {
    struct cli_args a;
    const char *verb, *spec;
    char **keys;
    size_t n_keys;
    int as; /* enum route_table; -1: any */
    struct buf out;
    struct json json;
    bool failed; /* standard output */
};

static void put(struct request *rq)
{
    if (!cli_print(&rq->out))
        rq->failed = true;
    rq->json = json_writer(&rq->out);
}

/* --- check --- */

static void say(void *ctx, struct span source, uint32_t line, bool warning, struct span text)
{
    struct request *rq = ctx;
    if (!rq->a.json || strcmp(rq->verb, "check") != 0) {
        fprintf(stderr, "%.*s", SPAN_ARG(source));
        if (line)
            fprintf(stderr, ":%u", line);
        fprintf(stderr, ": %s: %.*s\n", warning ? "warning" : "error", SPAN_ARG(text));
        return;
    }
    json_open(&rq->json, NULL);
    json_str(&rq->json, "file", source);
    json_uint(&rq->json, "line", line);
    json_str(&rq->json, "level", warning ? SPAN("warning") : SPAN("error"));
    json_str(&rq->json, "text", text);
    json_close(&rq->json);
    buf_putc(&rq->out, '\n');
    put(rq);
}

static int check(struct request *rq, const struct map *m, const struct map_report *r)
{
    if (rq->a.json) {
        json_open(&rq->json, NULL);
        json_bool(&rq->json, "ok", m != NULL);
        json_uint(&rq->json, "entries", m ? map_stats(m).entries : 0);
        json_uint(&rq->json, "errors", r->errors);
        json_uint(&rq->json, "warnings", r->warnings);
        json_close(&rq->json);
    } else if (m) {
        buf_printf(&rq->out, "%.*s: %zu entries, %zu warnings", SPAN_ARG(map_source(m)),
                   map_stats(m).entries, r->warnings);
    } else {
        return EX_DATAERR;
    }
    buf_putc(&rq->out, '\n');
    put(rq);
    return m ? EX_OK : EX_DATAERR;
}

/* --- get and list --- */

static void put_json_entry(struct request *rq, const struct map *m, struct span key,
                           const struct map_hit *hit)
{
    rq->json = json_writer(&rq->out); /* objects, each a line: no commas between them */
    json_open(&rq->json, NULL);
    json_str(&rq->json, "key", key);
    json_bool(&rq->json, "found", hit != NULL);
    if (hit) {
        json_str(&rq->json, "value", hit->value);
        json_str(&rq->json, "source", map_source(m));
        json_uint(&rq->json, "line", hit->line);
    }
    json_close(&rq->json);
    buf_putc(&rq->out, '\n');
}

static int get(struct request *rq, struct map *m)
{
    int rc = EX_OK;
    for (size_t i = 0; i < rq->n_keys; i++) {
        struct map_hit hit;
        struct span key = span_str(rq->keys[i]);
        int found = map_lookup(m, key, &hit);
        if (found < 0) {
            rc = cli_fail(&rq->a, EX_TEMPFAIL, "%s: no answer to \"%.200s\" within the limits",
                          rq->spec, rq->keys[i]);
            continue;
        }
        if (!found && rc == EX_OK)
            rc = NOT_FOUND;
        if (rq->a.json) {
            put_json_entry(rq, m, key, found ? &hit : NULL);
        } else if (found) {
            buf_puts(&rq->out, hit.value);
            buf_putc(&rq->out, '\n');
        }
        put(rq);
    }
    return rc;
}

struct lister {
    struct request *rq;
    const struct map *m;
};

static bool list_entry(void *ctx, struct span key, const struct map_hit *hit)
{
    struct lister *l = ctx;
    struct request *rq = l->rq;
    if (rq->a.json) {
        put_json_entry(rq, l->m, key, hit);
    } else {
        buf_puts(&rq->out, key);
        buf_putc(&rq->out, '\t');
        buf_puts(&rq->out, hit->value);
        buf_putc(&rq->out, '\n');
    }
    if (rq->out.len > OUT_FULL)
        put(rq);
    return !rq->failed;
}

static int list(struct request *rq, const struct map *m)
{
    struct lister l = { rq, m };
    map_each(m, list_entry, &l);
    put(rq);
    return EX_OK;
}

/* --- the verb --- */

static int read_table(struct request *rq, const char *name)
{
    const char *names[ROUTE_TABLES];
    for (int i = 0; i < ROUTE_TABLES; i++) {
        names[i] = route_table_name((enum route_table)i);
        if (strcmp(names[i], name) == 0)
            rq->as = i;
    }
    return rq->as >= 0 ? EX_OK : cli_unknown(&rq->a, name, names, ROUTE_TABLES);
}

static int read_args(struct request *rq, int argc, char **argv)
{
    static const char *const verbs[] = { "get", "list", "check" };
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        const char *arg = argv[i];
        if ((!rq->spec || strcmp(arg, "--json") == 0) && cli_common(&rq->a, argc, argv, &i, &rc))
            continue;
        if (!rq->spec && strcmp(arg, "--as") == 0)
            rc = ++i < argc ? read_table(rq, argv[i])
                            : cli_usage_error(&rq->a, "a value is missing", arg);
        else if (!rq->spec && arg[0] == '-')
            rc = cli_usage_error(&rq->a, "unknown argument", arg);
        else if (!rq->verb)
            rq->verb = arg;
        else if (!rq->spec)
            rq->spec = arg;
        else
            rq->keys[rq->n_keys++] = argv[i];
    }
    if (rc != EX_OK || rq->a.help)
        return rc;
    bool known = false;
    for (size_t i = 0; rq->verb && i < 3; i++)
        known |= strcmp(verbs[i], rq->verb) == 0;
    if (!known)
        return rq->verb ? cli_unknown(&rq->a, rq->verb, verbs, 3)
                        : cli_usage_error(&rq->a, "get, list or check is missing", NULL);
    if (!rq->spec)
        return cli_usage_error(&rq->a, "the map is missing", NULL);
    if ((strcmp(rq->verb, "get") == 0) != (rq->n_keys > 0))
        return cli_usage_error(&rq->a, rq->n_keys ? "too many arguments" : "the key is missing",
                               NULL);
    return EX_OK;
}

static int work(struct request *rq)
{
    struct map_params p = { .seed = (uint64_t)getpid() };
    struct map_spec s;
    struct map_report r;
    struct err e;
    int rc = EX_DATAERR;
    if (!map_spec_parse(span_str(rq->spec), &s, &e))
        return cli_fail(&rq->a, EX_USAGE, "\"%.200s\" %s", rq->spec, e.text);
    map_report_init(&r);
    r.say = say;
    r.say_ctx = rq;
    struct map *m = rq->as >= 0 ? route_open_table((enum route_table)rq->as, span_str(rq->spec),
                                                   p.seed, &r)
                                : map_open(span_str(rq->spec), &p, &r);
    if (strcmp(rq->verb, "check") == 0)
        rc = check(rq, m, &r);
    else if (m)
        rc = strcmp(rq->verb, "get") == 0 ? get(rq, m) : list(rq, m);
    map_free(&m);
    map_report_free(&r);
    return rq->failed ? cli_fail(&rq->a, EX_IOERR, "the output cannot be written") : rc;
}

int cli_map(int argc, char **argv)
{
    struct request rq = { .a = { .verb = "map", .usage = usage, .config = CLI_CONFIG_FILE },
                          .as = -1 };
    rq.keys = must_calloc((size_t)argc + 1, sizeof *rq.keys);
    buf_init(&rq.out, OUT_MAX);
    rq.json = json_writer(&rq.out);
    int rc = read_args(&rq, argc, argv);
    if (rc == EX_OK && rq.a.help)
        fputs(usage, stdout);
    else if (rc == EX_OK)
        rc = work(&rq);
    buf_free(&rq.out);
    free(rq.keys);
    return rc;
}
