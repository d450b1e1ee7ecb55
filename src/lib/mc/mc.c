#include "mc/mc.h"

#include "base/must.h"
#include "mc/impl.h"

static void find_lines(struct mc *m)
{
    size_t n = 1;
    for (size_t i = 0; i < m->text.n; i++)
        n += m->text.p[i] == '\n';
    m->lines = arena_alloc(m->arena, n * sizeof *m->lines);
    MUST(m->lines);
    m->n_lines = 1;
    for (size_t i = 0; i < m->text.n; i++)
        if (m->text.p[i] == '\n')
            m->lines[m->n_lines++] = i + 1;
}

bool mc_import(struct span text, struct span file, const struct mc_world *world, struct arena *a,
               struct buf *native, struct mc_lines *lines_r, struct config_report *report)
{
    size_t before = config_report_errors(report);
    struct arena *own = arena_new(MC_MEMORY_MAX);
    struct mc *m = arena_alloc(own, sizeof *m);
    MUST(m);
    config_report_source(report, file, text);
    m->text = text;
    m->file = file;
    m->world = world;
    m->arena = own;
    m->report = report;
    m->frames[0] = (struct mc_frame){ .rest = text, .line = 1 };
    m->n_frames = 1;
    buf_init(&m->token, MC_TOKEN_MAX);
    buf_init(&m->line, MC_TOKEN_MAX);
    *lines_r = (struct mc_lines){ 0 };

    if (text.n > CONFIG_FILE_MAX)
        m->text = SPAN("");
    find_lines(m);
    m4_define(m, SPAN("MAIL_SETTINGS_DIR"), SPAN("/etc/mail/"), (struct mc_place){ 0 });
    if (text.n > CONFIG_FILE_MAX)
        mc_limit(m, (struct mc_place){ 0 }, "the file is too large");
    m4_run(m);
    if (!m->stop)
        mc_settle(m);
    if (!m->stop)
        mc_put(m, native, lines_r, a);

    buf_free(&m->line);
    buf_free(&m->token);
    arena_free(&own);
    return config_report_errors(report) == before;
}
