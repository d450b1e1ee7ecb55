/* What the files of this room share. */
#ifndef POSTERN_MC_IMPL_H
#define POSTERN_MC_IMPL_H

#include "base/arena.h"
#include "config/value.h"
#include "mc/mc.h"

enum {
    MC_ARGS_MAX = 20,
    MC_FRAMES_MAX = 256,
    MC_NESTING_MAX = 64,    /* calls within arguments of calls */
    MC_EXPANSIONS_MAX = 10000, /* a file of some hundred lines has some hundred */
    MC_TOKEN_MAX = CONFIG_FILE_MAX + 1,
    MC_MACROS_MAX = 4096,
    MC_ITEMS_MAX = 20000,   /* lines of the native text */
};

/* Where something was written: bytes [from, to) of the .mc itself; for what an included file
 * said, the place of the include, with "FILE:LINE" in `in`. */
struct mc_place {
    size_t from, to;
    struct span in;
};

struct mc;

/* A macro call. v[0] is the name, v[1] to v[n] its arguments, expanded. */
struct mc_call {
    struct mc_place place;
    size_t n;
    struct span v[MC_ARGS_MAX + 1];
};
typedef void mc_fn(struct mc *m, const struct mc_call *c);

/* A source of input: the file, an included one, or the text a macro stands for. */
struct mc_frame {
    struct span rest;
    struct mc_place place; /* for all but the .mc itself: of what put it here */
    struct span file;      /* of an included file */
    uint32_t line;
    struct span in;        /* "FILE:LINE" for in_line */
    uint32_t in_line;
};

/* What define() made. */
struct mc_macro {
    struct span name, value;
    struct mc_place place;
    bool used;
    bool gone;      /* undefine */
    bool text_only; /* its value names itself: it stands for nothing */
};

/* A line of the native text to be. Items of one list option are joined. */
struct mc_item {
    const char *section, *name;
    struct span label;   /* of a listener; "" = all, or no listener */
    struct span value;   /* as written in a configuration; "" with section NULL: a remark */
    struct span what;    /* "confDOMAIN_NAME", for the comment */
    struct mc_place place;
    bool placed;         /* place is one: what is derived has none */
    bool list;           /* one item of a list */
    bool own;            /* written as an option of ours: wins over what was derived */
};

struct mc_listener {
    struct span name, addr, port, delivery; /* delivery as written natively; "" = the file's */
    bool inet6;
    struct mc_place place;
    bool placed;
};

struct mc_feature_seen {
    const char *name;
    struct mc_place place;
};

typedef void mc_word_fn(struct mc *m, struct span word, struct mc_place place, const char *what);

/* A list of domains or users, kept until all features are known. */
struct mc_waiting {
    struct span words;
    struct mc_place place;
    const char *what;
    mc_word_fn *each;
    bool file; /* words is a path */
};
enum { MC_WAITING_MAX = 512 };

struct mc {
    struct span text, file;
    size_t *lines; /* where each begins */
    size_t n_lines;
    const struct mc_world *world;
    struct arena *arena; /* everything here lives in it */
    struct config_report *report;
    bool stop;           /* a limit was reached: it is said */

    struct mc_frame frames[MC_FRAMES_MAX];
    size_t n_frames;
    size_t includes, nesting, expansions;
    struct buf token;

    struct mc_macro *macros;
    size_t n_macros, cap_macros;

    int divert;
    const char *section; /* LOCAL_CONFIG and the like, or NULL */
    bool section_said;
    struct buf line;     /* output that would become a line of sendmail.cf */
    struct mc_place line_place;
    bool line_bad;       /* a mistake in it is said */

    struct mc_item *items;
    size_t n_items, cap_items;
    struct mc_listener listeners[CONFIG_LISTENS_MAX];
    size_t n_listeners;
    struct mc_feature_seen features[128];
    size_t n_features;
    struct mc_waiting waiting[MC_WAITING_MAX];
    size_t n_waiting;
    struct span mailer;  /* the first MAILER() */
    bool local_mailer;   /* there is MAILER(local) */
    const char *said[256]; /* names whose notice is given */
    size_t n_said;
    struct span hostname;
};

/* --- m4.c --- */
void m4_run(struct mc *m);
/* What comes next in the input is s; place: of what put it there. */
void m4_push(struct mc *m, struct span s, struct mc_place place);
/* Expands a text on its own: the value of a define at the end of the file. */
struct span m4_expand(struct mc *m, struct span s, struct mc_place place);
struct mc_macro *m4_find(struct mc *m, struct span name);
void m4_define(struct mc *m, struct span name, struct span value, struct mc_place place);
bool m4_include(struct mc *m, const struct mc_call *c, bool silent);
/* The rest of the line, which is read by then. */
struct span m4_skip_line(struct mc *m, struct mc_place *place);
/* Drops the rest of the input. */
void m4_end_input(struct mc *m);

/* --- text.c: what is left when all macros are expanded --- */
void mc_text(struct mc *m, struct span s, struct mc_place place);
void mc_text_end(struct mc *m);
/* WORD( where WORD is no macro. */
void mc_text_call(struct mc *m, struct span word, struct mc_place place);
/* dnl postern: ... */
void mc_remark(struct mc *m, struct span s, struct mc_place place);

