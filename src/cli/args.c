#include "cli/args.h"

#include "cli/term.h"
#include "config/table.h"
#include "mc/mc.h"

#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

enum { OPTIONS_MAX = 64, OPTION_MAX = 32, USAGE_LINES = 15, FAIL_MAX_BYTES = 1 << 20 };

/* What the gateway says may have words of strangers in it. */
int cli_fail(const struct cli_args *a, int rc, const char *fmt, ...)
{
    struct buf said, shown;
    va_list ap;
    buf_init(&said, FAIL_MAX_BYTES);
    buf_init(&shown, 4 * FAIL_MAX_BYTES);
    va_start(ap, fmt);
    buf_vprintf(&said, fmt, ap);
    va_end(ap);
    term_put_text(&shown, buf_span(&said));
    fprintf(stderr, "postern %s: %s\n", a->verb, buf_cstr(&shown));
    buf_free(&said);
    buf_free(&shown);
    return rc;
}

struct options {
    char text[OPTIONS_MAX][OPTION_MAX];
    const char *names[OPTIONS_MAX];
    size_t n;
};

/* All that begins with "--" in a usage. */
static void read_options(struct options *o, const char *usage)
{
    o->n = 0;
    for (const char *at = usage; o->n < OPTIONS_MAX && (at = strstr(at, "--")) != NULL;) {
        size_t n = strspn(at, "-abcdefghijklmnopqrstuvwxyz");
        if (n > 2 && n < OPTION_MAX) {
            memcpy(o->text[o->n], at, n);
            o->text[o->n][n] = '\0';
            o->names[o->n] = o->text[o->n];
            o->n++;
        }
        at += n;
    }
}

/* A long usage would push what is wrong off the screen. */
static void put_usage(const struct cli_args *a)
{
    size_t lines = 0;
    for (const char *c = a->usage; *c; c++)
        lines += *c == '\n';
    if (lines <= USAGE_LINES)
        fputs(a->usage, stderr);
    else
        fprintf(stderr, "postern %s --help says what it takes\n", a->verb);
}

static bool is_option(const struct options *o, struct span name)
{
    for (size_t i = 0; i < o->n; i++)
        if (span_eq(name, span_str(o->names[i])))
            return true;
    return false;
}

int cli_usage_error(const struct cli_args *a, const char *what, const char *arg)
{
    struct options o = { .n = 0 };
    bool option = arg && arg[0] == '-' && strncmp(what, "unknown", 7) == 0;
    if (option)
        read_options(&o, a->usage);
    struct span name = option ? span_to(span_str(arg), strcspn(arg, "=")) : SPAN_NONE;
    if (option && arg[name.n] == '=' && is_option(&o, name)) {
        fprintf(stderr, "postern %s: write %.*s %s\n", a->verb, SPAN_ARG(name), arg + name.n + 1);
        return EX_USAGE;
    }
    const char *meant = option ? config_suggest_among(o.names, o.n, name) : NULL;
    if (meant && span_eq(name, span_str(meant)))
        meant = NULL; /* its value is missing */
    fprintf(stderr, "postern %s: %s%s%s%s%s%s\n", a->verb, what, arg ? ": " : "", arg ? arg : "",
            meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
    if (!meant)
        put_usage(a);
    return EX_USAGE;
}

int cli_unknown(const struct cli_args *a, const char *what, const char *const *names, size_t n)
{
    const char *meant = config_suggest_among(names, n, span_str(what));
    fprintf(stderr, "postern %s: \"%.200s\" is not known%s%s%s\n", a->verb, what,
            meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
    if (!meant)
        put_usage(a);
    return EX_USAGE;
}

/* A verb takes what its usage has: an option without effect is a mistake. */
static bool is_said(const struct cli_args *a, const char *option)
{
    return strstr(a->usage, option) != NULL;
}

bool cli_common(struct cli_args *a, int argc, char **argv, int *i, int *rc_r)
{
    const char *arg = argv[*i];
    bool file = strncmp(arg, "-C", 2) == 0;
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        a->help = true;
        return true;
    }
    if (strcmp(arg, "--json") == 0 && is_said(a, arg)) {
        a->json = true;
        return true;
    }
    const char **to = file && is_said(a, "-C")                            ? &a->config
                      : strcmp(arg, "--socket") == 0 && is_said(a, arg) ? &a->socket
                                                                          : NULL;
    if (!to)
        return false;
    if (file && arg[2])
        *to = arg + 2;
    else if (*i + 1 < argc)
        *to = argv[++*i];
    else
        *rc_r = cli_usage_error(a, "a value is missing", arg);
    return true;
}

int cli_load(const struct cli_args *a, struct config **cfg_r)
{
    struct err e;
    struct config_report *report = config_report_new();
    bool good = mc_load(a->config, cfg_r, report, &e);
    if (!good && e.text[0]) {
        config_report_free(&report);
        return cli_fail(a, EX_NOINPUT, "%s", e.text);
    }
    if (!good) {
        struct buf said;
        buf_init(&said, 1 << 20);
        config_report_put_text(&said, report);
        fprintf(stderr, "%s", buf_cstr(&said));
        buf_free(&said);
    }
    config_report_free(&report);
    return good ? EX_OK : EX_CONFIG;
}

bool cli_print(struct buf *b)
{
    struct span s = buf_span(b);
    bool good = !b->failed && fwrite(s.p ? s.p : "", 1, s.n, stdout) == s.n && fflush(stdout) == 0;
    buf_reset(b);
    return good;
}
