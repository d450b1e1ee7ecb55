/* cdb: a constant database, as makemap writes it (and any other cdb tool). The file is read whole:
 * a mapped one would end the process with SIGBUS when somebody copies over it in place. All of it
 * is checked when it is read, each record also through the index, so that a look-up afterwards
 * meets only offsets that are good.
 *
 * The format (D. J. Bernstein's): 256 pairs (offset, slots) of little-endian 32-bit numbers; the
 * records (key length, value length, key, value) from 2048 on; then the 256 tables of slots (hash,
 * offset of the record, 0 = free), a table for the low byte of the hash, entered at
 * (hash / 256) % slots and probed linearly. */
#include "maps/impl.h"

#include "base/must.h"

#include <cdb.h>
#include <stdlib.h>

enum { HEAD = 2048, PAIR = 8 };

struct cdb_map {
    struct map_file file;
    struct image {
        unsigned char *mem;
        size_t n, records_end, entries;
    } image;
};

struct record {
    struct span key, value;
};

static struct cdb_map *cdb_of(const struct map *m) { return (struct cdb_map *)(void *)m; }

/* False when it does not lie within the records. */
static bool record_at(const struct image *im, size_t at, struct record *r_r)
{
    if (at < HEAD || at > im->records_end || im->records_end - at < PAIR)
        return false;
    size_t key = cdb_unpack(im->mem + at), value = cdb_unpack(im->mem + at + 4);
    size_t room = im->records_end - at - PAIR;
    if (key > room || value > room - key)
        return false;
    r_r->key = span_of(im->mem + at + PAIR, key);
    r_r->value = span_of(im->mem + at + PAIR + key, value);
    return true;
}

static int find(const struct image *im, struct span key, struct record *r_r)
{
    unsigned hash = cdb_hash(key.p, (unsigned)key.n);
    const unsigned char *head = im->mem + (hash & 255) * PAIR;
    size_t table = cdb_unpack(head), slots = cdb_unpack(head + 4);
    for (size_t i = 0; i < slots; i++) {
        const unsigned char *slot = im->mem + table + ((hash >> 8) + i) % slots * PAIR;
        size_t at = cdb_unpack(slot + 4);
        if (!at)
            return 0;
        if (cdb_unpack(slot) != hash)
            continue;
        if (!record_at(im, at, r_r))
            return -1;
        if (span_eq(r_r->key, key))
            return 1;
    }
    return 0;
}

/* Blanks at the end (and the CR of a file from Windows), which makemap keeps, nobody means. */
static struct span meant(struct span value)
{
    while (value.n && (ascii_isblank(value.p[value.n - 1]) || value.p[value.n - 1] == '\r'))
        value.n--;
    return value;
}

static bool check_head(struct image *im)
{
    if (im->n < HEAD)
        return false;
    im->records_end = im->n;
    for (size_t i = 0; i < 256; i++) {
        size_t table = cdb_unpack(im->mem + i * PAIR), slots = cdb_unpack(im->mem + i * PAIR + 4);
        if (table < HEAD || table > im->n || slots > (im->n - table) / PAIR)
            return false;
        if (table < im->records_end)
            im->records_end = table;
    }
    return true;
}

static void check_record(const struct image *im, const struct map_file *f,
                         const struct record *rec, struct map_report *r)
{
    struct record again;
    struct err why = { "" };
    struct span source = f->map.source, value = meant(rec->value);
    if (rec->key.n == 0 || rec->key.n > MAP_KEY_MAX)
        map_report_error(r, source, 0, "a key of %zu bytes (1 to %d may be)", rec->key.n,
                         MAP_KEY_MAX);
    else if (find(im, rec->key, &again) != 1)
        map_report_error(r, source, 0, "damaged: the key \"%.*s\" is not in its index",
                         SPAN_ARG(rec->key));
    else if (value.n > MAP_LINE_MAX)
        map_report_error(r, source, 0, "the value of the key \"%.*s\" is longer than %d bytes",
                         SPAN_ARG(rec->key), MAP_LINE_MAX);
    else if (!value.n && !f->params.empty_values)
        map_report_error(r, source, 0, "no value for the key \"%.*s\"", SPAN_ARG(rec->key));
    else if (f->params.check && !f->params.check(f->params.check_ctx, rec->key, value, &why))
        map_report_error(r, source, 0, "the key \"%.*s\": %s", SPAN_ARG(rec->key), why.text);
}

static bool has_upper(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (ascii_lower(s.p[i]) != s.p[i])
            return true;
    return false;
}

static bool check_image(struct image *im, const struct map_file *f, struct map_report *r)
{
    size_t errors = r->errors, upper = 0, at = HEAD;
    size_t most = f->params.max_entries ? f->params.max_entries : 1 << 24;
    struct record rec;
    if (!check_head(im)) {
        map_report_error(r, f->map.source, 0, "not a cdb file, or a damaged one");
        return false;
    }
    for (; at < im->records_end && im->entries <= most; im->entries++) {
        if (!record_at(im, at, &rec)) {
            map_report_error(r, f->map.source, 0, "damaged: no record at byte %zu", at);
            return false;
        }
        check_record(im, f, &rec, r);
        upper += has_upper(rec.key);
        at += PAIR + rec.key.n + rec.value.n;
    }
    if (im->entries > most)
        map_report_error(r, f->map.source, 0, "more than %zu entries", most);
    if (upper)
        map_report_warning(r, f->map.source, 0, "%zu keys are not in lower case and will never "
                           "be found (makemap -f)", upper);
    return r->errors == errors;
}

static bool cdb_reload(struct map *m, struct map_report *r)
{
    struct cdb_map *c = cdb_of(m);
    struct image im = { 0 };
    char *mem;
    if (!map_file_read(&c->file, &mem, &im.n, r))
        return false;
    im.mem = (unsigned char *)mem;
    if (mem && !check_image(&im, &c->file, r)) {
        free(mem);
        return false;
    }
    free(c->image.mem);
    c->image = im;
    return true;
}

static int cdb_lookup(struct map *m, struct span key, struct map_hit *hit_r)
{
    struct record rec;
    if (!cdb_of(m)->image.mem)
        return 0;
    int found = find(&cdb_of(m)->image, key, &rec);
    if (found == 1)
        *hit_r = (struct map_hit){ .value = meant(rec.value) };
    return found;
}

static void cdb_each(const struct map *m,
                     bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx)
{
    const struct image *im = &cdb_of(m)->image;
    struct record rec;
    for (size_t at = HEAD; im->mem && record_at(im, at, &rec);) {
        at += PAIR + rec.key.n + rec.value.n;
        struct map_hit hit = { .value = meant(rec.value) };
        if (!fn(ctx, rec.key, &hit))
            return;
    }
}

static void cdb_size(const struct map *m, struct map_stats *s)
{
    s->entries = cdb_of(m)->image.entries;
    s->bytes = cdb_of(m)->image.n;
}

static void cdb_close(struct map *m)
{
    free(cdb_of(m)->image.mem);
    free(m);
}

static const struct map_class cdb_class = {
    "cdb", cdb_close, cdb_lookup, cdb_reload, cdb_each, cdb_size,
};

struct map *map_cdb_open(struct span path, const struct map_params *p, struct map_report *r)
{
    return map_file_open(&NEW(struct cdb_map)->file, &cdb_class, path, p, r);
}
