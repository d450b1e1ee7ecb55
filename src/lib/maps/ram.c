/* ram: filled by a program; null: nothing. For tests, and for measuring what is above. */
#include "maps/impl.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/must.h"

#include <stdlib.h>

struct ram_entry {
    struct hash_node node;
    struct list order;
    struct map_hit hit;
    char *key, *value;
};

struct ram_map {
    struct map map;
    struct hash hash;
    struct list entries;
    bool fail;
};

static struct ram_map *ram_of(const struct map *m) { return (struct ram_map *)(void *)m; }

static void ram_free(struct map *m)
{
    struct ram_map *ram = ram_of(m);
    LIST_EACH(l, &ram->entries) {
        struct ram_entry *e = CONTAINER(l, struct ram_entry, order);
        free(e->key);
        free(e->value);
        free(e);
    }
    hash_free(&ram->hash);
    free(ram);
}

static int ram_lookup(struct map *m, struct span key, struct map_hit *hit_r)
{
    struct ram_map *ram = ram_of(m);
    if (ram->fail)
        return -1;
    struct hash_node *node = hash_get(&ram->hash, key);
    if (!node)
        return 0;
    *hit_r = CONTAINER(node, struct ram_entry, node)->hit;
    return 1;
}

static bool ram_reload(struct map *m, struct map_report *r)
{
    if (ram_of(m)->fail)
        map_report_error(r, m->source, 0, "told to fail");
    return !ram_of(m)->fail;
}

static void ram_each(const struct map *m,
                     bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx)
{
    LIST_EACH(l, &ram_of(m)->entries) {
        struct ram_entry *e = CONTAINER(l, struct ram_entry, order);
        if (!fn(ctx, e->node.key, &e->hit))
            return;
    }
}

static void ram_size(const struct map *m, struct map_stats *s) { s->entries = ram_of(m)->hash.n; }

static const struct map_class ram_class = {
    "ram", ram_free, ram_lookup, ram_reload, ram_each, ram_size,
};
static const struct map_class null_class = {
    "null", ram_free, ram_lookup, ram_reload, ram_each, ram_size,
};

static struct map *make(const struct map_class *class, struct span source, uint64_t seed)
{
    struct ram_map *ram = NEW(struct ram_map);
    map_init(&ram->map, class, source);
    hash_init(&ram->hash, seed, 0);
    list_init(&ram->entries);
    return &ram->map;
}

struct map *map_ram_new(struct span source, uint64_t seed)
{
    return make(&ram_class, source, seed);
}

struct map *map_null_new(void) { return make(&null_class, SPAN("null"), 0); }

void map_ram_set(struct map *m, struct span key, struct span value, uint32_t line)
{
    struct ram_map *ram = ram_of(m);
    MUST(m->class == &ram_class && key.n && key.n <= MAP_KEY_MAX);
    char *low = must_strndup(key.p, key.n);
    for (size_t i = 0; i < key.n; i++)
        low[i] = ascii_lower(low[i]);
    struct hash_node *node = hash_get(&ram->hash, span_of(low, key.n));
    struct ram_entry *e = node ? CONTAINER(node, struct ram_entry, node) : NEW(struct ram_entry);
    if (node) {
        free(low);
        free(e->value);
    } else {
        e->key = low;
        hash_add(&ram->hash, &e->node, span_of(low, key.n));
        list_append(&ram->entries, &e->order);
    }
    e->value = must_strndup(value.n ? value.p : "", value.n);
    e->hit = (struct map_hit){ .value = span_of(e->value, value.n), .line = line };
}

void map_ram_fail(struct map *m, bool fail) { ram_of(m)->fail = fail; }
