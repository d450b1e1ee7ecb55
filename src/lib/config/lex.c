#include "config/lex.h"

#include "base/must.h"

#include <stdlib.h>

struct lexer {
    struct span text;
    size_t at, line_start;
    uint32_t line;
    struct tokens *out;
    struct arena *arena;
    struct config_report *report;
    bool semicolon_said;
};

static struct config_pos here(const struct lexer *x)
{
    return (struct config_pos){ x->line, (uint32_t)(x->at - x->line_start + 1) };
}

static struct token *add(struct lexer *x, enum token_kind kind, struct span text)
{
    struct tokens *t = x->out;
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->v = must_realloc(t->v, must_mul(t->cap, sizeof *t->v));
    }
    t->v[t->n] = (struct token){ .kind = kind, .pos = here(x), .text = text };
    return &t->v[t->n++];
}

static bool control(char c) { return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f; }

static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || control(c) || strchr("={},;\"#", c) != NULL;
}

static void lex_word(struct lexer *x)
{
    size_t end = x->at;
    while (end < x->text.n && !ends_word(x->text.p[end]))
        end++;
    add(x, TOKEN_WORD, span_from(span_to(x->text, end), x->at));
    x->at = end;
}

/* The offset of the closing quote, or of the line's end without one. */
static size_t string_end(struct span text, size_t at)
{
    while (at < text.n && text.p[at] != '"' && text.p[at] != '\n')
        at += text.p[at] == '\\' && at + 1 < text.n && text.p[at + 1] != '\n' ? 2 : 1;
    return at < text.n ? at : text.n;
}

/* Resolves \" and \\; what else stands there is reported once, at its place. */
static void unescape(struct lexer *x, struct token *tok, struct span raw)
{
    char *to = arena_alloc(x->arena, raw.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < raw.n; i++) {
        struct config_pos pos = tok->pos;
        pos.col += (uint32_t)i + 1;
        if (control(raw.p[i]) && !tok->bad) {
            config_report_add(x->report, CONFIG_ERROR, pos, NULL,
                              "a text must not contain control characters");
            tok->bad = true;
        }
        if (raw.p[i] == '\\' && i + 1 < raw.n) {
            i++;
            if (raw.p[i] != '"' && raw.p[i] != '\\' && !tok->bad) {
                config_report_add(x->report, CONFIG_ERROR, pos, NULL,
                                  "unknown escape: only \\\" and \\\\ may stand in a text");
                tok->bad = true;
            }
        }
        to[n++] = raw.p[i];
    }
    tok->text = span_of(to, n);
    if (!to) {
        config_report_add(x->report, CONFIG_ERROR, tok->pos, NULL, "this text does not fit");
        tok->bad = true;
    }
}

static void lex_string(struct lexer *x)
{
    size_t start = x->at + 1, end = string_end(x->text, start);
    struct span raw = span_from(span_to(x->text, end), start);
    struct token *tok = add(x, TOKEN_STRING, raw);
    if (end == x->text.n || x->text.p[end] != '"') {
        config_report_add(x->report, CONFIG_ERROR, tok->pos, NULL,
                          "this text has no closing \" on its line");
        tok->bad = true;
        for (size_t i = 0; i < raw.n; i++)
            tok->braces_lost += raw.p[i] == '}';
        x->at = end;
        return;
    }
    x->at = end + 1;
    unescape(x, tok, raw);
}

static void lex_odd(struct lexer *x, char c)
{
    if (c != ';')
        config_report_add(x->report, CONFIG_ERROR, here(x), NULL, "control character (byte %d)",
                          (unsigned char)c);
    else if (!x->semicolon_said)
        config_report_add(x->report, CONFIG_ERROR, here(x), NULL,
                          "\";\" is not used here: a blank or a new line ends an option");
    x->semicolon_said |= c == ';';
    x->at++;
}

static void skip_comment(struct lexer *x)
{
    while (x->at < x->text.n && x->text.p[x->at] != '\n')
        x->at++;
}

static void lex_mark(struct lexer *x, enum token_kind kind)
{
    add(x, kind, span_to(span_from(x->text, x->at), 1));
    x->at++;
}

static void lex_one(struct lexer *x)
{
    char c = x->text.p[x->at];
    bool line_end = c == '\r' && x->at + 1 < x->text.n && x->text.p[x->at + 1] == '\n';
    if (c == '\n') {
        x->at++;
        x->line++;
        x->line_start = x->at;
    } else if (c == ' ' || c == '\t' || line_end) {
        x->at++;
    } else if (c == '#') {
        skip_comment(x);
    } else if (c == '"') {
        lex_string(x);
    } else if (c == '=') {
        lex_mark(x, TOKEN_EQUALS);
    } else if (c == '{') {
        lex_mark(x, TOKEN_OPEN);
    } else if (c == '}') {
        lex_mark(x, TOKEN_CLOSE);
    } else if (c == ',') {
        lex_mark(x, TOKEN_COMMA);
    } else if (c == ';' || control(c)) {
        lex_odd(x, c);
    } else {
        lex_word(x);
    }
}

void lex(struct tokens *t, struct span text, struct arena *arena, struct config_report *report)
{
    struct lexer x = { .text = text, .line = 1, .out = t, .arena = arena, .report = report };
    *t = (struct tokens){ 0 };
    if (span_starts(text, SPAN("\xef\xbb\xbf"))) /* a byte order mark, as some editors write */
        x.at = 3;
    while (x.at < text.n)
        lex_one(&x);
    add(&x, TOKEN_END, SPAN_NONE);
    t->n--;
}

void tokens_free(struct tokens *t)
{
    free(t->v);
    *t = (struct tokens){ 0 };
}
