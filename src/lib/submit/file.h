/* file: one message in the submission spool. Its format is described at the top of file.c; what
 * is read here was written by anybody who has an account. */
#ifndef POSTERN_SUBMIT_FILE_H
#define POSTERN_SUBMIT_FILE_H

#include "base/arena.h"
#include "envelope/envelope.h"

enum {
    SUBMIT_HEAD_MAX = 4 << 20, /* all lines before the content */
    SUBMIT_RCPTS_MAX = 10000,
};

struct submit_file {
    struct span sender;  /* without <>; empty = the null sender */
    struct span envid;   /* xtext, or empty */
    uint32_t flags;      /* ENVELOPE_8BITMIME, _SMTPUTF8, _RET_*, _QUEUE_ONLY, _DEFER */
    struct envelope_rcpt *rcpts;
    size_t rcpt_count;
    uint64_t size_bytes; /* of the content */
};

/* The lines before the content. False: no room, or what cannot stand in a line. */
bool submit_file_put(struct buf *b, const struct submit_file *f);

/* Reads them off the front of `text`; spans point into it, recipients are the arena's. 1: done,
 * *head_r is their length; 0: more is needed (`text` is what was read so far, from the file's
 * beginning); -1: no such file, *why_r says what is wrong. */
int submit_file_get(struct span text, struct arena *a, struct submit_file *f_r, size_t *head_r,
                    const char **why_r);

#endif
