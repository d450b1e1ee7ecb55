/* The reader of answer packets (RFC 1035 4). It keeps nothing between records: the CNAME chain
 * is followed by walking the answer section once per link, which is bounded by DNS_CHAIN_MAX. */
#include "dns/answer.h"

#include "base/must.h"

enum { HEADER = 12, CLASS_IN = 1, RCODE_NXDOMAIN = 3 };

struct section {
    struct span packet;
    size_t off;
    unsigned left; /* records not read yet */
};

struct raw {
    struct dns_name owner;
    bool odd_owner;
    uint16_t type, class;
    uint32_t ttl_s;
    size_t data, data_n; /* offset and length in the packet */
};

static uint16_t u16(struct span p, size_t at)
{
    return (uint16_t)((uint8_t)p.p[at] << 8 | (uint8_t)p.p[at + 1]);
}

static uint32_t u32(struct span p, size_t at)
{
    return (uint32_t)u16(p, at) << 16 | u16(p, at + 2);
}

/* 1: *r is the next record; 0: none is left; -1: malformed. */
static int next_record(struct section *s, struct raw *r)
{
    if (!s->left)
        return 0;
    int name = dns_name_read(s->packet, &s->off, &r->owner);
    if (name < 0 || s->packet.n - s->off < 10)
        return -1;
    r->odd_owner = name == 0;
    r->type = u16(s->packet, s->off);
    r->class = u16(s->packet, s->off + 2);
    r->ttl_s = u32(s->packet, s->off + 4);
    if (r->ttl_s > INT32_MAX) /* RFC 2181 8: the sign bit set means 0 */
        r->ttl_s = 0;
    r->data_n = u16(s->packet, s->off + 8);
    r->data = s->off + 10;
    if (s->packet.n - r->data < r->data_n)
        return -1;
    s->off = r->data + r->data_n;
    s->left--;
    return 1;
}

/* A name inside a record must end with it (or, for SOA, before): -1 otherwise. */
static int data_name(struct span packet, const struct raw *r, size_t skip, bool to_end,
                     size_t *end_r, struct dns_name *name_r)
{
    size_t off = r->data + skip;
    if (r->data_n < skip)
        return -1;
    int got = dns_name_read(packet, &off, name_r);
    if (got < 0 || off > r->data + r->data_n || (to_end && off != r->data + r->data_n))
        return -1;
    if (end_r)
        *end_r = off;
    return got;
}

static bool owned_by(const struct raw *r, const struct dns_name *name)
{
    return r->class == CLASS_IN && !r->odd_owner && dns_name_eq(&r->owner, name);
}

/* Looks for a CNAME of *name in the section: 1 and *name is its target; 0: none; -1: malformed. */
static int follow(struct section s, struct dns_name *name, uint32_t *ttl_s)
{
    struct raw r;
    struct dns_name target;
    int more;
    while ((more = next_record(&s, &r)) == 1) {
        if (r.type != DNS_CNAME || !owned_by(&r, name))
            continue;
        int got = data_name(s.packet, &r, 0, true, NULL, &target);
        if (got != 1)
            return -1; /* a chain through a name that no host has ends nowhere */
        if (r.ttl_s < *ttl_s)
            *ttl_s = r.ttl_s;
        *name = target;
        return 1;
    }
    return more;
}

static bool read_txt(struct span packet, const struct raw *r, struct arena *a, struct span *text_r)
{
    char *to = arena_alloc(a, r->data_n + 1);
    size_t n = 0;
    if (!to)
        return false;
    for (size_t at = r->data, end = r->data + r->data_n; at < end;) {
        size_t len = (uint8_t)packet.p[at++];
        if (end - at < len)
            return false;
        memcpy(to + n, packet.p + at, len);
        n += len;
        at += len;
    }
    *text_r = span_of(to, n);
    return true;
}

/* 1: *out is set; 0: a record that no host has; -1: malformed or no memory. */
static int read_data(struct span packet, const struct raw *r, struct arena *a,
                     struct dns_record *out)
{
    struct dns_name name;
    int got;
    *out = (struct dns_record){ .type = r->type, .ttl_s = r->ttl_s };
    switch (r->type) {
    case DNS_A:
    case DNS_AAAA:
        out->addr.family = r->type == DNS_A ? NETADDR_V4 : NETADDR_V6;
        if (r->data_n != (r->type == DNS_A ? 4u : 16u))
            return -1;
        memcpy(out->addr.ip, packet.p + r->data, r->data_n);
        return 1;
    case DNS_MX:
    case DNS_CNAME:
    case DNS_NS:
    case DNS_PTR:
        got = data_name(packet, r, r->type == DNS_MX ? 2 : 0, true, NULL, &name);
        if (got <= 0)
            return got;
        if (r->type == DNS_MX)
            out->pref = u16(packet, r->data);
        out->name = arena_dup(a, dns_name_span(&name));
        return out->name.p ? 1 : -1;
    case DNS_TXT:
        return read_txt(packet, r, a, &out->text) ? 1 : -1;
    default:
        out->text = arena_dup(a, span_of(packet.p + r->data, r->data_n));
        return out->text.p ? 1 : -1;
    }
}

