/* bind: what the parser reads, put where the table says. Knows sections, their options, what was
 * set where already, defaults, and what must be set. */
#ifndef POSTERN_CONFIG_BIND_H
#define POSTERN_CONFIG_BIND_H

#include "config/value.h"

struct config_setting {
    uint16_t option; /* row of the table */
    uint16_t listen; /* which one (rule: likewise), for its options; else 0 */
    bool bad;        /* its value was refused */
    uint32_t line, col;
};

enum { BIND_SECTIONS_MAX = 32 };

struct bind {
    struct config *cfg;
    struct config_report *report;
    const struct config_section *section; /* NULL outside of sections */
    bool skip;                            /* inside of an unknown section */
    enum config_of of;                    /* what the section is of */
    void *item;                           /* inside of a section with a name of its own */
    union {
        struct config_listen listen;
        struct config_rule rule;
        struct config_check check;
    } spare; /* for one that is too many */
    unsigned spares;
    struct config_pos opened[BIND_SECTIONS_MAX];         /* first place of each section */
    struct config_pos item_pos[CONFIG_OFS][CONFIG_ITEMS_MAX];
    bool mistyped[CONFIG_OFS][CONFIG_ITEMS_MAX]; /* it has an option that there is not */
    struct config_setting *settings;
    size_t n, cap;
};

void bind_init(struct bind *b, struct config *cfg, struct config_report *report);
/* label NULL: none was written. */
void bind_open(struct bind *b, const struct token *name, const struct token *label);
void bind_close(struct bind *b);
/* value NULL: it is missing, which is reported already. */
void bind_option(struct bind *b, const struct token *name, const struct value *value);
/* Defaults, what is missing, notices; gives the settings to the configuration. */
void bind_finish(struct bind *b);
void bind_free(struct bind *b);

/* Sets every option of a fresh configuration, or of a fresh listener, to its default. */
void bind_defaults(struct config *cfg, struct config_listen *listen); /* listen NULL: of it */

/* NULL when it has its default. listen as in struct config_setting. */
const struct config_setting *setting_find(const struct config_setting *v, size_t n,
                                          const struct config_option *o, size_t listen);

#endif
