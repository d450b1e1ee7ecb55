/* The two faces of a trail: lines for people and JSON. */
#include "trail/trail.h"

static const char *trail_verdict_name(enum trail_verdict v)
{
    static const char *const names[TRAIL_VERDICTS] = {
        [TRAIL_NOTE] = "note",     [TRAIL_MATCH] = "match", [TRAIL_MISS] = "miss",
        [TRAIL_ANSWER] = "answer", [TRAIL_EMPTY] = "empty", [TRAIL_FAIL] = "fail",
        [TRAIL_DECIDED] = "decided",
    };
    return v < TRAIL_VERDICTS ? names[v] : "?";
}

static const char *security(uint8_t flags)
{
    return flags & TRAIL_SECURE     ? "secure"
           : flags & TRAIL_BOGUS    ? "bogus"
           : flags & TRAIL_INSECURE ? "insecure"
                                    : NULL;
}

/* A stranger's bytes must not break the line nor the terminal. */
static void put_plain(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_putc(out, (char)c);
    }
}

/* " (line 3, TTL 60, cached, insecure)", or nothing. */
static void put_remarks(struct buf *out, const struct trail_step *s)
{
    const char *sep = " (";
    if (s->ttl_s >= 0) {
        buf_printf(out, "%sTTL %d", sep, s->ttl_s);
        sep = ", ";
    }
    if (s->flags & TRAIL_CACHED) {
        buf_printf(out, "%scached", sep);
        sep = ", ";
    }
    const char *state = security(s->flags);
    if (state) {
        buf_printf(out, "%s%s", sep, state);
        sep = ", ";
    }
    if (sep[0] == ',')
        buf_putc(out, ')');
}

/* One line of words, without a line end. Control bytes are written \xNN. */
static void trail_step_text(struct buf *out, const struct trail_step *s)
{
    if (s->verdict == TRAIL_DECIDED)
        buf_putz(out, "=> ");
    put_plain(out, s->what);
    if (s->key.n) {
        buf_putc(out, ' ');
        put_plain(out, s->key);
    }
    buf_putz(out, ": ");
    if (s->verdict == TRAIL_MISS && !s->said.n)
        buf_putz(out, "no match");
    put_plain(out, s->said);
    if (s->source.n) {
        buf_putz(out, ", from ");
        put_plain(out, s->source);
        if (s->line)
            buf_printf(out, ":%u", s->line);
    }
    put_remarks(out, s);
}

void trail_text(struct buf *out, const struct trail *t, const char *indent)
{
    for (size_t i = 0; i < trail_count(t); i++) {
        buf_putz(out, indent);
        trail_step_text(out, trail_step(t, i));
        buf_putc(out, '\n');
    }
    if (trail_missing(t))
        buf_printf(out, "%s(%zu more steps are not shown)\n", indent, trail_missing(t));
}

static void step_json(struct json *j, const struct trail_step *s)
{
    json_open(j, NULL);
    json_str(j, "verdict", span_str(trail_verdict_name(s->verdict)));
    json_str(j, "what", s->what);
    if (s->key.n)
        json_str(j, "key", s->key);
    if (s->source.n)
        json_str(j, "source", s->source);
    if (s->line)
        json_uint(j, "line", s->line);
    if (s->said.n)
        json_str(j, "said", s->said);
    if (s->ttl_s >= 0)
        json_int(j, "ttl_s", s->ttl_s);
    if (s->flags & TRAIL_CACHED)
        json_bool(j, "cached", true);
    if (security(s->flags))
        json_str(j, "dnssec", span_str(security(s->flags)));
    json_close(j);
}

void trail_json(struct json *j, const char *key, const struct trail *t)
{
    json_open_array(j, key);
    for (size_t i = 0; i < trail_count(t); i++)
        step_json(j, trail_step(t, i));
    if (trail_missing(t)) {
        json_open(j, NULL);
        json_str(j, "verdict", SPAN("missing"));
        json_uint(j, "steps", trail_missing(t));
        json_close(j);
    }
    json_close_array(j);
}
