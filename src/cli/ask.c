#include "cli/ask.h"

#include "base/must.h"
#include "cli/ask_files.h"
#include "cli/config_diff.h"
#include "cli/ctl.h"
#include "route/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct ask {
    const struct cli_args *args;
    struct config *config;
    struct ask_files *files; /* NULL: the running gateway is asked */
    char socket[CONFIG_TEXT_MAX];
    char whom[CONFIG_TEXT_MAX + 256];
    bool denied; /* there is a gateway, which this user may not ask */
    struct ask_patience *patience; /* NULL: for as long as it takes */
    bool late;
    int exit;
    struct err err;
};

/* --- who answers --- */

/* 1: it runs and is asked; 0: nobody there; -1: said. */
static int try_running(struct ask *k)
{
    struct ctl c;
    struct config *running = NULL;
    struct err e = { "" };
    int got = 0;
    bool there = ctl_try(&c, k->args, k->socket);
    int rc = there                                ? cli_running_config(&c, &running, &e)
             : errno == EACCES || errno == EPERM ? EX_NOPERM
                                                  : EX_UNAVAILABLE;
    if (rc == EX_OK) {
        config_free(&k->config);
        k->config = running;
        got = 1;
    } else if (rc == EX_NOPERM) {
        k->denied = true;
    } else if (there) {
        cli_fail(k->args, rc, "%s: %s", k->socket, e.text);
        got = -1;
    }
    ctl_close(&c);
    return got;
}

int ask_nobody(const struct ask *k)
{
    if (k->denied)
        return cli_fail(k->args, EX_NOPERM, "%s: " CTL_DENIED, k->socket);
    if (!k->socket[0])
        return cli_fail(k->args, EX_UNAVAILABLE, "control.socket is empty: nobody can be asked");
    return cli_fail(k->args, EX_UNAVAILABLE, "no gateway answers on %s", k->socket);
}

int ask_open(struct ask **k_r, const struct cli_args *a)
{
    struct ask *k = *k_r = NEW(struct ask);
    k->args = a;
    int rc = a->socket ? EX_OK : cli_load(a, &k->config); /* it tells its own */
    if (rc != EX_OK)
        return rc;
    if (a->socket)
        snprintf(k->socket, sizeof k->socket, "%s", a->socket);
    else
        snprintf(k->socket, sizeof k->socket, "%.*s", SPAN_ARG(k->config->control.socket));
    int running = k->socket[0] ? try_running(k) : 0;
    if (running < 0)
        return EX_TEMPFAIL;
    if (running) {
        snprintf(k->whom, sizeof k->whom, "the running gateway (%s)", k->socket);
        return EX_OK;
    }
    if (a->socket)
        return ask_nobody(k);
    snprintf(k->whom, sizeof k->whom, "the files of %s (%s %s)", a->config,
             k->denied      ? "not allowed to ask the gateway on"
             : k->socket[0] ? "no gateway answers on"
                            : "no socket",
             k->socket);
    return ask_files_open(&k->files, a, k->config);
}

void ask_close(struct ask **kp)
{
    struct ask *k = *kp;
    if (!k)
        return;
    ask_files_close(&k->files);
    config_free(&k->config);
    free(k);
    *kp = NULL;
}

bool ask_running(const struct ask *k) { return !k->files; }
const char *ask_whom(const struct ask *k) { return k->whom; }
const struct config *ask_config(const struct ask *k) { return k->config; }
void ask_patience(struct ask *k, struct ask_patience *p) { k->patience = p; }
bool ask_late(const struct ask *k) { return k->late; }
int ask_exit(const struct ask *k) { return k->exit; }
const char *ask_text(const struct ask *k) { return k->err.text; }

/* --- questions --- */

void ask_arg(struct ask_args *args, const char *name, struct span value)
{
    if (args->n < ASK_ARGS_MAX)
        snprintf(args->text[args->n++], ASK_ARG_MAX, "%s=%.*s", name, SPAN_ARG(value));
}

void ask_flag(struct ask_args *args, const char *name)
{
    if (args->n < ASK_ARGS_MAX)
        snprintf(args->text[args->n++], ASK_ARG_MAX, "%s", name);
}

/* The answer's one row. */
static bool wait_row(struct ask *k, struct ctl *c, struct span *row_r)
{
    enum { LEAST_MS = 500 }; /* what needs no DNS, or is in the cache, is there at once */
    struct ask_patience *p = k->patience;
    if (!p)
        return ctl_next(c, row_r) == CTL_ROW;
    int64_t until_ms = p->begun_ms + p->within_ms, least_ms = ctl_now_ms() + LEAST_MS;
    enum ctl_got got = CTL_ERROR;
    c->late = true;
    if (p->slow) {
        c->until_ms = p->begun_ms + p->slow_ms;
        got = ctl_next(c, row_r);
    }
    if (c->late && p->slow) {
        p->slow(p->ctx);
        p->slow = NULL;
    }
    c->until_ms = until_ms > least_ms ? until_ms : least_ms;
    if (c->late)
        got = ctl_next(c, row_r);
    k->late = c->late;
    return got == CTL_ROW;
}

static void say_late(struct ask *k, const char *verb)
{
    bool dns = strcmp(verb, "lookup") == 0 || strcmp(verb, "ask") == 0;
    err_set(&k->err, "%s has not answered for %d s", dns ? "the DNS" : "the gateway",
            k->patience->within_ms / 1000);
}

static bool ask_gateway(struct ask *k, const char *verb, const struct ask_args *args,
                        struct buf *json)
{
    struct ctl c;
    const char *texts[ASK_ARGS_MAX];
    struct span row;
    bool good = false;
    for (size_t i = 0; i < args->n; i++)
        texts[i] = args->text[i];
    k->exit = EX_TEMPFAIL;
    k->late = false;
    if (!ctl_try(&c, k->args, k->socket)) {
        err_errno(&k->err, "%.200s: the gateway does not answer any more", k->socket);
    } else if (!ctl_ask(&c, verb, texts, args->n) || !wait_row(k, &c, &row)) {
        err_set(&k->err, "%.400s", buf_cstr(&c.text));
        k->exit = c.exit;
        if (k->late)
            say_late(k, verb);
    } else {
        ctl_readable(json, row);
        good = true;
    }
    ctl_close(&c);
    return good;
}

json_t *ask_row(struct ask *k, const char *verb, const struct ask_args *args)
{
    struct buf json, raw;
    json_t *row = NULL;
    json_error_t why;
    buf_init(&json, 16 << 20);
    buf_init(&raw, 16 << 20);
    k->exit = EX_USAGE;
    bool good = true;
    for (size_t i = 0; i < args->n; i++)
        good = good && ctl_is_utf8(args->text[i]);
    if (!good) {
        err_set(&k->err, CTL_NOT_UTF8);
    } else if (k->files) {
        good = ask_files_row(k->files, verb, args, &raw, &k->err);
        ctl_readable(&json, buf_span(&raw));
    } else {
        good = ask_gateway(k, verb, args, &json);
    }
    if (good) {
        row = json_loadb(buf_cstr(&json), json.len, 0, &why);
        k->exit = EX_SOFTWARE;
        if (!row)
            err_set(&k->err, "the answer cannot be read: %s", why.text);
    }
    buf_free(&json);
    buf_free(&raw);
    return row;
}
