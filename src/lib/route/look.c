/* Asking a table: one key, one step. */
#include "route/impl.h"

static const char *const names[ROUTE_TABLES] = {
    [ROUTE_MAILERTABLE] = "mailertable",     [ROUTE_ACCESS] = "access",
    [ROUTE_VIRTUSERTABLE] = "virtusertable", [ROUTE_ALIASES] = "aliases",
    [ROUTE_SMARTTABLE] = "smarttable",       [ROUTE_GENERICSTABLE] = "genericstable",
    [ROUTE_RECIPIENTS] = "recipients",       [ROUTE_USERS] = "users",
};

const char *route_table_name(enum route_table which)
{
    return which < ROUTE_TABLES ? names[which] : "?";
}

struct map *route_map(const struct route_tables *t, enum route_table which)
{
    return which < ROUTE_TABLES ? t->map[which] : NULL;
}

bool route_is_virtual_address(const struct route_tables *t, struct span addr)
{
    struct route_address a = route_address(addr);
    return route_is_virtual(t, &a);
}

void route_step(struct trail *t, enum trail_verdict verdict, const char *what, struct span key,
                struct span source, const struct map_hit *hit)
{
    if (!t)
        return;
    trail_add(t, &(struct trail_step){
        .verdict = (uint8_t)verdict, .ttl_s = -1, .what = span_str(what), .key = key,
        .source = source, .line = hit ? hit->line : 0, .said = hit ? hit->value : SPAN_NONE });
}

int route_look(const struct route_tables *t, enum route_table which, struct span key,
               struct trail *trail, struct map_hit *hit_r)
{
    struct map *m = t->map[which];
    if (!m || !key.n || key.n > MAP_KEY_MAX)
        return 0;
    int found = map_lookup(m, key, hit_r);
    if (trail)
        route_step(trail, found == 1 ? TRAIL_MATCH : found == 0 ? TRAIL_MISS : TRAIL_FAIL,
                   names[which], key, map_source(m), found == 1 ? hit_r : NULL);
    return found;
}

struct span route_lower(struct span s, struct arena *a)
{
    char *copy = arena_alloc(a, s.n + 1);
    for (size_t i = 0; copy && i < s.n; i++)
        copy[i] = ascii_lower(s.p[i]);
    return copy ? span_of(copy, s.n) : s;
}

struct span route_fold(char *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        key[i] = ascii_lower(key[i]);
    return span_of(key, n);
}
