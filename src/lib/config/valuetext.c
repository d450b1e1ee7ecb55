/* Values as people write and read them. */
#include "base/num.h"
#include "config/value.h"

const char *value_kind(const struct config_option *o)
{
    switch (o->type) {
    case CONFIG_TEXT:
        return "a text in quotes";
    case CONFIG_NUMBER:
        return "a whole number";
    case CONFIG_DURATION:
        return "a duration like 30s, 5m or 1h30m";
    case CONFIG_SIZE:
        return "a size like 4096, 128K, 50M or 2G";
    case CONFIG_BOOL:
        return "on or off";
    case CONFIG_WORD:
        return "one of its words";
    case CONFIG_TEXTS:
        return "texts in quotes";
    case CONFIG_ADDRS:
        return "IP addresses in quotes";
    case CONFIG_CIDRS:
        return "networks in quotes";
    }
    return "?";
}

void value_put_text(struct buf *b, struct span s)
{
    buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            buf_putc(b, '\\');
        buf_putc(b, s.p[i]);
    }
    buf_putc(b, '"');
}

/* In the largest unit that divides it: nothing is rounded. */
static void put_size(struct buf *b, uint64_t v)
{
    static const char units[] = { 'G', 'M', 'K' };
    for (unsigned i = 0; v && i < sizeof units; i++) {
        uint64_t factor = 1ull << (30 - 10 * i);
        if (v % factor == 0) {
            buf_putu(b, v / factor);
            buf_putc(b, units[i]);
            return;
        }
    }
    buf_putu(b, v);
}

void value_put_number(struct buf *b, const struct config_option *o, uint64_t v)
{
    if (o->type == CONFIG_DURATION)
        num_put_duration(b, (int64_t)v);
    else if (o->type == CONFIG_SIZE)
        put_size(b, v);
    else
        buf_putu(b, v);
}

static void put_item(struct buf *b, const struct config_option *o, const void *field, size_t i)
{
    if (i)
        buf_putz(b, ", ");
    if (o->type == CONFIG_TEXTS) {
        value_put_text(b, ((const struct config_texts *)field)->v[i]);
        return;
    }
    buf_putc(b, '"');
    if (o->type == CONFIG_ADDRS)
        netaddr_put(b, &((const struct config_addrs *)field)->v[i]);
    else
        cidr_put(b, &((const struct config_cidrs *)field)->v[i]);
    buf_putc(b, '"');
}

static void put_list(struct buf *b, const struct config_option *o, const void *field)
{
    size_t n = o->type == CONFIG_TEXTS   ? ((const struct config_texts *)field)->n
               : o->type == CONFIG_ADDRS ? ((const struct config_addrs *)field)->n
                                         : ((const struct config_cidrs *)field)->n;
    buf_putc(b, '{');
    for (size_t i = 0; i < n; i++)
        put_item(b, o, field, i);
    buf_putc(b, '}');
}

void value_put(struct buf *b, const struct config_option *o, const void *field)
{
    unsigned word;
    switch (o->type) {
    case CONFIG_TEXT:
        value_put_text(b, *(const struct span *)field);
        break;
    case CONFIG_NUMBER:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        value_put_number(b, o, *(const uint64_t *)field);
        break;
    case CONFIG_BOOL:
        buf_putz(b, *(const bool *)field ? "on" : "off");
        break;
    case CONFIG_WORD:
        memcpy(&word, field, sizeof word);
        buf_putz(b, o->words[word].word);
        break;
    case CONFIG_TEXTS:
    case CONFIG_ADDRS:
    case CONFIG_CIDRS:
        put_list(b, o, field);
        break;
    }
}
