/* A file: whatever it is, the report can be written; when it is good, written out as a file and
 * read again it is the same, and so it is flattened. Input that begins with 'W' is a list of
 * changes (two bytes where, one byte what) to a good flattened configuration instead. */
#include "base/must.h"
#include "config/show.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void same(const struct config *a, const struct config *b)
{
    MUST(a && b && config_diff(a, b, NULL, NULL) == 0);
    struct buf x, y;
    buf_init(&x, CONFIG_WIRE_MAX);
    buf_init(&y, CONFIG_WIRE_MAX);
    config_show_file(&x, a);
    config_show_file(&y, b);
    MUST(!x.failed && span_eq(buf_span(&x), buf_span(&y)));
    buf_free(&x);
    buf_free(&y);
}

static void read_back(const struct config *cfg)
{
    struct config *again;
    struct config_report *report = config_report_new();
    struct buf b;
    buf_init(&b, CONFIG_WIRE_MAX);
    config_show_file(&b, cfg);
    /* a list may become longer as text than a file may be: addresses get their ports */
    if (b.len <= CONFIG_FILE_MAX) {
        MUST(config_parse(buf_span(&b), SPAN("again"), &again, report));
        same(cfg, again);
        config_free(&again);
    }
    buf_reset(&b);
    config_put(&b, cfg);
    struct wire w = wire_reader(buf_span(&b));
    again = config_get(&w);
    same(cfg, again);
    config_free(&again);
    buf_free(&b);
    config_report_free(&report);
}

static void flat(struct span changes)
{
    static const char text[] = "hostname = \"h\" listen \"a\" { address = {\"1.2.3.4\", \"::1\"} }"
                               "route { smarttable = \"text:/x\" } relay { domains = {\"a\"} }";
    struct config *cfg;
    struct config_report *report = config_report_new();
    struct buf b;
    MUST(config_parse(span_str(text), SPAN("f"), &cfg, report));
    buf_init(&b, CONFIG_WIRE_MAX);
    config_put(&b, cfg);
    config_free(&cfg);
    for (; changes.n >= 3; changes = span_from(changes, 3)) {
        size_t at = (uint8_t)changes.p[0] | (size_t)(uint8_t)changes.p[1] << 8;
        b.mem[b.off + 8 + at % (b.len - 8)] = changes.p[2]; /* behind magic and checksum */
    }
    struct wire w = wire_reader(buf_span(&b));
    cfg = config_get(&w);
    MUST(w.bad == !cfg);
    config_free(&cfg);
    buf_free(&b);
    config_report_free(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span s = span_of(data, n);
    struct config *cfg;
    struct buf b;
    if (n && data[0] == 'W') {
        flat(span_from(s, 1));
        return 0;
    }
    struct config_report *report = config_report_new();
    buf_init(&b, 1 << 20);
    if (config_parse(s, SPAN("fuzz"), &cfg, report))
        read_back(cfg);
    config_report_put_text(&b, report);
    config_report_put_json(&b, report);
    MUST(!b.failed && (cfg != NULL) == (config_report_errors(report) == 0));
    config_free(&cfg);
    buf_free(&b);
    config_report_free(&report);
    return 0;
}
