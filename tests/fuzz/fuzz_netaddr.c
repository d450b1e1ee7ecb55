/* Addresses and networks: what is taken prints, and reads back as the same. */
#include "base/must.h"
#include "base/netaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span s = span_of(data, n);
    struct netaddr a, a2;
    struct cidr c, c2;
    struct err e;
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    if (netaddr_parse(s, 0, &a, &e)) {
        netaddr_put(&b, &a);
        MUST(!b.failed && netaddr_parse(buf_span(&b), 0, &a2, NULL) && netaddr_eq(&a, &a2));
    }
    buf_reset(&b);
    if (netaddr_parse_literal(s, &a)) {
        netaddr_put_literal(&b, &a);
        MUST(!b.failed && netaddr_parse_literal(buf_span(&b), &a2) && netaddr_eq(&a, &a2));
    }
    buf_reset(&b);
    if (cidr_parse(s, &c, &e)) {
        cidr_put(&b, &c);
        MUST(!b.failed && cidr_parse(buf_span(&b), &c2, NULL) && cidr_eq(&c, &c2));
        MUST(cidr_match(&c, &c.net));
    }
    buf_free(&b);
    return 0;
}
