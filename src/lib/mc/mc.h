/* mc: sendmail's macro files (.mc) as configurations of ours.
 *
 * A .mc is text for m4 that defines names; sendmail makes its own configuration of them and takes
 * no notice of a name it does not know. Here the text is read by a small m4 of our own (m4.c),
 * each name is looked up in tables of what sendmail has (names.h), and what has a meaning for a
 * gateway becomes lines of a native configuration. What is not carried over is a notice that
 * says why; what sendmail does not have is an error with a suggestion. postern-mc(5) has the
 * list. */
#ifndef POSTERN_MC_MC_H
#define POSTERN_MC_MC_H

#include "config/config.h"

enum {
    MC_INCLUDE_DEPTH = 8,     /* files within files */
    MC_MEMORY_MAX = 32 << 20, /* bytes of all texts of one import together */
};

/* Appends the file's bytes to text; false fills e. For include() and for files of names. */
typedef bool mc_read_fn(void *ctx, const char *path, struct buf *text, struct err *e);

struct mc_world {
    struct span hostname; /* of this machine: sendmail's $j where the file names none */
    mc_read_fn *read;     /* NULL: there are no files */
    void *ctx;
};

/* The place in the .mc that a line of the native text comes from; line 0: from none. */
struct mc_lines {
    struct config_pos *v; /* v[i] for line i + 1; in the caller's arena */
    size_t n;
};

/* Makes native text of a .mc. Mistakes and notices go into the report (whose source is set to
 * file and text) with places of the .mc; false: there was a mistake, and native is not to be
 * used. Each line that was carried has a comment with its origin. `a` keeps the lines. */
bool mc_import(struct span text, struct span file, const struct mc_world *world, struct arena *a,
               struct buf *native, struct mc_lines *lines_r, struct config_report *report);

/* --- files (load.c): what every reader of a configuration calls --- */

/* The file to open for `path`: itself, or for X.cf the X.mc beside it, when there is one. A
 * buf of the caller takes the name. False: X.cf without X.mc; e says the cure. */
bool mc_source(const char *path, struct buf *real, struct err *e);
/* config_parse for a text of either kind, by the name of its file; asked: the path that was
 * asked for, of which `file` is mc_source's. Included files are read with the rights of this
 * process. Places in the report and in the configuration are those of the .mc. For a .mc, the
 * notices of the import are also in cfg->notices. */
bool mc_parse(struct span text, struct span file, const char *asked, struct config **cfg_r,
              struct config_report *report);
/* mc_source, reading the file, mc_parse. False with e->text "": the report says why; else it
 * could not be read. */
bool mc_load(const char *path, struct config **cfg_r, struct config_report *report,
             struct err *e);
/* The native text of a .mc, for `config import`; as mc_load otherwise. */
bool mc_convert(const char *path, struct buf *native, struct config_report *report,
                struct err *e);

#endif
