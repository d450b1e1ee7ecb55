/* sendmail's ways of writing values. */
#include "mc/impl.h"

#include "base/num.h"

static int64_t unit_ms(char unit)
{
    switch (unit) {
    case 's': return 1000;
    case 'm': return 60 * 1000;
    case 'h': return 3600 * 1000;
    case 'd': return 24 * 3600 * 1000;
    case 'w': return (int64_t)7 * 24 * 3600 * 1000;
    default: return 0;
    }
}

bool mc_time_ms(struct span s, char unit, int64_t *ms_r)
{
    int64_t sum = 0;
    s = span_trim(s);
    if (s.n == 0)
        return false;
    while (s.n) {
        size_t digits = 0;
        uint64_t v;
        while (digits < s.n && ascii_isdigit(s.p[digits]))
            digits++;
        char u = digits < s.n ? ascii_lower(s.p[digits]) : unit;
        int64_t per = unit_ms(u);
        if (!num_upto(span_to(s, digits), 100000000, &v) || per == 0)
            return false;
        sum += (int64_t)v * per;
        s = span_from(s, digits + 1);
    }
    *ms_r = sum;
    return true;
}

/* sendmail asks for the first letter only; words are accepted here. */
bool mc_true(struct span s, bool *v_r)
{
    static const char *const yes[] = { "true", "t", "yes", "y", "on", "1" };
    static const char *const no[] = { "false", "f", "no", "n", "off", "0" };
    s = span_trim(s);
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (span_ieq(s, span_str(yes[i])))
            return *v_r = true, true;
        if (span_ieq(s, span_str(no[i])))
            return *v_r = false, true;
    }
    return false;
}

const char *mc_delivery(struct span s, bool *exact_r)
{
    static const struct {
        const char *words; /* each is a beginning of the next */
        const char *ours;
    } modes[] = {
        { "interactive", "deliver" },
        { "background", "deliver" },
        { "queueonly", "queue_only" },
        { "deferred", "defer" },
    };
    s = span_trim(s);
    for (size_t i = 0; s.n && i < sizeof modes / sizeof *modes; i++)
        if (ascii_lower(s.p[0]) == modes[i].words[0]) {
            *exact_r = span_istarts(span_str(modes[i].words), s);
            return modes[i].ours;
        }
    return NULL;
}

struct span mc_first_word(struct span s)
{
    s = span_to(s, span_find(s, '#'));
    return span_word(&s);
}
