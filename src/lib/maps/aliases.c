/* An aliases file, as sendmail reads it (sendmail's "readaliases"):
 *
 *   name: value, value,
 *       value                   lines that begin with white space continue the entry
 *   # comment                   in the first column only
 *
 * A line that ends with \ is joined to the next. A name is compared without regard to case; blanks
 * in it count as a period; it may stand in quotes. Its value is kept as one text, with the line
 * ends gone: what is in it (lists, quotes, :include:, |programs, /files) is for who asks. The last
 * of several entries of one name counts. Texts of errors are sendmail's, since people and their
 * scripts know them; as everywhere here, one of them refuses the file. */
#include "maps/impl.h"

#include "base/must.h"

#include <stdlib.h>

enum { ENTRY_MAX = 1 << 20, SHOWN_MAX = 200, CUT = 40 };

struct parse {
    struct map_table *t;
    const struct map_params *p;
    struct map_report *r;
    struct span source;
    char *at, *end;     /* what is still to read */
    char *out;          /* joined lines are written back to front of it; never behind at */
    uint32_t line;      /* of the line at `at`, from 1 */
};

static void __attribute__((format(printf, 3, 4)))
bad(struct parse *ps, uint32_t line, const char *fmt, ...)
{
    struct buf text;
    va_list ap;
    buf_init(&text, 2048);
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    map_report_error(ps->r, ps->source, line, "%.*s", SPAN_ARG(buf_span(&text)));
    buf_free(&text);
}

static struct span shown(struct span s, size_t most) { return span_to(s, most); }

/* The next line without its end (LF or CRLF). */
static struct span take_line(struct parse *ps)
{
    char *lf = memchr(ps->at, '\n', (size_t)(ps->end - ps->at));
    struct span s = span_of(ps->at, (size_t)((lf ? lf : ps->end) - ps->at));
    ps->at = lf ? lf + 1 : ps->end;
    ps->line++;
    if (s.n && s.p[s.n - 1] == '\r')
        s.n--;
    return s;
}

static bool continues(const struct parse *ps)
{
    return ps->at < ps->end && ascii_isblank(*ps->at);
}

/* The entry that begins with the line at hand, in one piece. */
static struct span take_entry(struct parse *ps, uint32_t first)
{
    char *from = ps->out;
    for (bool more = true; more;) {
        uint32_t line = ps->line;
        struct span s = take_line(ps), rest = span_trim(s);
        bool joined = span_ends(s, SPAN("\\")) && ps->at < ps->end;
        if (line != first && rest.n && rest.p[0] == '#' && ascii_isblank(s.p[0]))
            map_report_warning(ps->r, ps->source, line, "an indented # begins no comment: it "
                               "continues the entry of line %u", first);
        s.n -= joined;
        memmove(ps->out, s.p, s.n);
        ps->out += s.n;
        more = joined || continues(ps);
    }
    return span_of(from, (size_t)(ps->out - from));
}

/* The colon behind the name; s.n when there is none. *open_r: a quote is not closed. */
static size_t find_colon(struct span s, bool *open_r)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < s.n && (quoted || s.p[i] != ':'); i++) {
        if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == '\\' && i + 1 < s.n)
            i++;
    }
    *open_r = quoted;
    return i < s.n ? i : s.n;
}

/* The name in the form in which it is looked up, written over what it was; empty when no such
 * name can be. *at_r: the place of an @ outside of quotes, or name.n. */
static struct span fold_name(char *p, size_t n, size_t *at_r)
{
    size_t out = 0, at = SIZE_MAX;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '\\' && i + 1 < n)
            c = p[++i];
        else if (!quoted && c == '@')
            at = out;
        else if (!quoted && strchr("<>(),;\\", c))
            return SPAN_NONE;
        if ((unsigned char)c < ' ' && c != '\t')
            return SPAN_NONE;
        p[out++] = ascii_isblank(c) ? '.' : ascii_lower(c);
    }
    *at_r = at < out ? at : out;
    return span_of(p, out);
}

