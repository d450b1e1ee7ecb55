/* stages: how long each stage of an attempt took. */
#ifndef POSTERN_ATTEMPT_STAGES_H
#define POSTERN_ATTEMPT_STAGES_H

#include "attempt/attempt.h"

struct attempt_stage {
    struct span host;  /* "name address", or empty: before any was tried */
    struct span stage; /* "DNS" "connection" "greeting" "TLS" "MAIL" "content" "ourselves" ... */
    uint32_t ms;
};

enum { ATTEMPT_STAGES_MAX = 64 };

/* In order, those that took any time or were answered, up to max; how many. None when a part of
 * the dialogue was left out. The spans look into the story. */
size_t attempt_stages(const struct attempt *a, struct attempt_stage *out, size_t max);

#endif
