#include "trail/trail.h"

#include "base/must.h"

#include <stdarg.h>
#include <stdlib.h>

struct trail {
    struct arena *texts;
    struct trail_step *steps;
    size_t n, max, missing;
};

struct trail *trail_new(size_t max_steps)
{
    MUST(max_steps > 0 && max_steps <= TRAIL_STEPS_MAX);
    struct trail *t = NEW(struct trail);
    t->max = max_steps;
    t->steps = must_calloc(max_steps, sizeof *t->steps);
    t->texts = arena_new(TRAIL_BYTES_MAX);
    return t;
}

void trail_free(struct trail **t)
{
    if (!*t)
        return;
    arena_free(&(*t)->texts);
    free((*t)->steps);
    free(*t);
    *t = NULL;
}

static bool keep(struct trail *t, struct span *s)
{
    if (!s->n) {
        *s = SPAN_NONE;
        return true;
    }
    *s = arena_dup(t->texts, span_to(*s, TRAIL_TEXT_MAX));
    return s->p != NULL;
}

void trail_add(struct trail *t, const struct trail_step *step)
{
    if (!t)
        return;
    struct trail_step copy = *step;
    MUST(copy.verdict < TRAIL_VERDICTS);
    if (t->n == t->max || !keep(t, &copy.what) || !keep(t, &copy.key) ||
        !keep(t, &copy.source) || !keep(t, &copy.said)) {
        t->missing++;
        return;
    }
    t->steps[t->n++] = copy;
}

void trail_say(struct trail *t, enum trail_verdict verdict, const char *what, struct span key,
               const char *fmt, ...)
{
    if (!t)
        return;
    struct buf said;
    buf_init(&said, TRAIL_TEXT_MAX);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&said, fmt, ap);
    va_end(ap);
    trail_add(t, &(struct trail_step){ .verdict = (uint8_t)verdict, .ttl_s = -1,
                                       .what = span_str(what), .key = key,
                                       .said = buf_span(&said) });
    buf_free(&said);
}

size_t trail_count(const struct trail *t) { return t ? t->n : 0; }
size_t trail_missing(const struct trail *t) { return t ? t->missing : 0; }

const struct trail_step *trail_step(const struct trail *t, size_t i)
{
    MUST(i < t->n);
    return &t->steps[i];
}
