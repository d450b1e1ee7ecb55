/* From a spec to a map. */
#include "maps/impl.h"

#include "maps/spec.h"

#include <limits.h>
#include <unistd.h>

/* sendmail's hash, btree and dbm name a file without its suffix; what we read is the text from
 * which it was made, which stands beside it, or else what our own makemap made. */
static struct map *open_beside(const struct map_spec *s, struct span path,
                               const struct map_params *p, struct map_report *r)
{
    struct buf db;
    buf_init(&db, PATH_MAX + 8);
    buf_puts(&db, s->where);
    buf_putz(&db, ".db");
    bool only_db = !db.failed && access(path.p, F_OK) != 0 && access(buf_cstr(&db), F_OK) == 0;
    buf_free(&db);
    if (!only_db)
        return path.n > s->where.n ? map_cdb_open(path, p, r) : map_text_open(path, p, r);
    map_report_error(r, path, 0, "only %.*s.db is there, a Berkeley DB, which is not read here: "
                     "put the text it was made from back as %.*s, or make the text from it where "
                     "sendmail is: makemap -u hash %.*s > %.*s",
                     SPAN_ARG(path), SPAN_ARG(path), SPAN_ARG(path), SPAN_ARG(path));
    return NULL;
}

static struct map *open_file(const struct map_spec *s, struct span path,
                             const struct map_params *p, struct map_report *r)
{
    switch (s->type) {
    case MAP_BESIDE: return open_beside(s, path, p, r);
    case MAP_CDB: return map_cdb_open(path, p, r);
    case MAP_REGEX: return map_regex_open(path, p, r);
    case MAP_CIDR: return map_cidr_open(path, p, r);
    default: return map_text_open(path, p, r);
    }
}

struct map *map_open(struct span spec, const struct map_params *p, struct map_report *r)
{
    struct map_params mine = *p;
    struct map_spec s;
    struct map *m = NULL;
    struct buf path;
    struct err e;
    if (!map_spec_parse(spec, &s, &e)) {
        map_report_error(r, span_to(spec, strnlen(spec.p ? spec.p : "", spec.n)), 0, "%s", e.text);
        return NULL;
    }
    if (s.type == MAP_NULL)
        return map_null_new();
    if (s.type == MAP_INLINE)
        return map_inline_open(s.where, p, r);
    mine.optional |= s.optional;
    buf_init(&path, PATH_MAX + 8);
    map_spec_path(&s, &path);
    if (path.failed) {
        map_report_error(r, s.where, 0, "the path is too long");
    } else {
        buf_cstr(&path);
        m = open_file(&s, buf_span(&path), &mine, r);
    }
    buf_free(&path);
    return m;
}
