#include "cli/term.h"

#include "base/json.h"

#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

bool term_colour(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && no[0]) && !(term && strcmp(term, "dumb") == 0);
}

unsigned term_width(int fd)
{
    struct winsize w;
    return isatty(fd) && ioctl(fd, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

static bool harmless(struct span s, size_t n)
{
    unsigned char c = (unsigned char)s.p[0];
    if (n == 1)
        return c >= 0x20 && c != 0x7f;
    const unsigned char *next = (const unsigned char *)s.p + 1;
    /* U+0080 to U+009F are the C1 controls. */
    if (n == 2 && c == 0xc2)
        return next[0] >= 0xa0;
    /* U+202A to U+202E, U+2066 to U+2069 show what comes after them in another order. */
    return !(n == 3 && c == 0xe2 && ((next[0] == 0x80 && next[1] >= 0xaa && next[1] <= 0xae) ||
                                     (next[0] == 0x81 && next[1] >= 0xa6 && next[1] <= 0xa9)));
}

void term_put_text(struct buf *b, struct span s)
{
    static const char hex[] = "0123456789abcdef";
    while (s.n) {
        size_t n = utf8_length(s);
        if (n && harmless(s, n)) {
            buf_put(b, s.p, n);
        } else {
            unsigned char c = (unsigned char)s.p[0];
            char x[4] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
            buf_put(b, x, sizeof x);
            n = 1;
        }
        s = span_from(s, n);
    }
}

/* The columns of its first character, whose bytes are *n_r. Only a locale knows how wide characters
 * are (wcwidth(3)): it stands for the whole text. */
static unsigned first_columns(struct span s, size_t *n_r)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = utf8_length(s);
    *n_r = n ? n : 1;
    if (n < 2)
        return p[0] >= 0x20;
    wchar_t c = n == 2 ? p[0] & 0x1f : n == 3 ? p[0] & 0x0f : p[0] & 0x07;
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    int wide = wcwidth(c);
    return wide < 0 ? 1 : (unsigned)wide;
}

/* As many bytes as fit into so many columns; *columns_r: of them. */
static size_t measure(struct span s, unsigned most, unsigned *columns_r)
{
    locale_t none = (locale_t)0;
    locale_t wide = span_is_ascii(s) ? none : newlocale(LC_CTYPE_MASK, "C.UTF-8", none);
    locale_t before = wide ? uselocale(wide) : (locale_t)0;
    size_t at = 0;
    *columns_r = 0;
    while (at < s.n) {
        size_t n;
        unsigned columns = first_columns(span_from(s, at), &n);
        if (columns > most - *columns_r)
            break;
        *columns_r += columns;
        at += n;
    }
    if (wide) {
        uselocale(before);
        freelocale(wide);
    }
    return at;
}

unsigned term_columns(struct span s)
{
    unsigned columns;
    measure(s, UINT_MAX, &columns);
    return columns;
}

struct span term_cut(struct span s, unsigned columns)
{
    unsigned taken;
    return span_to(s, measure(s, columns, &taken));
}

void term_put_count(struct buf *b, uint64_t n)
{
    if (n >= 1000) {
        term_put_count(b, n / 1000);
        buf_printf(b, ",%03u", (unsigned)(n % 1000));
    } else {
        buf_putu(b, n);
    }
}

void term_put_counted(struct buf *b, uint64_t n, const char *what)
{
    term_put_count(b, n);
    buf_printf(b, " %s%s", what, n == 1 ? "" : "s");
}

void term_put_unsited(struct buf *b, int64_t n)
{
    if (n <= 0)
        return;
    buf_putz(b, "of ");
    term_put_counted(b, (uint64_t)n, "recipient");
    buf_putz(b, n == 1 ? " that waits" : " that wait");
    buf_putz(b, " it is not known yet at which site\n");
}

void term_put_age(struct buf *b, int64_t ms)
{
    long long s = ms > 0 ? ms / 1000 : 0;
    if (s < 60)
        buf_printf(b, "%llds", s);
    else if (s < 3600)
        buf_printf(b, "%lldm", s / 60);
    else if (s < 86400)
        buf_printf(b, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        buf_printf(b, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

void term_put_when(struct buf *b, int64_t wall_ms)
{
    enum { TEXT_MAX = 64 };
    time_t at = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[TEXT_MAX];
    if (localtime_r(&at, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm))
        buf_putz(b, text);
}

void term_put_shell(struct buf *b, struct span word)
{
    bool plain = word.n > 0;
    for (size_t i = 0; i < word.n; i++)
        plain &= ascii_isalnum(word.p[i]) || (word.p[i] && strchr("@%+=:,./_-", word.p[i]));
    if (plain) {
        buf_puts(b, word);
        return;
    }
    buf_putc(b, '\'');
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] == '\'')
            buf_putz(b, "'\\'");
        buf_putc(b, word.p[i]);
    }
    buf_putc(b, '\'');
}

void term_put_pace(struct buf *b, int64_t ms)
{
    int64_t part = ms % 1000;
    int digits = 3;
    buf_printf(b, "%lld", (long long)(ms / 1000));
    for (; digits && part % 10 == 0; digits--)
        part /= 10;
    if (digits)
        buf_printf(b, ".%0*d", digits, (int)part);
    buf_putz(b, " s");
}

void term_put_moment(struct buf *b, int64_t wall_ms, int64_t now_ms)
{
    enum { NEAR_MS = 12 * 3600 * 1000 };
    time_t t = (time_t)(wall_ms / 1000);
    int64_t ago_ms = now_ms - wall_ms;
    struct tm tm;
    char text[32];
    bool near = ago_ms < NEAR_MS && ago_ms > -NEAR_MS;
    if (localtime_r(&t, &tm) && strftime(text, sizeof text, near ? "%T" : "%m-%d %H:%M", &tm))
        buf_putz(b, text);
}
