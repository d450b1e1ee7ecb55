#include "cli/config.h"

#include "base/must.h"
#include "cli/args.h"
#include "cli/config_diff.h"
#include "cli/config_import.h"
#include "config/files.h"
#include "config/show.h"
#include "mc/mc.h"
#include "route/route.h"
#include "tls/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#ifndef POSTERN_SYSCONFDIR
#define POSTERN_SYSCONFDIR "/etc/postern"
#endif

static const char usage[] =
    "usage: postern config check [-C FILE] [--files] [--json]\n"
    "       postern config show [-C FILE] [--json | --as-file]\n"
    "       postern config explain [-C FILE] [--json] NAME...\n"
    "       postern config diff [-C FILE] [--socket PATH] [--json]\n"
    "       postern config import FILE.mc [-o OUT]\n"
    "\n"
    "check    reads the configuration and says everything that is wrong with it\n"
    "         --files also looks whether the files and directories it names are there,\n"
    "         whether each key belongs to its certificate, and whether each rule in its\n"
    "         maps can be read and can ever apply\n"
    "show     the value of every option, and where it was set\n"
    "         --as-file prints a configuration file that says the same\n"
    "explain  what an option does, what it takes, its default and its value:\n"
    "         NAME is like spool.free_min, or free_min, or a section: spool\n"
    "diff     what a reload would change in the running gateway, and what needs a restart\n"
    "import   prints what a macro file of sendmail's says, as a configuration of our own\n"
    "\n"
    "  -C FILE  the configuration (" POSTERN_SYSCONFDIR "/postern.conf)\n"
    "  --json   one JSON object on standard output\n"
    "\n"
    "exit status: 0 good, 78 mistakes in the configuration, 66 it cannot be read,\n"
    "69 no gateway answers (diff), 64 usage\n";

struct request {
    const char *file, *socket;
    const char *what; /* check, show, explain, diff */
    char **names;     /* explain: those of argv, moved together */
    int name_count;
    bool files, json, as_file;
};

static int usage_error(const char *what, const char *arg)
{
    return cli_usage_error(&(struct cli_args){ .verb = "config", .usage = usage }, what, arg);
}

static int flush(FILE *to, struct buf *b)
{
    struct span s = buf_span(b);
    bool good = !b->failed && fwrite(s.p ? s.p : "", 1, s.n, to) == s.n && fflush(to) == 0;
    buf_free(b);
    return good ? EX_OK : EX_IOERR;
}

static int print(struct buf *b)
{
    int rc = flush(stdout, b);
    if (rc != EX_OK)
        fputs("postern config: the output cannot be written\n", stderr);
    return rc;
}

/* Returns EX_OK with *cfg_r set, or what to exit with; the report has the rest. */
static int load(const struct request *rq, struct config **cfg_r, struct config_report *report)
{
    struct err e;
    bool good = mc_load(rq->file, cfg_r, report, &e);
    if (!good && e.text[0]) {
        fprintf(stderr, "postern config: %s\n", e.text);
        return EX_NOINPUT;
    }
    return good ? EX_OK : EX_CONFIG;
}

static void put_verdict(struct buf *b, const struct config *cfg, struct config_report *report,
                        const struct request *rq)
{
    size_t errors = config_report_errors(report);
    if (errors)
        buf_printf(b, "%s: %zu mistake%s\n", rq->file, errors, errors == 1 ? "" : "s");
    else
        buf_printf(b, "%s: good: %zu options set, %zu listener%s, %zu notice%s\n", rq->file,
                   cfg->n_settings, cfg->n_listens, cfg->n_listens == 1 ? "" : "s",
                   config_report_notices(report),
                   config_report_notices(report) == 1 ? "" : "s");
}

/* What cannot be read has been said; a list that is shorter than the other as well. */
static void check_key(const char *certificate, const char *key, struct config_report *report)
{
    struct buf chain_pem, key_pem;
    struct err e;
    buf_init(&chain_pem, CERT_PEM_MAX);
    buf_init(&key_pem, CERT_PEM_MAX);
    if (config_read_file(certificate, &chain_pem, &e) && config_read_file(key, &key_pem, &e) &&
        !cert_matches_key(buf_span(&chain_pem), buf_span(&key_pem), &e))
        config_report_add(report, CONFIG_ERROR, (struct config_pos){ 0 }, NULL,
                          "tls.certificate %s, tls.key %s: %s", certificate, key, e.text);
    if (key_pem.mem)
        explicit_bzero(key_pem.mem, key_pem.cap);
    buf_free(&chain_pem);
    buf_free(&key_pem);
}

