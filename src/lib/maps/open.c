/* From a spec to a map: the table of types, and honest words for those that are not there. */
#include "maps/impl.h"

#include "base/must.h"

#include <stdlib.h>
#include <unistd.h>

/* sendmail's hash, btree and dbm name a file without its suffix; what we read is the text from
 * which it was made, which stands beside it. "-o" says that it need not be there. */
static struct map *open_beside(struct span where, const struct map_params *p,
                               struct map_report *r)
{
    static const char *const suffixes[] = { ".db", ".dir", ".pag" };
    struct map_params mine = *p;
    struct span rest = where, word = span_word(&rest);
    if (span_eq(word, SPAN("-o"))) {
        mine.optional = true;
        word = span_trim(rest);
    } else {
        word = span_trim(where);
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (span_ends(word, span_str(suffixes[i])))
            word = span_to(word, word.n - strlen(suffixes[i]));
    char *text = must_strndup(word.n ? word.p : "", word.n);
    struct buf db;
    buf_init(&db, 4096);
    buf_printf(&db, "%s.db", text);
    struct map *m = NULL;
    if (word.n && access(text, F_OK) != 0 && !db.failed && access(buf_cstr(&db), F_OK) == 0)
        map_report_error(r, word, 0, "only %s.db is there, a Berkeley DB, which is not read here; "
                         "make the text from it where sendmail is: makemap -u hash %s > %s",
                         text, text, text);
    else
        m = map_text_open(word, &mine, r);
    buf_free(&db);
    free(text);
    return m;
}

static struct map *open_text(struct span where, const struct map_params *p, struct map_report *r)
{
    return map_text_open(where, p, r);
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
    /* NULL: the type comes in a later release. */
    struct map *(*open)(struct span where, const struct map_params *p, struct map_report *r);
    bool file; /* what is behind the colon is a path */
} types[] = {
    { "text", open_text, true },        { "inline", map_inline_open, false },
    { "null", open_null, false },       { "hash", open_beside, true },
    { "btree", open_beside, true },     { "dbm", open_beside, true },
    { "cdb", NULL, true },              { "regex", NULL, true },
    { "cidr", NULL, true },
};

struct map *map_open(struct span spec, const struct map_params *p, struct map_report *r)
{
    size_t colon = span_find(spec, ':'), blank = span_find(spec, ' ');
    if (blank < colon) /* "hash /etc/mail/x", as sendmail's K lines have it */
        colon = blank;
    struct span name = span_to(spec, colon), where = span_trim(span_from(spec, colon + 1));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct type *t = &types[i];
        if (!span_ieq(name, span_str(t->name)) || colon == spec.n)
            continue;
        if (!t->open)
            map_report_error(r, spec, 0, "maps of type \"%s\" come in a later release; "
                             "use text: for now", t->name);
        else if (t->file && !where.n)
            map_report_error(r, spec, 0, "no file behind \"%s:\"", t->name);
        else if (memchr(spec.p, 0, spec.n))
            map_report_error(r, SPAN("map"), 0, "a NUL byte in its name");
        else
            return t->open(where, p, r);
        return NULL;
    }
    if (spec.n && spec.p[0] == '/')
        map_report_error(r, spec, 0, "the type is missing: write \"text:%.*s\"", SPAN_ARG(spec));
    else
        map_report_error(r, spec, 0, "no such type of map; there are text:, inline:, null:, and "
                         "hash: btree: dbm: for the text file beside them");
    return NULL;
}
