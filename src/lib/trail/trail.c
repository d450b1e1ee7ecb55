#include "trail/trail.h"

#include "base/must.h"

#include <stdarg.h>
#include <stdlib.h>

/* The version of the binary form; a reader refuses others. */
enum { TRAIL_VERSION = 1 };

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

void trail_reset(struct trail *t)
{
    if (!t)
        return;
    arena_reset(t->texts);
    t->n = t->missing = 0;
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

/* u8 version, u32 missing, u32 count, then per step: u8 verdict, u8 flags, u32 ttl, u32 line and
 * the four texts. */
void trail_put(struct buf *out, const struct trail *t)
{
    wire_put_u8(out, TRAIL_VERSION);
    wire_put_u32(out, (uint32_t)trail_missing(t));
    wire_put_u32(out, (uint32_t)trail_count(t));
    for (size_t i = 0; i < trail_count(t); i++) {
        const struct trail_step *s = &t->steps[i];
        wire_put_u8(out, s->verdict);
        wire_put_u8(out, s->flags);
        wire_put_u32(out, (uint32_t)s->ttl_s);
        wire_put_u32(out, s->line);
        wire_put_bytes(out, s->what);
        wire_put_bytes(out, s->key);
        wire_put_bytes(out, s->source);
        wire_put_bytes(out, s->said);
    }
}

bool trail_get(struct wire *w, struct trail *t)
{
    if (wire_get_u8(w) != TRAIL_VERSION)
        w->bad = true;
    uint32_t missing = wire_get_u32(w), n = wire_get_u32(w);
    if (n > TRAIL_STEPS_MAX)
        w->bad = true;
    for (uint32_t i = 0; i < n && !w->bad; i++) {
        struct trail_step s = { .verdict = wire_get_u8(w), .flags = wire_get_u8(w) };
        s.ttl_s = (int32_t)wire_get_u32(w);
        s.line = wire_get_u32(w);
        s.what = wire_get_bytes(w, TRAIL_TEXT_MAX);
        s.key = wire_get_bytes(w, TRAIL_TEXT_MAX);
        s.source = wire_get_bytes(w, TRAIL_TEXT_MAX);
        s.said = wire_get_bytes(w, TRAIL_TEXT_MAX);
        if (s.verdict >= TRAIL_VERDICTS || s.ttl_s < -1)
            w->bad = true;
        if (!w->bad)
            trail_add(t, &s);
    }
    if (!w->bad && t)
        t->missing += missing;
    return !w->bad;
}
