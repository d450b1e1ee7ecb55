/* What is said, and texts that live as long as the import. */
#include "mc/impl.h"

void mc_limit(struct mc *m, struct mc_place place, const char *what)
{
    if (!m->stop)
        mc_say(m, CONFIG_ERROR, place, SPAN_NONE, NULL, "reading ends here: %s", what);
    m->stop = true;
    m4_end_input(m);
}

struct span mc_dup(struct mc *m, struct span s)
{
    struct span r = arena_dup(m->arena, s);
    if (!r.p) {
        mc_limit(m, (struct mc_place){ 0 }, "the file is too large");
        return SPAN("");
    }
    return r;
}

struct span mc_format(struct mc *m, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, MC_TOKEN_MAX);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    struct span s = mc_dup(m, buf_span(&b));
    buf_free(&b);
    return s;
}

static size_t find_text(struct span s, struct span what)
{
    for (size_t i = 0; what.n && i + what.n <= s.n; i++)
        if (memcmp(s.p + i, what.p, what.n) == 0)
            return i;
    return s.n;
}

struct config_pos mc_pos(const struct mc *m, struct mc_place place, struct span near)
{
    struct span all = span_to(span_from(m->text, place.from), place.to - place.from);
    size_t in = place.in.n ? all.n : find_text(all, near);
    size_t at = place.from + (in < all.n ? in : 0), lo = 0, hi = m->n_lines;
    if (at > m->text.n)
        at = m->text.n;
    while (hi - lo > 1) { /* the last line that begins at or before it */
        size_t mid = lo + (hi - lo) / 2;
        if (m->lines[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    return (struct config_pos){ .line = (uint32_t)lo + 1,
                                .col = (uint32_t)(at - m->lines[lo]) + 1 };
}

void mc_say(struct mc *m, enum config_level level, struct mc_place place, struct span near,
            const char *hint, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, 4096);
    if (place.in.n)
        buf_printf(&b, "%.*s: ", SPAN_ARG(span_to(place.in, 200)));
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    struct config_pos pos = { 0 };
    if (place.to)
        pos = mc_pos(m, place, near);
    config_report_add(m->report, level, pos, hint, "%s", buf_cstr(&b));
    buf_free(&b);
}

static bool said_before(struct mc *m, const char *name)
{
    for (size_t i = 0; i < m->n_said; i++)
        if (strcmp(m->said[i], name) == 0)
            return true;
    if (m->n_said < sizeof m->said / sizeof *m->said)
        m->said[m->n_said++] = name;
    return false;
}

void mc_not_carried(struct mc *m, struct mc_place place, const char *name, const char *why)
{
    if (!said_before(m, name))
        mc_say(m, CONFIG_NOTICE, place, span_str(name), NULL, "%s is not carried over: %s", name,
               why);
}

void mc_one_argument(struct mc *m, const struct mc_call *c, size_t most)
{
    if (c->n > most)
        mc_say(m, CONFIG_ERROR, c->place, c->v[most + 1], NULL,
               "%.*s has one argument too many: put `quotes' around what has commas in it",
               SPAN_ARG(span_to(c->v[0], 60)));
}
