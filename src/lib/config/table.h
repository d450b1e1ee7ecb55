/* table: the one table of options. Parser, checker, `config show`, `config explain`, the manual
 * page, the flattened form and the comparison of two configurations all read it, so that an
 * option exists everywhere or nowhere. */
#ifndef POSTERN_CONFIG_TABLE_H
#define POSTERN_CONFIG_TABLE_H

#include "config/config.h"

enum config_type {
    CONFIG_TEXT,     /* struct span */
    CONFIG_NUMBER,   /* uint64_t */
    CONFIG_DURATION, /* int64_t ms */
    CONFIG_SIZE,     /* uint64_t bytes */
    CONFIG_BOOL,     /* bool */
    CONFIG_WORD,     /* an enum: the index into words */
    CONFIG_TEXTS,    /* struct config_texts; a single text may stand for a list of one */
    CONFIG_ADDRS,    /* struct config_addrs */
    CONFIG_CIDRS,    /* struct config_cidrs */
};

enum config_flags {
    CONFIG_LIVE = 1,       /* a reload may change it */
    CONFIG_REQUIRED = 2,   /* must be set */
    CONFIG_NONEMPTY = 4,   /* "" or {} is refused */
    CONFIG_LOWER = 8,      /* texts are folded to lower case (domain names) */
    CONFIG_READABLE = 16,  /* --files: a file that can be read */
    CONFIG_DIRECTORY = 32, /* --files: existing directories; glob patterns */
    CONFIG_PARENT = 64,    /* --files: a file to be made: its directory exists */
    CONFIG_USER = 256,     /* --files: a user of the system */
};

struct config_word {
    const char *word;
    const char *later; /* as in struct config_option */
};

/* Whether a text is good; with false, e says what is wrong in a form that follows its name. */
typedef bool config_check_fn(struct span text, struct err *e);

struct config_option {
    const char *section; /* "" = outside of sections */
    const char *name;
    enum config_type type;
    unsigned flags;
    size_t offset;        /* in struct config; in the item's struct for sections with a name */
    const char *fallback; /* as it would be written in a file */
    uint64_t min, max;    /* of numbers, durations and sizes; max 0 = any */
    bool zero;            /* 0 is good too, though below min */
    uint16_t port;        /* addresses: when none is written; 0: none may be written */
    const struct config_word *words; /* ends with a NULL word */
    config_check_fn *check;
    const char *later;    /* NULL, or what it will do: its capability is not in this release */
    const char *help;     /* one sentence without the final stop */
};

struct config_section {
    const char *name; /* "" for the options outside of sections: the first one */
    bool named;       /* name "label" { } , any number of times */
    const char *help;
};

const struct config_option *config_options(size_t *n_r);
const struct config_section *config_sections(size_t *n_r);

const struct config_section *config_section_find(struct span name);
const struct config_option *config_option_find(struct span section, struct span name);
/* "spool.free_min", "hostname", "listen.tls", or a name that is unique: "free_min". */
const struct config_option *config_option_named(struct span name);

/* "spool.free_min": the dotted name, for messages. */
void config_option_put_name(struct buf *b, const struct config_option *o);

/* What an option is of: of the whole, or of each of the things that have a name of their own. */
enum config_of { CONFIG_OF_ALL, CONFIG_OF_LISTEN, CONFIG_OF_RULE, CONFIG_OF_CHECK, CONFIG_OFS };
static inline enum config_of config_section_of(const char *section)
{
    return strcmp(section, "listen") == 0          ? CONFIG_OF_LISTEN
           : strcmp(section, "delivery_rule") == 0 ? CONFIG_OF_RULE
           : strcmp(section, "check") == 0         ? CONFIG_OF_CHECK
                                                   : CONFIG_OF_ALL;
}
static inline bool config_option_listens(const struct config_option *o)
{
    return config_section_of(o->section) == CONFIG_OF_LISTEN;
}
enum { CONFIG_ITEMS_MAX = 64 }; /* listeners; rules; checks */
const char *config_of_name(enum config_of of);  /* "listener", "check" */
const char *config_of_section(enum config_of of); /* "listen" */
const char *config_of_label(enum config_of of); /* an example: "mx", "big" */
size_t config_items(const struct config *cfg, enum config_of of); /* of all: 1 */
/* A struct config_listen, config_rule, config_check; NULL for CONFIG_OF_ALL. */
void *config_item(const struct config *cfg, enum config_of of, size_t i);
struct span config_item_name(const void *item);
/* For those who fill them: room for so many, of the arena (false: it is full), and their number. */
bool config_items_room(struct config *cfg, enum config_of of, size_t n);
size_t *config_items_count(struct config *cfg, enum config_of of);
/* Where the option's value lies; item is NULL for those of struct config. */
const void *config_option_value(const struct config_option *o, const struct config *cfg,
                                const void *item);

/* A name close to the one that was written, or NULL: of the options of a section, of the
 * sections, of the words of an option, of all options in their dotted form. */
const char *config_suggest_option(struct span section, struct span name);
const char *config_suggest_section(struct span name);
const char *config_suggest_word(const struct config_option *o, struct span word);
void config_suggest_dotted(struct buf *b, struct span name); /* puts it, or nothing */
/* Of the listeners that are configured, and the one of local programs. */
const char *config_suggest_listener(const struct config *cfg, struct span name);
/* The same for names of any other kind (verbs of the command line). */
const char *config_suggest_among(const char *const *names, size_t n, struct span name);

#endif
