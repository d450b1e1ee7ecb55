/* report: what reading a configuration has to say, all of it: each mistake with its place, the
 * source line and, where one name is close to what was meant, a suggestion. */
#ifndef POSTERN_CONFIG_REPORT_H
#define POSTERN_CONFIG_REPORT_H

#include "base/buf.h"

enum { CONFIG_REPORT_MAX = 100 }; /* entries; what comes later is only counted */

enum config_level { CONFIG_ERROR, CONFIG_NOTICE };

struct config_pos {
    uint32_t line, col; /* from 1; col counts bytes. line 0: the file as a whole */
};

struct config_entry {
    enum config_level level;
    struct config_pos pos;
    const char *text; /* what is wrong; no line end */
    const char *hint; /* the name that was meant, or "" */
};

struct config_report;

struct config_report *config_report_new(void);
void config_report_free(struct config_report **r); /* accepts NULL in *r; sets it to NULL */

/* The file's name and text, for the excerpts; both are copied. Entries stay. */
void config_report_source(struct config_report *r, struct span file, struct span text);

/* hint: "" or NULL = none. */
void config_report_add(struct config_report *r, enum config_level level, struct config_pos pos,
                       const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

size_t config_report_errors(const struct config_report *r);  /* all, also beyond the limit */
size_t config_report_notices(const struct config_report *r);
size_t config_report_count(const struct config_report *r);   /* entries kept */
const struct config_entry *config_report_at(const struct config_report *r, size_t i);

/* In the order of the lines. Text: "FILE:LINE:COL: what is wrong", the line and a caret.
 * JSON: one object {file, ok, errors: [...], notices: [...]} */
void config_report_put_text(struct buf *b, struct config_report *r);
void config_report_put_json(struct buf *b, struct config_report *r);

#endif
