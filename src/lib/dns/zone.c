#include "dns/zone.h"

#include "base/must.h"
#include "base/num.h"

#include <stdlib.h>

enum { DEFAULT_TTL_S = 60, NEGATIVE_TTL_S = 30, TYPE_ALL = 0, DATA_MAX = 2048 };

struct line {
    struct line *next;
    struct dns_name name;
    uint16_t type;        /* TYPE_ALL for a failure of every type */
    enum dns_status fail; /* DNS_RECORDS: it is a record */
    uint32_t ttl_s;
    size_t n;
    char data[DATA_MAX];  /* in wire format */
};

struct dns_zone {
    struct line *first, **last;
};

struct dns_zone *dns_zone_new(void)
{
    struct dns_zone *z = NEW(struct dns_zone);
    z->last = &z->first;
    return z;
}

void dns_zone_free(struct dns_zone **z)
{
    if (!*z)
        return;
    for (struct line *l = (*z)->first, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    free(*z);
    *z = NULL;
}

void dns_zone_remove(struct dns_zone *z, struct span name)
{
    struct dns_name low;
    MUST(dns_name_from(name, &low) == DNS_NAME_OK);
    for (z->last = &z->first; *z->last;) {
        struct line *l = *z->last;
        if (dns_name_eq(&l->name, &low)) {
            *z->last = l->next;
            free(l);
        } else {
            z->last = &l->next;
        }
    }
}

static void put_u16(struct buf *b, unsigned v)
{
    buf_putc(b, (char)(v >> 8));
    buf_putc(b, (char)v);
}

static void put_u32(struct buf *b, uint32_t v)
{
    put_u16(b, v >> 16);
    put_u16(b, v & 0xffff);
}

static void put_name(struct buf *b, struct span name)
{
    while (name.n) {
        size_t dot = span_find(name, '.');
        buf_putc(b, (char)dot);
        buf_puts(b, span_to(name, dot));
        name = span_from(name, dot + 1);
    }
    buf_putc(b, 0);
}

static bool put_target(struct buf *b, struct span text)
{
    struct dns_name name;
    if (span_eq(text, SPAN("."))) {
        buf_putc(b, 0);
        return true;
    }
    if (dns_name_from(text, &name) != DNS_NAME_OK)
        return false;
    put_name(b, dns_name_span(&name));
    return true;
}

static bool put_data(struct buf *b, uint16_t type, struct span text)
{
    struct netaddr a;
    uint64_t pref;
    struct span word;
    switch (type) {
    case DNS_A:
    case DNS_AAAA:
        return netaddr_parse_ip(text, &a) &&
               a.family == (type == DNS_A ? NETADDR_V4 : NETADDR_V6) &&
               buf_put(b, a.ip, type == DNS_A ? 4 : 16);
    case DNS_MX:
        word = span_word(&text);
        if (!num_upto(word, 65535, &pref))
            return false;
        put_u16(b, (unsigned)pref);
        return put_target(b, span_trim(text));
    case DNS_CNAME:
    case DNS_NS:
    case DNS_PTR:
        return put_target(b, text);
    case DNS_TXT:
        for (size_t at = 0; at == 0 || at < text.n; at += 255) {
            word = span_to(span_from(text, at), 255);
            buf_putc(b, (char)word.n);
            buf_puts(b, word);
        }
        return true;
    default:
        return false;
    }
}

static enum dns_status fail_word(struct span word)
{
    return span_eq(word, SPAN("TIMEOUT"))    ? DNS_TIMEOUT
           : span_eq(word, SPAN("SERVFAIL")) ? DNS_SERVFAIL
                                             : DNS_RECORDS;
}

static bool parse_line(struct line *l, struct span s)
{
    struct span name = span_word(&s), word = span_word(&s);
    uint64_t ttl_s = DEFAULT_TTL_S;
    if (dns_name_from(name, &l->name) != DNS_NAME_OK)
        return false;
    if (num_upto(word, INT32_MAX, &ttl_s))
        word = span_word(&s);
    l->ttl_s = (uint32_t)ttl_s;
    l->fail = fail_word(word);
    if (l->fail)
        return !span_trim(s).n;
    l->type = dns_type_from(word);
    s = span_trim(s);
    l->fail = fail_word(s);
    if (!l->type || l->fail)
        return l->type != 0;
    struct buf b;
    buf_init(&b, DATA_MAX);
    bool good = put_data(&b, l->type, s) && !b.failed;
    l->n = b.len;
    memcpy(l->data, b.mem ? b.mem : "", b.len);
    buf_free(&b);
    return good;
}

bool dns_zone_add(struct dns_zone *z, struct span text, struct err *e)
{
    for (unsigned number = 1; text.n; number++) {
        size_t end = span_find(text, '\n');
        struct span s = span_trim_lines(span_to(text, end));
        text = span_from(text, end + 1);
        if (!s.n || s.p[0] == '#')
            continue;
        struct line *l = NEW(struct line);
        if (!parse_line(l, s)) {
            err_set(e, "zone line %u: \"%.*s\"", number, SPAN_ARG(s));
            free(l);
            return false;
        }
        *z->last = l;
        z->last = &l->next;
    }
    return true;
}

static bool exists(const struct dns_zone *z, const struct dns_name *name)
{
    for (const struct line *l = z->first; l; l = l->next)
        if (dns_name_under(&l->name, name))
            return true;
    return false;
}

static void put_record(struct buf *b, const struct line *l)
{
    put_name(b, dns_name_span(&l->name));
    put_u16(b, l->type);
    put_u16(b, 1);
    put_u32(b, l->ttl_s);
    put_u16(b, (unsigned)l->n);
    buf_put(b, l->data, l->n);
}

/* The lines of name and type (or its CNAME, followed) as records; what went wrong otherwise. */
static enum dns_status put_answers(const struct dns_zone *z, const struct dns_name *name,
                                   uint16_t type, struct buf *b, unsigned *count, int depth)
{
    const struct line *alias = NULL;
    unsigned before = *count;
    for (const struct line *l = z->first; l; l = l->next) {
        if (!dns_name_eq(&l->name, name))
            continue;
        if (l->fail && (l->type == TYPE_ALL || l->type == type))
            return l->fail;
        if (l->type == DNS_CNAME && type != DNS_CNAME)
            alias = l;
        if (l->type != type || l->fail)
            continue;
        put_record(b, l);
        ++*count;
    }
    if (alias && depth < DNS_CHAIN_MAX + 5) {
        struct dns_name target;
        size_t off = 0;
        put_record(b, alias);
        ++*count;
        MUST(dns_name_read(span_of(alias->data, alias->n), &off, &target) == 1);
        return put_answers(z, &target, type, b, count, depth + 1);
    }
    if (*count > before)
        return DNS_RECORDS;
    return exists(z, name) ? DNS_NODATA : DNS_NXDOMAIN;
}

static void put_soa(struct buf *b)
{
    put_name(b, SPAN("zone"));
    put_u16(b, DNS_SOA);
    put_u16(b, 1);
    put_u32(b, NEGATIVE_TTL_S);
    put_u16(b, 2 + 20);
    buf_put(b, "\0", 2);
    for (int i = 0; i < 5; i++)
        put_u32(b, NEGATIVE_TTL_S);
}

enum dns_status dns_zone_answer(const struct dns_zone *z, const struct dns_question *q,
                                struct buf *packet)
{
    struct buf answers;
    unsigned count = 0;
    buf_init(&answers, DNS_PACKET_MAX);
    enum dns_status status = put_answers(z, &q->name, q->type, &answers, &count, 0);
    if (status != DNS_TIMEOUT) {
        bool negative = status == DNS_NODATA || status == DNS_NXDOMAIN;
        if (status == DNS_SERVFAIL)
            count = 0;
        put_u16(packet, 0);
        put_u16(packet, 0x8180u | (status == DNS_SERVFAIL   ? 2u
                                   : status == DNS_NXDOMAIN ? 3u
                                                            : 0u));
        put_u16(packet, 1);
        put_u16(packet, count);
        put_u16(packet, negative);
        put_u16(packet, 0);
        put_name(packet, dns_name_span(&q->name));
        put_u16(packet, q->type);
        put_u16(packet, 1);
        if (count)
            buf_puts(packet, buf_span(&answers));
        if (negative)
            put_soa(packet);
    }
    buf_free(&answers);
    return status;
}

static uint64_t zone_ask(void *ctx, const struct dns_question *q,
                         void (*done)(void *arg, const struct dns_raw *raw), void *arg)
{
    struct dns_zone *z = ctx;
    struct buf packet;
    buf_init(&packet, DNS_PACKET_MAX);
    struct dns_raw raw = { .status = dns_zone_answer(z, q, &packet), .server = SPAN("zone") };
    raw.packet = buf_span(&packet);
    if (raw.status != DNS_TIMEOUT)
        done(arg, &raw);
    buf_free(&packet);
    return 0;
}

static void zone_cancel(void *ctx, uint64_t id)
{
    (void)ctx;
    (void)id;
}

struct dns_backend dns_zone_backend(struct dns_zone *z)
{
    return (struct dns_backend){ .ask = zone_ask, .cancel = zone_cancel, .ctx = z };
}
