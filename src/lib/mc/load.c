/* Files: what every reader of a configuration calls, whichever kind it is. */
#include "mc/mc.h"

#include "base/must.h"
#include "config/bind.h"
#include "config/files.h"

#include <unistd.h>

static bool has_ending(const char *path, const char *ending)
{
    struct span s = span_str(path);
    return s.n > strlen(ending) && span_ends(s, span_str(ending));
}

bool mc_source(const char *path, struct buf *real, struct err *e)
{
    size_t n = strlen(path);
    buf_reset(real);
    if (!buf_put(real, path, n)) {
        err_set(e, "%.200s...: the name of the file is too long", path);
        return false;
    }
    if (!has_ending(path, ".cf"))
        return true;
    buf_cut(real, n - 2);
    buf_putz(real, "mc");
    if (access(buf_cstr(real), F_OK) == 0)
        return true;
    err_set(e, "%.200s: a .cf has rewrite rules, which are not read here, and there is no %.200s "
               "beside it: give the .mc it was made from, or a configuration of our own "
               "(postern.conf(5))", path, buf_cstr(real));
    return false;
}

static bool read_file(void *ctx, const char *path, struct buf *text, struct err *e)
{
    (void)ctx;
    return config_read_file(path, text, e);
}

struct here { /* the machine we are on */
    char name[256];
    struct mc_world world;
};

static void here_init(struct here *h)
{
    *h = (struct here){ .world = { .read = read_file } };
    if (gethostname(h->name, sizeof h->name - 1) != 0 || !h->name[0])
        h->name[0] = '\0';
    h->world.hostname = h->name[0] ? span_str(h->name) : SPAN("localhost");
}

static struct config_pos original(const struct mc_lines *lines, uint32_t line)
{
    return line && line <= lines->n ? lines->v[line - 1] : (struct config_pos){ 0 };
}

/* What the configuration's own reader found, at the places of the .mc. */
static void pass_on(const struct config_report *from, const struct mc_lines *lines,
                    struct config_report *to)
{
    for (size_t i = 0; i < config_report_count(from); i++) {
        const struct config_entry *e = config_report_at(from, i);
        config_report_add(to, e->level, original(lines, e->pos.line), e->hint, "%s", e->text);
    }
}

static void move_places(struct config *cfg, const struct mc_lines *lines)
{
    for (size_t i = 0; i < cfg->n_settings; i++) {
        struct config_pos pos = original(lines, cfg->settings[i].line);
        cfg->settings[i].line = pos.line;
        cfg->settings[i].col = pos.col;
    }
    for (size_t i = 0; i < cfg->n_notices; i++)
        cfg->notices[i].line = original(lines, cfg->notices[i].line).line;
}

/* So that a gateway that starts with a .mc says them in its log. */
static void keep_notices(struct config *cfg, const struct config_report *report)
{
    size_t n = config_report_count(report);
    struct config_notice *v = arena_alloc(cfg->arena, (n + cfg->n_notices + 1) * sizeof *v);
    MUST(v);
    size_t kept = cfg->n_notices;
    if (kept)
        memcpy(v, cfg->notices, kept * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        const struct config_entry *e = config_report_at(report, i);
        if (e->level != CONFIG_NOTICE)
            continue;
        v[kept++] = (struct config_notice){
            .name = arena_dup(cfg->arena, SPAN("import")),
            .text = arena_dup(cfg->arena, span_str(e->text)),
            .line = e->pos.line,
        };
        MUST(v[kept - 1].text.p);
    }
    cfg->notices = v;
    cfg->n_notices = kept;
}

/* One run says everything: values are judged by config_parse even when names were wrong. */
static bool parse_mc(struct span text, struct span file, struct config **cfg_r,
                     struct config_report *report)
{
    struct here h;
    struct mc_lines lines;
    struct buf native;
    size_t before = config_report_errors(report);
    struct arena *a = arena_new(MC_MEMORY_MAX);
    struct config_report *found = config_report_new();
    here_init(&h);
    buf_init(&native, CONFIG_FILE_MAX);
    mc_import(text, file, &h.world, a, &native, &lines, report);
    if (native.len)
        config_parse(buf_span(&native), file, cfg_r, found);
    pass_on(found, &lines, report);
    if (*cfg_r && config_report_errors(report) > before)
        config_free(cfg_r);
    if (*cfg_r) {
        move_places(*cfg_r, &lines);
        keep_notices(*cfg_r, report);
    }
    config_report_free(&found);
    buf_free(&native);
    arena_free(&a);
    return *cfg_r != NULL;
}

/* -C X.cf: which file was read instead. */
static void say_instead(const char *asked, struct span file, struct config_report *report)
{
    if (!span_eq(span_str(asked), file))
        config_report_add(report, CONFIG_NOTICE, (struct config_pos){ 0 }, NULL,
                          "this file is read instead of %.200s", asked);
}

bool mc_parse(struct span text, struct span file, const char *asked, struct config **cfg_r,
              struct config_report *report)
{
    *cfg_r = NULL;
    say_instead(asked, file, report);
    if (span_ends(file, SPAN(".mc")))
        return parse_mc(text, file, cfg_r, report);
    return config_parse(text, file, cfg_r, report);
}

static bool open_and_read(const char *path, struct buf *real, struct buf *text, struct err *e)
{
    buf_init(real, CONFIG_TEXT_MAX);
    buf_init(text, CONFIG_FILE_MAX + 65536); /* config_parse refuses what is too large */
    return mc_source(path, real, e) && config_read_file(buf_cstr(real), text, e);
}

bool mc_load(const char *path, struct config **cfg_r, struct config_report *report,
             struct err *e)
{
    struct buf real, text;
    e->text[0] = '\0';
    *cfg_r = NULL;
    bool good = open_and_read(path, &real, &text, e);
    if (good) {
        good = mc_parse(buf_span(&text), buf_span(&real), path, cfg_r, report);
    }
    buf_free(&text);
    buf_free(&real);
    return good;
}

bool mc_convert(const char *path, struct buf *native, struct config_report *report,
                struct err *e)
{
    struct buf real, text;
    struct here h;
    struct mc_lines lines;
    struct config *cfg = NULL;
    e->text[0] = '\0';
    bool good = open_and_read(path, &real, &text, e);
    if (good) {
        struct arena *a = arena_new(MC_MEMORY_MAX);
        here_init(&h);
        say_instead(path, buf_span(&real), report);
        struct config_report *again = config_report_new();
        mc_import(buf_span(&text), buf_span(&real), &h.world, a, native, &lines, again);
        config_report_free(&again);
        arena_free(&a);
        good = parse_mc(buf_span(&text), buf_span(&real), &cfg, report);
        config_free(&cfg);
    }
    buf_free(&text);
    buf_free(&real);
    return good;
}