static void check_keys(const struct config *cfg, struct config_report *report)
{
    const struct config_texts *certificates = &cfg->tls.certificate, *keys = &cfg->tls.key;
    for (size_t i = 0; i < certificates->n && i < keys->n; i++) {
        char *certificate = must_strndup(certificates->v[i].p, certificates->v[i].n);
        char *key = must_strndup(keys->v[i].p, keys->v[i].n);
        check_key(certificate, key, report);
        free(certificate);
        free(key);
    }
}

static int do_check(const struct request *rq)
{
    struct config *cfg;
    struct buf text, verdict;
    struct config_report *report = config_report_new();
    int rc = load(rq, &cfg, report);
    if (cfg && rq->files)
        config_check_files(cfg, report);
    if (cfg && rq->files)
        check_keys(cfg, report);
    if (cfg && rq->files)
        route_check_files(cfg, report);
    if (config_report_errors(report))
        rc = EX_CONFIG;
    buf_init(&text, 1 << 20);
    buf_init(&verdict, 8192);
    if (rc != EX_NOINPUT && rq->json) {
        config_report_put_json(&text, report);
        buf_putc(&text, '\n');
        flush(stdout, &text);
    } else if (rc != EX_NOINPUT) {
        config_report_put_text(&text, report);
        put_verdict(&verdict, cfg, report, rq);
        flush(stderr, &text);
        flush(rc == EX_OK ? stdout : stderr, &verdict);
    }
    config_free(&cfg);
    config_report_free(&report);
    return rc;
}

/* For show: a file with mistakes has no values to show. */
static int load_good(const struct request *rq, struct config **cfg_r)
{
    struct buf text;
    struct config_report *report = config_report_new();
    int rc = load(rq, cfg_r, report);
    if (rc == EX_CONFIG) {
        buf_init(&text, 1 << 20);
        config_report_put_text(&text, report);
        flush(stderr, &text);
    }
    config_report_free(&report);
    return rc;
}

static int do_show(const struct request *rq)
{
    struct config *cfg;
    struct buf out;
    int rc = load_good(rq, &cfg);
    if (rc != EX_OK)
        return rc;
    buf_init(&out, CONFIG_WIRE_MAX * 2);
    if (rq->json) {
        config_show_json(&out, cfg);
        buf_putc(&out, '\n');
    } else if (rq->as_file) {
        config_show_file(&out, cfg);
    } else {
        config_show(&out, cfg);
    }
    config_free(&cfg);
    return print(&out);
}

static int unknown_name(const char *name)
{
    struct buf hint;
    buf_init(&hint, 256);
    config_suggest_dotted(&hint, span_str(name));
    fprintf(stderr, "postern config: no option \"%.200s\"%s%s%s\n", name,
            hint.len ? "; did you mean \"" : "", buf_cstr(&hint), hint.len ? "\"?" : "");
    buf_free(&hint);
    return EX_USAGE;
}

static void put_explained(struct buf *out, const struct config_option *o,
                          const struct config *cfg, bool json)
{
    if (json)
        config_explain_json(out, o, cfg);
    else
        config_explain(out, o, cfg);
    if (json)
        buf_putc(out, '\n');
}

/* The present value is left out when there is no readable good file: help is asked for most when
 * things are wrong. */
static void load_if_good(const struct request *rq, struct config **cfg_r)
{
    struct config_report *report = config_report_new();
    if (load(rq, cfg_r, report) == EX_CONFIG)
        fprintf(stderr, "postern config: no present values: %s has mistakes (see config check)\n",
                rq->file);
    config_report_free(&report);
}

/* "spool.free_min", "free_min", "spool", and "listen.mx.tls", as `config show` has it. */
static bool is_meant(const struct config_option *o, struct span name)
{
    size_t dot = span_find(name, '.');
    struct span last = span_from(name, span_rfind(name, '.') + 1);
    if (dot == name.n)
        return span_eq(span_str(o->name), name) || span_eq(span_str(o->section), name);
    return span_eq(span_str(o->section), span_to(name, dot)) && span_eq(span_str(o->name), last);
}

