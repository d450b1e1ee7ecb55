/* term: what is written for eyes: colours only where there is a terminal, bytes of strangers
 * only as far as they are harmless there. */
#ifndef POSTERN_CLI_TERM_H
#define POSTERN_CLI_TERM_H

#include "base/buf.h"

/* Colours are wanted: fd is a terminal, NO_COLOR is not set, and TERM is not "dumb". */
bool term_colour(int fd);
/* Columns of the terminal fd is; 0 when it is none. */
unsigned term_width(int fd);

/* Control bytes, DEL, C1 controls, the signs that change the direction of writing, and bytes that
 * are not UTF-8 as \xHH: a reason said by a stranger's server cannot move the cursor. All else
 * stays as it is: an address can be copied. */
void term_put_text(struct buf *b, struct span s);
/* A word for a shell, quoted where it must be. */
void term_put_shell(struct buf *b, struct span word);
/* Columns a text made by term_put_text takes: two of a wide character, none of one that combines
 * with the one before it, or of a control character. */
unsigned term_columns(struct span s);
/* As much of s as fits into so many columns; never cuts a character. */
struct span term_cut(struct span s, unsigned columns);

/* "1,234,567" */
void term_put_count(struct buf *b, uint64_t n);
/* "17 messages", "1 recipient" */
void term_put_counted(struct buf *b, uint64_t n, const char *what);
/* A line: of so many recipients nobody knows the site. 0: nothing. */
void term_put_unsited(struct buf *b, int64_t n);
/* "2026-11-20 17:05", local time. */
void term_put_when(struct buf *b, int64_t wall_ms);
/* "32 s", "1.3 s", "0.25 s": between two messages. */
void term_put_pace(struct buf *b, int64_t ms);
/* "12:43:46" of the last twelve hours, else "11-20 12:43" (local time). */
void term_put_moment(struct buf *b, int64_t wall_ms, int64_t now_ms);
/* "42s", "5m", "3h12m", "2d05h": two units, for ages and waits. */
void term_put_age(struct buf *b, int64_t ms);

#endif
