/* regex: patterns (PCRE2). Lines
 *
 *   /pattern/flags value
 *
 * tried in their order; the first that matches counts. Any punctuation but # and \ may stand for
 * the slashes; within the pattern it needs a \ before it. Keys come in lower case, so case never
 * matters; flags: x (blanks and #comments in the pattern count for nothing), i (no effect). In the
 * value $1 ... $99 or ${1} is what that group matched, $0 the whole match, $$ a dollar sign.
 *
 * Keys are written by strangers: a match has limits of steps, depth and memory. One that runs into
 * them is no answer (map_lookup says -1), neither "found" nor "not there". */
#include "maps/impl.h"

#include "base/must.h"
#include "base/num.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

enum { PATTERNS_MAX = 10000, GROUPS_MAX = 99, STEPS_MAX = 100000, DEPTH_MAX = 10000,
       HEAP_KIB_MAX = 4096, NESTING_MAX = 100 };

struct pattern {
    pcre2_code *code;
    struct span text, value; /* in the text of the file */
    uint32_t line;
    bool fixed; /* no $ in the value */
};

struct patterns {
    char *text;
    size_t text_bytes;
    struct pattern *at;
    size_t n, cap;
};

struct regex_map {
    struct map_file file;
    struct patterns patterns;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    struct buf kept[MAP_KEPT]; /* values with $1, made by look-ups */
    size_t next;
};

struct parse {
    struct patterns *ps;
    pcre2_compile_context *compile;
    const struct map_file *f;
    struct map_report *r;
    uint32_t line;
};

static struct regex_map *regex_of(const struct map *m) { return (struct regex_map *)(void *)m; }

static void patterns_free(struct patterns *ps)
{
    for (size_t i = 0; i < ps->n; i++)
        pcre2_code_free(ps->at[i].code);
    free(ps->at);
    free(ps->text);
    *ps = (struct patterns){ 0 };
}

/* --- the value --- */

/* Behind a $: takes the number of a group off *s; -1: "$$"; false: neither. */
static bool take_group(struct span *s, int *group_r)
{
    struct span digits = *s;
    uint64_t v;
    size_t n = 0;
    if (span_starts(*s, SPAN("$"))) {
        *group_r = -1;
        *s = span_from(*s, 1);
        return true;
    }
    bool braces = span_starts(*s, SPAN("{"));
    digits = span_from(*s, braces);
    while (n < digits.n && n < 2 && ascii_isdigit(digits.p[n]))
        n++;
    if (!num_upto(span_to(digits, n), GROUPS_MAX, &v) || (braces && (n == digits.n ||
                                                                      digits.p[n] != '}')))
        return false;
    *group_r = (int)v;
    *s = span_from(digits, n + braces);
    return true;
}

static bool check_value(const struct parse *p, struct span value, uint32_t groups)
{
    int group;
    for (;;) {
        size_t dollar = span_find(value, '$');
        if (dollar == value.n)
            return true;
        value = span_from(value, dollar + 1);
        if (!take_group(&value, &group)) {
            map_report_error(p->r, p->f->map.source, p->line, "behind $ stands a number, or "
                             "another $");
            return false;
        }
        if (group > (int)groups) {
            map_report_error(p->r, p->f->map.source, p->line, "$%d: the pattern has %u groups",
                             group, groups);
            return false;
        }
    }
}

static void put_group(struct buf *b, struct span key, const pcre2_match_data *match, int group)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer((pcre2_match_data *)match);
    if ((uint32_t)group >= pcre2_get_ovector_count((pcre2_match_data *)match))
        return;
    PCRE2_SIZE from = at[2 * group], to = at[2 * group + 1];
    if (from != PCRE2_UNSET && to != PCRE2_UNSET && from <= to && to <= key.n)
        buf_put(b, key.p + from, to - from);
}