/* In the order of the names, each option once for each name that means it. */
static int explain_name(const char *name, const struct config *cfg, bool json, struct buf *out)
{
    size_t n, found = 0;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++) {
        if (is_meant(&o[i], span_str(name))) {
            put_explained(out, &o[i], cfg, json);
            found++;
        }
    }
    return found ? EX_OK : unknown_name(name);
}

static int do_explain(const struct request *rq)
{
    struct config *cfg = NULL;
    struct buf out;
    int rc = EX_OK;
    load_if_good(rq, &cfg);
    buf_init(&out, CONFIG_WIRE_MAX * 2);
    for (int i = 0; i < rq->name_count; i++) {
        int one = explain_name(rq->names[i], cfg, rq->json, &out);
        rc = rc ? rc : one;
    }
    config_free(&cfg);
    int written = print(&out);
    return rc ? rc : written;
}

static int do_diff(const struct request *rq)
{
    struct cli_args a = { .verb = "config diff", .usage = usage, .config = rq->file,
                          .socket = rq->socket, .json = rq->json };
    return cli_config_diff(&a);
}

static bool one_of(const char *arg, const char *a, const char *b)
{
    return strcmp(arg, a) == 0 || strcmp(arg, b) == 0;
}

/* EX_OK: go on. The help is asked for with *done set. */
static int read_args(struct request *rq, int argc, char **argv, bool *done)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (one_of(arg, "--help", "-h"))
            *done = true;
        else if (strcmp(arg, "-C") == 0 && i + 1 < argc)
            rq->file = argv[++i];
        else if (strcmp(arg, "--socket") == 0 && i + 1 < argc)
            rq->socket = argv[++i];
        else if (strcmp(arg, "--files") == 0)
            rq->files = true;
        else if (strcmp(arg, "--json") == 0)
            rq->json = true;
        else if (strcmp(arg, "--as-file") == 0)
            rq->as_file = true;
        else if (arg[0] == '-')
            return usage_error(one_of(arg, "-C", "--socket") ? "a file is missing"
                                                             : "unknown option", arg);
        else if (!rq->what)
            rq->what = arg;
        else if (strcmp(rq->what, "explain") == 0)
            argv[1 + rq->name_count++] = argv[i]; /* arguments read already are overwritten */
        else
            return usage_error("one word too many", arg);
    }
    return EX_OK;
}

/* Each is for one of them. */
static int check_options(const struct request *rq)
{
    const struct {
        bool given;
        const char *option, *of;
    } own[] = {
        { rq->files, "--files", "check" },
        { rq->as_file, "--as-file", "show" },
        { rq->socket != NULL, "--socket", "diff" },
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (own[i].given && strcmp(rq->what, own[i].of) != 0)
            return cli_fail(&(struct cli_args){ .verb = "config" }, EX_USAGE, "%s takes no %s",
                            rq->what, own[i].option);
    if (rq->json && rq->as_file)
        return usage_error("--json or --as-file, not both", NULL);
    return EX_OK;
}

int cli_config(int argc, char **argv)
{
    struct request rq = { .file = POSTERN_SYSCONFDIR "/postern.conf", .names = argv + 1 };
    bool help = false;
    int word = argc > 2 && strcmp(argv[1], "-C") == 0 ? 3 : 1;
    if (word < argc && strcmp(argv[word], "import") == 0)
        return cli_config_import(word == 3 ? argv[2] : NULL, argc - word, argv + word);
    int rc = read_args(&rq, argc, argv, &help);
    if (rc != EX_OK)
        return rc;
    if (help) {
        fputs(usage, stdout);
        return EX_OK;
    }
    if (!rq.what)
        return usage_error("check, show, explain, diff or import?", NULL);
    rc = check_options(&rq);
    if (rc != EX_OK)
        return rc;
    if (strcmp(rq.what, "check") == 0)
        return do_check(&rq);
    if (strcmp(rq.what, "show") == 0)
        return do_show(&rq);
    if (strcmp(rq.what, "diff") == 0)
        return do_diff(&rq);
    if (strcmp(rq.what, "explain") != 0)
        return usage_error("check, show, explain, diff or import, not", rq.what);
    return rq.name_count ? do_explain(&rq) : usage_error("which option?", NULL);
}