/* Local names only: name@domain where the domain is ours is the name. */
static struct span local_name(struct parse *ps, struct span name, size_t at, uint32_t line)
{
    if (at == name.n)
        return name;
    struct span domain = span_from(name, at + 1);
    if (at && ps->p->is_local && ps->p->is_local(ps->p->check_ctx, domain))
        return span_to(name, at);
    bad(ps, line, "%.*s... cannot alias non-local names", SPAN_ARG(shown(name, SHOWN_MAX)));
    return SPAN_NONE;
}

static void parse_entry(struct parse *ps, struct span s, uint32_t line)
{
    struct err why = { "" };
    bool open;
    size_t at, colon = find_colon(s, &open);
    if (s.n > ENTRY_MAX) {
        bad(ps, line, "alias too long");
        return;
    }
    if (memchr(s.p, 0, s.n)) {
        bad(ps, line, "a NUL byte: this is not a text file");
        return;
    }
    if (colon == s.n) {
        if (open && span_find(s, ':') < s.n)
            bad(ps, line, "%.*s... Unbalanced '\"'", SPAN_ARG(shown(s, SHOWN_MAX)));
        else
            bad(ps, line, "missing colon");
        return;
    }
    struct span value = span_trim_lines(span_from(s, colon + 1));
    struct span name = span_trim(span_to(s, colon));
    char cut[CUT]; /* as written: folding writes over it */
    size_t cut_n = s.n < CUT ? s.n : CUT;
    memcpy(cut, s.p, cut_n);
    name = name.n ? fold_name((char *)name.p, name.n, &at) : name;
    if (!name.n || name.n > MAP_KEY_MAX) {
        bad(ps, line, "%.*s... illegal alias name", (int)cut_n, cut);
        return;
    }
    name = local_name(ps, name, at, line);
    if (!name.n)
        return;
    if (!value.n && !ps->p->empty_values)
        bad(ps, line, "%.*s... missing value for alias", (int)cut_n, cut);
    else if (ps->p->check && !ps->p->check(ps->p->check_ctx, name, value, &why))
        bad(ps, line, "%s", why.text);
    else
        map_table_add(ps->t, name, value, line);
}

static void parse_file(struct parse *ps)
{
    bool skipping = false; /* said already that these lines continue nothing */
    if (ps->end - ps->at >= 3 && memcmp(ps->at, "\xef\xbb\xbf", 3) == 0)
        ps->at += 3;
    while (ps->at < ps->end) {
        uint32_t line = ps->line;
        if (*ps->at == '#' || *ps->at == '\n' || *ps->at == '\r') {
            take_line(ps);
            skipping = false;
        } else if (ascii_isblank(*ps->at)) {
            if (span_trim_lines(take_line(ps)).n && !skipping) {
                bad(ps, line, "Non-continuation line starts with space");
                skipping = true;
            }
        } else {
            skipping = false;
            parse_entry(ps, take_entry(ps, line), line);
        }
    }
}

static void say_twice(struct map_report *r, struct span source, struct span key, uint32_t line,
                      uint32_t before)
{
    (void)before;
    map_report_warning(r, source, line, "%.*s... Warning: duplicate alias name %.*s",
                       SPAN_ARG(key), SPAN_ARG(key));
}

struct map_table *map_aliases_parse(char *text, size_t n, struct span source,
                                    const struct map_params *p, struct map_report *r)
{
    static const struct map_twice twice = { true, say_twice };
    struct map_table *t = map_table_new(text, n, p->seed);
    size_t errors = r->errors;
    struct parse ps = { .t = t, .p = p, .r = r, .source = source, .at = text, .end = text + n,
                        .out = text, .line = 1 };
    if (n)
        parse_file(&ps);
    return map_table_seal(t, &twice, errors, source, p, r);
}
