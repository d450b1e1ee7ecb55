/* Files of the other kinds: the first byte says which. Those that are taken find each entry that
 * they say they have. */
#include "map_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool found(void *ctx, struct span key, const struct map_hit *hit)
{
    struct map_hit again;
    char low[MAP_KEY_MAX];
    MUST(key.n <= sizeof low);
    for (size_t i = 0; i < key.n; i++)
        low[i] = ascii_lower(key.p[i]);
    if (memcmp(low, key.p, key.n) != 0)
        return true; /* makemap -f: never found, and that was a warning */
    size_t slash = strcmp(map_type(ctx), "cidr") == 0 ? span_find(key, '/') : key.n;
    MUST(map_lookup(ctx, span_to(key, slash), &again) == 1);
    MUST(slash < key.n || hit->line == again.line);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const types[] = { "cdb:", "cidr:", "text:" };
    struct map_params p = { .seed = 1, .max_entries = 1000 };
    if (n == 0)
        return 0;
    const char *type = types[data[0] % 3];
    struct map *m = map_of_bytes(type, data + 1, n - 1, &p);
    if (m)
        map_each(m, found, m);
    map_free(&m);
    return 0;
}
