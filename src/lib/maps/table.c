/* The text format, as sendmail's makemap reads it: key = up to the first white space, in lower
 * case; value = the rest. Lines that are empty or begin with # are comments; # elsewhere is part
 * of the value, and there are no quotes. Where makemap goes on after an error and leaves half a
 * map, one bad line refuses the whole file here. Blanks at the end of a line (and the CR of a
 * file from Windows) are not part of the value: nobody means them.
 *
 * Memory: the text itself, one struct entry per line and an index of 32-bit numbers with at most
 * three quarters of its places taken, probed linearly. */
#include "maps/impl.h"

#include "base/hash.h"
#include "base/must.h"

#include <stdlib.h>

struct entry {
    uint32_t tag; /* high half of the hash: most comparisons end here */
    uint32_t key_off, value_off, value_len;
    uint32_t line;
    uint16_t key_len;
};

struct map_table {
    char *text;
    size_t text_bytes;
    struct entry *entries;
    size_t n, cap;
    uint32_t *index; /* entry number + 1; 0 = free */
    size_t index_size;
    uint64_t seed;
};

struct parse {
    struct map_table *t;
    const struct map_params *p;
    struct map_report *r;
    struct span source;
    size_t max_entries;
};

void map_table_free(struct map_table **t)
{
    if (!*t)
        return;
    free((*t)->text);
    free((*t)->entries);
    free((*t)->index);
    free(*t);
    *t = NULL;
}

static struct span key_of(const struct map_table *t, const struct entry *e)
{
    return span_of(t->text + e->key_off, e->key_len);
}

static struct span value_of(const struct map_table *t, const struct entry *e)
{
    return span_of(t->text + e->value_off, e->value_len);
}

/* The place of key: its own, or the free one where it would stand. */
static uint32_t *place(const struct map_table *t, uint64_t hash, struct span key)
{
    size_t mask = t->index_size - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t at = t->index[i];
        if (!at)
            return &t->index[i];
        const struct entry *e = &t->entries[at - 1];
        if (e->tag == (uint32_t)(hash >> 32) && span_eq(key_of(t, e), key))
            return &t->index[i];
    }
}

static void add_entry(struct parse *ps, struct span key, struct span value, uint32_t line)
{
    struct map_table *t = ps->t;
    if (t->n == ps->max_entries) {
        map_report_error(ps->r, ps->source, line, "more than %zu entries", ps->max_entries);
        return;
    }
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->entries = must_realloc(t->entries, must_mul(t->cap, sizeof *t->entries));
    }
    t->entries[t->n++] = (struct entry){
        .key_off = (uint32_t)(key.p - t->text), .key_len = (uint16_t)key.n, .line = line,
        .value_off = value.n ? (uint32_t)(value.p - t->text) : 0, .value_len = (uint32_t)value.n,
    };
}

/* One record; its key is put into lower case where it stands. */
static void parse_line(struct parse *ps, char *p, size_t n, uint32_t line)
{
    struct span s = span_trim_lines(span_of(p, n)), key, value;
    struct err why = { "" };
    if (!s.n || s.p[0] == '#')
        return;
    if (n > MAP_LINE_MAX)
        map_report_error(ps->r, ps->source, line, "the line is longer than %d bytes",
                         MAP_LINE_MAX);
    else if (memchr(s.p, 0, s.n))
        map_report_error(ps->r, ps->source, line, "a NUL byte: this is not a text file");
    else if (s.p != p)
        map_report_error(ps->r, ps->source, line, "the line begins with white space");
    else {
        value = s;
        key = span_word(&value);
        value = span_trim_lines(value);
        for (size_t i = 0; i < key.n; i++)
            p[i] = ascii_lower(p[i]);
        if (key.n > MAP_KEY_MAX)
            map_report_error(ps->r, ps->source, line, "the key is longer than %d bytes",
                             MAP_KEY_MAX);
        else if (!value.n && !ps->p->empty_values)
            map_report_error(ps->r, ps->source, line, "no value for the key \"%.*s\"",
                             SPAN_ARG(key));
        else if (ps->p->check && !ps->p->check(ps->p->check_ctx, key, value, &why))
            map_report_error(ps->r, ps->source, line, "%s", why.text);
        else
            add_entry(ps, key, value, line);
    }
}

static void parse_lines(struct parse *ps, size_t n, char also)
{
    char *p = ps->t->text, *end = p + n;
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) /* a byte order mark is no key */
        p += 3;
    for (uint32_t line = 1; p < end; line++) {
        char *lf = memchr(p, '\n', (size_t)(end - p));
        char *stop = lf ? lf : end;
        char *sep = also ? memchr(p, also, (size_t)(stop - p)) : NULL;
        if (sep)
            stop = sep;
        char *from = p;
        while (also && from < stop && ascii_isblank(*from)) /* "a b; c d" */
            from++;
        parse_line(ps, from, (size_t)(stop - from), line);
        p = stop + 1;
    }
}

/* The first of several entries of one key stands, as with makemap. */
static void build_index(struct parse *ps)
{
    struct map_table *t = ps->t;
    size_t kept = 0;
    for (t->index_size = 16; t->index_size * 3 / 4 < t->n;)
        t->index_size *= 2;
    t->index = must_calloc(t->index_size, sizeof *t->index);
    for (size_t i = 0; i < t->n; i++) {
        struct entry e = t->entries[i];
        uint64_t hash = hash_bytes(t->seed, key_of(t, &e));
        uint32_t *at = place(t, hash, key_of(t, &e));
        if (*at) {
            map_report_warning(ps->r, ps->source, e.line,
                               "the key \"%.*s\" stands in line %u already; that one counts",
                               SPAN_ARG(key_of(t, &e)), t->entries[*at - 1].line);
            continue;
        }
        e.tag = (uint32_t)(hash >> 32);
        t->entries[kept++] = e;
        *at = (uint32_t)kept;
    }
    t->n = kept;
}

struct map_table *map_table_parse(char *text, size_t n, char also, struct span source,
                                  const struct map_params *p, struct map_report *r)
{
    struct map_table *t = NEW(struct map_table);
    struct parse ps = { t, p, r, source, p->max_entries ? p->max_entries : 1 << 24 };
    size_t errors = r->errors;
    MUST(n < UINT32_MAX);
    *t = (struct map_table){ .text = text, .text_bytes = n, .seed = p->seed };
    parse_lines(&ps, n, also);
    if (r->errors > errors) {
        map_table_free(&t);
        return NULL;
    }
    build_index(&ps);
    return t;
}

int map_table_lookup(const struct map_table *t, struct span key, struct map_hit *hit_r)
{
    uint32_t at = *place(t, hash_bytes(t->seed, key), key);
    if (!at)
        return 0;
    const struct entry *e = &t->entries[at - 1];
    *hit_r = (struct map_hit){ .value = value_of(t, e), .line = e->line };
    return 1;
}

void map_table_each(const struct map_table *t,
                    bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct entry *e = &t->entries[i];
        struct map_hit hit = { .value = value_of(t, e), .line = e->line };
        if (!fn(ctx, key_of(t, e), &hit))
            return;
    }
}

size_t map_table_entries(const struct map_table *t) { return t->n; }

size_t map_table_bytes(const struct map_table *t)
{
    return sizeof *t + t->text_bytes + t->cap * sizeof *t->entries +
           t->index_size * sizeof *t->index;
}
