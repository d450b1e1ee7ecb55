#include "maps/impl.h"

#include "base/must.h"

#include <stdlib.h>

void map_init(struct map *m, const struct map_class *class, struct span source)
{
    m->class = class;
    m->source = span_of(must_strndup(source.n ? source.p : "", source.n), source.n);
}

void map_free(struct map **m)
{
    if (!*m)
        return;
    free((void *)(*m)->source.p);
    (*m)->class->free(*m);
    *m = NULL;
}

int map_lookup(struct map *m, struct span key, struct map_hit *hit_r)
{
    char low[MAP_KEY_MAX];
    struct map_hit unused;
    m->lookups++;
    if (key.n == 0 || key.n > sizeof low)
        return 0; /* no table holds such a key */
    for (size_t i = 0; i < key.n; i++)
        low[i] = ascii_lower(key.p[i]);
    int found = m->class->lookup(m, span_of(low, key.n), hit_r ? hit_r : &unused);
    m->hits += found == 1;
    return found;
}

bool map_reload(struct map *m, struct map_report *r)
{
    bool good = m->class->reload(m, r);
    m->loads++;
    m->bad_loads += !good;
    r->kept_old = !good;
    r->entries = map_stats(m).entries;
    return good;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool map_changed(const struct map *m)
{
    struct stat st;
    if (!m->file)
        return false;
    if (stat(m->source.p, &st) != 0)
        return m->stamp.there;
    struct map_stamp now = map_stamp_of(&st), was = m->stamp;
    return !was.there || now.dev != was.dev || now.ino != was.ino || now.size != was.size ||
           !same_time(now.modified, was.modified) || !same_time(now.changed, was.changed);
}

int map_refresh(struct map *m, struct map_report *r)
{
    if (!map_changed(m))
        return 0;
    return map_reload(m, r) ? 1 : -1;
}

void map_each(const struct map *m, bool (*fn)(void *ctx, struct span key, const struct map_hit *),
              void *ctx)
{
    m->class->each(m, fn, ctx);
}

struct map_stats map_stats(const struct map *m)
{
    struct map_stats s = { .lookups = m->lookups, .hits = m->hits, .loads = m->loads,
                           .bad_loads = m->bad_loads };
    m->class->size(m, &s);
    return s;
}

const char *map_type(const struct map *m) { return m->class->type; }
struct span map_source(const struct map *m) { return m->source; }
