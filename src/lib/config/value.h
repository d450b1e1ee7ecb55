/* value: one option's value, from tokens into its field and from the field back to text. */
#ifndef POSTERN_CONFIG_VALUE_H
#define POSTERN_CONFIG_VALUE_H

#include "config/lex.h"
#include "config/table.h"

/* What the parser found behind "=". */
struct value {
    bool list;
    bool bad; /* a mistake in it is reported already; its items are judged all the same */
    struct config_pos pos;
    const struct token *items; /* words and strings; one, unless it is a list */
    size_t n;
};

/* Checks the value by the table and stores it in the option's field; texts go into the arena.
 * False: reported, and the field is unchanged. */
bool value_set(const struct config_option *o, const struct value *v, void *field,
               struct arena *arena, struct config_report *report);

/* The range, the words and the text checks for what lies in the field already: for bytes that
 * came flattened. */
bool value_good(const struct config_option *o, const void *field);

/* As it would be written in a file: reading it gives the same value again. */
void value_put(struct buf *b, const struct config_option *o, const void *field);
/* A text with its quotes and escapes. */
void value_put_text(struct buf *b, struct span s);
/* A number in the option's unit: "30s", "128K", "20". */
void value_put_number(struct buf *b, const struct config_option *o, uint64_t v);

/* What a value of this option looks like, for messages and for help: "a duration like 30s". */
const char *value_kind(const struct config_option *o);

/* Quoting in messages, cut to a decent length: "%.*s", SHOWN(span) */
enum { SHOWN_MAX = 60 };
#define SHOWN(s) (int)((s).n > SHOWN_MAX ? SHOWN_MAX : (s).n), (s).p ? (s).p : ""

#endif
