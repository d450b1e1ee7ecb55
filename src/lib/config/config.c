#include "config/config.h"

#include "base/must.h"
#include "config/bind.h"
#include "config/cross.h"
#include "config/parse.h"

#include <syslog.h>

/* A file of CONFIG_FILE_MAX that consists of the smallest texts takes less than half of it. */
enum { CONFIG_ARENA_MAX = 32 << 20 };

static struct config *config_new(struct span file)
{
    struct arena *a = arena_new(CONFIG_ARENA_MAX);
    struct config *cfg = arena_alloc(a, sizeof *cfg);
    MUST(cfg);
    cfg->arena = a;
    cfg->file = arena_dup(a, file);
    return cfg;
}

void config_free(struct config **cfg)
{
    if (!*cfg)
        return;
    struct arena *a = (*cfg)->arena; /* holds the struct too */
    arena_free(&a);
    *cfg = NULL;
}

static void fill_postmaster(struct config *cfg)
{
    struct buf b;
    if (cfg->postmaster.n)
        return;
    buf_init(&b, 512);
    buf_printf(&b, "postmaster@%.*s", SPAN_ARG(cfg->hostname));
    cfg->postmaster = arena_dup(cfg->arena, buf_span(&b));
    buf_free(&b);
}

bool config_parse(struct span text, struct span file, struct config **cfg_r,
                  struct config_report *report)
{
    struct tokens t;
    struct bind b;
    size_t before = config_report_errors(report);
    *cfg_r = NULL;
    if (text.n > CONFIG_FILE_MAX) {
        config_report_source(report, file, SPAN_NONE);
        config_report_add(report, CONFIG_ERROR, (struct config_pos){ 0 }, NULL,
                          "the file is too large: %d bytes are allowed", CONFIG_FILE_MAX);
        return false;
    }
    struct config *cfg = config_new(file);
    config_report_source(report, file, text);
    lex(&t, text, cfg->arena, report);
    bind_init(&b, cfg, report);
    parse(&t, &b, report);
    bind_finish(&b);
    cross_check(&b);
    bind_free(&b);
    tokens_free(&t);
    if (config_report_errors(report) > before) {
        config_free(&cfg);
        return false;
    }
    fill_postmaster(cfg);
    *cfg_r = cfg;
    return true;
}

struct config *config_defaults(void)
{
    struct config *cfg = config_new(SPAN("(defaults)"));
    bind_defaults(cfg, NULL);
    cfg->hostname = arena_dup(cfg->arena, SPAN("localhost"));
    fill_postmaster(cfg);
    return cfg;
}

bool config_place(const struct config *cfg, const char *name, struct span listener,
                  uint32_t *line_r, uint32_t *col_r)
{
    const struct config_option *o = config_option_named(span_str(name));
    size_t listen = 0;
    while (listener.n && listen < cfg->n_listens && !span_eq(cfg->listens[listen].name, listener))
        listen++;
    const struct config_setting *s =
        o ? setting_find(cfg->settings, cfg->n_settings, o, listen) : NULL;
    if (!s)
        return false;
    *line_r = s->line;
    *col_r = s->col;
    return true;
}

const struct config_listen *config_listen_at(const struct config *cfg, const struct netaddr *at)
{
    const struct config_listen *wild = NULL;
    for (size_t i = 0; i < cfg->n_listens; i++) {
        const struct config_listen *l = &cfg->listens[i];
        for (size_t j = 0; j < l->address.n; j++) {
            const struct netaddr *a = &l->address.v[j];
            if (netaddr_eq(a, at))
                return l;
            if (netaddr_is_any(a) && a->family == at->family && a->port == at->port)
                wild = l;
        }
    }
    return wild;
}

bool config_listens_at(const struct config *cfg, const struct netaddr *at,
                       bool (*is_local)(void *ctx, const struct netaddr *ip), void *ctx)
{
    const struct config_listen *l = config_listen_at(cfg, at);
    for (size_t i = 0; l && i < l->address.n; i++)
        if (netaddr_eq(&l->address.v[i], at))
            return true;
    return l && is_local(ctx, at);
}

int config_syslog_facility(enum config_syslog facility)
{
    static const int facilities[] = {
        -1,         LOG_MAIL,   LOG_DAEMON, LOG_USER,   LOG_LOCAL0, LOG_LOCAL1,
        LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7,
    };
    MUST(facility < sizeof facilities / sizeof *facilities);
    return facilities[facility];
}
