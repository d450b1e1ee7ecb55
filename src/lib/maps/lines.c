/* The text format, as sendmail's makemap reads it: key = up to the first white space, in lower
 * case; value = the rest. Lines that are empty or begin with # are comments; # elsewhere is part
 * of the value, and there are no quotes. Where makemap goes on after an error and leaves half a
 * map, one bad line refuses the whole file here. Blanks at the end of a line (and the CR of a
 * file from Windows) are not part of the value: nobody means them. */
#include "maps/impl.h"

#include "base/must.h"

struct parse {
    struct map_table *t;
    const struct map_params *p;
    struct map_report *r;
    struct span source;
};

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
            map_table_add(ps->t, key, value, line);
    }
}

static void parse_lines(struct parse *ps, char *p, size_t n, char also)
{
    char *end = p + n;
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

static void say_twice(struct map_report *r, struct span source, struct span key, uint32_t line,
                      uint32_t before)
{
    map_report_warning(r, source, line,
                       "the key \"%.*s\" stands in line %u already; that one counts",
                       SPAN_ARG(key), before);
}

struct map_table *map_lines_parse(char *text, size_t n, char also, struct span source,
                                  const struct map_params *p, struct map_report *r)
{
    static const struct map_twice twice = { false, say_twice };
    struct map_table *t = map_table_new(text, n, p->seed);
    struct parse ps = { t, p, r, source };
    size_t errors = r->errors;
    parse_lines(&ps, text, n, also);
    return map_table_seal(t, &twice, errors, source, p, r);
}
