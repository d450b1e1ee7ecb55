#include "base/num.h"

bool num_upto(struct span s, uint64_t max, uint64_t *v_r)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_isdigit(s.p[i]))
            return false;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    if (v > max)
        return false;
    *v_r = v;
    return true;
}

bool num_u64(struct span s, uint64_t *v_r) { return num_upto(s, UINT64_MAX, v_r); }

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
    { "w", 604800000 },
};

static const struct unit size_units[] = {
    { "K", 1u << 10 }, { "M", 1u << 20 }, { "G", 1u << 30 },
};

/* Takes digits, then the letters up to the next digit, off the front. */
static bool take_number(struct span *s, uint64_t *v_r, struct span *unit_r)
{
    size_t d = 0;
    while (d < s->n && ascii_isdigit(s->p[d]))
        d++;
    size_t u = d;
    while (u < s->n && !ascii_isdigit(s->p[u]))
        u++;
    if (!num_u64(span_to(*s, d), v_r))
        return false;
    *unit_r = span_from(span_to(*s, u), d);
    *s = span_from(*s, u);
    return true;
}

static const struct unit *find_unit(const struct unit *units, size_t n, struct span name)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq(span_str(units[i].name), name))
            return &units[i];
    return NULL;
}

bool num_duration_ms(struct span s, int64_t *ms_r)
{
    if (span_eq(s, SPAN("0"))) {
        *ms_r = 0;
        return true;
    }
    int64_t sum = 0;
    if (s.n == 0)
        return false;
    while (s.n) {
        uint64_t v;
        struct span name;
        if (!take_number(&s, &v, &name))
            return false;
        const struct unit *u =
            find_unit(time_units, sizeof time_units / sizeof *time_units, name);
        if (!u || __builtin_mul_overflow(v, u->factor, &v) ||
            __builtin_add_overflow(sum, v, &sum))
            return false;
    }
    *ms_r = sum;
    return true;
}

bool num_size_bytes(struct span s, uint64_t *bytes_r)
{
    uint64_t v;
    struct span name;
    if (!take_number(&s, &v, &name) || s.n)
        return false;
    if (name.n) {
        const struct unit *u =
            find_unit(size_units, sizeof size_units / sizeof *size_units, name);
        if (!u || __builtin_mul_overflow(v, u->factor, &v))
            return false;
    }
    *bytes_r = v;
    return true;
}

void num_put_duration(struct buf *b, int64_t ms)
{
    if (ms <= 0) {
        buf_putc(b, '0');
        return;
    }
    uint64_t v = (uint64_t)ms;
    for (size_t i = sizeof time_units / sizeof *time_units - 1; v && i > 0; i--) {
        const struct unit *u = &time_units[i];
        if (v < u->factor || u->name[0] == 'w')
            continue;
        buf_putu(b, v / u->factor);
        buf_putz(b, u->name);
        v %= u->factor;
    }
    if (v) {
        buf_putu(b, v);
        buf_putz(b, "ms");
    }
}

void num_put_size(struct buf *b, uint64_t bytes)
{
    size_t i = sizeof size_units / sizeof *size_units;
    while (i > 0 && bytes < size_units[i - 1].factor)
        i--;
    if (i == 0) {
        buf_putu(b, bytes);
        return;
    }
    uint64_t f = size_units[i - 1].factor;
    buf_putu(b, bytes / f);
    uint64_t tenth = bytes % f * 10 / f;
    if (tenth)
        buf_printf(b, ".%u", (unsigned)tenth);
    buf_putz(b, size_units[i - 1].name);
}
