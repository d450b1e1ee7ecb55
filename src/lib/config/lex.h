/* lex: the text of a configuration file as tokens, all at once, so that the parser may look ahead
 * as far as it needs to tell which mistake was made. Its own mistakes (an unterminated text, an
 * unknown escape, a control character) go into the report; a token for them is made even so. */
#ifndef POSTERN_CONFIG_LEX_H
#define POSTERN_CONFIG_LEX_H

#include "base/arena.h"
#include "config/report.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,   /* anything without blanks and = { } , ; " # */
    TOKEN_STRING, /* text is what stands between the quotes, escapes resolved */
    TOKEN_EQUALS,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_COMMA,
};

struct token {
    enum token_kind kind;
    bool bad; /* already reported: its text is not to be judged further */
    uint32_t braces_lost; /* } inside of an unterminated text: they may have been meant */
    struct config_pos pos;
    struct span text; /* a view into the file's text, or into the arena */
};

struct tokens {
    struct token *v; /* ends with a TOKEN_END, which n does not count */
    size_t n, cap;
};

/* text must outlive the tokens. tokens_free releases what lex made. */
void lex(struct tokens *t, struct span text, struct arena *arena, struct config_report *report);
void tokens_free(struct tokens *t);

#endif
