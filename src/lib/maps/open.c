/* From a spec to a map: the table of types, and honest words for what is not there. */
#include "maps/impl.h"

#include "base/must.h"

#include <stdlib.h>
#include <unistd.h>

/* path + suffix, the caller's (free). */
static char *with_suffix(struct span path, const char *suffix)
{
    char *text = must_alloc(path.n + strlen(suffix) + 1);
    memcpy(text, path.p, path.n);
    memcpy(text + path.n, suffix, strlen(suffix));
    return text;
}

static bool is_there(struct span path, const char *suffix)
{
    char *text = with_suffix(path, suffix);
    bool there = access(text, F_OK) == 0;
    free(text);
    return there;
}

static struct span without_suffix(struct span path)
{
    static const char *const suffixes[] = { ".db", ".dir", ".pag", ".cdb" };
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (span_ends(path, span_str(suffixes[i])) && path.n > strlen(suffixes[i]))
            return span_to(path, path.n - strlen(suffixes[i]));
    return path;
}

static struct map *open_cdb(struct span where, const struct map_params *p, struct map_report *r)
{
    char *path = with_suffix(without_suffix(where), ".cdb");
    struct map *m = map_cdb_open(span_str(path), p, r);
    free(path);
    return m;
}

/* sendmail's hash, btree and dbm name a file without its suffix; what we read is the text from
 * which it was made, which stands beside it, or else what our own makemap made. */
static struct map *open_beside(struct span where, const struct map_params *p,
                               struct map_report *r)
{
    struct span path = without_suffix(where);
    if (is_there(path, ""))
        return map_text_open(path, p, r);
    if (is_there(path, ".cdb"))
        return open_cdb(path, p, r);
    if (!is_there(path, ".db"))
        return map_text_open(path, p, r);
    map_report_error(r, path, 0, "only %.*s.db is there, a Berkeley DB, which is not read here: "
                     "put the text it was made from back as %.*s, or make the text from it where "
                     "sendmail is: makemap -u hash %.*s > %.*s",
                     SPAN_ARG(path), SPAN_ARG(path), SPAN_ARG(path), SPAN_ARG(path));
    return NULL;
}

static struct map *open_null(struct span where, const struct map_params *p, struct map_report *r)
{
    (void)p;
    if (where.n) {
        map_report_error(r, SPAN("null"), 0, "a null map has nothing behind its colon");
        return NULL;
    }
    return map_null_new();
}

static const struct type {
    const char *name;
    struct map *(*open)(struct span where, const struct map_params *p, struct map_report *r);
    bool file; /* what is behind the colon is a path */
} types[] = {
    { "text", map_text_open, true },     { "inline", map_inline_open, false },
    { "null", open_null, false },       { "hash", open_beside, true },
    { "btree", open_beside, true },     { "dbm", open_beside, true },
    { "cdb", open_cdb, true },          { "regex", map_regex_open, true },
    { "cidr", map_cidr_open, true },
};

/* Takes sendmail's flags off the front of *where. False: reported. */
static bool take_flags(struct span *where, struct map_params *p, struct map_report *r)
{
    for (;;) {
        struct span rest = *where, word = span_word(&rest);
        if (!span_starts(word, SPAN("-")))
            return true;
        *where = span_trim(rest);
        if (span_eq(word, SPAN("-o"))) {
            p->optional = true;
        } else if (!span_starts(word, SPAN("-T"))) {
            map_report_error(r, word, 0, "this flag of sendmail's maps is not known here; there "
                             "are -o and -T");
            return false;
        }
    }
}

struct map *map_open(struct span spec, const struct map_params *p, struct map_report *r)
{
    size_t colon = span_find(spec, ':'), blank = span_find(spec, ' ');
    if (blank < colon) /* "hash /etc/mail/x", as sendmail's K lines have it */
        colon = blank;
    struct span name = span_to(spec, colon), where = span_trim(span_from(spec, colon + 1));
    struct map_params mine = *p;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct type *t = &types[i];
        if (!span_ieq(name, span_str(t->name)) || colon == spec.n)
            continue;
        if (memchr(spec.p, 0, spec.n))
            map_report_error(r, SPAN("map"), 0, "a NUL byte in its name");
        else if (t->file && !take_flags(&where, &mine, r))
            return NULL;
        else if (t->file && !where.n)
            map_report_error(r, spec, 0, "no file behind \"%s:\"", t->name);
        else
            return t->open(where, &mine, r);
        return NULL;
    }
    if (spec.n && spec.p[0] == '/')
        map_report_error(r, spec, 0, "the type is missing: write \"text:%.*s\"", SPAN_ARG(spec));
    else
        map_report_error(r, spec, 0, "no such type of map; there are text:, cdb:, regex:, cidr:, "
                         "inline:, null:, and hash: btree: dbm: for the text file beside them");
    return NULL;
}