static bool collect(struct section s, const struct dns_name *name, uint16_t type, struct arena *a,
                    struct dns_answer *ans)
{
    struct raw r;
    int more;
    size_t room = (s.packet.n - s.off) / 11; /* the shortest record; the count may lie */
    size_t want = s.left < room ? s.left : room;
    if (want > DNS_RECORDS_MAX)
        want = DNS_RECORDS_MAX;
    ans->records = want ? arena_alloc(a, want * sizeof *ans->records) : NULL;
    if (want && !ans->records)
        return false;
    while ((more = next_record(&s, &r)) == 1) {
        if (r.type != type || !owned_by(&r, name))
            continue;
        if (ans->count == DNS_RECORDS_MAX) {
            ans->cut++;
            continue;
        }
        int got = read_data(s.packet, &r, a, &ans->records[ans->count]);
        if (got < 0)
            return false;
        if (got == 0) {
            ans->odd++;
            continue;
        }
        ans->count++;
        if (r.ttl_s < ans->ttl_s)
            ans->ttl_s = r.ttl_s;
    }
    return more == 0;
}

/* How long "there is nothing" stays true: RFC 2308 5. Without SOA it must not be kept. */
static bool negative_ttl(struct section s, uint32_t *ttl_s)
{
    struct raw r;
    struct dns_name name;
    int more;
    uint32_t found = 0;
    while ((more = next_record(&s, &r)) == 1) {
        size_t end;
        if (r.type != DNS_SOA || r.class != CLASS_IN)
            continue;
        if (data_name(s.packet, &r, 0, false, &end, &name) < 0 ||
            data_name(s.packet, &r, end - r.data, false, &end, &name) < 0 ||
            r.data + r.data_n - end != 20)
            return false;
        uint32_t minimum = u32(s.packet, end + 16);
        found = minimum < r.ttl_s ? minimum : r.ttl_s;
    }
    if (found < *ttl_s)
        *ttl_s = found;
    return more == 0;
}

/* The question must be ours; sets s to the answer section. */
static bool read_head(struct span packet, const struct dns_question *q, struct section *s,
                      unsigned *rcode_r, unsigned *authority_r)
{
    struct dns_name asked;
    *s = (struct section){ .packet = packet, .off = HEADER };
    if (packet.n < HEADER || packet.n > DNS_PACKET_MAX || !(packet.p[2] & 0x80) ||
        u16(packet, 4) != 1)
        return false;
    if (dns_name_read(packet, &s->off, &asked) != 1 || packet.n - s->off < 4)
        return false;
    if (!dns_name_eq(&asked, &q->name) || u16(packet, s->off) != q->type ||
        u16(packet, s->off + 2) != CLASS_IN)
        return false;
    s->off += 4;
    s->left = u16(packet, 6);
    *rcode_r = (uint8_t)packet.p[3] & 15;
    *authority_r = u16(packet, 8);
    return true;
}

bool dns_answer_read(struct span packet, const struct dns_question *q, struct arena *a,
                     struct dns_answer *ans)
{
    struct section s, walk;
    struct raw r;
    struct dns_name name = q->name;
    unsigned rcode, authority;
    int more = 0;
    *ans = (struct dns_answer){ .ttl_s = UINT32_MAX };
    if (!read_head(packet, q, &s, &rcode, &authority))
        return false;
    if (rcode != 0 && rcode != RCODE_NXDOMAIN) {
        ans->status = DNS_SERVFAIL;
        ans->ttl_s = 0;
        return true;
    }
    for (int links = 0; q->type != DNS_CNAME; links++) {
        more = follow(s, &name, &ans->ttl_s);
        if (more < 0 || (more == 1 && links == DNS_CHAIN_MAX))
            return false;
        if (more == 0)
            break;
    }
    ans->canon = arena_dup(a, dns_name_span(&name));
    if (!ans->canon.p || !collect(s, &name, q->type, a, ans))
        return false;
    ans->status = ans->count || ans->odd ? DNS_RECORDS
                  : rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN
                                            : DNS_NODATA;
    for (walk = s; (more = next_record(&walk, &r)) == 1;) /* on to the authority section */
        ;
    walk.left = authority;
    if (more < 0 || (ans->status != DNS_RECORDS && !negative_ttl(walk, &ans->ttl_s)))
        return false;
    MUST(ans->status != DNS_RECORDS || ans->ttl_s != UINT32_MAX || ans->odd);
    if (ans->ttl_s == UINT32_MAX)
        ans->ttl_s = 0;
    return true;
}
