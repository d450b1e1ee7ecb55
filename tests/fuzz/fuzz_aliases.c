/* The aliases reader: any bytes as a file and as an inline map; what it says it has is found, in
 * the form in which it is looked up, on a line of the file. */
#include "map_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool found(void *ctx, struct span key, const struct map_hit *hit)
{
    struct map_hit again;
    MUST(map_lookup(ctx, key, &again) == 1 && span_eq(again.value, hit->value));
    MUST(again.line == hit->line && hit->line > 0 && hit->value.n > 0);
    MUST(!memchr(hit->value.p, '\n', hit->value.n) && !memchr(key.p, ' ', key.n));
    return true;
}

static bool here(void *ctx, struct span domain)
{
    (void)ctx;
    return span_ieq(domain, SPAN("here"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct map_params p = { .seed = 1, .format = MAP_FORMAT_ALIASES, .is_local = here };
    struct map_report r;
    struct buf spec;
    struct map *m = map_of_bytes("text:", data, n, &p);
    if (m)
        map_each(m, found, m);
    map_free(&m);
    buf_init(&spec, n + 16);
    buf_putz(&spec, "inline:");
    buf_put(&spec, data, n);
    map_report_init(&r);
    m = map_open(buf_span(&spec), &p, &r);
    if (m)
        map_each(m, found, m);
    map_free(&m);
    map_report_free(&r);
    buf_free(&spec);
    return 0;
}
