#include "cli/why_words.h"

#include "cli/term.h"

#include <time.h>

void why_put(struct why_show *s, struct span text) { term_put_text(s->out, text); }

void why_put_number(struct why_show *s, int64_t n, const char *one, const char *many)
{
    buf_printf(s->out, "%lld %s", (long long)n, n == 1 ? one : many);
}

void why_put_time(struct why_show *s, int64_t wall_ms)
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[40] = "?";
    int64_t apart = wall_ms - s->w->now_ms;
    bool near = apart < 12 * 3600 * 1000 && apart > -12 * 3600 * 1000;
    if (localtime_r(&t, &tm))
        strftime(text, sizeof text, near ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
    buf_putz(s->out, text);
}

void why_put_when(struct why_show *s, int64_t wall_ms)
{
    int64_t apart = wall_ms - s->w->now_ms;
    if (apart >= 0)
        buf_putz(s->out, "in ");
    term_put_age(s->out, apart < 0 ? -apart : apart);
    buf_putz(s->out, apart < 0 ? " ago (" : " (");
    why_put_time(s, wall_ms);
    buf_putc(s->out, ')');
}

void why_put_addr(struct why_show *s, struct span addr)
{
    buf_putc(s->out, '<');
    why_put(s, addr);
    buf_putc(s->out, '>');
}

bool why_is(const json_t *row, const char *key, const char *word)
{
    return span_eq(row_text(row, key), span_str(word));
}
