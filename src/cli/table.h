/* table: aligned columns for people. Rows are held until cli_table_put, which makes the columns as
 * wide as what was put and is held needs, so that a long list put in several turns stays straight
 * as far as it can. On a terminal that is too narrow for it the columns that may be cut share what
 * the others leave, and where even their least does not fit, some are left out. */
#ifndef POSTERN_CLI_TABLE_H
#define POSTERN_CLI_TABLE_H

#include "base/buf.h"

enum { TABLE_COLUMNS_MAX = 16, TABLE_HELD_MAX = 1000 };

enum table_colour { TABLE_PLAIN, TABLE_RED, TABLE_GREEN, TABLE_YELLOW, TABLE_MAGENTA };

struct table_column {
    const char *title;
    bool right;       /* aligned */
    unsigned most;    /* columns; on a terminal, longer texts are cut, with an ellipsis; 0: any */
    /* Where the terminal is too narrow: it keeps so much, if it needs it, and weight says what part
     * it gets of the rest. 0: never cut, but for the last column. */
    unsigned least, weight;
    bool address;     /* it is cut in front of its '@' first, so that the domain is seen */
    unsigned spare;   /* 1 is left out first, then 2 ...; 0: never */
};

struct cli_table;

/* columns: static. width: of the terminal; 0: there is none, and nothing is cut: what is longer
 * than its column pushes the rest of its line aside. */
struct cli_table *cli_table_new(const struct table_column *columns, size_t n, unsigned width,
                                bool colour);
void cli_table_free(struct cli_table **t); /* accepts NULL in *t; sets it to NULL */

/* The next cell of the row at hand; its bytes are made harmless (cli/term.h). */
void cli_table_cell(struct cli_table *t, struct span text);
void cli_table_cell_colour(struct cli_table *t, struct span text, enum table_colour colour);
/* A bar of # as long beside its column as n is beside `most`; at least one when n > 0. */
void cli_table_cell_bar(struct cli_table *t, uint64_t n, uint64_t most, enum table_colour colour);
/* Cells that were not given are empty. */
void cli_table_end_row(struct cli_table *t);

/* Rows held; from TABLE_HELD_MAX on they should be put. */
size_t cli_table_held(const struct cli_table *t);
/* The titles (the first time, when there is any row), and the rows held. */
void cli_table_put(struct cli_table *t, struct buf *out);

#endif
