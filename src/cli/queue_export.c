#include "cli/queue_export.h"

#include "base/must.h"
#include "cli/ctl.h"
#include "cli/term.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { ROW_MAX_BYTES = 8 << 20 };

/* --- export --- */

struct export {
    const struct cli_args *a;
    int dir, file; /* -1: none open */
    char name[64], part[96]; /* part: its name until it is whole */
    unsigned long long files, kept, failed;
};

/* What is not whole is not left behind. */
static void finish(struct export *x, bool whole)
{
    if (x->file < 0)
        return;
    bool good = close(x->file) == 0 && whole;
    x->file = -1;
    if (good && renameat(x->dir, x->part, x->dir, x->name) == 0) {
        x->files++;
        return;
    }
    if (whole)
        cli_fail(x->a, EX_IOERR, "%s: %s", x->name, strerror(errno));
    unlinkat(x->dir, x->part, 0);
    x->failed++;
}

static void begin(struct export *x, const char *id)
{
    struct stat st;
    finish(x, false);
    /* Ids are of letters and digits: qmgr makes them, and it is checked all the same. */
    if (strspn(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx") != strlen(id) ||
        strlen(id) > 32)
        return;
    snprintf(x->name, sizeof x->name, "%s.eml", id);
    if (fstatat(x->dir, x->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        x->kept++;
        return;
    }
    /* Another export may be writing the same message. */
    snprintf(x->part, sizeof x->part, "%s.%ld.part", x->name, (long)getpid());
    x->file = openat(x->dir, x->part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (x->file < 0) {
        cli_fail(x->a, EX_CANTCREAT, "%s: %s", x->part, strerror(errno));
        x->failed++;
    }
}

static unsigned digit(char c)
{
    return (unsigned)(c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0);
}

static void content(struct export *x, const char *hex, size_t n)
{
    char bytes[64 << 10];
    size_t len = 0;
    for (size_t i = 0; i + 1 < n && len < sizeof bytes; i += 2)
        bytes[len++] = (char)(digit(hex[i]) << 4 | digit(hex[i + 1]));
    for (size_t at = 0; at < len && x->file >= 0;) {
        ssize_t wrote = write(x->file, bytes + at, len - at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            cli_fail(x->a, EX_IOERR, "%s: %s", x->name, strerror(errno));
            finish(x, false);
            return;
        }
        at += (size_t)wrote;
    }
}

static void on_export(void *ctx, struct span row)
{
    struct export *x = ctx;
    json_t *o = ctl_json(row, ROW_MAX_BYTES);
    const char *id = json_string_value(json_object_get(o, "id"));
    const json_t *hex = json_object_get(o, "content");
    const char *error = json_string_value(json_object_get(o, "error"));
    if (error) {
        cli_fail(x->a, EX_IOERR, "%s: %s", id ? id : "", error);
        finish(x, false);
    } else if (id && json_object_get(o, "begin")) {
        begin(x, id);
    } else if (hex && x->file >= 0) {
        content(x, json_string_value(hex), json_string_length(hex));
    } else if (json_object_get(o, "whole")) {
        finish(x, true);
    }
    json_decref(o);
}

static void say_exported(const struct export *x, const char *directory)
{
    struct buf b;
    buf_init(&b, 256);
    term_put_counted(&b, x->files, "message");
    buf_putz(&b, " exported");
    if (x->kept)
        buf_printf(&b, ", %llu there already", x->kept);
    if (x->failed)
        buf_printf(&b, ", %llu failed", x->failed);
    printf("%s: %s\n", buf_cstr(&b), directory);
    buf_free(&b);
}

int queue_export(const struct cli_args *a, const struct queue_words *words, const char *directory,
                 bool some)
{
    struct export x = { .a = a, .file = -1 };
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return cli_fail(a, EX_CANTCREAT, "%s: %s", directory, strerror(errno));
    x.dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (x.dir < 0)
        return cli_fail(a, EX_CANTCREAT, "%s: %s", directory, strerror(errno));
    int rc = ctl_once(a, "export", words->v, words->n, on_export, &x);
    finish(&x, false);
    close(x.dir);
    if (rc != EX_OK && !x.files && !x.kept && !x.failed)
        return rc;
    if (a->json)
        printf("{\"exported\":%llu,\"there_already\":%llu,\"failed\":%llu}\n", x.files, x.kept,
               x.failed);
    else
        say_exported(&x, directory);
    if (rc == EX_OK && some && !x.files && !x.kept && !x.failed)
        return cli_fail(a, EX_NOINPUT, "there is no such message in the queue");
    return rc == EX_OK && x.failed ? EX_IOERR : rc;
}