/* -1: longer than a value may be. */
static int make_value(struct regex_map *x, const struct pattern *p, struct span key, int groups,
                      struct span *value_r)
{
    struct span rest = p->value;
    struct buf *b = &x->kept[x->next++ % MAP_KEPT];
    int group;
    if (!b->max)
        buf_init(b, MAP_LINE_MAX);
    buf_reset(b);
    for (;;) {
        size_t dollar = span_find(rest, '$');
        bool more = dollar < rest.n;
        buf_puts(b, span_to(rest, dollar));
        rest = span_from(rest, dollar + 1);
        if (!more)
            break;
        MUST(take_group(&rest, &group)); /* check_value has been here */
        if (group < 0)
            buf_putc(b, '$');
        else if (group < groups)
            put_group(b, key, x->match, group);
    }
    *value_r = buf_span(b);
    return b->failed ? -1 : 1;
}

/* --- the file --- */

static bool is_delimiter(char c)
{
    return c > ' ' && c < 127 && !ascii_isalnum(c) && c != '#' && c != '\\';
}

static size_t find_end(struct span s)
{
    size_t i = 1;
    for (; i < s.n && s.p[i] != s.p[0]; i++)
        if (s.p[i] == '\\')
            i++;
    return i < s.n ? i : s.n;
}

static bool read_options(const struct parse *p, struct span flags, uint32_t *options_r)
{
    *options_r = PCRE2_CASELESS | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP |
                 PCRE2_NEVER_BACKSLASH_C;
    for (size_t i = 0; i < flags.n; i++) {
        if (flags.p[i] == 'x') {
            *options_r |= PCRE2_EXTENDED;
        } else if (flags.p[i] != 'i') {
            map_report_error(p->r, p->f->map.source, p->line, "the flag \"%c\" is not known; "
                             "there are i and x", flags.p[i] > ' ' ? flags.p[i] : '?');
            return false;
        }
    }
    return true;
}

static pcre2_code *compile(const struct parse *p, struct span pattern, uint32_t options)
{
    PCRE2_UCHAR why[256];
    PCRE2_SIZE at;
    int error;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &error, &at,
                                     p->compile);
    if (code)
        return code;
    if (pcre2_get_error_message(error, why, sizeof why) <= 0)
        why[0] = 0;
    map_report_error(p->r, p->f->map.source, p->line, "the pattern, at its character %zu: %s",
                     (size_t)at + 1, (const char *)why);
    return NULL;
}

static void add(struct parse *p, struct pattern one)
{
    struct patterns *ps = p->ps;
    if (ps->n == ps->cap) {
        ps->cap = ps->cap ? ps->cap * 2 : 16;
        ps->at = must_realloc(ps->at, must_mul(ps->cap, sizeof *ps->at));
    }
    one.line = p->line;
    one.fixed = span_find(one.value, '$') == one.value.n;
    ps->at[ps->n++] = one;
}

