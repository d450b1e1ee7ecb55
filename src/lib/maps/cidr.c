/* cidr: networks. Lines `address/length value`, or `address value` for one address; an IPv6
 * address may stand in brackets. The longest network that holds the address counts, whatever the
 * order of the lines, as in a routing table; of two lines for one network the first does. Look-ups
 * are for addresses: "192.0.2.1", "2001:db8::1", also "[192.0.2.1]", "[IPv6:2001:db8::1]" and
 * "IPv6:2001:db8::1"; any other key is not there.
 *
 * Memory: a table (table.c) whose keys are family, length and masked address; one probe for each
 * length that occurs. */
#include "maps/impl.h"

#include "base/must.h"
#include "base/netaddr.h"

#include <stdlib.h>

enum { KEY_BYTES = 18 };

struct cidr_map {
    struct map_file file;
    struct nets {
        struct map_table *table;
        bool v4[33], v6[129]; /* lengths that occur */
    } nets;
};

static struct cidr_map *cidr_of(const struct map *m) { return (struct cidr_map *)(void *)m; }

static void put_key(char key[KEY_BYTES], const struct netaddr *a, unsigned bits)
{
    key[0] = (char)a->family;
    key[1] = (char)bits;
    for (unsigned i = 0; i < 16; i++) {
        unsigned left = bits > i * 8 ? bits - i * 8 : 0;
        unsigned mask = left >= 8 ? 0xff : 0xff00u >> left & 0xff;
        key[2 + i] = (char)(a->ip[i] & mask);
    }
}

static bool parse_key(struct span key, struct netaddr *a_r)
{
    if (span_istarts(key, SPAN("ipv6:")))
        key = span_from(key, 5);
    return netaddr_parse_ip(key, a_r) || netaddr_parse_literal(key, a_r);
}

/* One line into text: its key, then its value. False: reported. */
static bool parse_net(const struct map_line *at, const struct map_file *f, char *out, size_t *n_r,
                      struct nets *nets, struct map_report *r)
{
    struct span value = at->text, net = span_word(&value), source = f->map.source;
    struct err why = { "" };
    struct cidr c;
    value = span_trim(value);
    if (!cidr_parse(net, &c, &why))
        map_report_error(r, source, at->line, "%s", why.text);
    else if (!value.n && !f->params.empty_values)
        map_report_error(r, source, at->line, "no value for the network \"%.*s\"", SPAN_ARG(net));
    else if (f->params.check && !f->params.check(f->params.check_ctx, net, value, &why))
        map_report_error(r, source, at->line, "%s", why.text);
    else {
        put_key(out, &c.net, c.bits);
        memcpy(out + KEY_BYTES, value.n ? value.p : "", value.n);
        *n_r = KEY_BYTES + value.n;
        (c.net.family == NETADDR_V4 ? nets->v4 : nets->v6)[c.bits] = true;
        return true;
    }
    return false;
}

static void get_net(struct span key, struct cidr *c_r)
{
    *c_r = (struct cidr){ .net.family = (uint8_t)key.p[0], .bits = (uint8_t)key.p[1] };
    memcpy(c_r->net.ip, key.p + 2, 16);
}

static void say_twice(struct map_report *r, struct span source, struct span key, uint32_t line,
                      uint32_t before)
{
    struct cidr c;
    struct buf text;
    buf_init(&text, NETADDR_TEXT_MAX);
    get_net(key, &c);
    cidr_put(&text, &c);
    map_report_warning(r, source, line,
                       "the network %.*s stands in line %u already; that one counts",
                       SPAN_ARG(buf_span(&text)), before);
    buf_free(&text);
}

static size_t count_lines(struct span s)
{
    size_t n = 1;
    for (const char *p = s.p, *end = p + s.n; s.n && (p = memchr(p, '\n', (size_t)(end - p))); p++)
        n++;
    return n;
}

/* A line becomes KEY_BYTES and its value, which is shorter than the line. */
static bool parse_nets(struct span text, const struct map_file *f, struct nets *nets,
                       struct map_report *r)
{
    static const struct map_twice twice = { false, say_twice };
    struct map_line at = { .line = 0 };
    size_t errors = r->errors, n = 0, one;
    size_t size = must_add(text.n, must_mul(count_lines(text), KEY_BYTES));
    if (size >= UINT32_MAX) {
        map_report_error(r, f->map.source, 0, "too many lines");
        return false;
    }
    char *mem = must_alloc(size);
    nets->table = map_table_new(mem, size, f->params.seed);
    while (map_next_line(&text, &at, f->map.source, r)) {
        if (!parse_net(&at, f, mem + n, &one, nets, r))
            continue;
        map_table_add(nets->table, span_of(mem + n, KEY_BYTES),
                      span_of(mem + n + KEY_BYTES, one - KEY_BYTES), at.line);
        n += one;
    }
    nets->table = map_table_seal(nets->table, &twice, errors, f->map.source, &f->params, r);
    return nets->table;
}

static bool cidr_reload(struct map *m, struct map_report *r)
{
    struct cidr_map *c = cidr_of(m);
    struct nets nets = { 0 };
    char *mem;
    size_t n;
    if (!map_file_read(&c->file, &mem, &n, r))
        return false;
    bool good = parse_nets(span_of(mem, n), &c->file, &nets, r);
    free(mem);
    if (good) {
        map_table_free(&c->nets.table);
        c->nets = nets;
    }
    return good;
}

static int cidr_lookup(struct map *m, struct span key, struct map_hit *hit_r)
{
    const struct nets *nets = &cidr_of(m)->nets;
    struct netaddr a;
    char probe[KEY_BYTES];
    if (!parse_key(key, &a))
        return 0;
    const bool *lengths = a.family == NETADDR_V4 ? nets->v4 : nets->v6;
    for (int bits = a.family == NETADDR_V4 ? 32 : 128; bits >= 0; bits--) {
        if (!lengths[bits])
            continue;
        put_key(probe, &a, (unsigned)bits);
        if (map_table_lookup(nets->table, span_of(probe, KEY_BYTES), hit_r))
            return 1;
    }
    return 0;
}

struct each {
    bool (*fn)(void *ctx, struct span key, const struct map_hit *);
    void *ctx;
};

static bool each_net(void *ctx, struct span key, const struct map_hit *hit)
{
    const struct each *e = ctx;
    struct cidr c;
    struct buf text;
    buf_init(&text, NETADDR_TEXT_MAX);
    get_net(key, &c);
    cidr_put(&text, &c);
    bool more = e->fn(e->ctx, buf_span(&text), hit);
    buf_free(&text);
    return more;
}

static void cidr_each(const struct map *m,
                      bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx)
{
    struct each e = { fn, ctx };
    map_table_each(cidr_of(m)->nets.table, each_net, &e);
}

static void cidr_size(const struct map *m, struct map_stats *s)
{
    s->entries = map_table_entries(cidr_of(m)->nets.table);
    s->bytes = map_table_bytes(cidr_of(m)->nets.table);
}

static void cidr_close(struct map *m)
{
    map_table_free(&cidr_of(m)->nets.table);
    free(m);
}

static const struct map_class cidr_class = {
    "cidr", cidr_close, cidr_lookup, cidr_reload, cidr_each, cidr_size,
};

struct map *map_cidr_open(struct span path, const struct map_params *p, struct map_report *r)
{
    return map_file_open(&NEW(struct cidr_map)->file, &cidr_class, path, p, r);
}
