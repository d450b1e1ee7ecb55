/* Finding rows of the table by name, and the name that was probably meant. */
#include "config/table.h"

#include "base/must.h"

#include <stdlib.h>

enum { NAME_MAX_LEN = 40 }; /* no name of ours is longer; longer ones have no suggestion */

const struct config_section *config_section_find(struct span name)
{
    size_t n;
    const struct config_section *s = config_sections(&n);
    for (size_t i = 1; i < n; i++)
        if (span_eq(span_str(s[i].name), name))
            return &s[i];
    return NULL;
}

const struct config_option *config_option_find(struct span section, struct span name)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++)
        if (span_eq(span_str(o[i].section), section) && span_eq(span_str(o[i].name), name))
            return &o[i];
    return NULL;
}

const struct config_option *config_option_named(struct span name)
{
    size_t n, dot = span_find(name, '.');
    const struct config_option *o = config_options(&n), *only = NULL;
    if (dot < name.n)
        return config_option_find(span_to(name, dot), span_from(name, dot + 1));
    for (size_t i = 0; i < n; i++) {
        if (!span_eq(span_str(o[i].name), name))
            continue;
        if (!o[i].section[0])
            return &o[i];
        enum config_of of = config_section_of(o[i].section);
        if (only && (of == CONFIG_OF_RULE || of == CONFIG_OF_CHECK))
            continue; /* they repeat names of other sections, which come first */
        if (only)
            return NULL;
        only = &o[i];
    }
    return only;
}

void config_option_put_name(struct buf *b, const struct config_option *o)
{
    if (o->section[0])
        buf_printf(b, "%s.", o->section);
    buf_putz(b, o->name);
}

const void *config_option_value(const struct config_option *o, const struct config *cfg,
                                const void *item)
{
    bool all = config_section_of(o->section) == CONFIG_OF_ALL;
    return (all ? (const char *)cfg : (const char *)item) + o->offset;
}

static const struct {
    const char *name, *section, *label;
    size_t items, count, bytes; /* offsets in struct config; of one */
} ofs[CONFIG_OFS] = {
#define ITEMS(field) \
    offsetof(struct config, field), offsetof(struct config, n_##field), \
        sizeof *((struct config *)0)->field
    [CONFIG_OF_ALL] = { "", "", "", 0, 0, 0 },
    [CONFIG_OF_LISTEN] = { "listener", "listen", "mx", ITEMS(listens) },
    [CONFIG_OF_RULE] = { "delivery_rule", "delivery_rule", "big", ITEMS(rules) },
    [CONFIG_OF_CHECK] = { "check", "check", "filter", ITEMS(checks) },
#undef ITEMS
};

const char *config_of_name(enum config_of of) { return ofs[of].name; }
const char *config_of_section(enum config_of of) { return ofs[of].section; }
const char *config_of_label(enum config_of of) { return ofs[of].label; }

size_t *config_items_count(struct config *cfg, enum config_of of)
{
    MUST(of != CONFIG_OF_ALL);
    return (size_t *)((char *)cfg + ofs[of].count);
}

bool config_items_room(struct config *cfg, enum config_of of, size_t n)
{
    void *room = arena_alloc(cfg->arena, must_mul(n, ofs[of].bytes));
    memcpy((char *)cfg + ofs[of].items, &room, sizeof room);
    return room;
}

size_t config_items(const struct config *cfg, enum config_of of)
{
    return of == CONFIG_OF_ALL ? 1 : *config_items_count((struct config *)cfg, of);
}

void *config_item(const struct config *cfg, enum config_of of, size_t i)
{
    char *items;
    if (of == CONFIG_OF_ALL)
        return NULL;
    memcpy(&items, (const char *)cfg + ofs[of].items, sizeof items);
    return items + i * ofs[of].bytes;
}

struct span config_item_name(const void *item) { return *(const struct span *)item; }

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

/* Letters to insert, drop, change or swap with their neighbour to make b of a. */
static unsigned distance(struct span a, struct span b)
{
    unsigned d[NAME_MAX_LEN + 1][NAME_MAX_LEN + 1];
    if (a.n > NAME_MAX_LEN || b.n > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (unsigned i = 0; i <= a.n; i++)
        for (unsigned j = 0; j <= b.n; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            char x = ascii_lower(a.p[i - 1]), y = ascii_lower(b.p[j - 1]);
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (x != y));
            if (i > 1 && j > 1 && x == ascii_lower(b.p[j - 2]) && y == ascii_lower(a.p[i - 2]))
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[a.n][b.n];
}

struct guess {
    struct span wrote;
    const char *best;
    unsigned cost;
};

static struct guess guess_of(struct span wrote)
{
    unsigned allowed = wrote.n <= 3 ? 1 : wrote.n <= 6 ? 2 : 3;
    return (struct guess){ .wrote = wrote, .cost = allowed + 1 };
}

static void consider(struct guess *g, const char *name)
{
    struct span s = span_str(name);
    unsigned cost = distance(g->wrote, s);
    /* the beginning of a name is as good as one that is barely close: cert, certificate */
    if (g->wrote.n >= 3 && span_istarts(s, g->wrote))
        cost = least(cost, 1);
    if (cost < g->cost && cost < s.n) {
        g->best = name;
        g->cost = cost;
    }
}

const char *config_suggest_option(struct span section, struct span name)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    struct guess g = guess_of(name);
    for (size_t i = 0; i < n; i++)
        if (span_eq(span_str(o[i].section), section))
            consider(&g, o[i].name);
    return g.best;
}

const char *config_suggest_section(struct span name)
{
    size_t n;
    const struct config_section *s = config_sections(&n);
    struct guess g = guess_of(name);
    for (size_t i = 1; i < n; i++)
        consider(&g, s[i].name);
    return g.best;
}

const char *config_suggest_word(const struct config_option *o, struct span word)
{
    struct guess g = guess_of(word);
    for (const struct config_word *w = o->words; w && w->word; w++)
        consider(&g, w->word);
    return g.best;
}

const char *config_suggest_among(const char *const *names, size_t n, struct span name)
{
    struct guess g = guess_of(name);
    for (size_t i = 0; i < n; i++)
        consider(&g, names[i]);
    return g.best;
}

void config_suggest_dotted(struct buf *b, struct span name)
{
    size_t n, dot = span_find(name, '.');
    const struct config_option *o = config_options(&n);
    struct span section = dot < name.n ? span_to(name, dot) : SPAN_NONE;
    struct span last = dot < name.n ? span_from(name, dot + 1) : name;
    struct guess g = guess_of(last);
    const struct config_option *best = NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned before = g.cost;
        if (section.n && distance(section, span_str(o[i].section)) > 2)
            continue;
        consider(&g, o[i].name);
        if (g.cost < before)
            best = &o[i];
    }
    if (best)
        config_option_put_name(b, best);
}

const char *config_suggest_listener(const struct config *cfg, struct span name)
{
    const char **names = must_calloc(cfg->n_listens + 1, sizeof *names);
    for (size_t i = 0; i < cfg->n_listens; i++)
        names[i] = cfg->listens[i].name.p; /* a NUL follows */
    names[cfg->n_listens] = "submit";
    const char *like = config_suggest_among(names, cfg->n_listens + 1, name);
    free(names);
    return like;
}