static void parse_line(struct parse *p, struct span s)
{
    struct span source = p->f->map.source, value, flags;
    struct err why = { "" };
    uint32_t options, groups = 0;
    size_t end = find_end(s);
    if (!is_delimiter(s.p[0]) || end == s.n) {
        map_report_error(p->r, source, p->line, "%s", is_delimiter(s.p[0])
                         ? "the pattern has no end" : "a line is /pattern/flags value");
        return;
    }
    value = span_from(s, end + 1);
    flags = value.n && !ascii_isblank(value.p[0]) ? span_word(&value) : SPAN_NONE;
    value = span_trim(value);
    if (!read_options(p, flags, &options))
        return;
    struct pattern one = { .text = span_to(s, end + 1 + flags.n), .value = value,
                           .code = compile(p, span_from(span_to(s, end), 1), options) };
    if (!one.code)
        return;
    pcre2_pattern_info(one.code, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (p->ps->n == PATTERNS_MAX)
        map_report_error(p->r, source, p->line, "more than %d patterns", PATTERNS_MAX);
    else if (!value.n && !p->f->params.empty_values)
        map_report_error(p->r, source, p->line, "no value for the pattern %.*s",
                         SPAN_ARG(one.text));
    else if (p->f->params.check &&
             !p->f->params.check(p->f->params.check_ctx, one.text, value, &why))
        map_report_error(p->r, source, p->line, "%s", why.text);
    else if (check_value(p, value, groups)) {
        add(p, one);
        return;
    }
    pcre2_code_free(one.code);
}

static bool regex_reload(struct map *m, struct map_report *r)
{
    struct regex_map *x = regex_of(m);
    struct patterns new = { 0 };
    struct map_line at = { .line = 0 };
    size_t errors = r->errors;
    struct parse p = { .ps = &new, .f = &x->file, .r = r };
    if (!map_file_read(&x->file, &new.text, &new.text_bytes, r))
        return false;
    p.compile = pcre2_compile_context_create(NULL);
    MUST(p.compile);
    pcre2_set_parens_nest_limit(p.compile, NESTING_MAX);
    struct span text = span_of(new.text, new.text_bytes);
    while (map_next_line(&text, &at, m->source, r) && new.n <= PATTERNS_MAX) {
        p.line = at.line;
        parse_line(&p, at.text);
    }
    pcre2_compile_context_free(p.compile);
    bool good = r->errors == errors;
    if (good) {
        patterns_free(&x->patterns);
        x->patterns = new;
    } else {
        patterns_free(&new);
    }
    return good;
}

/* --- look-ups --- */

static int regex_lookup(struct map *m, struct span key, struct map_hit *hit_r)
{
    struct regex_map *x = regex_of(m);
    for (size_t i = 0; i < x->patterns.n; i++) {
        const struct pattern *p = &x->patterns.at[i];
        int rc = pcre2_match(p->code, (PCRE2_SPTR)key.p, key.n, 0, 0, x->match, x->limits);
        if (rc == PCRE2_ERROR_NOMATCH)
            continue;
        if (rc < 0)
            return -1;
        *hit_r = (struct map_hit){ .value = p->value, .line = p->line };
        return p->fixed ? 1 : make_value(x, p, key, rc ? rc : GROUPS_MAX + 1, &hit_r->value);
    }
    return 0;
}

static void regex_each(const struct map *m,
                       bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx)
{
    const struct patterns *ps = &regex_of(m)->patterns;
    for (size_t i = 0; i < ps->n; i++) {
        struct map_hit hit = { .value = ps->at[i].value, .line = ps->at[i].line };
        if (!fn(ctx, ps->at[i].text, &hit))
            return;
    }
}

static void regex_size(const struct map *m, struct map_stats *s)
{
    const struct patterns *ps = &regex_of(m)->patterns;
    size_t one = 0;
    s->entries = ps->n;
    s->bytes = ps->text_bytes + ps->cap * sizeof *ps->at;
    for (size_t i = 0; i < ps->n; i++)
        if (pcre2_pattern_info(ps->at[i].code, PCRE2_INFO_SIZE, &one) == 0)
            s->bytes += one;
}

static void regex_close(struct map *m)
{
    struct regex_map *x = regex_of(m);
    patterns_free(&x->patterns);
    pcre2_match_data_free(x->match);
    pcre2_match_context_free(x->limits);
    for (size_t i = 0; i < MAP_KEPT; i++)
        buf_free(&x->kept[i]);
    free(x);
}

static const struct map_class regex_class = {
    "regex", regex_close, regex_lookup, regex_reload, regex_each, regex_size,
};

struct map *map_regex_open(struct span path, const struct map_params *p, struct map_report *r)
{
    struct regex_map *x = NEW(struct regex_map);
    x->match = pcre2_match_data_create(GROUPS_MAX + 1, NULL);
    x->limits = pcre2_match_context_create(NULL);
    MUST(x->match && x->limits);
    pcre2_set_match_limit(x->limits, STEPS_MAX);
    pcre2_set_depth_limit(x->limits, DEPTH_MAX);
    pcre2_set_heap_limit(x->limits, HEAP_KIB_MAX);
    return map_file_open(&x->file, &regex_class, path, p, r);
}
