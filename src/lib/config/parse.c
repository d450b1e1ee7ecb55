#include "config/parse.h"

#include "base/must.h"

#include <stdlib.h>

struct parser {
    const struct token *at;
    uint32_t braces_lost; /* in the section that is open */
    struct bind *bind;
    struct config_report *report;
    const struct token *section; /* the name of the one that is open, or NULL */
    struct token *items;         /* of the list being read */
    size_t n, cap;
};

static void error_at(struct parser *p, const struct token *t, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void error_at(struct parser *p, const struct token *t, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, 4096);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    config_report_add(p->report, CONFIG_ERROR, t->pos, NULL, "%s", buf_cstr(&b));
    buf_free(&b);
}

static bool is_text(const struct token *t)
{
    return t->kind == TOKEN_WORD || t->kind == TOKEN_STRING;
}

/* NAME =, NAME {, NAME "LABEL" {: where something new begins. */
static bool begins(const struct token *t)
{
    if (t->kind != TOKEN_WORD)
        return false;
    if (t[1].kind == TOKEN_EQUALS || t[1].kind == TOKEN_OPEN)
        return true;
    return is_text(&t[1]) && t[2].kind == TOKEN_OPEN && t[1].pos.line == t->pos.line;
}

static bool same_line(const struct token *a, const struct token *b)
{
    return a->pos.line == b->pos.line;
}

static void add_item(struct parser *p, const struct token *t)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 16;
        p->items = must_realloc(p->items, must_mul(p->cap, sizeof *p->items));
    }
    p->items[p->n++] = *t;
    p->braces_lost += t->braces_lost;
}

/* Past the "}" that belongs to the "{" at hand. */
static void skip_braces(struct parser *p)
{
    size_t depth = 0;
    do {
        depth += p->at->kind == TOKEN_OPEN;
        depth -= p->at->kind == TOKEN_CLOSE;
        p->at++;
    } while (depth && p->at->kind != TOKEN_END);
}

/* The first mistake of a list stands for all of them. */
static void list_error(struct parser *p, struct value *v, const char *what)
{
    if (!v->bad)
        error_at(p, p->at, "%s", what);
    v->bad = true;
}

/* comma: an item may stand here. */
static void parse_item(struct parser *p, struct value *v, bool *comma)
{
    const struct token *t = p->at;
    if (t->kind == TOKEN_COMMA && !*comma) {
        *comma = true;
    } else if (is_text(t)) {
        if (!*comma)
            list_error(p, v, "a comma is missing before this");
        *comma = false;
        add_item(p, t);
    } else if (t->kind == TOKEN_OPEN) {
        list_error(p, v, "there are no lists inside of lists");
        skip_braces(p);
        *comma = false;
        return;
    } else {
        list_error(p, v, "a text in quotes is expected here");
    }
    p->at++;
}

/* After "{". Up to the "}" that closes it, or to where the next thing begins without one. */
static void parse_list(struct parser *p, const struct token *open, struct value *v)
{
    bool comma = true;
    while (p->at->kind != TOKEN_CLOSE && p->at->kind != TOKEN_END && !begins(p->at))
        parse_item(p, v, &comma);
    if (p->at->kind == TOKEN_CLOSE) {
        p->at++;
    } else {
        if (!p->braces_lost)
            error_at(p, open, "this list has no closing }");
        p->braces_lost -= p->braces_lost > 0;
        v->bad = true;
    }
    if (p->n > CONFIG_LIST_MAX) {
        error_at(p, open, "this list is too long: %d items are allowed", CONFIG_LIST_MAX);
        v->bad = true;
        p->n = 0;
    }
}

static bool is_unit(struct span s)
{
    return s.n == 1 ? strchr("smhdwKMGkgb", s.p[0]) != NULL
                    : span_ieq(s, SPAN("ms")) || span_ieq(s, SPAN("MB")) || span_ieq(s, SPAN("GB"));
}

/* What stands behind a value on its line and begins nothing: one message for all of it. */
static bool skip_strays(struct parser *p, const struct token *value)
{
    const struct token *t = p->at;
    bool comma = t->kind == TOKEN_COMMA;
    if (!same_line(t, value) || begins(t) || !(comma || is_text(t)))
        return true;
    if (comma)
        error_at(p, t, "several values are written as a list: {\"a\", \"b\"}");
    else if (value->kind == TOKEN_WORD && t->kind == TOKEN_WORD &&
             ascii_isdigit(value->text.p[0]) && is_unit(t->text))
        error_at(p, t, "write \"%.*s%.*s\" without a blank", SHOWN(value->text), SHOWN(t->text));
    else
        error_at(p, t, "\"%.*s\" is one value too many", SHOWN(t->text));
    while (same_line(p->at, value) && !begins(p->at) &&
           (is_text(p->at) || p->at->kind == TOKEN_COMMA))
        p->at++;
    return false;
}

