/* A file of patterns: the first line is a key, the rest the file. It is refused with a reason, or
 * answers within its limits. */
#include "map_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct map_params p = { .seed = 1 };
    struct map_hit hit;
    struct span all = span_of(data, n), key = span_to(all, span_find(all, '\n'));
    struct span file = span_from(all, key.n + 1);
    struct map *m = map_of_bytes("regex:", file.p ? file.p : "", file.n, &p);
    if (m && map_lookup(m, key, &hit) == 1) {
        MUST(hit.line > 0 && hit.value.n <= MAP_LINE_MAX);
        volatile char last = hit.value.n ? hit.value.p[hit.value.n - 1] : 0;
        (void)last;
    }
    map_free(&m);
    return 0;
}
