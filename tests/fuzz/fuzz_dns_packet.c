/* The reader of DNS answers: any bytes as the answer to the question they carry themselves, and
 * what is read must keep its promises; then the mx machine is told it. */
#include "base/must.h"
#include "dns/cache.h"
#include "dns/mx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void tell(struct span packet, const struct dns_question *q, struct arena *a)
{
    struct dns_hop hop = { .host = dns_name_span(&q->name), .bracketed = q->type != DNS_MX };
    struct dns_mx_params p = { .port = 25 };
    struct dns_raw raw = { .packet = packet };
    struct dns_question next;
    struct dns_mx *m = dns_mx_new(&p, &hop, 1);
    while (dns_mx_next(m, &next)) {
        struct dns_answer ans;
        dns_raw_read(&raw, &next, a, &ans);
        dns_mx_told(m, &next, &ans);
    }
    const struct dns_plan *plan = dns_mx_plan(m);
    MUST((plan->verdict == DNS_PLAN_OK) == (plan->addr_count > 0));
    MUST((plan->verdict == DNS_PLAN_OK) == (plan->code.n == 0));
    dns_mx_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span packet = span_of(data, n);
    struct dns_question q = { .type = DNS_MX };
    struct dns_answer ans;
    struct arena *a = arena_new((size_t)DNS_ARENA_BYTES * 16);
    size_t off = 12;
    if (n > 16 && dns_name_read(packet, &off, &q.name) == 1 && q.name.n && off + 2 <= n) {
        q.type = (uint16_t)(data[off] << 8 | data[off + 1]);
        if (dns_answer_read(packet, &q, a, &ans)) {
            MUST((ans.status == DNS_RECORDS) == (ans.count + ans.odd > 0));
            MUST(ans.count <= DNS_RECORDS_MAX && ans.ttl_s <= INT32_MAX);
            for (size_t i = 0; i < ans.count; i++)
                MUST(ans.records[i].type == q.type && ans.ttl_s <= ans.records[i].ttl_s);
        }
        if (q.type == DNS_MX || q.type == DNS_A)
            tell(packet, &q, a);
    }
    arena_free(&a);
    return 0;
}
