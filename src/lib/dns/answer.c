/* The words for questions and answers. */
#include "dns/answer.h"

static const struct {
    uint16_t type;
    const char *name;
} types[] = {
    { DNS_A, "A" },     { DNS_NS, "NS" },         { DNS_CNAME, "CNAME" }, { DNS_SOA, "SOA" },
    { DNS_PTR, "PTR" }, { DNS_MX, "MX" },         { DNS_TXT, "TXT" },     { DNS_AAAA, "AAAA" },
    { DNS_TLSA, "TLSA" }, { DNS_DNSKEY, "DNSKEY" },
};

const char *dns_type_name(uint16_t type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            return types[i].name;
    return "type";
}

uint16_t dns_type_from(struct span name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (span_ieq(name, span_str(types[i].name)))
            return types[i].type;
    return 0;
}

const char *dns_status_name(enum dns_status s)
{
    static const char *const names[DNS_STATUSES] = { "records", "nodata", "nxdomain", "servfail",
                                                     "timeout" };
    return s < DNS_STATUSES ? names[s] : "?";
}

const char *dns_security_name(enum dns_security s)
{
    static const char *const names[DNS_SECURITIES] = { "insecure", "secure", "bogus" };
    return s < DNS_SECURITIES ? names[s] : "?";
}

static void put_record(struct buf *out, const struct dns_record *r)
{
    switch (r->type) {
    case DNS_A:
    case DNS_AAAA:
        netaddr_put_ip(out, &r->addr);
        break;
    case DNS_MX:
        buf_printf(out, "%u %.*s", r->pref, SPAN_ARG(r->name.n ? r->name : SPAN(".")));
        break;
    case DNS_TXT:
        buf_printf(out, "\"%.*s\"", SPAN_ARG(span_to(r->text, 512)));
        break;
    case DNS_CNAME:
    case DNS_NS:
    case DNS_PTR:
        buf_printf(out, "%.*s", SPAN_ARG(r->name));
        break;
    default:
        buf_printf(out, "%zu bytes", r->text.n);
    }
}

static void put_records(struct buf *out, const struct dns_answer *ans)
{
    enum { SHOWN = 20 };
    size_t shown = ans->count < SHOWN ? ans->count : SHOWN;
    for (size_t i = 0; i < shown; i++) {
        if (i)
            buf_putz(out, ", ");
        put_record(out, &ans->records[i]);
    }
    if (ans->count + ans->cut > shown)
        buf_printf(out, ", and %zu more", ans->count + ans->cut - shown);
    if (ans->odd)
        buf_printf(out, "%s%zu with a name no host can have", shown ? ", " : "", ans->odd);
}

void dns_answer_text(struct buf *out, const struct dns_answer *ans)
{
    switch (ans->status) {
    case DNS_RECORDS: put_records(out, ans); break;
    case DNS_NODATA: buf_putz(out, "no such records"); break;
    case DNS_NXDOMAIN: buf_putz(out, "no such name"); break;
    case DNS_SERVFAIL: buf_putz(out, "no usable answer"); break;
    case DNS_TIMEOUT: buf_putz(out, "no answer in time"); break;
    default: break;
    }
    if (ans->why.n)
        buf_printf(out, ": %.*s", SPAN_ARG(ans->why));
}

static uint8_t verdict_of(enum dns_status s)
{
    return s == DNS_RECORDS                           ? TRAIL_ANSWER
           : s == DNS_SERVFAIL || s == DNS_TIMEOUT ? TRAIL_FAIL
                                                      : TRAIL_EMPTY;
}

void dns_answer_trail(struct trail *t, const struct dns_question *q, const struct dns_answer *ans)
{
    static const uint8_t flags[DNS_SECURITIES] = { TRAIL_INSECURE, TRAIL_SECURE, TRAIL_BOGUS };
    struct buf said;
    if (!t)
        return;
    buf_init(&said, TRAIL_TEXT_MAX);
    if (ans->canon.n && !span_eq(ans->canon, dns_name_span(&q->name)))
        buf_printf(&said, "alias of %.*s: ", SPAN_ARG(ans->canon));
    dns_answer_text(&said, ans);
    uint8_t flag = ans->cached ? TRAIL_CACHED : 0;
    if (ans->status < DNS_SERVFAIL || ans->security == DNS_BOGUS)
        flag |= flags[ans->security];
    trail_add(t, &(struct trail_step){
        .verdict = verdict_of(ans->status), .flags = flag, .ttl_s = (int32_t)ans->ttl_s,
        .what = span_str(dns_type_name(q->type)), .key = dns_name_span(&q->name),
        .source = ans->server, .said = buf_span(&said),
    });
    buf_free(&said);
}
