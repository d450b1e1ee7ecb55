#include "maps/spec.h"

#include <unistd.h>

static const struct {
    const char *name;
    enum map_type type;
    bool file;
} types[] = {
    { "text", MAP_TEXT, true },    { "hash", MAP_BESIDE, true }, { "btree", MAP_BESIDE, true },
    { "dbm", MAP_BESIDE, true },   { "cdb", MAP_CDB, true },     { "regex", MAP_REGEX, true },
    { "cidr", MAP_CIDR, true },    { "inline", MAP_INLINE, false },
    { "null", MAP_NULL, false },
};

/* Takes sendmail's flags off the front. -T says what a look-up that fails shall be; it always
 * means here that the mail is put off. */
static bool take_flags(struct map_spec *s, struct err *e)
{
    for (;;) {
        struct span rest = s->where, word = span_word(&rest);
        if (!span_starts(word, SPAN("-")))
            return true;
        s->where = span_trim(rest);
        if (span_eq(word, SPAN("-o"))) {
            s->optional = true;
        } else if (!span_starts(word, SPAN("-T"))) {
            err_set(e, "has the flag %.*s of sendmail's maps, which is not known here; there are "
                    "-o and -T", SPAN_ARG(span_to(word, 64)));
            return false;
        }
    }
}

static struct span without_suffix(struct span path)
{
    static const char *const suffixes[] = { ".db", ".dir", ".pag", ".cdb" };
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (span_ends(path, span_str(suffixes[i])) && path.n > strlen(suffixes[i]))
            return span_to(path, path.n - strlen(suffixes[i]));
    return path;
}

static bool check_where(struct map_spec *s, struct err *e)
{
    if (!s->file) {
        if (s->type == MAP_NULL && s->where.n)
            err_set(e, "has something behind its colon, which a null map has not");
        return s->type != MAP_NULL || !s->where.n;
    }
    if (!take_flags(s, e))
        return false;
    if (!s->where.n) {
        err_set(e, "names no file behind \"%.*s:\"", SPAN_ARG(s->name));
        return false;
    }
    if (s->type == MAP_BESIDE || s->type == MAP_CDB)
        s->where = without_suffix(s->where);
    return true;
}

bool map_spec_parse(struct span spec, struct map_spec *s_r, struct err *e)
{
    size_t colon = span_find(spec, ':'), blank = span_find(spec, ' ');
    if (blank < colon) /* "hash /etc/mail/x", as sendmail's K lines have it */
        colon = blank;
    struct span name = span_to(spec, colon);
    if (spec.n && memchr(spec.p, 0, spec.n)) {
        err_set(e, "has a NUL byte in it");
        return false;
    }
    for (size_t i = 0; colon < spec.n && i < sizeof types / sizeof *types; i++) {
        if (!span_ieq(name, span_str(types[i].name)))
            continue;
        *s_r = (struct map_spec){ .type = types[i].type, .file = types[i].file, .name = name,
                                  .where = span_trim(span_from(spec, colon + 1)) };
        return check_where(s_r, e);
    }
    if (spec.n && spec.p[0] == '/')
        err_set(e, "has no type: write \"text:%.*s\"", SPAN_ARG(span_to(spec, 256)));
    else
        err_set(e, "is no map: no such type; there are text:, cdb:, regex:, cidr:, inline:, null:, "
                "and hash: btree: dbm: for the text file beside them");
    return false;
}

static bool is_there(const struct map_spec *s, struct buf *path, const char *suffix)
{
    buf_reset(path);
    buf_puts(path, s->where);
    buf_putz(path, suffix);
    return access(buf_cstr(path), F_OK) == 0;
}

void map_spec_path(const struct map_spec *s, struct buf *path)
{
    bool cdb = s->type == MAP_CDB;
    if (s->type == MAP_BESIDE)
        cdb = !is_there(s, path, "") && is_there(s, path, ".cdb");
    buf_reset(path);
    buf_puts(path, s->where);
    if (cdb)
        buf_putz(path, ".cdb");
}