/* --- builtin.c: those of m4; macros.c: those of sendmail --- */
struct mc_known {
    const char *name;
    mc_fn *fn;
    bool needs_args; /* a word like any other where no ( follows */
    bool bare;       /* takes no arguments even so */
};
const struct mc_known *mc_builtin(struct span name);
const struct mc_known *mc_macro_find(struct span name);
const char *mc_suggest_macro(struct span name);

/* --- said.c --- */
struct span mc_dup(struct mc *m, struct span s);
struct span mc_format(struct mc *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* near: a text within the place that the caret is to stand under; "" = at its beginning. */
void mc_say(struct mc *m, enum config_level level, struct mc_place place, struct span near,
            const char *hint, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* "NAME is not carried over: WHY", once for each name. */
void mc_not_carried(struct mc *m, struct mc_place place, const char *name, const char *why);
/* What stands behind an unquoted comma is lost to sendmail, without a word. */
void mc_one_argument(struct mc *m, const struct mc_call *c, size_t most);
struct config_pos mc_pos(const struct mc *m, struct mc_place place, struct span near);
void mc_limit(struct mc *m, struct mc_place place, const char *what);

/* --- items.c --- */
/* option: "timeout.helo"; value as it is written natively. */
void mc_set(struct mc *m, const char *option, struct span value, struct mc_place place,
            const char *what);
void mc_set_for(struct mc *m, struct span label, const char *option, struct span value,
                struct mc_place place, const char *what);
struct span mc_quoted(struct mc *m, struct span text);
void mc_set_text(struct mc *m, const char *option, struct span text, struct mc_place place,
                 const char *what);
/* One more item of a list; an item that is there already is not added again. */
void mc_add(struct mc *m, const char *option, struct span text, struct mc_place place,
            const char *what);
/* The same for what no line of the file says. */
void mc_derive(struct mc *m, const char *option, struct span value, const char *why);
void mc_derive_text(struct mc *m, const char *option, struct span text, const char *why);
void mc_derive_item(struct mc *m, const char *option, struct span text, const char *why);
bool mc_is_set(const struct mc *m, const char *option);
void mc_drop(struct mc *m, const char *option);
/* A line of comment: what needs nothing here. */
void mc_same(struct mc *m, const char *name, const char *why, struct mc_place place);
void mc_put(struct mc *m, struct buf *native, struct mc_lines *lines, struct arena *a);

/* --- values.c: sendmail's ways of writing values; false: not one --- */
/* unit: of a bare number: s m h d w */
bool mc_time_ms(struct span s, char unit, int64_t *ms_r);
bool mc_true(struct span s, bool *v_r);
/* "queueonly" and the like as a word of ours. exact_r: false for a word that is only taken by
 * its first letter. */
const char *mc_delivery(struct span s, bool *exact_r);
#define MC_DELIVERY_WORDS "interactive, background, queueonly, defer"
/* Of a line in a file of names: comments and blanks cut. */
struct span mc_first_word(struct span s);

/* --- defines.c: names that define() gives a value --- */
/* A name that begins as sendmail's do but is none is a mistake. */
void mc_define_check(struct mc *m, struct span name, struct mc_place place);

/* --- features.c, daemon.c, settle.c --- */
mc_fn mc_feature, mc_daemon_options, mc_client_options;
bool mc_has_feature(const struct mc *m, const char *name);
struct mc_place mc_feature_place(const struct mc *m, const char *name);
void mc_smart_host(struct mc *m, struct span s, struct mc_place place, const char *what);
void mc_listeners(struct mc *m);
/* The defines of the file, one by one, as the table of names says. */
void mc_defines(struct mc *m);
void mc_settle(struct mc *m);
/* A map of sendmail's ("hash -o /etc/mail/x") as a specification of ours; "" when it cannot be
 * one, which is said. */
struct span mc_map(struct mc *m, struct span spec, const char *name, struct mc_place place);
/* The lists that waited. */
void mc_lists(struct mc *m);
/* The words of one argument. */
void mc_words(struct mc *m, struct span s, struct mc_place place, const char *what,
              mc_word_fn *each);
/* The first word of each line. must: a file that is missing is a mistake. Paths may have
 * sendmail's "-o" before and a format behind. */
void mc_words_of_file(struct mc *m, struct span path, bool must, struct mc_place place,
                      const char *what, mc_word_fn *each);
mc_word_fn mc_local_name, mc_relay_name;

/* --- the tables, for the test that looks at each row: false behind the last one --- */
struct mc_row {
    const char *name;
    const char *option; /* it goes there; or NULL */
    const char *text;   /* why not, or what it does; or NULL */
    bool nothing;       /* nothing needs to be carried over */
};
bool mc_table_define(size_t i, struct mc_row *row_r);
bool mc_table_feature(size_t i, struct mc_row *row_r);
bool mc_table_macro(size_t i, const char **name_r);

#endif
