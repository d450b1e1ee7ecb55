#include "cli/sendmail_letter.h"

#include "base/must.h"
#include "cli/args.h"
#include "mc/mc.h"
#include "submit/where.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { HOST_MAX = 256 };

static int read_config(const char *path, struct config **cfg_r)
{
    struct err e;
    struct config_report *report = config_report_new();
    int rc = EX_OK;
    if (!mc_load(path, cfg_r, report, &e)) {
        rc = e.text[0] ? EX_OSFILE : EX_CONFIG;
        *cfg_r = NULL;
    }
    config_report_free(&report);
    return rc;
}

/* The same once more, for its words. */
static void say_why(const struct sendmail_flags *f)
{
    struct cli_args a = { .verb = "sendmail", .config = f->config };
    struct config *cfg = NULL;
    cli_load(&a, &cfg);
    config_free(&cfg);
}

static char *text_of(struct buf *b)
{
    char *text = must_strndup(buf_cstr(b), b->len);
    buf_reset(b);
    return text;
}

int sendmail_conf_load(struct sendmail_conf *c, const struct sendmail_flags *f)
{
    char host[HOST_MAX] = "";
    struct buf path;
    int rc = read_config(f->config ? f->config : CLI_CONFIG_FILE, &c->config);
    if (rc != EX_OK && f->config) {
        say_why(f);
        return rc;
    }
    buf_init(&path, CONFIG_TEXT_MAX + 16);
    if (!c->config) {
        c->config = config_defaults();
        gethostname(host, sizeof host - 1);
        if (host[0])
            c->config->hostname = arena_dup(c->config->arena, span_str(host));
    }
    c->hostname = c->config->hostname;
    submit_put_socket(&path, c->config);
    c->socket = text_of(&path);
    submit_put_directory(&path, c->config);
    c->directory = text_of(&path);
    buf_free(&path);
    return EX_OK;
}

void sendmail_conf_free(struct sendmail_conf *c)
{
    config_free(&c->config);
    free(c->socket);
    free(c->directory);
}
