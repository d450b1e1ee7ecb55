/* text: a file held in memory, and inline: the same from the configuration. */
#include "maps/impl.h"

#include "base/must.h"

#include <stdlib.h>

struct text_map {
    struct map_file file;
    struct map_table *table;
};

static struct text_map *text_of(const struct map *m) { return (struct text_map *)(void *)m; }

static bool text_reload(struct map *m, struct map_report *r)
{
    struct text_map *t = text_of(m);
    struct map_table *table;
    char *mem;
    size_t n;
    if (!map_file_read(&t->file, &mem, &n, r))
        return false;
    if (t->file.params.format == MAP_FORMAT_ALIASES)
        table = map_aliases_parse(mem, n, m->source, &t->file.params, r);
    else
        table = map_lines_parse(mem, n, 0, m->source, &t->file.params, r);
    if (!table)
        return false;
    map_table_free(&t->table);
    t->table = table;
    return true;
}

static bool inline_reload(struct map *m, struct map_report *r)
{
    (void)m;
    (void)r;
    return true; /* it changes only with the configuration */
}

static int text_lookup(struct map *m, struct span key, struct map_hit *hit_r)
{
    return map_table_lookup(text_of(m)->table, key, hit_r);
}

static void text_each(const struct map *m,
                      bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx)
{
    map_table_each(text_of(m)->table, fn, ctx);
}

static void text_size(const struct map *m, struct map_stats *s)
{
    s->entries = map_table_entries(text_of(m)->table);
    s->bytes = map_table_bytes(text_of(m)->table);
}

static void text_free(struct map *m)
{
    map_table_free(&text_of(m)->table);
    free(m);
}

static const struct map_class text_class = {
    "text", text_free, text_lookup, text_reload, text_each, text_size,
};
static const struct map_class inline_class = {
    "inline", text_free, text_lookup, inline_reload, text_each, text_size,
};

struct map *map_text_open(struct span path, const struct map_params *p, struct map_report *r)
{
    return map_file_open(&NEW(struct text_map)->file, &text_class, path, p, r);
}

/* "a: x; b: y" as lines of their own: a blank in front would make one continue the other. */
static size_t split_aliases(char *p, size_t n)
{
    size_t out = 0;
    bool begun = false;
    for (size_t i = 0; i < n; i++) {
        char c = p[i] == ';' ? '\n' : p[i];
        if (!begun && ascii_isblank(c))
            continue;
        begun = c != '\n';
        p[out++] = c;
    }
    return out;
}

struct map *map_inline_open(struct span text, const struct map_params *p, struct map_report *r)
{
    struct text_map *t = NEW(struct text_map);
    struct map *m = &t->file.map;
    map_init(m, &inline_class, SPAN("inline"));
    char *own = must_strndup(text.n ? text.p : "", text.n);
    if (p->format == MAP_FORMAT_ALIASES)
        t->table = map_aliases_parse(own, split_aliases(own, text.n), m->source, p, r);
    else
        t->table = map_lines_parse(own, text.n, ';', m->source, p, r);
    if (!t->table) {
        map_free(&m);
        return NULL;
    }
    m->loads = 1;
    return m;
}
