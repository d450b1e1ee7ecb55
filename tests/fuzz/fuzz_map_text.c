/* The text map reader: any bytes as an inline map; every entry it says it has must be found. */
#include "base/must.h"
#include "maps/map.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool found(void *ctx, struct span key, const struct map_hit *hit)
{
    struct map_hit again;
    MUST(map_lookup(ctx, key, &again) == 1 && span_eq(again.value, hit->value));
    MUST(again.line == hit->line && hit->value.n > 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf spec;
    struct map_report r;
    struct map_params p = { .seed = 1, .max_entries = 1000 };
    buf_init(&spec, n + 16);
    buf_putz(&spec, "inline:");
    buf_put(&spec, data, n);
    map_report_init(&r);
    struct map *m = map_open(buf_span(&spec), &p, &r);
    MUST((m != NULL) == (r.errors == 0));
    if (m)
        map_each(m, found, m);
    map_free(&m);
    map_report_free(&r);
    buf_free(&spec);
    return 0;
}
