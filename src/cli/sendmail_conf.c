#include "cli/sendmail_letter.h"

#include "base/must.h"
#include "cli/args.h"
#include "mc/mc.h"
#include "submit/where.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOST_MAX = 256 };

static struct config *read_config(const char *path)
{
    struct err e;
    struct config *cfg = NULL;
    struct config_report *report = config_report_new();
    if (!mc_load(path, &cfg, report, &e))
        cfg = NULL;
    config_report_free(&report);
    return cfg;
}

static char *text_of(struct buf *b)
{
    char *text = must_strndup(buf_cstr(b), b->len);
    buf_reset(b);
    return text;
}

void sendmail_conf_load(struct sendmail_conf *c, const struct sendmail_flags *f)
{
    char host[HOST_MAX] = "";
    struct buf path;
    buf_init(&path, CONFIG_TEXT_MAX + 16);
    c->config = read_config(f->config ? f->config : CLI_CONFIG_FILE);
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
}

void sendmail_conf_free(struct sendmail_conf *c)
{
    config_free(&c->config);
    free(c->socket);
    free(c->directory);
}
