#include "cli/config_import.h"

#include "base/must.h"
#include "cli/args.h"
#include "mc/mc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: postern config import FILE.mc [-o OUT]\n"
    "\n"
    "Prints the configuration that says the same as a macro file of sendmail's, with the origin\n"
    "of each line; what is not carried over is said on standard error, with the reason. See\n"
    "postern-mc(5). A .mc can also be used as it is: postern -C FILE.mc run\n"
    "\n"
    "  -o OUT  into this file, which must not exist yet\n"
    "\n"
    "exit status: 0 good, 78 mistakes in the file, 66 it cannot be read, 73 OUT cannot be made,\n"
    "64 usage\n";

static int usage_error(const char *what, const char *arg)
{
    struct cli_args a = { .verb = "config import", .usage = usage };
    return cli_usage_error(&a, what, arg);
}

static int fail(int rc, const char *what)
{
    fprintf(stderr, "postern config import: %s: %s\n", what, strerror(errno));
    return rc;
}

/* Beside it first, then in its place at once: never half a file. */
static int write_file(const char *out, struct span s)
{
    struct buf part;
    buf_init(&part, 8192);
    if (!buf_printf(&part, "%s.part", out))
        return usage_error("the name is too long", out);
    int rc = EX_OK, fd = open(buf_cstr(&part), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        rc = fail(EX_CANTCREAT, buf_cstr(&part));
        goto out;
    }
    while (s.n && rc == EX_OK) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno != EINTR)
            rc = fail(EX_IOERR, buf_cstr(&part));
        s = span_from(s, n > 0 ? (size_t)n : 0);
    }
    if (rc == EX_OK && fsync(fd) != 0)
        rc = fail(EX_IOERR, buf_cstr(&part));
    close(fd);
    if (rc == EX_OK && link(buf_cstr(&part), out) != 0) /* unlike rename: replaces nothing */
        rc = fail(EX_CANTCREAT, out);
    unlink(buf_cstr(&part));
out:
    buf_free(&part);
    return rc;
}

static int print(struct span s)
{
    return fwrite(s.n ? s.p : "", 1, s.n, stdout) == s.n && fflush(stdout) == 0 ? EX_OK
                                                                                : EX_IOERR;
}

static int convert(const char *file, const char *out)
{
    struct buf native, said;
    struct err e;
    struct config_report *report = config_report_new();
    buf_init(&native, CONFIG_FILE_MAX);
    buf_init(&said, 1 << 20);
    int rc = EX_CONFIG;
    bool good = mc_convert(file, &native, report, &e);
    if (!good && e.text[0]) {
        fprintf(stderr, "postern config import: %s\n", e.text);
        rc = EX_NOINPUT;
    }
    config_report_put_text(&said, report);
    fputs(buf_cstr(&said), stderr);
    if (good)
        rc = out ? write_file(out, buf_span(&native)) : print(buf_span(&native));
    buf_free(&said);
    buf_free(&native);
    config_report_free(&report);
    return rc;
}

int cli_config_import(const char *file, int argc, char **argv)
{
    const char *out = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return EX_OK;
        }
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            out = argv[++i];
        else if (strcmp(argv[i], "-C") == 0 && i + 1 < argc && !file)
            file = argv[++i];
        else if (argv[i][0] == '-')
            return usage_error("unknown option, or a value is missing", argv[i]);
        else if (!file)
            file = argv[i];
        else
            return usage_error("one file at a time", argv[i]);
    }
    return file ? convert(file, out) : usage_error("which file?", NULL);
}
