/* log: the entries of a dialogue as bytes, for the files of this folder. */
#ifndef POSTERN_ATTEMPT_LOG_H
#define POSTERN_ATTEMPT_LOG_H

#include "attempt/attempt.h"

enum {
    LOG_HEAD_BYTES = 9,
    LOG_ENTRY_MAX = LOG_HEAD_BYTES + ATTEMPT_TEXT_MAX,
};

/* Of the entry at the start of rest; 0: none, or it is not one. */
size_t log_entry_size(struct span rest);
/* Takes at least want_bytes (as far as there are any) of whole entries out, those behind the
 * first head_bytes; how many. */
uint32_t log_cut_middle(struct buf *b, size_t head_bytes, size_t want_bytes);

#endif
