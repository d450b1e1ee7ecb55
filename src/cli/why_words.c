#include "cli/why_words.h"

#include "base/num.h"
#include "cli/term.h"

#include <time.h>

void why_put(struct why_show *s, struct span text) { term_put_text(s->out, text); }

void why_put_number(struct why_show *s, int64_t n, const char *one, const char *many)
{
    term_put_count(s->out, n > 0 ? (uint64_t)n : 0);
    buf_printf(s->out, " %s", n == 1 ? one : many);
}

void why_put_clock(struct why_show *s, int64_t wall_ms)
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
    why_put_clock(s, wall_ms);
    buf_putc(s->out, ')');
}

void why_put_size(struct why_show *s, int64_t bytes)
{
    num_put_size(s->out, (uint64_t)bytes);
    if (bytes < 1024)
        buf_putz(s->out, bytes == 1 ? " byte" : " bytes");
}

void why_put_addr(struct why_show *s, struct span addr)
{
    buf_putc(s->out, '<');
    why_put(s, addr);
    buf_putc(s->out, '>');
}

void why_put_who(struct why_show *s, struct span who, int64_t at_ms)
{
    if (who.n) {
        buf_putz(s->out, ", by ");
        why_put(s, who);
    }
    if (at_ms) {
        buf_putz(s->out, ", ");
        why_put_when(s, at_ms);
    }
}

bool why_is(const json_t *row, const char *key, const char *word)
{
    return span_eq(row_text(row, key), span_str(word));
}

static enum why_tells tells(const json_t *r)
{
    static const char *const whom[] = { "sender", "nobody", "postmaster", "alarm" };
    for (int i = 0; i < (int)(sizeof whom / sizeof *whom); i++)
        if (why_is(r, "tells", whom[i]))
            return (enum why_tells)i;
    return WHY_TELLS_SENDER;
}

enum why_tells why_tells(const struct why *w)
{
    enum why_tells all = WHY_TELLS_SENDER;
    bool any = false;
    for (size_t i = 0; i < json_array_size(w->rcpts); i++) {
        const json_t *r = json_array_get(w->rcpts, i);
        if (row_true(r, "final"))
            continue;
        all = any && all != tells(r) ? WHY_TELLS_SOME : tells(r);
        if (all == WHY_TELLS_SOME)
            break;
        any = true;
    }
    return all;
}

int64_t why_sum(const json_t *numbers)
{
    const char *name;
    json_t *n;
    int64_t sum = 0;
    json_object_foreach((json_t *)numbers, name, n) {
        sum += json_integer_value(n);
    }
    return sum;
}

/* --- layout --- */

struct layout {
    struct buf *out;
    unsigned width, hang, at;
    bool colour, painted;
};

static void paint(struct layout *l, char sign)
{
    if (l->colour)
        buf_putz(l->out, sign == WHY_HEAD[0] ? "\033[1m" : "\033[33;1m");
    l->painted = l->colour;
}

/* A word, with the signs before and within it. */
static void put_word(struct layout *l, struct span word)
{
    for (size_t i = 0, n; i < word.n; i += n) {
        char c = word.p[i];
        n = 1;
        if (c == WHY_HANG[0]) {
            l->hang = l->at;
        } else if (c == WHY_HEAD[0] || c == WHY_WARN[0]) {
            paint(l, c);
        } else {
            while (i + n < word.n && (unsigned char)word.p[i + n] >= ' ')
                n++;
            struct span text = span_from(span_to(word, i + n), i);
            buf_puts(l->out, text);
            l->at += term_columns(text);
        }
    }
}

static void put_blanks(struct layout *l, unsigned n)
{
    for (; n; n--, l->at++)
        buf_putc(l->out, ' ');
}

static void put_line(struct layout *l, struct span line)
{
    unsigned blanks = 0;
    l->at = 0;
    for (bool first = true; line.n; first = false) {
        for (blanks = 0; line.n && line.p[0] == ' '; blanks++)
            line = span_from(line, 1);
        struct span word = span_to(line, span_find(line, ' '));
        line = span_from(line, word.n);
        if (first) {
            l->hang = blanks + 2;
        } else if (l->at + blanks + term_columns(word) > l->width && l->at > l->hang) {
            buf_putc(l->out, '\n');
            l->at = 0;
            blanks = l->hang;
        }
        put_blanks(l, blanks);
        put_word(l, word);
    }
    if (l->painted)
        buf_putz(l->out, "\033[0m");
    l->painted = false;
    buf_putc(l->out, '\n');
}

void why_layout(struct buf *out, struct span text, unsigned width, bool colour)
{
    struct layout l = { .out = out, .width = width, .colour = colour };
    while (text.n) {
        struct span line = span_to(text, span_find(text, '\n'));
        put_line(&l, line);
        text = span_from(text, line.n + 1);
    }
}
