/* A macro file: whatever it is, the report can be written, and what comes out without a mistake
 * is good for the reader of configurations, or refused by it for a value. Files named in it are
 * the text itself. */
#include "base/must.h"
#include "mc/mc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool itself(void *ctx, const char *path, struct buf *text, struct err *e)
{
    const struct span *s = ctx;
    if (path[0] == '/' && path[1] == 'n') {
        err_set(e, "%s: no", path);
        return false;
    }
    return buf_puts(text, span_to(*s, 2000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span s = span_of(data, n);
    struct mc_world world = { .hostname = SPAN("mx.example"), .read = itself, .ctx = &s };
    struct mc_lines lines;
    struct buf native, said;
    struct config *cfg = NULL;
    struct arena *a = arena_new(MC_MEMORY_MAX);
    struct config_report *report = config_report_new();
    buf_init(&native, CONFIG_FILE_MAX);
    buf_init(&said, 1 << 20);
    bool good = mc_import(s, SPAN("/x/fuzz.mc"), &world, a, &native, &lines, report);
    config_report_put_text(&said, report);
    config_report_put_json(&said, report);
    MUST(!said.failed && good == (config_report_errors(report) == 0));
    size_t nl = 0;
    for (size_t i = 0; i < native.len; i++)
        nl += buf_span(&native).p[i] == '\n';
    MUST(!good || nl == lines.n);
    config_parse(buf_span(&native), SPAN("native"), &cfg, report);
    config_free(&cfg);
    config_report_free(&report);
    buf_free(&said);
    buf_free(&native);
    arena_free(&a);
    return 0;
}
