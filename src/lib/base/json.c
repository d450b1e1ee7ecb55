#include "base/json.h"

size_t utf8_length(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* RFC 3629 section 4: no overlong forms, no surrogates, nothing above U+10FFFF. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static void put_escaped(struct buf *out, unsigned char c, bool character)
{
    static const char hex[] = "0123456789abcdef";
    char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
    if (!character) {
        u[2] = 'd';
        u[3] = 'c';
    }
    buf_put(out, u, sizeof u);
}

/* U+0080 to U+009F: terminals obey them. */
static bool is_c1(const char *p, size_t n)
{
    return n == 2 && (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0;
}

void json_put_string(struct buf *out, struct span v)
{
    buf_putc(out, '"');
    size_t from = 0, i = 0;
    while (i < v.n) {
        unsigned char c = (unsigned char)v.p[i];
        size_t n = c < 0x80 ? 1 : utf8_length(span_from(v, i));
        bool c1 = is_c1(v.p + i, n);
        if (n && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !c1) {
            i += n;
            continue;
        }
        buf_put(out, v.p + from, i - from);
        if (c == '"' || c == '\\') {
            buf_putc(out, '\\');
            buf_putc(out, (char)c);
        } else {
            put_escaped(out, c1 ? (unsigned char)v.p[++i] : c, c1 || c < 0x80);
        }
        from = ++i;
    }
    if (v.n > from)
        buf_put(out, v.p + from, v.n - from);
    buf_putc(out, '"');
}

static void lead(struct json *j, const char *key)
{
    if (j->comma)
        buf_putc(j->out, ',');
    j->comma = true;
    if (key) {
        json_put_string(j->out, span_str(key));
        buf_putc(j->out, ':');
    }
}

static void open_with(struct json *j, const char *key, char c)
{
    lead(j, key);
    buf_putc(j->out, c);
    j->comma = false;
}

static void close_with(struct json *j, char c)
{
    buf_putc(j->out, c);
    j->comma = true;
}

void json_open(struct json *j, const char *key) { open_with(j, key, '{'); }
void json_close(struct json *j) { close_with(j, '}'); }
void json_open_array(struct json *j, const char *key) { open_with(j, key, '['); }
void json_close_array(struct json *j) { close_with(j, ']'); }

void json_str(struct json *j, const char *key, struct span v)
{
    lead(j, key);
    json_put_string(j->out, v);
}

void json_int(struct json *j, const char *key, int64_t v)
{
    lead(j, key);
    if (v < 0)
        buf_putc(j->out, '-');
    buf_putu(j->out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void json_uint(struct json *j, const char *key, uint64_t v)
{
    lead(j, key);
    buf_putu(j->out, v);
}

void json_bool(struct json *j, const char *key, bool v)
{
    lead(j, key);
    buf_putz(j->out, v ? "true" : "false");
}