/* At the value. NULL: it is missing or wrong, which has been said. */
static const struct value *parse_value(struct parser *p, const struct token *name, struct value *v)
{
    const struct token *t = p->at;
    p->n = 0;
    *v = (struct value){ .pos = t->pos };
    if (t->kind == TOKEN_OPEN) {
        p->at++;
        v->list = true;
        parse_list(p, t, v);
    } else if (is_text(t) && !(begins(t) && !same_line(t, name))) {
        add_item(p, t);
        p->at++;
        if (!skip_strays(p, t))
            return NULL;
    } else {
        error_at(p, name, "%.*s has no value", SHOWN(name->text));
        p->at += t->kind == TOKEN_COMMA;
        return NULL;
    }
    v->items = p->items;
    v->n = p->n;
    return v;
}

static void parse_option(struct parser *p)
{
    const struct token *name = p->at;
    struct value v;
    p->at += 2;
    bind_option(p->bind, name, parse_value(p, name, &v));
}

static void unclosed(struct parser *p, const struct token *before)
{
    if (p->braces_lost) /* a text without a closing quote has swallowed it */
        p->braces_lost--;
    else if (before)
        error_at(p, before, "section %.*s (line %u) has no closing } before this",
                 SHOWN(p->section->text), (unsigned)p->section->pos.line);
    else
        error_at(p, p->section, "section %.*s has no closing }", SHOWN(p->section->text));
    bind_close(p->bind);
    p->section = NULL;
}

static bool labelled(const struct token *name)
{
    if (!is_text(&name[1]))
        return false;
    return name[2].kind == TOKEN_OPEN ||
           (name[1].kind == TOKEN_STRING && same_line(name, &name[1]));
}

/* At NAME { or NAME "LABEL" {, or at a section's name whose { is missing. */
static void parse_section(struct parser *p)
{
    const struct token *name = p->at, *label = labelled(name) ? &name[1] : NULL;
    p->at += label ? 2 : 1;
    if (p->section && !config_section_find(name->text)) {
        error_at(p, name, "\"%.*s {\": there are no sections inside of sections",
                 SHOWN(name->text));
        skip_braces(p);
        return;
    }
    if (p->section)
        unclosed(p, name);
    if (p->at->kind == TOKEN_OPEN)
        p->at++;
    p->section = name;
    p->braces_lost = label ? label->braces_lost : 0;
    bind_open(p->bind, name, label);
}

/* A word that neither "=" nor "{" follows: which of them is missing? */
static void parse_incomplete(struct parser *p)
{
    const struct token *name = p->at;
    struct span section = p->section ? p->section->text : SPAN("");
    bool known = config_option_find(section, name->text) != NULL;
    if (!known && config_section_find(name->text)) {
        if (!name[1].bad) /* an unterminated label has swallowed it */
            error_at(p, name, "\"{\" is missing behind %.*s", SHOWN(name->text));
        parse_section(p);
        return;
    }
    error_at(p, name, "\"=\" is missing behind %.*s", SHOWN(name->text));
    p->at++;
    if (p->at->kind == TOKEN_OPEN)
        skip_braces(p);
    while (same_line(p->at, name) && !begins(p->at) &&
           (is_text(p->at) || p->at->kind == TOKEN_COMMA))
        p->at++;
    if (known)
        bind_option(p->bind, name, NULL);
}

static void parse_close(struct parser *p)
{
    if (!p->section)
        error_at(p, p->at, "this } closes nothing");
    bind_close(p->bind);
    p->section = NULL;
    p->at++;
}

/* At something that begins neither option nor section: to the next beginning, to a "}", or to the
 * end of the line. */
static void parse_odd(struct parser *p)
{
    static const char *const names[] = {
        [TOKEN_END] = "", [TOKEN_WORD] = "", [TOKEN_STRING] = "a text", [TOKEN_EQUALS] = "\"=\"",
        [TOKEN_OPEN] = "\"{\"", [TOKEN_CLOSE] = "", [TOKEN_COMMA] = "a comma",
    };
    error_at(p, p->at, "the name of an option or section is expected here, not %s",
             names[p->at->kind]);
    if (p->at->kind == TOKEN_OPEN) {
        skip_braces(p);
        return;
    }
    const struct token *odd = p->at;
    do
        p->at++;
    while (p->at->kind != TOKEN_END && p->at->kind != TOKEN_CLOSE && p->at->kind != TOKEN_OPEN &&
           !begins(p->at) && same_line(p->at, odd));
}

/* NAME { of an option that is no section: a list whose "=" is missing. */
static bool is_list_option(const struct parser *p)
{
    struct span section = p->section ? p->section->text : SPAN("");
    return p->at[1].kind == TOKEN_OPEN && !config_section_find(p->at->text) &&
           config_option_find(section, p->at->text);
}

void parse(const struct tokens *t, struct bind *b, struct config_report *report)
{
    struct parser p = { .at = t->v, .bind = b, .report = report };
    while (p.at->kind != TOKEN_END) {
        if (p.at->kind == TOKEN_CLOSE)
            parse_close(&p);
        else if (p.at->kind != TOKEN_WORD)
            parse_odd(&p);
        else if (p.at[1].kind == TOKEN_EQUALS)
            parse_option(&p);
        else if (begins(p.at) && !is_list_option(&p))
            parse_section(&p);
        else
            parse_incomplete(&p);
    }
    if (p.section)
        unclosed(&p, NULL);
    free(p.items);
}
